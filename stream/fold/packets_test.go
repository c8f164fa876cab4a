package fold

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// packet sends packet pno of pnum under a QN ("": none); dataTime is the zero time for a packet without one.
func (b *bed) packet(qn, cn string, pnum, pno int, dataTime time.Time, cp string) {
	if !dataTime.IsZero() {
		cp = fmt.Sprintf("DataTime=%s;%s", hj212.AppendTime(nil, dataTime), cp)
	}
	if qn != "" {
		qn = "QN=" + qn + ";"
	}
	seg := fmt.Sprintf("%sST=32;CN=%s;PW=123456;MN=%s;Flag=7;PNUM=%d;PNO=%d;CP=&&%s&&", qn, cn, mn, pnum, pno, cp)
	b.apply(telemetry.KindFrame, mn, hj212.AppendFrame(nil, []byte(seg)))
}

// avg is a minute value of one factor in a CP.
func avg(code, v string) string {
	return fmt.Sprintf("%[1]s-Min=%[2]s,%[1]s-Avg=%[2]s,%[1]s-Max=%[2]s,%[1]s-Flag=N", code, v)
}

// minutes gives the minute means that came out since the last call, as "factor=avg@minutes after t0".
func (b *bed) minutes() string {
	var got []string
	for _, l := range b.points("minute") {
		var ns int64
		fields := strings.Split(l, " ")
		if _, err := fmt.Sscan(fields[2], &ns); err != nil {
			b.t.Fatal(err)
		}
		factor := l[strings.Index(l, "factor=")+7 : strings.Index(l, ",mn=")]
		got = append(got, fmt.Sprintf("%s=%s@%d", factor, fields[1][4:strings.IndexByte(fields[1], ',')], (ns-t0.UnixNano())/60_000_000_000))
	}
	return strings.Join(got, " ")
}

func (b *bed) wantMinutes(want string) {
	b.t.Helper()
	if got := b.minutes(); got != want {
		b.t.Errorf("minute means %q, want %q", got, want)
	}
}

const (
	qn1 = "20260301100105001"
	qn2 = "20260301100105002"
	qn3 = "20260301100105003"
)

func TestPacketsWithoutATimeWaitForTheirSet(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.packet(qn1, "2051", 3, 1, t0, avg("w01018", "40"))
	b.wantMinutes("w01018=40@0")
	b.packet(qn1, "2051", 3, 2, time.Time{}, avg("w21003", "2"))
	b.wantMinutes("")
	b.packet(qn1, "2051", 3, 3, time.Time{}, avg("w01001", "7"))
	out := b.out
	b.wantMinutes("w21003=2@0 w01001=7@0")
	b.out = out
	b.wantKinds()
	if sets := b.s.devices[mn].sets; len(sets) != 0 {
		t.Errorf("%d sets are kept after the last packet", len(sets))
	}
	b.wait(20 * time.Minute)
	for _, f := range b.findings() {
		if f.Kind == telemetry.FindingPackets {
			t.Errorf("a complete set: %+v", f)
		}
	}
}

func TestPacketsOutOfOrder(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.packet(qn1, "2051", 3, 3, time.Time{}, avg("w01001", "7"))
	b.packet(qn1, "2051", 3, 2, time.Time{}, avg("w21003", "2"))
	b.wantMinutes("")
	b.packet(qn1, "2051", 3, 1, t0, avg("w01018", "40"))
	b.wantMinutes("w01018=40@0 w21003=2@0 w01001=7@0")
}

// The time of a packet is the last one before it in the set, and before the first one that one.
func TestPacketsTakeTheTimeThatStandsBeforeThem(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.packet(qn1, "2051", 4, 4, time.Time{}, avg("w21003", "4"))
	b.packet(qn1, "2051", 4, 3, at(-3), avg("w01018", "3"))
	b.packet(qn1, "2051", 4, 1, time.Time{}, avg("w21003", "1"))
	b.wantMinutes("w01018=3@-3")
	b.packet(qn1, "2051", 4, 2, at(-4), avg("w01018", "2"))
	b.wantMinutes("w01018=2@-4 w21003=1@-4 w21003=4@-3")

	b.packet(qn2, "2051", 2, 1, at(-2), avg("w01018", "5")+";DataTime="+string(hj212.AppendTime(nil, at(-1)))) // the next record's head
	b.packet(qn2, "2051", 2, 2, time.Time{}, avg("w01018", "6"))
	b.wantMinutes("w01018=5@-2 w01018=6@-1")
}

func TestPacketsOfSeveralSetsInterleaved(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.packet(qn1, "2051", 2, 1, at(-1), avg("w01018", "10"))
	b.packet(qn2, "2051", 2, 1, at(-2), avg("w01018", "20"))
	b.packet(qn1, "2061", 2, 1, at(-60), "w01018-Avg=30")
	b.packet(qn2, "2051", 2, 2, time.Time{}, avg("w21003", "2"))
	b.packet(qn1, "2051", 2, 2, time.Time{}, avg("w21003", "1"))
	b.wantMinutes("w01018=10@-1 w01018=20@-2 w21003=2@-2 w21003=1@-1")
	if sets := b.s.devices[mn].sets; len(sets) != 1 || string(sets[0].cn) != "2061" {
		t.Errorf("%d sets wait, want that of 2061", len(sets))
	}
}

