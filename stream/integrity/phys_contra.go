package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// phys_contra (物理矛盾): one hour mean that cannot be with another: ammonia nitrogen above total nitrogen, BOD5 above COD, oxygen above 21 %. The
// threshold is hours in a row, 3 (proposed): analysers that sample at different times may differ for two cycles.
//
// Guards: the greater one must exceed the other by a tenth, oxygen by half a point, which is what two right analysers may differ by; an hour with a mark is
// not looked at, nor is one without flow.
var physContraDefault = threshold{gas: whole(3), water: whole(3), source: proposed}

// contradictions are the pairs of factors of which the first cannot be greater.
var contradictions = [...][2]string{{"w21003", "w21001"}, {"w01017", "w01018"}}

const (
	numContra  = len(contradictions) + 1
	oxygenMost = 21*telemetry.FixedOne + telemetry.FixedOne/2
)

func (c *scan) physContra(d *deviceWatch) {
	worst, detail, value := uint8(0), "", telemetry.Fixed(0)
	factor := ""
	count := func(i int, on bool) bool {
		if !on || c.run == no || !c.own() {
			d.contra[i] = 0
			return false
		}
		d.contra[i] = min(d.contra[i]+1, 250)
		return d.contra[i] > worst
	}
	for i, pair := range contradictions {
		part, all := c.find(pair[0]), c.find(pair[1])
		if count(i, part != nil && all != nil && all.mean > 0 && ratio(part.mean, all.mean) > telemetry.FixedOne*11/10) {
			worst, factor, value = d.contra[i], part.Factor, part.mean
			detail = fmt.Sprintf("%s of %s is above %s of %s", part.Factor, part.mean, all.Factor, all.mean)
		}
	}
	if i := len(contradictions); count(i, c.oxygen != nil && c.oxygen.mean > oxygenMost) {
		worst, factor, value, detail = d.contra[i], c.oxygen.Factor, c.oxygen.mean, fmt.Sprintf("oxygen of %s %%", c.oxygen.mean)
	}
	c.tuning = &noTuning
	limit := c.limitOf(physContra)
	c.judge(&d.open, physContra, factor, verdict{on: whole(int64(worst)) >= limit, start: c.end - int64(worst)*60, value: value}, limit, func() string {
		return fmt.Sprintf("%s for %d hours", detail, worst)
	})
}

// find is the hour of a factor, nil when it has none.
func (c *scan) find(factor string) *SeriesHour {
	for i := range c.hour.Series {
		if h := &c.hour.Series[i]; h.Factor == factor && h.n > 0 {
			return h
		}
	}
	return nil
}
