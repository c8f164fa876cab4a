package guard

import (
	"strings"
	"testing"

	"outfall/rules"
	"outfall/telemetry"
)

func TestCompile(t *testing.T) {
	for _, c := range []struct{ text, code string }{
		{"水温 > 12", "@w01010 12 >"},
		{"小时均值 > 限值 * 0.9 and not (月份 in [11, 12, 1])", "mean limit 0.9 * > month 11 12 1 in:3 not and"},
		{`class == "一级A" or 类别 in ["一级B"] && 有效率>=0.75`, `class "一级A" = class "一级B" in:1 valid_share 0.75 >= and or`},
		{"-5 < w01010 and w01010 <= 12.50", "5 neg @w01010 < @w01010 12.50 <= and"},
		{"0 < 水温 <= 12", "0 @w01010 < @w01010 12 <= and"},
		{`介质 == ""`, `medium "-" =`},
		{"(均值 - 限值) / 限值 >= 0.000000000000001", "mean limit - limit / 0.000000000000001 >="},
	} {
		g, err := Compile(c.text, telemetry.StatHour)
		if err != nil || g.Code != c.code || g.Text != c.text {
			t.Errorf("%s: got %+v, %v, want %s", c.text, g, err, c.code)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, c := range []struct {
		text   string
		column int
		part   string
	}{
		{"水温 ＞ 12", 4, "write > with the half-width keyboard"},
		{"水温 ≥ 12", 4, "write >="},
		{"水温 > １2", 6, "full-width digit"},
		{"水文 > 12", 1, "水文 is no name of a condition"},
		{"日均值 > 12", 1, "belongs to rules of statistic day"},
		{"均值", 1, "bool"},
		{"均值 > \"a\"", 4, "mismatched types"},
		{"均值 > 1e3", 6, "plain decimal"},
		{"均值 > 0x10", 6, "plain decimal"},
		{"均值 ** 2 > 1", 4, "not in the language"},
		{"len([1]) > 0", 1, "len"},
		{"now() > 1", 1, "now"},
		{"any([1], # > 均值)", 1, ""},
		{"均值 > 1 ? true : false", 1, ""},
		{"let x = 1; x > 均值", 1, ""},
		{"均值 > 90%", 8, "share"},
		{"介质 matches \"a\"", 4, ""},
		{"均值 in 1..3", 6, ""},
		{"true", 1, ""},
		{"均值 > ", 6, ""},
		{"", 1, "empty"},
		{strings.Repeat("(", 200) + "均值>1" + strings.Repeat(")", 200), 101, "too deep"},
		{strings.TrimSuffix(strings.Repeat("均值>1 and ", 40), " and "), 1, "parts"},
	} {
		_, err := Compile(c.text, telemetry.StatHour)
		e, ok := err.(*Error)
		if !ok || !strings.Contains(e.Message, c.part) || e.Column < 1 || e.Column > len([]rune(c.text))+1 {
			t.Errorf("%.60s: got %v, want column %d and %q", c.text, err, c.column, c.part)
		} else if c.part != "" && e.Column != c.column {
			t.Errorf("%.60s: got %v, want column %d", c.text, err, c.column)
		}
	}
}

// FuzzCompile: what compiles is read back as the same code, and evaluates to something without an input.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{"水温 > 12", "小时均值 > 限值 * 0.9 or class in [\"a\"]", "-(均值/0) < 3", "0 < 水温 <= 12"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := Compile(text, telemetry.StatHour)
		if err != nil {
			if _, ok := err.(*Error); !ok {
				t.Fatalf("%q: %v is no *Error", text, err)
			}
			return
		}
		again, err := rules.NewGuard(g.Text, g.Code)
		if err != nil || again.Code != g.Code {
			t.Fatalf("%q: %s reads back as %v, %v", text, g.Code, again, err)
		}
		high, low := telemetry.FixedOne, telemetry.Fixed(0)
		r := rules.Rule{High: &high, Low: &low}
		again.Holds(&r, &rules.Window{Measure: rules.Measure{N: 1}, Valid: 1, Due: 1})
	})
}
