package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// zs_mismatch (折算值不符): the device's own converted hour mean (ZsAvg of CN 2061) is not what its concentration, its oxygen and the reference
// oxygen of the outlet give (HJ 212-2017 annex D, form 28: C·(21-O2ref)/(21-O2)), by more than the threshold, 2 % (proposed), and by more than one
// unit of its last digit.
//
// Guards: both legal orders are tried: the conversion of the hour's means, and the mean of converted minutes. Not without a reference for the
// factor; not when a minute's oxygen is 19 % or more, where the conversion explodes; 54 minutes of both must be there and none be marked.
var zsMismatchDefault = threshold{gas: 20_000, water: 20_000, source: proposed}

const (
	airOxygen  = 21 * telemetry.FixedOne
	mostOxygen = 19 * telemetry.FixedOne
)

func (c *scan) zsMismatch(s *seriesWatch, h *SeriesHour) {
	limit, m, ref := c.limitOf(zsMismatch), &s.own.hour, h.Facts.Reference
	v, ours := verdict{quiet: 24 * 60}, telemetry.Fixed(0)
	if int64(m.window) == c.hour.Index && m.hasZs && ref > 0 && ref < airOxygen && c.oxygen != nil && c.oxygen.max < mostOxygen && c.bothWhole(h) &&
		s.flagsOf(c.hour.Index).hour == 0 {
		ours = convert(h.mean, c.oxygen.mean, ref)
		sum, n := telemetry.Fixed(0), telemetry.Fixed(0)
		for w := h.Has & c.oxygen.Has; w != 0; w &= w - 1 {
			i := trailing(w)
			sum, n = sum+convert(h.Means[i], c.oxygen.Means[i], ref), n+1
		}
		zs := ownMean{avg: m.zs, digit: m.digit}
		if d := zs.off(limit, ours, sum/n, true); d > 0 {
			v.on, v.value = true, d
		}
	}
	c.judge(&s.open, zsMismatch, h.Factor, v, limit, func() string {
		return fmt.Sprintf("the device's converted hour mean is %s; %s at %s %% oxygen and a reference of %s %% gives %s", m.zs, h.mean, c.oxygen.mean, ref, ours)
	})
}

// bothWhole reports whether the factor and the oxygen have 54 minutes of the hour in common.
func (c *scan) bothWhole(h *SeriesHour) bool {
	n := int64(0)
	for w := h.Has & c.oxygen.Has; w != 0; w &= w - 1 {
		n++
	}
	return n*c.hour.Interval >= 54
}

// convert is the concentration v at the oxygen content o2 converted to a reference, o2 below mostOxygen.
func convert(v, o2, ref telemetry.Fixed) telemetry.Fixed {
	return bounded(times(v, ratio(airOxygen-ref, airOxygen-o2)))
}
