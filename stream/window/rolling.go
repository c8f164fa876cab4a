package window

// A rollingHour is the total of the slots (last-per, last], so that the next one costs what comes in and what falls out, not all of them.
// It is no part of the state: without it the slots are added up again.
type rollingHour struct {
	ok           bool
	last, per    int64
	total        Total
	minAt, maxAt int64 // newest slots with the extremes, while total.N > 0
}

// RollingHour is the total of the per slots that end with a slot, as far as they are held; per is at most 60.
func (h History) RollingHour(slot, per int64) Total {
	c := &h.hour
	if !c.ok || per != c.per || slot < c.last || slot-c.last > per || c.last-per < h.minutes-MinuteCells {
		*c = rollingHour{ok: true, last: slot - per, per: per}
		for c.last < slot {
			c.last++
			h.rollIn(c.last)
		}
		return c.total
	}
	for c.last < slot {
		c.last++
		if v, mark := h.Minute(c.last - per); mark != nil {
			c.total.Remove(v.Mean)
		}
		h.rollIn(c.last)
	}
	if gone := slot - per; c.total.N > 0 && (c.minAt <= gone || c.maxAt <= gone) {
		sum := c.total.Sum
		c.total = Total{}
		for i := gone + 1; i <= slot; i++ {
			h.rollIn(i)
		}
		c.total.Sum = sum
	}
	return c.total
}

// rollIn counts a slot in the rolling hour.
func (h History) rollIn(slot int64) {
	v, mark := h.Minute(slot)
	if mark == nil {
		return
	}
	t := &h.hour.total
	if t.N == 0 || v.Low <= t.Min {
		t.Min, h.hour.minAt = v.Low, slot
	}
	if t.N == 0 || v.High >= t.Max {
		t.Max, h.hour.maxAt = v.High, slot
	}
	t.Sum = t.Sum.Add(v.Mean)
	t.N++
}

// A rollingDay is the total of the 23 hours before one. It is no part of the state.
type rollingDay struct {
	ok     bool
	hour   int64
	before Total
}

// RollingDay is the total of an hour and of the 23 before it, as far as they are held.
func (h History) RollingDay(hour int64) Total {
	if !h.day.ok || h.day.hour != hour || hour != h.hours {
		h.day = rollingDay{ok: true, hour: hour}
		for i := hour - 23; i < hour; i++ {
			t, _ := h.Hour(i)
			h.day.before.Merge(&t)
		}
	}
	all := h.day.before
	now, _ := h.Hour(hour)
	all.Merge(&now)
	return all
}

// EachDirtyHour calls fn for every hour before one that changed since it was published, oldest first.
func (h History) EachDirtyHour(before int64, fn func(i int64, t Total, mark *Mark)) {
	h.eachDirty(h.hourRing(), min(before, h.hours+1), fn)
}

// EachDirtyDay is EachDirtyHour for days.
func (h History) EachDirtyDay(before int64, fn func(i int64, t Total, mark *Mark)) {
	h.eachDirty(h.dayRing(), min(before, h.days+1), fn)
}

// EachLostHour calls fn for every dirty hour that Fill would drop for an hour i, oldest first.
func (h History) EachLostHour(i int64, fn func(i int64, t Total, mark *Mark)) {
	if i > h.hours {
		h.eachDirty(h.hourRing(), min(i-HourCells, h.hours)+1, fn)
	}
}

// EachLostDay is EachLostHour for days.
func (h History) EachLostDay(i int64, fn func(i int64, t Total, mark *Mark)) {
	if i > h.days {
		h.eachDirty(h.dayRing(), min(i-DayCells, h.days)+1, fn)
	}
}

// eachDirty calls fn for the dirty windows of a ring that are before one, oldest first.
func (h History) eachDirty(r ring[total], before int64, fn func(i int64, t Total, mark *Mark)) {
	if *r.head == noHead {
		return
	}
	for i := r.oldest(); i < before; i++ {
		at := r.at(i)
		if c := r.cell(at); c.Flags&(held|Dirty) == held|Dirty {
			fn(i, h.totalOf(&r, c, at), &c.Mark)
		}
	}
}
