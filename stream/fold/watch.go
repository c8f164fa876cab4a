package fold

import (
	"bytes"

	"outfall/ingest/hj212"
	"outfall/stream/integrity"
	"outfall/telemetry"
)

// watched is the algorithm from which on the detectors of package integrity watch, and the rates of transmission are published.
const watched = 2

// A watcher is a device's detectors.
type watcher struct {
	integrity.Watch
	next   int64     // index of the first hour that they have not seen
	frames [2]uint64 // minutes in which a frame was received, of the hour and the one before or behind, by the hour's last bit
	heard  int64     // hour of the newest of them
}

// The detectors look at an hour some time after its end, so that what comes late has come, and before the minute slots are lost: between
// scanFirst and scanFirst+scanSpread minutes after it, each device at its own minute.
const (
	scanFirst  = 20
	scanSpread = 20
	scanMost   = 24 // hours looked at in one go: a longer silence has nothing for the detectors
)

// scanDelay is how long after an hour's end a device is looked at, ms.
func (d *device) scanDelay() int64 {
	return int64(scanFirst+hash(hashSeed, []byte(d.mn))%scanSpread) * 60_000
}

// watch is the device's detectors; nil when the algorithm in force has none, or the device has never been in the registry under it.
func (s *State) watch(d *device) *watcher {
	if s.algorithm < watched || !d.known {
		return d.watcher
	}
	if d.watcher == nil {
		d.watcher = &watcher{next: s.nowMs() / 3_600_000}
	}
	return d.watcher
}

// scanAt is when the detectors look at the next hour.
func (s *State) scanAt(d *device) int64 {
	if s.algorithm < watched || d.watcher == nil {
		return never
	}
	return (d.watcher.next+1)*3_600_000 + d.scanDelay()
}

// scanHours puts the hours that are due before the detectors.
func (s *State) scanHours(d *device, now int64) {
	w := d.watcher
	to := (now-d.scanDelay())/3_600_000 - 1 // the newest hour that is due
	for w.next = max(w.next, to-scanMost+1); w.next <= to; w.next++ {
		s.scanHour(d, w, w.next)
	}
}

func (s *State) scanHour(d *device, w *watcher, hour int64) {
	h := &s.scan
	h.Index, h.Interval, h.Medium, h.Expected, h.Marks = hour, d.interval(), d.reg.Medium, d.expected(hour*60, (hour+1)*60), d.marksOf(hour)
	dayEnds := (hour*60+60+8*60)%1440 == 0
	if len(h.Series) < len(d.series) {
		h.Series = append(h.Series, make([]integrity.SeriesHour, len(d.series)-len(h.Series))...)
	}
	whole := h.Series
	h.Series = whole[:len(d.series)]
	for i := range d.series {
		s.scanSeries(d, &d.series[i], &h.Series[i], hour, dayEnds)
	}
	s.hits = w.Hour(h, s.hits[:0])
	for i := range s.hits {
		s.anomaly(d, &s.hits[i])
	}
	if dayEnds {
		s.rates(d, w, h)
	}
	h.Series = whole
}

// scanSeries is an hour of a series as the detectors see it.
func (s *State) scanSeries(d *device, sr *series, x *integrity.SeriesHour, hour int64, dayEnds bool) {
	*x = integrity.SeriesHour{Factor: sr.factor, Role: integrity.RoleOf(sr.factor), Column: int(sr.column)}
	switch sr.made {
	case asSent:
		x.Facts.Range, x.Facts.LOD = d.watcher.Learned(sr.factor)
		if st := d.reg.Stack; st != nil && st.AsSent(sr.factor) {
			x.Facts.Reference = st.RefO2
		}
	case corrected:
		x.Factor, x.Role = sr.factor+"-Zs", integrity.RoleCorrected
	default: // what weighted means are made of
		x.Role = integrity.RoleOther
		return
	}
	x.Facts.Limit, x.Tuning = s.limit(sr), s.tuning(d, sr)
	per, hist := 60/d.interval(), d.hist(sr)
	for i := range per {
		v, mark := hist.Minute(hour*per + i)
		if mark == nil {
			continue
		}
		x.Means[i] = v.Mean
		x.Has |= 1 << i
		if v.Low == v.Mean && v.High == v.Mean {
			x.Flat |= 1 << i
		}
	}
	for i := range x.Past {
		if t, mark := hist.Hour(hour - 1 - int64(i)); mark != nil && t.N > 0 {
			x.Past[i] = integrity.Past{Mean: t.Mean(), Min: t.Min, Max: t.Max, N: t.N}
		}
	}
	if !dayEnds || sr.made != asSent {
		return
	}
	if t, mark := hist.Day(dayOf(hour * 60)); mark != nil && t.N > 0 {
		x.Day = integrity.Past{Mean: t.Mean(), Min: t.Min, Max: t.Max, N: t.N}
	}
	for back := range x.Back {
		first := hour - 23 - 24*int64(back)
		for i := range int64(24) {
			if t, mark := hist.Hour(first + i); mark != nil && t.N > 0 {
				x.Back[back].Received |= 1 << i
				if int64(t.N)*4 >= per*3 {
					x.Back[back].Valid |= 1 << i
				}
			}
			if d.excused(sr.factor, first+i) {
				x.Back[back].Excused |= 1 << i
			}
		}
	}
}

