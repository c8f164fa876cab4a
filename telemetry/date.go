package telemetry

import (
	"fmt"
	"time"
)

// A Date is a calendar day as the number yyyymmdd, 20060101 for 2006-01-01; 0 is none. Dates compare as numbers.
type Date int32

// DateOf is the day of UTC+8 that holds an instant, in ms since 1970.
func DateOf(ms int64) Date {
	y, m, d := time.UnixMilli(ms).In(China).Date()
	return Date(y*10_000 + int(m)*100 + d)
}

// ParseDate reads YYYY-MM-DD. ok is false for anything else, and for a day that no calendar has.
func ParseDate(s string) (d Date, ok bool) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1 {
		return 0, false
	}
	return Date(t.Year()*10_000 + int(t.Month())*100 + t.Day()), true
}

// Month is 1..12.
func (d Date) Month() int { return int(d) / 100 % 100 }

// String is YYYY-MM-DD; empty for none.
func (d Date) String() string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d/10_000, d/100%100, d%100)
}

// MarshalText is String.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (d *Date) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = 0
		return nil
	}
	v, ok := ParseDate(string(b))
	if !ok {
		return fmt.Errorf("not a day like 2026-03-01: %q", b)
	}
	*d = v
	return nil
}
