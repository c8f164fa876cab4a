package fold

import (
	"slices"

	"outfall/rules"
	"outfall/stream/window"
	"outfall/telemetry"
)

// lateRules is how many rules of a series look at late windows: the bits of a cell.
const lateRules = 8

// judgeLate judges a window that belongs before the newest one: data that were filled in later. It raises an alarm of its own, which is
// over at once, when it and the windows before it cross for as long as the rule asks. The window remembers that, so that later corrections
// of it update or withdraw the alarm instead of raising another. A window that is a part of the rule's own alarm raises none beside it.
func (s *State) judgeLate(d *device, sr *series, rule int, v rules.Verdict, w judged) {
	if rule >= lateRules {
		return
	}
	b, bit := &sr.bindings[rule], uint8(1)<<rule
	switch had := w.mark.Alarmed&bit != 0; {
	case had && v.Crossed:
		a := s.newAlarm(d, sr, b.rule, v, w)
		s.alarmEvent(d, sr, b.rule, a, telemetry.AlarmUpdated, msTimePtr(s.nowMs()))
	case had:
		w.mark.Alarmed &^= bit
		a := s.newAlarm(d, sr, b.rule, v, w)
		a.level, a.kind = telemetry.LevelWarning, rules.KindHigh
		if b.rule.High == nil {
			a.kind = rules.KindLow
		}
		s.alarmEvent(d, sr, b.rule, a, telemetry.AlarmCleared, msTimePtr(s.nowMs()))
	case !v.Crossed:
	case w.mark.Judged&bit != 0:
		s.correctOpen(d, sr, b, v, w)
	default:
		if s.crossedBefore(d, sr, b, w) {
			s.raiseLate(d, sr, rule, v, w)
		}
		s.judgeAfter(d, sr, rule, w)
	}
}

// correctOpen corrects the open alarm when it shows the window that came again.
func (s *State) correctOpen(d *device, sr *series, b *binding, v rules.Verdict, w judged) {
	if b.m.Open && b.alarm.end == w.end && b.alarm.value != w.measure.Value() {
		b.show(v, w)
		s.alarmEvent(d, sr, b.rule, b.alarm, telemetry.AlarmUpdated, nil)
	}
}

// raiseLate raises a late window's own alarm and clears it, unless the rule's open alarm covers its time already.
func (s *State) raiseLate(d *device, sr *series, rule int, v rules.Verdict, w judged) {
	b := &sr.bindings[rule]
	if s.covered(d, sr, b, v, w) {
		w.mark.Judged |= 1 << rule
		return
	}
	w.mark.Alarmed |= 1 << rule
	s.raiseAndClear(d, sr, b.rule, v, w)
}

func (s *State) raiseAndClear(d *device, sr *series, r *rules.Rule, v rules.Verdict, w judged) {
	a := s.newAlarm(d, sr, r, v, w)
	s.alarmEvent(d, sr, r, a, telemetry.AlarmRaised, nil)
	s.alarmEvent(d, sr, r, a, telemetry.AlarmCleared, msTimePtr(s.nowMs()))
}

// covered reports whether the open alarm began before w and is of its level; it then shows w if w is the worst.
func (s *State) covered(d *device, sr *series, b *binding, v rules.Verdict, w judged) bool {
	if !b.m.Open || w.start < b.alarm.first || v.Level == telemetry.LevelExceed && b.alarm.level != telemetry.LevelExceed {
		return false
	}
	value := w.measure.Value()
	worse := v.Kind == rules.KindHigh && value > b.alarm.value || v.Kind == rules.KindLow && value < b.alarm.value
	if v.Kind == b.alarm.kind && v.Level == b.alarm.level && worse {
		b.show(v, w)
		s.alarmEvent(d, sr, b.rule, b.alarm, telemetry.AlarmUpdated, nil)
	}
	return true
}

