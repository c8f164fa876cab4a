package fold

import (
	"math"
	"slices"
	"strings"

	"outfall/rules"
	"outfall/stream/window"
	"outfall/telemetry"
)

// workOut works windows and verdicts out again for a change of the marks. What had changed before is published first, so that only what the
// marks change is judged anew here.
func (s *State) workOut(d *device, change *remark) {
	change.to = min(change.to, max(s.nowMs()+futureMs, d.lastData+3_600_000)) // no data lie beyond
	if change.from >= change.to || !d.known {
		return
	}
	if d.dirty {
		s.flushRevisions(d)
	}
	s.remarking = change
	for n := range d.series {
		sr := &d.series[n]
		if change.covers(sr.factor) {
			s.retake(d, sr, change)
			change.counted = true
		}
	}
	s.flushRevisions(d)
	s.remarking = nil
	for n := range d.series {
		sr := &d.series[n]
		for i := range sr.bindings {
			if change.concerns(sr.bindings[i].rule) {
				s.rejudge(d, sr, i, change)
			}
		}
	}
	s.rejudgePast(d, change)
	s.note = eventNote{mark: change.mark, reason: change.reason}
	for n := range d.series {
		sr := &d.series[n]
		if change.covers(sr.factor) && sr.lastSlot != noSlot {
			s.judgeRolling(d, sr)
		}
	}
	s.note = eventNote{}
}

// concerns reports whether a rule judges a factor of the change, or asks for one.
func (r *remark) concerns(rule *rules.Rule) bool {
	return r.covers(rule.Factor) || rule.When != nil && slices.ContainsFunc(rule.When.Factors(), r.covers)
}

func (d *device) placeOf(slot int64) window.Place {
	minute := slot * d.interval()
	return window.Place{Slot: slot, Hour: minute / 60, Day: dayOf(minute), PerHour: 60 / d.interval(), DayFirst: dayStart(dayOf(minute)) / 60}
}

// oldestSlot is the oldest slot whose value a series surely holds.
func (sr *series) oldestSlot() int64 { return sr.lastSlot - window.MinuteCells + 1 }

// retake takes out of a series' windows what the marks now keep out, puts in again what they no longer do, and makes the windows of the
// change dirty.
func (s *State) retake(d *device, sr *series, change *remark) {
	if sr.lastSlot == noSlot {
		return
	}
	d.marks.foldTaken(d, sr)
	size := d.interval() * 60_000
	for slot := max(change.from/size, sr.oldestSlot()); slot <= min((change.to-1)/size, sr.lastSlot); slot++ {
		s.retakeMinute(d, sr, slot, size)
	}
	hour := max(change.from/3_600_000, d.nextHour-window.HourCells-1)
	if first := d.firstHour(); hour > change.from/3_600_000 && first < hour && !change.counted {
		change.beyond += max(0, min(hour, (change.to+3_600_000-1)/3_600_000)-max(change.from/3_600_000, first))
	}
	for ; hour*3_600_000 < change.to && hour <= sr.lastSlot*d.interval()/60; hour++ {
		s.retakeHour(d, sr, hour, change)
	}
	d.dirty = true
}

// firstHour is the hour of the device's first frame.
func (d *device) firstHour() int64 {
	if d.first == 0 {
		return never
	}
	return d.first / 3_600_000
}

// retakeMinute does retake's work for one minute, and publishes it again.
func (s *State) retakeMinute(d *device, sr *series, slot, size int64) {
	ms := d.marks
	at, isTaken := ms.findTaken(int(sr.column), false, slot)
	switch out := ms.noData(sr.factor, slot*size, (slot+1)*size); {
	case out && !isTaken:
		if v, mark, ok := d.hist(sr).TakeMinute(d.placeOf(slot)); ok {
			ms.taken = slices.Insert(ms.taken, at, taken{column: int(sr.column), index: slot, value: v, mark: mark})
		}
	case !out && isTaken:
		t := ms.taken[at]
		ms.taken = slices.Delete(ms.taken, at, at+1)
		d.hist(sr).PutMinute(d.placeOf(slot), t.value, t.mark)
	}
	if v, mark := s.heldMinute(d, sr, slot); mark != nil {
		s.publish(d, sr, kindMinute, slot*size, (slot+1)*size, v.Total(), mark, 1, slot*size, nil)
		sr.late = sr.late.with(slot)
	}
}

// retakeHour does retake's work for an hour as far as its minutes are no longer held. Of an hour that marks cover in part, only the minutes
// say what is left.
func (s *State) retakeHour(d *device, sr *series, hour int64, change *remark) {
	ms, p := d.marks, d.placeOf(hour*60/d.interval())
	total, mark := d.hist(sr).Hour(hour)
	if mark == nil {
		return
	}
	mark.Flags |= window.Dirty
	if _, day := d.hist(sr).Day(p.Day); day != nil {
		day.Flags |= window.Dirty
	}
	held := int32(0)
	for slot := hour * p.PerHour; slot < (hour+1)*p.PerHour; slot++ {
		if _, minute := d.hist(sr).Minute(slot); minute != nil {
			held++
		}
	}
	at, isTaken := ms.findTaken(int(sr.column), true, hour)
	if held == total.N && !isTaken {
		return // retakeMinute has done all
	}
	start, end := hour*3_600_000, (hour+1)*3_600_000
	switch covered := ms.covered(sr.factor, start, end, dataMark); {
	case covered == end-start && total.N > 0:
		t, ok := d.hist(sr).TakeHour(p)
		if !ok {
			return
		}
		if !isTaken {
			ms.taken = slices.Insert(ms.taken, at, taken{column: int(sr.column), hour: true, index: hour})
		}
		ms.taken[at].total.Merge(&t)
	case covered == 0 && isTaken:
		t := ms.taken[at].total
		ms.taken = slices.Delete(ms.taken, at, at+1)
		d.hist(sr).PutHour(p, t)
	case covered > 0 && covered < end-start && !change.counted:
		change.beyond++
	}
}

