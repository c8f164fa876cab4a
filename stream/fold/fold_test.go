package fold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/telemetry"
)

const mn = "010000A8900016F000169DC0"

// t0 is 2026-03-01 10:00:00 UTC+8, an hour's start.
var t0 = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// A bed drives a state with entries and collects what comes out.
type bed struct {
	t      testing.TB
	s      *State
	offset int64
	now    time.Time // receipt of the next entry
	qn     int
	out    []telemetry.Output
}

func newBed(t testing.TB) *bed {
	b := &bed{t: t, s: New(0), now: t0}
	b.tick()
	b.register(mn, func(*telemetry.Device) {})
	return b
}

func (b *bed) apply(kind telemetry.Kind, mn string, value []byte) {
	e := telemetry.Entry{Offset: b.offset, Received: b.now, Kind: kind, MN: mn, Value: value}
	b.offset++
	b.s.Apply(&e, func(o telemetry.Output) {
		o.Value = bytes.Clone(o.Value) // it is good until emit returns
		b.out = append(b.out, o)
	})
}

func (b *bed) register(mn string, change func(*telemetry.Device)) {
	d := telemetry.Device{MN: mn, Outlet: "W01", Medium: "water", MinuteInterval: 1, RealtimeInterval: 30, OfflineAfter: 300}
	change(&d)
	b.apply(telemetry.KindRegistry, mn, telemetry.AppendJSON(nil, &d))
}

func (b *bed) rules(list ...rules.Rule) {
	for i := range list {
		r := &list[i]
		r.Title, r.Basis, r.Unit, r.ClearBelow = r.ID, "GB 8978-1996 表4", "mg/L", telemetry.FixedOne
		if r.Factor == "" {
			r.Factor = "w01018"
		}
		if r.MinValid == 0 {
			r.MinValid = rules.DefaultMinValid(r.Statistic)
		}
		r.RaiseAfter, r.ClearAfter = max(r.RaiseAfter, 1), max(r.ClearAfter, 1)
	}
	rs, err := rules.NewRuleSet("test", 1, list)
	if err != nil {
		b.t.Fatal(err)
	}
	b.apply(telemetry.KindRules, "", rs.AppendJSON(nil))
}

func (b *bed) tick() {
	b.apply(telemetry.KindTick, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: b.now}))
}

// wait moves the clock by ticks of ten seconds.
func (b *bed) wait(d time.Duration) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(10 * time.Second)
		b.tick()
	}
}

// frame sends a data frame of the device: cn and the CP after DataTime.
func (b *bed) frame(cn string, at time.Time, cp string) {
	b.qn++
	seg := fmt.Sprintf("QN=%s%03d;ST=32;CN=%s;PW=123456;MN=%s;Flag=5;CP=&&DataTime=%s;%s&&",
		hj212.AppendTime(nil, b.now), b.qn%1000, cn, mn, hj212.AppendTime(nil, at), cp)
	b.apply(telemetry.KindFrame, mn, hj212.AppendFrame(nil, []byte(seg)))
}

// minute sends one COD minute record.
func (b *bed) minute(at time.Time, avg string) {
	b.frame("2051", at, fmt.Sprintf("w01018-Min=%s,w01018-Avg=%s,w01018-Max=%s,w01018-Flag=N", avg, avg, avg))
}

// take empties what came out and gives the topic's values.
func (b *bed) take(topic telemetry.Topic) []string {
	var got []string
	for _, o := range b.out {
		if o.Topic == topic {
			got = append(got, strings.Split(string(o.Value), "\n")...)
		}
	}
	b.out = nil
	return got
}

// points are the lines of one measurement and, if not empty, stat.
func (b *bed) points(stat string) []string {
	var got []string
	for _, l := range b.take(telemetry.TopicPoints) {
		if strings.Contains(l, ",stat="+stat+" ") {
			got = append(got, l)
		}
	}
	return got
}

func (b *bed) alarms() []telemetry.Alarm {
	var got []telemetry.Alarm
	for _, v := range b.take(telemetry.TopicAlarms) {
		var a telemetry.Alarm
		if err := json.Unmarshal([]byte(v), &a); err != nil {
			b.t.Fatal(err)
		}
		got = append(got, a)
	}
	return got
}

