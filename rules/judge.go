package rules

import (
	"fmt"
	"math"
	"math/bits"

	"outfall/telemetry"
)

// A Measure is an exact mean, Sum/N in millionths; N = 1 for an instant. The mean must be within Fixed's range, as it is
// for a sum of N Fixed values.
type Measure struct {
	Sum telemetry.Sum
	N   int64
}

// Value is the mean rounded once to a millionth, for show only.
func (m Measure) Value() telemetry.Fixed { return m.Sum.Mean(m.N) }

// Kinds of limit, as in telemetry.Alarm.LimitKind.
const (
	KindHigh = "high"
	KindLow  = "low"
)

// A Verdict is what a rule says of one measure.
type Verdict struct {
	Measure Measure
	Crossed bool // beyond a limit, or above the early warning
	Level   telemetry.AlarmLevel
	Limit   telemetry.Fixed // the limit itself, also of a warning; Crossed only
	Kind    string          // KindHigh or KindLow; Crossed only
	// LimitKept: on the good side of both limits, with hysteresis. It ends an alarm at level exceed.
	LimitKept bool
	// Cleared: the same, and also below the early warning, with hysteresis. It ends an alarm at level warning.
	Cleared bool
	// Exceeds and ExceedsRounded are the comparisons with the limit itself, of the full mean and of Rounded, which is the mean rounded once,
	// half to even, to the rule's digits. They are set where the rule names its rounding.
	Exceeds, ExceedsRounded bool
	Rounded                 telemetry.Fixed
	Guard                   Truth // what the rule's guard said: True without one, Unknown where it was judged all the same
}

// Round is the mean rounded once to so many decimals, -6..6, half to even (GB/T 8170).
func (m Measure) Round(digits int) telemetry.Fixed {
	unit := int64(1)
	for range maxDigits - digits {
		unit *= 10
	}
	if m.N <= math.MaxInt64/unit {
		return m.Sum.Mean(m.N*unit) * telemetry.Fixed(unit)
	}
	whole := m.Sum.Mean(m.N) // of more values than a mean has: rounded twice
	return telemetry.Sum{}.Add(whole).Mean(unit) * telemetry.Fixed(unit)
}

// Judge compares m with the rule's limits, exactly, and equality passes: the full mean, or the rounded one where the rule says so.
func (r *Rule) Judge(m Measure) Verdict {
	if m.N < 1 {
		panic(fmt.Sprintf("rules: judge a mean of %d values by %s", m.N, r.ID))
	}
	v := Verdict{Measure: m, Guard: True}
	if r.Rounding != "" {
		v.Rounded = m.Round(r.Digits)
		rounded := Measure{Sum: telemetry.Sum{}.Add(v.Rounded), N: 1}
		v.Exceeds, v.ExceedsRounded = r.beyond(m) != "", r.beyond(rounded) != ""
		if r.Rounding == RoundingLimit {
			m = rounded
		}
	}
	if kind := r.beyond(m); kind != "" {
		v.Crossed, v.Level, v.Limit, v.Kind = true, telemetry.LevelExceed, r.LimitOf(kind), kind
		if r.Verdict == VerdictWarn {
			v.Level = telemetry.LevelWarning
		}
		return v
	}
	v.LimitKept = (r.High == nil || m.cmpShare(*r.High, r.ClearBelow) <= 0) &&
		(r.Low == nil || m.cmpShare(*r.Low, 2*telemetry.FixedOne-r.ClearBelow) >= 0)
	v.Cleared = v.LimitKept
	if r.High == nil || r.EarlyWarning == 0 {
		return v
	}
	if m.cmpShare(*r.High, r.EarlyWarning) > 0 {
		v.Crossed, v.Level, v.Limit, v.Kind = true, telemetry.LevelWarning, *r.High, KindHigh
		v.Cleared = false
		return v
	}
	v.Cleared = v.LimitKept && m.cmpShare2(*r.High, r.EarlyWarning, r.ClearBelow) <= 0
	return v
}

// beyond is the kind of the limit that m lies beyond; empty: none.
func (r *Rule) beyond(m Measure) string {
	switch {
	case r.High != nil && m.Sum.Cmp(*r.High, m.N) > 0:
		return KindHigh
	case r.Low != nil && m.Sum.Cmp(*r.Low, m.N) < 0:
		return KindLow
	}
	return ""
}

