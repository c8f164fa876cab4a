package fold

import (
	"time"

	"outfall/rules"
	"outfall/stream/window"
	"outfall/telemetry"
)

// What marks change is judged anew. The windows that a History holds are put before the rule again, from a place where no alarm was under
// way; what comes out is compared with the alarms that there were. An alarm that nothing stands behind any more is withdrawn, one that was
// missing is raised, and the machine goes on from where it is then. Alarms of windows that are not held stand or fall by how much of their
// first window the marks leave.

// An episode is an alarm as the windows held give it.
type episode struct {
	openAlarm
	last int64 // end of the last window that belongs to it; 0: it is open
}

// reach is how far the lifetime of an alarm goes.
func (e *episode) until() int64 {
	if e.last == 0 {
		return never
	}
	return e.last
}

// A heldWindow is a window of a History as a rule sees it.
type heldWindow struct {
	judged
	v  rules.Verdict
	ok bool // it can be judged
}

// rejudge judges what a change of the marks touches of one rule's windows.
func (s *State) rejudge(d *device, sr *series, rule int, change *remark) {
	b := &sr.bindings[rule]
	switch b.rule.Statistic {
	case telemetry.StatMinute, telemetry.StatHour, telemetry.StatDay:
	default:
		s.rejudgeUnheld(d, sr, b, change)
		return
	}
	list, begin := s.heldWindows(d, sr, b)
	first := 0
	for first < len(list) && list[first].end <= change.from {
		first++
	}
	if from := d.restart(sr, b, list, first); from > 0 {
		list, begin = list[from:], list[from-1].end
	}
	for i := range d.past { // an alarm that began before what is held goes on as it was
		if p := &d.past[i]; p.of(sr, b) && !p.withdrawn && p.first < begin && p.last > begin {
			begin = p.last
		}
	}
	for len(list) > 0 && list[0].start < begin {
		list = list[1:]
	}
	if b.m.Open && b.alarm.first < begin {
		s.rejudgeUnheld(d, sr, b, change)
		return
	}
	r := rerun{State: s, d: d, sr: sr, b: b, rule: rule, list: list, begin: begin, wasOpen: b.m.Open}
	r.run(change.to)
	s.shown = shown{} // a mark caused the events
	r.settle(change)
}

// heldWindows are the windows of a rule that are held and were published, oldest first. Marks can have taken some away. begin is the start of the
// oldest that could be held.
func (s *State) heldWindows(d *device, sr *series, b *binding) (list []heldWindow, begin int64) {
	size, cells, end := d.lengthOf(b.rule.Statistic), int64(window.MinuteCells), (sr.lastSlot+1)*d.interval()*60_000
	switch b.rule.Statistic {
	case telemetry.StatHour:
		cells, end = window.HourCells, d.nextHour*3_600_000
	case telemetry.StatDay:
		cells, end = window.DayCells, dayStart(d.nextDay)*60_000
	}
	if sr.lastSlot == noSlot {
		return nil, 0
	}
	at := placeOf(d, sr, b.kind, end-size)
	for i := 1 - cells; i <= 0; i++ {
		t, mark := at.window(i)
		start := end + (i-1)*size
		if mark == nil || mark.Flags&window.Emitted == 0 || start+size <= b.since {
			continue
		}
		w := heldWindow{judged: judged{start: start, end: start + size, due: at.due, mark: mark}}
		var ok bool
		if w.measure, w.valid, ok = d.measure(sr, at.kind, start, &t, at.due); ok && t.N > 0 {
			w.v, w.ok = s.verdict(d, b.rule, w.judged)
		}
		list = append(list, w)
	}
	return list, end - cells*size
}

// restart is where to begin so that the windows from first on are judged as they would have been: behind the newest window before it that was
// clear, while no alarm was under way.
func (d *device) restart(sr *series, b *binding, list []heldWindow, first int) int {
	for i := min(first, len(list)) - 1; i >= 0; i-- {
		if w := &list[i]; w.ok && !w.v.Crossed && !d.underWay(sr, b, w.end) {
			return i + 1
		}
	}
	return 0
}

// underWay reports whether an alarm of a rule had begun by a moment and not ended.
func (d *device) underWay(sr *series, b *binding, at int64) bool {
	if b.m.Open && b.alarm.first < at {
		return true
	}
	for i := range d.past {
		if p := &d.past[i]; p.of(sr, b) && !p.withdrawn && p.first < at && p.last > at {
			return true
		}
	}
	return false
}

