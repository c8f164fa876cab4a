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
	switch had := w.cell.Alarmed&bit != 0; {
	case had && v.Crossed:
		a := s.newAlarm(d, sr, b.rule, v, w)
		s.alarmEvent(d, sr, b.rule, &a, telemetry.AlarmUpdated, msTimePtr(s.nowMs()))
	case had:
		w.cell.Alarmed &^= bit
		a := s.newAlarm(d, sr, b.rule, v, w)
		a.level, a.kind = telemetry.LevelWarning, rules.KindHigh
		if b.rule.High == nil {
			a.kind = rules.KindLow
		}
		s.alarmEvent(d, sr, b.rule, &a, telemetry.AlarmCleared, msTimePtr(s.nowMs()))
	case !v.Crossed:
	case w.cell.Judged&bit != 0:
		s.correctOpen(d, sr, b, v, w)
	default:
		if s.crossedBefore(d, sr, b.rule, w) {
			s.raiseLate(d, sr, rule, v, w)
		}
		s.judgeAfter(d, sr, rule, w)
	}
}

// correctOpen corrects the open alarm when it shows the window that came again.
func (s *State) correctOpen(d *device, sr *series, b *binding, v rules.Verdict, w judged) {
	if b.m.Open && b.alarm.end == w.end && b.alarm.value != w.measure.Value() {
		b.alarm.show(v, w)
		s.alarmEvent(d, sr, b.rule, &b.alarm, telemetry.AlarmUpdated, nil)
	}
}

// raiseLate raises a late window's own alarm and clears it, unless the rule's open alarm covers its time already.
func (s *State) raiseLate(d *device, sr *series, rule int, v rules.Verdict, w judged) {
	b := &sr.bindings[rule]
	if s.covered(d, sr, b, v, w) {
		w.cell.Judged |= 1 << rule
		return
	}
	w.cell.Alarmed |= 1 << rule
	s.raiseAndClear(d, sr, b.rule, v, w)
}

func (s *State) raiseAndClear(d *device, sr *series, r *rules.Rule, v rules.Verdict, w judged) {
	a := s.newAlarm(d, sr, r, v, w)
	s.alarmEvent(d, sr, r, &a, telemetry.AlarmRaised, nil)
	s.alarmEvent(d, sr, r, &a, telemetry.AlarmCleared, msTimePtr(s.nowMs()))
}

// covered reports whether the open alarm began before w and is of its level; it then shows w if w is the worst.
func (s *State) covered(d *device, sr *series, b *binding, v rules.Verdict, w judged) bool {
	if !b.m.Open || w.start < b.alarm.first || v.Level == telemetry.LevelExceed && b.alarm.level != telemetry.LevelExceed {
		return false
	}
	value := w.measure.Value()
	worse := v.Kind == rules.KindHigh && value > b.alarm.value || v.Kind == rules.KindLow && value < b.alarm.value
	if v.Kind == b.alarm.kind && v.Level == b.alarm.level && worse {
		b.alarm.show(v, w)
		s.alarmEvent(d, sr, b.rule, &b.alarm, telemetry.AlarmUpdated, nil)
	}
	return true
}

// judgeAfter looks at the windows behind a late one that crossed: filled in from the newest to the oldest, they had not crossed for
// long enough when they came.
func (s *State) judgeAfter(d *device, sr *series, rule int, w judged) {
	b, bit := &sr.bindings[rule], uint8(1)<<rule
	at := placeOf(d, sr, b.rule.Statistic, w.start)
	for i := int64(1); i < int64(b.rule.RaiseAfter); i++ {
		c := at.ring.At(at.index + i)
		next := judged{start: w.start + i*at.size, end: w.start + (i+1)*at.size, cell: c, due: at.due}
		if c == nil || c.N == 0 || c.Flags&window.Dirty != 0 || (c.Alarmed|c.Judged)&bit != 0 || next.end >= b.last {
			return
		}
		next.measure, next.valid = rules.Measure{Sum: c.Sum, N: int64(c.N)}, int64(c.N)
		v := b.rule.Judge(next.measure)
		if !v.Crossed || !b.rule.EnoughValid(next.valid, next.due) {
			return
		}
		if s.crossedBefore(d, sr, b.rule, next) {
			s.raiseLate(d, sr, rule, v, next)
		}
	}
}

// A place is where a tumbling window is kept.
type place struct {
	ring       *window.Ring
	index, due int64
	size       int64 // of a window, ms
}

func placeOf(d *device, sr *series, stat telemetry.Statistic, start int64) place {
	switch stat {
	case telemetry.StatMinute:
		size := d.interval() * 60_000
		return place{&sr.minutes, start / size, 1, size}
	case telemetry.StatDay:
		return place{&sr.days, dayOf(start / 60_000), 1440 / d.interval(), 24 * 3_600_000}
	}
	return place{&sr.hours, start / 3_600_000, 60 / d.interval(), 3_600_000}
}

// crossedBefore reports whether the windows just before w crossed too, as many as the rule's persistence asks for.
func (s *State) crossedBefore(d *device, sr *series, r *rules.Rule, w judged) bool {
	at := placeOf(d, sr, r.Statistic, w.start)
	for i := int64(1); i < int64(r.RaiseAfter); i++ {
		c := at.ring.At(at.index - i)
		if c == nil || c.N == 0 || !r.EnoughValid(int64(c.N), at.due) || !r.Judge(rules.Measure{Sum: c.Sum, N: int64(c.N)}).Crossed {
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
	var earlier []instantSeen
	for _, in := range sr.instants {
		if in.valid && in.at < w.start {
			earlier = append(earlier, in)
		}
	}
	slices.SortFunc(earlier, func(x, y instantSeen) int { return int(y.at - x.at) })
	need := b.rule.RaiseAfter - 1
	if len(earlier) < need {
		return
	}
	for _, in := range earlier[:need] {
		if !b.rule.Judge(rules.Measure{Sum: telemetry.Sum{}.Add(in.value), N: 1}).Crossed {
			return
		}
	}
	if !s.covered(d, sr, b, v, w) {
		s.raiseAndClear(d, sr, b.rule, v, w)
	}
}
