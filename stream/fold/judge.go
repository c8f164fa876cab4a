package fold

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"outfall/rules"
	"outfall/stream/window"
	"outfall/telemetry"
)

// A binding is one rule at work on one series: its machine, and the alarm that is open or was last.
type binding struct {
	rule   *rules.Rule
	index  int32 // of rule in the rule set
	kind   kind  // of the windows that rule judges
	m      rules.Machine
	last   int64      // end of the newest window judged, ms; 0: none
	since  int64      // windows that ended before it was there are not its, ms; earlier where one was judged all the same
	alarm  *openAlarm // nil: none yet. What it points to never changes.
	before beforeNewest
}

// beforeNewest is where a binding stood before its newest window, so that a correction of that window can be judged in its place.
type beforeNewest struct {
	m     rules.Machine
	alarm *openAlarm
}

// An openAlarm is what later events of an alarm repeat: where it began, and its worst window.
type openAlarm struct {
	id       string
	ruleSet  string
	raisedAt int64
	first    int64 // start of the window that raised it
	start    int64 // of the worst window
	end      int64
	value    telemetry.Fixed
	level    telemetry.AlarmLevel
	kind     string
}

// judged is a window put before the rules.
type judged struct {
	start, end int64 // ms; equal for an instant
	measure    rules.Measure
	valid, due int64
	mark       *window.Mark // where a tumbling window remembers its late alarms; nil: rolling means and instants
}

// rebind makes the bindings of every series of d anew after a change of rules or registry. An alarm goes on when its rule is still there
// unchanged; otherwise it is cleared.
func (s *State) rebind(d *device) {
	for i := range d.series {
		s.bind(d, &d.series[i])
	}
	d.bindPast()
}

func (s *State) bind(d *device, sr *series) {
	old := sr.bindings
	sr.bindings, sr.judges = nil, 0
	if d.known {
		for i := range s.ruleList() {
			if r := &s.rules.Rules[i]; r.Factor == sr.factor && sr.takes(r) && r.Applies(&d.reg) {
				rule := r.At(&d.reg)
				sr.bindings = append(sr.bindings, binding{rule: rule, index: int32(i), kind: kindOf(rule.Statistic), since: s.nowMs() - graceMs})
			}
		}
	}
	for i := range old {
		if kept := sameRule(sr.bindings, old[i].rule); kept != nil {
			rule, index := kept.rule, kept.index
			*kept = old[i]
			kept.rule, kept.index = rule, index
		} else if old[i].m.Open {
			s.clearAlarm(d, sr, &old[i])
		}
	}
	for i := range sr.bindings {
		sr.judges |= 1 << sr.bindings[i].kind
	}
	if !sameRules(old, sr.bindings) {
		d.hist(sr).ClearRules() // the bits name rules by their place
	}
}

// sameRules reports whether two lists hold the same rules in the same order.
func sameRules(a, b []binding) bool {
	return slices.EqualFunc(a, b, func(x, y binding) bool { return sameRule([]binding{x}, y.rule) != nil })
}

// sameRule finds the binding of a rule that is equal in every field.
func sameRule(bs []binding, r *rules.Rule) *binding {
	for i := range bs {
		if bs[i].rule.Equal(r) {
			return &bs[i]
		}
	}
	return nil
}

// judge puts a window before every rule of its statistic. Windows of a rule are judged in the order of their end: the machine counts
// consecutive ones. The newest window, when it comes again corrected, is judged in its own place; one that comes after newer ones were
// judged is judged by itself, see judgeLate.
func (s *State) judge(d *device, sr *series, k kind, w judged) {
	if s.remarking != nil {
		return // rejudge does it
	}
	if sr.judges>>k&1 != 0 {
		for i := range sr.bindings {
			if sr.bindings[i].kind == k {
				s.judgeBy(d, sr, i, w)
			}
		}
	}
	if w.mark != nil && w.mark.Rev > 0 && (k == kindHour || k == kindDay) {
		s.judgeGuarded(d, sr, k, w)
	}
	if s.shown.w.measure.N != 0 {
		s.shown = shown{}
	}
}

// judgeBy puts a window before the series' i-th rule.
func (s *State) judgeBy(d *device, sr *series, i int, w judged) {
	b := &sr.bindings[i]
	v, ok := s.verdict(d, b.rule, w)
	if !ok {
		return
	}
	b.since = min(b.since, w.start)
	if b.rule.Explained() {
		s.shown = shown{v, w}
	}
	switch {
	case w.end > b.last:
		b.last, b.before = w.end, beforeNewest{b.m, b.alarm}
		s.step(d, sr, b, b.m.Next(b.rule, v), v, w)
		b.noteJudged(i, v, w)
	case w.end == b.last:
		s.judgeAgain(d, sr, b, v, w)
		b.noteJudged(i, v, w)
	case b.kind == kindInstant:
		s.judgeLateInstant(d, sr, b, v, w)
	case w.mark != nil:
		s.judgeLate(d, sr, i, v, w)
	}
}

