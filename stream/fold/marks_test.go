package fold

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outfall/rules"
	"outfall/telemetry"
)

// mark declares a state of [from, to), minutes after t0; to 0 leaves it open.
func (b *bed) mark(id string, kind telemetry.MarkKind, from, to int, change func(*telemetry.Mark)) {
	m := telemetry.Mark{V: telemetry.MarkVersion, ID: id, MN: mn, Kind: kind, From: at(from), Who: "li", When: b.now, Proof: "p1"}
	if to != 0 {
		end := at(to)
		m.To = &end
	}
	if change != nil {
		change(&m)
	}
	if err := m.Validate(); err != nil {
		b.t.Fatal(err)
	}
	b.apply(telemetry.KindMark, mn, telemetry.AppendJSON(nil, &m))
}

func (b *bed) revoke(id, old string) {
	b.mark(id, telemetry.MarkNormal, 0, 1, func(m *telemetry.Mark) { m.Replaces, m.Revoked = old, true })
}

// live lets minutes [from, to) after t0 pass, each with a COD record of the value that v gives, or none.
func (b *bed) live(from, to int, v func(minute int) string) {
	for m := from; m < to; m++ {
		b.now = at(m + 1)
		b.tick()
		if text := v(m); text != "" {
			b.minute(at(m), text)
		}
	}
	b.wait(10 * time.Second)
}

func always(v string) func(int) string { return func(int) string { return v } }

// means are the newest line of every window of a statistic that came out since the last look, as "avg/count valid marks @minute", in the order
// of their windows.
func (b *bed) means(stat string) string {
	byTime, order := map[string]string{}, []string{}
	for _, l := range b.points(stat) {
		name, rest, _ := strings.Cut(l, " ")
		fields, stamp, _ := strings.Cut(rest, " 17")
		if !strings.HasPrefix(name, "mean,") {
			continue
		}
		var ns int64
		fmt.Sscan("17"+stamp, &ns)
		get := func(key string) string {
			for _, f := range strings.Split(fields, ",") {
				if v, ok := strings.CutPrefix(f, key+"="); ok {
					return strings.Trim(strings.TrimSuffix(v, "i"), `"`)
				}
			}
			return "-"
		}
		key := fmt.Sprint("@", (ns-t0.UnixNano())/60_000_000_000)
		if byTime[key] == "" {
			order = append(order, key)
		}
		byTime[key] = fmt.Sprintf("%s/%s rev%s %s %s %s", get("avg"), get("count"), get("rev"), get("valid"), get("marks"), key)
	}
	var got []string
	for _, k := range order {
		got = append(got, byTime[k])
	}
	return strings.Join(got, "; ")
}

func (b *bed) wantMeans(stat, want string) {
	b.t.Helper()
	out := b.out
	if got := b.means(stat); got != want {
		b.t.Errorf("%s means:\n got %s\nwant %s", stat, got, want)
	}
	b.out = out
}

// wantFound wants findings of marks, as "kind count clause confidence".
func (b *bed) wantFound(want string) {
	b.t.Helper()
	out := b.out
	var got []string
	for _, f := range b.findings() {
		if strings.HasPrefix(string(f.Kind), "mark") || f.Kind == telemetry.FindingAction {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %d %s %s", f.Kind, f.Count, f.Mark, f.Confidence)))
		}
	}
	b.out = out
	if got := strings.Join(got, "; "); got != want {
		b.t.Errorf("findings:\n got %s\nwant %s", got, want)
	}
}

func hourBed(t *testing.T) *bed {
	b := newBed(t)
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000)})
	return b
}

func TestAMarkBeforeItsHour(t *testing.T) {
	b := hourBed(t)
	b.mark("m1", telemetry.MarkMaintenance, 60, 120, nil)
	b.live(0, 125, always("70"))
	b.wantMeans("hour", "70/60 rev0 - - @0; -/0 rev0 false m1 @60")
	b.wantLife("raised exceed 70 @0")
}

