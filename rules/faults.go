package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"outfall/telemetry"
)

// Bounds of a rule.
const (
	// MaxAfter bounds RaiseAfter and ClearAfter: a day of minutes.
	MaxAfter = 1440
	// MaxLimit is the bound of a limit's magnitude.
	MaxLimit = telemetry.MaxLimit
	// maxDigits bounds the decimals that a mean is rounded to, and the zeros.
	maxDigits = 6
	// maxList bounds the regions and the marks of a rule.
	maxList = 64
	// maxText bounds title and basis, bytes.
	maxText = 1000
)

// A Fault is one thing wrong with a rule. Field is its place in a rule file: "id", "limit.high", "alarm.after".
type Fault struct {
	Field   string
	Message string
}

// Faults lists everything that makes the rule meaningless in itself. Whether the factor exists and has that unit is not asked
// here, because what the journal holds must stay readable when the factor table grows: package rulefile asks it.
func (r *Rule) Faults() []Fault {
	var list []Fault
	bad := func(field, format string, a ...any) { list = append(list, Fault{field, fmt.Sprintf(format, a...)}) }
	if r.ID == "" {
		bad("id", "missing: give the rule a short name, like w-cod-hour")
	} else if !validID(r.ID) {
		bad("id", "%q is not 1..64 characters of a-z, 0-9, '.', '_' and '-'", r.ID)
	}
	for _, t := range []struct{ field, text, why string }{
		{"title", r.Title, "say in a few words what the alarm means"},
		{"basis", r.Basis, "name the standard and clause, or the permit, that the limit comes from"},
		{"factor", r.Factor, "write a code of HJ 212-2017 annex B, like w01018"},
		{"limit.unit", r.Unit, "write the unit of the factor's values, like mg/L"},
	} {
		if strings.TrimSpace(t.text) == "" {
			bad(t.field, "missing: %s", t.why)
		} else if len(t.text) > maxText {
			bad(t.field, "is longer than %d bytes", maxText)
		} else if !utf8.ValidString(t.text) {
			bad(t.field, "is not UTF-8")
		}
	}
	if len(r.Outlet) > maxText || !utf8.ValidString(r.Outlet) {
		bad("outlet", "is longer than %d bytes or not UTF-8", maxText)
	}
	if r.Statistic == "" {
		bad("statistic", "missing: write one of %s", join(telemetry.Statistics()))
	} else if !slices.Contains(telemetry.Statistics(), r.Statistic) {
		bad("statistic", "%q is none of %s", r.Statistic, join(telemetry.Statistics()))
	}
	if r.Medium != "" && r.Medium != "water" && r.Medium != "gas" {
		bad("medium", "%q is neither water nor gas", r.Medium)
	}
	if r.MN != "" && !telemetry.ValidMN(r.MN) {
		bad("mn", "%q cannot be the MN of a device", r.MN)
	}
	list = append(append(list, r.limitFaults()...), r.alarmFaults()...)
	return append(append(list, r.scopeFaults()...), r.judgingFaults()...)
}

// scopeFaults checks where and when the rule counts.
func (r *Rule) scopeFaults() []Fault {
	var list []Fault
	bad := func(field, format string, a ...any) { list = append(list, Fault{field, fmt.Sprintf(format, a...)}) }
	for _, t := range []struct{ field, text string }{{"standard", r.Standard}, {"class", r.Class}, {"clause", r.Clause}} {
		if len(t.text) > maxText || !utf8.ValidString(t.text) {
			bad(t.field, "is longer than %d bytes or not UTF-8", maxText)
		}
	}
	if r.Class != "" && r.Standard == "" {
		bad("class", "is a class of no standard: write standard too")
	}
	for _, l := range []struct {
		field string
		texts []string
	}{{"regions", r.Regions}, {"except_regions", r.ExceptRegions}, {"exclude_marks", r.ExcludeMarks}} {
		if len(l.texts) > maxList {
			bad(l.field, "are %d, at most %d", len(l.texts), maxList)
		}
		for i, t := range l.texts {
			if strings.TrimSpace(t) == "" || len(t) > maxText || !utf8.ValidString(t) {
				bad(l.field, "%q is empty, longer than %d bytes or not UTF-8", t, maxText)
			} else if slices.Contains(l.texts[:i], t) {
				bad(l.field, "%q is there twice", t)
			}
		}
	}
	for _, d := range []struct {
		from, to string
		a, b     telemetry.Date
	}{{"built_from", "built_to", r.BuiltFrom, r.BuiltTo}, {"valid_from", "valid_to", r.ValidFrom, r.ValidTo}} {
		if d.a != 0 && d.b != 0 && d.a > d.b {
			bad(d.to, "%s is before %s, %s: the rule would never count", d.b, d.from, d.a)
		}
	}
	return list
}

