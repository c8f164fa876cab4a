package fold

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/stream/integrity"
	"outfall/stream/window"
	"outfall/telemetry"
)

// A series is one factor of one device.
type series struct {
	key     string // what d.series is sorted by: the factor of a code of the factor table, else the code as the device sends it
	factor  string // the code in outputs and rules: the 2017 successor of a 2005 code
	unit    string // by the factor table; empty: unknown code
	pending window.Ring
	minutes window.Ring // by slot; one value per slot
	hours   window.Ring
	days    window.Ring
	filled  integrity.Set // slots that have a minute value
	// lastSlot is the newest slot published, math.MinInt64 before the first. Rolling means end with it.
	lastSlot int64
	late     span // slots that came late since the last tick: rolling means that hold them change
	instants [recentInstants]instantSeen
	oddDay   int64 // the day on which a finding about this series' values was last made
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
	recentInstants = 8
	maxSeries      = 256     // factors of one device; a frame cannot make the state grow without bound
	maxCode        = 64      // bytes of a factor code
	manyFactorsBit = 1 << 30 // of device.quality
)

type instantSeen struct {
	at    int64
	value telemetry.Fixed
	valid bool
}

// seriesOf finds or makes the series of a wire code. nil: the device has too many already, or the code is too long.
func (s *State) seriesOf(d *device, code []byte, at int64) *series {
	i, found := d.find(code)
	if found {
		return d.series[i]
	}
	f, known := telemetry.LookupFactor(string(code))
	if known && f.Code != string(code) { // one factor under its old and its new code is one series
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
	sr := newSeries(string(code))
	sr.factor, sr.unit = f.Code, f.Unit
	if !known {
		sr.factor = factorName(code)
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

// factorName is the name of a code that the factor table lacks: printable ASCII, never empty.
func factorName(code []byte) string {
	name := bytes.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '\\' {
			return '?'
		}
		return r
	}, code)
	if len(name) == 0 {
		return "?"
	}
	return string(name)
}

func newSeries(key string) *series {
	return &series{key: key, pending: window.NewRing(pendingCells), minutes: window.NewRing(minuteCells), hours: window.NewRing(hourCells),
		days: window.NewRing(dayCells), filled: integrity.NewSet(), lastSlot: noSlot}
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
	if numeric && s.instantAgain(d, o, value) {
		return
	}
	l := s.out.start("instant", "", d, o.series.factor)
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
	if c := s.pendingCell(d, o); c != nil && c.Flags&window.FromRecord == 0 {
		c.Add(value, value, value)
	}
	s.judge(d, o.series, telemetry.StatInstant, judged{start: o.at, end: o.at, measure: rules.Measure{Sum: telemetry.Sum{}.Add(value), N: 1}, valid: 1, due: 1})
}

// pendingCell is the cell of the slot that an observation falls into, nil when the slot is closed. Slots that fall out of the ring close
// early: no tick has closed them while data went on.
func (s *State) pendingCell(d *device, o *observation) *window.Cell {
	slot := o.at / 60_000 / d.interval()
	if slot < d.nextSlot {
		return nil
	}
	sr := o.series
	sr.pending.Evicts(slot, func(i int64, c *window.Cell) { s.closeSlot(d, sr, i, c) })
	return sr.pending.Touch(slot)
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
func (s *State) instantAgain(d *device, o *observation, value telemetry.Fixed) bool {
	ring := &o.series.instants
	for i := range ring {
		if ring[i].at != o.at {
			continue
		}
		s.again(d, o, ring[i].value == value, ring[i].value, value)
		return true
	}
	copy(ring[1:], ring[:recentInstants-1])
	ring[0] = instantSeen{o.at, value, o.valid}
	return false
}

// again takes data for a time that is filled: the same is a duplicate, another value a conflict. Neither changes anything.
func (s *State) again(d *device, o *observation, same bool, had, got telemetry.Fixed) {
	if same {
		o.record.same++
		return
	}
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
	l := s.out.start("reported", string(o.cn), d, o.series.factor)
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
	slot := o.at / 60_000 / d.interval()
	sr := o.series
	if sr.filled.Has(slot * d.interval()) {
		cell := sr.minutes.At(slot)
		if cell == nil || cell.N == 0 {
			o.record.notHeld++
			return
		}
		if cell.Flags&window.FromRecord != 0 {
			s.again(d, o, cell.Mean() == avg && cell.Min == low && cell.Max == high, cell.Mean(), avg)
			return
		}
	}
	s.fillSlot(d, sr, slot, avg, low, high, window.FromRecord, o)
}

// invalidRecord keeps real-time values from standing in for a minute that the device itself says is invalid, and reports whether a valid
// record of the time came before: then this one is a conflict, and changes nothing.
func (s *State) invalidRecord(d *device, o *observation) (conflict bool) {
	text := o.group.Values[hj212.Avg].Text
	if text == nil {
		return false
	}
	slot := o.at / 60_000 / d.interval()
	if o.series.filled.Has(slot * d.interval()) {
		cell := o.series.minutes.At(slot)
		if cell == nil || cell.Flags&window.FromRecord == 0 {
			return false
		}
		s.find(d, telemetry.Finding{Kind: telemetry.FindingConflict, Factor: o.series.factor, CN: string(o.cn), QN: printable(o.qn), Start: msTimePtr(o.at), Count: 1,
			Detail: fmt.Sprintf("%s is recorded for this time, %q that is not valid came later; ignored", cell.Mean(), printable(text))})
		return true
	}
	if c := s.pendingCell(d, o); c != nil {
		*c = window.Cell{Flags: window.FromRecord}
	}
	return false
}

// markSlot notes that the minute record of a time has come.
func (s *State) markSlot(d *device, at int64, good bool) {
	minute := at / 60_000 / d.interval() * d.interval()
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
