package rules

import (
	"slices"
	"strings"

	"outfall/telemetry"
)

// Applies reports whether the rule's selectors match the device. An outlet whose registry names no building date counts as built after every
// BuiltTo: limits for newer outlets are the stricter ones.
func (r *Rule) Applies(d *telemetry.Device) bool {
	return (r.MN == "" || r.MN == d.MN) && (r.Outlet == "" || r.Outlet == d.Outlet) && (r.Medium == "" || r.Medium == d.Medium) &&
		(r.Standard == "" || r.Standard == d.Standard) && (r.Class == "" || r.Class == d.Class) &&
		r.inRegion(d.Region) && r.builtThen(d.Built)
}

func (r *Rule) inRegion(region string) bool {
	within := func(in string) bool { return region == in || strings.HasPrefix(region, in+"/") }
	return (len(r.Regions) == 0 || slices.ContainsFunc(r.Regions, within)) && !slices.ContainsFunc(r.ExceptRegions, within)
}

func (r *Rule) builtThen(built telemetry.Date) bool {
	if built == 0 {
		return r.BuiltTo == 0
	}
	return built >= r.BuiltFrom && (r.BuiltTo == 0 || built <= r.BuiltTo)
}

// At is the rule as it counts at a device that it applies to: with the limits of the device's permit where they are stricter, and, for a rule
// of a standard, with the verdict that belongs to the mean by which the outlet is judged. It is r itself where neither changes anything.
func (r *Rule) At(d *telemetry.Device) *Rule {
	at := *r
	changed := false
	if d.Judged != "" && r.Standard != "" && (r.Statistic == telemetry.StatHour || r.Statistic == telemetry.StatDay) {
		verdict := VerdictExceed
		if r.Statistic != d.Judged || r.Confidence == "inferred" {
			verdict = VerdictWarn
		}
		if r.verdict() != verdict {
			at.Verdict, changed = verdict, true
		}
	}
	for i := range d.Permits {
		if p := &d.Permits[i]; p.Factor == r.Factor && p.Statistic == r.Statistic && p.Unit == r.Unit && at.tighten(p) {
			changed = true
		}
	}
	if !changed {
		return r
	}
	return &at
}

// tighten takes over the limits of a permit that are stricter, and reports whether one is.
func (r *Rule) tighten(p *telemetry.Permit) bool {
	low, high := r.Low, r.High
	if p.High != nil && (high == nil || *p.High < *high) {
		high = p.High
	}
	if p.Low != nil && (low == nil || *p.Low > *low) {
		low = p.Low
	}
	if low == r.Low && high == r.High || low != nil && high != nil && *low >= *high {
		return false
	}
	r.Low, r.High = low, high
	r.Digits = 0
	if r.Rounding != "" {
		for _, l := range [...]*telemetry.Fixed{low, high} {
			if l != nil {
				r.Digits = max(r.Digits, decimals(*l))
			}
		}
	}
	if r.EarlyWarning != 0 && *high <= 0 {
		r.EarlyWarning = 0
	}
	if low != nil && *low < 0 || high != nil && *high < 0 {
		r.ClearBelow = telemetry.FixedOne // a share of a negative limit has no meaning
	}
	r.Basis += "；排污许可证"
	return true
}

// decimals is how many decimals f needs.
func decimals(f telemetry.Fixed) int {
	n := 6
	for n > 0 && f%10 == 0 {
		f /= 10
		n--
	}
	return n
}

func (r *Rule) verdict() string {
	if r.Verdict == "" {
		return VerdictExceed
	}
	return r.Verdict
}

// Equal reports whether two rules are the same in every field.
func (r *Rule) Equal(o *Rule) bool {
	if r == o {
		return true
	}
	// The fields that cannot be compared come one by one, and all others as a whole.
	return r.plain() == o.plain() && equalFixed(r.Low, o.Low) && equalFixed(r.High, o.High) && r.When.equal(o.When) &&
		slices.Equal(r.Regions, o.Regions) && slices.Equal(r.ExceptRegions, o.ExceptRegions) && slices.Equal(r.ExcludeMarks, o.ExcludeMarks)
}

type plainRule struct {
	texts   [16]string
	dates   [4]telemetry.Date
	shares  [3]telemetry.Fixed
	numbers [3]int
}

func (r *Rule) plain() plainRule {
	return plainRule{
		[16]string{r.ID, r.Title, r.Basis, r.MN, r.Outlet, r.Medium, r.Factor, string(r.Statistic), r.Unit, r.Standard, r.Class, r.Value,
			r.Verdict, r.Rounding, r.Unknown, r.Clause + "\x00" + r.Confidence},
		[4]telemetry.Date{r.BuiltFrom, r.BuiltTo, r.ValidFrom, r.ValidTo},
		[3]telemetry.Fixed{r.EarlyWarning, r.ClearBelow, r.MinValid}, [3]int{r.RaiseAfter, r.ClearAfter, r.Digits},
	}
}

func equalFixed(a, b *telemetry.Fixed) bool { return a == b || a != nil && b != nil && *a == *b }
