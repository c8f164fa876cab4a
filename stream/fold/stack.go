package fold

import (
	"slices"
	"strings"

	"outfall/stream/emission"
	"outfall/stream/window"
	"outfall/telemetry"
)

// The corrected concentrations (折算浓度) of an outlet whose registry entry has a telemetry.Stack. Each concentration has a second series, filled
// minute by minute from the first and what goes with it, so that windows, late corrections, revisions and rules are those of any series. So a
// corrected hour is the mean of corrected minutes: HJ 212-2017 does not say in which order to correct and to average.

// Codes of what goes with a concentration (HJ 212-2017 annex B).
const (
	codeOxygen      = "a19001"
	codeHumidity    = "a01014"
	codeTemperature = "a01012"
	codePressure    = "a01013"
	codeGasFlow     = "a00000"
)

// isConcentration tells the factors of gas that are corrected.
func isConcentration(unit string) bool { return strings.HasSuffix(unit, "/m3") }

// correctSlot fills the corrected series for a slot that the entry at hand filled.
func (s *State) correctSlot(d *device, slot int64) {
	at := d.placeOf(slot)
	in := s.stackMinute(d, slot)
	for i := 0; i < len(d.series); i++ { // a series that is made stands behind the one it is of
		sr := d.series[i] // a copy: making a series moves them
		if sr.made != asSent || !isConcentration(sr.unit) {
			continue
		}
		s.companyChanged(d, &sr, at)
		v, flags, ok := s.minuteOf(d, &sr, slot)
		if !ok {
			continue
		}
		of := s.derivedOf(d, &sr, corrected)
		if of == nil {
			return // too many series
		}
		zs, ok := in.correctedValue(d.reg.Stack, sr.factor, v)
		had, mark := s.heldMinute(d, of, slot)
		switch {
		case mark == nil && d.slots.Filled(int(of.column), slot*d.interval()): // no longer held: a value of this time is there already
		case ok && (mark == nil || had != zs):
			s.fillSlot(d, of, slot, zs, flags, nil)
		case !ok && mark != nil:
			s.emptySlot(d, of, at)
		}
	}
}

// emptySlot takes back a corrected minute whose oxygen turned out to be none to correct with. What was published of it stays; its windows are
// published without it.
func (s *State) emptySlot(d *device, sr *series, at window.Place) {
	if _, _, ok := d.hist(sr).TakeMinute(at); !ok {
		return
	}
	d.slots.Empty(int(sr.column), at.Slot*d.interval())
	sr.late = sr.late.with(at.Slot)
	d.dirty = true
}

// stackState is what a concentration is corrected by, of one window.
type stackState struct {
	oxygen, humidity, temperature, pressure, flow                telemetry.Fixed
	hasOxygen, hasHumidity, hasTemperature, hasPressure, hasFlow bool
}

// take sets what a factor says; means of other factors are nothing to it.
func (st *stackState) take(code string, v telemetry.Fixed) {
	switch code {
	case codeOxygen:
		st.oxygen, st.hasOxygen = v, true
	case codeHumidity:
		st.humidity, st.hasHumidity = v, true
	case codeTemperature:
		st.temperature, st.hasTemperature = v, true
	case codePressure:
		st.pressure, st.hasPressure = v, true
	case codeGasFlow:
		st.flow, st.hasFlow = v, true
	}
}

func (s *State) stackMinute(d *device, slot int64) (st stackState) {
	for i := range d.series {
		sr := &d.series[i]
		if v, _, ok := s.minuteOf(d, sr, slot); ok && sr.known {
			st.take(sr.factor, v.Mean)
		}
	}
	return st
}

// stackHour is the state of the stack by the means of an hour.
func (d *device) stackHour(hour int64) (st stackState) {
	for i := range d.series {
		sr := &d.series[i]
		if t, mark := d.hist(sr).Hour(hour); mark != nil && t.N > 0 && sr.known {
			st.take(sr.factor, t.Mean())
		}
	}
	return st
}