func (b *bed) findings() []telemetry.Finding {
	var got []telemetry.Finding
	for _, v := range b.take(telemetry.TopicFindings) {
		var f telemetry.Finding
		if err := json.Unmarshal([]byte(v), &f); err != nil {
			b.t.Fatal(err)
		}
		got = append(got, f)
	}
	return got
}

func (b *bed) wantKinds(want ...telemetry.FindingKind) {
	b.t.Helper()
	var got []telemetry.FindingKind
	for _, f := range b.findings() {
		got = append(got, f.Kind)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("findings %v, want %v", got, want)
	}
}

func high(f telemetry.Fixed) *telemetry.Fixed { return &f }

func wantOne(t *testing.T, got []string, parts ...string) {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("%d lines, want one with %q:\n%s", len(got), parts, strings.Join(got, "\n"))
	}
	for _, p := range parts {
		if !strings.Contains(got[0], p) {
			t.Errorf("line %q lacks %q", got[0], p)
		}
	}
}

func TestHourMeanAndLateCorrection(t *testing.T) {
	b := newBed(t)
	for m := 0; m < 60; m++ {
		b.now = t0.Add(time.Duration(m)*time.Minute + 65*time.Second)
		b.tick()
		if m != 30 {
			b.minute(t0.Add(time.Duration(m)*time.Minute), "40")
		}
	}
	b.take(0)
	b.wait(2 * time.Minute)
	at := fmt.Sprint(t0.UnixNano())
	wantOne(t, b.points("hour"), "mean,factor=w01018,mn="+mn+",outlet=W01,stat=hour avg=40,min=40,max=40,count=59i,due=60i,rev=0i "+at)
	b.minute(t0.Add(30*time.Minute), "100")
	wantOne(t, b.points("minute"), "avg=100", "rev=0i")
	b.wait(10 * time.Second)
	wantOne(t, b.points("hour"), "avg=41,min=40,max=100,count=60i,due=60i,rev=1i "+at)
}

func TestRollingMeansFollowEveryMinute(t *testing.T) {
	b := newBed(t)
	b.minute(t0, "1")
	b.minute(t0.Add(time.Minute), "2")
	b.take(0)
	b.minute(t0.Add(2*time.Minute), "6")
	end := fmt.Sprint(t0.Add(3 * time.Minute).UnixNano())
	out := b.out
	wantOne(t, b.points("rolling_1h"), "avg=3,min=1,max=6,count=3i,due=60i", end)
	b.out = out
	wantOne(t, b.points("rolling_24h"), "avg=3,", "start="+fmt.Sprint(t0.Add(-23*time.Hour).Unix()), end)
}

func TestRealTimeFillsAMinuteWithoutRecord(t *testing.T) {
	b := newBed(t)
	b.now = t0.Add(time.Second)
	b.frame("2011", t0, "w01018-Rtd=10,w01018-Flag=N")
	b.frame("2011", t0.Add(30*time.Second), "w01018-Rtd=20,w01018-Flag=N")
	b.frame("2011", t0.Add(45*time.Second), "w01018-Rtd=900,w01018-Flag=D")
	got := b.take(telemetry.TopicPoints)
	if len(got) != 3 || !strings.Contains(got[2], `value=900,valid=false,flag="D"`) {
		t.Fatalf("instants: %q", got)
	}
	b.wait(3 * time.Minute)
	wantOne(t, b.points("minute"), "avg=15,min=10,max=20,count=1i")
	// The device's own record comes late and replaces what was made of its real-time values.
	b.minute(t0, "17.5")
	wantOne(t, b.points("minute"), "avg=17.5,", "rev=1i")
	b.minute(t0, "18")
	b.wantKinds(telemetry.FindingConflict)
}

