package integrity

import "fmt"

// negative (负值): a concentration below zero by more than the threshold's share of the measuring range, 2 %; of a flow, a velocity, a pH or an
// oxygen content anything below zero. Proposed; that waste water data are not valid while the flow is zero or negative is in HJ 356.
//
// Guards: zero drift within the share is no hit. Without a range twice the limit stands in; without either a concentration is not judged.
var negativeDefault = threshold{gas: 20_000, water: 20_000, source: proposed}

func (c *scan) negative(s *seriesWatch, h *SeriesHour) {
	limit := c.limitOf(negative)
	on := false
	switch h.Role {
	case RoleFlow, RoleVelocity, RolePH, RoleOxygen:
		on = h.n > 0 && h.min < 0
	case RolePollutant:
		scale := bounded(h.Facts.scale())
		on = h.n > 0 && scale > 0 && h.min < -times(scale, limit)
	}
	c.judge(&s.open, negative, h.Factor, verdict{on: on, value: h.min, quiet: 6 * 60}, limit, func() string {
		return fmt.Sprintf("%s below zero, lowest of the hour; measuring range %s", h.min, h.Facts.Range)
	})
}
