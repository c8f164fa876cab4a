package telemetry

import "testing"

func TestConvertUnit(t *testing.T) {
	for _, c := range []struct{ value, from, to, want string }{
		{"0.05", "mg/L", "ug/L", "50"}, {"50", "ug/L", "mg/L", "0.05"}, {"0.00005", "mg/L", "ug/L", "0.05"}, {"35", "µg/m3", "ng/m3", "35000"},
		{"10", "mg/m³", "ng/m3", "10000000"}, {"101.325", "kPa", "Pa", "101325"}, {"0.1", "MPa", "kPa", "100"}, {"21", "%", "share", "0.21"},
		{"6", "无量纲", "dimensionless", "6"}, {"850", "℃", "degC", "850"}, {"0.0001", "ug/L", "mg/L", ""}, {"1", "mg/L", "mg/m3", ""},
		{"1", "L/s", "m3/s", ""}, {"9000000000000", "g/L", "ug/L", ""},
	} {
		f, _ := ParseFixed(c.value)
		got, ok := ConvertUnit(f, c.from, c.to)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%s %s in %s: got %s, %v, want %s", c.value, c.from, c.to, got, ok, c.want)
		}
	}
}

func TestDate(t *testing.T) {
	for _, c := range []struct {
		text string
		ok   bool
	}{{"2026-03-01", true}, {"2024-02-29", true}, {"2026-02-29", false}, {"2026-3-1", false}, {"", false}, {"0000-01-01", false}} {
		d, ok := ParseDate(c.text)
		if ok != c.ok || ok && d.String() != c.text {
			t.Errorf("%q: got %s, %v", c.text, d, ok)
		}
	}
	const midnight = 1_772_294_400_000 // 2026-03-01 00:00 of UTC+8
	if DateOf(midnight) != 20260301 || DateOf(midnight-1) != 20260228 || Date(20260301).Month() != 3 {
		t.Errorf("got %s, %s", DateOf(midnight), DateOf(midnight-1))
	}
}
