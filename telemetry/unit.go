package telemetry

import "strings"

// A unitScale is a unit as a power of ten of the base of its kind.
type unitScale struct {
	kind string
	exp  int8
}

// unitScales lists the units that are converted. What is not here is only ever equal to itself: no factor of 1.3 hides in a conversion.
var unitScales = map[string]unitScale{
	"g/m3": {"g/m3", 0}, "mg/m3": {"g/m3", -3}, "ug/m3": {"g/m3", -6}, "ng/m3": {"g/m3", -9},
	"g/L": {"g/L", 0}, "mg/L": {"g/L", -3}, "ug/L": {"g/L", -6}, "ng/L": {"g/L", -9},
	"MPa": {"Pa", 6}, "kPa": {"Pa", 3}, "hPa": {"Pa", 2}, "Pa": {"Pa", 0},
	"%": {"share", -2}, "share": {"share", 0},
	"mS/cm": {"S/cm", -3}, "uS/cm": {"S/cm", -6},
}

// sameUnits are other spellings of units of the factor table.
var sameUnits = map[string]string{"无量纲": "dimensionless", "倍": "colour degree", "个/L": "count/L", "℃": "degC", "dB(A)": "dB"}

// UnitName is a unit as the factor table spells it: µ and μ are u, and the Chinese names have theirs.
func UnitName(unit string) string {
	if name, ok := sameUnits[unit]; ok {
		return name
	}
	return strings.NewReplacer("µ", "u", "μ", "u", "³", "3").Replace(unit)
}

// ConvertUnit is a quantity in another unit, exactly. ok is false when the two units are not of one kind, or the result is no Fixed or would
// have to be rounded.
func ConvertUnit(f Fixed, from, to string) (g Fixed, ok bool) {
	if from, to = UnitName(from), UnitName(to); from == to {
		return f, true
	}
	a, known := unitScales[from]
	b, also := unitScales[to]
	if !known || !also || a.kind != b.kind {
		return 0, false
	}
	shift := a.exp - b.exp
	if shift < 0 {
		if p := Fixed(pow10[-shift]); f%p == 0 {
			return f / p, true
		}
		return 0, false
	}
	return FixedFromDecimal(int64(f), shift-fixedDigits)
}
