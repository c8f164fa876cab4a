package rulefile

import (
	"fmt"
	"slices"
	"strings"

	"outfall/rules"
	"outfall/telemetry"
)

// Warnings is what is odd about a file that is right, in the order of its rules: rules that say the same thing twice, that no test names, that
// can never fire, that ask for what this version does not give. replaced is the rule set that it is to take the place of, nil: none; limits that
// are looser than its are named then.
func (f *File) Warnings(name string, replaced *rules.RuleSet) []Fault {
	l := linter{file: f, name: name}
	for i := range f.Set.Rules {
		l.rule(i)
	}
	if replaced != nil {
		l.replaces(replaced)
	}
	slices.SortStableFunc(l.faults, func(a, b Fault) int { return a.Line - b.Line })
	return l.faults
}

type linter struct {
	file   *File
	name   string
	faults []Fault
}

func (l *linter) warn(i int, format string, a ...any) {
	at := l.file.Rules[i]
	l.faults = append(l.faults, Fault{l.name, at.Line, at.Column, l.file.Set.Rules[i].ID + ": " + fmt.Sprintf(format, a...)})
}

func (l *linter) rule(i int) {
	r := &l.file.Set.Rules[i]
	for k := range i {
		o := &l.file.Set.Rules[k]
		if l.file.Rules[i].Library && l.file.Rules[k].Library || !overlap(r, o) {
			continue
		}
		l.warn(i, "overlaps with %s: both judge the %s of %s where both apply, and say %s", o.ID, r.Statistic, r.Factor, verdictOf(r))
	}
	if why := neverFires(r); why != "" {
		l.warn(i, "can never fire: %s", why)
	}
	if l.file.Rules[i].Library { // the table has its own tests
		return
	}
	if !slices.ContainsFunc(l.file.Tests, func(t Test) bool {
		return slices.ContainsFunc(t.Expect, func(e Expect) bool { return e.Rule == r.ID })
	}) {
		l.warn(i, "no test names it")
	}
	for _, name := range r.ExcludeMarks {
		if _, ok := telemetry.ParseMarkKind(name); !ok {
			l.warn(i, "exclude_marks: %q is no kind of mark, by id or by name: it excludes nothing", name)
		}
	}
	if r.Confidence == "inferred" && verdictOf(r) == rules.VerdictExceed {
		l.warn(i, "its source is inferred, and it says exceed: compare it with the text, or write verdict: warn")
	}
}

func verdictOf(r *rules.Rule) string {
	if r.Verdict == "" {
		return rules.VerdictExceed
	}
	return r.Verdict
}

// overlap reports whether two rules can judge the same window by a limit on the same side and say the same.
func overlap(a, b *rules.Rule) bool {
	either := func(x, y string) bool { return x == "" || y == "" || x == y }
	value := func(r *rules.Rule) bool { return r.Value == rules.ValueCorrected }
	span := func(from1, to1, from2, to2 telemetry.Date) bool {
		return (to1 == 0 || from2 <= to1) && (to2 == 0 || from1 <= to2)
	}
	return a.Factor == b.Factor && a.Statistic == b.Statistic && value(a) == value(b) && verdictOf(a) == verdictOf(b) &&
		(a.High != nil && b.High != nil || a.Low != nil && b.Low != nil) && a.When == nil && b.When == nil &&
		either(a.MN, b.MN) && either(a.Outlet, b.Outlet) && either(a.Medium, b.Medium) && either(a.Standard, b.Standard) && either(a.Class, b.Class) &&
		span(a.BuiltFrom, a.BuiltTo, b.BuiltFrom, b.BuiltTo) && span(a.ValidFrom, a.ValidTo, b.ValidFrom, b.ValidTo) && regionsMeet(a, b)
}

func regionsMeet(a, b *rules.Rule) bool {
	if len(a.Regions) == 0 && len(b.Regions) == 0 {
		return true
	}
	// Some region named by one must be in the other's reach.
	reach := func(x, y *rules.Rule) bool {
		return slices.ContainsFunc(x.Regions, func(region string) bool {
			d := telemetry.Device{Region: region}
			scope := rules.Rule{Regions: y.Regions, ExceptRegions: y.ExceptRegions}
			return scope.Applies(&d)
		})
	}
	return reach(a, b) || reach(b, a)
}

