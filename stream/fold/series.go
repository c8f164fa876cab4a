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
}

// A series is one factor of one device.
type series struct {
	*name
	column   int // its number in d.slots
	hist     window.History
	open     []openSlot // slots that wait for their record, earliest first
	openHead int64      // the newest slot that has been open, noSlot before the first
	lastSlot int64      // the newest slot published, noSlot before the first. Rolling means end with it.
	late     span       // slots that came late since the last tick: rolling means that hold them change
	instants recentInstantRing
	oddDay   int64 // the day on which a finding about this series' values was last made
	bindings []binding
}

// An openSlot is a minute slot whose record has not come and whose time has not passed: its real-time values so far.
type openSlot struct {
	slot   int64
	total  window.Total
	record bool // the device's own record came, and is invalid: real-time values do not stand in for it
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
	if n < len(d.order) && d.order[n].key == string(code) {
		return d.order[n]
	}
	sr := s.findOrMake(d, code, at)
	if n < maxSeries && sr != nil {
		for len(d.order) <= n {
			d.order = append(d.order, sr)
		}
		d.order[n] = sr
	}
	return sr
}

func (s *State) findOrMake(d *device, code []byte, at int64) *series {
	i, found := d.find(code)
	if found {
		return d.series[i]
	}
	if f, known := telemetry.LookupFactor(string(code)); known && f.Code != string(code) { // one factor under its old and its new code is one series
		code = []byte(f.Code)
		if i, found = d.find(code); found {
			return d.series[i]
		}
	}
	if len(d.series) >= maxSeries || len(code) > maxCode {
		if d.quality&manyFactorsBit == 0 {
			d.quality |= manyFactorsBit
			s.find(d, telemetry.Finding{Kind: telemetry.FindingQuality, Start: msTimePtr(at), Count: 1,
				Detail: fmt.Sprintf("a factor beyond %d, or a code beyond %d bytes: not taken", maxSeries, maxCode)})
		}
		return nil
	}
	name := s.nameOf(code)
	sr := newSeries(name, d.slots.AddSeries())
	if !name.known {
		s.find(d, telemetry.Finding{Kind: telemetry.FindingUnknownCode, Factor: sr.factor, Start: msTimePtr(at), Count: 1,
			Detail: "not in HJ 212-2017 annex B; kept under its own code"})
	}
	d.series = slices.Insert(d.series, i, sr)
	s.bind(d, sr)
	return sr
}

// find is the place of a key in d.series.
func (d *device) find(key []byte) (i int, found bool) {
	return slices.BinarySearchFunc(d.series, key, func(sr *series, c []byte) int { return cmpString(sr.key, c) })
}

func newSeries(n *name, column int) *series {
	return &series{name: n, column: column, hist: window.NewHistory(), openHead: noSlot, lastSlot: noSlot}
}

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
	s.judge(d, o.series, telemetry.StatInstant, judged{start: o.at, end: o.at, measure: rules.Measure{Sum: telemetry.Sum{}.Add(value), N: 1}, valid: 1, due: 1})
}

// openSlot is the slot that an observation falls into, nil when it is closed; it is good until the next call. Slots that lie far behind the
// newest close early: no tick has closed them while data went on.
func (s *State) openSlot(d *device, o *observation) *openSlot {
	slot := d.slotOf(o.at)
	sr := o.series
	if slot < s.nextSlot(d) || sr.openHead != noSlot && slot <= sr.openHead-openSlots {
		return nil
	}
	if slot > sr.openHead {
		for len(sr.open) > 0 && sr.open[0].slot <= slot-openSlots {
			s.closeSlot(d, sr)
		}
		sr.openHead = slot
	}
	i := len(sr.open)
	for i > 0 && sr.open[i-1].slot > slot {
		i--
	}
	if i == 0 || sr.open[i-1].slot != slot {
		sr.open = slices.Insert(sr.open, i, openSlot{slot: slot})
		d.openFrom = min(d.openFrom, slot)
		return &sr.open[i]
	}
	return &sr.open[i-1]
}

// dropOpen takes an open slot away, if it is one.
func (sr *series) dropOpen(d *device, slot int64) {
	for i := range sr.open {
		if sr.open[i].slot == slot {
			sr.open = slices.Delete(sr.open, i, i+1)
			d.openStale = d.openStale || slot == d.openFrom
			return
		}
	}
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
	ring := &o.series.instants
	for i, at := range ring.at {
		if at == o.at {
			s.again(d, o, sentValue{fixed: ring.value[i], isText: ring.text>>i&1 != 0}, v)
			return true
		}
	}
	ring.add(o.at, v, o.valid)
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
	if d.slots.Filled(sr.column, slot*d.interval()) {
		had, mark := sr.hist.Minute(slot)
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
	if d.slots.Filled(o.series.column, slot*d.interval()) {
		had, mark := o.series.hist.Minute(slot)
		if mark == nil || mark.Flags&window.FromRecord == 0 {
			return false
		}
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