// heldMinute is a minute's value and mark as the windows hold it, or as a mark keeps it out of them; nil: it is no longer held.
func (s *State) heldMinute(d *device, sr *series, slot int64) (window.Value, *window.Mark) {
	v, mark := d.hist(sr).Minute(slot)
	if mark == nil && d.marks != nil {
		if at, ok := d.marks.findTaken(int(sr.column), false, slot); ok {
			t := &d.marks.taken[at]
			return t.value, &t.mark
		}
	}
	return v, mark
}

// findTaken is the place of a value in ms.taken.
func (ms *deviceMarks) findTaken(column int, hour bool, index int64) (at int, found bool) {
	return slices.BinarySearchFunc(ms.taken, taken{column: column, hour: hour, index: index}, orderTaken)
}

func orderTaken(a, b taken) int {
	switch {
	case a.column != b.column:
		return a.column - b.column
	case a.hour != b.hour && a.hour:
		return -1
	case a.hour != b.hour:
		return 1
	}
	return cmpInt(a.index, b.index)
}

// fillTaken is fillSlot for a slot whose data marks keep out of the windows. false: none does.
func (s *State) fillTaken(d *device, sr *series, slot int64, v window.Value, from window.Flags, o *observation) bool {
	ms, size := d.marks, d.interval()*60_000
	if !ms.noData(sr.factor, slot*size, (slot+1)*size) {
		return false
	}
	p := d.placeOf(slot)
	s.publishLost(d, sr, p.Hour, p.Day)
	if !d.hist(sr).Touch(p) {
		return true // beyond the rings, as in fillSlot
	}
	sr.dropOpen(d, slot)
	d.slots.Fill(int(sr.column), slot*d.interval())
	d.dirty = d.dirty || p.Hour < d.nextHour || p.Day < d.nextDay
	mark := &window.Mark{}
	if slot >= sr.oldestSlot() {
		at, found := ms.findTaken(int(sr.column), false, slot)
		if !found {
			ms.taken = slices.Insert(ms.taken, at, taken{column: int(sr.column), index: slot})
		}
		ms.taken[at].value = v
		mark = &ms.taken[at].mark
	}
	mark.Flags |= from
	s.publishMinute(d, sr, slot, v, mark, o)
	ms.foldTaken(d, sr)
	return true
}

// newSlots makes parts of hours of all minutes, whose slots were of so many minutes.
func (ms *deviceMarks) newSlots(minutes int64) {
	for i := 0; i < len(ms.taken); {
		if t := ms.taken[i]; !t.hour {
			ms.taken = slices.Delete(ms.taken, i, i+1)
			ms.addToHour(t.column, t.index*minutes/60, t.value)
			i = 0
			continue
		}
		i++
	}
}

func (ms *deviceMarks) addToHour(column int, hour int64, v window.Value) {
	at, found := ms.findTaken(column, true, hour)
	if !found {
		ms.taken = slices.Insert(ms.taken, at, taken{column: column, hour: true, index: hour})
	}
	ms.taken[at].total.Add(v)
}

// foldTaken makes parts of hours of the minutes of a series that the ring would no longer hold.
func (ms *deviceMarks) foldTaken(d *device, sr *series) {
	oldest := sr.oldestSlot()
	for {
		at, _ := ms.findTaken(int(sr.column), false, math.MinInt64)
		if at == len(ms.taken) || ms.taken[at].column != int(sr.column) || ms.taken[at].index >= oldest {
			return
		}
		t := ms.taken[at]
		ms.taken = slices.Delete(ms.taken, at, at+1)
		ms.addToHour(int(sr.column), t.index*d.interval()/60, t.value)
	}
}

// markFields says of a window that marks touch which they are, and whether what is left is valid. Of a window that is worked out again it says
// so too when none touches it any more.
func (s *State) markFields(l *line, d *device, sr *series, k kind, start, end int64, n, due int64) {
	var ids []string
	valid, counted := true, true
	for i := range d.marks.list {
		m := &d.marks.list[i]
		if !m.touches(start, end) || !m.covers(sr.factor) {
			continue
		}
		if len(ids) < 8 { // a field stays short
			ids = append(ids, m.id)
		}
		switch m.kind.Effect() {
		case telemetry.EffectUnjudged:
			valid = valid && end-start >= 23*3_600_000
		case telemetry.EffectNoData:
			counted = false
		}
	}
	if len(ids) == 0 && s.remarking == nil {
		return
	}
	if end-start >= 23*3_600_000 {
		valid = d.marks.covered(sr.factor, start, end, func(m *mark) bool { return m.kind.Effect() == telemetry.EffectUnjudged }) < end-start
	}
	n = d.marks.left(sr.factor, start, end, n, due)
	if k == kindMinute {
		l.bool("counted", counted) // in the hour, the day and the rolling means
		valid = valid && counted
	}
	l.bool("valid", valid && n*int64(telemetry.FixedOne) >= due*int64(rules.DefaultMinValid(k.statistic())))
	l.text("marks", []byte(strings.Join(ids, " ")))
}
