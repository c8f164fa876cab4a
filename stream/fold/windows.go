package fold

import (
	"fmt"
	"strings"

	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/stream/integrity"
	"outfall/stream/window"
	"outfall/telemetry"
)

// fillSlot gives a slot its minute value, or replaces one that was made of real-time values, and carries it into the hour, the day
// and the rolling means. o is the record that the value comes from, nil for a slot made of real-time values.
func (s *State) fillSlot(d *device, sr *series, slot int64, v window.Value, from window.Flags, o *observation) {
	if d.marks != nil && s.fillTaken(d, sr, slot, v, from, o) {
		return
	}
	minute := slot * d.interval()
	hour, day := minute/60, dayOf(minute)
	s.publishLost(d, sr, hour, day)
	mark, ok := d.hist(sr).Fill(slot, hour, day, v)
	if !ok {
		return // beyond the rings: the clock guard lets nothing through that is
	}
	sr.dropOpen(d, slot)
	if mark == nil {
		mark = new(window.Mark) // older than the rolling hour: published once, not kept
	}
	mark.Flags |= from
	d.slots.Fill(int(sr.column), minute)
	d.dirty = d.dirty || hour < d.nextHour || day < d.nextDay
	s.noteFilled(d, sr, slot, v, from)
	s.publishMinute(d, sr, slot, v, mark, o)
}

// publishLost publishes the windows that an hour and a day push out of the rings and that no tick has published: the log clock stood still
// for days while frames came.
func (s *State) publishLost(d *device, sr *series, hour, day int64) {
	d.hist(sr).EachLostHour(hour, func(h int64, t window.Total, mark *window.Mark) { s.publishHour(d, sr, h, t, mark) })
	d.hist(sr).EachLostDay(day, func(day int64, t window.Total, mark *window.Mark) { s.publishDay(d, sr, day, t, mark) })
}

// publishMinute publishes a slot's mean and, when it is the newest, the rolling means that end with it.
func (s *State) publishMinute(d *device, sr *series, slot int64, v window.Value, mark *window.Mark, o *observation) {
	start := slot * d.interval() * 60_000
	end := start + d.interval()*60_000
	s.publish(d, sr, kindMinute, start, end, v.Total(), mark, 1, start, o)
	if slot < sr.lastSlot {
		sr.late = sr.late.with(slot)
		d.dirty = true
		return
	}
	sr.lastSlot = slot
	s.rollingHour(d, sr, slot, mark.Rev)
	s.rollingDay(d, sr, slot, mark.Rev)
}

// reviseRolling publishes the rolling means again that hold late slots, as far as the ring still holds their whole hour.
func (s *State) reviseRolling(d *device, sr *series) {
	late := sr.late
	sr.late = span{}
	per := 60 / d.interval()
	for slot := max(late.from, sr.lastSlot-window.MinuteCells+per); slot < min(late.to+per-1, sr.lastSlot+1); slot++ {
		if _, mark := s.heldMinute(d, sr, slot); mark != nil {
			mark.Rev++ // one counter serves a slot's own mean and the rolling ones that end with it
			s.rollingHour(d, sr, slot, mark.Rev)
		}
	}
	_, newest := s.heldMinute(d, sr, sr.lastSlot)
	if newest == nil || (late.to-1)*d.interval()/60 < sr.lastSlot*d.interval()/60-23 {
		return
	}
	if late.to+per-1 <= sr.lastSlot { // not among those above
		newest.Rev++
	}
	s.rollingDay(d, sr, sr.lastSlot, newest.Rev)
}

// rollingHour publishes the mean of the 60 minutes that end with a slot.
func (s *State) rollingHour(d *device, sr *series, slot int64, rev uint16) {
	per := 60 / d.interval()
	sum := d.hist(sr).RollingHour(slot, per)
	if sum.N == 0 && s.remarking == nil {
		return
	}
	end := (slot + 1) * d.interval() * 60_000
	s.publishRolling(d, sr, kindRolling1, end-3_600_000, end, &sum, int(per), rev)
}

// rollingDay publishes the mean of the last 23 full hours and the running one up to a slot. The trailing edge moves by the hour, so
// that a day needs 24 cells and not 1,440; the window's start is published with it.
func (s *State) rollingDay(d *device, sr *series, slot int64, rev uint16) {
	last := slot * d.interval()
	hour := last / 60
	sum := d.hist(sr).RollingDay(hour)
	if sum.N == 0 && s.remarking == nil {
		return
	}
	start, end := (hour-23)*3_600_000, (slot+1)*d.interval()*60_000
	s.publishRolling(d, sr, kindRolling24, start, end, &sum, int((end-start)/60_000/d.interval()), rev)
}

