package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// jump (突变): a step from one minute value to the next, beyond the threshold's share of the limit, 50 %, to a value further from the median of
// the last 24 hours' means than five times their median deviation; of pH a step of more than 2 from hour to hour. Proposed. Sharp changes
// must not be deleted without a look at the site (HJ 356): this one asks for it.
//
// Guards: not in an hour, nor behind one, in which the device marks a minute as not normal; not with a mark, nor when the flow starts or stops. Waste
// water analysers that measure in cycles step by nature: there the step must be beyond the limit itself. Not without a limit.
var jumpDefault = threshold{gas: 500_000, water: 1_000_000, source: proposed}

const (
	jumpDeviations = 5
	jumpPH         = 2 * telemetry.FixedOne
)

func (c *scan) jump(s *seriesWatch, h *SeriesHour) {
	limit := c.limitOf(jump)
	step, at := telemetry.Fixed(0), int64(0)
	calm := c.own() && c.run != no && s.flagsOf(c.hour.Index).hour == 0 && s.flagsOf(c.hour.Index-1).hour == 0 && (c.flow == nil || c.steady(c.flow))
	switch {
	case !calm || h.n == 0:
	case h.Role == RolePH:
		if p := &h.Past[0]; p.N > 0 && max(h.mean-p.Mean, p.Mean-h.mean) > jumpPH {
			step, at = h.mean-p.Mean, c.end-60
		}
	case h.Role == RolePollutant && h.Facts.Limit > 0:
		least := times(bounded(h.Facts.Limit), limit)
		if step, _ = c.widestStep(s, h, 0, least, 0); step == 0 {
			break // as nearly always: the median is not asked
		}
		if median, deviation, ok := h.median(); ok {
			step, at = c.widestStep(s, h, median, least, jumpDeviations*deviation)
		} else {
			step = 0
		}
	}
	c.judge(&s.open, jump, h.Factor, verdict{on: step != 0, start: at, value: step, quiet: 24 * 60}, limit, func() string {
		return fmt.Sprintf("a step of %s at %s", step, clock(at))
	})
}

// widestStep is the widest step between two minutes of the hour that is beyond least and ends further than far from the median; 0: none is.
func (c *scan) widestStep(s *seriesWatch, h *SeriesHour, median, least, far telemetry.Fixed) (step telemetry.Fixed, at int64) {
	last, value := int64(s.run.last), s.run.value
	for w := h.Has; w != 0; w &= w - 1 {
		i := trailing(w)
		minute, v := c.hour.Index*60+int64(i)*c.hour.Interval, h.Means[i]
		if d := v - value; last != 0 && minute-last <= 2*c.hour.Interval && max(d, -d) > max(least, step, -step) && max(v-median, median-v) > far {
			step, at = d, minute
		}
		last, value = minute, v
	}
	return step, at
}

// steady reports whether a flow neither starts nor stops within the hour or right before it.
func (c *scan) steady(flow *SeriesHour) bool {
	return flow.min > 0 && (flow.Past[0].N == 0 || flow.Past[0].Min > 0)
}
