package rules

import (
	"testing"

	"outfall/telemetry"
)

// means answers for other factors.
type means map[string]telemetry.Fixed

func (m means) Mean(factor string) (Measure, bool) {
	f, ok := m[factor]
	return measure(f), ok
}

func guarded(t *testing.T, code string, change func(*Rule)) *Rule {
	t.Helper()
	r := rule(func(r *Rule) { r.EarlyWarning = 0 })
	r.When = &Guard{Text: code, Code: code}
	if change != nil {
		change(r)
	}
	if faults := r.Faults(); len(faults) > 0 {
		t.Fatal(faults)
	}
	return r
}

// Both comparisons of a mean with a limit of 50 (GB/T 8170): the full value decides, or the one rounded to the limit's digits.
func TestRounding(t *testing.T) {
	for _, c := range []struct {
		value               string
		digits              int
		rounded             string
		full, byLimit, kept bool // kept: by the rounded comparison the limit is kept again
		low, high           string
	}{
		{"50.4", 0, "50", true, false, true, "", "50"},
		{"50.5", 0, "50", true, false, true, "", "50"}, // half to even
		{"50.51", 0, "51", true, true, false, "", "50"},
		{"50", 0, "50", false, false, true, "", "50"},
		{"51.5", 0, "52", true, true, false, "", "50"},
		{"0.15", 1, "0.2", false, false, true, "", "0.2"},
		{"0.25", 1, "0.2", true, false, true, "", "0.2"},
		{"6", 0, "6", false, false, true, "6", "9"}, // pH: both ends inclusive
		{"9", 0, "9", false, false, true, "6", "9"},
		{"5.999999", 0, "6", true, false, true, "6", "9"},
		{"9.4", 0, "9", true, false, true, "6", "9"},
		{"50499", -3, "50000", true, false, true, "", "50000"},
	} {
		r := rule(func(r *Rule) {
			r.EarlyWarning, r.Rounding, r.Digits = 0, RoundingNone, c.digits
			r.High, r.Low = ref(fx(t, c.high)), nil
			if c.low != "" {
				r.Low = ref(fx(t, c.low))
			}
		})
		v := r.Judge(measure(fx(t, c.value)))
		if v.Crossed != c.full || v.Exceeds != c.full || v.ExceedsRounded != c.byLimit || v.Rounded.String() != c.rounded {
			t.Errorf("%s by the full value: got %+v", c.value, v)
		}
		r.Rounding = RoundingLimit
		v = r.Judge(measure(fx(t, c.value)))
		if v.Crossed != c.byLimit || v.LimitKept != c.kept || v.Measure.Value().String() != c.value {
			t.Errorf("%s by the rounded value: got %+v", c.value, v)
		}
	}
}

func TestWarnNeverSaysExceed(t *testing.T) {
	r := rule(func(r *Rule) { r.Verdict = VerdictWarn })
	if v := r.Judge(measure(fx(t, "500"))); v.Level != telemetry.LevelWarning || !v.Crossed || v.LimitKept {
		t.Errorf("got %+v", v)
	}
	var m Machine
	m.Next(r, r.Judge(measure(fx(t, "500"))))
	if m.Level() != telemetry.LevelWarning {
		t.Errorf("alarm of level %s", m.Level())
	}
}

