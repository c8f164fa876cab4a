package fold

import (
	"slices"
	"strings"

	"outfall/rules"
	"outfall/stream/window"
)

// Series that the fold makes of what a device sends, minute by minute. Their windows, late corrections and marks are those of any series.

// A maker says what a series is made of.
type maker uint8

const (
	asSent    maker = iota
	corrected       // a concentration of gas, dry, at standard state, at the reference oxygen; see correctSlot
	load            // a concentration of water times the flow, in mg/s for mg/L; see weighSlot
	weight          // the flow in the minutes that load has, L/s
)

// makerMarks end the keys of made series. No code on the wire has an equals sign.
var makerMarks = [...]string{corrected: "=Zs", load: "=Load", weight: "=Weight"}

// silent reports a series that publishes nothing of its own.
func (m maker) silent() bool { return m == load || m == weight }

// takes reports whether a rule is about the values of the series.
func (sr *series) takes(r *rules.Rule) bool {
	if r.Value == rules.ValueCorrected {
		return sr.made == corrected
	}
	return sr.made == asSent
}

// madeName is the name of a made series; nil for a key that is none. Its factor is that of what it is made of.
func (s *State) madeName(key string) *name {
	for m := corrected; int(m) < len(makerMarks); m++ {
		if base, ok := strings.CutSuffix(key, makerMarks[m]); ok {
			of := s.nameOf([]byte(base))
			n := &name{key: key, factor: of.factor, unit: of.unit, known: of.known, made: m, tag: of.tag}
			if m == corrected {
				n.tag = string(appendTag(nil, "factor", of.factor+"-Zs"))
			}
			return n
		}
	}
	return nil
}

// A filled is a slot that the entry at hand filled, of a device with made series.
type filled struct {
	column uint8
	slot   int64
	value  window.Value
	flags  window.Flags
}

// noteFilled has derive look at a slot.
func (s *State) noteFilled(d *device, sr *series, slot int64, v window.Value, flags window.Flags) {
	if (d.reg.Stack != nil || d.reg.FlowWeighted) && sr.made == asSent {
		s.filled = append(s.filled, filled{sr.column, slot, v, flags})
	}
}

// derive fills the made series for the slots that the entry at hand filled.
func (s *State) derive(d *device) {
	for i := range s.filled {
		slot := s.filled[i].slot
		if slices.ContainsFunc(s.filled[:i], func(f filled) bool { return f.slot == slot }) {
			continue
		}
		if d.reg.Stack != nil {
			s.correctSlot(d, slot)
		}
		if d.reg.FlowWeighted {
			s.weighSlot(d, slot)
		}
	}
	clear(s.filled)
	s.filled = s.filled[:0]
}

// derivedOf finds or makes a made series of a series; nil: the device has too many already. It stands behind the series, and no pointer into d.series
// is good any more.
func (s *State) derivedOf(d *device, sr *series, by maker) *series {
	s.key = append(append(s.key[:0], sr.key...), makerMarks[by]...)
	i, found := d.find(s.key)
	switch {
	case found:
	case len(d.series) >= maxSeries:
		return nil
	default:
		s.insert(d, i, s.nameOf(s.key))
	}
	return &d.series[i]
}

// madeOf is a made series of a series; nil: there is none.
func (d *device) madeOf(sr *series, by maker) *series {
	for i := range d.series {
		x := &d.series[i]
		if x.made == by && x.factor == sr.factor && strings.HasPrefix(x.key, sr.key) {
			return x
		}
	}
	return nil
}

// minuteOf is the value of a slot: that which the entry at hand filled, however old it is, or the one that is held.
func (s *State) minuteOf(d *device, sr *series, slot int64) (v window.Value, flags window.Flags, ok bool) {
	for i := range s.filled {
		if f := &s.filled[i]; f.column == sr.column && f.slot == slot {
			v, flags, ok = f.value, f.flags, true // the last one counts
		}
	}
	if ok {
		return v, flags, true
	}
	v, mark := d.hist(sr).Minute(slot)
	if mark == nil {
		return v, 0, false
	}
	return v, mark.Flags & window.FromRecord, true
}

// companyChanged has the closed hour and day of a concentration published again, because what goes with it changed: flow, or the state of the gas.
func (s *State) companyChanged(d *device, sr *series, at window.Place) {
	if _, mark := d.hist(sr).Hour(at.Hour); mark != nil && mark.Flags&window.Emitted != 0 {
		mark.Flags |= window.Dirty
		d.dirty = true
	}
	if _, mark := d.hist(sr).Day(at.Day); mark != nil && mark.Flags&window.Emitted != 0 {
		mark.Flags |= window.Dirty
		d.dirty = true
	}
}