// of reports whether a past alarm is one of a rule and a series.
func (p *pastAlarm) of(sr *series, b *binding) bool { return p.rule == b.rule && p.factor == sr.factor }

// A rerun puts a series' windows before a rule again.
type rerun struct {
	*State
	d     *device
	sr    *series
	b     *binding
	rule  int // its place
	list  []heldWindow
	begin int64 // no alarm was under way then

	wasOpen  bool // an alarm was
	m        rules.Machine
	last     int64 // end of the newest window that can be judged
	episodes []episode
	before   beforeNewest
	quiet    int64 // end of the newest window behind which nothing is under way
	calm     int64 // end of the first such window behind the change; never: there is none
}

// run puts the windows before the rule; to is where the change ends.
func (r *rerun) run(to int64) {
	r.calm = never
	var now *openAlarm
	for i := range r.list {
		w := &r.list[i]
		if !w.ok {
			if w.end == r.b.last {
				r.before = beforeNewest{r.m, now}
			}
			continue
		}
		if w.end >= r.b.last {
			r.before, r.last = beforeNewest{r.m, now}, w.end
		}
		switch step := r.m.Next(r.b.rule, w.v); step {
		case rules.StepRaise:
			now = r.newAlarm(r.d, r.sr, r.b.rule, w.v, w.judged)
			now.level = r.m.Level()
			r.episodes = append(r.episodes, episode{openAlarm: *now})
		case rules.StepUpdate:
			worse := *now
			worse.start, worse.end, worse.value, worse.kind, worse.level = w.start, w.end, w.measure.Value(), w.v.Kind, r.m.Level()
			now = &worse
			r.episodes[len(r.episodes)-1].openAlarm = worse
		case rules.StepClear:
			r.episodes[len(r.episodes)-1].last = w.end
		}
		if !r.m.Open && r.m.Run == 0 {
			r.quiet = w.end
			if w.end >= to {
				r.calm = min(r.calm, w.end)
			}
		}
	}
}

// settle compares what came out with the alarms that there were, as far as the change reaches: its own time, and the alarms that have a part
// in it, old and new.
func (r *rerun) settle(change *remark) {
	type known struct {
		first, until int64
		id           string
	}
	var had []known
	for i := range r.d.past {
		if p := &r.d.past[i]; p.of(r.sr, r.b) && !p.withdrawn && p.first >= r.begin {
			had = append(had, known{p.first, p.last, p.id})
		}
	}
	if r.wasOpen {
		had = append(had, known{r.b.alarm.first, never, r.b.alarm.id})
	}
	until := r.calm // runs that began in the change can raise an alarm behind it
	for grown := true; grown; {
		grown = false
		for _, k := range had {
			if k.until > change.from && k.first < until && k.until > until {
				until, grown = k.until, true
			}
		}
		for i := range r.episodes {
			if e := &r.episodes[i]; e.until() > change.from && e.first < until && e.until() > until {
				until, grown = e.until(), true
			}
		}
	}
	inReach := func(first, end int64) bool { return end > change.from && first < until }
	for _, k := range had {
		if inReach(k.first, k.until) && !r.has(k.first) {
			r.withdraw(r.d, r.sr, r.b, k.id, change)
		}
	}
	r.wasOpen = r.wasOpen && r.b.m.Open       // it was not withdrawn
	if r.quiet < until && r.agrees(inReach) { // else the newest windows leave the machine where it was
		r.b.m, r.b.before, r.b.last = r.m, r.before, max(r.b.last, r.last)
	}
	for i := range r.episodes {
		if e := &r.episodes[i]; inReach(e.first, e.until()) {
			r.take(e, change)
		}
	}
	r.bits(change.from, until)
}

// agrees reports whether the machine that came out and the alarm that will be open belong together.
func (r *rerun) agrees(inReach func(first, end int64) bool) bool {
	if !r.m.Open {
		return !r.wasOpen || inReach(r.b.alarm.first, never)
	}
	first := r.episodes[len(r.episodes)-1].first
	return inReach(first, never) || r.wasOpen && r.b.alarm.first == first
}

// has reports whether an alarm raised by the window that begins then came out again.
func (r *rerun) has(first int64) bool {
	for i := range r.episodes {
		if r.episodes[i].first == first {
			return true
		}
	}
	return false
}

