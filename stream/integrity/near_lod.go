package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// near_lod (长期接近检出限): every hour mean of the threshold's hours, 24, is at or below 1.1 times the detection limit. That it stays there "long" is
// worth a look is in 现场监督检查技术指南 2012; the hours are proposed.
//
// Guards: not without a detection limit (i13009), nor while nothing flows. Gas-fired units are honestly clean: switch it off for them.
var nearLODDefault = threshold{gas: whole(24), water: whole(24), source: proposed}

const nearShare = 11 * telemetry.FixedOne / 10

func (c *scan) nearLOD(s *seriesWatch, h *SeriesHour) {
	lod := bounded(h.Facts.LOD)
	switch {
	case lod <= 0 || h.n == 0 || c.run != yes || !c.own() || h.mean > times(lod, nearShare):
		s.low = 0
	case s.low == 0:
		s.low = uint32(c.end - 60)
	}
	hours := int64(0)
	if s.low != 0 {
		hours = (c.end - int64(s.low)) / 60
	}
	limit, since := c.limitOf(nearLOD), int64(s.low)
	c.judge(&s.open, nearLOD, h.Factor, verdict{on: hours > 0 && whole(hours) >= limit, start: since, value: h.mean}, limit, func() string {
		return fmt.Sprintf("at %s for %d hours, with a detection limit of %s", h.mean, hours, lod)
	})
}
