package fold

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"outfall/rules"
	"outfall/stream/window"
	"outfall/telemetry"
)

// A binding is one rule at work on one series: its machine, and the alarm that is open or was last.
type binding struct {
	rule   *rules.Rule
	m      rules.Machine
	last   int64                // end of the newest window judged, ms; 0: none
	beyond telemetry.AlarmLevel // the verdict on it, empty: not crossed
	alarm  openAlarm
}

// An openAlarm is what later events of an alarm repeat: where it began, and its worst window.
type openAlarm struct {
	id       string
	ruleSet  string
	raisedAt int64
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
	cell       *window.Cell // where a tumbling window remembers its late alarms; nil: rolling means and instants
}

// rebind makes the bindings of every series of d anew after a change of rules or registry. An alarm goes on when its rule is still there
// unchanged; otherwise it is cleared.
func (s *State) rebind(d *device) {
	for _, sr := range d.series {
		s.bind(d, sr)
	}
}

func (s *State) bind(d *device, sr *series) {
	old := sr.bindings
	sr.bindings = nil
	if d.known {
		for i := range s.ruleList() {
			if r := &s.rules.Rules[i]; r.Factor == sr.factor && r.Applies(&d.reg) {
				sr.bindings = append(sr.bindings, binding{rule: r})
			}
		}
	}
	for i := range old {
		if kept := sameRule(sr.bindings, old[i].rule); kept != nil {
			rule := kept.rule
			*kept = old[i]
			kept.rule = rule
		} else if old[i].m.Open {
			s.clearAlarm(d, sr, &old[i])
		}
	}
	for _, ring := range []*window.Ring{&sr.minutes, &sr.hours, &sr.days} {
		ring.Each(func(_ int64, c *window.Cell) { c.Alarmed = 0 }) // the bits name rules by their place
	}
}

// sameRule finds the binding of a rule that is equal in every field.
func sameRule(bs []binding, r *rules.Rule) *binding {
	want := telemetry.AppendJSON(nil, r)
	for i := range bs {
		if string(telemetry.AppendJSON(nil, bs[i].rule)) == string(want) {
			return &bs[i]
		}
	}
	return nil
}

// judge puts a window before every rule of its statistic. Windows of a rule are judged in the order of their end: the machine counts
// consecutive ones. A window that comes again corrected replaces its verdict; one that comes after newer ones were judged is judged by
// itself, see judgeLate.
func (s *State) judge(d *device, sr *series, stat telemetry.Statistic, w judged) {
	for i := range sr.bindings {
		b := &sr.bindings[i]
		if b.rule.Statistic != stat || !b.rule.EnoughValid(w.valid, w.due) {
			continue
		}
		v := b.rule.Judge(w.measure)
		switch {
		case w.end > b.last:
			b.last, b.beyond = w.end, v.Level
			s.step(d, sr, b, b.m.Next(b.rule, v), v, w)
		case w.end == b.last:
			s.judgeAgain(d, sr, b, v, w)
		case w.cell != nil:
			s.judgeLate(d, sr, i, v, w)
		}
	}
}

// judgeAgain takes a corrected value of the newest window. The same verdict only corrects the alarm that shows this window; another
// verdict is a step of the machine.
func (s *State) judgeAgain(d *device, sr *series, b *binding, v rules.Verdict, w judged) {
	if v.Level != b.beyond {
		b.beyond = v.Level
		s.step(d, sr, b, b.m.Next(b.rule, v), v, w)
		return
	}
	if value := w.measure.Value(); b.m.Open && v.Crossed && b.alarm.end == w.end && b.alarm.value != value {
		b.alarm.value = value
		s.alarmEvent(d, sr, b.rule, &b.alarm, telemetry.AlarmUpdated, nil)
	}
}

func (s *State) step(d *device, sr *series, b *binding, step rules.Step, v rules.Verdict, w judged) {
	d.statusDirty = d.statusDirty || step != rules.StepNone
	switch step {
	case rules.StepRaise:
		b.alarm = s.newAlarm(d, sr, b.rule, v, w)
		b.alarm.level = b.m.Level()
		s.alarmEvent(d, sr, b.rule, &b.alarm, telemetry.AlarmRaised, nil)
	case rules.StepUpdate:
		b.alarm.start, b.alarm.end, b.alarm.value, b.alarm.kind = w.start, w.end, w.measure.Value(), v.Kind
		b.alarm.level = b.m.Level()
		s.alarmEvent(d, sr, b.rule, &b.alarm, telemetry.AlarmUpdated, nil)
	case rules.StepClear:
		s.clearAlarm(d, sr, b)
	}
}

func (s *State) clearAlarm(d *device, sr *series, b *binding) {
	d.statusDirty = true
	s.alarmEvent(d, sr, b.rule, &b.alarm, telemetry.AlarmCleared, msTimePtr(s.nowMs()))
}

