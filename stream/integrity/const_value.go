package integrity

import (
	"fmt"
	"math/bits"

	"outfall/telemetry"
)

// const_value (恒值): the same value, minute after minute, while the plant runs. The threshold is the run's length in minutes: 60 for flue gas;
// 360 for waste water, three cycles of an analyser that measures every two hours. Proposed: no national text that names so many hours
// was found.
//
// Guards: an hour without flow, or with a mark, interrupts; so does a minute that the device marks as not normal. Values at or below the
// detection limit are not counted, nor is zero (see zero_value). A value of fewer than two hundred units of the last digit that the factor has ever
// had (annex B gives dust no decimals: 3, 3, 3 can be honest), and slow auxiliary factors, must stay for twelve hours. The least and the greatest value of each minute must be its mean: a mean that only rounds to
// the same number is no constant.
var constValueDefault = threshold{gas: whole(60), water: whole(360), source: proposed}

const (
	coarseMinutes = 12 * 60
	coarseUnits   = 200
)

func trailing(w uint64) int { return bits.TrailingZeros64(w) }

func (c *scan) constValue(s *seriesWatch, h *SeriesHour) {
	if c.run == no || !c.own() {
		s.run = run{}
	}
	flags := s.flagsOf(c.hour.Index)
	first, longest, value := uint32(0), int64(0), telemetry.Fixed(0)
	for w := h.Has; w != 0; w &= w - 1 {
		i := trailing(w)
		at := uint32(c.hour.Index*60 + int64(i)*c.hour.Interval)
		v := h.Means[i]
		broken := s.run.from == 0 || v != s.run.value || h.Flat>>i&1 == 0 || at-s.run.last > 60 ||
			flags.hour != 0 && s.run.last < uint32(c.hour.Index*60)+uint32(flags.last) && uint32(c.hour.Index*60)+uint32(flags.last) <= at
		if broken {
			s.run = run{v, at, at}
		}
		s.run.last = at
		if length := int64(at-s.run.from) + c.hour.Interval; length > longest {
			longest, first, value = length, s.run.from, v
		}
	}
	limit := c.limitOf(constValue)
	if h.Role == RoleAuxiliary || h.Role == RoleTemperature || h.Role == RoleOther || value < coarseUnits*units[s.digits] {
		limit = max(limit, whole(coarseMinutes))
	}
	on := c.run != no && c.own() && h.n > 0 && whole(longest) >= limit && value != 0 && value > h.Facts.LOD && h.Role != RoleFlow
	c.judge(&s.open, constValue, h.Factor, verdict{on: on, start: int64(first), value: whole(longest)}, limit, func() string {
		return fmt.Sprintf("%s for %d minutes since %s, while the outlet discharges", value, longest, clock(int64(first)))
	})
}
