package window

import (
	"math/bits"

	"outfall/telemetry"
)

// What is taken out of a History can be put in again: a mark that says that data of a time do not count can be revoked. The windows that lose
// or get something are dirty then, and keep their marks even when nothing is left of them.

// A Place says which windows hold a slot.
type Place struct {
	Slot, Hour, Day int64
	PerHour         int64 // slots of an hour
	DayFirst        int64 // index of the day's first hour
}

// TakeMinute takes a slot's value out of the minutes, its hour and its day, and hands out its mark. ok is false when the slot has no value,
// or has it no longer.
func (h History) TakeMinute(p Place) (v Value, mark Mark, ok bool) {
	v, kept := h.Minute(p.Slot)
	minutes, hours, days := h.minuteRing(), h.hourRing(), h.dayRing()
	if kept == nil || !hours.holds(p.Hour) || !days.holds(p.Day) {
		return Value{}, Mark{}, false
	}
	mark = *kept
	mark.Flags &^= held
	at := minutes.at(p.Slot)
	c := minutes.cell(at)
	h.remove(&hours, hours.at(p.Hour), c, at)
	h.remove(&days, days.at(p.Day), c, at)
	*c = minute{}
	if h.wide {
		h.r.wide[h.column].minutes[at] = Value{}
	}
	h.changed(p)
	return v, mark, true
}

// PutMinute is the inverse of TakeMinute. false: its hour or its day is no longer held.
func (h History) PutMinute(p Place, v Value, mark Mark) bool {
	hours, days := h.hourRing(), h.dayRing()
	if !hours.holds(p.Hour) || !days.holds(p.Day) {
		return false
	}
	kept, _ := h.Fill(p.Slot, p.Hour, p.Day, v)
	if kept != nil {
		*kept = mark
		kept.Flags |= held
	}
	h.changed(p)
	return true
}

// TakeHour takes an hour's total out of the hour and its day. ok is false when there is none, or no longer.
func (h History) TakeHour(p Place) (t Total, ok bool) {
	hours, days := h.hourRing(), h.dayRing()
	t, mark := h.Hour(p.Hour)
	if mark == nil || t.N == 0 || !days.holds(p.Day) {
		return Total{}, false
	}
	inHour, inDay := hours.at(p.Hour), days.at(p.Day)
	c, of := hours.cell(inHour), days.cell(inDay)
	if h.wide {
		day := &h.wideOf(&days)[inDay]
		day.Sum, day.N = day.Sum.Minus(t.Sum), day.N-t.N
	} else {
		of.sum -= c.sum
	}
	of.n -= uint16(t.N)
	c.n = 0
	h.changed(p)
	return t, true
}

// PutHour is the inverse of TakeHour. false: the hour or its day is no longer held.
func (h History) PutHour(p Place, t Total) bool {
	hours, days := h.hourRing(), h.dayRing()
	if !hours.holds(p.Hour) || !days.holds(p.Day) {
		return false
	}
	h.merge(&hours, hours.at(p.Hour), &t)
	h.merge(&days, days.at(p.Day), &t)
	h.changed(p)
	return true
}

// Touch makes the windows of a slot dirty though nothing came into them; they begin, if need be, without values. Like Fill it can push the
// oldest windows out. false: the hour or the day is too old.
func (h History) Touch(p Place) bool {
	if h.column >= h.r.columns {
		h.r.widen()
	}
	hours, days := h.hourRing(), h.dayRing()
	if !hours.touch(p.Hour) || !days.touch(p.Day) {
		return false
	}
	h.changed(p)
	return true
}

// changed makes the windows of a slot dirty, and their extremes those of what is in them, as far as that is held.
func (h History) changed(p Place) {
	hours, days := h.hourRing(), h.dayRing()
	inHour, inDay := hours.at(p.Hour), days.at(p.Day)
	hours.cell(inHour).Flags |= held | Dirty
	days.cell(inDay).Flags |= held | Dirty
	h.empty(&hours, inHour)
	h.empty(&days, inDay)
	h.hour.ok, h.day.ok = false, false
	var all Total
	if first := p.Hour * p.PerHour; h.minutes != noHead && first > h.minutes-MinuteCells {
		for i := first; i < first+p.PerHour; i++ {
			if v, mark := h.Minute(i); mark != nil {
				all.Add(v)
			}
		}
		h.bound(&hours, inHour, &all)
	}
	all = Total{}
	if p.DayFirst > h.hours-HourCells {
		for i := p.DayFirst; i < p.DayFirst+24; i++ {
			t, _ := h.Hour(i)
			all.Merge(&t)
		}
		h.bound(&days, inDay, &all)
	}
}

// empty leaves no numbers in a cell without values: what stands beside the cells in full is not cleared with them.
func (h History) empty(r *ring[total], at int) {
	c := r.cell(at)
	if c.n > 0 {
		return
	}
	c.sum, c.min, c.max = 0, 0, 0
	if h.wide {
		h.wideOf(r)[at] = Total{}
	}
}

// bound gives a cell the extremes of t, if t is all that is in it.
func (h History) bound(r *ring[total], at int, t *Total) {
	c := r.cell(at)
	switch {
	case t.N == 0 || int32(c.n) != t.N:
	case h.wide:
		w := &h.wideOf(r)[at]
		w.Min, w.Max = t.Min, t.Max
	default:
		c.min, _ = units32(t.Min, h.decimals)
		c.max, _ = units32(t.Max, h.decimals)
	}
}

// merge counts in a cell what TakeHour handed out: it has a narrow form when the History has one, because units only become finer.
func (h History) merge(r *ring[total], at int, t *Total) {
	c := r.cell(at)
	if h.wide {
		all := h.totalOf(r, c, at)
		all.Merge(t)
		h.wideOf(r)[at] = all
	} else {
		low, _ := units32(t.Min, h.decimals)
		high, _ := units32(t.Max, h.decimals)
		if c.n == 0 || low < c.min {
			c.min = low
		}
		if c.n == 0 || high > c.max {
			c.max = high
		}
		c.sum += narrowSum(t.Sum, units[h.decimals])
	}
	c.n += uint16(t.N)
}

// narrowSum is a sum in units, of which it is a whole number that 63 bits hold.
func narrowSum(s telemetry.Sum, unit int64) int64 {
	negative := s.Hi < 0
	if negative {
		s = telemetry.Sum{}.Minus(s)
	}
	q, _ := bits.Div64(uint64(s.Hi), s.Lo, uint64(unit))
	if negative {
		return -int64(q)
	}
	return int64(q)
}
