package fold

import (
	"strings"

	"outfall/rules"
	"outfall/stream/window"
	"outfall/telemetry"
)

// Means of water weighted by its flow, at an outlet whose registry entry asks for them: the mass of a window over its volume, HJ 212-2017 annex
// D.1 forms (12) to (14). Each concentration has two silent series beside it, of the minutes that have both: concentration times flow, and flow.

const codeWaterFlow = "w00000" // L/s

// isWaterConcentration tells the factors whose means are weighted: not pH, temperature, flow.
func isWaterConcentration(unit string) bool { return strings.HasSuffix(unit, "g/L") }

// weighSlot fills load and weight for a slot that the entry at hand filled. A flow below zero is none (HJ 356-2019).
func (s *State) weighSlot(d *device, slot int64) {
	at := d.placeOf(slot)
	flow, ok := telemetry.Fixed(0), false
	for i := range d.series {
		sr := &d.series[i]
		if sr.factor == codeWaterFlow && sr.made == asSent {
			var v window.Value
			v, _, ok = s.minuteOf(d, sr, slot)
			flow = v.Mean
		}
	}
	for i := 0; i < len(d.series); i++ {
		sr := d.series[i] // a copy: making a series moves them
		if sr.made != asSent || !isWaterConcentration(sr.unit) {
			continue
		}
		v, _, has := s.minuteOf(d, &sr, slot)
		if !has {
			continue
		}
		carried, fits := telemetry.Fixed(0), false
		if ok && flow >= 0 {
			carried, fits = v.Mean.MulDiv(uint64(flow), uint64(telemetry.FixedOne))
		}
		s.weigh(d, &sr, at, carried, flow, fits)
	}
}

// weigh gives a minute of a concentration its load and its weight, or takes them back when ok is false.
func (s *State) weigh(d *device, sr *series, at window.Place, carried, flow telemetry.Fixed, ok bool) {
	minute := at.Slot * d.interval()
	for _, x := range [...]struct {
		by maker
		v  telemetry.Fixed
	}{{load, carried}, {weight, flow}} {
		of := s.derivedOf(d, sr, x.by)
		if of == nil {
			return // too many series
		}
		had, mark := d.hist(of).Minute(at.Slot)
		v := window.Value{Mean: x.v, Low: x.v, High: x.v}
		switch {
		case mark == nil && d.slots.Filled(int(of.column), minute): // no longer held, and there already
			continue
		case ok && (mark == nil || had != v):
			if _, kept := d.hist(of).Fill(at.Slot, at.Hour, at.Day, v); !kept {
				continue
			}
			d.slots.Fill(int(of.column), minute)
			of.lastSlot = max(of.lastSlot, at.Slot)
		case !ok && mark != nil:
			d.hist(of).TakeMinute(at)
			d.slots.Empty(int(of.column), minute)
		default:
			continue
		}
		s.companyChanged(d, sr, at)
	}
}

// weighed are the totals of load and weight of an hour or a day; ok is false for another statistic, or when no minute has both.
func (d *device) weighed(sr *series, k kind, start int64) (carried, flow window.Total, ok bool) {
	if !d.reg.FlowWeighted || sr.made != asSent || !isWaterConcentration(sr.unit) {
		return carried, flow, false
	}
	l, w := d.madeOf(sr, load), d.madeOf(sr, weight)
	if l == nil || w == nil {
		return carried, flow, false
	}
	switch k {
	case kindHour:
		carried, _ = d.hist(l).Hour(start / 3_600_000)
		flow, _ = d.hist(w).Hour(start / 3_600_000)
	case kindDay:
		carried, _ = d.hist(l).Day(dayOf(start / 60_000))
		flow, _ = d.hist(w).Day(dayOf(start / 60_000))
	}
	return carried, flow, carried.N > 0 && carried.N == flow.N
}

// measure is what a rule compares of a window: the weighted mean of water where as many minutes have a flow as the mean needs, else the plain
// one (forms (15) to (17): where flow is absent). ok is false when nothing flowed: there is no mean of a discharge that was none.
func (d *device) measure(sr *series, k kind, start int64, t *window.Total, due int64) (m rules.Measure, valid int64, ok bool) {
	carried, flow, weighed := d.weighed(sr, k, start)
	if !weighed || int64(carried.N)*int64(telemetry.FixedOne) < due*int64(rules.DefaultMinValid(k.statistic())) {
		return rules.Measure{Sum: t.Sum, N: int64(t.N)}, int64(t.N), true
	}
	if m, ok = weightedMean(&carried, &flow); !ok {
		return m, 0, false
	}
	return m, int64(carried.N), true
}

// weightedMean is carried over flow. Its sum is in millionths of a millionth, its number in millionths of L/s.
func weightedMean(carried, flow *window.Total) (rules.Measure, bool) {
	n := int64(flow.Sum.Lo)
	if flow.Sum.Hi != 0 || n <= 0 {
		return rules.Measure{}, false
	}
	return rules.Measure{Sum: carried.Sum.Times(uint64(telemetry.FixedOne)), N: n}, true
}

// weightedFields adds to a published hour or day its weighted mean, what was discharged, and of how many minutes both are.
func (s *State) weightedFields(l *line, d *device, sr *series, k kind, start int64) {
	carried, flow, ok := d.weighed(sr, k, start)
	if !ok {
		return
	}
	if m, ok := weightedMean(&carried, &flow); ok {
		l.fixed("weighted", m.Value())
	}
	seconds := uint64(d.interval() * 60)
	if mass, ok := carried.Sum.Mean(1).MulDiv(seconds, perKilogram(sr.unit)); ok {
		l.fixed("mass_kg", mass)
	}
	if volume, ok := flow.Sum.Mean(1).MulDiv(seconds, 1000); ok {
		l.fixed("volume_m3", volume)
	}
	l.int("flow_count", int64(carried.N))
}

// perKilogram is how many of a concentration's mass unit a kilogram has.
func perKilogram(unit string) uint64 {
	switch unit {
	case "ug/L":
		return 1_000_000_000
	case "ng/L":
		return 1_000_000_000_000
	}
	return 1_000_000
}
