package fold

import (
	"math"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// firstMs is the beginning of the year 1 of UTC: JSON has no form for a time before the year 0.
const firstMs = -62_135_596_800_000

// validMark reports whether a data mark lets a value into the averages: N, or no mark at all as 2005 devices send; of the legacy marks also
// 1 and 3. Every other mark keeps it out, known (D, T, Td of 2025 ...) or not: some devices send the results of checks as data with the
// marks sc, cz and cs.
func validMark(flag []byte, legacy bool) bool {
	switch string(flag) {
	case "", "N":
		return true
	case "1", "3":
		return legacy
	}
	return false
}

// legacyMarks reports whether m has the numeric marks of the air stations of 2005: 0 calibration, 1 meteorology, 2 abnormal, 3 normal
// (HJ/T 212-2005 6.3.3.2.3).
func (d *device) legacyMarks(m *hj212.Message) bool {
	if string(m.ST) != "22" {
		return false
	}
	if d.reg.Edition != "" {
		return d.reg.Edition == "2005"
	}
	return m.Flag.Version() == hj212.Version2005
}

// scaleOf is the power of ten by which the registry corrects a code's values.
func (d *device) scaleOf(code []byte) int {
	for i := range d.reg.Scales {
		if sc := &d.reg.Scales[i]; sc.Factor == string(code) {
			return sc.Exp
		}
	}
	return 0
}

// timeOf reads a DataTime, in ms: the instant of 2011, the start of the period of the others. Devices that send the period's end, which
// the registry knows, have it put back by the period.
func (d *device) timeOf(cn, text []byte) (ms int64, ok bool) {
	t, ok := hj212.ParseTime(text)
	if !ok {
		return 0, false
	}
	ms = t.UnixMilli()
	if d.reg.PeriodEnd {
		switch string(cn) {
		case "2051":
			ms -= d.interval() * 60_000
		case "2061":
			ms -= 3_600_000
		case "2031":
			ms -= 24 * 3_600_000
		}
	}
	return ms, ms >= firstMs
}

// fixed reads a value in the unit of the factor table. ok is false for a value that is absent, no number, or out of range.
func (o *observation) fixed(x hj212.Suffix) (f telemetry.Fixed, ok bool) {
	v := &o.group.Values[x]
	if v.Text == nil || !v.Numeric {
		return 0, false
	}
	exp := int(v.Num.Exp)
	if o.scale != 0 && !(x == hj212.Cou && isFlow(o.series.unit)) {
		exp += o.scale
	}
	switch {
	case exp > math.MaxInt8:
		return 0, v.Num.Mant == 0
	case exp < math.MinInt8:
		return 0, true // far below a millionth
	}
	return telemetry.FixedFromDecimal(v.Num.Mant, int8(exp))
}

// isFlow tells the factors whose total is a volume, in m3 whatever the flow's unit; every other total follows the unit of its
// concentration (HJ 212-2017 annex B: mg makes kg, ug makes g).
func isFlow(unit string) bool { return unit == "L/s" || unit == "m3/s" }
