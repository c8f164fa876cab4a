// Package library holds the limits of national, provincial and industry standards as rules. limits.csv is a copy of what was read, each row
// with its clause, its conditions and how sure it is; a row becomes a rule for the outlets whose registry names its standard and class.
//
// Rows with confidence inferred were never checked against a text: they are off unless a rule file names them. Rows with one source that is
// not the standard's own text say warn, never exceed. Every mean that a standard does not judge by, hour or day, has a rule beside it that
// warns, so that an outlet can be judged by the other one (the registry's judged).
package library

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"sync"

	"outfall/rules"
	"outfall/rules/guard"
	"outfall/telemetry"
)

//go:embed limits.csv
var limitsCSV string

// A Limit is one row of the table: the rule that it makes, and what is known of its source.
type Limit struct {
	Rule      rules.Rule
	Pollutant string // as the standard names it
	Category  string // class of the standard; empty: all of them
	Low, High string // as the standard writes them, in Unit
	Unit      string
	RefO2     string // reference oxygen in percent; empty: none
	Enabled   bool
	Note      string
}

// Columns of limits.csv.
const (
	colID = iota
	colStandard
	colClause
	colClass
	colPollutant
	colFactor
	colLow
	colHigh
	colUnit
	colStatistic
	colValue
	colRefO2
	colRegions
	colExceptRegions
	colBuiltFrom
	colBuiltTo
	colValidFrom
	colValidTo
	colWhen
	colVerdict
	colEnabled
	colConfidence
	colNote
	colCount
)

var table = sync.OnceValue(func() []Limit {
	records, err := csv.NewReader(strings.NewReader(limitsCSV)).ReadAll()
	if err != nil {
		panic(fmt.Sprintf("library: limits.csv: %v", err))
	}
	list := make([]Limit, 0, len(records)-1)
	for i, rec := range records[1:] {
		l, err := read(rec)
		if err != nil {
			panic(fmt.Sprintf("library: limits.csv:%d: %v", i+2, err))
		}
		list = append(list, l)
	}
	return list
})

// Limits lists the table. The slice is the caller's.
func Limits() []Limit { return slices.Clone(table()) }

// Standards lists the standards of the table, in its order.
func Standards() []string {
	var list []string
	for _, l := range table() {
		if !slices.Contains(list, l.Rule.Standard) {
			list = append(list, l.Rule.Standard)
		}
	}
	return list
}

// Classes lists the classes of a standard.
func Classes(standard string) []string {
	var list []string
	for _, l := range table() {
		if l.Rule.Standard == standard && l.Category != "" && !slices.Contains(list, l.Category) {
			list = append(list, l.Category)
		}
	}
	return list
}

// A Choice is which rows of a standard a rule set takes in.
type Choice struct {
	Standard string
	Class    string   // empty: every class
	Enable   []string // ids of rows that are off by themselves
	// EarlyWarning is the share of a high limit from which the rules warn, 0: none. Rules with a low limit have none.
	EarlyWarning telemetry.Fixed
}

// Rules makes the rules of a choice.
func (c *Choice) Rules() ([]rules.Rule, error) {
	if !slices.Contains(Standards(), c.Standard) {
		return nil, fmt.Errorf("%q is no standard of the library: it has %s", c.Standard, strings.Join(Standards(), ", "))
	}
	if classes := Classes(c.Standard); c.Class != "" && !slices.Contains(classes, c.Class) {
		return nil, fmt.Errorf("%q is no class of %s: it has %s", c.Class, c.Standard, strings.Join(classes, ", "))
	}
	var rows []*Limit
	all := table()
	for i := range all {
		l := &all[i]
		if l.Rule.Standard == c.Standard && (c.Class == "" || l.Category == "" || l.Category == c.Class) && (l.Enabled || slices.Contains(c.Enable, l.Rule.ID)) {
			rows = append(rows, l)
		}
	}
	for _, id := range c.Enable {
		if !slices.ContainsFunc(rows, func(l *Limit) bool { return l.Rule.ID == id }) {
			return nil, fmt.Errorf("%q is no row of %s %s", id, c.Standard, c.Class)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s %s has no row that is on: name rows with enable, or another class", c.Standard, c.Class)
	}
	var list []rules.Rule
	for _, l := range rows {
		list = append(list, l.Rule)
		if other := companion(rows, l); other != nil {
			list = append(list, *other)
		}
	}
	for i := range list {
		if list[i].High != nil && list[i].Low == nil {
			list[i].EarlyWarning = c.EarlyWarning
		}
	}
	return list, nil
}

// ambient are standards of water bodies, air and noise: nobody is judged by another mean of them.
var ambient = []string{"GB 3838-2002", "GB 3095-2012", "GB 3095-2026", "GB 3096-2008", "GB 12348-2008"}

// companion is the rule that warns by the other mean; nil where rows have that mean themselves.
func companion(rows []*Limit, l *Limit) *rules.Rule {
	stat, suffix := telemetry.StatHour, "-hour"
	switch l.Rule.Statistic {
	case telemetry.StatHour:
		stat, suffix = telemetry.StatDay, "-day"
	case telemetry.StatDay:
	default:
		return nil
	}
	if slices.Contains(ambient, l.Rule.Standard) {
		return nil
	}
	for _, o := range rows {
		if o.Rule.Class == l.Rule.Class && o.Rule.Factor == l.Rule.Factor && o.Rule.Statistic == stat {
			return nil
		}
	}
	r := l.Rule
	r.ID += suffix
	r.Statistic, r.Verdict, r.MinValid = stat, rules.VerdictWarn, rules.DefaultMinValid(stat)
	if r.When != nil {
		r.When = mustGuard(r.When.Text, stat)
	}
	r.Title = title(l, stat, rules.VerdictWarn)
	r.Basis += "；按" + mean(l.Rule.Statistic) + "判定，" + mean(stat) + "仅作预警"
	return &r
}

func mustGuard(text string, stat telemetry.Statistic) *rules.Guard {
	g, err := guard.Compile(text, stat)
	if err != nil {
		panic(fmt.Sprintf("library: %q: %v", text, err)) // a row that read has checked
	}
	return g
}

func mean(s telemetry.Statistic) string {
	switch s {
	case telemetry.StatHour:
		return "小时均值"
	case telemetry.StatDay:
		return "日均值"
	case telemetry.StatMinute:
		return "分钟均值"
	}
	return "实时值"
}

func title(l *Limit, stat telemetry.Statistic, verdict string) string {
	t := l.Pollutant + mean(stat)
	switch {
	case l.High == "":
		t += "低于限值"
	case l.Low == "":
		t += "超过限值"
	default:
		t += "超出范围"
	}
	if verdict == rules.VerdictWarn {
		t += "（预警）"
	}
	return t
}
