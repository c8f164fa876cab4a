package integrity

import "fmt"

// o2_near_air (含氧量接近空气): the hour mean of oxygen at or above the threshold, 19 %, for two hours, while the flow says that the plant runs: an
// air leak, dilution, or a stop that nobody marked. The conversion to reference oxygen multiplies by eight and more there. Proposed; sinter plants,
// whose reference is 16 to 18 %, need 20.
//
// Guards: any mark (启炉, 停炉, 烘炉, maintenance) excuses the hour; so does a minute that the device marks as calibration or maintenance. Without a
// measured flow or velocity nothing is said.
var o2NearAirDefault = threshold{gas: whole(19), water: whole(19), source: proposed}

const airHours = 2

func (c *scan) o2NearAir(d *deviceWatch) {
	h := c.oxygen
	if h == nil {
		d.air = 0
		c.judge(&d.open, o2NearAir, "", verdict{}, 0, nil)
		return
	}
	c.tune(h)
	limit := c.limitOf(o2NearAir)
	flags := c.w.at(h.Column).flagsOf(c.hour.Index)
	if c.run == yes && c.own() && flags.counts[flagC]+flags.counts[flagM] == 0 && h.mean >= limit {
		d.air = min(d.air+1, 250)
	} else {
		d.air = 0
	}
	c.judge(&d.open, o2NearAir, h.Factor, verdict{on: d.air >= airHours, start: c.end - int64(d.air)*60, value: h.mean}, limit, func() string {
		return fmt.Sprintf("oxygen at %s %% for %d hours without a mark, while the flow is %s", h.mean, d.air, c.flowText())
	})
}

// tune puts a factor's own thresholds in force.
func (c *scan) tune(h *SeriesHour) {
	c.tuning = &noTuning
	if h.Tuning != nil {
		c.tuning = h.Tuning
	}
}
