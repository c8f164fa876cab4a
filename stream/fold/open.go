package fold

import (
	"slices"

	"outfall/stream/window"
)

// An openSlot is a minute slot whose record has not come and whose time has not passed: its real-time values so far.
type openSlot struct {
	slot   int64
	total  window.Total
	is     bool // it is open; of series.now only
	record bool // the device's own record came, and is invalid: real-time values do not stand in for it
}

// openSlot is the slot that an observation falls into, nil when it is closed; it is good until the next call. Slots that lie far behind the
// newest close early: no tick has closed them while data went on.
func (s *State) openSlot(d *device, o *observation) *openSlot {
	slot := d.slotOf(o.at)
	sr := o.series
	if slot < s.nextSlot(d) || sr.now.slot != noSlot && slot <= sr.now.slot-openSlots {
		return nil
	}
	if slot < sr.now.slot {
		return s.olderSlot(d, sr, slot)
	}
	if slot > sr.now.slot {
		for c := sr.firstOpen(); c != nil && c.slot <= slot-openSlots; c = sr.firstOpen() {
			s.closeSlot(d, sr)
		}
		if sr.now.is {
			sr.open = append(sr.open, sr.now)
			sr.older++
		}
		sr.now = openSlot{slot: slot}
	}
	if !sr.now.is {
		sr.now = openSlot{slot: slot, is: true}
		d.openFrom = min(d.openFrom, slot)
	}
	return &sr.now
}

// olderSlot is openSlot for a slot before the newest.
func (s *State) olderSlot(d *device, sr *series, slot int64) *openSlot {
	i := len(sr.open)
	for i > 0 && sr.open[i-1].slot > slot {
		i--
	}
	if i > 0 && sr.open[i-1].slot == slot {
		return &sr.open[i-1]
	}
	sr.open = slices.Insert(sr.open, i, openSlot{slot: slot, is: true})
	sr.older++
	d.openFrom = min(d.openFrom, slot)
	return &sr.open[i]
}

// firstOpen is the earliest open slot, nil when there is none.
func (sr *series) firstOpen() *openSlot {
	switch {
	case sr.older > 0:
		return &sr.open[0]
	case sr.now.is:
		return &sr.now
	}
	return nil
}

// dropOpen takes an open slot away, if it is one.
func (sr *series) dropOpen(d *device, slot int64) {
	switch {
	case slot == sr.now.slot:
		if !sr.now.is {
			return
		}
		sr.now.is = false
	case sr.older == 0:
		return
	default:
		i := slices.IndexFunc(sr.open, func(c openSlot) bool { return c.slot == slot })
		if i < 0 {
			return
		}
		sr.open = slices.Delete(sr.open, i, i+1)
		sr.older--
	}
	d.openStale = d.openStale || slot == d.openFrom
}
