package hj212

import (
	"encoding/binary"
	"time"
)

// zone is the wire's offset from UTC. The standards name no zone; all known use is China Standard Time, which has no summer time.
const zone = 8 * time.Hour

// ParseTime reads a wall-clock time of the wire: YYYYMMDD, and optionally hhmm, ss, zzz (8, 12, 14 or 17 digits). The wire carries
// UTC+8; the result is UTC. ok is false for another length, a non-digit, or a date or time that no calendar has; seconds end at 59.
func ParseTime(text []byte) (t time.Time, ok bool) {
	date, clock, ok := readTime(text)
	if !ok {
		return time.Time{}, false
	}
	year, month, day := date/10000, date/100%100, date%100
	hour, minute, sec, milli := clock/10_000_000, clock/100_000%100, clock/1000%100, clock%1000
	t = time.Date(year, time.Month(month), day, hour, minute, sec, milli*int(time.Millisecond), time.UTC)
	return t.Add(-zone), true
}

// isTime reports whether ParseTime reads text.
func isTime(text []byte) bool {
	_, _, ok := readTime(text)
	return ok
}

// readTime reads the digits of a time that ParseTime reads as the numbers YYYYMMDD and hhmmsszzz.
func readTime(text []byte) (date, clock int, ok bool) {
	switch len(text) {
	case 8, 12, 14, 17:
	default:
		return 0, 0, false
	}
	if len(text) < 17 {
		full := [17]byte{8: '0', '0', '0', '0', '0', '0', '0', '0', '0'}
		copy(full[:], text)
		text = full[:]
	}
	date, ok = readDigits(binary.LittleEndian.Uint64(text))
	if !ok || !isDate(date) {
		return 0, 0, false
	}
	clock, ok = readDigits(binary.LittleEndian.Uint64(text[8:]))
	last := text[16] - '0'
	clock = clock*10 + int(last)
	return date, clock, ok && last <= 9 && clock < 24_00_00_000 && clock/1_00_000%100 < 60 && clock/1000%100 < 60
}

// isDate reports whether the calendar has the date YYYYMMDD.
func isDate(date int) bool {
	year, month, day := date/10000, date/100%100, date%100
	switch {
	case month < 1 || month > 12 || day < 1:
		return false
	case month != 2:
		return day <= 30+(month+month>>3)&1
	case year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return day <= 29
	}
	return day <= 28
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
