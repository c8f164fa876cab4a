package fold

import (
	"fmt"
	"math"
	"slices"

	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/stream/window"
	"outfall/telemetry"
)

// A name is what all series of one key share.
type name struct {
	key    string // what d.series is sorted by: the factor of a code of the factor table, else the code as the device sends it
	factor string // the code in outputs and rules: the 2017 successor of a 2005 code
	unit   string // by the factor table; empty: unknown code
	tag    string // of the lines: the factor, in line protocol
	known  bool   // in the factor table
	made   maker
}

// A series is one factor of one device. Those of a device lie side by side, and hold what every frame looks at: with thousands of devices
// each line of memory that a frame touches is one that the cache has not got.
type series struct {
	*name
	*seldom
	now      openSlot // the newest slot that has been open, with whether it is; its slot is noSlot before the first
	lastSlot int64    // the newest slot published, noSlot before the first. Rolling means end with it.
	latest   int64    // no real-time value that it remembers is of a later time, ms
	valid    uint8    // bit i: seldom.instants[i] is valid
	text     uint8    // bit i: it is no number, but the hash of a text (algorithm 2)
	next     uint8    // place of the next one there
	column   uint8    // its number in device.slots and device.rings
	older    uint8    // number of seldom.open
	judges   kindSet  // kinds of windows that its rules judge
}

// seldom is the part of a series that frames in order only write to, or do not touch.
type seldom struct {
	instants [recentInstants]recentInstant // the newest real-time values
	open     []openSlot                    // slots before series.now that wait for their record, earliest first
	late     span                          // slots that came late since the last tick: rolling means that hold them change
	oddDay   int64                         // the day on which a finding about this series' values was last made
	bindings []binding
}

// A span is the slots [from, to); the zero value is none.
type span struct{ from, to int64 }

// with is the smallest span that also holds a slot.
func (s span) with(slot int64) span {
	if s == (span{}) {
		return span{slot, slot + 1}
	}
	return span{min(s.from, slot), max(s.to, slot+1)}
}

const (
	noSlot         = math.MinInt64
	maxSeries      = 256     // factors of one device; a frame cannot make the state grow without bound
	maxCode        = 64      // bytes of a factor code
	manyFactorsBit = 1 << 30 // of device.quality
)

// seriesOf finds or makes the series of the wire code of a frame's n-th group. nil: the device has too many already, or the code is too
// long.
func (s *State) seriesOf(d *device, n int, code []byte, at int64) *series {
	if n < len(d.order) {
		if sr := &d.series[d.order[n]]; sr.key == string(code) {
			return sr
		}
	}
	i := s.findOrMake(d, code, at)
	if i < 0 {
		return nil
	}
	if n < maxSeries {
		for len(d.order) <= n {
			d.order = append(d.order, uint8(i))
		}
		d.order[n] = uint8(i)
	}
	return &d.series[i]
}

// findOrMake is the place of the series in d.series, -1: none.
func (s *State) findOrMake(d *device, code []byte, at int64) int {
	i, found := d.find(code)
	if found {
		return i
	}
	if f, known := telemetry.LookupFactor(string(code)); known && f.Code != string(code) { // one factor under its old and its new code is one series
		code = []byte(f.Code)
		if i, found = d.find(code); found {
			return i
		}
	}
	if len(d.series) >= maxSeries || len(code) > maxCode {
		if d.quality&manyFactorsBit == 0 {
			d.quality |= manyFactorsBit
			s.find(d, telemetry.Finding{Kind: telemetry.FindingQuality, Start: msTimePtr(at), Count: 1,
				Detail: fmt.Sprintf("a factor beyond %d, or a code beyond %d bytes: not taken", maxSeries, maxCode)})
		}
		return -1
	}
	name := s.nameOf(code)
	if !name.known {
		s.find(d, telemetry.Finding{Kind: telemetry.FindingUnknownCode, Factor: name.factor, Start: msTimePtr(at), Count: 1,
			Detail: "not in HJ 212-2017 annex B; kept under its own code"})
	}
	s.insert(d, i, name)
	return i
}

// insert makes a series at its place in d.series.
func (s *State) insert(d *device, i int, name *name) {
	d.rings.Add()
	d.series = slices.Insert(d.series, i, newSeries(name, new(seldom), d.slots.AddSeries()))
	for k := range d.order {
		if int(d.order[k]) >= i {
			d.order[k]++
		}
	}
	s.bind(d, &d.series[i])
}

