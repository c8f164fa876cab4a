package integrity

import (
	"slices"
	"testing"

	"outfall/telemetry"
)

// A gauge is one factor of a bed. Levels are hundredths.
type gauge struct {
	factor string
	level  int64
	facts  Facts
	noise  int64                                                 // hundredths to either side
	value  func(minute int64, v telemetry.Fixed) telemetry.Fixed // nil: the noisy level
	flat   bool
	gone   bool
	past   []Past // newest first
	day    Past
	daySum telemetry.Fixed
}

// A bed feeds a Watch hour by hour, as the fold does.
type bed struct {
	t       *testing.T
	w       Watch
	medium  string
	hour    int64
	marks   MarkSet
	gauges  []*gauge
	hits    []Hit
	days    []RateDay
	before  func(hour int64) // called before each hour is put before the detectors
	excused uint32           // hours of the day that marks excuse
	absent  bool             // the hour is not expected
}

// firstHour is the first hour of a natural day (UTC+8).
const firstHour = 20000*24 - 8

func gasBed(t *testing.T) *bed {
	limit := func(v int64) Facts { return Facts{Limit: whole(v), Range: whole(3 * v), LOD: telemetry.FixedOne / 5} }
	return &bed{t: t, medium: "gas", hour: firstHour, gauges: []*gauge{
		{factor: "a00000", level: 15000, noise: 300}, {factor: "a21026", level: 1200, noise: 150, facts: limit(35)},
		{factor: "a21002", level: 3000, noise: 200, facts: limit(50)}, {factor: "a19001", level: 700, noise: 15},
		{factor: "a01011", level: 1100, noise: 20}, {factor: "a01012", level: 10500, noise: 60}}}
}

func waterBed(t *testing.T) *bed {
	limit := func(v int64) Facts { return Facts{Limit: whole(v), Range: whole(3 * v)} }
	return &bed{t: t, medium: "water", hour: firstHour, gauges: []*gauge{
		{factor: "w00000", level: 2000, noise: 60}, {factor: "w01018", level: 2600, noise: 80, facts: limit(50)},
		{factor: "w21003", level: 150, noise: 10, facts: limit(5)}, {factor: "w21001", level: 900, noise: 30, facts: limit(15)},
		{factor: "w01001", level: 720, noise: 3}}}
}

func (b *bed) gauge(factor string) *gauge {
	for _, g := range b.gauges {
		if g.factor == factor {
			return g
		}
	}
	b.t.Fatalf("no gauge %s", factor)
	return nil
}

func (b *bed) column(factor string) int {
	return slices.IndexFunc(b.gauges, func(g *gauge) bool { return g.factor == factor })
}

// set gives a gauge other values from now on.
func (b *bed) set(factor string, value func(minute int64, v telemetry.Fixed) telemetry.Fixed) {
	b.gauge(factor).value = value
}

func always(v telemetry.Fixed) func(int64, telemetry.Fixed) telemetry.Fixed {
	return func(int64, telemetry.Fixed) telemetry.Fixed { return v }
}

func times100(percent int64) func(int64, telemetry.Fixed) telemetry.Fixed {
	return func(_ int64, v telemetry.Fixed) telemetry.Fixed {
		return v * telemetry.Fixed(percent) / 100 / 10_000 * 10_000
	}
}

// run puts so many hours before the detectors.
func (b *bed) run(hours int) *bed {
	for range hours {
		b.step()
	}
	return b
}

func (b *bed) step() {
	h := Hour{Index: b.hour, Interval: 1, Medium: b.medium, Marks: b.marks, Expected: !b.absent}
	dayEnds := (b.hour*60+60+480)%1440 == 0
	for i, g := range b.gauges {
		x := SeriesHour{Factor: g.factor, Role: RoleOf(g.factor), Facts: g.facts, Column: i}
		copy(x.Past[:], g.past)
		var hour Past
		sum := telemetry.Fixed(0)
		for m := range int64(60) {
			if g.gone {
				break
			}
			minute := b.hour*60 + m
			v := telemetry.Fixed(g.level+mixed(minute, i)%(2*g.noise+1)-g.noise) * 10_000
			if g.value != nil {
				v = g.value(minute, v)
			}
			x.Means[m], x.Has = v, x.Has|1<<m
			if g.flat || g.noise == 0 {
				x.Flat |= 1 << m
			}
			if hour.N == 0 || v < hour.Min {
				hour.Min = v
			}
			if hour.N == 0 || v > hour.Max {
				hour.Max = v
			}
			sum, hour.N = sum+v, hour.N+1
		}
		if hour.N > 0 {
			hour.Mean = sum / telemetry.Fixed(hour.N)
			g.daySum, g.day.N = g.daySum+sum, g.day.N+hour.N
		}
		g.past = append([]Past{hour}, g.past...)[:min(pastHours, len(g.past)+1)]
		if dayEnds {
			x.Back[0].Excused = b.excused
			if g.day.N > 0 {
				g.day.Mean, x.Day = g.daySum/telemetry.Fixed(g.day.N), g.day
				x.Day.Mean = g.daySum / telemetry.Fixed(g.day.N)
			}
			g.day, g.daySum = Past{}, 0
		}
		h.Series = append(h.Series, x)
	}
	if b.before != nil {
		b.before(b.hour)
	}
	b.hits = b.w.Hour(&h, b.hits)
	if dayEnds {
		b.days = b.w.Rates(&h, b.days)
	}
	b.hour++
}

// mixed is noise that is the same in every run.
func mixed(minute int64, i int) int64 {
	x := (uint64(minute)*31 + uint64(i)) * hashFactor
	x ^= x >> 29
	x *= hashFactor
	return int64(x >> 33)
}

// began lists the detectors of which an anomaly began.
func (b *bed) began() (out []telemetry.Detector) {
	for _, h := range b.hits {
		if h.Anomaly.State == telemetry.AnomalyBegan {
			out = append(out, h.Anomaly.Detector)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// want checks that one of the anomalies is this detector's, and begins anew.
func (b *bed) want(d telemetry.Detector) {
	b.t.Helper()
	if !slices.Contains(b.began(), d) {
		b.t.Errorf("no %s; began: %v", d, b.began())
	}
}

// never checks that none is.
func (b *bed) never(d telemetry.Detector) {
	b.t.Helper()
	for _, h := range b.hits {
		if h.Anomaly.Detector == d {
			b.t.Errorf("%s %s: %s", d, h.Anomaly.State, h.Detail)
			return
		}
	}
}