func TestAMarkOfAnHourThatExceeded(t *testing.T) {
	for _, kind := range []telemetry.MarkKind{telemetry.MarkMaintenance, telemetry.MarkStopped} {
		t.Run(string(kind), func(t *testing.T) {
			b := hourBed(t)
			b.live(0, 70, always("70"))
			b.wantMeans("hour", "70/60 rev0 - - @0")
			id := b.alarms()[0].ID
			b.mark("m1", kind, 0, 60, nil)
			if kind == telemetry.MarkMaintenance {
				b.wantMeans("hour", "-/0 rev1 false m1 @0")
			} else {
				b.wantMeans("hour", "70/60 rev1 false m1 @0")
			}
			events := b.alarms()
			if len(events) != 1 || events[0].State != telemetry.AlarmWithdrawn || events[0].ID != id || events[0].Mark != "m1" || events[0].Reason != kind.Name() || events[0].ClearedAt == nil {
				t.Fatalf("events %+v", events)
			}
			if n := b.s.Stats().OpenAlarms; n != 0 {
				t.Errorf("%d alarms open", n)
			}
			b.revoke("m2", "m1")
			b.wantMeans("hour", "70/60 rev2 true  @0")
			events = b.alarms()
			if len(events) != 1 || events[0].State != telemetry.AlarmRaised || events[0].ID != id || events[0].Mark != "m2" || events[0].Reason != "mark m1 revoked" || events[0].ClearedAt != nil {
				t.Fatalf("events %+v", events)
			}
			if n := b.s.Stats().OpenAlarms; n != 1 {
				t.Errorf("%d alarms open", n)
			}
			b.live(70, 125, always("20"))
			b.wantMeans("hour", "28.333333/60 rev0 - - @60")
			b.wantLife("cleared exceed 70 @0")
		})
	}
}

// Of an hour whose minutes are held, a mark takes out its minutes and no others, extremes included.
func TestAMarkOfAPartOfAnHour(t *testing.T) {
	b := hourBed(t)
	b.live(0, 70, func(m int) string {
		if m >= 20 && m < 30 {
			return "400" // a calibration that nobody flagged
		}
		return "40"
	})
	b.wantMeans("hour", "100/60 rev0 - - @0")
	b.take(0)
	b.mark("m1", telemetry.MarkMaintenance, 20, 30, nil)
	b.wantMeans("hour", "40/50 rev1 true m1 @0")
	for _, l := range b.points("hour") {
		if strings.HasPrefix(l, "mean") && !strings.Contains(l, "max=40,") {
			t.Errorf("the calibration's maximum is left: %s", l)
		}
	}
}

func TestAMarkThatLeavesTooLittleOfAnHour(t *testing.T) {
	b := hourBed(t)
	b.live(0, 70, always("70"))
	b.take(0)
	b.mark("m1", telemetry.MarkMaintenance, 0, 20, nil)
	b.wantMeans("hour", "70/40 rev1 false m1 @0")
	b.wantLife("withdrawn exceed 70 @0")
}

// An alarm of several hours stands on its first one: without it, another alarm begins later.
func TestAMarkOfTheFirstOfSeveralHours(t *testing.T) {
	b := hourBed(t)
	b.live(0, 60, always("90"))
	b.live(60, 190, always("70"))
	b.wantLife("raised exceed 90 @0")
	b.mark("m1", telemetry.MarkStartUp, 0, 60, nil)
	b.wantLife("withdrawn exceed 90 @0; raised exceed 70 @60")
	b.live(190, 245, always("20"))
	b.wantLife("cleared exceed 70 @60")
	b.revoke("m2", "m1")
	b.wantLife("withdrawn exceed 70 @60; raised exceed 90 @0; cleared exceed 90 @0")
}

// The worst hour goes, the alarm stays.
func TestAMarkOfTheWorstHour(t *testing.T) {
	b := hourBed(t)
	b.live(0, 60, always("60"))
	b.live(60, 120, always("90"))
	b.live(120, 190, always("70"))
	b.wantLife("raised exceed 60 @0; updated exceed 90 @60")
	b.mark("m1", telemetry.MarkFault, 60, 120, nil)
	b.wantLife("updated exceed 70 @120")
	if n := b.s.Stats().OpenAlarms; n != 1 {
		t.Errorf("%d alarms open", n)
	}
}

func TestAMarkOfAnAlarmThatIsOver(t *testing.T) {
	b := hourBed(t)
	b.live(0, 60, always("70"))
	b.live(60, 130, always("20"))
	b.wantLife("raised exceed 70 @0; cleared exceed 70 @0")
	b.mark("m1", telemetry.MarkStopped, 0, 60, nil)
	b.wantLife("withdrawn exceed 70 @0")
	b.revoke("m2", "m1")
	b.wantLife("raised exceed 70 @0; cleared exceed 70 @0")
}

// Minutes that are no longer held cannot be taken out of their hour one by one; a whole hour can.
func TestAMarkBehindTheMinutes(t *testing.T) {
	b := hourBed(t)
	b.live(0, 60, always("70"))
	b.live(60, 310, always("20"))
	b.take(0)
	b.mark("part", telemetry.MarkMaintenance, 0, 30, nil)
	b.wantFound("mark_beyond 1 part")
	b.wantMeans("hour", "70/60 rev1 false part @0")
	b.wantLife("withdrawn exceed 70 @0")
	b.mark("whole", telemetry.MarkMaintenance, 0, 60, func(m *telemetry.Mark) { m.Replaces = "part" })
	b.wantFound("")
	b.wantMeans("hour", "-/0 rev2 false whole @0")
	b.revoke("m2", "whole")
	b.wantMeans("hour", "70/60 rev3 true  @0")
	b.wantLife("raised exceed 70 @0; cleared exceed 70 @0")
}