func (s *State) publishRolling(d *device, sr *series, k kind, start, end int64, sum *window.Total, due int, rev uint16) {
	if sr.made.silent() {
		return
	}
	l := s.out.series("mean", "", d, sr, string(k.statistic()))
	meanFields(&l, sum, due, rev)
	l.int("start", start/1000)
	if d.marks != nil {
		s.markFields(&l, d, sr, k, start, end, int64(sum.N), int64(due))
	}
	s.out.end(l, end)
	s.judge(d, sr, k, judged{start: start, end: end, measure: rules.Measure{Sum: sum.Sum, N: int64(sum.N)}, valid: int64(sum.N), due: int64(due)})
}

// meanFields begins the fields of a mean. Most lines are means: their names are constants here, not parameters.
func meanFields(l *line, t *window.Total, due int, rev uint16) {
	b := append(l.b, ' ')
	if t.N > 0 { // marks can leave nothing
		b = t.Mean().Append(append(b, "avg="...))
		b = t.Min.Append(append(b, ",min="...))
		b = append(t.Max.Append(append(b, ",max="...)), ',')
	}
	b = telemetry.AppendUint(append(b, "count="...), uint64(t.N))
	b = telemetry.AppendUint(append(b, "i,due="...), uint64(due))
	b = telemetry.AppendUint(append(b, "i,rev="...), uint64(rev))
	l.b, l.fields = append(b, 'i'), 6
}

// shareOf is n/due in millionths, at most one.
func shareOf(n int32, due int) telemetry.Fixed {
	if due <= 0 || int(n) >= due {
		return telemetry.FixedOne
	}
	return telemetry.Fixed(int64(n) * int64(telemetry.FixedOne) / int64(due))
}

// publish publishes a tumbling window, as a revision when it has been published before, and judges it. at is the point's time.
func (s *State) publish(d *device, sr *series, k kind, start, end int64, t window.Total, mark *window.Mark, due int, at int64, o *observation) {
	if mark.Flags&window.Emitted != 0 {
		mark.Rev++
	}
	mark.Flags = mark.Flags&^window.Dirty | window.Emitted
	if sr.made.silent() {
		return
	}
	l := s.out.series("mean", "", d, sr, string(k.statistic()))
	meanFields(&l, &t, due, mark.Rev)
	if o != nil {
		for _, x := range [...]hj212.Suffix{hj212.Cou, hj212.ZsAvg, hj212.ZsMin, hj212.ZsMax} {
			if f, ok := o.fixed(x); ok {
				l.fixed(fieldNames[x], f)
			}
		}
	}
	if d.marks != nil {
		s.markFields(&l, d, sr, k, start, end, int64(t.N), int64(due))
	}
	w := judged{start: start, end: end, measure: rules.Measure{Sum: t.Sum, N: int64(t.N)}, valid: int64(t.N), due: int64(due), mark: mark}
	ok := true
	if d.reg.Stack != nil {
		s.massField(&l, d, sr, k, start)
	}
	if d.reg.FlowWeighted {
		s.weightedFields(&l, d, sr, k, start)
		w.measure, w.valid, ok = d.measure(sr, k, start, &t, w.due)
	}
	s.out.end(l, at)
	if ok {
		s.judge(d, sr, k, w)
	}
}

// closeSlots makes minute values of the real-time values of slots whose record did not come within the grace.
func (s *State) closeSlots(d *device) {
	next := s.nextSlot(d)
	for i := range d.series {
		sr := &d.series[i]
		for c := sr.firstOpen(); c != nil && c.slot < next; c = sr.firstOpen() {
			s.closeSlot(d, sr)
		}
	}
}

// closeSlot makes the minute value of the real-time values of the series' earliest open slot.
func (s *State) closeSlot(d *device, sr *series) {
	was := *sr.firstOpen()
	sr.dropOpen(d, was.slot)
	if was.total.N > 0 && !d.slots.Filled(int(sr.column), was.slot*d.interval()) {
		s.fillSlot(d, sr, was.slot, window.Value{Mean: was.total.Mean(), Low: was.total.Min, High: was.total.Max}, 0, nil)
	}
}

// closeHours closes the hours that have ended: their means are published by flushRevisions, what came of them and what did not here.
func (s *State) closeHours(d *device, now int64) {
	from, to := d.nextHour, (now-graceMs)/3_600_000
	if to <= from {
		return
	}
	d.nextHour, d.dirty = to, true
	for h := max(from, to-slotsKept/60); h < to; h++ {
		if !d.expected(h*60, (h+1)*60) {
			continue
		}
		if c := d.hours.Touch(h); c != nil {
			s.completeness(d, "hour", h*60, (h+1)*60, c)
			s.gap(d, h)
		}
	}
}

