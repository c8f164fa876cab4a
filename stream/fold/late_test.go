package fold

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outfall/rules"
	"outfall/telemetry"
)

// life writes alarm events as "state level value @window start in minutes after t0".
func (b *bed) life() string {
	var log []string
	for _, a := range b.alarms() {
		log = append(log, fmt.Sprintf("%s %s %s @%d", a.State, a.Level, a.Value, int(a.WindowStart.Sub(t0).Minutes())))
	}
	return strings.Join(log, "; ")
}

func (b *bed) wantLife(want string) {
	b.t.Helper()
	if got := b.life(); got != want {
		b.t.Errorf("alarm events:\n got %s\nwant %s", got, want)
	}
}

func at(minutes int) time.Time { return t0.Add(time.Duration(minutes) * time.Minute) }

// hour sends minutes [from, to) of the hour that begins h hours after t0.
func (b *bed) hour(h, from, to int, v string) {
	for m := from; m < to; m++ {
		b.minute(at(h*60+m), v)
	}
}

func TestACorrectedWindowCountsOnce(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000), EarlyWarning: 900_000, RaiseAfter: 2})
	b.hour(-2, 0, 50, "46")
	b.wait(10 * time.Second)
	b.hour(-2, 50, 60, "99")
	b.wait(10 * time.Second) // warning, then exceedance: still one hour
	b.wantLife("")
	b.hour(-1, 0, 60, "60")
	b.wait(10 * time.Second)
	b.wantLife("raised exceed 60 @-60")
}

func TestACorrectionWithdrawsTheAlarmOfTheNewestWindow(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000), ClearAfter: 3})
	b.hour(-2, 0, 50, "51")
	b.wait(10 * time.Second)
	b.wantLife("raised exceed 51 @-120")
	b.hour(-2, 50, 60, "0")
	b.wait(10 * time.Second)
	b.wantLife("cleared exceed 51 @-120")
}

// The hours of an open alarm come again with more data: that must not end the alarm in a reader's eyes, nor raise another.
func TestACorrectionOfAnOlderWindowLeavesTheOpenAlarm(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000)})
	b.hour(-2, 0, 50, "70")
	b.hour(-1, 0, 60, "60")
	b.wait(10 * time.Second)
	b.wantLife("raised exceed 70 @-120")
	b.hour(-2, 50, 60, "76")
	b.wait(10 * time.Second)
	b.wantLife("updated exceed 71 @-120")
	if n := b.s.Stats().OpenAlarms; n != 1 {
		t.Errorf("%d alarms open, want 1", n)
	}
}

func TestPersistenceOfDataFilledInBackwards(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "m", Statistic: telemetry.StatMinute, High: high(50_000_000), RaiseAfter: 3})
	b.minute(t0, "1")
	b.take(0)
	for _, m := range []int{-10, -11, -12} {
		b.minute(at(m), "60")
	}
	b.wantLife("raised exceed 60 @-10; cleared exceed 60 @-10")
}

// One time ahead of the clock must not blind the instant rules for ten minutes.
func TestInstantsBehindAnAheadOneAreJudged(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "i", Statistic: telemetry.StatInstant, High: high(50_000_000)})
	b.frame("2011", at(9), "w01018-Rtd=1,w01018-Flag=N")
	b.take(0)
	b.frame("2011", at(0), "w01018-Rtd=60,w01018-Flag=N")
	b.wantLife("raised exceed 60 @0; cleared exceed 60 @0")
}

func TestAlarmPointsOfOneTickStayApart(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "m", Statistic: telemetry.StatMinute, High: high(50_000_000)})
	b.minute(t0, "1")
	b.take(0)
	b.minute(at(-5), "60")
	b.minute(at(-4), "60")
	seen := map[string]bool{}
	for _, l := range b.take(telemetry.TopicPoints) {
		if strings.HasPrefix(l, "alarm,") {
			seen[l[strings.LastIndex(l, " "):]] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d distinct times, want one for each of 4 events", len(seen))
	}
}

func TestAnEqualRegistryEntryForgetsNoLateAlarm(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000)})
	b.hour(-1, 0, 60, "1")
	b.wait(10 * time.Second)
	b.hour(-3, 0, 50, "60")
	b.wait(10 * time.Second)
	b.wantLife("raised exceed 60 @-180; cleared exceed 60 @-180")
	b.register(mn, func(*telemetry.Device) {})
	b.hour(-3, 50, 60, "120")
	b.wait(10 * time.Second)
	b.wantLife("updated exceed 70 @-180")
}