func TestPacketsThatComeAgain(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.packet(qn1, "2051", 3, 1, t0, avg("w01018", "40"))
	b.packet(qn1, "2051", 3, 2, time.Time{}, avg("w21003", "2"))
	b.take(0)
	b.packet(qn1, "2051", 3, 1, t0, avg("w01018", "40"))
	b.packet(qn1, "2051", 3, 2, time.Time{}, avg("w21003", "2"))
	b.wantKinds(telemetry.FindingDuplicate, telemetry.FindingDuplicate)
	b.packet(qn1, "2051", 3, 2, time.Time{}, avg("w21003", "9"))
	b.wantKinds(telemetry.FindingConflict)
	b.packet(qn1, "2051", 3, 3, time.Time{}, avg("w01001", "7"))
	b.wantMinutes("w21003=2@0 w01001=7@0")
	b.packet(qn1, "2051", 3, 3, time.Time{}, avg("w01001", "7")) // its 9014 was lost
	b.packet(qn1, "2051", 3, 1, t0, avg("w01018", "40"))
	b.wantKinds(telemetry.FindingDuplicate, telemetry.FindingDuplicate)
	// The whole set again under a new QN: the same data, and no set that waits for ever.
	b.packet(qn2, "2051", 3, 1, t0, avg("w01018", "40"))
	b.packet(qn2, "2051", 3, 2, time.Time{}, avg("w21003", "2"))
	b.packet(qn2, "2051", 3, 3, time.Time{}, avg("w01001", "7"))
	b.wantKinds(telemetry.FindingDuplicate, telemetry.FindingDuplicate)
	b.packet(qn3, "2051", 3, 1, t0, avg("w01018", "40"))
	b.take(0)
	b.wait(11 * time.Minute)
	for _, f := range b.findings() {
		if f.Kind == telemetry.FindingPackets {
			t.Errorf("a resent packet alone: %+v", f)
		}
	}
}

func (b *bed) wantIncomplete(count int64, start time.Time, detail string) {
	b.t.Helper()
	var got []telemetry.Finding
	for _, f := range b.findings() {
		if f.Kind == telemetry.FindingPackets {
			got = append(got, f)
		}
	}
	if len(got) != 1 || got[0].Count != count || got[0].Detail != detail || (got[0].Start == nil) != start.IsZero() ||
		got[0].Start != nil && !got[0].Start.Equal(start) {
		b.t.Errorf("findings %+v, want one with count %d, start %v, detail %q", got, count, start, detail)
	}
}

func TestPacketsIncompleteAreUsedAsFarAsTheirTimeIsKnown(t *testing.T) {
	b := newBed(t)
	b.packet(qn1, "2051", 6, 1, t0, avg("w01018", "40"))
	b.packet(qn1, "2051", 6, 2, time.Time{}, avg("w21003", "2"))
	b.packet(qn1, "2051", 6, 5, time.Time{}, avg("w01001", "7"))
	b.take(0)
	b.wait(9*time.Minute + 50*time.Second)
	b.wantMinutes("")
	b.wait(10 * time.Second)
	out := b.out
	b.wantMinutes("w21003=2@0")
	b.out = out
	b.wantIncomplete(3, t0, "3 of 6 packets came within 600 s; missing PNO 3-4, 6; 1 packets whose DataTime is not known for it are not counted")
}

// S17 C.49: each packet has a DataTime and a QN of its own. They are complete records; that one of them is missing is found all the same.
func TestPacketsWithATimeOfTheirOwn(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.packet(qn1, "2051", 2, 1, t0, avg("w01018", "40"))
	b.packet(qn2, "2051", 2, 2, t0, avg("w21003", "2"))
	b.wantMinutes("w01018=40@0 w21003=2@0")
	b.packet(qn3, "2051", 3, 2, at(1), avg("w01018", "41"))
	b.wantMinutes("w01018=41@1")
	b.wait(10 * time.Minute)
	b.wantIncomplete(2, at(1), "1 of 3 packets came within 600 s; missing PNO 1, 3")
}

