package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// small_amplitude (小幅波动): a concentration that stays within the threshold's share of the measuring range, 2 % (现场监督检查技术指南 2012), for
// 12 hours of flue gas or 24 of waste water (proposed), while the plant's load moves.
//
// Guards: only when flow or oxygen moved by more than a tenth in the same hours; only of means above a tenth of the range, because a clean
// outlet's noise is small; not without a range or a limit, nor with an hour missing.
var smallAmplitudeDefault = threshold{gas: 20_000, water: 20_000, source: single}

const loadMoves = telemetry.FixedOne / 10

func (c *scan) smallAmplitude(s *seriesWatch, h *SeriesHour) {
	limit := c.limitOf(smallAmplitude)
	hours := 12
	if c.water {
		hours = 24
	}
	scale := bounded(h.Facts.scale())
	on, share, load := false, telemetry.Fixed(0), telemetry.Fixed(0)
	if low, high, ok := h.extent(hours); ok && scale > 0 && c.run == yes && c.own() && h.mean > scale/10 {
		share, load = ratio(high-low, scale), c.loadMoved(hours)
		on = share < limit && load > loadMoves
	}
	c.judge(&s.open, smallAmplitude, h.Factor, verdict{on: on, start: c.end - int64(hours)*60, value: share}, limit, func() string {
		return fmt.Sprintf("within %s of its range for %d hours, while flow or oxygen moved by %s", percent(share), hours, percent(load))
	})
}

// loadMoved is how much the flow, or the oxygen content, moved in the newest hours; the greater of both.
func (c *scan) loadMoved(hours int) (share telemetry.Fixed) {
	for _, h := range [...]*SeriesHour{c.flow, c.velocity, c.oxygen} {
		if h != nil {
			if m, ok := h.moved(hours); ok {
				share = max(share, m)
			}
		}
	}
	return share
}
