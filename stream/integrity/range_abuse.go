package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// range_abuse (量程不当): the measuring range that the instrument reports (i13001) is more than the threshold's multiple of the limit, 10: too wide to
// measure what is judged; or the greatest value of a natural day is above 95 % of it: too narrow. Proposed.
//
// Guards: only with a reported range, and for the first part a limit. Instruments with two ranges report the one in use: a value above 95 % must be
// there in three minutes of an hour.
var rangeAbuseDefault = threshold{gas: whole(10), water: whole(10), source: proposed}

const rangeFull = 950_000

func (c *scan) rangeAbuse(s *seriesWatch, h *SeriesHour) {
	if h.Role != RolePollutant {
		return
	}
	limit, r := c.limitOf(rangeAbuse), bounded(h.Facts.Range)
	v, how := verdict{quiet: 24 * 60}, ""
	if r > 0 && h.n > 0 {
		full := 0
		for w := h.Has; w != 0; w &= w - 1 {
			if h.Means[trailing(w)] > times(r, rangeFull) {
				full++
			}
		}
		share := telemetry.Fixed(0)
		if h.Facts.Limit > 0 {
			share = ratio(r, bounded(h.Facts.Limit))
		}
		switch {
		case full >= 3 && c.own():
			v.on, v.value, how = true, h.max, fmt.Sprintf("%d minutes above 95 %% of the measuring range of %s", full, r)
		case share > limit:
			v.on, v.value, how = true, share, fmt.Sprintf("a measuring range of %s for a limit of %s", r, h.Facts.Limit)
		}
	}
	c.judge(&s.open, rangeAbuse, h.Factor, v, limit, func() string { return how })
}
