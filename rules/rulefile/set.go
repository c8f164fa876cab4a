package rulefile

import (
	"errors"
	"strings"

	"outfall/rules"
	"outfall/rules/guard"
	"outfall/rules/library"
	"outfall/telemetry"

	"github.com/goccy/go-yaml/ast"
)

// ruleKeys are the keys of a rule.
var ruleKeys = []string{"id", "title", "basis", "clause", "confidence", "factor", "statistic", "value", "mn", "outlet", "medium", "standard", "class",
	"regions", "except_regions", "built_from", "built_to", "valid_from", "valid_to", "limit", "rounding", "verdict", "when", "unknown", "exclude_marks",
	"alarm", "min_valid"}

func (f *file) ruleSet(root ast.Node) *rules.RuleSet {
	top := f.mapping(root, "the file", "ruleset", "version", "library", "rules", "detectors", "tests")
	if top == nil {
		return nil
	}
	name := top.required("ruleset", "give the rule set a name")
	version := top.whole("version", 0)
	if !top.has("version") {
		f.bad(top.at, "version: missing: write a whole number from 1")
	} else if version < 1 && !top.faulty["version"] {
		f.bad(top.place("version"), "version: %d is not 1 or more", version)
	}
	parsed := f.library(top)
	var list []ast.Node
	if top.has("rules") || !top.has("library") {
		list = top.list("rules", "rules: begin each rule with '- id: ...'", "at least one rule")
	}
	if len(list)+len(parsed) > rules.MaxRules {
		f.bad(top.place("rules"), "rules: %d rules are more than the %d of one set", len(list)+len(parsed), rules.MaxRules)
		return nil
	}
	firstLine := map[string]int{}
	for i := range parsed {
		firstLine[parsed[i].ID] = f.rules[i].Line
	}
	for _, n := range list {
		m := f.mapping(n, "a rule", ruleKeys...)
		if m == nil {
			continue
		}
		r := f.rule(m)
		if line, dup := firstLine[r.ID]; dup && r.ID != "" {
			f.bad(m.place("id"), "id: %q is already the rule at line %d: give this one another", r.ID, line)
		} else {
			firstLine[r.ID] = m.place("id").line
		}
		parsed = append(parsed, r)
		f.rules = append(f.rules, Place{Line: m.at.line, Column: m.at.column})
	}
	f.readTests(top, parsed)
	tunings := f.tunings(top)
	if len(f.faults) > 0 {
		return nil
	}
	rs, err := rules.NewRuleSet(name, version, parsed, tunings...)
	if err != nil {
		f.bad(top.at, "%v", err)
	}
	return rs
}

// library reads which standards of the library the file takes in: a name, or a mapping.
func (f *file) library(top *mapping) []rules.Rule {
	if !top.has("library") {
		return nil
	}
	var all []rules.Rule
	taken := map[string]int{}
	for _, n := range top.list("library", "standards: begin each with '- GB ...'", "at least one standard") {
		var c library.Choice
		at := begin(n)
		if text, ok := scalar(n); ok {
			c.Standard = text
		} else {
			m := f.mapping(n, "a standard", "standard", "class", "enable", "early_warning")
			if m == nil {
				continue
			}
			c.Standard, c.Class, c.Enable = m.required("standard", "name it as rules library lists it"), m.text("class"), m.texts("enable")
			if v := m.number("early_warning"); v != nil {
				c.EarlyWarning = *v
			}
		}
		list, err := c.Rules()
		if err != nil {
			if c.Standard != "" {
				f.bad(at, "library: %v", err)
			}
			continue
		}
		for i := range list {
			if line, dup := taken[list[i].ID]; dup {
				f.bad(at, "library: %s is already taken in at line %d", list[i].ID, line)
				break
			}
			taken[list[i].ID] = at.line
			for _, fault := range list[i].Faults() {
				f.bad(at, "library: %s: %s", fault.Field, fault.Message)
			}
			f.rules = append(f.rules, Place{Line: at.line, Column: at.column, Library: true})
		}
		all = append(all, list...)
	}
	return all
}

