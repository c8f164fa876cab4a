package ingest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// maxAnswerText bounds what a StepData repeats of the answer, in bytes; the whole frame is in the journal.
const maxAnswerText = 512

// An answer is what a station needs of a device's frame. The strings are copies.
type answer struct {
	cn       string
	qn       string
	reply    bool // 9011..9014; code is its QnRtn or ExeRtn, 0 when it says none
	code     int
	pw       string
	dataTime time.Time // zero: none
	text     string    // of the CP
	clock    time.Time // SystemTime; zero: none
}

// answerOf copies what a station needs of m, of which the header is parsed.
func answerOf(m *hj212.Message) answer {
	a := answer{cn: string(m.CN), qn: string(m.ExchangeQN()), pw: string(m.PW)}
	if r, ok := m.Reply(); ok {
		a.reply, a.code, a.qn = true, r.Code, string(r.QN)
		return a
	}
	if dataTime, ok := m.Param("DataTime"); ok {
		a.dataTime, _ = hj212.ParseTime(dataTime)
	}
	if clock, ok := m.Param("SystemTime"); ok {
		a.clock, _ = hj212.ParseTime(clock)
	}
	cp := m.CP
	if key, _, _ := bytes.Cut(cp, []byte("=")); string(bytes.Trim(key, " \t;,")) == "QN" { // 2005
		_, cp, _ = bytes.Cut(cp, []byte(";"))
	}
	a.text = strings.ToValidUTF8(string(cp[:min(len(cp), maxAnswerText)]), "?")
	return a
}

// hear takes a frame of the device.
func (s *station) hear(a *answer, now time.Time) {
	g := s.open
	if g == nil {
		return
	}
	if d := s.ask.device; d != nil && d.PWNext != "" {
		s.pwNext = a.pw == d.PWNext || s.pwNext && a.pw != d.PW
	}
	switch {
	case !g.sent:
	case a.reply:
		if a.qn == g.qn || a.qn == "" {
			s.replied(a, now)
		}
	case a.cn == g.cmd.CN && g.wants(a):
		s.data(a, now)
	}
}

// wants reports whether an upload of the command's CN belongs to its answer. Uploads within a history have QN of their own (HJ 212-2017
// C.20) and are told by what they are about.
func (g *dialogue) wants(a *answer) bool {
	switch g.terms.shape {
	case hj212.ShapeHistory:
		return a.qn == g.qn || !a.dataTime.IsZero() && !a.dataTime.Before(g.terms.from) && !a.dataTime.After(g.terms.to)
	case hj212.ShapeGet:
		return a.qn == g.qn || a.qn == ""
	case hj212.ShapeSet, hj212.ShapeStream: // 2011 and 2021: the uploads that they switch on
		return true
	}
	return false
}

// replied takes a 9011, 9012 or 9013. They may come in any order, or not at all (devices seen: 9012 first, no 9011, no 9012).
func (s *station) replied(a *answer, now time.Time) {
	g := s.open
	asks := g.terms.shape == hj212.ShapeGet || g.terms.shape == hj212.ShapeHistory
	switch a.cn {
	case "9011":
		s.answered(a, now)
	case "9012":
		switch {
		case a.code == 1 && g.terms.shape == hj212.ShapeGet && g.got == 0:
			g.phase, g.finished, g.deadline = accepted, true, now.Add(g.terms.overTime)
		case a.code == 1:
			s.finish(telemetry.StepDone, 1, strings.TrimPrefix(g.tally(), ": "), now)
		case a.code == 0:
			s.finish(telemetry.StepFailed, 0, "9012 without a result: unknown whether the device acted"+g.tally(), now)
		case a.code == int(hj212.ExeEmpty) && asks:
			s.finish(telemetry.StepDone, 100, "the device has no data for it"+g.tally(), now)
		default:
			s.finish(telemetry.StepFailed, a.code, hj212.ExeRtn(a.code).String()+g.tally(), now)
		}
	case "9013":
		if g.terms.shape == hj212.ShapeNotice {
			s.finish(telemetry.StepDone, 0, "", now)
		}
	}
}