// dry is a concentration without water and at standard state, as mass.
func (st *stackState) dry(stack *telemetry.Stack, factor string, c telemetry.Fixed) (telemetry.Fixed, bool) {
	ok := true
	if slices.Contains(stack.PPM, factor) {
		c, ok = emission.FromPPM(c, telemetry.MolarMass(factor))
	}
	if ok && stack.Working {
		if ok = st.hasTemperature && st.hasPressure; ok {
			c, ok = emission.Standard(c, st.temperature, stack.AirPressure()+st.pressure)
		}
	}
	if ok && stack.Wet {
		if ok = st.hasHumidity; ok {
			c, ok = emission.Dry(c, st.humidity)
		}
	}
	return c, ok
}

// corrected is the concentration that a limit speaks of. ok is false when something for it is missing, or the oxygen is too near to air's: a
// missing oxygen content is never taken for the reference.
func (st *stackState) corrected(stack *telemetry.Stack, factor string, c telemetry.Fixed) (telemetry.Fixed, bool) {
	c, ok := st.dry(stack, factor, c)
	if !ok || stack.RefO2 == 0 {
		return c, ok
	}
	oxygen, ok := st.oxygen, st.hasOxygen
	if ok && stack.Wet {
		oxygen, ok = emission.Dry(oxygen, st.humidity)
	}
	if !ok || oxygen >= stack.O2Limit() {
		return 0, false
	}
	return emission.Corrected(c, oxygen, stack.RefO2)
}

// correctedValue corrects a minute's mean and, by the same oxygen, its extremes.
func (st *stackState) correctedValue(stack *telemetry.Stack, factor string, v window.Value) (window.Value, bool) {
	mean, ok1 := st.corrected(stack, factor, v.Mean)
	low, ok2 := st.corrected(stack, factor, v.Low)
	high, ok3 := st.corrected(stack, factor, v.High)
	return window.Value{Mean: mean, Low: low, High: high}, ok1 && ok2 && ok3
}

// massOfHour is the mass in kg that an hour's mean concentration carries in its mean flow (HJ 212-2017 annex D form (33)): of the dry concentration
// at standard state, not of the corrected one.
func (d *device) massOfHour(sr *series, hour int64) (telemetry.Fixed, bool) {
	t, mark := d.hist(sr).Hour(hour)
	if mark == nil || t.N == 0 || sr.unit != "mg/m3" {
		return 0, false
	}
	st, stack := d.stackHour(hour), d.reg.Stack
	c, ok := st.dry(stack, sr.factor, t.Mean())
	if !ok || !st.hasFlow {
		return 0, false
	}
	flow := st.flow
	if stack.WorkingFlow {
		if !st.hasTemperature || !st.hasPressure || !st.hasHumidity {
			return 0, false
		}
		if flow, ok = emission.StandardFlow(flow, st.temperature, stack.AirPressure()+st.pressure, st.humidity); !ok {
			return 0, false
		}
	}
	return emission.Mass(c, flow, 3600)
}

// massField adds to a published hour or day what was emitted in it, in kg. A day's mass is the sum of its hours' (form (34), whose second factor of
// a millionth is a misprint) and says of how many.
func (s *State) massField(l *line, d *device, sr *series, k kind, start int64) {
	if sr.made != asSent || !isConcentration(sr.unit) {
		return
	}
	first, hours := start/3_600_000, int64(1)
	switch k {
	case kindDay:
		if hours = 24; first < d.nextHour-window.HourCells+2 {
			return // not all of its hours are held: what was published stands
		}
	case kindHour:
	default:
		return
	}
	var sum telemetry.Fixed
	n := int64(0)
	for h := first; h < first+hours; h++ {
		if m, ok := d.massOfHour(sr, h); ok {
			sum += m
			n++
		}
	}
	if n > 0 {
		l.fixed("mass_kg", sum)
		l.int("mass_hours", n)
	}
}