// What is older than all rings stands or falls by how much of its window the mark leaves.
func TestAMarkBehindTheHours(t *testing.T) {
	b := hourBed(t)
	b.live(0, 60, always("70"))
	b.live(60, 130, always("20"))
	for m := 130; m < 80*60; m += 60 {
		b.live(m, m+1, always("20"))
	}
	b.take(0)
	b.mark("m1", telemetry.MarkMaintenance, 0, 60, nil)
	b.wantFound("mark_beyond 1 m1")
	b.wantMeans("hour", "")
	b.wantLife("withdrawn exceed 70 @0")
	b.revoke("m2", "m1")
	b.wantLife("raised exceed 70 @0; cleared exceed 70 @0")
}

func TestAMarkOfMinutesAndRollingMeans(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "m", Statistic: telemetry.StatMinute, High: high(50_000_000)},
		rules.Rule{ID: "r", Statistic: telemetry.StatRolling1, High: high(50_000_000), MinValid: 500_000},
		rules.Rule{ID: "i", Statistic: telemetry.StatInstant, High: high(50_000_000)})
	b.live(0, 60, always("40"))
	b.frame("2011", at(61), "w01018-Rtd=200,w01018-Flag=N")
	b.live(60, 65, always("400"))
	b.wantLife("raised exceed 200 @61; raised exceed 400 @60; raised exceed 52 @2; updated exceed 58 @3; updated exceed 64 @4; updated exceed 70 @5")
	b.mark("m1", telemetry.MarkMaintenance, 60, 65, nil)
	out := b.out
	b.wantLife("withdrawn exceed 400 @60; withdrawn exceed 70 @5; withdrawn exceed 200 @61")
	b.out = out
	b.wantMeans("rolling_1h", "40/59 rev2 true m1 @61; 40/58 rev2 true m1 @62; 40/57 rev2 true m1 @63; 40/56 rev2 true m1 @64; 40/55 rev2 true m1 @65")
	b.live(65, 66, always("40"))
	b.wantMeans("minute", "400/1 rev1 false m1 @60; 400/1 rev1 false m1 @61; 400/1 rev1 false m1 @62; 400/1 rev1 false m1 @63; 400/1 rev1 false m1 @64; 40/1 rev0 - - @65")
	b.take(0)
	b.revoke("m2", "m1")
	// Alarms of real-time values and rolling means come back as over; what still exceeds is raised anew.
	b.wantLife("raised exceed 400 @60; cleared exceed 400 @60; raised exceed 70 @5; cleared exceed 70 @5; raised exceed 200 @61; cleared exceed 200 @61; raised exceed 70 @6")
}

func TestADayIsUnjudgedWhenAllOfItIsMarked(t *testing.T) {
	for _, tt := range []struct {
		hours int
		want  string
	}{{23, ""}, {24, "withdrawn exceed 70 @840"}} {
		b := newBed(t)
		b.rules(rules.Rule{ID: "d", Statistic: telemetry.StatDay, High: high(50_000_000), MinValid: 1})
		day := 14 * 60 // the next midnight of UTC+8
		for m := day; m < day+24*60+30; m += 10 {
			b.live(m, m+1, always("70"))
		}
		b.wantLife("raised exceed 70 @840")
		b.mark("m1", telemetry.MarkStopped, day, day+tt.hours*60, nil)
		b.wantLife(tt.want)
	}
}

// The data of a mark for one factor are those of that factor.
func TestAMarkOfOneFactor(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "cod", Statistic: telemetry.StatHour, High: high(50_000_000)}, rules.Rule{ID: "nh3", Factor: "w21003", Statistic: telemetry.StatHour, High: high(5_000_000)})
	for m := range 70 {
		b.now = at(m + 1)
		b.tick()
		b.frame("2051", at(m), "w01018-Avg=70,w01018-Flag=N;w21003-Avg=9,w21003-Flag=N")
	}
	b.wait(10 * time.Second)
	b.wantLife("raised exceed 70 @0; raised exceed 9 @0")
	b.mark("m1", telemetry.MarkMaintenance, 0, 60, func(m *telemetry.Mark) { m.Factors = []string{"w21003"} })
	b.wantLife("withdrawn exceed 9 @0")
}