// take makes the alarm that there is the one that came out.
func (r *rerun) take(e *episode, change *remark) {
	b, d := r.b, r.d
	same := func(a *openAlarm) bool {
		x, y := *a, e.openAlarm
		x.id, x.ruleSet, x.raisedAt, y.id, y.ruleSet, y.raisedAt = "", "", 0, "", "", 0
		return x == y
	}
	named := func(a *openAlarm) openAlarm { // the same alarm, even when the rule set's name for it has changed
		n := e.openAlarm
		n.id, n.ruleSet, n.raisedAt = a.id, a.ruleSet, a.raisedAt
		return n
	}
	if r.wasOpen && b.alarm.first == e.first {
		was, now := b.alarm, named(b.alarm)
		b.alarm = &now
		if before := b.before.alarm; before != nil && before.first == was.first {
			a := *before
			a.id, a.ruleSet, a.raisedAt = was.id, was.ruleSet, was.raisedAt
			b.before.alarm = &a
		}
		switch {
		case e.last != 0:
			r.end(b.alarm, e, change)
		case !same(was):
			r.markEvent(d, r.sr, b.rule, b.alarm, telemetry.AlarmUpdated, change)
		}
		return
	}
	for i := range d.past {
		p := &d.past[i]
		if !p.of(r.sr, b) || p.first != e.first {
			continue
		}
		a, unchanged := named(&p.openAlarm), same(&p.openAlarm)
		switch {
		case p.withdrawn || e.last == 0:
			r.raise(a, e, change)
		case !unchanged:
			r.markEvent(d, r.sr, b.rule, &a, telemetry.AlarmUpdated, change)
		}
		return
	}
	r.raise(e.openAlarm, e, change)
}

// raise raises an alarm that came out, and clears it if it is over.
func (r *rerun) raise(a openAlarm, e *episode, change *remark) {
	r.markEvent(r.d, r.sr, r.b.rule, &a, telemetry.AlarmRaised, change)
	if e.last != 0 {
		r.end(&a, e, change)
		return
	}
	r.b.alarm = &a
}

// end clears an alarm that came out as over.
func (r *rerun) end(a *openAlarm, e *episode, change *remark) {
	r.markEvent(r.d, r.sr, r.b.rule, a, telemetry.AlarmCleared, change)
	r.d.lasted(a.id, e.last)
}

// bits notes in the windows [from, until) what is a part of the rule's alarms now.
func (r *rerun) bits(from, until int64) {
	if r.rule >= lateRules {
		return
	}
	bit := uint8(1) << r.rule
	for i := range r.list {
		w := &r.list[i]
		if w.end <= from || w.start >= until {
			continue
		}
		w.mark.Alarmed &^= bit
		w.mark.Judged &^= bit
		for k := range r.episodes {
			if e := &r.episodes[k]; w.ok && w.v.Crossed && w.start >= e.first && w.end <= e.until() {
				w.mark.Judged |= bit
			}
		}
	}
}

// withdraw withdraws an alarm of a rule, open or past.
func (s *State) withdraw(d *device, sr *series, b *binding, id string, change *remark) {
	if b.m.Open && b.alarm.id == id {
		a := b.alarm
		last := b.last
		b.m, b.alarm, b.before = rules.Machine{}, nil, beforeNewest{}
		s.markEvent(d, sr, b.rule, a, telemetry.AlarmWithdrawn, change)
		d.lasted(id, max(a.end, last))
		return
	}
	if i := d.findPast(id); i >= 0 {
		s.withdrawPast(d, sr, i, change)
	}
}

func (s *State) withdrawPast(d *device, sr *series, i int, change *remark) {
	p := d.past[i]
	s.markEvent(d, sr, p.asRule(), &p.openAlarm, telemetry.AlarmWithdrawn, change)
	d.lasted(p.id, p.last)
}

// markEvent emits an event of an alarm that a change of the marks causes.
func (s *State) markEvent(d *device, sr *series, r *rules.Rule, a *openAlarm, state telemetry.AlarmState, change *remark) {
	var ended *time.Time
	if i := d.findPast(a.id); i >= 0 && state == telemetry.AlarmUpdated {
		ended = msTimePtr(d.past[i].endedAt)
	} else if state == telemetry.AlarmCleared || state == telemetry.AlarmWithdrawn {
		ended = msTimePtr(s.nowMs())
	}
	d.statusDirty = true
	s.note = eventNote{mark: change.mark, reason: change.reason}
	s.alarmEvent(d, sr, r, a, state, ended)
	s.note = eventNote{}
}
