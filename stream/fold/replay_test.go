package fold

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/telemetry"
)

// script draws a journal of a few devices: frames in and out of order, damaged ones, ticks with and without gaps, changes of registry
// and rules.
func script(t *rapid.T) []telemetry.Entry {
	b := &scriptBed{t: t, now: t0}
	b.add(telemetry.KindTick, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: b.now}))
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		b.step()
	}
	return b.entries
}

type scriptBed struct {
	t       *rapid.T
	now     time.Time
	entries []telemetry.Entry
}

func (b *scriptBed) add(k telemetry.Kind, mn string, v []byte) {
	b.entries = append(b.entries, telemetry.Entry{Offset: int64(len(b.entries)), Received: b.now, Kind: k, MN: mn, Value: v})
}

func (b *scriptBed) step() {
	mn := rapid.SampledFrom([]string{"A1", "B2", "C3"}).Draw(b.t, "mn")
	switch rapid.IntRange(0, 12).Draw(b.t, "kind") {
	case 0:
		d := telemetry.Device{MN: mn, Outlet: "O" + mn, Medium: "water", MinuteInterval: rapid.SampledFrom([]int{1, 5}).Draw(b.t, "interval"), OfflineAfter: 120,
			PeriodEnd: rapid.Bool().Draw(b.t, "end"), Removed: rapid.IntRange(0, 9).Draw(b.t, "removed") == 0}
		if rapid.Bool().Draw(b.t, "scaled") {
			d.Scales = []telemetry.Scale{{Factor: "w01018", Exp: -3}}
		}
		b.add(telemetry.KindRegistry, mn, telemetry.AppendJSON(nil, &d))
	case 1:
		list := []rules.Rule{{ID: "m", Title: "m", Basis: "b", Factor: "w01018", Unit: "mg/L", Statistic: telemetry.StatMinute, High: high(50_000_000),
			EarlyWarning: 900_000, RaiseAfter: rapid.IntRange(1, 3).Draw(b.t, "after"), ClearAfter: 1, ClearBelow: telemetry.FixedOne, MinValid: 750_000},
			{ID: "h", Title: "h", Basis: "b", Factor: "w01018", Unit: "mg/L", Statistic: telemetry.StatHour, High: high(40_000_000),
				RaiseAfter: 1, ClearAfter: 1, ClearBelow: telemetry.FixedOne, MinValid: 20_000}}
		rs, err := rules.NewRuleSet("r", 1, list)
		if err != nil {
			b.t.Fatal(err)
		}
		b.add(telemetry.KindRules, "", rs.AppendJSON(nil))
	case 2:
		b.connection(mn)
	case 3, 4:
		b.packet(mn)
	case 5, 6:
		b.now = b.now.Add(time.Duration(rapid.SampledFrom([]int{1, 10, 60, 100, 3700, 90_000}).Draw(b.t, "seconds")) * time.Second)
		b.add(telemetry.KindTick, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: b.now}))
	default:
		at := b.now.Add(-time.Duration(rapid.SampledFrom([]int{0, 30, 60, 120, 3600, 7200, 90_000, -900}).Draw(b.t, "age")) * time.Second)
		cn := rapid.SampledFrom([]string{"2011", "2051", "2061", "2031", "9015"}).Draw(b.t, "cn")
		v := rapid.IntRange(0, 99).Draw(b.t, "value")
		seg := fmt.Sprintf("QN=20260301100000%03d;ST=32;CN=%s;PW=1;MN=%s;Flag=5;CP=&&DataTime=%s;w01018-Rtd=%d,w01018-Avg=%d,w01018-Flag=%s;x9-Rtd=--&&",
			rapid.IntRange(0, 5).Draw(b.t, "qn"), cn, mn, hj212.AppendTime(nil, at), v, v, rapid.SampledFrom([]string{"N", "D"}).Draw(b.t, "flag"))
		b.add(telemetry.KindFrame, mn, hj212.AppendFrame(nil, []byte(seg)))
	}
}