// judgeAfter looks at the windows behind a late one that crossed: filled in from the newest to the oldest, they had not crossed for
// long enough when they came.
func (s *State) judgeAfter(d *device, sr *series, rule int, w judged) {
	b, bit := &sr.bindings[rule], uint8(1)<<rule
	at := placeOf(d, sr, b.kind, w.start)
	for i := int64(1); i < int64(b.rule.RaiseAfter); i++ {
		t, mark := at.window(i)
		next := judged{start: w.start + i*at.size, end: w.start + (i+1)*at.size, mark: mark, due: at.due}
		if mark == nil || mark.Flags&window.Dirty != 0 || (mark.Alarmed|mark.Judged)&bit != 0 || next.end >= b.last {
			return
		}
		var ok bool
		if next.measure, next.valid, ok = d.measure(sr, at.kind, next.start, &t, next.due); !ok {
			return
		}
		v, ok := s.verdict(d, b.rule, next)
		if !ok || !v.Crossed {
			return
		}
		if s.crossedBefore(d, sr, b, next) {
			s.raiseLate(d, sr, rule, v, next)
		}
	}
}

// A place is where a tumbling window is kept.
type place struct {
	hist       window.History
	kind       kind
	index, due int64
	size       int64 // of a window, ms
}

func placeOf(d *device, sr *series, k kind, start int64) place {
	switch k {
	case kindMinute:
		size := d.interval() * 60_000
		return place{d.hist(sr), k, start / size, 1, size}
	case kindDay:
		return place{d.hist(sr), k, dayOf(start / 60_000), 1440 / d.interval(), 24 * 3_600_000}
	}
	return place{d.hist(sr), k, start / 3_600_000, 60 / d.interval(), 3_600_000}
}

// window is the window so many behind the place's own, or before it; nil: there is none.
func (p *place) window(behind int64) (window.Total, *window.Mark) {
	switch p.kind {
	case kindMinute:
		v, mark := p.hist.Minute(p.index + behind)
		return v.Total(), mark
	case kindDay:
		return p.hist.Day(p.index + behind)
	}
	return p.hist.Hour(p.index + behind)
}

// crossedBefore reports whether the windows just before w crossed too, as many as the rule's persistence asks for.
func (s *State) crossedBefore(d *device, sr *series, b *binding, w judged) bool {
	r, at := b.rule, placeOf(d, sr, b.kind, w.start)
	for i := int64(1); i < int64(r.RaiseAfter); i++ {
		t, mark := at.window(-i)
		if mark == nil {
			return false
		}
		start := w.start - i*at.size
		m, valid, ok := d.measure(sr, at.kind, start, &t, at.due)
		if !ok {
			return false
		}
		v, ok := s.verdict(d, r, judged{start: start, end: start + at.size, measure: m, valid: valid, due: at.due})
		if !ok || !v.Crossed {
			return false
		}
	}
	return true
}

// judgeLateInstant is judgeLate for a real-time value that is older than the newest one judged. The values before it are those of the
// newest recentInstants; a longer persistence finds none.
func (s *State) judgeLateInstant(d *device, sr *series, b *binding, v rules.Verdict, w judged) {
	if !v.Crossed {
		return
	}
	var earlier []recentInstant
	for i, in := range sr.instants {
		if sr.valid>>i&1 == 1 && in.at < w.start {
			earlier = append(earlier, in)
		}
	}
	slices.SortFunc(earlier, func(x, y recentInstant) int { return int(y.at - x.at) })
	need := b.rule.RaiseAfter - 1
	if len(earlier) < need {
		return
	}
	for _, in := range earlier[:need] {
		before := judged{start: in.at, end: in.at, measure: rules.Measure{Sum: telemetry.Sum{}.Add(in.value), N: 1}, valid: 1, due: 1}
		if v, ok := s.verdict(d, b.rule, before); !ok || !v.Crossed {
			return
		}
	}
	if !s.covered(d, sr, b, v, w) {
		s.raiseAndClear(d, sr, b.rule, v, w)
	}
}
