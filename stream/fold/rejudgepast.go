package fold

import (
	"outfall/rules"
	"outfall/stream/window"
	"outfall/telemetry"
)

// rejudgeUnheld is rejudge for alarms whose windows are not held: those of real-time values and rolling means, and old ones.
func (s *State) rejudgeUnheld(d *device, sr *series, b *binding, change *remark) {
	if b.m.Open && change.touches(b.alarm.first, d.lengthOf(b.rule.Statistic)) && s.groundless(d, sr, b.rule, b.alarm.first) {
		s.withdraw(d, sr, b, b.alarm.id, change)
	}
}

// groundless reports whether nothing is left of the window that begins at first and raised an alarm of a rule: marks leave too little of it, or,
// if it is a rolling hour whose minutes are held, it does not cross any more.
func (s *State) groundless(d *device, sr *series, r *rules.Rule, first int64) bool {
	length := d.lengthOf(r.Statistic)
	if d.marks.untenable(r, sr.factor, first, first+length) {
		return true
	}
	per := 60 / d.interval()
	slot := (first+length)/60_000/d.interval() - 1
	if r.Statistic != telemetry.StatRolling1 || slot-per+1 < sr.oldestSlot() || slot > sr.lastSlot {
		return false
	}
	sum := d.hist(sr).RollingHour(slot, per)
	if sum.N == 0 {
		return true
	}
	v, ok := s.verdict(d, r, judged{start: first, end: first + length, measure: rules.Measure{Sum: sum.Sum, N: int64(sum.N)}, valid: int64(sum.N), due: per})
	return !ok || !v.Crossed
}

// judgeRolling judges the newest rolling means of a series again.
func (s *State) judgeRolling(d *device, sr *series) {
	per, last := 60/d.interval(), sr.lastSlot*d.interval()
	end, hour := (sr.lastSlot+1)*d.interval()*60_000, last/60
	if sum := d.hist(sr).RollingHour(sr.lastSlot, per); sum.N > 0 {
		s.judge(d, sr, kindRolling1, judged{start: end - 3_600_000, end: end, measure: rules.Measure{Sum: sum.Sum, N: int64(sum.N)}, valid: int64(sum.N), due: per})
	}
	if sum := d.hist(sr).RollingDay(hour); sum.N > 0 {
		start := (hour - 23) * 3_600_000
		s.judge(d, sr, kindRolling24, judged{start: start, end: end, measure: rules.Measure{Sum: sum.Sum, N: int64(sum.N)}, valid: int64(sum.N),
			due: (end - start) / 60_000 / d.interval()})
	}
}

// rejudgePast is rejudgeUnheld for alarms that are over; those that were withdrawn come back when the marks leave their first window again.
func (s *State) rejudgePast(d *device, change *remark) {
	for _, id := range d.unheldPast(change) {
		i := d.findPast(id)
		if i < 0 {
			continue // forgotten for one that came back
		}
		p := &d.past[i]
		sr := d.seriesNamed(p.factor)
		if sr == nil {
			continue
		}
		r := p.asRule()
		switch gone := s.groundless(d, sr, r, p.first); {
		case gone && !p.withdrawn:
			s.withdrawPast(d, sr, i, change)
		case !gone && p.withdrawn:
			a, last := p.openAlarm, p.last
			s.markEvent(d, sr, r, &a, telemetry.AlarmRaised, change)
			s.markEvent(d, sr, r, &a, telemetry.AlarmCleared, change)
			d.lasted(id, last)
		}
	}
}

// unheldPast lists the past alarms that the change touches and rejudge has not looked at.
func (d *device) unheldPast(change *remark) (ids []string) {
	for i := range d.past {
		p := &d.past[i]
		if change.covers(p.factor) && change.touches(p.first, d.lengthOf(p.stat)) && !d.heldFrom(p) {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// heldFrom reports whether the first window of a past alarm is one that rejudge puts before its rule.
func (d *device) heldFrom(p *pastAlarm) bool {
	sr := d.seriesNamed(p.factor)
	if sr == nil || p.rule == nil || p.stat != telemetry.StatMinute && p.stat != telemetry.StatHour && p.stat != telemetry.StatDay {
		return false
	}
	switch p.stat {
	case telemetry.StatMinute:
		return p.first >= sr.oldestSlot()*d.interval()*60_000
	case telemetry.StatHour:
		return p.first >= (d.nextHour-window.HourCells)*3_600_000
	}
	return p.first >= dayStart(d.nextDay-window.DayCells)*60_000
}

func (r *remark) touches(start, length int64) bool {
	return r.from < start+max(length, 1) && start < r.to
}

// lengthOf is the length of a statistic's windows in ms; of a rolling day the longest.
func (d *device) lengthOf(stat telemetry.Statistic) int64 {
	switch stat {
	case telemetry.StatInstant:
		return 0
	case telemetry.StatMinute:
		return d.interval() * 60_000
	case telemetry.StatHour, telemetry.StatRolling1:
		return 3_600_000
	}
	return 24 * 3_600_000
}
