package rulefile

import (
	"strings"
	"testing"
)

const linted = `
ruleset: lint
version: 2
library:
  - GB 12348-2008
rules:
  - {id: a, title: t, basis: b, factor: w01018, statistic: hour, limit: {high: 50, unit: mg/L}}
  - {id: b, title: t, basis: b, factor: w01018, statistic: hour, limit: {high: 60, unit: mg/L}%s}
tests:
  - {name: t, series: {w01018: 60}, expect: [{at: 1h, alarm: a}, {at: 1h, none: b}]}
`

// Each row adds something to rule b and lists the warnings that must come of it.
func TestWarnings(t *testing.T) {
	const overlapB = "8:6: b: overlaps with a: both judge the hour of w01018 where both apply, and say exceed"
	for _, c := range []struct{ name, add, want string }{
		{"the same twice", "", overlapB},
		{"another medium is no other place", ", medium: water", overlapB},
		{"a condition tells them apart", ", when: 有效率 > 0.8", ""},
		{"one only warns", ", verdict: warn", ""},
		{"never: a condition on the value", ", when: 均值 <= 限值", `8:6: b: can never fire: "均值 <= 限值" is false for every value beyond the limit`},
		{"never: a constant", ", when: 1 > 2", `8:6: b: can never fire: "1 > 2" is false for every value beyond the limit`},
		{"never: a month that is none", ", when: 月份 > 12 and 均值 > 0", `8:6: b: can never fire: "月份 > 12 and 均值 > 0" is false for every value beyond the limit`},
		{"another factor may be anything", ", when: 水温 > 1000", ""},
		{"a text of the registry may be anything", `, when: 类别 == "x"`, ""},
		{"no region is left", ", regions: [贵州省/贵阳市], except_regions: [贵州省], verdict: warn", "8:6: b: can never fire: except_regions takes out all of its regions"},
		{"marks", ", exclude_marks: [停运, stoped], verdict: warn", `8:6: b: exclude_marks: "stoped" is no kind of mark, by id or by name: it excludes nothing`},
		{"inferred", ", confidence: inferred, when: 有效率 > 0.8", "8:6: b: its source is inferred, and it says exceed: compare it with the text, or write verdict: warn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Read("r", []byte(strings.Replace(linted, "%s", c.add, 1)))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range f.Warnings("r", nil) {
				got = append(got, strings.TrimPrefix(w.String(), "r:"))
			}
			if g := strings.Join(got, "\n"); g != c.want {
				t.Errorf("got  %s\nwant %s", g, c.want)
			}
		})
	}
	library := strings.Replace(strings.Replace(linted, "GB 12348-2008", "GB 18918-2002", 1), "%s", ", verdict: warn, medium: water", 1)
	f, err := Read("r", []byte(library))
	if err != nil {
		t.Fatal(err)
	}
	if w := f.Warnings("r", nil); len(w) == 0 || !strings.Contains(w[0].Message, "b: overlaps with gb18918-2002.001.w01018-hour") {
		t.Errorf("beside the library: %v", w)
	}
	untested := strings.Replace(strings.Replace(linted, ", {at: 1h, none: b}", "", 1), "%s", ", verdict: warn", 1)
	if f, err = Read("r", []byte(untested)); err != nil {
		t.Fatal(err)
	}
	if w := f.Warnings("r", nil); len(w) != 1 || w[0].String() != "r:8:6: b: no test names it" {
		t.Errorf("untested: %v", w)
	}
}

func TestLooserThanBefore(t *testing.T) {
	read := func(rules string) *File {
		f, err := Read("r", []byte("ruleset: l\nversion: 1\nrules:\n"+rules))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	old := read("  - {id: a, title: t, basis: b, factor: w01001, statistic: hour, limit: {low: 6, high: 9, unit: dimensionless}}\n" +
		"  - {id: gone, title: t, basis: b, factor: w01018, statistic: hour, limit: {high: 60, unit: mg/L}}\n")
	f := read("  - {id: a, title: t, basis: b, factor: w01001, statistic: hour, limit: {low: 5.5, high: 9.5, unit: dimensionless}, verdict: warn, " +
		"rounding: limit_digits, when: 有效率 > 0.5, alarm: {after: 2}}\n")
	var got []string
	for _, w := range f.Warnings("r", old.Set) {
		got = append(got, w.Message)
	}
	const want = "gone of l version 1 is gone: what it judged is judged no more\na: no test names it\na: its high limit 9.5 is looser than 9 before\n" +
		"a: its low limit 5.5 is looser than 6 before\na: only warns now, and said exceed before\na: compares rounded values now, which is looser\n" +
		"a: asks for 2 windows in a row now, 1 before\na: has a condition now: 有效率 > 0.5"
	if g := strings.Join(got, "\n"); g != want {
		t.Errorf("got  %s\nwant %s", g, want)
	}
	for _, w := range old.Warnings("r", f.Set) {
		if !strings.Contains(w.Message, "no test") {
			t.Errorf("what is stricter is reported: %s", w)
		}
	}
}
