package rules

import (
	"math"
	"math/big"
	"testing"

	"outfall/telemetry"

	"pgregory.net/rapid"
)

func fx(t testing.TB, text string) telemetry.Fixed {
	t.Helper()
	f, ok := telemetry.ParseFixed(text)
	if !ok {
		t.Fatalf("%q is no decimal", text)
	}
	return f
}

func ref(f telemetry.Fixed) *telemetry.Fixed { return &f }

// rule has a high limit of 50 with an early warning at 45, unless change says otherwise.
func rule(change func(*Rule)) *Rule {
	r := &Rule{ID: "w-cod", Title: "化学需氧量", Basis: "GB 18918-2002 表1", Factor: "w01018", Statistic: telemetry.StatHour, Unit: "mg/L",
		High: ref(50_000_000), EarlyWarning: 900_000, RaiseAfter: 1, ClearAfter: 1, ClearBelow: telemetry.FixedOne, MinValid: 750_000}
	if change != nil {
		change(r)
	}
	return r
}

func measure(f telemetry.Fixed) Measure { return Measure{Sum: telemetry.Sum{}.Add(f), N: 1} }

func ph(r *Rule) {
	r.Low, r.High, r.EarlyWarning, r.Unit = ref(6_000_000), ref(9_000_000), 0, "dimensionless"
}

func hysteresis(r *Rule) { r.ClearBelow = 950_000 }

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*Rule)
		value   string
		level   telemetry.AlarmLevel // empty: not crossed
		kind    string
		kept    bool
		cleared bool
	}{
		{"full value, not rounded to the limit's digits", nil, "50.4", "exceed", "high", false, false},
		{"equality passes the limit, above the early warning", nil, "50", "warning", "high", true, false},
		{"one millionth above", nil, "50.000001", "exceed", "high", false, false},
		{"equality with the early warning passes", nil, "45", "", "", true, true},
		{"one millionth above the early warning", nil, "45.000001", "warning", "high", true, false},
		{"no early warning", func(r *Rule) { r.EarlyWarning = 0 }, "49.999999", "", "", true, true},
		{"pH at its lower end", ph, "6", "", "", true, true},
		{"pH below", ph, "5.999999", "exceed", "low", false, false},
		{"pH at its upper end", ph, "9", "", "", true, true},
		{"pH above", ph, "9.000001", "exceed", "high", false, false},
		{"hysteresis: limit kept at 47.5, warning not gone", hysteresis, "47.5", "warning", "high", true, false},
		{"hysteresis: above 47.5", hysteresis, "47.500001", "warning", "high", false, false},
		{"hysteresis: between 42.75 and 45", hysteresis, "42.750001", "", "", true, false},
		{"hysteresis: at 42.75", hysteresis, "42.75", "", "", true, true},
		{"low hysteresis: 6.3 is clear", func(r *Rule) { ph(r); hysteresis(r) }, "6.3", "", "", true, true},
		{"low hysteresis: below 6.3", func(r *Rule) { ph(r); hysteresis(r) }, "6.299999", "", "", false, false},
		{"negative limits", func(r *Rule) { ph(r); r.Low, r.High = ref(-20), ref(-10) }, "-0.000021", "exceed", "low", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := rule(c.change).Judge(measure(fx(t, c.value)))
			if v.Crossed != (c.level != "") || v.Level != c.level || v.Kind != c.kind || v.LimitKept != c.kept || v.Cleared != c.cleared {
				t.Errorf("judge %s: got %+v, want level %q kind %q kept %v cleared %v", c.value, v, c.level, c.kind, c.kept, c.cleared)
			}
		})
	}
}

// 40 + 60.000001 is a mean of 50.0000005: rounded to a millionth, half to even, it would be the limit and pass.
func TestJudgeDoesNotRoundTheMean(t *testing.T) {
	m := Measure{Sum: telemetry.Sum{}.Add(40_000_000).Add(60_000_001), N: 2}
	if v := rule(nil).Judge(m); v.Level != telemetry.LevelExceed || m.Value() != 50_000_000 {
		t.Errorf("mean %s: got %+v, want exceed", m.Value(), v)
	}
}