// verdict is what a rule says of a window; ok is false when it does not judge it.
func (s *State) verdict(d *device, r *rules.Rule, w judged) (v rules.Verdict, ok bool) {
	if d.marks != nil && d.marks.keepOut(r, &w) {
		return rules.Verdict{}, false
	}
	window := s.windowOf(d, r, w)
	return r.JudgeWindow(&window)
}

func (s *State) windowOf(d *device, r *rules.Rule, w judged) rules.Window {
	at := rules.Window{Start: w.start, Measure: w.measure, Valid: w.valid, Due: w.due, Device: &d.reg,
		Corrected: r.Value == rules.ValueCorrected} // it is bound to no other series
	if r.When != nil {
		at.Others = others{d, kindOf(r.Statistic), w.start}
	}
	return at
}

// others are the means of a device's factors over one hour or day.
type others struct {
	d     *device
	kind  kind
	start int64
}

// Mean is the mean of what the window has of a factor, however little that is: what share of it suffices says the rule, of its own factor.
func (o others) Mean(factor string) (rules.Measure, bool) {
	i, found := o.d.find([]byte(factor))
	if !found {
		return rules.Measure{}, false
	}
	at := placeOf(o.d, &o.d.series[i], o.kind, o.start)
	t, mark := at.window(0)
	m, _, ok := o.d.measure(&o.d.series[i], o.kind, o.start, &t, at.due)
	return m, ok && mark != nil && t.N > 0
}

// judgeGuarded judges again the windows of other series whose rules asked for the mean that has just been revised.
func (s *State) judgeGuarded(d *device, revised *series, k kind, w judged) {
	for n := range d.series {
		sr := &d.series[n]
		for i := range sr.bindings {
			r := sr.bindings[i].rule
			if sr == revised || sr.bindings[i].kind != k || r.When == nil || !slices.Contains(r.When.Factors(), revised.factor) {
				continue
			}
			at := placeOf(d, sr, k, w.start)
			t, mark := at.window(0)
			if mark == nil || mark.Flags&(window.Emitted|window.Dirty) != window.Emitted {
				continue // not published yet, or about to be again: it is judged then
			}
			if m, valid, ok := d.measure(sr, k, w.start, &t, at.due); ok {
				s.judgeBy(d, sr, i, judged{start: w.start, end: w.end, measure: m, valid: valid, due: at.due, mark: mark})
			}
		}
	}
}

// shown is the verdict at hand and its window: what an alarm event can say of how it came about.
type shown struct {
	v rules.Verdict
	w judged
}

// judgement is what stands behind the window that an alarm shows; nil when another one is at hand, or another value of it: a correction that
// ends an alarm.
func (s *State) judgement(d *device, r *rules.Rule, a *openAlarm) *telemetry.Judgement {
	if at := &s.shown.w; at.measure.N == 0 || at.start != a.start || at.end != a.end || at.measure.Value() != a.value {
		return nil
	}
	window := s.windowOf(d, r, s.shown.w)
	return r.Judgement(&s.shown.v, &window)
}

// noteJudged remembers in a window whether it is a part of the rule's own alarm.
func (b *binding) noteJudged(rule int, v rules.Verdict, w judged) {
	if w.mark == nil || rule >= lateRules {
		return
	}
	w.mark.Judged &^= 1 << rule
	if v.Crossed && b.m.Open {
		w.mark.Judged |= 1 << rule
	}
}

