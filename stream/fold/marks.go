package fold

import (
	"encoding/json"
	"fmt"
	"slices"

	"outfall/rules"
	"outfall/stream/window"
	"outfall/telemetry"
)

// Bounds of what a device keeps of marks.
const (
	marksKept = 45 * 24 * 3_600_000 // ms that a mark is kept after its end: the 35 days of the slots, and until its proofs are due
	maxMarks  = 256                 // of a device; the one that ended first is forgotten then
)

// deviceMarks is what a device has of marks; a device without any has none.
type deviceMarks struct {
	list    []mark   // by their beginning
	taken   []taken  // what they keep out of the windows, by series, hours before minutes, and time
	budgets []budget // exempt time that marks have used up, by unit and year
	checked int64    // the hour in which markTimers looked last
}

// A mark is a telemetry.Mark that holds.
type mark struct {
	id      string
	unit    string
	kind    telemetry.MarkKind
	factors []string
	from    int64 // ms
	to      int64 // ms; never: it still lasts
	proofAt int64 // when its proofs are due, ms; never: they are there, are not due, or their lack has been found
	auto    bool
}

// covers reports whether the mark is about a factor; empty: about any.
func (m *mark) covers(factor string) bool {
	return len(m.factors) == 0 || slices.Contains(m.factors, factor)
}

// touches reports whether the mark and [start, end) have a time in common; an instant is start alone.
func (m *mark) touches(start, end int64) bool {
	return m.from < max(end, start+1) && start < m.to
}

// A taken value is one that a mark keeps out of the windows: a minute's, or what an hour has lost of minutes that are no longer held.
type taken struct {
	column int   // of the series
	hour   bool  // it is an hour's
	index  int64 // of the slot or the hour
	value  window.Value
	mark   window.Mark
	total  window.Total // of an hour
}

// A change of the marks is what windows are worked out again for.
type remark struct {
	mark    string // the id that alarm events show
	reason  string
	from    int64
	to      int64
	factors []string // none: all
	beyond  int64    // hours that could not be worked out again
	counted bool     // they are counted
}

func (r *remark) covers(factor string) bool {
	return len(r.factors) == 0 || slices.Contains(r.factors, factor)
}

// mark takes a mark entry.
func (s *State) mark(d *device, value []byte) {
	var m telemetry.Mark
	if json.Unmarshal(value, &m) != nil || m.MN != d.mn || m.Validate() != nil {
		return
	}
	if d.marks == nil {
		d.marks = &deviceMarks{}
	}
	s.forgetMarks(d)
	if d.marks.find(m.ID) != nil {
		s.findMark(d, telemetry.FindingMarkRefused, &m, 1, "the id was used before; the mark is ignored")
		return
	}
	change := remark{mark: m.ID, reason: m.Kind.Name(), from: never, to: 0, factors: m.Factors}
	var before *mark
	if m.Replaces != "" {
		old := d.marks.find(m.Replaces)
		switch {
		case old != nil:
			change.from, change.to = old.from, old.to
			if len(old.factors) == 0 || len(change.factors) == 0 {
				change.factors = nil
			} else {
				change.factors = append(slices.Clone(change.factors), old.factors...)
			}
			was := *old
			before = &was
			d.marks.drop(old)
		case m.Revoked:
			s.findMark(d, telemetry.FindingMarkRefused, &m, 1, fmt.Sprintf("mark %s is not known, or no longer; nothing is revoked", m.Replaces))
			return
		default:
			s.findMark(d, telemetry.FindingMarkRefused, &m, 1, fmt.Sprintf("mark %s is not known, or no longer; this one holds beside it", m.Replaces))
		}
	}
	if m.Revoked {
		change.reason = "mark " + m.Replaces + " revoked"
	} else if !s.takeMark(d, &m, before, &change) {
		if change.to == 0 {
			return
		}
		change.reason = "mark " + m.Replaces + " replaced"
	}
	s.checkBudgets(d)
	s.workOut(d, &change)
	if change.beyond > 0 {
		s.findMark(d, telemetry.FindingMarkBeyond, &m, change.beyond, fmt.Sprintf(
			"%d hours lie beyond what the worker keeps (120 minutes, 75 hours): their means stay as published; \"outfall replay --known-now\" answers with the mark", change.beyond))
	}
}

// takeMark lets a mark hold and extends the change by it. false: it does not hold.
func (s *State) takeMark(d *device, m *telemetry.Mark, before *mark, change *remark) bool {
	k := mark{id: m.ID, unit: m.Unit, kind: m.Kind, factors: m.Factors, from: m.From.UnixMilli(), to: never, auto: m.Auto, proofAt: never}
	if m.To != nil {
		k.to = m.To.UnixMilli()
	}
	if !s.checkMark(d, m, &k, before) {
		return false
	}
	if len(d.marks.list) >= maxMarks {
		first := slices.MinFunc(d.marks.list, func(a, b mark) int { return cmpInt(a.to, b.to) })
		s.findMark(d, telemetry.FindingMarkRefused, m, maxMarks, fmt.Sprintf("%d marks are kept of a device: %s, which ended first, is forgotten", maxMarks, first.id))
		d.settle(first.id, s.nowMs())
	}
	i, _ := slices.BinarySearchFunc(d.marks.list, k, func(a, b mark) int { return cmpInt(a.from, b.from) })
	d.marks.list = slices.Insert(d.marks.list, i, k)
	change.from, change.to = min(change.from, k.from), max(change.to, k.to)
	return true
}

func cmpInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// findMark emits a finding about a mark.
func (s *State) findMark(d *device, kind telemetry.FindingKind, m *telemetry.Mark, count int64, detail string) {
	f := telemetry.Finding{Kind: kind, Count: count, Detail: detail, Mark: m.ID}
	if !m.From.IsZero() {
		f.Start, f.End = msTimePtr(m.From.UnixMilli()), m.To
	}
	s.find(d, f)
}

func (ms *deviceMarks) find(id string) *mark {
	for i := range ms.list {
		if ms.list[i].id == id {
			return &ms.list[i]
		}
	}
	return nil
}

func (ms *deviceMarks) drop(m *mark) {
	ms.list = slices.DeleteFunc(ms.list, func(k mark) bool { return k.id == m.id })
}

// forgetMarks drops the marks that ended too long ago, and values taken out of hours that no History holds any more.
func (s *State) forgetMarks(d *device) {
	before := s.nowMs() - marksKept
	for i := 0; i < len(d.marks.list); {
		if m := &d.marks.list[i]; m.to < before && m.proofAt == never {
			d.settle(m.id, s.nowMs())
			continue
		}
		i++
	}
	oldest := d.nextHour - window.HourCells - 2
	d.marks.taken = slices.DeleteFunc(d.marks.taken, func(t taken) bool { return t.hour && t.index < oldest })
}

// noData reports whether data of a factor for [start, end) enter no mean, by any mark.
func (ms *deviceMarks) noData(factor string, start, end int64) bool {
	for i := range ms.list {
		if m := &ms.list[i]; m.kind.Effect() == telemetry.EffectNoData && m.touches(start, end) && m.covers(factor) {
			return true
		}
	}
	return false
}

// covered is how many ms of [start, end) marks that ok selects cover.
func (ms *deviceMarks) covered(factor string, start, end int64, ok func(*mark) bool) int64 {
	sum, at := int64(0), start
	for i := range ms.list { // by their beginning
		m := &ms.list[i]
		if m.to > at && m.from < end && m.covers(factor) && ok(m) {
			sum += min(m.to, end) - max(m.from, at)
			at = min(m.to, end)
		}
	}
	return sum
}

func dataMark(m *mark) bool { return m.kind.Effect() == telemetry.EffectNoData }

// excludes reports whether a rule does not judge windows with marks of a kind: those that it names, or, where it names none, those that keep
// windows from being judged by themselves.
func excludes(r *rules.Rule, k telemetry.MarkKind) bool {
	if len(r.ExcludeMarks) == 0 {
		return k.Effect() == telemetry.EffectUnjudged
	}
	return slices.Contains(r.ExcludeMarks, string(k)) || slices.Contains(r.ExcludeMarks, k.Name())
}

// unjudged reports whether marks keep a window from being judged by a rule. Of a day the marks must cover all (a day spent wholly in 停运 is
// not judged), of anything shorter a part is enough.
func (ms *deviceMarks) unjudged(r *rules.Rule, factor string, start, end int64) bool {
	if end-start >= 23*3_600_000 {
		return ms.covered(factor, start, end, func(m *mark) bool { return excludes(r, m.kind) }) == end-start
	}
	short := end-start < 3_600_000 // an instant or a minute has no other data
	for i := range ms.list {
		m := &ms.list[i]
		if m.touches(start, end) && m.covers(factor) && (excludes(r, m.kind) || short && dataMark(m)) {
			return true
		}
	}
	return false
}

// left is how many of n values of a window, of due slots, can count: no more than slots that data marks leave, whether the others could be taken
// out or not.
func (ms *deviceMarks) left(factor string, start, end, n, due int64) int64 {
	if end == start {
		return n
	}
	out := ms.covered(factor, start, end, dataMark)
	return min(n, due-(due*out+end-start-1)/(end-start))
}

// keepOut reports whether marks keep a window from being judged by a rule.
func (ms *deviceMarks) keepOut(r *rules.Rule, w *judged) bool {
	return ms.unjudged(r, r.Factor, w.start, w.end) || !r.EnoughValid(ms.left(r.Factor, w.start, w.end, w.valid, w.due), w.due)
}

// untenable reports whether marks leave too little of a window, which is not held, for a verdict to stand on.
func (ms *deviceMarks) untenable(r *rules.Rule, factor string, start, end int64) bool {
	if ms.unjudged(r, factor, start, end) {
		return true
	}
	due := max(end-start, 1) / 1000
	return end > start && !r.EnoughValid(due-ms.covered(factor, start, end, dataMark)/1000, due)
}
