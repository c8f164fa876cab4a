package fold

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"outfall/rules"
	"outfall/telemetry"
)

// hourOf sends an hour of COD and water temperature.
func (b *bed) hourOf(at time.Time, cod, temperature string) {
	for i := range 60 {
		cp := fmt.Sprintf("w01018-Avg=%s,w01018-Flag=N", cod)
		if temperature != "" {
			cp += fmt.Sprintf(";w01010-Avg=%s,w01010-Flag=N", temperature)
		}
		b.frame("2051", at.Add(time.Duration(i)*time.Minute), cp)
	}
}

func whenWarm(stat telemetry.Statistic) rules.Rule {
	return rules.Rule{ID: "warm", Statistic: stat, High: high(50_000_000), Rounding: rules.RoundingNone, When: &rules.Guard{Text: "水温 > 12", Code: "@w01010 12 >"}}
}

// The condition is decided by the other factor's mean of the same hour, whichever of the two closes first, and goes with the alarm.
func TestGuardOnAnotherFactor(t *testing.T) {
	for _, c := range []struct{ temperature, guard, input string }{{"12.1", "true", "12.1"}, {"12", "", ""}, {"", "unknown", ""}} {
		b := newBed(t)
		b.rules(whenWarm(telemetry.StatHour))
		b.now = t0.Add(time.Hour)
		b.hourOf(t0, "50.4", c.temperature)
		b.wait(3 * time.Minute)
		got := b.alarms()
		if c.guard == "" {
			if len(got) != 0 {
				t.Errorf("at %s: %+v", c.temperature, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Judgement == nil {
			t.Fatalf("at %q: %+v", c.temperature, got)
		}
		want := telemetry.Judgement{Verdict: "exceed", Value: "measured", Valid: 60, Due: 60, Rounding: "none", Rounded: 50_000_000, Exceeds: true, Guard: c.guard}
		j := *got[0].Judgement
		if len(j.Inputs) != 1 || j.Inputs[0] != (telemetry.Input{Name: "w01010", Value: c.input}) {
			t.Errorf("at %q: inputs %+v", c.temperature, j.Inputs)
		}
		if j.Inputs = nil; fmt.Sprint(j) != fmt.Sprint(want) {
			t.Errorf("at %q: got %+v", c.temperature, j)
		}
	}
}

// A later correction of the other factor is a correction of the verdict.
func TestGuardRevised(t *testing.T) {
	b := newBed(t)
	b.rules(whenWarm(telemetry.StatHour))
	b.now = t0.Add(time.Hour)
	for i := range 60 {
		cp := "w01018-Avg=60,w01018-Flag=N"
		if i < 50 {
			cp += ";w01010-Avg=11,w01010-Flag=N"
		}
		b.frame("2051", t0.Add(time.Duration(i)*time.Minute), cp)
	}
	b.wait(3 * time.Minute)
	if got := b.alarms(); len(got) != 0 {
		t.Fatalf("at 11 degrees: %+v", got)
	}
	for i := 50; i < 60; i++ {
		b.frame("2051", t0.Add(time.Duration(i)*time.Minute), "w01010-Avg=30,w01010-Flag=N")
	}
	b.wait(time.Minute)
	got := b.alarms()
	if len(got) != 1 || got[0].State != telemetry.AlarmRaised || got[0].Judgement == nil || got[0].Judgement.Inputs[0].Value != "14.166667" {
		t.Errorf("at 14.17 degrees: %+v", got)
	}
}

// A permit's limit is the one judged by, and a state that was read back goes on with it.
func TestPermitAndSnapshot(t *testing.T) {
	b := newBed(t)
	b.register(mn, func(d *telemetry.Device) {
		d.Standard, d.Class, d.Built, d.Judged = "S", "A", 20060101, telemetry.StatHour
		d.Permits = []telemetry.Permit{{Factor: "w01018", Statistic: telemetry.StatHour, High: high(40_000_000), Unit: "mg/L"}}
	})
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000), Standard: "S", Class: "A", BuiltFrom: 20060101, Verdict: rules.VerdictWarn})
	b.now = t0.Add(time.Hour)
	b.hourOf(t0, "45", "")
	form := b.s.AppendTo(nil)
	again, err := Read(form)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.AppendTo(nil), form) {
		t.Fatal("the state that was read back is another")
	}
	b.s = again
	b.wait(3 * time.Minute)
	got := b.alarms()
	if len(got) != 1 || got[0].Limit != 40_000_000 || got[0].Level != telemetry.LevelExceed || got[0].Basis != "GB 8978-1996 表4；排污许可证" || got[0].TimesOver != 125_000 {
		t.Fatalf("got %+v", got)
	}
	for n := range form {
		if _, err := Read(form[:n]); err == nil {
			t.Fatalf("%d of %d bytes were read", n, len(form))
		}
	}
	// Without the permit the rule is another one: its alarm is over.
	b.register(mn, func(d *telemetry.Device) { d.Standard, d.Class = "S", "A" })
	if got := b.alarms(); len(got) != 1 || got[0].State != telemetry.AlarmCleared {
		t.Errorf("after the permit is gone: %+v", got)
	}
}

// A rule of corrected values is not judged on measured ones.
func TestCorrectedRuleWaits(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "zs", Statistic: telemetry.StatHour, High: high(1), Value: rules.ValueCorrected})
	b.now = t0.Add(time.Hour)
	b.hourOf(t0, "45", "")
	b.wait(3 * time.Minute)
	if got := b.alarms(); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

// The event that a correction ends an alarm by shows the value that raised it, and no judgement of another.
func TestJudgementIsOfTheValueShown(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000), Rounding: rules.RoundingNone})
	b.now = t0.Add(time.Hour)
	for i := range 45 {
		b.minute(t0.Add(time.Duration(i)*time.Minute), "60")
	}
	b.wait(3 * time.Minute)
	if got := b.alarms(); len(got) != 1 || got[0].Judgement == nil || got[0].Judgement.Valid != 45 {
		t.Fatalf("raised: %+v", got)
	}
	for i := 45; i < 60; i++ {
		b.minute(t0.Add(time.Duration(i)*time.Minute), "0")
	}
	b.wait(time.Minute)
	if got := b.alarms(); len(got) != 1 || got[0].State != telemetry.AlarmCleared || got[0].Value != 60_000_000 || got[0].Judgement != nil {
		t.Errorf("corrected: %+v", got)
	}
}
