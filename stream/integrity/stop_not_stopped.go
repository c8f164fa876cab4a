package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// stop_not_stopped (标停未停): a mark says that the plant is stopped (停运), and its stack says otherwise, for two hours: a temperature above the
// threshold's share of what it was while it ran, 60 %; a velocity above 2 m/s, or a flow; oxygen below 19 %. Proposed.
//
// Guards: two of the three must say so: a warm stack draws air for hours after a stop, but its oxygen is that of air. Of waste water the flow alone decides, and
// must be above a tenth of the median of the day before. What the temperature was is known only of a plant that ran before.
var stopNotStoppedDefault = threshold{gas: 600_000, water: 100_000, source: proposed}

func (c *scan) stopNotStopped(d *deviceWatch) {
	limit := c.limitOf(stopNotStopped)
	stopped := c.hour.Marks&MarkStopped != 0
	if !stopped {
		d.stopped = 0
		if c.temperature != nil && c.run == yes && c.own() {
			if median, _, ok := c.temperature.median(); ok {
				d.running = median
			}
		}
		c.judge(&d.open, stopNotStopped, "", verdict{}, limit, nil)
		return
	}
	signs := c.signs(d, limit)
	need := 2
	if c.water {
		need = 1
	}
	if signs < need {
		d.stopped = 0
	} else {
		d.stopped = min(d.stopped+1, 250)
	}
	c.judge(&d.open, stopNotStopped, "", verdict{on: d.stopped >= 2, start: c.end - int64(d.stopped)*60, value: whole(int64(signs))}, limit, func() string {
		return fmt.Sprintf("marked as stopped for %d hours, while %d signs say that it runs; flow %s, stack temperature %s (%s while it ran), oxygen %s",
			d.stopped, signs, c.flowText(), meanText(c.temperature), d.running, meanText(c.oxygen))
	})
}

// signs is how many things say that a plant runs.
func (c *scan) signs(d *deviceWatch, limit telemetry.Fixed) (n int) {
	if c.water {
		if c.flow != nil {
			if median, _, ok := c.flow.median(); ok && median > 0 && c.flow.mean > times(median, limit) {
				n++
			}
		}
		return n
	}
	if c.temperature != nil && d.running > 0 && c.temperature.mean > times(d.running, limit) {
		n++
	}
	if c.velocity != nil && c.velocity.mean > stillVelocity || c.velocity == nil && c.flow != nil && c.flow.mean > 0 {
		n++
	}
	if c.oxygen != nil && c.oxygen.mean < mostOxygen {
		n++
	}
	return n
}

func meanText(h *SeriesHour) string {
	if h == nil {
		return "not known"
	}
	return h.mean.String()
}
