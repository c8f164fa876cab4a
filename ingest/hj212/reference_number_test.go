package hj212

import (
	"math"
	"time"
)

// referenceDecimal is ParseDecimal, one character after the other.
func referenceDecimal(text []byte) (d Decimal, ok bool) {
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
	written, ok := referenceExponent(text[i:])
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

// referenceExponent reads "" or E, a sign at will, and digits.
func referenceExponent(text []byte) (exp int, ok bool) {
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

// referenceTime is ParseTime, by the calendar of package time.
func referenceTime(text []byte) (t time.Time, ok bool) {
	switch len(text) {
	case 8, 12, 14, 17:
	default:
		return time.Time{}, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
	}
	num := func(from, to int) (n int) {
		if to > len(text) {
			return 0
		}
		for _, c := range text[from:to] {
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := num(0, 4), num(4, 6), num(6, 8)
	hour, minute, sec, milli := num(8, 10), num(10, 12), num(12, 14), num(14, 17)
	if month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || sec > 59 {
		return time.Time{}, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, sec, milli*int(time.Millisecond), time.UTC)
	if t.Day() != day { // time.Date turns February 30 into March
		return time.Time{}, false
	}
	return t.Add(-zone), true
}
