package hj212

import "math"

// Decimal is Mant·10^Exp, exactly the number that was sent. The scale is kept: "231.0" is {2310, -1}.
type Decimal struct {
	Mant int64
	Exp  int8
}

// maxExponent bounds a written exponent while it is read, far beyond what Exp can hold, so that it cannot overflow.
const maxExponent = 100_000

// ParseDecimal reads the forms in which devices write numbers: 7, -7.10, +5, .5, 5., 1.0E-4. ok is false for everything else (empty,
// "-", "null", "NaN", hex) and for a number that Decimal cannot hold exactly: zeros aside, more than 18 to 19 digits, or an exponent
// outside -128..127. Nothing is ever rounded.
func ParseDecimal(text []byte) (d Decimal, ok bool) {
	if d, ok = plainDecimal(text); ok {
		return d, true
	}
	return anyDecimal(text)
}

// plainDecimal reads what anyDecimal does as long as it is digits and at most one point, too few to overflow; ok is false for the rest.
func plainDecimal(text []byte) (d Decimal, ok bool) {
	const most = 19 // 18 digits and the point
	var mant uint64
	point := len(text)
	for i, c := range text {
		digit := uint64(c - '0')
		if digit > 9 {
			if c != '.' || point < len(text) {
				return Decimal{}, false
			}
			point = i
			continue
		}
		mant = mant*10 + digit
	}
	exp := 0
	if point < len(text) {
		exp = point + 1 - len(text)
	}
	if len(text) > most || len(text) == most && exp == 0 && point == len(text) || len(text) < 2 && point < len(text) || len(text) == 0 {
		return Decimal{}, false
	}
	return Decimal{Mant: int64(mant), Exp: int8(exp)}, true
}

// anyDecimal reads every form.
func anyDecimal(text []byte) (d Decimal, ok bool) {
	i, neg := 0, false
	if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
		i, neg = 1, text[0] == '-'
	}
	var mant uint64
	digits, exp, zeros, point := 0, 0, 0, false // zeros: read after the mantissa's last digit, not yet in it
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		digits++
		if point {
			exp--
		}
		// A zero that no longer fits waits: unless another digit follows, it only scales the number.
		if c == '0' && (zeros > 0 || mant > math.MaxInt64/10) {
			zeros++
			continue
		}
		if zeros > 0 || mant > (math.MaxInt64-uint64(c-'0'))/10 {
			return Decimal{}, false
		}
		mant = mant*10 + uint64(c-'0')
	}
	if digits == 0 {
		return Decimal{}, false
	}
	written, ok := parseExponent(text[i:])
	if !ok {
		return Decimal{}, false
	}
	exp += zeros + written
	switch {
	case mant == 0 && (exp < math.MinInt8 || exp > math.MaxInt8):
		exp = 0
	case exp < math.MinInt8 || exp > math.MaxInt8:
		return Decimal{}, false
	}
	d = Decimal{Mant: int64(mant), Exp: int8(exp)}
	if neg {
		d.Mant = -d.Mant
	}
	return d, true
}

// parseExponent reads "" or E, a sign at will, and digits.
func parseExponent(text []byte) (exp int, ok bool) {
	if len(text) == 0 {
		return 0, true
	}
	if text[0] != 'e' && text[0] != 'E' {
		return 0, false
	}
	text = text[1:]
	neg := false
	if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
		neg, text = text[0] == '-', text[1:]
	}
	if len(text) == 0 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		exp = min(exp*10+int(c-'0'), maxExponent)
	}
	if neg {
		exp = -exp
	}
	return exp, true
}