// draws of a mean near or far from a limit; near ones are what could go wrong.
func drawMeasure(t *rapid.T, near telemetry.Fixed, name string) Measure {
	n := rapid.OneOf(rapid.Int64Range(1, 1500), rapid.Int64Range(1, math.MaxInt64)).Draw(t, name+" n")
	each := rapid.OneOf(rapid.Int64Range(-3, 3), rapid.Int64()).Draw(t, name+" each")
	if rapid.Bool().Draw(t, name+" near") && each >= -3 && each <= 3 {
		each += int64(near)
	}
	sum := new(big.Int).Mul(big.NewInt(each), big.NewInt(n))
	if rapid.Bool().Draw(t, name+" odd") {
		sum.Add(sum, big.NewInt(rapid.Int64Range(-n/2, n/2).Draw(t, name+" part")))
	}
	// Only means within Fixed's range are promised to work.
	bound := new(big.Int).Mul(big.NewInt(math.MaxInt64), big.NewInt(n))
	if sum.CmpAbs(bound) > 0 {
		sum.Set(bound)
	}
	low := new(big.Int).And(sum, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
	return Measure{Sum: telemetry.Sum{Hi: new(big.Int).Rsh(sum, 64).Int64(), Lo: low}, N: n}
}

func rat(m Measure) *big.Rat {
	sum := new(big.Int).Lsh(big.NewInt(m.Sum.Hi), 64)
	sum.Add(sum, new(big.Int).SetUint64(m.Sum.Lo))
	return new(big.Rat).SetFrac(sum, big.NewInt(m.N))
}

func TestJudgeAgreesWithRationals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one := telemetry.FixedOne
		share := func(name string) telemetry.Fixed {
			return telemetry.Fixed(rapid.Int64Range(1, 1_000_000).Draw(t, name))
		}
		limit := rapid.OneOf(rapid.Int64Range(1, 100_000_000), rapid.Int64Range(1, int64(MaxLimit)))
		r := rule(func(r *Rule) { r.High = ref(telemetry.Fixed(limit.Draw(t, "high"))) })
		r.EarlyWarning = min(share("warning"), one-1)
		r.ClearBelow = share("clear")
		if rapid.Bool().Draw(t, "low too") {
			r.Low = ref(telemetry.Fixed(rapid.Int64Range(0, int64(*r.High)-1).Draw(t, "low")))
		}
		near := *r.High
		switch {
		case r.Low != nil && rapid.Bool().Draw(t, "near low"):
			near = *r.Low
		case *r.High < 1e12 && rapid.Bool().Draw(t, "near warning"):
			near = *r.High * r.EarlyWarning / one
		}
		m := drawMeasure(t, near, "m")
		got := r.Judge(m)

		mean := rat(m)
		times := func(limit telemetry.Fixed, ratios ...telemetry.Fixed) *big.Rat {
			x := new(big.Rat).SetInt64(int64(limit))
			for _, f := range ratios {
				x.Mul(x, big.NewRat(int64(f), int64(one)))
			}
			return x
		}
		exceedHigh := mean.Cmp(times(*r.High)) > 0
		exceedLow := r.Low != nil && mean.Cmp(times(*r.Low)) < 0
		warning := !exceedHigh && !exceedLow && mean.Cmp(times(*r.High, r.EarlyWarning)) > 0
		kept := mean.Cmp(times(*r.High, r.ClearBelow)) <= 0 && (r.Low == nil || mean.Cmp(times(*r.Low, 2*one-r.ClearBelow)) >= 0)
		kept = kept && !exceedHigh && !exceedLow
		cleared := kept && mean.Cmp(times(*r.High, r.EarlyWarning, r.ClearBelow)) <= 0
		if got.Crossed != (exceedHigh || exceedLow || warning) || (got.Level == telemetry.LevelExceed) != (exceedHigh || exceedLow) ||
			(got.Kind == KindLow) != (exceedLow && !exceedHigh) || got.LimitKept != kept || got.Cleared != cleared {
			t.Fatalf("mean %s: got %+v, want high %v low %v warning %v kept %v cleared %v", mean, got, exceedHigh, exceedLow, warning, kept, cleared)
		}
		if o := drawMeasure(t, near, "o"); cmpMeans(m, o) != mean.Cmp(rat(o)) {
			t.Fatalf("cmpMeans(%s, %s) = %d", mean, rat(o), cmpMeans(m, o))
		}
	})
}

func TestTimesOver(t *testing.T) {
	for _, c := range []struct{ value, limit, want string }{
		{"100", "50", "1"},
		{"62", "50", "0.24"},
		{"50", "50", "0"},
		{"45", "50", "-0.1"},
		{"50.000025", "50", "0"},        // 0.0000005: half to even
		{"50.000075", "50", "0.000002"}, // 0.0000015: half to even
		{"4", "3", "0.333333"},
		{"1", "0", "0"},
		{"1", "-5", "0"},
		{"5000000", "0.000001", "4999999999999"},
		{"50000000", "0.000001", "9223372036854.775807"},
		{"-50000000", "0.000001", "-9223372036854.775808"},
	} {
		if got := TimesOver(fx(t, c.value), fx(t, c.limit)); got.String() != c.want {
			t.Errorf("TimesOver(%s, %s) = %s, want %s", c.value, c.limit, got, c.want)
		}
	}
	if got := TimesOver(math.MinInt64, math.MaxInt64); got.String() != "-2" {
		t.Errorf("over the whole range: got %s, want -2", got)
	}
}