// judgeAgain takes a corrected value of the newest window: the machine goes back to where it stood before that window and takes it
// again, so that a window counts once however often it is corrected. What that makes different is an event of the same alarm.
func (s *State) judgeAgain(d *device, sr *series, b *binding, v rules.Verdict, w judged) {
	wasOpen, was := b.m.Open, b.alarm
	b.m, b.alarm = b.before.m, b.before.alarm
	switch b.m.Next(b.rule, v) {
	case rules.StepRaise:
		b.alarm = s.newAlarm(d, sr, b.rule, v, w)
		b.alarm.level = b.m.Level() // nobody else has it yet
	case rules.StepUpdate:
		b.show(v, w)
		b.alarm.level = b.m.Level()
	}
	if wasOpen && b.m.Open { // the same alarm, even when the rule set's name for it has changed
		same := *b.alarm
		same.id, same.ruleSet, same.raisedAt = was.id, was.ruleSet, was.raisedAt
		b.alarm = &same
	}
	switch {
	case wasOpen && !b.m.Open:
		b.alarm = was
		s.clearAlarm(d, sr, b)
	case b.m.Open && !wasOpen:
		d.statusDirty = true
		s.alarmEvent(d, sr, b.rule, b.alarm, telemetry.AlarmRaised, nil)
	case b.m.Open && *b.alarm != *was:
		d.statusDirty = true
		s.alarmEvent(d, sr, b.rule, b.alarm, telemetry.AlarmUpdated, nil)
	}
}

// show makes w the worst window of the alarm.
func (b *binding) show(v rules.Verdict, w judged) {
	a := *b.alarm
	a.start, a.end, a.value, a.kind = w.start, w.end, w.measure.Value(), v.Kind
	b.alarm = &a
}

func (s *State) step(d *device, sr *series, b *binding, step rules.Step, v rules.Verdict, w judged) {
	d.statusDirty = d.statusDirty || step != rules.StepNone
	switch step {
	case rules.StepRaise:
		b.alarm = s.newAlarm(d, sr, b.rule, v, w)
		b.alarm.level = b.m.Level() // nobody else has it yet
		s.alarmEvent(d, sr, b.rule, b.alarm, telemetry.AlarmRaised, nil)
	case rules.StepUpdate:
		b.show(v, w)
		b.alarm.level = b.m.Level()
		s.alarmEvent(d, sr, b.rule, b.alarm, telemetry.AlarmUpdated, nil)
	case rules.StepClear:
		s.clearAlarm(d, sr, b)
	}
}

func (s *State) clearAlarm(d *device, sr *series, b *binding) {
	d.statusDirty = true
	s.alarmEvent(d, sr, b.rule, b.alarm, telemetry.AlarmCleared, msTimePtr(s.nowMs()))
}

func (s *State) newAlarm(d *device, sr *series, r *rules.Rule, v rules.Verdict, w judged) *openAlarm {
	h := sha256.New()
	for _, part := range []string{d.mn, sr.factor, r.ID, s.rules.Hash, strconv.FormatInt(w.start, 10)} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	if r.Explained() {
		s.shown = shown{v, w}
	}
	return &openAlarm{id: hex.EncodeToString(h.Sum(nil)[:8]), ruleSet: s.rules.Hash, raisedAt: s.nowMs(), first: w.start, start: w.start, end: w.end,
		value: w.measure.Value(), level: v.Level, kind: v.Kind}
}

func (s *State) alarmEvent(d *device, sr *series, r *rules.Rule, a *openAlarm, state telemetry.AlarmState, cleared *time.Time) {
	limit := r.LimitOf(a.kind)
	s.keepPast(d, sr, r, a, state)
	ev := telemetry.Alarm{ID: a.id, State: state, Level: a.level, MN: d.mn, Outlet: d.reg.Outlet, OutletName: d.reg.OutletName,
		Enterprise: d.reg.Enterprise, Region: d.reg.Region, Factor: sr.factor, Statistic: r.Statistic, WindowStart: msTime(a.start), WindowEnd: msTime(a.end),
		Value: a.value, Limit: limit, LimitKind: a.kind, Unit: r.Unit, Basis: r.Basis, Rule: r.ID, RuleSet: a.ruleSet,
		RaisedAt: msTime(a.raisedAt), ClearedAt: cleared, At: msTime(s.nowMs()), Judgement: s.judgement(d, r, a)}
	s.note.fill(&ev)
	if a.level == telemetry.LevelExceed && a.kind == rules.KindHigh {
		ev.TimesOver = rules.TimesOver(a.value, limit)
	}
	s.out.put(telemetry.TopicAlarms, d.mn, telemetry.AppendJSON(nil, &ev))
	l := s.out.series("alarm", "", d, sr, "")
	l.b = appendTag(appendTag(l.b, "rule", r.ID), "stat", string(r.Statistic))
	l.text("id", []byte(a.id))
	l.text("state", []byte(state))
	l.text("level", []byte(a.level))
	l.fixed("value", a.value)
	l.fixed("limit", limit)
	l.fixed("times_over", ev.TimesOver)
	l.int("window_start", a.start/1000)
	s.alarmAt = max(s.alarmAt+1, s.nowMs()*1_000_000) // events of one tick stay apart
	s.out.endNano(l, s.alarmAt)
}
