package rulefile

import (
	"slices"
	"strconv"
	"strings"

	"outfall/rules"
	"outfall/telemetry"

	"github.com/goccy/go-yaml/ast"
)

// A mapping is one YAML mapping whose keys have been checked. Reading a value of the wrong kind reports it and gives the zero value.
type mapping struct {
	f      *file
	at     place
	path   string // "limit." before the keys of a mapping within a rule
	keys   map[string]ast.Node
	places map[string]place // of the value, or of its key when the value is empty
	faulty map[string]bool  // reported already; shared with the mappings within
	within map[string]*mapping
}

// mapping checks that n is a mapping of the known keys; what names it in faults. nil after a fault that leaves nothing to read.
func (f *file) mapping(n ast.Node, what string, known ...string) *mapping {
	m := &mapping{f: f, at: begin(n), keys: map[string]ast.Node{}, places: map[string]place{}, faulty: map[string]bool{},
		within: map[string]*mapping{}}
	if !m.fill(n, what, known) {
		return nil
	}
	return m
}

func (m *mapping) fill(n ast.Node, what string, known []string) bool {
	node, ok := n.(ast.MapNode)
	if !ok {
		m.f.bad(m.at, "%s: not a mapping: write it with the keys %s", what, strings.Join(known, ", "))
		return false
	}
	iter := node.MapRange()
	for iter.Next() {
		keyPlace := at(iter.Key().GetToken())
		key, ok := scalar(iter.Key())
		switch {
		case !ok:
			m.f.bad(keyPlace, "a key of %s is not plain text", what)
		case !slices.Contains(known, key):
			m.f.bad(keyPlace, "%q is not a key of %s: %s", key, what, suggest(known, key))
		case m.keys[key] != nil:
			m.f.bad(keyPlace, "%s%s: set twice, first at line %d: keep one", m.path, key, m.places[key].line)
		default:
			m.keys[key], m.places[key] = iter.Value(), begin(iter.Value())
			if _, empty := iter.Value().(*ast.NullNode); empty {
				m.places[key] = keyPlace
			}
		}
	}
	return true
}

func (m *mapping) has(key string) bool { return m.keys[key] != nil }

// place is where the key's value is, or the mapping itself when it is absent.
func (m *mapping) place(key string) place {
	if p, ok := m.places[key]; ok {
		return p
	}
	return m.at
}

func (m *mapping) bad(key, format string, a ...any) {
	m.faulty[m.path+key] = true
	m.f.bad(m.place(key), m.path+key+": "+format, a...)
}

// structural reports what package rules finds wrong with the rule m, at its place in the file, unless the value there could not
// be read in the first place.
func (m *mapping) structural(fault rules.Fault) {
	if fault.Field == "limit.early_warning" && m.faulty["limit.high"] {
		return
	}
	for field := range m.faulty {
		if field == fault.Field || strings.HasPrefix(field, fault.Field+".") || strings.HasPrefix(fault.Field, field+".") {
			return
		}
	}
	in, key := m, fault.Field
	if outer, inner, ok := strings.Cut(fault.Field, "."); ok {
		if key = outer; m.within[outer] != nil {
			in, key = m.within[outer], inner
		}
	}
	m.f.bad(in.place(key), "%s: %s", fault.Field, fault.Message)
}

// text is the scalar of key as it is written, without quotes; empty when absent or empty.
func (m *mapping) text(key string) string {
	n := m.keys[key]
	if n == nil {
		return ""
	}
	if _, empty := n.(*ast.NullNode); empty {
		return ""
	}
	s, ok := scalar(n)
	if !ok {
		m.bad(key, "not plain text")
	}
	return s
}

// required is text that must not be empty.
func (m *mapping) required(key, what string) string {
	s := strings.TrimSpace(m.text(key))
	if s == "" && !m.faulty[m.path+key] {
		m.f.bad(m.place(key), "%s%s: missing: %s", m.path, key, what)
	}
	return s
}

// number is the exact decimal of key; nil when absent or after a fault.
func (m *mapping) number(key string) *telemetry.Fixed {
	if !m.has(key) {
		return nil
	}
	s := m.text(key)
	v, ok := telemetry.ParseFixed(s)
	if !ok {
		if !m.faulty[m.path+key] {
			m.bad(key, "%q is not a plain decimal: write digits with at most six decimals, like 0.5 or 1000", s)
		}
		return nil
	}
	return &v
}

// whole is the whole number of key, or fallback when it is absent or after a fault.
func (m *mapping) whole(key string, fallback int) int {
	if !m.has(key) {
		return fallback
	}
	s := m.text(key)
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || strconv.FormatInt(n, 10) != s {
		if !m.faulty[m.path+key] {
			m.bad(key, "%q is not a whole number: write digits only, like 3", s)
		}
		return fallback
	}
	return int(n)
}

// list is the sequence of key, which must have elements. of and least complete the faults.
func (m *mapping) list(key, of, least string) []ast.Node {
	if seq, ok := m.keys[key].(*ast.SequenceNode); ok && len(seq.Values) > 0 {
		return seq.Values
	}
	if m.has(key) {
		m.bad(key, "not a list of %s", of)
	} else {
		m.f.bad(m.at, "%s: missing: list %s", key, least)
	}
	return nil
}

// texts is the list of texts of key, or its one text; nil when absent or after a fault.
func (m *mapping) texts(key string) []string {
	if !m.has(key) {
		return nil
	}
	seq, ok := m.keys[key].(*ast.SequenceNode)
	if !ok {
		if s := m.text(key); s != "" {
			return []string{s}
		}
		return nil
	}
	var list []string
	for _, n := range seq.Values {
		s, ok := scalar(n)
		if !ok {
			m.bad(key, "not a list of texts")
			return nil
		}
		list = append(list, s)
	}
	return list
}

// date is the day of key; 0 when absent or after a fault.
func (m *mapping) date(key string) telemetry.Date {
	s := m.text(key)
	if s == "" {
		return 0
	}
	d, ok := telemetry.ParseDate(s)
	if !ok {
		m.bad(key, "%q is not a day: write it like 2026-03-01", s)
	}
	return d
}

// sub is the mapping of key; nil when absent or after a fault.
func (m *mapping) sub(key string, known ...string) *mapping {
	n := m.keys[key]
	if n == nil {
		return nil
	}
	in := &mapping{f: m.f, at: m.place(key), path: key + ".", keys: map[string]ast.Node{}, places: map[string]place{}, faulty: m.faulty,
		within: map[string]*mapping{}}
	if !in.fill(n, key, known) {
		m.faulty[key] = true
		return nil
	}
	m.within[key] = in
	return in
}

// scalar is the text of a plain, quoted or block scalar. ok is false for anything else: lists, mappings, anchors, aliases, tags.
func scalar(n ast.Node) (s string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		if n.Value == nil {
			return "", true
		}
		return strings.TrimSpace(n.Value.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// suggest names the known key that the unknown one is probably meant to be, else all of them.
func suggest(known []string, key string) string {
	if best := Nearest(known, key); best != "" {
		return "did you mean " + best + "?"
	}
	return "the keys are " + strings.Join(known, ", ")
}

// Nearest is the known key that key is probably a misspelling of: at most two edits away. Empty: none is so near.
func Nearest(known []string, key string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := edits(k, key); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance in bytes; 99 for keys whose lengths alone make them strangers.
func edits(a, b string) int {
	if len(b) > len(a)+3 || len(a) > len(b)+3 {
		return 99
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
