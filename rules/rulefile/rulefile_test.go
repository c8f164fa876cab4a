package rulefile

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"outfall/rules"
	"outfall/telemetry"
)

const good = `# 示例
ruleset: gz-water
version: 3
rules:
  - id: w-cod-day
    title: 化学需氧量日均值超标
    basis: GB 18918-2002 表1 一级A
    medium: water
    factor: w01018
    statistic: day
    limit: {high: 50, unit: mg/L, early_warning: "0.9"}
    alarm: {after: 3, clear_after: 2, clear_below: 0.95}
  - id: w-ph
    title: >-
      pH 超出范围
    basis: '许可证: 91520'
    mn: 08888888000001
    outlet: W01
    factor: w01001
    statistic: instant
    limit:
      low: 6.0
      high: 9
      unit: dimensionless
    min_valid: 0.5
`

func TestParse(t *testing.T) {
	rs, err := Parse("good.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"ruleset":"gz-water","version":3,"rules":[{"id":"w-cod-day","title":"化学需氧量日均值超标","basis":"GB 18918-2002 表1 一级A",` +
		`"medium":"water","factor":"w01018","statistic":"day","high":"50","unit":"mg/L","early_warning":"0.9","raise_after":3,"clear_after":2,` +
		`"clear_below":"0.95","min_valid":"0.833333"},{"id":"w-ph","title":"pH 超出范围","basis":"许可证: 91520","mn":"08888888000001",` +
		`"outlet":"W01","factor":"w01001","statistic":"instant","low":"6","high":"9","unit":"dimensionless","early_warning":"0",` +
		`"raise_after":1,"clear_after":1,"clear_below":"1","min_valid":"0.5"}]}`
	js := rs.AppendJSON(nil)
	if string(js) != want {
		t.Errorf("got  %s\nwant %s", js, want)
	}
	if back, err := rules.ParseRuleSet(js); err != nil || back.Hash != rs.Hash {
		t.Errorf("read back: %v, %v", back, err)
	}
	crlf, err := Parse("crlf.yaml", []byte(strings.ReplaceAll(good, "\n", "\r\n")))
	if err != nil || crlf.Hash != rs.Hash {
		t.Errorf("with CR LF: %v, %v; want the same rule set", crlf, err)
	}
}

// The keys that are seldom needed, and the library.
func TestParseMore(t *testing.T) {
	const more = `
ruleset: more
version: 1
library:
  - {standard: GB 18918-2002, class: 城镇污水处理厂 一级A, early_warning: 0.9}
rules:
  - id: w-nh3n-day
    title: 氨氮
    basis: GB 18918-2002
    clause: 4.1.3.1 表1
    confidence: single
    factor: w21003
    statistic: day
    value: measured
    standard: GB 18918-2002
    class: 一级A
    regions: [贵州省, 四川省/成都市]
    except_regions: 贵州省/遵义市
    built_from: 2006-01-01
    valid_to: 2030-12-31
    limit: {high: 5.00, unit: mg/L}
    rounding: limit_digits
    verdict: warn
    when: 水温 > 12 and 日均值 > 限值 * 0.9
    unknown: skip
    exclude_marks: [自动监测设备维护, 停运]
tests:
  - name: t
    step: day
    device: {class: 一级A, standard: GB 18918-2002, built: 2010-01-01, permits: [{factor: w21003, statistic: day, high: 4, unit: mg/L}]}
    series: {w21003: "4 -x2 6.5!D 7~"}
    expect:
      - {at: 1d, none: w-nh3n-day}
      - {at: 6d, raised: w-nh3n-day, level: warning, value: 7}
`
	f, err := Read("more.yaml", []byte(more))
	if err != nil {
		t.Fatal(err)
	}
	last := len(f.Set.Rules) - 1
	const want = `{"id":"w-nh3n-day","title":"氨氮","basis":"GB 18918-2002","factor":"w21003","statistic":"day","high":"5","unit":"mg/L","early_warning":"0",` +
		`"raise_after":1,"clear_after":1,"clear_below":"1","min_valid":"0.833333","standard":"GB 18918-2002","class":"一级A","regions":["贵州省","四川省/成都市"],` +
		`"except_regions":["贵州省/遵义市"],"built_from":"2006-01-01","valid_to":"2030-12-31","value":"measured","verdict":"warn","rounding":"limit_digits","digits":2,` +
		`"when":{"text":"水温 > 12 and 日均值 > 限值 * 0.9","code":"@w01010 12 > mean limit 0.9 * > and"},"unknown":"skip","exclude_marks":["自动监测设备维护","停运"],` +
		`"clause":"4.1.3.1 表1","confidence":"single"}`
	if got := string(telemetry.AppendJSON(nil, &f.Set.Rules[last])); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if back, err := rules.ParseRuleSet(f.Set.AppendJSON(nil)); err != nil || back.Hash != f.Set.Hash {
		t.Errorf("read back: %v, %v", back, err)
	}
	if last < 20 || !f.Rules[0].Library || f.Rules[0].Line != 5 || f.Rules[last].Library || f.Rules[last].Line != 7 {
		t.Errorf("%d rules, at %+v .. %+v", last+1, f.Rules[0], f.Rules[last])
	}
	if n := len(f.Tests[0].Series[0].Values); n != 5 || f.Tests[0].Series[0].Values[3] != (Value{"6.5", "D", false}) || f.Tests[0].Expect[1].At.Hours() != 144 {
		t.Errorf("test: %+v", f.Tests[0])
	}
}

// Each row changes one thing of good and lists every fault that must come of it.
func TestFaults(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"exponent", "high: 50", "high: 5e1",
			`11:19: limit.high: "5e1" is not a plain decimal: write digits with at most six decimals, like 0.5 or 1000`},
		{"seven decimals", "high: 50", "high: 50.1234567",
			`11:19: limit.high: "50.1234567" is not a plain decimal: write digits with at most six decimals, like 0.5 or 1000`},
		{"hexadecimal", "version: 3", "version: 0x3", `3:10: version: "0x3" is not a whole number: write digits only, like 3`},
		{"version 0", "version: 3", "version: 0", `3:10: version: 0 is not 1 or more`},
		{"unknown top key", "version: 3", "version: 3\nverson: 4", `4:1: "verson" is not a key of the file: did you mean version?`},
		{"unknown rule key", "statistic: day", "statistics: day",
			"5:5: statistic: missing: write one of instant, minute, hour, day, rolling_1h, rolling_24h\n" +
				`10:5: "statistics" is not a key of a rule: did you mean statistic?`},
		{"unknown limit key, nothing near", "unit: mg/L,", "unit: mg/L, 限值: 3,",
			`11:35: "限值" is not a key of limit: the keys are low, high, unit, early_warning`},
		{"key twice", "factor: w01018", "factor: w01018\n    factor: w01018", `10:5: factor: set twice, first at line 9: keep one`},
		{"limit key twice", "{high: 50,", "{high: 50, high: 60,", `11:23: limit.high: set twice, first at line 11: keep one`},
		{"unknown factor", "w01018", "w99999", `9:13: factor: "w99999" is not in HJ 212-2017 annex B: write one of its codes, like w01018`},
		{"2005 code", "w01018", `"011"`, `9:13: factor: "011" is the code of HJ/T 212-2005: write w01018 (化学需氧量)`},
		{"another unit", "mg/L", "ug/L", `11:29: limit.unit: "ug/L" is not the unit of w01018 (化学需氧量): convert the limit to mg/L, high 0.05`},
		{"another medium", "medium: water", "medium: gas",
			`8:13: medium: w01018 (化学需氧量) is a factor of water: the rule would never match`},
		{"no medium at all", "medium: water", "medium: 土壤", `8:13: medium: "土壤" is neither water nor gas`},
		{"same id", "id: w-ph", "id: w-cod-day", `13:9: id: "w-cod-day" is already the rule at line 5: give this one another`},
		{"bad id", "id: w-ph", "id: W pH", `13:9: id: "W pH" is not 1..64 characters of a-z, 0-9, '.', '_' and '-'`},
		{"no basis", "    basis: GB 18918-2002 表1 一级A\n", "",
			`5:5: basis: missing: name the standard and clause, or the permit, that the limit comes from`},
		{"empty basis", "basis: GB 18918-2002 表1 一级A", "basis:",
			`7:5: basis: missing: name the standard and clause, or the permit, that the limit comes from`},
		{"low above high", "low: 6.0", "low: 9", `22:12: limit.low: 9 is not below high, 9: every value would cross`},
		{"no limit", "high: 50, ", "", `11:13: limit: sets neither low nor high: nothing can cross it`},
		{"early warning of a low limit", "high: 50, ", "low: 50, ",
			`11:49: limit.early_warning: needs a high limit above zero, of which it is a share`},
		{"limit is a number", `limit: {high: 50, unit: mg/L, early_warning: "0.9"}`, "limit: 50",
			`11:12: limit: not a mapping: write it with the keys low, high, unit, early_warning`},
		{"percent", `"0.9"`, "90", `11:50: limit.early_warning: 90 is not a share of the limit: write 0 < r < 1, like 0.9`},
		{"after 0", "after: 3,", "after: 0,", `12:20: alarm.after: 0 is not 1..1440 consecutive windows`},
		{"hysteresis above 1", "clear_below: 0.95", "clear_below: 1.05", `12:52: alarm.clear_below: 1.05 is not a share: write 0 < r <= 1`},
		{"min_valid 0", "min_valid: 0.5", "min_valid: 0", `25:16: min_valid: 0 is not a share: write 0 < r <= 1`},
		{"a full-width sign", "statistic: day", "statistic: day\n    when: 水温 ＞ 12",
			`11:11: when: character 4 of "水温 ＞ 12": '＞' is not a sign of the language: write > with the half-width keyboard`},
		{"a condition on another factor's minute", "statistic: instant", "statistic: instant\n    when: 水温 > 12",
			`21:11: when: other factors are known when a window has closed: only rules of hour and day may ask for them, not instant`},
		{"unknown without a condition", "statistic: day", "statistic: day\n    unknown: skip", `11:14: unknown: belongs to a condition: write when too`},
		{"no such day", "statistic: day", "statistic: day\n    valid_from: 2026-02-30", `11:17: valid_from: "2026-02-30" is not a day: write it like 2026-03-01`},
		{"days in the wrong order", "statistic: day", "statistic: day\n    valid_from: 2026-03-01\n    valid_to: 2026-02-28",
			`12:15: valid_to: 2026-02-28 is before valid_from, 2026-03-01: the rule would never count`},
		{"no such value", "statistic: day", "statistic: day\n    value: zs", `11:12: value: "zs" is neither measured nor corrected`},
		{"no such verdict", "statistic: day", "statistic: day\n    verdict: 超标", `11:14: verdict: "超标" is neither exceed nor warn`},
		{"no such rounding", "statistic: day", "statistic: day\n    rounding: half_even", `11:15: rounding: "half_even" is neither none nor limit_digits`},
		{"a class of nothing", "statistic: day", "statistic: day\n    class: 一级A", `11:12: class: is a class of no standard: write standard too`},
		{"no such standard", "version: 3", "version: 3\nlibrary: [{standard: GB 18918-2002, class: 一级Z}]",
			`4:12: library: "一级Z" is no class of GB 18918-2002: it has 城镇污水处理厂 一级A, 城镇污水处理厂 一级B, 城镇污水处理厂 二级, 城镇污水处理厂 三级`},
		{"a test of no rule", "min_valid: 0.5", "min_valid: 0.5\ntests:\n  - name: t\n    series: {w01018: 1}\n    expect: [{at: 1h, none: x}]",
			`29:29: none: "x" is no rule of the file`},
		{"a test of odd values", "min_valid: 0.5", "min_valid: 0.5\ntests:\n  - name: t\n    series: {w01018: 1e5}\n    expect: [{at: 1h, none: w-ph}]",
			`28:22: series: w01018: "1e5" is no value: write a decimal, - for nothing, 62!D with a data flag, 62~ when it comes late, 62x3 for three of them`},
		{"an alias", "outlet: W01", "outlet: *W01", `18:13: outlet: not plain text`},
		{"a rule that is text", "  - id: w-ph\n", "  - w-ph\n  - id: w-ph\n",
			`13:5: a rule: not a mapping: write it with the keys ` + strings.Join(ruleKeys, ", ")},
		{"a second document", "min_valid: 0.5", "min_valid: 0.5\n---\na: 1", `27:1: a second document: one file holds one rule set`},
		{"two faults, in order", "version: 3", "version: x\nname: y",
			"3:10: version: \"x\" is not a whole number: write digits only, like 3\n" +
				`4:1: "name" is not a key of the file: the keys are ruleset, version, library, rules, detectors, tests`},
		{"not YAML", "high: 50, ", "high: [50, ", `11:56: is not YAML: value is not allowed in this context. map key-value is pre-defined`},
		{"not UTF-8", "示例", "示例\xff", "1:5: is not UTF-8: save the file as UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := strings.Replace(good, c.old, c.new, 1)
			if src == good {
				t.Fatalf("%q is not in the file", c.old)
			}
			rs, err := Parse("r.yaml", []byte(src))
			want := "r.yaml:" + strings.ReplaceAll(c.want, "\n", "\nr.yaml:")
			if rs != nil || err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestFaultsOfTheWhole(t *testing.T) {
	for src, want := range map[string]string{
		"":          "r:1:1: empty: write ruleset, version and rules",
		"# only\n":  "r:1:1: empty: write ruleset, version and rules",
		"just text": "r:1:1: the file: not a mapping: write it with the keys ruleset, version, library, rules, detectors, tests",
		"rules: []\nversion: 1\nruleset:": "r:1:8: rules: not a list of rules: begin each rule with '- id: ...'\n" +
			"r:3:1: ruleset: missing: give the rule set a name",
		"ruleset: a":                   "r:1:1: version: missing: write a whole number from 1\nr:1:1: rules: missing: list at least one rule",
		strings.Repeat("[", 100_000):   "r:1:1: nests too deep, more than 200 open brackets or 500 marks in a line: a rule file needs neither",
		strings.Repeat("- ", 50_000):   "r:1:1: nests too deep, more than 200 open brackets or 500 marks in a line: a rule file needs neither",
		strings.Repeat("#", MaxSize+1): "r:1:1: the file has 1048577 bytes; at most 1048576 are read",
	} {
		if _, err := Parse("r", []byte(src)); err == nil || err.Error() != want {
			t.Errorf("%.40q: got %v, want %s", src, err, want)
		}
	}
}

// FuzzParse: a file that is accepted is the same rule set after its JSON was written and read; one that is not has a fault
// with a place.
func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("ruleset: &a x\nversion: 1\nrules: [{id: *a, limit: {high: !!str 5}}]\n<<: *a"))
	f.Add([]byte("? - a\n: |2-\n  x\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 4096 {
			return
		}
		rs, err := Parse("f", src)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || len(e.Faults) == 0 || e.Faults[0].Line < 1 || e.Faults[0].Column < 1 {
				t.Fatalf("error without a place: %#v", err)
			}
			return
		}
		js := rs.AppendJSON(nil)
		back, err := rules.ParseRuleSet(js)
		if err != nil || back.Hash != rs.Hash || !bytes.Equal(back.AppendJSON(nil), js) {
			t.Fatalf("%s reads back as %v, %v", js, back, err)
		}
		for i := range rs.Rules {
			if _, ok := telemetry.LookupFactor(rs.Rules[i].Factor); !ok {
				t.Fatalf("unknown factor %q", rs.Rules[i].Factor)
			}
		}
	})
}