// neverFires says why no window can cross, as far as that shows: what a condition makes of values beyond the limit, with nothing known of other
// factors. Empty: one may.
func neverFires(r *rules.Rule) string {
	if len(r.Regions) > 0 && !slices.ContainsFunc(r.Regions, func(in string) bool {
		return !slices.ContainsFunc(r.ExceptRegions, func(out string) bool { return in == out || strings.HasPrefix(in, out+"/") })
	}) {
		return "except_regions takes out all of its regions"
	}
	if r.When == nil {
		return ""
	}
	for _, w := range strings.Fields(r.When.Code) { // texts of the registry are not tried
		if slices.Contains([]string{"medium", "standard", "class", "region", "outlet"}, w) {
			return ""
		}
	}
	for _, value := range beyond(r) {
		for month := range 12 {
			for _, valid := range []int64{int64(r.MinValid), int64(telemetry.FixedOne)} {
				start := int64(month)*31*24*3_600_000 + 15*24*3_600_000
				w := rules.Window{Start: start, Measure: rules.Measure{Sum: telemetry.Sum{}.Add(value), N: 1}, Valid: valid, Due: int64(telemetry.FixedOne)}
				if r.When.Holds(r, &w) != rules.False {
					return ""
				}
			}
		}
	}
	return fmt.Sprintf("%q is false for every value beyond the limit", r.When.Text)
}

// beyond is values beyond the limits, or the early warning, near and far.
func beyond(r *rules.Rule) []telemetry.Fixed {
	var list []telemetry.Fixed
	if h := r.High; h != nil {
		if r.EarlyWarning != 0 {
			list = append(list, *h)
		}
		list = append(list, *h+1, *h+*h/1000+1, *h+*h/10+1, *h+*h/2+1, *h+*h+1)
		if *h >= 0 && *h < telemetry.MaxLimit/100_000 {
			list = append(list, *h*10+1, *h*1000+1, *h*100_000+1)
		}
	}
	if low := r.Low; low != nil {
		list = append(list, *low-1, *low-*low/1000-1, *low-*low/10-1, *low/2, 0, *low/2-*low)
	}
	return slices.DeleteFunc(list, func(f telemetry.Fixed) bool {
		inside := (r.High == nil || f <= *r.High) && (r.Low == nil || f >= *r.Low)
		return inside && r.EarlyWarning == 0
	})
}

// replaces names what the set takes back from the one before it.
func (l *linter) replaces(old *rules.RuleSet) {
	for k := range old.Rules {
		was := &old.Rules[k]
		i := slices.IndexFunc(l.file.Set.Rules, func(r rules.Rule) bool { return r.ID == was.ID })
		if i < 0 {
			l.faults = append(l.faults, Fault{l.name, 1, 1, fmt.Sprintf("%s of %s version %d is gone: what it judged is judged no more", was.ID, old.Name, old.Version)})
			continue
		}
		r := &l.file.Set.Rules[i]
		if r.Factor != was.Factor || r.Statistic != was.Statistic || r.Unit != was.Unit {
			l.warn(i, "judges the %s of %s now, and judged the %s of %s before", r.Statistic, r.Factor, was.Statistic, was.Factor)
			continue
		}
		if was.High != nil && (r.High == nil || *r.High > *was.High) {
			l.warn(i, "its high limit %s is looser than %s before", shownLimit(r.High), was.High)
		}
		if was.Low != nil && (r.Low == nil || *r.Low < *was.Low) {
			l.warn(i, "its low limit %s is looser than %s before", shownLimit(r.Low), was.Low)
		}
		if verdictOf(was) == rules.VerdictExceed && verdictOf(r) == rules.VerdictWarn {
			l.warn(i, "only warns now, and said exceed before")
		}
		if was.Rounding != rules.RoundingLimit && r.Rounding == rules.RoundingLimit {
			l.warn(i, "compares rounded values now, which is looser")
		}
		if r.RaiseAfter > was.RaiseAfter {
			l.warn(i, "asks for %d windows in a row now, %d before", r.RaiseAfter, was.RaiseAfter)
		}
		if was.When == nil && r.When != nil {
			l.warn(i, "has a condition now: %s", r.When.Text)
		}
	}
}

func shownLimit(f *telemetry.Fixed) string {
	if f == nil {
		return "(none)"
	}
	return f.String()
}