// LimitOf is the limit of the kind, KindHigh or KindLow; the rule must have it.
func (r *Rule) LimitOf(kind string) telemetry.Fixed {
	if kind == KindLow {
		return *r.Low
	}
	return *r.High
}

// cmpShare compares m with ratio·limit exactly. limit is 0..MaxLimit and ratio 0..2; any limit with ratio 1.
func (m Measure) cmpShare(limit, ratio telemetry.Fixed) int {
	if ratio == telemetry.FixedOne {
		return m.Sum.Cmp(limit, m.N)
	}
	return m.cmpShare2(limit, ratio, telemetry.FixedOne)
}

// cmpShare2 compares m with a·b·limit exactly; a and b are 0..2, a·b too, and limit is 0..MaxLimit.
//
// a·b·limit is q + rest/1e12 millionths with whole q and 0 <= rest < 1e12. Sum > N·q + N·rest/1e12 is then a question about
// d = Sum - N·q, which fits 128 bits, and k = ⌊N·rest/1e12⌋ < N: no product is ever wider than 128 bits.
func (m Measure) cmpShare2(limit, a, b telemetry.Fixed) int {
	const scale = 1e12
	hi, lo := bits.Mul64(uint64(limit), uint64(a)*uint64(b)) // below 2^60 · 2e12 < 2^64 · 1e12
	q, rest := bits.Div64(hi, lo, scale)
	d := m.Sum.Minus(product(telemetry.Fixed(q), m.N))
	hi, lo = bits.Mul64(rest, uint64(m.N))
	k, left := bits.Div64(hi, lo, scale)
	c := d.Cmp(telemetry.Fixed(k), 1)
	if c == 0 && left > 0 {
		return -1
	}
	return c
}

// cmpMeans compares two means exactly, by cross-multiplication in 192 bits.
func cmpMeans(a, b Measure) int {
	aNeg, bNeg := a.Sum.Hi < 0, b.Sum.Hi < 0
	switch {
	case aNeg && !bNeg:
		return -1
	case !aNeg && bNeg:
		return 1
	}
	x, y := cross(a.Sum, b.N), cross(b.Sum, a.N)
	for i := range x {
		if x[i] != y[i] {
			if (x[i] > y[i]) != aNeg {
				return 1
			}
			return -1
		}
	}
	return 0
}

// cross is |s|·n, most significant word first.
func cross(s telemetry.Sum, n int64) [3]uint64 {
	if s.Hi < 0 {
		s = telemetry.Sum{}.Minus(s)
	}
	carry, low := bits.Mul64(s.Lo, uint64(n))
	high, mid := bits.Mul64(uint64(s.Hi), uint64(n))
	mid, c := bits.Add64(mid, carry, 0)
	return [3]uint64{high + c, mid, low}
}

// product is f·n for f, n >= 0.
func product(f telemetry.Fixed, n int64) telemetry.Sum {
	hi, lo := bits.Mul64(uint64(f), uint64(n))
	return telemetry.Sum{Hi: int64(hi), Lo: lo}
}

// TimesOver is (value-limit)/limit (超标倍数), rounded once to a millionth, half to even. It is 0 for a limit that is not above
// zero, and ends at the greatest and least Fixed.
func TimesOver(value, limit telemetry.Fixed) telemetry.Fixed {
	if limit <= 0 {
		return 0
	}
	neg := value < limit
	over := uint64(value) - uint64(limit) // |value-limit| < 2^64: limit is positive
	if neg {
		over = uint64(limit) - uint64(value)
	}
	n := uint64(limit)
	hi, lo := bits.Mul64(over, uint64(telemetry.FixedOne))
	if hi >= n {
		return saturated(neg)
	}
	q, rest := bits.Div64(hi, lo, n)
	if half := n - rest; rest > half || rest == half && q&1 == 1 {
		q++ // no wrap: q > MaxInt64 ends below
	}
	switch {
	case q > math.MaxInt64:
		return saturated(neg)
	case neg:
		return -telemetry.Fixed(q)
	}
	return telemetry.Fixed(q)
}

func saturated(neg bool) telemetry.Fixed {
	if neg {
		return math.MinInt64
	}
	return math.MaxInt64
}
