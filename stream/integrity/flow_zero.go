package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// flow_zero_sampling (采样时流量为零): the flow in the minute of sampling is below the threshold's share of the day's median flow, 10 %, in three
// samples in a row: the analyser gets its sample when nothing is discharged. Proposed, after a case in Taicang.
//
// Guards: samples of which the hour has no flow values are not counted; an outlet that is at rest, or discharges at times only, has little flow in the
// rest of the hour too: the hour's mean must be half the median.
var flowZeroDefault = threshold{gas: 100_000, water: 100_000, source: proposed}

const drySamples = 3

func (c *scan) flowZero(d *deviceWatch) {
	limit := c.limitOf(flowZero)
	var flow, median telemetry.Fixed
	factor, at := "", int64(0)
	for i := range c.hour.Series {
		h := &c.hour.Series[i]
		t := &c.w.at(h.Column).taken
		minute := int64(t.time)
		if !t.fresh || minute < c.end-60 || minute >= c.end {
			continue
		}
		t.fresh = false
		if c.flow == nil || !c.own() {
			continue
		}
		slot := (minute - c.hour.Index*60) / c.hour.Interval
		m, _, ok := c.flow.median()
		if !ok || m <= 0 || c.flow.Has>>slot&1 == 0 || 2*c.flow.mean < m {
			continue
		}
		flow, median, factor, at = c.flow.Means[slot], m, h.Factor, minute
		break // the factors of one cabinet sample together
	}
	switch {
	case factor == "":
	case flow < times(median, limit):
		d.dry = min(d.dry+1, 250)
	default:
		d.dry = 0
	}
	c.judge(&d.open, flowZero, factor, verdict{on: d.dry >= drySamples, value: flow, quiet: 6 * 60}, limit, func() string {
		return fmt.Sprintf("%d samples in a row were taken without flow; newest at %s: %s, median of the day %s", d.dry, clock(at), flow, median)
	})
}
