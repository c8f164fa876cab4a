package fold

import (
	"fmt"
	"testing"
	"time"

	"outfall/rules"
	"outfall/telemetry"
)

func newWeighted(t *testing.T) *bed {
	b := newBed(t)
	b.register(mn, func(d *telemetry.Device) { d.FlowWeighted = true })
	b.take(telemetry.TopicPoints)
	return b
}

// half sends the minutes [from, to) of the hour at t0 and h hours: a concentration and, unless empty, a flow.
func (b *bed) water(h, from, to int, cod, flow string) {
	for m := from; m < to; m++ {
		b.now = at(h*60 + m + 1)
		values := "w01018 " + cod
		if flow != "" {
			values += " w00000 " + flow
		}
		b.gas(at(h*60+m), values)
	}
}

func (b *bed) closeHour(h int) {
	b.now = at((h + 1) * 60)
	b.wait(2 * time.Minute)
}

// The vector of HJ 212-2017 D.1: 40 and 80 mg/L in 100 and 20 m3 are 46.667 mg/L weighted, 60 plain.
func TestWeightedHour(t *testing.T) {
	b := newWeighted(t)
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000)})
	b.water(0, 0, 30, "40", "100")
	b.water(0, 30, 60, "80", "20")
	b.closeHour(0)
	all := b.out
	b.want("the hour", b.shown("w01018", "hour", "avg", "weighted", "mass_kg", "volume_m3", "flow_count"), "0: 60 46.666667 10.08 216 60i")
	b.out = all
	b.wantLife("") // plain it would exceed
	b.water(1, 0, 30, "40", "20")
	b.water(1, 30, 60, "80", "100")
	b.closeHour(1)
	b.wantLife("raised exceed 73.333333 @60")
}

// Nothing flows all hour: no mean, no exceedance. Where flow is absent, or of too few minutes, the plain mean is judged.
func TestWithoutFlow(t *testing.T) {
	for _, c := range []struct{ what, flow, want string }{
		{"nothing flows", "0", ""},
		{"a flow below zero is none", "-1", "raised exceed 80 @0"},
		{"no flow is measured", "", "raised exceed 80 @0"},
	} {
		b := newWeighted(t)
		b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000)})
		b.water(0, 0, 60, "80", c.flow)
		b.closeHour(0)
		if got := b.life(); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	b := newWeighted(t)
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000)})
	b.water(0, 0, 44, "40", "100") // 44 minutes are too few to weigh by
	b.water(0, 44, 60, "90", "")
	b.closeHour(0)
	b.wantLife("raised exceed 53.333333 @0")
}

// A flow that comes late weighs the hour again; a late concentration too; consecutive hours are counted by their weighted means.
func TestWeightsComeLater(t *testing.T) {
	b := newWeighted(t)
	b.rules(rules.Rule{ID: "h", Statistic: telemetry.StatHour, High: high(50_000_000), RaiseAfter: 2})
	b.water(-3, 0, 60, "40", "100")
	b.water(-2, 0, 30, "40", "20")
	b.water(-2, 30, 60, "80", "")
	b.water(-1, 0, 60, "60", "10")
	b.closeHour(-1)
	b.wantLife("raised exceed 60 @-60") // the hour before by its plain mean of 60
	for m := 30; m < 60; m++ {
		b.gas(at(-120+m), "w00000 1")
	}
	b.wait(10 * time.Second)
	all := b.out
	b.want("weighed", b.shown("w01018", "hour", "avg", "weighted", "rev"), "-120: 60 1i 41.904762")
	b.out = all
	b.wantLife("")

	b = newWeighted(t)
	b.water(-50, 0, 30, "40", "100")
	b.water(-50, 30, 60, "80", "20")
	b.now = at(0)
	b.wait(2 * time.Minute)
	b.take(telemetry.TopicPoints)
	for m := range 60 { // 50 hours later; the flow is there already
		b.gas(at(-50*60+m), fmt.Sprintf("w21003 %d", 1+m/30))
	}
	b.wait(10 * time.Second)
	b.want("ammonia of the same hour", b.shown("w21003", "hour", "avg", "weighted", "mass_kg"), "-3000: 1.5 1.166667 0.252")
}

// Weights survive a snapshot, and days are weighed as well.
func TestWeightedDay(t *testing.T) {
	b := newWeighted(t)
	day := at(14 * 60) // the day of UTC+8 begins 14 hours after t0
	for h := range 24 {
		for m := range 60 {
			b.now = day.Add(time.Duration(h*60+m+1) * time.Minute)
			cod, flow := 40, 100
			if h >= 12 {
				cod, flow = 80, 20
			}
			b.gas(b.now.Add(-time.Minute), fmt.Sprintf("w01018 %d w00000 %d", cod, flow))
		}
		s, err := Read(b.s.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		b.s = s
	}
	b.wait(2 * time.Minute)
	b.want("the day", b.shown("w01018", "day", "avg", "weighted", "mass_kg", "volume_m3"), "840: 60 46.666667 241.92 5184")
}