// marksOf is what the marks of the whole device say of an hour.
func (d *device) marksOf(hour int64) (set integrity.MarkSet) {
	if d.marks == nil {
		return 0
	}
	start, end := hour*hourMs, (hour+1)*hourMs
	if d.marks.covered("", start, end, func(m *mark) bool { return m.kind == telemetry.MarkStopped }) == hourMs {
		return integrity.MarkStopped
	}
	for i := range d.marks.list {
		switch m := &d.marks.list[i]; {
		case !m.touches(start, end) || !m.covers(""):
		case m.kind.Effect() == telemetry.EffectUnjudged:
			set |= integrity.MarkExempt
		case m.kind.Effect() == telemetry.EffectNoData:
			set |= integrity.MarkInstrument
		}
	}
	return set
}

// excused reports whether marks excuse all of an hour of a factor: a stop, or what the enterprise is not liable for.
func (d *device) excused(factor string, hour int64) bool {
	return d.marks != nil && d.marks.covered(factor, hour*hourMs, (hour+1)*hourMs, func(m *mark) bool {
		return m.kind == telemetry.MarkStopped || m.kind == telemetry.MarkNotLiable
	}) == hourMs
}

// limit is the lowest upper limit of the rules that judge a series' hour or day mean; 0: there is none.
func (s *State) limit(sr *series) (least telemetry.Fixed) {
	for i := range sr.bindings {
		r := sr.bindings[i].rule
		if (r.Statistic == telemetry.StatHour || r.Statistic == telemetry.StatDay) && r.High != nil && (least == 0 || *r.High < least) {
			least = *r.High
		}
	}
	return least
}

// tuning is what the rule set changes of the detectors for a series, nil: nothing.
func (s *State) tuning(d *device, sr *series) *integrity.Tuning {
	if s.rules == nil {
		return nil
	}
	var t *integrity.Tuning
	for i := range s.rules.Detectors {
		x := &s.rules.Detectors[i]
		if !x.Applies(&d.reg, sr.factor) {
			continue
		}
		if t == nil {
			t = new(integrity.Tuning)
		}
		t.Off(x.Detector, x.Off)
		if x.Threshold != nil {
			t.Set(x.Detector, *x.Threshold)
		}
	}
	return t
}

func (s *State) anomaly(d *device, hit *integrity.Hit) {
	a := hit.Anomaly
	if s.rules != nil {
		a.RuleSet = s.rules.Hash
	}
	s.find(d, telemetry.Finding{Kind: telemetry.FindingAnomaly, Factor: hit.Factor, Start: msTimePtr(hit.Start * 60_000), End: msTimePtr(hit.End * 60_000),
		Detail: hit.Detail, Count: 1, Anomaly: &a})
}

// rates publishes the rates of transmission and validity of the days that are over, each factor's when they are new or have changed.
func (s *State) rates(d *device, w *watcher, h *integrity.Hour) {
	s.days = w.Rates(h, s.days[:0])
	for i := range s.days {
		r := &s.days[i]
		sr := d.seriesAt(r.Column)
		if sr.made != asSent || integrity.RoleOf(sr.factor) == integrity.RoleOther {
			continue
		}
		l := s.out.series("integrity", "", d, sr, "")
		l.int("due", int64(r.Due))
		l.int("excused", int64(r.Excused))
		rateFields(&l, r.Due, r.Received, r.Valid, [5]string{"received", "valid", "transmission", "validity", "effective"})
		rateFields(&l, r.Due, r.FullReceived, r.FullOK, [5]string{"full_received", "full_valid", "full_transmission", "full_validity", "full_effective"})
		l.int("rev", int64(r.Rev))
		s.out.end(l, dayStart(r.Day)*60_000)
	}
}

func rateFields(l *line, due, received, valid int, names [5]string) {
	l.int(names[0], int64(received))
	l.int(names[1], int64(valid))
	if r := integrity.RatesOf(due, received, valid); r.Applies {
		l.fixed(names[2], r.Transmission)
		l.fixed(names[3], r.Validity)
		l.fixed(names[4], r.Effective)
	}
}