// connection adds what is no data: a reject, a second connection, a command and what became of it.
func (b *scriptBed) connection(mn string) {
	switch rapid.IntRange(0, 3).Draw(b.t, "event") {
	case 0:
		b.add(telemetry.KindReject, mn, []byte("##zz"))
	case 1:
		b.add(telemetry.KindSession, mn, telemetry.AppendJSON(nil, &telemetry.Session{MN: mn, Event: "second", Peer: "b", Other: "a"}))
	case 2:
		b.add(telemetry.KindCommand, mn, telemetry.AppendJSON(nil, &telemetry.Command{ID: "c", MN: mn, CN: "1012"}))
	case 3:
		b.add(telemetry.KindOutcome, mn, telemetry.AppendJSON(nil, &telemetry.Outcome{ID: "c", MN: mn, CN: "1012", Step: telemetry.StepExpired}))
	}
}

// packet adds a packet of one of a few sets.
func (b *scriptBed) packet(mn string) {
	set := rapid.IntRange(0, 3).Draw(b.t, "set")
	cp := fmt.Sprintf("w01018-Rtd=%[1]d,w01018-Avg=%[1]d", rapid.IntRange(0, 3).Draw(b.t, "value"))
	if rapid.IntRange(0, 2).Draw(b.t, "dated") == 0 {
		cp = fmt.Sprintf("DataTime=%s;%s", hj212.AppendTime(nil, b.now.Add(-time.Duration(set)*time.Minute)), cp)
	}
	seg := fmt.Sprintf("QN=2026030110000000%d;ST=32;CN=%s;PW=1;MN=%s;Flag=7;PNUM=3;PNO=%d;CP=&&%s&&", set,
		rapid.SampledFrom([]string{"2011", "2051", "2061"}).Draw(b.t, "cn"), mn, rapid.IntRange(1, 3).Draw(b.t, "pno"), cp)
	b.add(telemetry.KindFrame, mn, hj212.AppendFrame(nil, []byte(seg)))
}

func print(o telemetry.Output) string {
	return fmt.Sprintf("%s %s %d/%d %s\n", o.Topic, o.MN, o.Pos.Source, o.Pos.Ordinal, o.Value)
}

// One pass, and a pass with a snapshot written and read before every entry, must give the same bytes; positions only grow.
func TestSnapshotsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := script(t)
		var whole, cut bytes.Buffer
		a, b := New(0), New(0)
		last := map[telemetry.Topic]telemetry.Position{}
		for i := range entries {
			a.Apply(&entries[i], func(o telemetry.Output) {
				if p, ok := last[o.Topic]; ok && !o.Pos.After(p) {
					t.Fatalf("position %v after %v", o.Pos, p)
				}
				last[o.Topic] = o.Pos
				whole.WriteString(print(o))
			})
			var err error
			if b, err = Read(b.AppendTo(nil)); err != nil {
				t.Fatal(err)
			}
			b.Apply(&entries[i], func(o telemetry.Output) { cut.WriteString(print(o)) })
		}
		if whole.String() != cut.String() {
			t.Fatalf("outputs differ:\n--- one pass\n%s\n--- with snapshots\n%s", whole.String(), cut.String())
		}
		if !bytes.Equal(a.AppendTo(nil), b.AppendTo(nil)) {
			t.Fatal("states differ")
		}
	})
}

func TestReadRefusesDamage(t *testing.T) {
	b := newBed(t)
	b.minute(t0, "40")
	good := b.s.AppendTo(nil)
	for n := range good {
		if _, err := Read(good[:n]); err == nil {
			t.Fatalf("a state cut at byte %d of %d was read", n, len(good))
		}
	}
	if _, err := Read(append(good, 0)); err == nil {
		t.Error("a state with a byte too many was read")
	}
}
