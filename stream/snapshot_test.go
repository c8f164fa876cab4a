package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"outfall/internal/store"
	"outfall/stream/fold"
	"outfall/telemetry"
)

func openStore(t *testing.T, dir string) *store.Dir {
	t.Helper()
	st, err := store.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func openSnapshots(t *testing.T, st store.Store) *snapshots {
	t.Helper()
	all, err := newSnapshots(st)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(all.close)
	return all
}

var morning = time.Date(2026, 7, 1, 0, 0, 0, 0, telemetry.China)

// testSnapshot has a body that fold.Read takes.
func testSnapshot(next int64, clock time.Time) *Snapshot {
	return &Snapshot{
		Partition: 7, Next: next, Clock: clock.UTC(), Body: fold.New(7).AppendTo(nil),
		Positions: map[telemetry.Topic]telemetry.Position{telemetry.TopicPoints: {Source: next - 1, Ordinal: 4}, telemetry.TopicAlarms: {Source: 2}},
	}
}

// inPieces hands a body over in pieces of random sizes, some of them empty.
func inPieces(body []byte, most int) <-chan []byte {
	var cut [][]byte // some of them empty
	for len(body) > 0 {
		n := rand.N(min(most, len(body)) + 1)
		cut = append(cut, bytes.Clone(body[:n]))
		body = body[n:]
	}
	pieces := make(chan []byte, len(cut))
	for _, piece := range cut {
		pieces <- piece
	}
	close(pieces)
	return pieces
}

func save(t *testing.T, all *snapshots, s *Snapshot) {
	t.Helper()
	if _, err := all.save(t.Context(), s, inPieces(s.Body, 1<<20), make(chan []byte)); err != nil {
		t.Fatal(err)
	}
}

func encoded(t *testing.T, all *snapshots, s *Snapshot, most int) []byte {
	t.Helper()
	src := newSnapshotSource(t.Context(), s, inPieces(s.Body, most), make(chan []byte), all.encoder)
	b, err := io.ReadAll(iotest.OneByteReader(src))
	if err != nil || int64(len(b)) != src.size {
		t.Fatalf("%d bytes of %d, %v", len(b), src.size, err)
	}
	return b
}

// form1 is a snapshot as the program wrote it before form 2.
func form1(s *Snapshot) []byte {
	head := s.appendHead(nil)
	head = head[:len(head)-4]
	b := append([]byte{}, head[:len(snapshotMagic)]...)
	b = binary.BigEndian.AppendUint16(b, oldForm)
	at := len(snapshotMagic) + 2
	b = append(b, head[at:at+12]...) // partition, next
	b = append(b, head[at+20:]...)   // behind the clock
	b = binary.BigEndian.AppendUint64(b, uint64(len(s.Body)))
	b = append(b, s.Body...)
	return binary.BigEndian.AppendUint32(b, castagnoli(b))
}

// readWhole is readSnapshot with the body in Body.
func readWhole(r io.Reader, all *snapshots) (*Snapshot, error) {
	var body []byte
	s, err := readSnapshot(r, all.decoder, func(piece []byte) { body = append(body, piece...) })
	if s != nil {
		s.Body = body
	}
	return s, err
}

func TestSnapshotForm(t *testing.T) {
	all := openSnapshots(t, openStore(t, t.TempDir()))
	for _, size := range []int{0, 1, 1000, maxChunkBytes, 3*maxChunkBytes + 5} {
		s := testSnapshot(30, morning)
		s.Body = make([]byte, size)
		for i := range s.Body {
			s.Body[i] = byte(rand.N(3)) // compresses, but not to nothing
		}
		for name, b := range map[string][]byte{"form 2": encoded(t, all, s, 2*maxChunkBytes), "form 1": form1(s)} {
			got, err := readWhole(iotest.HalfReader(bytes.NewReader(b)), all)
			if err != nil || got.Next != 30 || !bytes.Equal(got.Body, s.Body) || !reflect.DeepEqual(got.Positions, s.Positions) {
				t.Errorf("%s of %d bytes: %v, %v", name, size, got, err)
			} else if name == "form 2" && !got.Clock.Equal(morning) {
				t.Errorf("clock %v", got.Clock)
			}
		}
	}
}

// Every cut and every flipped bit must be noticed: a state that is not exactly the one saved would go into published results. And what
// cannot be read now is not damaged.
func TestSnapshotDamage(t *testing.T) {
	all := openSnapshots(t, openStore(t, t.TempDir()))
	s := testSnapshot(30, morning)
	s.Body = bytes.Repeat([]byte("some state, "), 200)
	first, second := encoded(t, all, s, 300), encoded(t, all, testSnapshot(31, morning), 300)
	for name, whole := range map[string][]byte{"form 2": first, "form 1": form1(s)} {
		for n := range whole {
			if _, err := readWhole(bytes.NewReader(whole[:n]), all); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s cut to %d bytes: %v", name, n, err)
			}
			for bit := range 8 {
				damaged := bytes.Clone(whole)
				damaged[n] ^= 1 << bit
				if _, err := readWhole(bytes.NewReader(damaged), all); !errors.Is(err, ErrDamaged) {
					t.Fatalf("%s, bit %d of byte %d flipped: %v", name, bit, n, err)
				}
			}
			broken := errors.New("the disk broke")
			_, err := readWhole(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken)), all)
			if !errors.Is(err, broken) || errors.Is(err, ErrDamaged) {
				t.Fatalf("%s, disk broken after %d bytes: %v", name, n, err)
			}
		}
		if _, err := readWhole(bytes.NewReader(append(bytes.Clone(whole), 0)), all); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s, one byte too many: %v", name, err)
		}
	}
	// Chunks that are whole each, but not of one snapshot.
	head := len(s.appendHead(nil))
	if _, err := readWhole(bytes.NewReader(append(bytes.Clone(first[:head]), second[head:]...)), all); !errors.Is(err, ErrDamaged) {
		t.Errorf("head of one, chunks of another: %v", err)
	}
}