// expected reports whether data of [from, to), minutes, are due: not before the device's first frame, unless some were filled in.
func (d *device) expected(from, to int64) bool {
	return d.first != 0 && (to*60_000 > d.first || d.slots.Any(from, to))
}

// closeDays is closeHours for the natural day of UTC+8.
func (s *State) closeDays(d *device, now int64) {
	from, to := d.nextDay, dayOf((now-graceMs)/60_000)
	if to <= from {
		return
	}
	d.nextDay, d.dirty = to, true
	for day := max(from, to-slotsKept/1440); day < to; day++ {
		if !d.expected(dayStart(day), dayStart(day+1)) {
			continue
		}
		c := d.days.Touch(day)
		if c == nil {
			continue
		}
		share := s.completeness(d, "day", dayStart(day), dayStart(day+1), c)
		if share.Valid*4 < share.Due*3 {
			s.find(d, telemetry.Finding{Kind: telemetry.FindingCompleteness, Start: msTimePtr(dayStart(day) * 60_000), End: msTimePtr(dayStart(day+1) * 60_000),
				Count: int64(share.Due - share.Valid), Detail: fmt.Sprintf("%d of %d slots valid, %d received; 75 %% are needed", share.Valid, share.Due, share.Received)})
		}
	}
	d.slots.Forget(max(0, dayStart(to)-slotsKept))
}

func (s *State) publishHour(d *device, sr *series, h int64, t window.Total, mark *window.Mark) {
	start := h * 3_600_000
	s.publish(d, sr, kindHour, start, start+3_600_000, t, mark, int(60/d.interval()), start, nil)
}

func (s *State) publishDay(d *device, sr *series, day int64, t window.Total, mark *window.Mark) {
	start, end := dayStart(day)*60_000, dayStart(day+1)*60_000
	s.publish(d, sr, kindDay, start, end, t, mark, int(1440/d.interval()), start, nil)
}

// completeness publishes the share of slots of [from, to), minutes, that came and that are valid.
func (s *State) completeness(d *device, period string, from, to int64, c *window.Mark) integrity.Share {
	if c.Flags&window.Emitted != 0 {
		c.Rev++
	}
	c.Flags = window.Emitted
	share := d.slots.Share(from, to, d.reg.MinuteInterval)
	l := s.out.start("completeness", d, "period", period)
	l.int("due", int64(share.Due))
	l.int("received", int64(share.Received))
	l.int("valid", int64(share.Valid))
	l.fixed("share", shareOf(int32(share.Valid), share.Due))
	l.int("rev", int64(c.Rev))
	s.out.end(l, from*60_000)
	return share
}

// gap reports the slots of an hour that have not come by its close.
func (s *State) gap(d *device, h int64) {
	missing := d.slots.Missing(h*60, (h+1)*60, d.reg.MinuteInterval)
	if len(missing) == 0 {
		return
	}
	slots, spans := int64(0), make([]string, 0, len(missing))
	for _, m := range missing {
		slots += (m.End - m.Start) / d.interval()
		spans = append(spans, fmt.Sprintf("%02d-%02d", m.Start%60, m.End-h*60))
	}
	var cause telemetry.GapCause
	if d.watcher != nil {
		cause = d.watcher.cause(h, missing)
	}
	s.find(d, telemetry.Finding{Kind: telemetry.FindingGap, CN: "2051", Cause: cause, Start: msTimePtr(missing[0].Start * 60_000),
		End: msTimePtr(missing[len(missing)-1].End * 60_000), Count: slots, Detail: "minute records missing: " + strings.Join(spans, ", ")})
}

// flushRevisions publishes every closed window of d that changed since it was published, once a tick however many frames changed it.
func (s *State) flushRevisions(d *device) {
	d.dirty = false
	for i := range d.series {
		sr := &d.series[i]
		if sr.late != (span{}) {
			s.reviseRolling(d, sr)
		}
		d.hist(sr).EachDirtyHour(d.nextHour, func(h int64, t window.Total, mark *window.Mark) { s.publishHour(d, sr, h, t, mark) })
		d.hist(sr).EachDirtyDay(d.nextDay, func(day int64, t window.Total, mark *window.Mark) { s.publishDay(d, sr, day, t, mark) })
	}
	d.hours.Each(func(h int64, c *window.Mark) {
		if c.Flags&window.Dirty != 0 {
			s.completeness(d, "hour", h*60, (h+1)*60, c)
		}
	})
	d.days.Each(func(day int64, c *window.Mark) {
		if c.Flags&window.Dirty != 0 {
			s.completeness(d, "day", dayStart(day), dayStart(day+1), c)
		}
	})
}
