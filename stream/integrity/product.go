package integrity

import (
	"math/bits"

	"outfall/telemetry"
)

// addProduct is s + v·q, q >= 0, exact: v and q are within maxFixed, so a day of products fits.
func addProduct(s telemetry.Sum, v, q telemetry.Fixed) telemetry.Sum {
	neg := v < 0
	if neg {
		v = -v
	}
	hi, lo := bits.Mul64(uint64(v), uint64(q))
	p := telemetry.Sum{Hi: int64(hi), Lo: lo}
	if neg {
		return s.Minus(p)
	}
	return s.Plus(p)
}

// quotient is sum/weight, rounded once; ok is false unless the weight is positive.
func quotient(sum, weight telemetry.Sum) (telemetry.Fixed, bool) {
	if weight.Hi != 0 || weight.Lo == 0 || weight.Lo > 1<<62 {
		return 0, false
	}
	return sum.Mean(int64(weight.Lo)), true
}
