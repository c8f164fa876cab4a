package integrity

import "fmt"

// zero_value (零值): a concentration of zero while flow says that the plant discharges. The threshold is minutes of zeros in a row: 120 for flue gas,
// 240 for waste water, two cycles. Proposed.
//
// Guards: the flow must be measured and above zero, and no mark may stand. Vents that are clean read zero for days: the concentration must have
// been above the detection limit, and above a fiftieth of its range, in the 24 hours before.
var zeroValueDefault = threshold{gas: whole(120), water: whole(240), source: proposed}

func (c *scan) zeroValue(s *seriesWatch, h *SeriesHour) {
	if c.run != yes || !c.own() {
		s.zero = 0
	}
	longest, first := int64(0), uint32(0)
	for w := h.Has; w != 0 && c.run == yes && c.own(); w &= w - 1 {
		i := trailing(w)
		at := uint32(c.hour.Index*60 + int64(i)*c.hour.Interval)
		if h.Means[i] != 0 {
			s.zero = 0
			continue
		}
		if s.zero == 0 {
			s.zero = at
		}
		if length := int64(at-s.zero) + c.hour.Interval; length > longest {
			longest, first = length, s.zero
		}
	}
	limit := c.limitOf(zeroValue)
	on := whole(longest) >= limit
	if on && !isOpen(s.open, zeroValue) {
		above := max(h.Facts.LOD, h.Facts.scale()/50)
		high := false
		for i := range h.Past {
			high = high || h.Past[i].N > 0 && h.Past[i].Mean > above
		}
		on = high
	}
	c.judge(&s.open, zeroValue, h.Factor, verdict{on: on, start: int64(first), value: whole(longest)}, limit, func() string {
		return fmt.Sprintf("zero for %d minutes since %s, while the flow is %s", longest, clock(int64(first)), c.flowText())
	})
}

// isOpen reports whether an anomaly is open.
func isOpen(open []episode, what number) bool {
	for i := range open {
		if open[i].what == what {
			return true
		}
	}
	return false
}

// flowText is the hour's flow, or what stands in for it.
func (c *scan) flowText() string {
	switch {
	case c.flow != nil:
		return c.flow.mean.String()
	case c.velocity != nil:
		return c.velocity.mean.String() + " m/s"
	}
	return "not known"
}
