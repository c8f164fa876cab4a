package registryfile

import (
	"fmt"
	"strings"

	"outfall/telemetry"
)

// formatPermits is the field that parsePermits reads.
func formatPermits(list []telemetry.Permit) string {
	parts := make([]string, len(list))
	for i, p := range list {
		low, high := "", ""
		if p.Low != nil {
			low = p.Low.String()
		}
		if p.High != nil {
			high = p.High.String()
		}
		parts[i] = fmt.Sprintf("%s %s %s..%s %s", p.Factor, p.Statistic, low, high, p.Unit)
	}
	return strings.Join(parts, "; ")
}

// parsePermits reads the limits of a permit. They are kept in the unit of the factor table: mg/L becomes ug/L where that is the factor's.
func parsePermits(d *telemetry.Device, text string) string {
	d.Permits = nil
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '；' }) {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		if len(words) < 4 {
			return fmt.Sprintf("%q is not a factor, a statistic, low..high and a unit, as in w01018 day ..40 mg/L", strings.TrimSpace(part))
		}
		p := telemetry.Permit{Factor: words[0], Statistic: telemetry.Statistic(words[1]), Unit: strings.Join(words[3:], " ")}
		low, high, ok := strings.Cut(words[2], "..")
		if !ok || low == "" && high == "" {
			return fmt.Sprintf("%q is not low..high: write ..40 for at most 40, 6.. for at least 6", words[2])
		}
		for _, l := range []struct {
			text string
			to   **telemetry.Fixed
		}{{low, &p.Low}, {high, &p.High}} {
			if l.text == "" {
				continue
			}
			value, fault := inFactorUnit(&p, l.text)
			if fault != "" {
				return fault
			}
			*l.to = &value
		}
		if f, known := telemetry.LookupFactor(p.Factor); known {
			p.Unit = f.Unit
		}
		d.Permits = append(d.Permits, p)
	}
	return ""
}

// inFactorUnit reads a limit and converts it to the unit of its factor.
func inFactorUnit(p *telemetry.Permit, text string) (value telemetry.Fixed, fault string) {
	value, ok := telemetry.ParseFixed(text)
	if !ok {
		return 0, fmt.Sprintf("%q is not a plain decimal with at most six decimals", text)
	}
	f, known := telemetry.LookupFactor(p.Factor)
	if !known {
		return value, "" // Validate says so
	}
	converted, ok := telemetry.ConvertUnit(value, p.Unit, f.Unit)
	if !ok {
		return 0, fmt.Sprintf("%s %s cannot be said in %s, the unit of %s (%s)", text, p.Unit, f.Unit, f.Code, f.NameZH)
	}
	return converted, ""
}
