package hj212

import (
	"math"
	"math/big"
	"regexp"
	"testing"
	"time"
)

func TestParseDecimal(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Decimal
	}{
		{"7", Decimal{7, 0}}, {"231.0", Decimal{2310, -1}}, {"-7.10", Decimal{-710, -2}}, {"+5", Decimal{5, 0}}, {".5", Decimal{5, -1}}, {"5.", Decimal{5, 0}},
		{"1.0E-4", Decimal{10, -5}}, {"2e3", Decimal{2, 3}}, {"0.00", Decimal{0, -2}}, {"00012", Decimal{12, 0}}, {"235.292750833832", Decimal{235292750833832, -12}},
		{"9223372036854775807", Decimal{math.MaxInt64, 0}}, {"-9223372036854775807", Decimal{-math.MaxInt64, 0}},
		{"1.0000000000000000000000", Decimal{1e18, -18}}, {"10000000000000000000000", Decimal{1e18, 4}}, {"0E999", Decimal{0, 0}}, {"1e127", Decimal{1, 127}},
	} {
		if got, ok := ParseDecimal([]byte(tt.text)); !ok || got != tt.want {
			t.Errorf("%q: %v, %t, want %v", tt.text, got, ok, tt.want)
		}
	}
	for _, text := range []string{
		"", "-", "--", "+", ".", "-.", "null", "NaN", "Inf", "0x1F", "1,5", "1 2", "1.2.3", "1E", "1E+", "E5", "1e128", "1e-129", "1e99999999999999999999",
		"9223372036854775808", "1.00000000000000000001", "St", "５",
	} {
		if got, ok := ParseDecimal([]byte(text)); ok {
			t.Errorf("%q: %v, want none", text, got)
		}
	}
}

var (
	exponent  = regexp.MustCompile(`[eE][+-]?0*([0-9]*)$`)
	notDigits = regexp.MustCompile(`[^0-9]|[eE].*`)
)

var number = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// FuzzDecimal: a Decimal is the very number that math/big reads, and that of the reference (equality decimal); only a number that does not fit is refused.
func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"7.10", "-.5", "1.0E-4", "9223372036854775808", "0.000", "100000000000000000000.00", "1e-129", "--", "1_0", "0b1"} {
		f.Add(s)
	}
	var c checker
	f.Fuzz(func(t *testing.T, text string) {
		d, ok := ParseDecimal([]byte(text))
		if err := c.decimal([]byte(text), 0); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if !number.MatchString(text) {
			if ok {
				t.Errorf("%q is no number, got %v", text, d)
			}
			return
		}
		e := exponent.FindStringSubmatch(text)
		if e != nil && len(e[1]) > 3 {
			return // beyond what math/big reads in reasonable time
		}
		want, valid := new(big.Rat).SetString(text)
		if !valid {
			t.Fatalf("math/big does not read %q", text)
		}
		if !ok {
			// Within 18 significant digits and exponents of two digits everything fits.
			digits := len(notDigits.ReplaceAllString(text, ""))
			if digits <= 18 && (e == nil || len(e[1]) < 3) {
				t.Errorf("%q is refused", text)
			}
			return
		}
		scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(d.Exp, -d.Exp))), nil))
		if d.Exp == math.MinInt8 {
			scale.SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(128), nil))
		}
		got := new(big.Rat).SetInt64(d.Mant)
		if d.Exp < 0 {
			got.Quo(got, scale)
		} else {
			got.Mul(got, scale)
		}
		if got.Cmp(want) != 0 {
			t.Errorf("%q: %v is %s", text, d, got)
		}
	})
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"20160801085857":    "2016-08-01T00:58:57Z",
		"20160801085857223": "2016-08-01T00:58:57.223Z",
		"201608010858":      "2016-08-01T00:58:00Z",
		"20160801":          "2016-07-31T16:00:00Z",
		"20240229000000":    "2024-02-28T16:00:00Z",
		"19700101000000":    "1969-12-31T16:00:00Z",
	} {
		if got, ok := ParseTime([]byte(text)); !ok || got.Format(time.RFC3339Nano) != want || got.Location() != time.UTC {
			t.Errorf("%s: %v, %t, want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "2016", "2016080108585", "201608010858572", "20160801085860", "20160801086000", "20160801240000", "20161301000000", "20160001000000",
		"20160800000000", "20230229000000", "20160431000000", "2016080108585x", "+2016801085857", "253000",
	} {
		if got, ok := ParseTime([]byte(text)); ok {
			t.Errorf("%q: %v, want none", text, got)
		}
	}
}

func TestAppendTime(t *testing.T) {
	for _, text := range []string{"20160801085857223", "20231231235959999", "20240229000000001", "00010101080000000"} {
		at, ok := ParseTime([]byte(text))
		if got := string(AppendQN(nil, at)); !ok || got != text {
			t.Errorf("%s: %s, %t", text, got, ok)
		}
		if got := string(AppendTime([]byte("x"), at.In(time.FixedZone("", -5*3600)))); got != "x"+text[:14] {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// FuzzTime: equality time.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"20160801085857223", "20240229", "00000229", "19000229000000", "201608012359", "2016080.", "20160801085860"} {
		f.Add(s)
	}
	var c checker
	f.Fuzz(func(t *testing.T, text string) {
		if err := c.time([]byte(text), 0); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// TestEveryDate: the calendar of four centuries.
func TestEveryDate(t *testing.T) {
	for day := range 401 * 14 * 33 {
		text := appendDigits(nil, 1600+day/33/14, 4)
		text = appendDigits(appendDigits(text, day/33%14, 2), day%33, 2)
		if _, want := referenceTime(text); isTime(text) != want {
			t.Fatalf("%s: %t", text, !want)
		}
	}
}
