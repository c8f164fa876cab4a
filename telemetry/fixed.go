package telemetry

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// Fixed is a quantity in millionths of its unit: the one number form of the fold, of rules and of everything published.
// Range about ±9.2e12 units. Integers, because floating point that is fused on one architecture and not on another would make
// replays differ (architecture 5).
type Fixed int64

// FixedOne is 1.000000.
const FixedOne Fixed = 1_000_000

// MaxLimit bounds the magnitude of a limit, 1e12 units, so that a limit times a ratio below 2 fits a Fixed.
const MaxLimit Fixed = 1e18

// fixedDigits is the number of decimals of a Fixed.
const fixedDigits = 6

var pow10 = [19]int64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// FixedFromDecimal is mant·10^exp. Decimals beyond the sixth are rounded once, half to even (GB/T 8170). ok is false when the
// value is outside the range of Fixed.
func FixedFromDecimal(mant int64, exp int8) (f Fixed, ok bool) {
	shift := int(exp) + fixedDigits
	switch {
	case mant == 0:
		return 0, true
	case shift >= 0:
		if shift >= len(pow10) {
			return 0, false
		}
		p := pow10[shift]
		v := mant * p
		if v/p != mant {
			return 0, false
		}
		return Fixed(v), true
	case -shift >= len(pow10):
		return 0, true // |mant| < 2^63 < 10^19, so less than half of a millionth
	default:
		return Fixed(divHalfEven(mant, pow10[-shift])), true
	}
}

// ParseFixed reads a plain decimal ("-12.5"), as rule files and registries write them; at most six decimals. ok is false
// for anything else.
func ParseFixed(s string) (f Fixed, ok bool) {
	neg := false
	if s != "" && s[0] == '-' {
		neg, s = true, s[1:]
	}
	var mant int64
	digits, decimals, point := 0, 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.' && !point && digits > 0:
			point = true
		case c >= '0' && c <= '9':
			if digits == 18 {
				return 0, false
			}
			mant = mant*10 + int64(c-'0')
			digits++
			if point {
				decimals++
			}
		default:
			return 0, false
		}
	}
	if digits == 0 || decimals > fixedDigits || (point && decimals == 0) {
		return 0, false
	}
	if neg {
		mant = -mant
	}
	return FixedFromDecimal(mant, int8(-decimals))
}

// Append appends f as a plain decimal without trailing zeros: 12.5, -3, 0.000001.
func (f Fixed) Append(dst []byte) []byte {
	u := uint64(f)
	if f < 0 {
		dst = append(dst, '-')
		u = -u
	}
	whole := u / uint64(FixedOne)
	frac := uint32(u - whole*uint64(FixedOne))
	dst = AppendUint(dst, whole)
	if frac == 0 {
		return dst
	}
	n := len(dst)
	dst = slices.Grow(dst, 1+fixedDigits)[:n+1+fixedDigits]
	b := dst[n:]
	b[0] = '.'
	putPair(b[1:3], frac/10_000)
	putPair(b[3:5], frac/100%100)
	putPair(b[5:7], frac%100)
	n = len(dst)
	for dst[n-1] == '0' {
		n--
	}
	return dst[:n]
}

// AppendUint is strconv.AppendUint for decimals that mostly are small: a line has dozens of them.
func AppendUint(dst []byte, u uint64) []byte {
	switch {
	case u < 10:
		return append(dst, '0'+byte(u))
	case u < 100:
		return append(dst, digitPairs[2*u], digitPairs[2*u+1])
	}
	return strconv.AppendUint(dst, u, 10)
}

// putPair puts the text of 0..99 into two bytes.
func putPair(b []byte, n uint32) { b[0], b[1] = digitPairs[2*n], digitPairs[2*n+1] }

const digitPairs = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"

// String is the text of Append.
func (f Fixed) String() string { return string(f.Append(nil)) }

// MarshalText is the text of Append; JSON carries it as a string, so that no reader makes a float of it unasked.
func (f Fixed) MarshalText() ([]byte, error) { return f.Append(nil), nil }