func TestJudgeWindow(t *testing.T) {
	const march = 1_772_323_200_000 // 2026-03-01 08:00 of UTC+8
	for _, c := range []struct {
		name, code string
		change     func(*Rule)
		window     Window
		crossed    bool
		judged     bool
		guard      Truth
	}{
		{name: "holds", code: "@w01010 12 >", window: Window{Others: means{"w01010": 12_000_001}}, crossed: true, judged: true, guard: True},
		{name: "at 12 degrees it does not", code: "@w01010 12 >", window: Window{Others: means{"w01010": 12_000_000}}, judged: true},
		{name: "unknown is judged", code: "@w01010 12 >", window: Window{Others: means{}}, crossed: true, judged: true, guard: Unknown},
		{name: "unknown is skipped", code: "@w01010 12 >", change: func(r *Rule) { r.Unknown = UnknownSkip }, window: Window{Others: means{}}},
		{name: "unknown or true is true", code: "@w01010 12 > mean limit > or", window: Window{}, crossed: true, judged: true, guard: True},
		{name: "unknown and false is false", code: "@w01010 12 > mean limit < and", window: Window{}, judged: true},
		{name: "not unknown is unknown", code: "@w01010 12 > not", window: Window{}, crossed: true, judged: true, guard: Unknown},
		{name: "0.9 is nine tenths", code: "mean limit 0.9 * = not mean 70 = and", window: Window{}, crossed: true, judged: true, guard: True},
		{name: "exact thirds", code: "mean 3 / 3 * mean =", window: Window{}, crossed: true, judged: true, guard: True},
		{name: "division by zero is unknown", code: "mean limit limit - / 1 >", window: Window{}, crossed: true, judged: true, guard: Unknown},
		{name: "times over", code: "times_over 0.4 =", window: Window{}, crossed: true, judged: true, guard: True},
		{name: "valid share", code: "valid_share 0.75 =", window: Window{Valid: 45, Due: 60}, crossed: true, judged: true, guard: True},
		{name: "texts", code: `class "一级A" "一级B" in:2 medium "gas" != and`, window: Window{Device: &telemetry.Device{Class: "一级B", Medium: "water"}},
			crossed: true, judged: true, guard: True},
		{name: "a text that is not there", code: `class "-" =`, window: Window{Device: &telemetry.Device{}}, crossed: true, judged: true, guard: True},
		{name: "month of UTC+8", code: "month 3 =", window: Window{Start: march}, crossed: true, judged: true, guard: True},
		{name: "too little valid", code: "mean 0 >", window: Window{Valid: 44, Due: 60}},
		{name: "corrected rule, measured value", code: "mean 0 >", change: func(r *Rule) { r.Value = ValueCorrected }},
		{name: "measured rule, corrected value", code: "mean 0 >", window: Window{Corrected: true}},
		{name: "corrected rule and value", code: "mean 0 >", change: func(r *Rule) { r.Value = ValueCorrected }, window: Window{Corrected: true}, crossed: true, judged: true, guard: True},
		{name: "before it is valid", code: "mean 0 >", change: func(r *Rule) { r.ValidFrom = 20260302 }, window: Window{Start: march}, judged: true, guard: True},
		{name: "on its last day", code: "mean 0 >", change: func(r *Rule) { r.ValidTo = 20260301 }, window: Window{Start: march}, crossed: true, judged: true, guard: True},
		{name: "after it", code: "mean 0 >", change: func(r *Rule) { r.ValidTo = 20260228 }, window: Window{Start: march}, judged: true, guard: True},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, w := guarded(t, c.code, c.change), c.window
			w.Measure = measure(70_000_000)
			if w.Due == 0 {
				w.Valid, w.Due = 1, 1
			}
			v, ok := r.JudgeWindow(&w)
			if ok != c.judged || v.Crossed != c.crossed || ok && v.Guard != c.guard {
				t.Errorf("got %+v, %v", v, ok)
			}
			if ok && !v.Crossed && !v.Cleared {
				t.Errorf("a window without the rule's conditions is not clear: %+v", v)
			}
			if ok {
				if j := r.Judgement(&v, &w); j == nil || j.Guard != v.Guard.String() {
					t.Errorf("judgement %+v", j)
				}
			}
		})
	}
}

func TestGuardRefuses(t *testing.T) {
	for _, code := range []string{"", " ", "mean", "mean 0", "mean 0 > ", "mean  0 >", "0 >", "mean 1e3 >", "mean .5 >", "mean 0 > and", "@w99999 0 >", "@011 0 >", "mood 0 >",
		`class 0 =`, `class "" =`, `class "a" "b" in:3`, `class "a"x =`, "mean 1 in:0", "mean 1234567890123456789 >", "mean 0 > mean 0 >"} {
		if _, err := NewGuard("x", code); err == nil {
			t.Errorf("%q was read", code)
		}
	}
}

