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
		{"another unit", "mg/L", "ug/L", `11:29: limit.unit: "ug/L" is not the unit of w01018 (化学需氧量): convert the limit to mg/L`},
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
		{"an alias", "outlet: W01", "outlet: *W01", `18:13: outlet: not plain text`},
		{"a rule that is text", "  - id: w-ph\n", "  - w-ph\n  - id: w-ph\n",
			`13:5: a rule: not a mapping: write it with the keys id, title, basis, factor, statistic, mn, outlet, medium, limit, alarm, min_valid`},
		{"a second document", "min_valid: 0.5", "min_valid: 0.5\n---\na: 1", `27:1: a second document: one file holds one rule set`},
		{"two faults, in order", "version: 3", "version: x\nname: y",
			"3:10: version: \"x\" is not a whole number: write digits only, like 3\n" +
				`4:1: "name" is not a key of the file: the keys are ruleset, version, rules`},
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
		"just text": "r:1:1: the file: not a mapping: write it with the keys ruleset, version, rules",
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