// answered takes a 9011.
func (s *station) answered(a *answer, now time.Time) {
	g := s.open
	switch {
	case g.phase == accepted: // a second one, to a retry that crossed the first
	case a.code == 1 || a.code == 0: // 0: it does not say no
		g.phase, g.deadline = accepted, now.Add(g.terms.execTime)
		s.emit(&g.cmd, &telemetry.Outcome{Step: telemetry.StepAccepted, QN: g.qn, Code: a.code}, now)
	case a.code == 3 && !g.swapped && s.ask.device != nil && s.ask.device.PWNext != "":
		// Two passwords are in force; which one the device has is not known before it says so.
		s.pwNext, g.swapped, g.frame = !s.pwNext, true, nil
		s.attempt(s.nextQN(now), now)
	default:
		s.finish(telemetry.StepRefused, a.code, hj212.QnRtn(a.code).String(), now)
	}
}

// data takes a data frame of the answer.
func (s *station) data(a *answer, now time.Time) {
	g := s.open
	g.got++
	if g.terms.shape == hj212.ShapeSet {
		return // it would have come anyway if uploads were on already: what counts is 9011 and 9012 while they may come
	}
	g.phase, g.deadline = accepted, now.Add(g.terms.execTime)
	if g.got == 1 || now.Sub(g.noted) >= noteEvery {
		g.noted = now
		s.noteData(a, now)
	}
	switch {
	case g.terms.shape == hj212.ShapeStream: // no 9012 follows
		s.finish(telemetry.StepDone, 0, "uploads have begun", now)
	case g.finished:
		s.finish(telemetry.StepDone, 1, "", now)
	}
}

// noteData writes StepData: the answer itself where there is one, and of a history how far it is.
func (s *station) noteData(a *answer, now time.Time) {
	g := s.open
	o := &telemetry.Outcome{Step: telemetry.StepData, QN: a.qn, Detail: a.text}
	if g.terms.shape == hj212.ShapeHistory {
		o.Detail = fmt.Sprintf("data frame %d, DataTime %s", g.got, hj212.AppendTime(nil, a.dataTime))
	}
	var offset *time.Duration
	if g.cmd.CN == "1011" && !a.clock.IsZero() {
		off := a.clock.Sub(now.Truncate(time.Second))
		offset = &off
		o.Detail += "; " + clockText(off)
	}
	s.emit(&g.cmd, o, now)
	s.out[len(s.out)-1].offset = offset
}

// clockText says how a device's clock, read to the second, compares with ours.
func clockText(off time.Duration) string {
	switch {
	case off.Abs() <= time.Second:
		return "its clock is right"
	case off > 0:
		return fmt.Sprintf("its clock is %v ahead", off)
	}
	return fmt.Sprintf("its clock is %v behind", -off)
}

// tally says how many data frames came, for a Detail that it follows.
func (g *dialogue) tally() string {
	switch {
	case g.got == 1:
		return ": 1 data frame"
	case g.got > 1:
		return fmt.Sprintf(": %d data frames", g.got)
	}
	return ""
}

// rangeOf is the closed range of DataTime that a CP asks for; zero times when it names none.
func rangeOf(cp []byte) (from, to time.Time) {
	for field := range bytes.FieldsFuncSeq(cp, func(r rune) bool { return r == ';' || r == ',' }) {
		key, value, _ := bytes.Cut(field, []byte("="))
		switch string(bytes.TrimSpace(key)) {
		case "BeginTime":
			from, _ = hj212.ParseTime(bytes.TrimSpace(value))
		case "EndTime":
			to, _ = hj212.ParseTime(bytes.TrimSpace(value))
		}
	}
	return from, to
}
