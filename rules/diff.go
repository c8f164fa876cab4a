package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"outfall/telemetry"
)

// A Change is what became of one rule between two sets.
type Change struct {
	Rule   string
	Kind   string   // ChangeAdded, ChangeRemoved or ChangeChanged
	Fields []string // of a changed rule: "high: 50 -> 60", by their names in the canonical JSON
}

// Kinds of change.
const (
	ChangeAdded   = "added"
	ChangeRemoved = "removed"
	ChangeChanged = "changed"
)

// Diff lists what changed from one set to another, in the order of b and then what a alone has. a may be nil: everything is added.
func Diff(a, b *RuleSet) []Change {
	var list []Change
	var before []Rule
	if a != nil {
		before = a.Rules
	}
	find := func(in []Rule, id string) *Rule {
		if i := slices.IndexFunc(in, func(r Rule) bool { return r.ID == id }); i >= 0 {
			return &in[i]
		}
		return nil
	}
	for i := range b.Rules {
		r := &b.Rules[i]
		switch was := find(before, r.ID); {
		case was == nil:
			list = append(list, Change{Rule: r.ID, Kind: ChangeAdded})
		case !was.Equal(r):
			list = append(list, Change{Rule: r.ID, Kind: ChangeChanged, Fields: changedFields(was, r)})
		}
	}
	for i := range before {
		if find(b.Rules, before[i].ID) == nil {
			list = append(list, Change{Rule: before[i].ID, Kind: ChangeRemoved})
		}
	}
	return list
}

// changedFields compares the canonical JSON of two rules field by field.
func changedFields(a, b *Rule) []string {
	x, y := fields(a), fields(b)
	names := make([]string, 0, len(y))
	for name := range y {
		names = append(names, name)
	}
	for name := range x {
		if _, also := y[name]; !also {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var list []string
	for _, name := range names {
		if was, is := string(x[name]), string(y[name]); was != is {
			list = append(list, fmt.Sprintf("%s: %s -> %s", name, plainJSON(was), plainJSON(is)))
		}
	}
	return list
}

func fields(r *Rule) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(telemetry.AppendJSON(nil, r), &m); err != nil {
		panic(fmt.Sprintf("rules: the canonical JSON of %s: %v", r.ID, err))
	}
	return m
}

// plainJSON is a value of canonical JSON without the quotes that numbers have in it; - for none.
func plainJSON(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Trim(s, `"`)
}
