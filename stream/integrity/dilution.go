package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// dilution (稀释): clean air added before the measurement. For three hours the flow is above the mean of the 18 hours before the newest six by more
// than the threshold, 30 %, while the stack's temperature is lower, its oxygen higher by a point, and a concentration lower by a fifth at least.
// Proposed.
//
// Guards: all four must hold; a higher load raises the flow too, but takes the oxygen down and the temperature up. Not with a mark, nor where one of them
// is not measured. A fan or a line that was changed looks the same: the check will show.
var dilutionDefault = threshold{gas: 300_000, water: 300_000, source: proposed}

const dilutionHours = 3

func (c *scan) dilution(d *deviceWatch) {
	limit := c.limitOf(dilution)
	rise, thinner, on := telemetry.Fixed(0), "", false
	if !c.water && c.run == yes && c.own() && c.flow != nil && c.oxygen != nil && c.temperature != nil {
		flow, ok := c.flow.meanOf(biasHours-1, pastHours-1)
		oxygen, ok2 := c.oxygen.meanOf(biasHours-1, pastHours-1)
		warm, ok3 := c.temperature.meanOf(biasHours-1, pastHours-1)
		if ok && ok2 && ok3 && flow > 0 {
			rise = ratio(c.flow.mean-flow, flow)
			thinner = c.thinner()
			on = rise > limit && c.oxygen.mean > oxygen+telemetry.FixedOne && c.temperature.mean < warm && thinner != ""
		}
	}
	d.thin = inRow(d.thin, on)
	c.judge(&d.open, dilution, "", verdict{on: d.thin >= dilutionHours, start: c.end - int64(d.thin)*60, value: rise}, limit, func() string {
		return fmt.Sprintf("for %d hours the flow is higher by %s, oxygen higher, temperature and %s lower", d.thin, percent(rise), thinner)
	})
}

// thinner is a pollutant whose hour mean is a fifth below what it was, "" when none is.
func (c *scan) thinner() string {
	for i := range c.hour.Series {
		h := &c.hour.Series[i]
		if h.Role != RolePollutant || h.n == 0 {
			continue
		}
		if before, ok := h.meanOf(biasHours-1, pastHours-1); ok && before > 0 && h.mean < before*4/5 {
			return h.Factor
		}
	}
	return ""
}
