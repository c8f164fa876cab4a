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
//	detectors:                        # may be left out: what detectors do otherwise than docs/integrity.md says
//	  - {detector: const_value, outlet: W01, factor: w01018, threshold: 720}     # selectors as above, and factor
//	  - {detector: near_lod, medium: gas, off: true}
//
// docs/rules.md has the rest: library, tests, and the keys of a rule that are seldom needed. Numbers are exact decimals of at most six decimals; there are no floats anywhere.
package rulefile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"outfall/rules"

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

// Parse reads the rule set of a file. name is what the faults call the file. Every error is an *Error.
func Parse(name string, src []byte) (*rules.RuleSet, error) {
	f, err := Read(name, src)
	if err != nil {
		return nil, err
	}
	return f.Set, nil
}

// A File is a rule file: its rule set, its tests, and where its rules are.
type File struct {
	Set   *rules.RuleSet
	Tests []Test
	Rules []Place // of each rule of Set, in its order
}

// A Place is where a rule is in its file. A rule of the library is where the file names its standard.
type Place struct {
	Line, Column int
	Library      bool
}

// Read reads a file. name is what the faults call it. Every error is an *Error.
func Read(name string, src []byte) (*File, error) {
	f := &file{name: name}
	if root := f.root(src); root != nil {
		if rs := f.ruleSet(root); rs != nil && len(f.faults) == 0 {
			return &File{Set: rs, Tests: f.tests, Rules: f.rules}, nil
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

// A file is one run of Read.
type file struct {
	name   string
	faults []Fault
	tests  []Test
	rules  []Place
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