// UnmarshalText is the inverse of MarshalText.
func (f *Fixed) UnmarshalText(b []byte) error {
	v, ok := ParseFixed(string(b))
	if !ok {
		return &FixedError{Text: string(b)}
	}
	*f = v
	return nil
}

// A FixedError is text that is not a plain decimal with at most six decimals within ±9.2e12.
type FixedError struct{ Text string }

func (e *FixedError) Error() string {
	return "not a plain decimal with at most six decimals: " + e.Text
}

// Sum is an exact sum of Fixed values: 128 bits, two's complement. The zero value is 0.
type Sum struct {
	Hi int64
	Lo uint64
}

// Add is s + f.
func (s Sum) Add(f Fixed) Sum {
	lo, carry := bits.Add64(s.Lo, uint64(f), 0)
	return Sum{Hi: s.Hi + int64(f)>>63 + int64(carry), Lo: lo}
}

// Plus is s + o.
func (s Sum) Plus(o Sum) Sum {
	lo, carry := bits.Add64(s.Lo, o.Lo, 0)
	return Sum{Hi: s.Hi + o.Hi + int64(carry), Lo: lo}
}

// Minus is s - o.
func (s Sum) Minus(o Sum) Sum {
	lo, borrow := bits.Sub64(s.Lo, o.Lo, 0)
	return Sum{Hi: s.Hi - o.Hi - int64(borrow), Lo: lo}
}

// Times is s·n, which must be within 127 bits.
func (s Sum) Times(n uint64) Sum {
	hi, lo := bits.Mul64(s.Lo, n)
	return Sum{Hi: s.Hi*int64(n) + int64(hi), Lo: lo}
}

// Cmp compares s with n·f exactly, n >= 0: -1, 0 or +1. So a mean is compared with a limit without being rounded.
func (s Sum) Cmp(f Fixed, n int64) int {
	p := mul(f, n)
	switch {
	case s.Hi < p.Hi || s.Hi == p.Hi && s.Lo < p.Lo:
		return -1
	case s == p:
		return 0
	}
	return 1
}

// Mean is s/n rounded once to a millionth, half to even (GB/T 8170). n must be positive and the mean within Fixed's range, which
// it is for a sum of n Fixed values.
func (s Sum) Mean(n int64) Fixed {
	neg := s.Hi < 0
	hi, lo := uint64(s.Hi), s.Lo
	if neg {
		var carry uint64
		lo, carry = bits.Add64(^lo, 1, 0)
		hi = ^hi + carry
	}
	q, r := bits.Div64(hi%uint64(n), lo, uint64(n))
	if half := uint64(n) - r; r > half || r == half && q&1 == 1 {
		q++
	}
	if neg {
		return -Fixed(q)
	}
	return Fixed(q)
}

// mul is f·n, exact.
func mul(f Fixed, n int64) Sum {
	u := uint64(f)
	if f < 0 {
		u = -u
	}
	hi, lo := bits.Mul64(u, uint64(n))
	if f < 0 {
		return Sum{}.Minus(Sum{Hi: int64(hi), Lo: lo})
	}
	return Sum{Hi: int64(hi), Lo: lo}
}

// divHalfEven is a/b rounded half to even; b > 0.
func divHalfEven(a, b int64) int64 {
	q, r := a/b, a%b
	if r < 0 {
		r = -r
	}
	if half := b - r; r > half || r == half && q&1 != 0 {
		if a < 0 {
			return q - 1
		}
		return q + 1
	}
	return q
}

// MulDiv is f·num/den, exact until it is rounded once, half to even. ok is false when den is 0 or the result outside the range of Fixed.
func (f Fixed) MulDiv(num, den uint64) (_ Fixed, ok bool) {
	u := uint64(f)
	if f < 0 {
		u = -u
	}
	hi, lo := bits.Mul64(u, num)
	if hi >= den {
		return 0, false
	}
	q, r := bits.Div64(hi, lo, den)
	if q > math.MaxInt64-1 {
		return 0, false
	}
	if half := den - r; r > half || r == half && q&1 == 1 {
		q++
	}
	if f < 0 {
		return -Fixed(q), true
	}
	return Fixed(q), true
}
