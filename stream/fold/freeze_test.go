package fold

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outfall/telemetry"
)

// canonical is the form of a state with its devices in the order of their MN: a Frozen gives them out in any order.
func canonical(t interface{ Fatal(...any) }, form []byte) string {
	s, err := Read(form)
	if err != nil {
		t.Fatal(err)
	}
	sortByMN(s.list)
	return string(s.AppendTo(nil))
}

// Snapshots that begin anywhere and go out piece by piece while the fold goes on, some of them dropped, are the state at their beginning:
// the same bytes, and the same outputs from there on. The fold does not notice them.
func TestFrozenIsTheStateAtFreeze(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type snapshot struct {
			form []byte
			want string // canonical, at Freeze
			next int    // entries in it
		}
		entries := script(t)
		s, undisturbed := New(0), New(0)
		var outputs []string // by entry
		var taken []snapshot
		var at snapshot
		var frozen *Frozen
		piece := func(n int) {
			var done bool
			if at.form, done = frozen.Next(at.form, n); done {
				taken, frozen = append(taken, at), nil
			}
		}
		for i := range entries {
			if frozen == nil && rapid.IntRange(0, 2).Draw(t, "freeze") == 0 {
				at = snapshot{want: canonical(t, s.AppendTo(nil)), next: i}
				frozen = s.Freeze()
			}
			for frozen != nil && rapid.Bool().Draw(t, "next") {
				piece(rapid.IntRange(1, 3).Draw(t, "n"))
			}
			if frozen != nil && rapid.IntRange(0, 19).Draw(t, "drop") == 0 {
				frozen.Drop()
				frozen = nil
			}
			outputs = append(outputs, foldOne(s, &entries[i]))
			if want := foldOne(undisturbed, &entries[i]); outputs[i] != want {
				t.Fatalf("entry %d gave %s, without snapshots %s", i, outputs[i], want)
			}
		}
		for frozen != nil {
			piece(1)
		}
		if !bytes.Equal(s.AppendTo(nil), undisturbed.AppendTo(nil)) {
			t.Fatal("the snapshots changed the state")
		}
		for _, snap := range taken {
			if canonical(t, snap.form) != snap.want {
				t.Fatalf("the snapshot before entry %d is not the state of then", snap.next)
			}
			r, err := Read(snap.form)
			if err != nil {
				t.Fatal(err)
			}
			for i := snap.next; i < len(entries); i++ {
				if got := foldOne(r, &entries[i]); got != outputs[i] {
					t.Fatalf("from the snapshot before entry %d, entry %d gives %s, want %s", snap.next, i, got, outputs[i])
				}
			}
		}
	})
}

func foldOne(s *State, e *telemetry.Entry) string {
	var out bytes.Buffer
	s.Apply(e, func(o telemetry.Output) { out.WriteString(print(o)) })
	return out.String()
}

func TestFreezeOneAtATime(t *testing.T) {
	b := newBed(t)
	f := b.s.Freeze()
	refused := func() (r any) {
		defer func() { r = recover() }()
		b.s.Freeze()
		return nil
	}
	if refused() == nil {
		t.Error("a second Freeze was allowed")
	}
	f.Drop()
	if out, done := f.Next(nil, 1); len(out) != 0 || !done {
		t.Errorf("a dropped snapshot gives %d bytes, done %t", len(out), done)
	}
	second := b.s.Freeze()
	f.Drop() // of no effect on the second
	if refused() == nil {
		t.Error("dropping the first snapshot a second time freed the second")
	}
	if _, done := second.Next(nil, 1); !done {
		t.Error("one device is not out after a call for one device")
	}
	b.s.Freeze()
}

// manyDevices is a state of so many devices that were registered at once, and an entry for each that registers it again.
func manyDevices(n int) (*State, []telemetry.Entry) {
	s, entries := New(0), make([]telemetry.Entry, n)
	for i := range entries {
		mn := fmt.Sprint(i)
		entries[i] = telemetry.Entry{Received: t0, Kind: telemetry.KindRegistry, MN: mn, Value: telemetry.AppendJSON(nil, &telemetry.Device{
			MN: mn, Outlet: "W01", Medium: "water", MinuteInterval: 1, OfflineAfter: 600})}
		s.Apply(&entries[i], func(telemetry.Output) {})
	}
	return s, entries
}

// What is copied for a snapshot on its way out goes out in pieces, whatever n.
func TestFrozenPieces(t *testing.T) {
	s, again := manyDevices(15_000)
	want := canonical(t, s.AppendTo(nil))
	f := s.Freeze()
	for i := range again {
		s.Apply(&again[i], func(telemetry.Output) {})
	}
	if len(f.saved) < 2 {
		t.Fatalf("%d pieces, want several", len(f.saved))
	}
	var form []byte
	for done := false; !done; {
		before := len(form)
		form, done = f.Next(form, 1<<30)
		if n := len(form) - before; n > savedPiece+64<<10 && !done {
			t.Errorf("a piece of %d bytes", n)
		}
	}
	if canonical(t, form) != want {
		t.Error("the snapshot is not the state at Freeze")
	}
}

// The end of an hour changes every device: a snapshot that has more of them to copy than an entry can wait for is given up, one that has few
// goes on, and so does the one after one that was given up.
func TestFrozenGivenUp(t *testing.T) {
	const few = 20
	s, _ := manyDevices(maxSaved + few)
	hour := t0.Truncate(time.Hour)
	for i, out := range []int{few, few - 1, 0, few - 1} { // of the snapshot when the hour ends
		f := s.Freeze()
		form, _ := f.Next(nil, 0)
		form, _ = f.Next(form, out)
		want := canonical(t, s.AppendTo(nil))
		hour = hour.Add(time.Hour)
		at := hour.Add(graceMs * time.Millisecond)
		s.Apply(&telemetry.Entry{Received: at, Kind: telemetry.KindTick, Value: telemetry.AppendJSON(nil, telemetry.Tick{Time: at})}, func(telemetry.Output) {})
		if wantGivenUp := i%2 == 1; f.GivenUp() != wantGivenUp {
			t.Fatalf("%d devices of %d are out: given up %t, want %t", out, maxSaved+few, f.GivenUp(), wantGivenUp)
		}
		if f.GivenUp() {
			if piece, done := f.Next(nil, 1); len(piece) > 0 || !done {
				t.Errorf("%d bytes, done %t of a snapshot that was given up", len(piece), done)
			}
			continue
		}
		for done := false; !done; {
			form, done = f.Next(form, 1)
		}
		if canonical(t, form) != want {
			t.Error("the snapshot is not the state at Freeze")
		}
	}
}
