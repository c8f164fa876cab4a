package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// flat_top (削顶): hour after hour the same greatest value, as if cut off: the threshold is hours of a natural day, 5, whose greatest minute value is
// the day's, reached in at least three minutes and in at most half of the hour. Proposed.
//
// Guards: a day with minutes marked T is over_range's. The top must be at least half the limit, when there is one, and a tenth above the day's
// least value: noise of the last digit reaches its top often. Factors without decimals are not judged.
var flatTopDefault = threshold{gas: whole(5), water: whole(5), source: proposed}

// A topDay is the greatest value of a day, and how many hours reached it.
type topDay struct {
	top, low telemetry.Fixed
	hours    uint8
	any      bool
}

func (c *scan) flatTop(s *seriesWatch, h *SeriesHour) {
	d := &s.day.top
	if h.n > 0 && c.own() && c.run != no {
		at := 0
		for w := h.Has; w != 0; w &= w - 1 {
			if h.Means[trailing(w)] == h.max {
				at++
			}
		}
		if !d.any || h.max > d.top {
			d.top, d.hours = h.max, 0
		}
		if !d.any || h.min < d.low {
			d.low = h.min
		}
		d.any = true
		if h.max == d.top && at >= 3 && at <= h.n/2 && s.digits > 0 {
			d.hours++
		}
	}
	if !c.dayEnds() {
		return
	}
	limit, hours, top := c.limitOf(flatTop), whole(int64(d.hours)), d.top
	on := hours >= limit && s.day.over == 0 && top-d.low > max(top, 0)/10 && 2*top >= bounded(h.Facts.Limit)
	c.judge(&s.open, flatTop, h.Factor, verdict{on: on, start: c.end - 1440, value: hours}, limit, func() string {
		return fmt.Sprintf("%d hours of the day have the same greatest value, %s", int64(hours/telemetry.FixedOne), top)
	})
}
