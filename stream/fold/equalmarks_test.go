package fold

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"outfall/telemetry"
)

// TestOutputsStayEqual for journals with marks: of their own digests, so that those of journals without marks stay what they were.
func TestOutputsWithMarksStayEqual(t *testing.T) {
	path := filepath.Join("testdata", "equal_marks.txt")
	recorded, err := os.ReadFile(path)
	if err != nil && !*updateEqual {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(recorded)), "\n")
	seeds := *equalSeeds / 2
	if testing.Short() || raceDetector {
		seeds = 2
	}
	got := make([]string, seeds)
	t.Run("seeds", func(t *testing.T) {
		for seed := range got {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				got[seed] = foldMarked(t, uint64(seed))
				if !*updateEqual && (seed >= len(want) || got[seed] != want[seed]) {
					t.Errorf("other outputs than recorded: %s", got[seed])
				}
			})
		}
	})
	if *updateEqual {
		if err := os.WriteFile(path, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// foldMarked folds the random journal of a seed with marks and actions in it, as foldRandom does.
func foldMarked(t *testing.T, seed uint64) string {
	whole, cut := sha256.New(), sha256.New()
	outputs, withdrawn := 0, 0
	s, again := New(0), New(0)
	j := &markedJournal{randomJournal: newRandomJournal(1000 + seed), ids: map[string][]string{}}
	for i := range 3000 {
		for _, e := range j.next() {
			s.Apply(&e, func(o telemetry.Output) {
				outputs++
				hashOutput(whole, &o)
				j.see(&o)
				if outputs%37 == 0 { // its expressions are slow
					checkOutput(t, o)
				}
				if o.Topic == telemetry.TopicAlarms && bytes.Contains(o.Value, []byte(`"withdrawn"`)) {
					withdrawn++
				}
			})
			again.Apply(&e, func(o telemetry.Output) { hashOutput(cut, &o) })
		}
		if i%97 != 0 {
			continue
		}
		again = readBack(t, i, s, again)
	}
	if a, b := whole.Sum(nil), cut.Sum(nil); !bytes.Equal(a, b) {
		t.Fatal("snapshots change outputs")
	}
	return fmt.Sprintf("%d entries %d outputs %d withdrawn %d %x", seed, j.offset, outputs, withdrawn, whole.Sum(nil)[:16])
}

// A markedJournal is a randomJournal whose people declare states, take them back, and act on the alarms that they see.
type markedJournal struct {
	*randomJournal
	ids    map[string][]string // of marks, by MN
	alarms []string            // MN and id of some alarms
	n      int
}

func (j *markedJournal) see(o *telemetry.Output) {
	if o.Topic == telemetry.TopicAlarms && j.offset%7 == 0 {
		_, id, _ := strings.Cut(string(o.Value), `"id":"`)
		j.alarms = append(j.alarms, o.MN+" "+id[:16])
	}
}

func (j *markedJournal) next() []telemetry.Entry {
	switch p := j.r.IntN(80); {
	case p < 2:
		j.mark(j.mns[j.r.IntN(len(j.mns))])
	case p == 2 && len(j.alarms) > 0:
		j.act()
	}
	return j.randomJournal.next()
}

func (j *markedJournal) act() {
	j.n++
	mn, id, _ := strings.Cut(j.alarms[max(0, len(j.alarms)-1-j.r.IntN(20))], " ")
	a := telemetry.Action{V: telemetry.ActionVersion, ID: fmt.Sprintf("a%d", j.n), Verb: []telemetry.Verb{telemetry.VerbAck, telemetry.VerbExplain, telemetry.VerbClose}[j.r.IntN(3)],
		MN: mn, Alarms: []string{id}, Who: "li", When: j.now, Text: "说明"}
	j.add(telemetry.KindAction, mn, telemetry.AppendJSON(nil, &a))
}

func (j *markedJournal) mark(mn string) {
	j.n++
	kinds := telemetry.MarkKinds()
	from := j.now.Add(-time.Duration(j.r.IntN([]int{100, 600, 6000, 60_000}[j.r.IntN(4)])) * time.Minute).Truncate(time.Minute)
	m := telemetry.Mark{V: telemetry.MarkVersion, ID: fmt.Sprintf("m%d", j.n), MN: mn, Kind: kinds[j.r.IntN(len(kinds))], From: from, Who: "li", When: j.now, Auto: j.r.IntN(4) == 0}
	if j.r.IntN(6) > 0 {
		to := from.Add(time.Duration(1+j.r.IntN([]int{20, 90, 900, 4000}[j.r.IntN(4)])) * time.Minute)
		if j.r.IntN(2) == 0 {
			m.From, to = from.Truncate(time.Hour), to.Truncate(time.Hour).Add(time.Hour)
		}
		m.To = &to
	}
	if j.r.IntN(4) == 0 {
		m.Factors = []string{equalCodes[j.r.IntN(3)]}
	}
	if j.r.IntN(3) == 0 {
		m.Unit = "1#"
	}
	if old := j.ids[mn]; len(old) > 0 && j.r.IntN(2) == 0 {
		m.Replaces = old[j.r.IntN(len(old))]
		m.Revoked = j.r.IntN(3) > 0
	}
	j.ids[mn] = append(j.ids[mn], m.ID)
	j.add(telemetry.KindMark, mn, telemetry.AppendJSON(nil, &m))
}

// Marks that are all revoked leave the windows as a journal without them has them: what they took out of hours and days is in again. Only of
// hours that a mark covered in part, and whose minutes were no longer held, is that not promised, so here marks cover whole hours.
func TestRevokedMarksLeaveNothing(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 6))
		with, without := newBed(t), newBed(t)
		each := func(fn func(*bed)) { fn(with); fn(without) }
		held := []string{}
		for m := 0; m < 30*60; m++ {
			v := fmt.Sprintf("%d.%d", 20+r.IntN(60), r.IntN(10))
			if r.IntN(400) == 0 {
				v = "9199999999999.5" // the wide form
			}
			each(func(b *bed) {
				b.now = at(m + 1)
				b.tick()
				b.minute(at(m), v)
			})
			if r.IntN(70) == 0 {
				id := fmt.Sprint("m", m)
				from := (m/60 - r.IntN(20)) * 60
				with.mark(id, []telemetry.MarkKind{telemetry.MarkMaintenance, telemetry.MarkStopped}[r.IntN(2)], from, from+60*(1+r.IntN(5)), nil)
				held = append(held, id)
			}
			if len(held) > 0 && r.IntN(90) == 0 {
				k := r.IntN(len(held))
				with.revoke(fmt.Sprint("r", m), held[k])
				held = slices.Delete(held, k, k+1)
			}
		}
		for i, id := range held {
			with.revoke(fmt.Sprint("last", i), id)
		}
		each(func(b *bed) { b.wait(2 * time.Minute) })
		a, b := with.s.devices[mn], without.s.devices[mn]
		if n := len(a.marks.taken); n > 0 {
			t.Fatalf("seed %d: %d values are still taken out", seed, n)
		}
		for h := a.nextHour - 75; h <= a.nextHour; h++ {
			x, _ := a.hist(&a.series[0]).Hour(h)
			y, _ := b.hist(&b.series[0]).Hour(h)
			if x != y {
				t.Fatalf("seed %d: hour %d holds %+v, want %+v", seed, h, x, y)
			}
			p, _ := a.hist(&a.series[0]).Day(dayOf(h * 60))
			q, _ := b.hist(&b.series[0]).Day(dayOf(h * 60))
			if p != q {
				t.Fatalf("seed %d: the day of hour %d holds %+v, want %+v", seed, h, p, q)
			}
		}
		if x, y := a.hist(&a.series[0]).RollingHour(a.series[0].lastSlot, 60), b.hist(&b.series[0]).RollingHour(a.series[0].lastSlot, 60); x != y {
			t.Fatalf("seed %d: the rolling hour is %+v, want %+v", seed, x, y)
		}
	}
}