// fetch reads a little of each line of memory of the series, so that the cache asks for all of them at once: with thousands of devices none of them
// is there. One after the other, when each is needed, they cost ten times as much.
func (d *device) fetch() (read int) {
	for i := range d.series {
		read += int(d.series[i].lastSlot) + int(d.series[i].column)
	}
	return read + int(d.recent.content[0]) + int(d.recent.qn[0])
}

// expect makes room for the series of a frame with n groups.
func (d *device) expect(n int) {
	n = min(n, maxSeries)
	d.rings.Expect(n)
	d.series = slices.Grow(d.series, max(0, n-len(d.series)))
}

// find is the place of a key in d.series.
func (d *device) find(key []byte) (i int, found bool) {
	return slices.BinarySearchFunc(d.series, key, func(sr series, c []byte) int { return cmpString(sr.key, c) })
}

func newSeries(n *name, rest *seldom, column int) series {
	return series{name: n, seldom: rest, column: uint8(column), now: openSlot{slot: noSlot}, lastSlot: noSlot}
}

// hist is the windows of a series.
func (d *device) hist(sr *series) window.History { return d.rings.Of(int(sr.column)) }

func cmpString(a string, b []byte) int {
	n := min(len(a), len(b))
	for i := 0; i < n; i++ {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}

// oddValue reports a value that is no number, once a series and day.
func (s *State) oddValue(d *device, o *observation, text []byte) {
	o.record.good = false
	day := dayOf(o.at / 60_000)
	if o.series.oddDay == day {
		return
	}
	o.series.oddDay = day
	s.find(d, telemetry.Finding{Kind: telemetry.FindingNotNumeric, Factor: o.series.factor, CN: string(o.cn), QN: printable(o.qn),
		Start: msTimePtr(o.at), Count: 1, Detail: fmt.Sprintf("value %q is no number within ±9.2e12; first of the day", printable(text))})
}

// instant takes a real-time value (CN 2011): a point always; valid numbers also enter the slot that is still open, and the instant rules.
func (s *State) instant(d *device, o *observation) {
	v := &o.group.Values[hj212.Rtd]
	if o.series == nil || v.Text == nil {
		return
	}
	value, numeric := o.fixed(hj212.Rtd)
	got := sentValue{fixed: value}
	if !numeric {
		got = sentText(v.Text)
	}
	if (numeric || s.algorithm >= 2) && s.instantAgain(d, o, got) {
		return
	}
	l := s.out.series("instant", "", d, o.series, "")
	if numeric {
		l.fixed("value", value)
	}
	if zs, ok := o.fixed(hj212.ZsRtd); ok {
		l.fixed("zs", zs)
	}
	if !numeric {
		l.text("text", v.Text)
	}
	s.endObserved(l, o, numeric && o.valid, o.at)
	if !numeric {
		s.oddValue(d, o, v.Text)
		return
	}
	if !o.valid {
		return
	}
	if c := s.openSlot(d, o); c != nil && !c.record {
		c.total.Add(window.Value{Mean: value, Low: value, High: value})
	}
	s.judge(d, o.series, kindInstant, judged{start: o.at, end: o.at, measure: rules.Measure{Sum: telemetry.Sum{}.Add(value), N: 1}, valid: 1, due: 1})
}

// endObserved closes the line of a value as sent, with its mark.
func (s *State) endObserved(l line, o *observation, valid bool, at int64) {
	l.bool("valid", valid)
	if o.group.Flag != nil {
		l.text("flag", o.group.Flag)
	}
	s.out.end(l, at)
}

// instantAgain reports a real-time value whose time the series has had already.
func (s *State) instantAgain(d *device, o *observation, v sentValue) bool {
	sr := o.series
	if o.at <= sr.latest {
		for i, in := range sr.instants {
			if in.at == o.at {
				s.again(d, o, sentValue{fixed: in.value, isText: sr.text>>i&1 != 0}, v)
				return true
			}
		}
	}
	sr.remember(o.at, v, o.valid && !v.isText)
	return false
}

// again takes data for a time that is filled: the same is a duplicate, another value a conflict. Neither changes anything.
func (s *State) again(d *device, o *observation, had, got sentValue) {
	if had.same(got) {
		o.record.same++
		return
	}
	s.conflict(d, o, had, got)
}

func (s *State) conflict(d *device, o *observation, had, got sentValue) {
	s.noteConflict(d)
	s.find(d, telemetry.Finding{Kind: telemetry.FindingConflict, Factor: o.series.factor, CN: string(o.cn), QN: printable(o.qn), Start: msTimePtr(o.at), Count: 1,
		Detail: fmt.Sprintf("%s is recorded for this time, %s came later; ignored", had, got)})
}

// reported takes the device's own hour and day data (CN 2061, 2031): points beside ours, never part of them.
func (s *State) reported(d *device, o *observation) {
	if o.series != nil {
		s.reportedLine(d, o)
	}
}

func (s *State) reportedLine(d *device, o *observation) {
	l := s.out.series("reported", commandName(o.cn), d, o.series, "")
	for i := range o.group.Values {
		if f, ok := o.fixed(hj212.Suffix(i)); ok {
			l.fixed(fieldNames[i], f)
		} else if text := o.group.Values[i].Text; text != nil {
			l.text(fieldNames[i]+"_text", text)
		}
	}
	s.endObserved(l, o, o.valid, o.at)
}

var fieldNames = [...]string{hj212.Rtd: "rtd", hj212.Avg: "avg", hj212.Min: "min", hj212.Max: "max", hj212.Cou: "cou",
	hj212.ZsRtd: "zs_rtd", hj212.ZsAvg: "zs_avg", hj212.ZsMin: "zs_min", hj212.ZsMax: "zs_max"}

// minuteRecord takes a factor of the device's minute data (CN 2051; DataTime is the start of the period).
func (s *State) minuteRecord(d *device, o *observation) {
	if o.series == nil {
		o.record.good = false
		return
	}
	avg, numeric := o.fixed(hj212.Avg)
	if !numeric || !o.valid {
		if s.invalidRecord(d, o) {
			return
		}
		o.record.good = o.record.good && o.group.Values[hj212.Avg].Text == nil && o.valid
		s.reportedLine(d, o)
		if text := o.group.Values[hj212.Avg].Text; text != nil && !numeric {
			s.oddValue(d, o, text)
		}
		return
	}
	low, high := avg, avg
	if v, ok := o.fixed(hj212.Min); ok {
		low = v
	}
	if v, ok := o.fixed(hj212.Max); ok {
		high = v
	}
	slot := d.slotOf(o.at)
	sr, v := o.series, window.Value{Mean: avg, Low: low, High: high}
	if d.slots.Filled(int(sr.column), slot*d.interval()) {
		had, mark := s.heldMinute(d, sr, slot)
		if mark == nil {
			o.record.notHeld++
			return
		}
		if mark.Flags&window.FromRecord != 0 {
			if had == v {
				o.record.same++
			} else {
				s.conflict(d, o, sentValue{fixed: had.Mean}, sentValue{fixed: avg})
			}
			return
		}
	}
	s.fillSlot(d, sr, slot, v, window.FromRecord, o)
}

// invalidRecord keeps real-time values from standing in for a minute that the device itself says is invalid, and reports whether a valid
// record of the time came before: then this one is a conflict, and changes nothing.
func (s *State) invalidRecord(d *device, o *observation) (conflict bool) {
	text := o.group.Values[hj212.Avg].Text
	if text == nil {
		return false
	}
	slot := d.slotOf(o.at)
	if d.slots.Filled(int(o.series.column), slot*d.interval()) {
		had, mark := s.heldMinute(d, o.series, slot)
		if mark == nil || mark.Flags&window.FromRecord == 0 {
			return false
		}
		s.noteConflict(d)
		s.find(d, telemetry.Finding{Kind: telemetry.FindingConflict, Factor: o.series.factor, CN: string(o.cn), QN: printable(o.qn), Start: msTimePtr(o.at), Count: 1,
			Detail: fmt.Sprintf("%s is recorded for this time, %q that is not valid came later; ignored", had.Mean, printable(text))})
		return true
	}
	if c := s.openSlot(d, o); c != nil {
		c.total, c.record = window.Total{}, true
	}
	return false
}

// markSlot notes that the minute record of a time has come.
func (s *State) markSlot(d *device, at int64, good bool) {
	minute := d.slotOf(at) * d.interval()
	if !d.slots.Mark(minute, good) {
		return
	}
	hour, day := minute/60, dayOf(minute)
	if hour < d.nextHour {
		if c := d.hours.Touch(hour); c != nil {
			c.Flags |= window.Dirty
			d.dirty = true
		}
	}
	if day < d.nextDay {
		if c := d.days.Touch(day); c != nil {
			c.Flags |= window.Dirty
			d.dirty = true
		}
	}
}
