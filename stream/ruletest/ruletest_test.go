package ruletest

import (
	"strings"
	"testing"

	"outfall/rules/rulefile"
)

const head = `
ruleset: t
version: 1
library:
  - {standard: GB 18918-2002, class: 城镇污水处理厂 一级A}
  - {standard: GB 18485-2014}
rules:
  - {id: full, title: t, basis: b, factor: w01018, statistic: hour, limit: {high: 50, unit: mg/L}, rounding: none}
  - {id: rounded, title: t, basis: b, factor: w01018, statistic: hour, limit: {high: 50, unit: mg/L}, rounding: limit_digits}
  - {id: ph, title: t, basis: b, factor: w01001, statistic: hour, limit: {low: 6, high: 9, unit: dimensionless}, rounding: none}
  - {id: minute, title: t, basis: b, factor: w01018, statistic: minute, limit: {high: 50, unit: mg/L}, alarm: {after: 2}}
  - {id: instant, title: t, basis: b, factor: w01018, statistic: instant, limit: {high: 50, unit: mg/L}}
  - {id: o2, title: t, basis: b, medium: gas, factor: a21026, statistic: hour, limit: {high: 35, unit: mg/m3}, when: 含氧量 < 19}
tests:
`

// Each row is a test of a file, and what it must say of it; nothing: it passes.
func TestRun(t *testing.T) {
	for _, c := range []struct{ name, test, want string }{
		{"50.4 exceeds by the full value, not by the rounded one", `
    series: {w01018: "50.4"}
    expect: [{at: 1h, alarm: full, level: exceed, value: 50.4, limit: 50}, {at: 1h, none: rounded}]`, ""},
		{"50.5 rounds to the even 50", `
    series: {w01018: "50.5"}
    expect: [{at: 1h, alarm: full}, {at: 1h, none: rounded}]`, ""},
		{"50.51 rounds to 51", `
    series: {w01018: "50.51"}
    expect: [{at: 1h, alarm: rounded, value: 50.51}]`, ""},
		{"equality passes", `
    series: {w01018: "50x3"}
    expect: [{at: 3h, none: full}, {at: 3h, none: rounded}]`, ""},
		{"both ends of pH are inclusive", `
    series: {w01001: "6 9 5.99 7 9.01"}
    expect: [{at: 2h, none: ph}, {at: 3h, alarm: ph, limit: 6}, {at: 4h, none: ph}, {at: 5h, alarm: ph, limit: 9}]`, ""},
		{"marked values do not count", `
    series: {w01018: "40 90!D 40"}
    expect: [{at: 3h, none: full}]`, ""},
		{"late data raise when they come", `
    series: {w01018: "40 90~ 40"}
    expect: [{at: 3h, none: full}, {at: 4h, raised: full, value: 90}]`, ""},
		{"minutes in a row", `
    step: minute
    series: {w01018: "40 60 40 60 61"}
    expect: [{at: 4m, none: minute}, {at: 5m, alarm: minute, value: 61}]`, ""},
		{"instants", `
    step: instant
    series: {w01018: "50 50.000001"}
    expect: [{at: 0s, none: instant}, {at: 30s, alarm: instant}]`, ""},
		{"ammonia above 12 degrees", `
    step: day
    device: {standard: GB 18918-2002, class: 城镇污水处理厂 一级A}
    series: {w21003: "6x2", w01010: "12.1 12"}
    expect: [{at: 1d, alarm: gb18918-2002.025.w21003, limit: 5}, {at: 2d, none: gb18918-2002.025.w21003}, {at: 2d, none: gb18918-2002.026.w21003}]`, ""},
		{"ammonia, temperature unknown: the stricter", `
    step: day
    device: {standard: GB 18918-2002, class: 城镇污水处理厂 一级A}
    series: {w21003: "6"}
    expect: [{at: 1d, alarm: gb18918-2002.025.w21003}]`, ""},
		{"a permit is stricter", `
    device: {permits: [{factor: w01018, statistic: hour, high: 40, unit: mg/L}]}
    series: {w01018: "40 40.1"}
    expect: [{at: 1h, none: full}, {at: 2h, alarm: full, limit: 40}]`, ""},
		{"oxygen near air", `
    device: {medium: gas}
    series: {a21026: "60 60", a19001: "20 10"}
    expect: [{at: 1h, none: o2}, {at: 2h, alarm: o2}]`, ""},
		{"raw frames", `
    step: instant
    frames:
      - '##0121QN=20260302000030000;ST=32;CN=2011;PW=123456;MN=88888880000001;Flag=5;CP=&&DataTime=20260302000000;w01018-Rtd=60,w01018-Flag=N&&0000'
    expect: [{at: 1m, alarm: instant, value: 60}]`, ""},
		{"a wrong expectation is told with what came", `
    series: {w01018: "62"}
    expect: [{at: 1h, none: full}, {at: 1h, alarm: rounded, value: 63}]`,
			"at 1h0m0s, full: want no alarm, got an alarm of level exceed, value 62, limit 50, window 03-02 00:00\n" +
				"at 1h0m0s, rounded: want an alarm, value 63, got an alarm of level exceed, value 62, limit 50, window 03-02 00:00"},
		{"an alarm that does not come is told with the window", `
    series: {w01018: "42"}
    expect: [{at: 1h, alarm: full}]`, "at 1h0m0s, full: want an alarm, got none: the newest hour was 42"},
		{"corrected values: 100 at 6 % of oxygen is 66.667 at 11 %, 50 at 16 % is 100", `
    device: {medium: gas, standard: GB 18485-2014, class: 生活垃圾焚烧炉, stack: ref_o2:11}
    step: day
    series: {a21026: "100 50", a19001: "6 16"}
    expect: [{at: 1d, none: gb18485-2014.008.a21026}, {at: 2d, alarm: gb18485-2014.008.a21026, level: exceed, value: 100, limit: 80}]`, ""},
		{"corrected values are not there", `
    device: {medium: gas, standard: GB 18485-2014, class: 生活垃圾焚烧炉}
    step: day
    series: {a21026: "500"}
    expect: [{at: 1d, alarm: gb18485-2014.008.a21026}]`, "at 24h0m0s, gb18485-2014.008.a21026: want an alarm, got none: no day of a21026-Zs was published; the test's device needs a stack, and the series what it is corrected by"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := rulefile.Read("r.yaml", []byte(head+"  - name: x"+c.test+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			results, _ := Run(f)
			got := strings.Join(results[0].Failures, "\n")
			for _, l := range strings.Split(got, "\n") {
				if i := strings.Index(l, "at "); i > 0 {
					got = strings.Replace(got, l[:i], "", 1)
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestCoverage(t *testing.T) {
	f, err := rulefile.Read("r.yaml", []byte(head+`
  - name: fires
    series: {w01018: "60"}
    expect: [{at: 1h, alarm: full}]
  - name: equal, marked
    series: {w01018: "50 60!D"}
    expect: [{at: 2h, none: full}]
  - name: pH, late
    series: {w01001: "7 7~"}
    expect: [{at: 2h, none: ph}]
`))
	if err != nil {
		t.Fatal(err)
	}
	_, coverage := Run(f)
	got := map[string]string{}
	for i := range coverage {
		got[coverage[i].Rule] = strings.Join(coverage[i].Missing(), ", ")
	}
	for rule, want := range map[string]string{"full": "late data", "ph": "fires, equals its limit, invalid data",
		"o2": "fires, does not fire, equals its limit, invalid data, late data"} {
		if got[rule] != want {
			t.Errorf("%s misses %q, want %q", rule, got[rule], want)
		}
	}
}
