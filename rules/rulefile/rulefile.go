// Package rulefile reads a rule set from YAML. A file with faults gives all of them at once, each with its place and what to do.
//
//	ruleset: gz-water                 # a name for people
//	version: 3                        # a label for people; the identity of a set is the hash of its content
//	rules:
//	  - id: w-cod-day                 # 1..64 of a-z 0-9 . _ -, unique
//	    title: 化学需氧量日均值超标
//	    basis: GB 18918-2002 表1 一级A  # 依据: standard and clause, or permit
//	    medium: water                 # selectors medium, outlet, mn; left out: any
//	    factor: w01018                # HJ 212-2017 annex B
//	    statistic: day                # instant, minute, hour, day, rolling_1h, rolling_24h
//	    limit: {low: 6, high: 50, unit: mg/L, early_warning: 0.9}    # low or high or both; early_warning is a share of high
//	    alarm: {after: 1, clear_after: 1, clear_below: 0.95}         # windows in a row; hysteresis, a share of the limit
//	    min_valid: 0.833333           # share of the due slots that a mean needs
//
// Numbers are exact decimals of at most six decimals; there are no floats anywhere.
package rulefile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"outfall/rules"
	"outfall/telemetry"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxSize bounds a rule file, bytes.
const MaxSize = 1 << 20

// The YAML parser recurses without a bound of its own, and the form of a rule file needs a depth of two.
const (
	maxBrackets = 200 // open at once, those of texts and comments included
	maxMarks    = 500 // characters on one line that can open a block, like '-' and ':'
)

// An Error holds every fault of a file, in the order of their places.
type Error struct{ Faults []Fault }

// A Fault is one thing wrong in a rule file. Line and Column count from 1, columns in characters.
type Fault struct {
	Name    string
	Line    int
	Column  int
	Message string
}

func (f Fault) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.Name, f.Line, f.Column, f.Message)
}

// Error is one line per fault, NAME:LINE:COLUMN: message.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Parse reads a rule set. name is what the faults call the file. Every error is an *Error.
func Parse(name string, src []byte) (*rules.RuleSet, error) {
	f := &file{name: name}
	if root := f.root(src); root != nil {
		if rs := f.ruleSet(root); rs != nil && len(f.faults) == 0 {
			return rs, nil
		}
	}
	slices.SortStableFunc(f.faults, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return nil, &Error{Faults: f.faults}
}

// A file is one run of Parse.
type file struct {
	name   string
	faults []Fault
}

type place struct{ line, column int }

func at(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{max(t.Position.Line, 1), max(t.Position.Column, 1)}
}

// begin is where n begins for a reader: a mapping's own token is its bracket or the colon behind its first key.
func begin(n ast.Node) place {
	if n == nil {
		return place{1, 1}
	}
	if m, ok := n.(ast.MapNode); ok {
		if first := m.MapRange(); first.Next() {
			return at(first.Key().GetToken())
		}
	}
	return at(n.GetToken())
}

func (f *file) bad(p place, format string, a ...any) {
	f.faults = append(f.faults, Fault{f.name, p.line, p.column, fmt.Sprintf(format, a...)})
}

// root parses the YAML; nil after a fault.
func (f *file) root(src []byte) ast.Node {
	start := place{1, 1}
	if len(src) > MaxSize {
		f.bad(start, "the file has %d bytes; at most %d are read", len(src), MaxSize)
		return nil
	}
	if !utf8.Valid(src) {
		valid := strings.ToValidUTF8(string(src), "\x00")
		before := valid[:strings.IndexByte(valid, 0)]
		line := strings.LastIndexByte(before, '\n') + 1
		f.bad(place{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[line:]) + 1}, "is not UTF-8: save the file as UTF-8")
		return nil
	}
	if deep(src) {
		f.bad(start, "nests too deep, more than %d open brackets or %d marks in a line: a rule file needs neither", maxBrackets, maxMarks)
		return nil
	}
	tree, err := parseYAML(src)
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			f.bad(at(syntax.GetToken()), "is not YAML: %s", syntax.GetMessage())
		} else {
			f.bad(start, "is not YAML: %v", err)
		}
		return nil
	}
	var docs []ast.Node
	for _, d := range tree.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType && d.Body.Type() != ast.CommentGroupType {
			docs = append(docs, d.Body)
		}
	}
	switch {
	case len(docs) == 0:
		f.bad(start, "empty: write ruleset, version and rules")
		return nil
	case len(docs) > 1:
		f.bad(begin(docs[1]), "a second document: one file holds one rule set")
		return nil
	}
	return docs[0]
}

// parseYAML turns a panic of the parser into an error: odd files are an operator's mistake, and no reason to lose the others.
func parseYAML(src []byte) (tree *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	return parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
}

// deep reports whether src nests deeper than it is safe to parse. Blocks that nest line by line indent, so MaxSize bounds them.
func deep(src []byte) bool {
	brackets, marks := 0, 0
	for _, c := range src {
		switch c {
		case '[', '{':
			brackets++
		case ']', '}':
			brackets = max(brackets-1, 0)
		case '-', '?', ':', '!', '&', '*':
			marks++
		case '\n', '\r':
			marks = 0
		}
		if brackets > maxBrackets || marks > maxMarks {
			return true
		}
	}
	return false
}

func (f *file) ruleSet(root ast.Node) *rules.RuleSet {
	top := f.mapping(root, "the file", "ruleset", "version", "rules")
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
	list := top.list("rules")
	if len(list) > rules.MaxRules {
		f.bad(top.place("rules"), "rules: %d rules are more than the %d of one set", len(list), rules.MaxRules)
		return nil
	}
	parsed := make([]rules.Rule, 0, len(list))
	firstLine := map[string]int{}
	for _, n := range list {
		m := f.mapping(n, "a rule", "id", "title", "basis", "factor", "statistic", "mn", "outlet", "medium", "limit", "alarm", "min_valid")
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
	}
	if len(f.faults) > 0 {
		return nil
	}
	rs, err := rules.NewRuleSet(name, version, parsed)
	if err != nil {
		f.bad(top.at, "%v", err)
	}
	return rs
}

// rule reads one rule and reports its faults.
func (f *file) rule(m *mapping) rules.Rule {
	r := rules.Rule{ID: m.text("id"), Title: m.text("title"), Basis: m.text("basis"), MN: m.text("mn"), Outlet: m.text("outlet"),
		Medium: m.text("medium"), Factor: m.text("factor"), Statistic: telemetry.Statistic(m.text("statistic")),
		RaiseAfter: 1, ClearAfter: 1, ClearBelow: telemetry.FixedOne}
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
	}
	if alarm := m.sub("alarm", "after", "clear_after", "clear_below"); alarm != nil {
		r.RaiseAfter, r.ClearAfter = alarm.whole("after", 1), alarm.whole("clear_after", 1)
		if v := alarm.number("clear_below"); v != nil {
			r.ClearBelow = *v
		}
	}
	for _, fault := range r.Faults() {
		m.structural(fault)
	}
	f.factor(m, limit, &r)
	return r
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
		f.bad(limit.place("unit"), "limit.unit: %q is not the unit of %s (%s): convert the limit to %s", r.Unit, known.Code, known.NameZH, known.Unit)
	}
	if r.Medium == "water" && known.Medium == "air" || r.Medium == "gas" && known.Medium == "water" {
		f.bad(m.place("medium"), "medium: %s (%s) is a factor of %s: the rule would never match", known.Code, known.NameZH, known.Medium)
	}
}
