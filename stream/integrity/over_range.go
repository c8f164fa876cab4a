package integrity

import "fmt"

// over_range (超量程): minutes of a natural day that the device marks T, or whose value reaches the measuring range, beyond the threshold's share of
// all minutes that came, 5 %. Proposed.
//
// Guards: hours with a mark (start, stop, maintenance) are not counted; at least six hours must have come.
var overRangeDefault = threshold{gas: 50_000, water: 50_000, source: proposed}

// A dayWatch is what is counted of a natural day.
type dayWatch struct {
	over, all uint16 // over_range: minutes
	steps     uint8  // step_at_limit: hours
	checked   uint16 // flag_abuse: minutes of calibration
	top       topDay
}

func (c *scan) overRange(s *seriesWatch, h *SeriesHour) {
	d := &s.day
	if c.own() {
		t := int64(s.flagsOf(c.hour.Index).counts[flagT])
		over := int64(0)
		for w := h.Has; w != 0 && h.Facts.Range > 0; w &= w - 1 {
			if h.Means[trailing(w)] >= h.Facts.Range {
				over += c.hour.Interval
			}
		}
		d.over += uint16(t + over)
		d.all += uint16(t + int64(h.n)*c.hour.Interval)
	}
	if !c.dayEnds() {
		return
	}
	limit, share := c.limitOf(overRange), whole(0)
	if d.all >= 6*60 {
		share = ratio(whole(int64(d.over)), whole(int64(d.all)))
	}
	over, all := d.over, d.all
	c.judge(&s.open, overRange, h.Factor, verdict{on: share > limit, start: c.end - 1440, value: share}, limit, func() string {
		return fmt.Sprintf("%d of %d minutes of the day beyond the measuring range", over, all)
	})
}