// rule reads one rule and reports its faults.
func (f *file) rule(m *mapping) rules.Rule {
	r := rules.Rule{ID: m.text("id"), Title: m.text("title"), Basis: m.text("basis"), MN: m.text("mn"), Outlet: m.text("outlet"),
		Medium: m.text("medium"), Factor: m.text("factor"), Statistic: telemetry.Statistic(m.text("statistic")),
		RaiseAfter: 1, ClearAfter: 1, ClearBelow: telemetry.FixedOne,
		Standard: m.text("standard"), Class: m.text("class"), Regions: m.texts("regions"), ExceptRegions: m.texts("except_regions"),
		BuiltFrom: m.date("built_from"), BuiltTo: m.date("built_to"), ValidFrom: m.date("valid_from"), ValidTo: m.date("valid_to"),
		Value: m.text("value"), Verdict: m.text("verdict"), Rounding: m.text("rounding"), Unknown: m.text("unknown"),
		ExcludeMarks: m.texts("exclude_marks"), Clause: m.text("clause"), Confidence: m.text("confidence")}
	r.MinValid = rules.DefaultMinValid(r.Statistic)
	if v := m.number("min_valid"); v != nil {
		r.MinValid = *v
	}
	limit := m.sub("limit", "low", "high", "unit", "early_warning")
	if limit != nil {
		r.Low, r.High, r.Unit = limit.number("low"), limit.number("high"), limit.text("unit")
		if v := limit.number("early_warning"); v != nil {
			r.EarlyWarning = *v
		}
		if r.Rounding != "" {
			for _, key := range [...]string{"low", "high"} {
				_, decimals, _ := strings.Cut(limit.text(key), ".")
				r.Digits = max(r.Digits, len(decimals))
			}
		}
	}
	if alarm := m.sub("alarm", "after", "clear_after", "clear_below"); alarm != nil {
		r.RaiseAfter, r.ClearAfter = alarm.whole("after", 1), alarm.whole("clear_after", 1)
		if v := alarm.number("clear_below"); v != nil {
			r.ClearBelow = *v
		}
	}
	f.when(m, &r)
	for _, fault := range r.Faults() {
		m.structural(fault)
	}
	f.factor(m, limit, &r)
	return r
}

// when compiles the rule's condition.
func (f *file) when(m *mapping, r *rules.Rule) {
	if !m.has("when") {
		return
	}
	text := m.text("when")
	g, err := guard.Compile(text, r.Statistic)
	var fault *guard.Error
	switch {
	case m.faulty["when"]:
	case errors.As(err, &fault):
		m.bad("when", "character %d of %q: %s", fault.Column, text, fault.Message)
	default:
		r.When = g
	}
	m.faulty["unknown"] = m.faulty["when"] // one fault is enough
}

// factor checks the factor, its unit and its medium against the factor table.
func (f *file) factor(m, limit *mapping, r *rules.Rule) {
	if r.Factor == "" {
		return
	}
	known, ok := telemetry.LookupFactor(r.Factor)
	switch {
	case !ok:
		f.bad(m.place("factor"), "factor: %q is not in HJ 212-2017 annex B: write one of its codes, like w01018", r.Factor)
		return
	case known.Code != r.Factor:
		f.bad(m.place("factor"), "factor: %q is the code of HJ/T 212-2005: write %s (%s)", r.Factor, known.Code, known.NameZH)
	}
	if limit != nil && r.Unit != "" && known.Unit != "" && r.Unit != known.Unit {
		f.bad(limit.place("unit"), "limit.unit: %q is not the unit of %s (%s): convert the limit to %s%s", r.Unit, known.Code, known.NameZH, known.Unit,
			converted(r, known.Unit))
	}
	if r.Medium == "water" && known.Medium == "air" || r.Medium == "gas" && known.Medium == "water" {
		f.bad(m.place("medium"), "medium: %s (%s) is a factor of %s: the rule would never match", known.Code, known.NameZH, known.Medium)
	}
}

// converted says what the limits are in the unit, where that is exact.
func converted(r *rules.Rule, unit string) string {
	text := ""
	for _, l := range []struct {
		name  string
		value *telemetry.Fixed
	}{{"low", r.Low}, {"high", r.High}} {
		if l.value == nil {
			continue
		}
		v, ok := telemetry.ConvertUnit(*l.value, r.Unit, unit)
		if !ok {
			return ""
		}
		text += ", " + l.name + " " + v.String()
	}
	return text
}