// A permit counts where it is stricter, and an outlet can be judged by the other mean.
func TestAt(t *testing.T) {
	permit := func(low, high string) telemetry.Device {
		p := telemetry.Permit{Factor: "w01018", Statistic: telemetry.StatHour, Unit: "mg/L"}
		if low != "" {
			p.Low = ref(fx(t, low))
		}
		if high != "" {
			p.High = ref(fx(t, high))
		}
		return telemetry.Device{Permits: []telemetry.Permit{p}}
	}
	for _, c := range []struct{ low, high, want string }{{"", "40.5", "40.5"}, {"", "60", "50"}, {"", "50", "50"}, {"5", "", "5..50"}, {"60", "", "50"}} {
		r, d := rule(func(r *Rule) { r.Rounding = RoundingNone }), permit(c.low, c.high)
		at := r.At(&d)
		got := at.High.String()
		if at.Low != nil {
			got = at.Low.String() + ".." + got
		}
		if got != c.want || (at == r) != (c.want == "50") || r.High.String() != "50" {
			t.Errorf("permit %s..%s: got %s", c.low, c.high, got)
		}
		if c.high == "40.5" && at.Digits != 1 {
			t.Errorf("digits %d", at.Digits)
		}
	}
	other := permit("", "40")
	other.Permits[0].Statistic = telemetry.StatDay
	if r := rule(nil); r.At(&other) != r {
		t.Error("a permit of the day counts for the hour")
	}
	d := telemetry.Device{Judged: telemetry.StatDay, Standard: "S"}
	if r := rule(func(r *Rule) { r.Standard = "S" }); r.At(&d).Verdict != VerdictWarn {
		t.Errorf("hour rule at an outlet judged by the day: %q", r.At(&d).Verdict)
	}
	if r := rule(func(r *Rule) { r.Standard, r.Statistic, r.Verdict = "S", telemetry.StatDay, VerdictWarn }); r.At(&d).Verdict != VerdictExceed {
		t.Errorf("day rule at an outlet judged by the day: %q", r.At(&d).Verdict)
	}
	if r := rule(nil); r.At(&d) != r {
		t.Error("a rule without a standard changes")
	}
}

func TestAppliesByLaw(t *testing.T) {
	d := &telemetry.Device{MN: "88888880000001", Medium: "water", Region: "贵州省/贵阳市/清镇市", Standard: "S", Class: "A", Built: 20060101}
	for _, c := range []struct {
		name   string
		change func(*Rule)
		want   bool
	}{
		{"standard and class", func(r *Rule) { r.Standard, r.Class = "S", "A" }, true},
		{"another class", func(r *Rule) { r.Standard, r.Class = "S", "B" }, false},
		{"region", func(r *Rule) { r.Regions = []string{"四川省", "贵州省"} }, true},
		{"a region that only begins alike", func(r *Rule) { r.Regions = []string{"贵州省/贵阳"} }, false},
		{"except the city", func(r *Rule) { r.Regions, r.ExceptRegions = []string{"贵州省"}, []string{"贵州省/贵阳市"} }, false},
		{"built on the first day", func(r *Rule) { r.BuiltFrom = 20060101 }, true},
		{"built too late", func(r *Rule) { r.BuiltTo = 20051231 }, false},
	} {
		if got := rule(c.change).Applies(d); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
	d.Built = 0
	if !rule(func(r *Rule) { r.BuiltFrom = 20060101 }).Applies(d) || rule(func(r *Rule) { r.BuiltTo = 20051231 }).Applies(d) {
		t.Error("without a date the newest limits count")
	}
}

func TestEqual(t *testing.T) {
	if a, b := guarded(t, "mean 0 >", nil), guarded(t, "mean 0 >", nil); !a.Equal(b) {
		t.Error("the same rule is another")
	}
	for i, change := range []func(*Rule){
		func(r *Rule) { r.When = &Guard{Text: "mean 0 >", Code: "mean 1 >"} }, func(r *Rule) { r.Regions = []string{"a"} }, func(r *Rule) { r.ExceptRegions = []string{"a"} },
		func(r *Rule) { r.ValidFrom = 1 }, func(r *Rule) { r.Low = ref(1) }, func(r *Rule) { r.Clause = "x" }, func(r *Rule) { r.Confidence = "x" },
		func(r *Rule) { r.Digits = 1 }, func(r *Rule) { r.ExcludeMarks = []string{"m"} }, func(r *Rule) { r.Outlet = "x" },
	} {
		a, b := guarded(t, "mean 0 >", nil), guarded(t, "mean 0 >", nil)
		if change(b); a.Equal(b) {
			t.Errorf("change %d is not seen", i)
		}
	}
}