func TestIntervalChangeGoesOnRolling(t *testing.T) {
	b := newBed(t)
	b.minute(t0, "1")
	b.register(mn, func(d *telemetry.Device) { d.MinuteInterval = 5 })
	b.take(0)
	b.now = at(12)
	b.minute(at(5), "7")
	wantOne(t, b.points("rolling_1h"), "avg=7,", "count=1i,due=12i")
}

func TestCompletenessAcrossAnIntervalChange(t *testing.T) {
	b := newBed(t)
	b.hour(-1, 0, 30, "1")
	b.register(mn, func(d *telemetry.Device) { d.MinuteInterval = 5 })
	if got := b.s.devices[mn].slots.Share(t0.Unix()/60-60, t0.Unix()/60, 5); got.Due != 12 || got.Received != 6 || got.Valid != 6 {
		t.Errorf("share %+v, want 6 of 12: the second half is missing", got)
	}
}

func TestInvalidRecordKeepsInstantsOut(t *testing.T) {
	b := newBed(t)
	b.frame("2011", t0, "w01018-Rtd=10,w01018-Flag=N")
	b.frame("2051", t0, "w01018-Avg=10,w01018-Flag=C")
	b.frame("2011", t0.Add(30*time.Second), "w01018-Rtd=20,w01018-Flag=N")
	b.take(0)
	b.wait(3 * time.Minute)
	if got := b.points("minute"); len(got) != 0 {
		t.Errorf("a minute in calibration was averaged: %q", got)
	}
}

func TestInvalidRecordAfterAValidOneIsAConflict(t *testing.T) {
	b := newBed(t)
	b.minute(t0, "40")
	b.take(0)
	b.frame("2051", t0, "w01018-Avg=41,w01018-Flag=D")
	b.wantKinds(telemetry.FindingConflict)
	if !b.s.devices[mn].slots.Valid(t0.Unix() / 60) {
		t.Error("the later record made the slot invalid")
	}
}

func TestAResendRevisesNoCompleteness(t *testing.T) {
	b := newBed(t)
	b.minute(at(-90), "40")
	b.wait(10 * time.Second)
	b.take(0)
	b.frame("2051", at(-90), "w01018-Avg=40,w01018-Min=40,w01018-Max=40,w01018-Flag=N")
	b.wait(10 * time.Second)
	for _, l := range b.take(telemetry.TopicPoints) {
		if strings.HasPrefix(l, "completeness,") {
			t.Errorf("published again: %s", l)
		}
	}
}

// The log clock stands still while frames come: what the rings cannot hold is published when it leaves them.
func TestDaysWithoutTicks(t *testing.T) {
	b := newBed(t)
	b.take(0)
	for h := range 100 {
		b.now = at(h * 60)
		b.frame("2011", b.now, "w01018-Rtd=5,w01018-Flag=N")
	}
	b.now = b.now.Add(3 * time.Hour)
	b.tick()
	if got := b.points("hour"); len(got) != 100 {
		t.Errorf("%d hours published, want 100", len(got))
	}
}

func TestNoGapBeforeTheFirstFrame(t *testing.T) {
	b := newBed(t)
	b.now = at(60).Add(30 * time.Second)
	b.tick()
	b.minute(at(60), "1")
	b.wait(2 * time.Minute)
	for _, f := range b.findings() {
		if f.Kind == telemetry.FindingGap {
			t.Errorf("gap %v-%v before the device's first frame", f.Start, f.End)
		}
	}
}

func TestOldAndNewCodeAreOneFactor(t *testing.T) {
	b := newBed(t)
	b.frame("2051", t0, "011-Avg=60")
	b.take(0)
	b.frame("2051", t0, "w01018-Avg=61")
	b.wantKinds(telemetry.FindingConflict)
	b.frame("2051", at(1), "w01018-Avg=62")
	wantOne(t, b.points("rolling_1h"), "avg=61,", "count=2i")
}

// A frame that was refused for its time is no duplicate when it is sent again later.
func TestARefusedFrameSentAgainIsTaken(t *testing.T) {
	b := newBed(t)
	b.minute(at(11), "5")
	b.now = at(13)
	b.take(0)
	b.minute(at(11), "5")
	wantOne(t, b.points("minute"), "avg=5,")
}