func TestDuplicatesAndConflicts(t *testing.T) {
	b := newBed(t)
	b.minute(t0, "40")
	b.take(0)
	b.minute(t0, "40") // a resend under another QN
	if len(b.out) != 1 {
		t.Fatalf("a resend gave %d outputs, want its finding only", len(b.out))
	}
	b.wantKinds(telemetry.FindingDuplicate)
	b.frame("2051", t0, "w01018-Avg=40,w01018-Min=40,w01018-Max=40,w01018-Flag=N") // the same data, written otherwise
	b.wantKinds(telemetry.FindingDuplicate)
	b.minute(t0, "41")
	b.wantKinds(telemetry.FindingConflict)
}

func TestOldDataFillEmptySlotsOnly(t *testing.T) {
	b := newBed(t)
	old := t0.Add(-30 * time.Hour)
	b.minute(t0, "40")
	b.minute(old, "70") // behind the rolling hour
	b.take(0)
	b.wait(10 * time.Second)
	wantOne(t, b.points("hour"), "avg=70,", "count=1i", fmt.Sprint(old.UnixNano()))
	b.minute(old, "71") // what filled the slot is no longer held, so that it is another value is not known
	b.wantKinds(telemetry.FindingDuplicate)
}

func TestClockGuard(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.minute(t0.Add(11*time.Minute), "1")
	b.minute(t0.Add(-73*time.Hour), "1")
	b.frame("2051", t0, "w01018-Avg=x,w01018-Flag=N")
	b.apply(telemetry.KindFrame, mn, hj212.AppendFrame(nil, []byte("QN=20260301100000000;ST=32;CN=2051;PW=1;MN="+mn+";Flag=5;CP=&&DataTime=20269999000000;w01018-Avg=1&&")))
	b.wantKinds(telemetry.FindingFuture, telemetry.FindingTooOld, telemetry.FindingNotNumeric, telemetry.FindingBadTime)
	b.minute(t0.Add(9*time.Minute), "1")
	b.wantKinds()
}

func TestOfflineAndBack(t *testing.T) {
	b := newBed(t)
	b.minute(t0, "1")
	b.take(0)
	b.wait(290 * time.Second)
	b.wantKinds()
	b.wait(20 * time.Second)
	b.wantKinds(telemetry.FindingOffline)
	b.wait(20 * time.Minute)
	b.wantKinds()
	b.minute(t0.Add(time.Minute), "1")
	got := b.findings()
	if len(got) != 1 || got[0].Kind != telemetry.FindingOnline || !got[0].Start.Equal(t0) {
		t.Errorf("findings %+v, want one online from %v", got, t0)
	}
}

func TestGapOfAnHour(t *testing.T) {
	b := newBed(t)
	for m := 0; m < 60; m++ {
		if m < 10 || m > 19 {
			b.now = t0.Add(time.Duration(m)*time.Minute + 65*time.Second)
			b.minute(t0.Add(time.Duration(m)*time.Minute), "1")
		}
		b.tick()
	}
	b.take(0)
	b.wait(2 * time.Minute)
	got := b.findings()
	if len(got) != 1 || got[0].Kind != telemetry.FindingGap || got[0].Count != 10 || got[0].Detail != "minute records missing: 10-20" {
		t.Errorf("findings %+v, want the gap 10-20", got)
	}
}

func TestAlarmLife(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "cod-minute", Statistic: telemetry.StatMinute, High: high(50_000_000), EarlyWarning: 900_000, RaiseAfter: 2, ClearAfter: 2})
	b.take(0)
	var log []string
	for i, v := range []string{"40", "46", "47", "60", "80", "70", "44", "44", "60"} {
		b.minute(t0.Add(time.Duration(i)*time.Minute), v)
		for _, a := range b.alarms() {
			log = append(log, fmt.Sprintf("%d %s %s %s x%s", i, a.State, a.Level, a.Value, a.TimesOver))
			if a.MN != mn || a.Limit != 50_000_000 || a.Outlet != "W01" || (a.ClearedAt != nil) != (a.State == telemetry.AlarmCleared) {
				t.Errorf("alarm %+v", a)
			}
		}
	}
	want := []string{"2 raised warning 47 x0", "3 updated warning 60 x0", "4 updated exceed 80 x0.6", "7 cleared exceed 80 x0.6"}
	if strings.Join(log, "; ") != strings.Join(want, "; ") {
		t.Errorf("life of the alarm:\n got %s\nwant %s", strings.Join(log, "; "), strings.Join(want, "; "))
	}
}

