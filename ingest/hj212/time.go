package hj212

import "time"

// zone is the wire's offset from UTC. The standards name no zone; all known use is China Standard Time, which has no summer time.
const zone = 8 * time.Hour

// ParseTime reads a wall-clock time of the wire: YYYYMMDD, and optionally hhmm, ss, zzz (8, 12, 14 or 17 digits). The wire carries
// UTC+8; the result is UTC. ok is false for another length, a non-digit, or a date or time that no calendar has; seconds end at 59.
func ParseTime(text []byte) (t time.Time, ok bool) {
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

// AppendTime appends t as YYYYMMDDhhmmss in UTC+8, cut to the second. The year must be within 0..9999.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC().Add(zone)
	year, month, day := t.Date()
	hour, minute, sec := t.Clock()
	dst = appendDigits(dst, year, 4)
	for _, n := range [...]int{int(month), day, hour, minute, sec} {
		dst = appendDigits(dst, n, 2)
	}
	return dst
}

// AppendQN appends t in the form of a QN: AppendTime and milliseconds, 17 digits.
func AppendQN(dst []byte, t time.Time) []byte {
	return appendDigits(AppendTime(dst, t), t.Nanosecond()/int(time.Millisecond), 3)
}

// appendDigits appends the last width decimal digits of n >= 0, zero padded.
func appendDigits(dst []byte, n, width int) []byte {
	start := len(dst)
	dst = append(dst, "0000"[:width]...)
	for i := len(dst) - 1; i >= start; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}
