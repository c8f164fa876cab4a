package window

import (
	"math"
	"math/bits"

	"outfall/telemetry"
)

// What a History holds. The numbers are part of the arithmetic of the fold: changing one changes published results.
const (
	MinuteCells = 120 // minute slots: the rolling hours that ended within the last hour
	HourCells   = 75  // the fold's horizon, and an hour of clock error on either side
	DayCells    = 8
)

// A History is what is kept of one factor of one device: a part of the device's Rings. It is good until the next Add.
//
// Values are kept as 32-bit multiples of the coarsest power of ten that divides all of them: a minute in 20 bytes, an hour or a day in 24.
// A value that does not fit that way makes the History wide for ever: its numbers then stand beside the cells in full.
type History struct {
	*head
	r      *Rings
	column int
}

// A head is what a History has beside its cells.
type head struct {
	minutes, hours, days int64 // greatest index held, noHead: none
	decimals             uint8 // the unit of the narrow form is 10^-decimals, 0..6
	wide                 bool  // its numbers are in Rings.wide

	hour rollingHour
	day  rollingDay
}

type minute struct {
	mean, low, high int32
	Mark
}

type total struct {
	sum      int64
	min, max int32
	n        uint16
	Mark
}

// wide is the numbers of a History that has no narrow form, in the places of its cells.
type wide struct {
	minutes     []Value
	hours, days []Total
}

// units are the narrow forms' units, by decimals, in millionths.
var units = [...]int64{1_000_000, 100_000, 10_000, 1000, 100, 10, 1}

// ClearMinutes empties the minute slots: they begin afresh at another length.
func (h History) ClearMinutes() {
	h.minuteRing().clear()
	h.minutes = noHead
	h.hour.ok = false
}

// ClearRules forgets what windows remember of rules.
func (h History) ClearRules() {
	for c := range h.minuteRing().all() {
		c.Alarmed, c.Judged = 0, 0
	}
	for _, r := range h.totalRings() {
		for c := range r.all() {
			c.Alarmed, c.Judged = 0, 0
		}
	}
}

// Minute is the value of a slot and its mark; nil when the slot has none, or has it no longer. The mark is good until the next Fill.
func (h History) Minute(slot int64) (Value, *Mark) {
	r := h.minuteRing()
	if !r.holds(slot) {
		return Value{}, nil
	}
	at := r.at(slot)
	c := r.cell(at)
	if c.Flags&held == 0 {
		return Value{}, nil
	}
	return h.minuteOf(c, at), &c.Mark
}

// minuteOf is the value of a minute cell, which is in a place.
func (h History) minuteOf(c *minute, at int) Value {
	if h.wide {
		return h.r.wide[h.column].minutes[at]
	}
	u := telemetry.Fixed(units[h.decimals])
	return Value{telemetry.Fixed(c.mean) * u, telemetry.Fixed(c.low) * u, telemetry.Fixed(c.high) * u}
}

// Hour is the total of an hour and its mark; nil when there is none, or no longer. The mark is good until the next Fill.
func (h History) Hour(i int64) (Total, *Mark) {
	r := h.hourRing()
	return h.totalIn(&r, i)
}

// Day is Hour for days.
func (h History) Day(i int64) (Total, *Mark) {
	r := h.dayRing()
	return h.totalIn(&r, i)
}

func (h History) totalIn(r *ring[total], i int64) (Total, *Mark) {
	if !r.holds(i) {
		return Total{}, nil
	}
	at := r.at(i)
	c := r.cell(at)
	if c.Flags&held == 0 {
		return Total{}, nil
	}
	return h.totalOf(r, c, at), &c.Mark
}

// totalOf is the total of a cell of one of h's own rings, which is in a place.
func (h History) totalOf(r *ring[total], c *total, at int) Total {
	if c.n == 0 {
		return Total{}
	}
	if h.wide {
		return h.wideOf(r)[at]
	}
	u := units[h.decimals]
	hi, lo := bits.Mul64(uint64(c.sum), uint64(u))
	if c.sum < 0 {
		hi -= uint64(u)
	}
	return Total{Sum: telemetry.Sum{Hi: int64(hi), Lo: lo}, Min: telemetry.Fixed(int64(c.min) * u), Max: telemetry.Fixed(int64(c.max) * u), N: int32(c.n)}
}

// wideOf is the wide numbers of one of h's own rings.
func (h History) wideOf(r *ring[total]) []Total {
	if r.head == &h.hours {
		return h.r.wide[h.column].hours
	}
	return h.r.wide[h.column].days
}

