package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// step_at_limit (整点前突降): the mean of an hour's first 50 minutes is above the limit, that of its last ten below the threshold's share of it, 50 %, in
// three hours of a natural day or more. Proposed.
//
// Guards: not with a mark, nor in hours in which the device marks a minute; three quarters of both parts must be there. A flow that falls with the
// concentration is a change of load: its last ten minutes must hold three quarters of the first fifty's.
var stepAtLimitDefault = threshold{gas: 500_000, water: 500_000, source: proposed}

const stepHours = 3

func (c *scan) stepAtLimit(s *seriesWatch, h *SeriesHour) {
	limit := c.limitOf(stepAtLimit)
	first, last, ok := c.parts(h)
	if ok && c.own() && h.Facts.Limit > 0 && first > h.Facts.Limit && ratio(last, first) < limit && s.flagsOf(c.hour.Index).hour == 0 && c.loadHolds() {
		s.day.steps++
	}
	steps := s.day.steps
	if steps >= stepHours || c.dayEnds() {
		c.judge(&s.open, stepAtLimit, h.Factor, verdict{on: steps >= stepHours, start: c.end - int64(steps)*60, value: whole(int64(steps)), quiet: 1440}, limit,
			func() string {
				return fmt.Sprintf("in %d hours of the day the last ten minutes fell below %s of the first fifty, which were above the limit of %s; newest: %s, then %s",
					steps, percent(limit), h.Facts.Limit, first, last)
			})
	}
}

// parts are the means of an hour's first 50 minutes and of its last ten.
func (c *scan) parts(h *SeriesHour) (first, last telemetry.Fixed, ok bool) {
	var n, m telemetry.Fixed
	for w := h.Has; w != 0; w &= w - 1 {
		i := trailing(w)
		if int64(i)*c.hour.Interval < 50 {
			first, n = first+h.Means[i], n+1
		} else {
			last, m = last+h.Means[i], m+1
		}
	}
	if c.hour.Interval > 10 || int64(n)*c.hour.Interval*4 < 50*3 || int64(m)*c.hour.Interval*4 < 10*3 {
		return 0, 0, false
	}
	return first / n, last / m, true
}

// loadHolds reports whether the flow of the last ten minutes is three quarters of that before, or not measured.
func (c *scan) loadHolds() bool {
	if c.flow == nil {
		return true
	}
	first, last, ok := c.parts(c.flow)
	return !ok || first <= 0 || ratio(last, first) >= 750_000
}