// Records split into packets in any way, of several sets at once, in any order, with packets that come again, and with the state written and
// read in between, give what the whole records give.
func TestPacketsGiveWhatTheWholeGives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type piece struct {
			qn        string
			pnum, pno int
			at        time.Time
			cp        string
		}
		var pieces []piece
		var want []string
		for set := range rapid.IntRange(1, maxSets).Draw(rt, "sets") {
			pnum := rapid.IntRange(2, 5).Draw(rt, "pnum")
			dated := rapid.IntRange(1, pnum).Draw(rt, "dated") // this one has a DataTime in any case
			for pno := 1; pno <= pnum; pno++ {
				p := piece{qn: fmt.Sprintf("2026030110010500%d", set), pnum: pnum, pno: pno}
				if pno == dated || rapid.Bool().Draw(rt, "dated too") {
					p.at = at(-set)
				}
				var cps []string
				for range rapid.IntRange(1, 3).Draw(rt, "factors") {
					code := fmt.Sprintf("w2%d%d%02d", set, pno, len(cps))
					cps = append(cps, avg(code, "1"))
					want = append(want, fmt.Sprintf("%s=1@%d", code, -set))
				}
				p.cp = strings.Join(cps, ";")
				pieces = append(pieces, p)
			}
		}
		order := rapid.Permutation(pieces).Draw(rt, "order")
		b := newBed(t)
		b.take(0)
		for i, p := range order {
			if i > 0 && rapid.IntRange(0, 3).Draw(rt, "again") == 0 {
				q := order[rapid.IntRange(0, i-1).Draw(rt, "which")]
				b.packet(q.qn, "2051", q.pnum, q.pno, q.at, q.cp)
			}
			if rapid.IntRange(0, 3).Draw(rt, "restart") == 0 {
				s, err := Read(b.s.AppendTo(nil))
				if err != nil {
					rt.Fatal(err)
				}
				b.s = s
			}
			b.packet(p.qn, "2051", p.pnum, p.pno, p.at, p.cp)
		}
		out := b.out
		got := strings.Fields(b.minutes())
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			rt.Fatalf("means %q, want %q", got, want)
		}
		b.out = out
		for _, f := range b.findings() {
			if f.Kind != telemetry.FindingUnknownCode && f.Kind != telemetry.FindingDuplicate {
				rt.Fatalf("finding %+v", f)
			}
		}
	})
}

func TestPacketsWithoutQN(t *testing.T) {
	b := newBed(t)
	b.take(0)
	for i := range 2 {
		b.packet("", "2011", 2, 1, at(-i), "w01018-Rtd=4")
		b.packet("", "2011", 2, 2, time.Time{}, "w21003-Rtd=2") // the same bytes for another time
	}
	n := 0
	for _, l := range b.take(telemetry.TopicPoints) {
		if strings.HasPrefix(l, "instant,factor=w21003") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d values of the second packets, want 2", n)
	}
}

// A device whose QN stands still: a set is told from the one before by its content.
func TestPacketsUnderTheSameQN(t *testing.T) {
	b := newBed(t)
	b.take(0)
	for i := range 3 {
		b.packet(qn1, "2051", 2, 1, at(-i), avg("w01018", "4"))
		b.packet(qn1, "2051", 2, 2, time.Time{}, avg("w21003", "2"))
	}
	b.wantMinutes("w01018=4@0 w21003=2@0 w01018=4@-1 w21003=2@-1 w01018=4@-2 w21003=2@-2")
}

func TestPacketsOfNoTimeAtAll(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.packet(qn1, "2051", 2, 1, time.Time{}, avg("w01018", "40"))
	b.packet(qn1, "2051", 2, 2, time.Time{}, avg("w21003", "2"))
	b.wantKinds(telemetry.FindingBadTime)
}

func TestPacketsAreBounded(t *testing.T) {
	b := newBed(t)
	d := b.s.devices[mn]
	b.take(0)
	for i := range maxSets + 1 {
		b.packet(fmt.Sprintf("202603011000000%02d", i), "2051", 9, 2, time.Time{}, avg("w21003", "2"))
	}
	b.wantIncomplete(8, time.Time{}, "1 of 9 packets came before there were more than 8 sets; missing PNO 1, 3-9; 1 packets whose DataTime is not known for it are not counted")
	if len(d.sets) != maxSets {
		t.Errorf("%d sets are kept, want %d", len(d.sets), maxSets)
	}
	b.packet(qn1, "2051", 65, 2, time.Time{}, avg("w21003", "2"))
	b.packet(qn2, "2051", 65, 3, time.Time{}, avg("w21003", "2"))
	b.wantKinds(telemetry.FindingPackets) // once a day
	for i := range 20 {
		b.packet(qn3, "2051", 64, i+2, time.Time{}, strings.Repeat(fmt.Sprintf("w%05d-Avg=1;", i), 600))
		if held := d.heldBytes(); held > maxHeld {
			t.Fatalf("%d bytes are held, bound %d", held, maxHeld)
		}
	}
	for i := range maxDone {
		qn := fmt.Sprintf("202603011100000%02d", i)
		b.packet(qn, "2051", 2, 1, at(-i), avg("w01018", "1"))
		b.packet(qn, "2051", 2, 2, time.Time{}, avg("w21003", "1"))
	}
	if len(d.done) != maxDone {
		t.Errorf("%d packets of complete sets are remembered, want %d", len(d.done), maxDone)
	}
}

func TestPacketsOfARemovedDeviceAreForgotten(t *testing.T) {
	b := newBed(t)
	b.packet(qn1, "2051", 2, 1, t0, avg("w01018", "40"))
	b.register(mn, func(d *telemetry.Device) { d.Removed = true })
	b.take(0)
	b.wait(11 * time.Minute)
	b.wantKinds()
	if n := len(b.s.devices[mn].sets); n != 0 {
		t.Errorf("%d sets are kept", n)
	}
}
