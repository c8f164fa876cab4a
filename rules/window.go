package rules

import (
	"outfall/telemetry"
)

// A Window is what a rule is put before.
type Window struct {
	Start      int64 // ms since 1970; of an instant, its time
	Measure    Measure
	Valid, Due int64 // slots
	Corrected  bool  // Measure is of values corrected to the reference oxygen (折算)
	Device     *telemetry.Device
	Others     Others // nil: nothing is known of other factors
}

// Others answers for the other factors of the window's device.
type Others interface {
	// Mean is the mean of a factor over the same window. ok is false when there is none.
	Mean(factor string) (m Measure, ok bool)
}

// JudgeWindow judges a window by everything that the rule says. ok is false when it is not judged: too little of it is valid, its values are
// of the other kind, or the guard is unknown and the rule skips it then. A window neither counts nor interrupts then.
//
// The guard and the days on which the rule is valid are conditions of the rule like its limit: a window for which they do not hold is kept.
func (r *Rule) JudgeWindow(w *Window) (v Verdict, ok bool) {
	if (r.Value == ValueCorrected) != w.Corrected || !r.EnoughValid(w.Valid, w.Due) {
		return Verdict{}, false
	}
	v = r.Judge(w.Measure)
	if !r.ValidOn(w.Start) {
		return kept(v), true
	}
	if r.When == nil || v.Cleared && r.Unknown != UnknownSkip { // kept whatever the guard says
		return v, true
	}
	switch v.Guard = r.When.Holds(r, w); {
	case v.Guard == False:
		return kept(v), true
	case v.Guard == Unknown && r.Unknown == UnknownSkip:
		return Verdict{}, false
	}
	return v, true
}

// kept is the verdict on a window that a condition beside the limit takes out.
func kept(v Verdict) Verdict {
	v.Crossed, v.Level, v.Limit, v.Kind, v.LimitKept, v.Cleared = false, "", 0, "", true, true
	return v
}

// ValidOn reports whether the rule counts for a window that begins at start, ms since 1970.
func (r *Rule) ValidOn(start int64) bool {
	if r.ValidFrom == 0 && r.ValidTo == 0 {
		return true
	}
	day := telemetry.DateOf(start)
	return day >= r.ValidFrom && (r.ValidTo == 0 || day <= r.ValidTo)
}

// Explained reports whether the rule says how it is judged: what stands behind its verdicts then goes with its alarms.
func (r *Rule) Explained() bool {
	return r.Rounding != "" || r.When != nil || r.Verdict != "" || r.Value != ""
}

// Judgement is what stands behind the verdict on a window; nil for a rule that says nothing of how it is judged.
func (r *Rule) Judgement(v *Verdict, w *Window) *telemetry.Judgement {
	if !r.Explained() {
		return nil
	}
	j := &telemetry.Judgement{Verdict: r.verdict(), Value: ValueMeasured, Valid: w.Valid, Due: w.Due, Rounding: RoundingNone,
		Rounded: v.Rounded, Exceeds: v.Exceeds, ExceedsRounded: v.ExceedsRounded}
	if w.Corrected {
		j.Value = ValueCorrected
	}
	if r.Rounding != "" {
		j.Rounding = r.Rounding
	} else {
		j.Rounded = v.Measure.Value()
		j.Exceeds = r.beyond(v.Measure) != ""
		j.ExceedsRounded = j.Exceeds
	}
	if r.When != nil {
		j.Guard, j.Inputs = v.Guard.String(), r.When.Inputs(r, w)
	}
	return j
}