// Fill gives a slot its value, or another one, and carries it into the hour and the day, which are dirty then. kept is the slot's mark;
// nil when the slot is older than those held. ok is false, and nothing is done, when the hour or the day is.
func (h History) Fill(slot, hour, day int64, v Value) (kept *Mark, ok bool) {
	if h.column >= h.r.columns {
		h.r.widen()
	}
	hours, days := h.hourRing(), h.dayRing()
	if !hours.touch(hour) || !days.touch(day) {
		return nil, false
	}
	n := h.narrow(v)
	inHour, inDay := hours.at(hour), days.at(day)
	if minutes := h.minuteRing(); minutes.touch(slot) {
		at := minutes.at(slot)
		c := minutes.cell(at)
		if c.Flags&held != 0 {
			h.remove(&hours, inHour, c, at)
			h.remove(&days, inDay, c, at)
			c.Judged = 0
			h.hour.ok = false
		}
		c.mean, c.low, c.high = n.mean, n.low, n.high
		c.Flags |= held
		if h.wide {
			h.r.wide[h.column].minutes[at] = v
		}
		kept = &c.Mark
	}
	h.add(&hours, inHour, n, v)
	h.add(&days, inDay, n, v)
	h.hour.ok = h.hour.ok && slot > h.hour.last
	h.day.ok = h.day.ok && hour >= h.day.hour
	return kept, true
}

// add counts a value in a cell of a ring, n in the narrow form and v in full.
func (h History) add(r *ring[total], at int, n minute, v Value) {
	c := r.cell(at)
	if h.wide {
		t := h.totalOf(r, c, at)
		t.Add(v)
		h.wideOf(r)[at] = t
	} else {
		if c.n == 0 || n.low < c.min {
			c.min = n.low
		}
		if c.n == 0 || n.high > c.max {
			c.max = n.high
		}
		c.sum += int64(n.mean)
	}
	c.n++ // a day has 1,440 slots
	c.Flags |= held | Dirty
}

// remove takes the value of a minute cell, which is in a place, out of a cell of a ring.
func (h History) remove(r *ring[total], at int, c *minute, place int) {
	from := r.cell(at)
	if h.wide {
		h.wideOf(r)[at].Remove(h.r.wide[h.column].minutes[place].Mean)
	} else {
		from.sum -= int64(c.mean)
	}
	from.n--
}

// narrow is v in the narrow form, for which the unit becomes finer or the History wide if need be; of no meaning when it is wide.
func (h History) narrow(v Value) (n minute) {
	for !h.wide {
		var a, b, c bool
		n.mean, a = units32(v.Mean, h.decimals)
		n.low, b = units32(v.Low, h.decimals)
		n.high, c = units32(v.High, h.decimals)
		if a && b && c {
			return n
		}
		if !h.refine() {
			h.widen()
		}
	}
	return minute{}
}

// units32 is v in units of 10^-decimals; ok is false when it is not a whole number of them that 32 bits hold.
func units32(v telemetry.Fixed, decimals uint8) (n int32, ok bool) {
	var q int64
	switch decimals { // a constant divisor is no division
	case 0:
		q = int64(v) / 1_000_000
	case 1:
		q = int64(v) / 100_000
	case 2:
		q = int64(v) / 10_000
	case 3:
		q = int64(v) / 1000
	case 4:
		q = int64(v) / 100
	case 5:
		q = int64(v) / 10
	default:
		q = int64(v)
	}
	return int32(q), q == int64(int32(q)) && q*units[decimals] == int64(v)
}

// refine goes over to the next finer unit. false: it cannot, and nothing is changed.
func (h History) refine() bool {
	if int(h.decimals) == len(units)-1 {
		return false
	}
	const most = math.MaxInt32 / 10
	within := func(v int32) bool { return v <= most && v >= -most }
	for c := range h.minuteRing().all() {
		if !within(c.mean) || !within(c.low) || !within(c.high) {
			return false
		}
	}
	for _, r := range h.totalRings() {
		for c := range r.all() {
			if !within(c.min) || !within(c.max) {
				return false
			}
		}
	}
	h.scaleNumbers(10)
	h.decimals++
	return true
}

// scaleNumbers multiplies the numbers of the narrow form. A sum is of at most 65,535 of 32 bits: ten times it fits.
func (h History) scaleNumbers(by int32) {
	for c := range h.minuteRing().all() {
		c.mean, c.low, c.high = by*c.mean, by*c.low, by*c.high
	}
	for _, r := range h.totalRings() {
		for c := range r.all() {
			c.sum, c.min, c.max = int64(by)*c.sum, by*c.min, by*c.max
		}
	}
}

// widen goes over to the wide form. The numbers of the cells are zero then.
func (h History) widen() {
	w := h.newWide()
	minutes, hours, days := h.minuteRing(), h.hourRing(), h.dayRing()
	for i := range w.minutes {
		w.minutes[i] = h.minuteOf(minutes.cell(i), i)
	}
	for i := range w.hours {
		w.hours[i] = h.totalOf(&hours, hours.cell(i), i)
	}
	for i := range w.days {
		w.days[i] = h.totalOf(&days, days.cell(i), i)
	}
	h.scaleNumbers(0)
	h.setWide(w)
}

func (h History) newWide() *wide {
	totals := make([]Total, HourCells+DayCells)
	return &wide{minutes: make([]Value, MinuteCells), hours: totals[:HourCells:HourCells], days: totals[HourCells:]}
}

func (h History) setWide(w *wide) {
	if h.r.wide == nil {
		h.r.wide = make([]*wide, len(h.r.heads))
	}
	h.r.wide[h.column] = w
	h.wide = true
}
