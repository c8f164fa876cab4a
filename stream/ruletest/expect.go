package ruletest

import (
	"fmt"

	"outfall/rules"
	"outfall/rules/rulefile"
	"outfall/telemetry"
)

// expect holds an expectation against what has come so far.
func (r *run) expect(e *rulefile.Expect) {
	bad := func(format string, a ...any) {
		r.failures = append(r.failures, fmt.Sprintf("line %d: at %s, %s: %s", e.Line, e.At, e.Rule, fmt.Sprintf(format, a...)))
	}
	var found *telemetry.Alarm
	for _, a := range r.alarms {
		if a.Rule == e.Rule && a.State != telemetry.AlarmCleared {
			found = &a
		}
	}
	switch e.Kind {
	case rulefile.ExpectNone:
		if found != nil {
			bad("want no alarm, got %s", describe(found))
		} else {
			r.quiet[e.Rule] = true
		}
		return
	case rulefile.ExpectRaised:
		if a, ok := r.raised[e.Rule]; ok {
			found = &a
		}
	}
	if found == nil {
		bad("want an alarm, got none%s", r.newest(e.Rule))
		return
	}
	if e.Level != "" && found.Level != e.Level || e.Value != nil && found.Value != *e.Value || e.Limit != nil && found.Limit != *e.Limit {
		bad("want %s, got %s", wanted(e), describe(found))
	}
}

func wanted(e *rulefile.Expect) string {
	text := "an alarm"
	if e.Level != "" {
		text += " of level " + string(e.Level)
	}
	if e.Value != nil {
		text += ", value " + e.Value.String()
	}
	if e.Limit != nil {
		text += ", limit " + e.Limit.String()
	}
	return text
}

func describe(a *telemetry.Alarm) string {
	return fmt.Sprintf("an alarm of level %s, value %s, limit %s, window %s", a.Level, a.Value, a.Limit, a.WindowStart.In(telemetry.China).Format("01-02 15:04"))
}

// newest says what the rule's last window came to, so that a reader sees why nothing was raised.
func (r *run) newest(id string) string {
	for i := range r.set.Rules {
		rule := &r.set.Rules[i]
		if rule.ID != id {
			continue
		}
		if !rule.Applies(&r.test.Device) {
			return ": the rule does not apply to the test's device"
		}
		factor, none := rule.Factor, ""
		if rule.Value == rules.ValueCorrected {
			factor, none = rule.Factor+"-Zs", "; the test's device needs a stack, and the series what it is corrected by"
		}
		for k := len(r.means) - 1; k >= 0; k-- {
			if m := r.means[k]; m.factor == factor && m.stat == rule.Statistic {
				return fmt.Sprintf(": the newest %s was %s", m.stat, m.value)
			}
		}
		return fmt.Sprintf(": no %s of %s was published%s", rule.Statistic, factor, none)
	}
	return ""
}

// cover adds what the test shows to the rules that apply to its device and have data in it.
func (r *run) cover(all []Coverage) {
	for i := range all {
		rule := r.set.Rules[i].At(&r.test.Device)
		if !rule.Applies(&r.test.Device) || !r.hasData(rule) {
			continue
		}
		c := &all[i]
		if _, fired := r.raised[rule.ID]; fired {
			c.Fires = true
			c.Quiet = c.Quiet || r.quiet[rule.ID]
		} else {
			c.Quiet = true
		}
		for _, m := range r.means {
			if m.factor == rule.Factor && m.stat == rule.Statistic && atLimit(rule, m.value) {
				c.Equal = true
			}
		}
		for _, s := range r.test.Series {
			if s.Factor != rule.Factor {
				continue
			}
			for _, v := range s.Values {
				c.Equal = c.Equal || rule.Statistic == telemetry.StatInstant && atLimit(rule, v.Text)
				c.Invalid = c.Invalid || v.Text == "" || v.Flag != "" && v.Flag != "N"
				c.Late = c.Late || v.Late
			}
		}
	}
}

// hasData reports whether the rule has had something to judge.
func (r *run) hasData(rule *rules.Rule) bool {
	if rule.Value == rules.ValueCorrected {
		return false
	}
	for _, m := range r.means {
		if m.factor == rule.Factor && m.stat == rule.Statistic {
			return true
		}
	}
	for _, s := range r.test.Series {
		if s.Factor == rule.Factor && rule.Statistic == telemetry.StatInstant && r.test.Step == telemetry.StatInstant {
			return true
		}
	}
	return false
}

func atLimit(rule *rules.Rule, text string) bool {
	v, ok := telemetry.ParseFixed(text)
	return ok && (rule.High != nil && v == *rule.High || rule.Low != nil && v == *rule.Low)
}