// judgingFaults checks how the rule is judged, and makes its guard ready to be evaluated.
func (r *Rule) judgingFaults() []Fault {
	var list []Fault
	bad := func(field, format string, a ...any) { list = append(list, Fault{field, fmt.Sprintf(format, a...)}) }
	for _, c := range []struct{ field, value, one, other string }{
		{"value", r.Value, ValueMeasured, ValueCorrected}, {"verdict", r.Verdict, VerdictExceed, VerdictWarn},
		{"rounding", r.Rounding, RoundingNone, RoundingLimit}, {"unknown", r.Unknown, UnknownJudge, UnknownSkip},
	} {
		if c.value != "" && c.value != c.one && c.value != c.other {
			bad(c.field, "%q is neither %s nor %s", c.value, c.one, c.other)
		}
	}
	if !slices.Contains([]string{"", "confirmed", "single", "inferred"}, r.Confidence) {
		bad("confidence", "%q is none of confirmed, single, inferred", r.Confidence)
	}
	if r.Digits < -maxDigits || r.Digits > maxDigits || r.Digits != 0 && r.Rounding == "" {
		bad("limit", "%d decimals: -6..6, and only with a rounding", r.Digits)
	}
	switch {
	case r.When == nil && r.Unknown != "":
		bad("unknown", "belongs to a condition: write when too")
	case r.When != nil:
		if err := r.When.ready(r); err != nil {
			bad("when", "%v", err)
		}
	}
	return list
}

func (r *Rule) limitFaults() []Fault {
	var list []Fault
	bad := func(field, format string, a ...any) { list = append(list, Fault{field, fmt.Sprintf(format, a...)}) }
	if r.Low == nil && r.High == nil {
		bad("limit", "sets neither low nor high: nothing can cross it")
	}
	negative := false
	for _, l := range []struct {
		field string
		value *telemetry.Fixed
	}{{"limit.low", r.Low}, {"limit.high", r.High}} {
		if l.value == nil {
			continue
		}
		if *l.value > MaxLimit || *l.value < -MaxLimit {
			bad(l.field, "%s is beyond ±%s", *l.value, MaxLimit)
		}
		negative = negative || *l.value < 0
	}
	if r.Low != nil && r.High != nil && *r.Low >= *r.High {
		bad("limit.low", "%s is not below high, %s: every value would cross", *r.Low, *r.High)
	}
	if w := r.EarlyWarning; w < 0 || w >= telemetry.FixedOne {
		bad("limit.early_warning", "%s is not a share of the limit: write 0 < r < 1, like 0.9", w)
	} else if w != 0 && (r.High == nil && r.Low != nil || r.High != nil && *r.High <= 0) {
		bad("limit.early_warning", "needs a high limit above zero, of which it is a share")
	}
	if negative && r.ClearBelow != telemetry.FixedOne {
		bad("alarm.clear_below", "a share of a negative limit has no meaning: leave it out")
	}
	return list
}

func (r *Rule) alarmFaults() []Fault {
	var list []Fault
	bad := func(field, format string, a ...any) { list = append(list, Fault{field, fmt.Sprintf(format, a...)}) }
	for _, n := range []struct {
		field string
		value int
	}{{"alarm.after", r.RaiseAfter}, {"alarm.clear_after", r.ClearAfter}} {
		if n.value < 1 || n.value > MaxAfter {
			bad(n.field, "%d is not 1..%d consecutive windows", n.value, MaxAfter)
		}
	}
	for _, s := range []struct {
		field string
		value telemetry.Fixed
	}{{"alarm.clear_below", r.ClearBelow}, {"min_valid", r.MinValid}} {
		if s.value <= 0 || s.value > telemetry.FixedOne {
			bad(s.field, "%s is not a share: write 0 < r <= 1", s.value)
		}
	}
	return list
}

func (rs *RuleSet) validate() error {
	var errs []error
	if strings.TrimSpace(rs.Name) == "" || len(rs.Name) > maxText || !utf8.ValidString(rs.Name) {
		errs = append(errs, fmt.Errorf("ruleset: the name is empty, longer than %d bytes or not UTF-8", maxText))
	}
	if rs.Version < 1 {
		errs = append(errs, fmt.Errorf("version: %d is not 1 or more", rs.Version))
	}
	if n := len(rs.Rules); n < 1 || n > MaxRules {
		errs = append(errs, fmt.Errorf("rules: %d is not 1..%d rules", n, MaxRules))
	}
	seen := make(map[string]bool, len(rs.Rules))
	for i := range rs.Rules {
		r := &rs.Rules[i]
		for _, f := range r.Faults() {
			errs = append(errs, fmt.Errorf("rules[%d] %s: %s: %s", i, r.ID, f.Field, f.Message))
		}
		if seen[r.ID] {
			errs = append(errs, fmt.Errorf("rules[%d] %s: id: is used twice", i, r.ID))
		}
		seen[r.ID] = true
	}
	if n := len(rs.Detectors); n > MaxTunings {
		errs = append(errs, fmt.Errorf("detectors: %d are more than the %d of one set", n, MaxTunings))
	}
	for i := range rs.Detectors {
		for _, f := range rs.Detectors[i].Faults() {
			errs = append(errs, fmt.Errorf("detectors[%d] %s: %s: %s", i, rs.Detectors[i].Detector, f.Field, f.Message))
		}
	}
	return errors.Join(errs...)
}

func validID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func join[S ~string](list []S) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = string(s)
	}
	return strings.Join(parts, ", ")
}
