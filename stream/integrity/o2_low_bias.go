package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// o2_low_bias (含氧量偏低): oxygen that reads too low makes converted values too small. Either its hour mean falls by more than the threshold, 1 point,
// from the mean of the 18 hours before to that of the newest six, at a steady load; or every minute of six hours lies within 0.2 points of the
// reference oxygen, while the load moves. Proposed.
//
// Guards: the fall must be four times what oxygen usually differs by from hour to hour (median deviation of the day); steady is a flow whose means differ by less than a twentieth; a load that rises takes the oxygen down honestly. No mark may stand, and no minute
// be marked as calibration. Many units run near their reference: without a load that moves that is no hit.
var o2LowBiasDefault = threshold{gas: whole(1), water: whole(1), source: proposed}

const (
	biasHours      = 6
	biasBand       = 200_000
	biasDeviations = 4
)

func (c *scan) o2LowBias(d *deviceWatch) {
	h := c.oxygen
	if h == nil {
		c.judge(&d.open, o2LowBias, "", verdict{}, 0, nil)
		return
	}
	c.tune(h)
	limit := c.limitOf(o2LowBias)
	v, how := verdict{quiet: 6 * 60, start: c.end - biasHours*60}, ""
	flags := c.w.at(h.Column).flagsOf(c.hour.Index)
	if c.run == yes && c.own() && c.flow != nil && flags.counts[flagC] == 0 {
		before, ok := h.meanOf(biasHours-1, pastHours-1)
		newest, ok2 := c.newest(h, biasHours)
		flowBefore, ok3 := c.flow.meanOf(biasHours-1, pastHours-1)
		flow, ok4 := c.newest(c.flow, biasHours)
		_, usual, ok5 := h.median()
		if fall := before - newest; ok && ok2 && ok3 && ok4 && ok5 && fall > max(limit, biasDeviations*usual) && apart(flow, flowBefore) < telemetry.FixedOne/20 {
			v.on, v.value, how = true, fall, fmt.Sprintf("fell by %s points at a flow that changed by %s", fall, percent(apart(flow, flowBefore)))
		}
		low, high, ok := h.extent(biasHours)
		if ref := h.Facts.Reference; !v.on && ok && ref > 0 && low >= ref-biasBand && high <= ref+biasBand && c.flowMoved() {
			v.on, v.value, how = true, h.mean, fmt.Sprintf("stayed within 0.2 points of the reference of %s for %d hours, while the load moved", ref, biasHours)
		}
	}
	c.judge(&d.open, o2LowBias, h.Factor, v, limit, func() string { return "oxygen " + how })
}

// newest is the mean of the newest n hours, the one at hand included.
func (c *scan) newest(h *SeriesHour, n int) (telemetry.Fixed, bool) {
	past, ok := h.meanOf(0, n-1)
	return (past*telemetry.Fixed(n-1) + h.mean) / telemetry.Fixed(n), ok && h.n > 0
}

func (c *scan) flowMoved() bool {
	moved, ok := c.flow.moved(biasHours)
	return ok && moved > loadMoves
}
