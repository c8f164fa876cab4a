package library

import (
	"fmt"
	"strings"

	"outfall/rules"
	"outfall/rules/guard"
	"outfall/telemetry"
)

// read makes a Limit of a row.
func read(rec []string) (Limit, error) {
	if len(rec) != colCount {
		return Limit{}, fmt.Errorf("%d columns", len(rec))
	}
	l := Limit{Pollutant: rec[colPollutant], Category: rec[colClass], Low: rec[colLow], High: rec[colHigh], Unit: rec[colUnit], RefO2: rec[colRefO2],
		Enabled: rec[colEnabled] == "yes", Note: rec[colNote]}
	r := &l.Rule
	*r = rules.Rule{ID: rec[colID], Standard: rec[colStandard], Class: rec[colClass], Clause: rec[colClause], Factor: rec[colFactor],
		Statistic: telemetry.Statistic(rec[colStatistic]), Value: rec[colValue], Verdict: rec[colVerdict], Confidence: rec[colConfidence],
		Rounding: rules.RoundingNone, RaiseAfter: 1, ClearAfter: 1, ClearBelow: telemetry.FixedOne, Regions: list(rec[colRegions]),
		ExceptRegions: list(rec[colExceptRegions])}
	r.MinValid = rules.DefaultMinValid(r.Statistic)
	switch r.Factor[0] {
	case 'w':
		r.Medium = "water"
	case 'a':
		r.Medium = "gas"
	}
	for _, d := range []struct {
		text string
		to   *telemetry.Date
	}{{rec[colBuiltFrom], &r.BuiltFrom}, {rec[colBuiltTo], &r.BuiltTo}, {rec[colValidFrom], &r.ValidFrom}, {rec[colValidTo], &r.ValidTo}} {
		if err := d.to.UnmarshalText([]byte(d.text)); err != nil {
			return l, err
		}
	}
	if err := l.limits(); err != nil {
		return l, err
	}
	if text := rec[colWhen]; text != "" {
		g, err := guard.Compile(text, r.Statistic)
		if err != nil {
			return l, fmt.Errorf("when: %w", err)
		}
		r.When, r.Unknown = g, rules.UnknownJudge // without the other value the stricter limit counts
	}
	r.Title = title(&l, r.Statistic, r.Verdict)
	r.Basis = l.basis()
	if faults := r.Faults(); len(faults) > 0 {
		return l, fmt.Errorf("%s: %s", faults[0].Field, faults[0].Message)
	}
	return l, nil
}

// limits converts the limits to the unit of the factor.
func (l *Limit) limits() error {
	r := &l.Rule
	f, ok := telemetry.LookupFactor(r.Factor)
	if !ok || f.Code != r.Factor {
		return fmt.Errorf("%q is no factor", r.Factor)
	}
	r.Unit, r.Digits = f.Unit, -6
	for _, one := range []struct {
		text string
		to   **telemetry.Fixed
	}{{l.Low, &r.Low}, {l.High, &r.High}} {
		if one.text == "" {
			continue
		}
		value, ok := telemetry.ParseFixed(one.text)
		if !ok {
			return fmt.Errorf("%q is no plain decimal", one.text)
		}
		v, ok := telemetry.ConvertUnit(value, l.Unit, f.Unit)
		if !ok {
			return fmt.Errorf("%s %s is nothing in %s", one.text, l.Unit, f.Unit)
		}
		*one.to = &v
		_, decimals, _ := strings.Cut(one.text, ".")
		r.Digits = max(r.Digits, len(decimals)-zeros(l.Unit, f.Unit))
	}
	return nil
}

// zeros is how many decimals a quantity loses in the smaller unit.
func zeros(from, to string) int {
	v, _ := telemetry.ConvertUnit(telemetry.FixedOne, from, to)
	n := 0
	for ; v > telemetry.FixedOne; v /= 10 {
		n++
	}
	if small, ok := telemetry.ConvertUnit(telemetry.FixedOne, to, from); ok && small > telemetry.FixedOne {
		for ; small > telemetry.FixedOne; small /= 10 {
			n--
		}
	}
	return n
}

// basis is the standard, its clause and the limit as it is written there.
func (l *Limit) basis() string {
	limit := l.Low + "～" + l.High
	switch {
	case l.Low == "":
		limit = "≤" + l.High
	case l.High == "":
		limit = "≥" + l.Low
	}
	text := strings.TrimSpace(fmt.Sprintf("%s %s %s", l.Rule.Standard, l.Rule.Clause, l.Category)) + "：" + l.Pollutant + " " + limit + " " + l.Unit
	if l.RefO2 != "" {
		text += "，基准含氧量 " + l.RefO2 + "%"
	}
	if l.Rule.When != nil {
		text += "，" + l.Rule.When.Text
	}
	return text
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "|")
}