// A rule's own list takes the place of the table: particulates stay limited while a furnace starts.
func TestARuleThatNamesItsMarks(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "all", Statistic: telemetry.StatHour, High: high(50_000_000)},
		rules.Rule{ID: "stopped", Statistic: telemetry.StatHour, High: high(60_000_000), ExcludeMarks: []string{"停运", "treatment"}})
	b.live(0, 70, always("70"))
	b.take(0)
	b.mark("m1", telemetry.MarkStartUp, 0, 60, nil)
	if got := b.alarms(); len(got) != 1 || got[0].State != telemetry.AlarmWithdrawn || got[0].Rule != "all" {
		t.Fatalf("events %+v", got)
	}
	b.mark("m2", telemetry.MarkTreatment, 0, 60, nil)
	if got := b.alarms(); len(got) != 1 || got[0].State != telemetry.AlarmWithdrawn || got[0].Rule != "stopped" {
		t.Fatalf("events %+v", got)
	}
}

func TestTermsOfMarks(t *testing.T) {
	b := hourBed(t)
	b.mark("short", telemetry.MarkMaintenance, 0, 14, func(m *telemetry.Mark) { m.Auto = true })
	b.wantFound("mark_refused 1 short single")
	b.take(0)
	b.mark("long", telemetry.MarkStartUp, 0, 7*60, nil)
	b.wantFound("mark_long 7 long confirmed")
	b.take(0)
	b.mark("long", telemetry.MarkStartUp, 0, 60, nil)
	b.wantFound("mark_refused 1 long")
	b.take(0)
	b.revoke("none", "unknown")
	b.wantFound("mark_refused 1 none")
	b.take(0)
	b.mark("late", telemetry.MarkStopped, -11*24*60, 0, nil)
	b.wantFound("mark_late 1 late single")
	b.take(0)
	b.mark("bare", telemetry.MarkMaintenance, 0, 60, func(m *telemetry.Mark) { m.Proof = "" })
	b.now = time.Date(2026, 4, 10, 15, 59, 0, 0, time.UTC)
	b.tick()
	b.wantFound("")
	b.now = b.now.Add(3 * time.Minute)
	b.tick()
	b.wantFound("mark_late 1 bare single")
}

// 60 h a year of start-up, shut-down, fault and accident, found at 80 % and when they are used up; marks that overlap count once, and a unit
// that is no furnace has no such budget.
func TestBudgetsOfMarks(t *testing.T) {
	b := hourBed(t)
	unit := func(name string) func(*telemetry.Mark) { return func(m *telemetry.Mark) { m.Unit = name } }
	h := 60
	b.now = at(200 * h)
	b.tick()
	b.take(0)
	b.mark("f1", telemetry.MarkFault, 0, 47*h, unit("1#"))
	b.mark("f2", telemetry.MarkFault, 10*h, 47*h, unit("1#"))
	b.mark("o1", telemetry.MarkFault, 0, 100*h, unit("boiler"))
	b.wantFound("")
	b.mark("s1", telemetry.MarkStartUp, 50*h, 51*h, unit("1#"))
	b.wantFound("mark_budget 48  confirmed")
	b.take(0)
	b.mark("a1", telemetry.MarkAccident, 60*h, 0, unit("1#"))
	b.wantFound("mark_budget 188  confirmed")
	b.take(0)
	b.mark("a2", telemetry.MarkAccident, 60*h, 61*h, func(m *telemetry.Mark) { m.Unit, m.Replaces = "1#", "a1" })
	b.wantFound("")
	// Marks that are no longer kept have used up what they have.
	b.now = b.now.Add(60 * 24 * time.Hour)
	b.tick()
	if ms := b.s.devices[mn].marks; len(ms.list) != 0 || ms.budgets[0].settled != 49*hourMs {
		t.Errorf("%d marks, budgets %+v", len(ms.list), ms.budgets)
	}
}

// Minutes that a mark takes away are no windows any more; the alarm that stood on them is gone with them, though those around them are held.
func TestAMarkOfMinutesAmongOthers(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "m", Statistic: telemetry.StatMinute, High: high(50_000_000), RaiseAfter: 2})
	b.live(0, 40, func(m int) string {
		if m >= 20 && m < 24 {
			return "70"
		}
		return "20"
	})
	b.wantLife("raised exceed 70 @21; cleared exceed 70 @21")
	b.mark("m1", telemetry.MarkMaintenance, 18, 30, nil)
	b.wantLife("withdrawn exceed 70 @21")
	b.mark("m2", telemetry.MarkMaintenance, 18, 21, func(m *telemetry.Mark) { m.Replaces = "m1" })
	b.wantLife("raised exceed 70 @22; cleared exceed 70 @22") // one minute fewer stands behind it
	b.revoke("m3", "m2")
	b.wantLife("withdrawn exceed 70 @22; raised exceed 70 @21; cleared exceed 70 @21")
}