func TestExceedanceInBackfilledHourIsRaisedAndCleared(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "cod-hour", Statistic: telemetry.StatHour, High: high(50_000_000)})
	for m := -60; m < 0; m++ { // the newest hour, fine
		b.minute(t0.Add(time.Duration(m)*time.Minute), "20")
	}
	b.wait(10 * time.Second)
	b.take(0)
	for m := -180; m < -120; m++ { // an older one, not
		b.minute(t0.Add(time.Duration(m)*time.Minute), "90")
	}
	b.wait(10 * time.Second)
	got := b.alarms()
	if len(got) != 2 || got[0].State != telemetry.AlarmRaised || got[1].State != telemetry.AlarmCleared || got[0].ID != got[1].ID ||
		!got[0].WindowStart.Equal(t0.Add(-3*time.Hour)) || got[0].Value != 90_000_000 {
		t.Fatalf("alarms %+v", got)
	}
	b.wait(time.Minute)
	if got := b.alarms(); len(got) != 0 {
		t.Errorf("raised again: %+v", got)
	}
}

func TestRuleChangeClearsWhatIsGone(t *testing.T) {
	b := newBed(t)
	keep := rules.Rule{ID: "keep", Statistic: telemetry.StatMinute, High: high(50_000_000)}
	b.rules(keep, rules.Rule{ID: "gone", Statistic: telemetry.StatMinute, High: high(60_000_000)})
	b.minute(t0, "70")
	b.take(0)
	b.rules(keep)
	got := b.alarms()
	if len(got) != 1 || got[0].Rule != "gone" || got[0].State != telemetry.AlarmCleared {
		t.Errorf("alarms %+v, want gone cleared", got)
	}
	if n := b.s.Stats().OpenAlarms; n != 1 {
		t.Errorf("%d alarms open, want the kept one", n)
	}
}

func TestLegacyCodesJudgeByTheirSuccessor(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "cod", Statistic: telemetry.StatMinute, High: high(50_000_000)})
	b.take(0)
	b.frame("2051", t0, "011-Min=60,011-Avg=60,011-Max=60")
	if got := b.alarms(); len(got) != 1 || got[0].Factor != "w01018" {
		t.Errorf("alarms %+v, want one for w01018", got)
	}
}

func TestPersistenceOfRollingMeansCountsMinutes(t *testing.T) {
	for _, stat := range []telemetry.Statistic{telemetry.StatRolling1, telemetry.StatRolling24} {
		b := newBed(t)
		b.rules(rules.Rule{ID: "r", Statistic: stat, High: high(50_000_000), RaiseAfter: 3, MinValid: 1})
		b.take(0)
		var raised []int
		for i := range 5 {
			b.minute(t0.Add(time.Duration(i)*time.Minute), "60")
			if len(b.alarms()) > 0 {
				raised = append(raised, i)
			}
		}
		if fmt.Sprint(raised) != "[2]" {
			t.Errorf("%s: raised at minutes %v, want [2]", stat, raised)
		}
	}
}

func TestCorrectionOfTheNewestWindowRaisesTheLevel(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000), EarlyWarning: 900_000, MinValid: 500_000})
	old := t0.Add(-2 * time.Hour)
	for m := range 40 {
		b.minute(old.Add(time.Duration(m)*time.Minute), "46")
	}
	b.wait(10 * time.Second)
	if got := b.alarms(); len(got) != 1 || got[0].Level != telemetry.LevelWarning {
		t.Fatalf("alarms %+v, want one warning", got)
	}
	for m := 40; m < 60; m++ {
		b.minute(old.Add(time.Duration(m)*time.Minute), "90")
	}
	b.wait(10 * time.Second)
	if got := b.alarms(); len(got) != 1 || got[0].Level != telemetry.LevelExceed || got[0].State != telemetry.AlarmUpdated {
		t.Errorf("alarms %+v, want the warning updated to an exceedance", got)
	}
}