// judgeLate judges a window that belongs before the newest one: data that were filled in later. It raises an alarm of its own, which is
// over at once, when it and the windows before it cross for as long as the rule asks. The window remembers that, so that later corrections
// of it update or withdraw the alarm instead of raising another. A rule beyond the eighth of a series does not look at late windows.
func (s *State) judgeLate(d *device, sr *series, rule int, v rules.Verdict, w judged) {
	if rule >= 8 {
		return
	}
	b, bit := &sr.bindings[rule], uint8(1)<<rule
	had := w.cell.Alarmed&bit != 0
	a := s.newAlarm(d, sr, b.rule, v, w)
	switch {
	case v.Crossed && !had && s.crossedBefore(d, sr, b.rule, w):
		w.cell.Alarmed |= bit
		s.alarmEvent(d, sr, b.rule, &a, telemetry.AlarmRaised, nil)
		s.alarmEvent(d, sr, b.rule, &a, telemetry.AlarmCleared, msTimePtr(s.nowMs()))
	case v.Crossed && had:
		s.alarmEvent(d, sr, b.rule, &a, telemetry.AlarmUpdated, msTimePtr(s.nowMs()))
	case had:
		w.cell.Alarmed &^= bit
		a.level, a.kind = telemetry.LevelWarning, rules.KindHigh
		if b.rule.High == nil {
			a.kind = rules.KindLow
		}
		s.alarmEvent(d, sr, b.rule, &a, telemetry.AlarmCleared, msTimePtr(s.nowMs()))
	}
}

// crossedBefore reports whether the windows just before w crossed too, as many as the rule's persistence asks for.
func (s *State) crossedBefore(d *device, sr *series, r *rules.Rule, w judged) bool {
	ring, size := &sr.hours, int64(3_600_000)
	index := w.start / size
	due := 60 / d.interval()
	switch r.Statistic {
	case telemetry.StatMinute:
		ring, size, due = &sr.minutes, d.interval()*60_000, 1
		index = w.start / size
	case telemetry.StatDay:
		ring, due = &sr.days, 1440/d.interval()
		index = dayOf(w.start / 60_000)
	}
	for i := int64(1); i < int64(r.RaiseAfter); i++ {
		c := ring.At(index - i)
		if c == nil || c.N == 0 || !r.EnoughValid(int64(c.N), due) || !r.Judge(rules.Measure{Sum: c.Sum, N: int64(c.N)}).Crossed {
			return false
		}
	}
	return true
}

func (s *State) newAlarm(d *device, sr *series, r *rules.Rule, v rules.Verdict, w judged) openAlarm {
	h := sha256.New()
	for _, part := range []string{d.mn, sr.factor, r.ID, s.rules.Hash, strconv.FormatInt(w.start, 10)} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return openAlarm{id: hex.EncodeToString(h.Sum(nil)[:8]), ruleSet: s.rules.Hash, raisedAt: s.nowMs(), start: w.start, end: w.end,
		value: w.measure.Value(), level: v.Level, kind: v.Kind}
}

func (s *State) alarmEvent(d *device, sr *series, r *rules.Rule, a *openAlarm, state telemetry.AlarmState, cleared *time.Time) {
	limit := r.LimitOf(a.kind)
	ev := telemetry.Alarm{ID: a.id, State: state, Level: a.level, MN: d.mn, Outlet: d.reg.Outlet, OutletName: d.reg.OutletName,
		Enterprise: d.reg.Enterprise, Region: d.reg.Region, Factor: sr.factor, Statistic: r.Statistic, WindowStart: msTime(a.start), WindowEnd: msTime(a.end),
		Value: a.value, Limit: limit, LimitKind: a.kind, Unit: r.Unit, Basis: r.Basis, Rule: r.ID, RuleSet: a.ruleSet,
		RaisedAt: msTime(a.raisedAt), ClearedAt: cleared, At: msTime(s.nowMs())}
	if a.level == telemetry.LevelExceed && a.kind == rules.KindHigh {
		ev.TimesOver = rules.TimesOver(a.value, limit)
	}
	ordinal := int64(s.out.ord[telemetry.TopicAlarms])
	s.out.put(telemetry.TopicAlarms, d.mn, telemetry.AppendJSON(nil, &ev))
	l := s.out.start("alarm", "", d, sr.factor, "rule", r.ID, "stat", string(r.Statistic))
	l.text("id", []byte(a.id))
	l.text("state", []byte(state))
	l.text("level", []byte(a.level))
	l.fixed("value", a.value)
	l.fixed("limit", limit)
	l.fixed("times_over", ev.TimesOver)
	l.int("window_start", a.start/1000)
	s.out.endNano(l, s.nowMs()*1_000_000+ordinal) // events of one tick stay apart
}