// An end that never came leaves no object.
func TestSnapshotGivenUp(t *testing.T) {
	st := openStore(t, t.TempDir())
	all := openSnapshots(t, st)
	ctx, cancel := context.WithCancel(t.Context())
	pieces := make(chan []byte, 1)
	pieces <- []byte("half")
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := all.save(ctx, testSnapshot(10, morning), pieces, make(chan []byte)); !errors.Is(err, context.Canceled) {
		t.Errorf("save = %v", err)
	}
	if left, err := st.List(t.Context(), ""); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// listed are the offsets of the snapshots that are kept, newest first.
func listed(t *testing.T, all *snapshots) string {
	t.Helper()
	kept, _, err := all.list(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, n := range kept {
		text = append(text, fmt.Sprint(n.next))
	}
	return strings.Join(text, " ")
}

func TestSnapshotsKept(t *testing.T) {
	all := openSnapshots(t, openStore(t, t.TempDir()))
	prune := func(reach int64, want string) {
		t.Helper()
		if err := all.prune(t.Context(), 7, reach); err != nil {
			t.Fatal(err)
		}
		if got := listed(t, all); got != want {
			t.Errorf("with the journal from %d: kept %s, want %s", reach, got, want)
		}
	}
	save(t, all, testSnapshot(5, time.Time{})) // before the first tick: of no day
	// Every 8 hours from midnight of UTC+8, for four days.
	for i := range 12 {
		save(t, all, testSnapshot(int64(100+10*i), morning.Add(time.Duration(i)*8*time.Hour)))
	}
	prune(0, "210 200 190 160 130 100")
	prune(131, "210 200 190 160")
	save(t, all, testSnapshot(220, morning.Add(96*time.Hour)))
	prune(131, "220 210 200 190 160")
	prune(1000, "220 210 200") // three, whatever the journal says

	// The journal lost its end and is written on: 210 and 220 are of entries that are no longer in it.
	save(t, all, testSnapshot(205, morning.Add(96*time.Hour)))
	if got := listed(t, all); got != "205 200" {
		t.Errorf("after the journal lost its end: %s", got)
	}
	prune(0, "205 200")
	if objects, err := all.store.List(t.Context(), ""); err != nil || len(objects) != 2 {
		t.Errorf("objects %v, %v", objects, err)
	}
	if other, _, err := all.list(t.Context(), 70); err != nil || len(other) != 0 {
		t.Errorf("another partition has %v, %v", other, err)
	}
}

func TestSnapshotBefore(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir)
	all := openSnapshots(t, st)
	before := func(offset, want int64) {
		t.Helper()
		got, err := SnapshotBefore(t.Context(), st, 7, offset)
		if err != nil || want < 0 && got != nil || want >= 0 && (got == nil || got.Next != want) {
			t.Errorf("before %d: %+v, %v; want next %d", offset, got, err, want)
		}
	}
	before(1000, -1)
	old := testSnapshot(10, time.Time{})
	if err := st.Put(t.Context(), "p00007-g0000000001.snap", bytes.NewReader(form1(old))); err != nil {
		t.Fatal(err)
	}
	for _, next := range []int64{20, 30, 40} {
		save(t, all, testSnapshot(next, morning))
	}
	damaged := testSnapshot(35, morning)
	damaged.Body = []byte("no state")
	if err := st.Put(t.Context(), nameSnapshot(damaged, 3).object, bytes.NewReader(encoded(t, all, damaged, 10))); err != nil {
		t.Fatal(err)
	}
	before(9, -1)
	before(10, 10)
	before(19, 10)
	before(20, 20)
	before(39, 30)
	before(1000, 40)
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 5 {
		t.Errorf("files %q", names)
	}
	if _, err := SnapshotBefore(t.Context(), faulty{st}, 7, 1000); err == nil {
		t.Error("a store that cannot be read: no error")
	}
}

// A faulty store lists objects and cannot read them.
type faulty struct{ store.Store }

func (faulty) Get(context.Context, string) (io.ReadCloser, error) {
	return nil, errors.New("not now")
}

func TestSnapshotNames(t *testing.T) {
	s := testSnapshot(12345678901, morning)
	n := nameSnapshot(s, 42)
	if want := "p00007-g0000000042-o0000000012345678901-c01782835200000.snap"; n.object != want {
		t.Errorf("name %s, want %s", n.object, want)
	}
	if got, ok := parseSnapshotName(7, n.object); !ok || got != n {
		t.Errorf("parsed %+v, %v", got, ok)
	}
	if got, ok := parseSnapshotName(7, "p00007-g0000000042.snap"); !ok || got.generation != 42 || got.next != -1 || !got.clock.IsZero() {
		t.Errorf("form 1: %+v, %v", got, ok)
	}
	for _, name := range []string{"", "p00007-", "p00007-.snap", "p00008-g1-o2-c3.snap", "p00007-g1-o2.snap", "p00007-g1-c2-o3.snap", "p00007-g1-o2-c.snap",
		"p00007-g1-o2-c3-d4.snap", "p00007-g-1-o2-c3.snap", "p00007-g1-o2-c3.snap.tmp", "p00007-g99999999999999999999-o2-c3.snap", "p00007-gx.snap", "p00007--o1-c2.snap"} {
		if n, ok := parseSnapshotName(7, name); ok {
			t.Errorf("%q parsed as %+v", name, n)
		}
	}
}

// A snapshot that another program saved is what a worker finds.
func TestSaveSnapshot(t *testing.T) {
	st := openStore(t, t.TempDir())
	want := &Snapshot{Partition: 2, Next: 5, Clock: time.UnixMilli(1_700_000_000_000).UTC(), Positions: map[telemetry.Topic]telemetry.Position{telemetry.TopicPoints: {Source: 4}},
		Body: fold.New(2).AppendTo(nil)}
	for range 2 {
		if err := SaveSnapshot(t.Context(), st, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := SnapshotBefore(t.Context(), st, 2, 5)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