// seriesAt is the series of a column.
func (d *device) seriesAt(column int) *series {
	for i := range d.series {
		if int(d.series[i].column) == column {
			return &d.series[i]
		}
	}
	return nil
}

// watchGroup takes what the detectors want of a factor's group beside its value: marks, sampling times, the device's own means.
func (s *State) watchGroup(w *watcher, d *device, o *observation) {
	if o.series == nil {
		return
	}
	column := int(o.series.column)
	if text := o.group.SampleTime; text != nil {
		if t, ok := hj212.ParseTime(text); ok {
			w.Sampled(column, o.at/60_000, t.UnixMilli()/60_000)
		}
	}
	switch string(o.cn) {
	case "2051":
		if !o.valid {
			w.Flagged(column, d.slotOf(o.at)*d.interval(), d.interval(), o.group.Flag)
		}
	case "2061":
		s.watchOwn(w, o, false, o.at/3_600_000)
	case "2031":
		s.watchOwn(w, o, true, dayOf(o.at/60_000))
	}
}

// noteConflict tells the detectors of a value that came again for a recorded time with other content.
func (s *State) noteConflict(d *device) {
	if d.watcher != nil {
		d.watcher.Conflict()
	}
}

// watchOwn takes the device's own mean of an hour or a day.
func (s *State) watchOwn(w *watcher, o *observation, day bool, window int64) {
	avg, ok := o.fixed(hj212.Avg)
	if !ok || !o.valid || window <= 0 {
		return
	}
	zs, hasZs := o.fixed(hj212.ZsAvg)
	digit, _ := telemetry.FixedFromDecimal(1, o.group.Values[hj212.Avg].Num.Exp)
	w.Own(int(o.series.column), day, window, avg, zs, digit, hasZs)
}

// watchParams takes the parameters of instruments that a frame of CN 3020 or 3021 carries (HJ 212-2017 table 8, i13 codes).
func (s *State) watchParams(w *watcher, d *device, m *hj212.Message) {
	for it := range m.Items() {
		if it.Kind != hj212.KindInfo || !bytes.HasPrefix(it.Code, []byte("i13")) {
			continue
		}
		num, ok := hj212.ParseDecimal(it.Value)
		if !ok {
			continue
		}
		if v, ok := telemetry.FixedFromDecimal(num.Mant, num.Exp); ok {
			w.Param(s.paramFactor(it.PolID), printable(it.Code), v)
		}
	}
}

// paramFactor is the factor of a PolId, as in outputs; empty when it is of the device.
func (s *State) paramFactor(code []byte) string {
	if len(code) == 0 || len(code) > maxCode {
		return ""
	}
	if f, known := telemetry.LookupFactor(string(code)); known {
		return f.Code
	}
	return factorName(code)
}

// hear notes the minute of a frame's receipt, so that a gap can be told from silence.
func (w *watcher) hear(ms int64) {
	minute := ms / 60_000
	hour := minute / 60
	switch {
	case hour < w.heard:
		return
	case hour == w.heard+1:
		w.frames[hour&1] = 0
	case hour > w.heard:
		w.frames = [2]uint64{}
	}
	w.heard = hour
	w.frames[hour&1] |= 1 << (minute % 60)
}

// cause is why slots of an hour are missing, as far as that can be known when the hour closes: in most of their minutes frames were received, so the
// line is well and the data logger has no record; or none were.
func (w *watcher) cause(hour int64, missing []integrity.Span) telemetry.GapCause {
	if w.heard < hour || w.heard > hour+1 {
		return telemetry.GapSilent
	}
	heard, all := 0, 0
	for _, m := range missing {
		for minute := m.Start; minute < m.End; minute++ {
			all++
			heard += int(w.frames[hour&1] >> (minute % 60) & 1)
		}
	}
	if 2*heard >= all { // a frame every other minute is enough of a line
		return telemetry.GapLogger
	}
	return telemetry.GapSilent
}

// watcher writes what the detectors of a device remember; a device without is one byte.
func (e *encoder) watcher(w *watcher) {
	e.bool(w != nil)
	if w == nil {
		return
	}
	e.int(w.next)
	e.int(w.heard)
	e.uint(w.frames[0])
	e.uint(w.frames[1])
	e.b = w.AppendTo(e.b)
}

func (d *decoder) watcher() *watcher {
	if d.form == formBefore || !d.bool() {
		return nil
	}
	w := &watcher{next: d.int(), heard: d.int(), frames: [2]uint64{d.uint(), d.uint()}}
	if d.err != nil {
		return nil
	}
	var err error
	if w.Watch, d.b, err = integrity.ReadWatch(d.b, maxSeries); err != nil {
		d.fail("%w", err)
	}
	return w
}
