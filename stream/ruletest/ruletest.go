// Package ruletest runs the tests of a rule file. It makes journal entries of a test's data and puts them through the fold that judges in
// production, so that what a test shows is what will happen, with its windows, its grace and its late data.
package ruletest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/rules/rulefile"
	"outfall/stream/fold"
	"outfall/telemetry"
)

// grace is how long after its end a window has closed for certain: the fold's own 90 s, and a tick.
const grace = 95 * time.Second

// realtime is the time between two values of a series of instants.
const realtime = 30 * time.Second

// A Result is what came of one test.
type Result struct {
	Name     string
	Line     int
	Failures []string // one sentence each; none: it passed
}

// A Coverage is what the tests of a file show of one rule.
type Coverage struct {
	Rule    string
	Fires   bool // an alarm was raised
	Quiet   bool // data came, and none was, or none was open when the test said so
	Equal   bool // a window had exactly a limit
	Invalid bool // values were missing or marked
	Late    bool // data came late
}

// Missing names what is not covered.
func (c *Coverage) Missing() []string {
	var list []string
	for _, m := range []struct {
		name string
		has  bool
	}{{"fires", c.Fires}, {"does not fire", c.Quiet}, {"equals its limit", c.Equal}, {"invalid data", c.Invalid}, {"late data", c.Late}} {
		if !m.has {
			list = append(list, m.name)
		}
	}
	return list
}

// Run runs every test of f. The coverage has the rules of the set, in its order.
func Run(f *rulefile.File) ([]Result, []Coverage) {
	coverage := make([]Coverage, len(f.Set.Rules))
	for i := range coverage {
		coverage[i].Rule = f.Set.Rules[i].ID
	}
	var results []Result
	for i := range f.Tests {
		r := newRun(f.Set, &f.Tests[i])
		r.play()
		r.cover(coverage)
		results = append(results, Result{Name: r.test.Name, Line: r.test.Line, Failures: r.failures})
	}
	return results, coverage
}

// A run is one test under way.
type run struct {
	set      *rules.RuleSet
	test     *rulefile.Test
	state    *fold.State
	offset   int64
	qn       int64
	alarms   map[string]telemetry.Alarm // the newest event of each alarm, by id
	raised   map[string]telemetry.Alarm // the newest raise of each rule
	quiet    map[string]bool            // rules that had no open alarm when the test said so
	means    []mean
	failures []string
}

// A mean is one window that the fold published.
type mean struct {
	factor string
	stat   telemetry.Statistic
	value  string
}

func newRun(set *rules.RuleSet, t *rulefile.Test) *run {
	return &run{set: set, test: t, state: fold.New(0), alarms: map[string]telemetry.Alarm{}, raised: map[string]telemetry.Alarm{},
		quiet: map[string]bool{}}
}

// A sending is a frame, and when it is received.
type sending struct {
	at    time.Time
	frame []byte
}

// play folds the test's journal: what is sent in the order of its receipt, a tick for each, and every expectation at its time.
func (r *run) play() {
	start := r.test.Start
	r.tick(start.Add(-time.Minute))
	r.apply(telemetry.KindRegistry, r.test.Device.MN, telemetry.AppendJSON(nil, &r.test.Device), start.Add(-time.Minute))
	r.apply(telemetry.KindRules, "", r.set.AppendJSON(nil), start.Add(-time.Minute))
	sendings := r.sendings()
	expect := slices.Clone(r.test.Expect)
	slices.SortStableFunc(expect, func(a, b rulefile.Expect) int { return r.due(&a).Compare(r.due(&b)) })
	for i := range expect {
		e := &expect[i]
		due := r.due(e)
		for len(sendings) > 0 && !sendings[0].at.After(due) {
			r.send(&sendings[0])
			sendings = sendings[1:]
		}
		r.tick(due)
		r.expect(e)
	}
	for i := range sendings {
		r.send(&sendings[i])
	}
}

// due is when the windows that end by an expectation's time have been judged: hours and days close by the clock, a minute when its record
// comes.
func (r *run) due(e *rulefile.Expect) time.Time {
	at := r.test.Start.Add(e.At)
	for i := range r.set.Rules {
		if rule := &r.set.Rules[i]; rule.ID == e.Rule {
			if s := rule.Statistic; s == telemetry.StatHour || s == telemetry.StatDay || s != telemetry.StatInstant && r.test.Step == telemetry.StatInstant {
				return at.Add(grace)
			}
		}
	}
	return at
}

func (r *run) send(s *sending) {
	r.tick(s.at)
	r.apply(telemetry.KindFrame, r.test.Device.MN, s.frame, s.at)
}

func (r *run) tick(at time.Time) {
	r.apply(telemetry.KindTick, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: at}), at)
}

func (r *run) apply(kind telemetry.Kind, mn string, value []byte, at time.Time) {
	e := telemetry.Entry{Offset: r.offset, Received: at, Kind: kind, MN: mn, Value: value}
	r.offset++
	r.state.Apply(&e, r.take)
}

// take notes the alarms and the means of an output.
func (r *run) take(o telemetry.Output) {
	switch o.Topic {
	case telemetry.TopicAlarms:
		var a telemetry.Alarm
		if err := json.Unmarshal(o.Value, &a); err != nil {
			panic(fmt.Sprintf("ruletest: the fold published %q: %v", o.Value, err))
		}
		r.alarms[a.ID] = a
		if a.State != telemetry.AlarmCleared {
			r.raised[a.Rule] = a
		}
	case telemetry.TopicPoints:
		for _, line := range strings.Split(string(o.Value), "\n") {
			if name, fields, ok := strings.Cut(line, " avg="); ok && strings.HasPrefix(name, "mean,") {
				value, _, _ := strings.Cut(fields, ",")
				r.means = append(r.means, mean{tagOf(name, "factor"), telemetry.Statistic(tagOf(name, "stat")), value})
			}
		}
	}
}

// tagOf is a tag of a line's series; codes and statistics have nothing to escape.
func tagOf(name, tag string) string {
	_, rest, _ := strings.Cut(name, ","+tag+"=")
	value, _, _ := strings.Cut(rest, ",")
	return value
}

// length is what one value of a series fills, and every how much of it is sent.
func (r *run) length() (step, slot time.Duration) {
	slot = time.Duration(r.test.Device.MinuteInterval) * time.Minute
	switch r.test.Step {
	case telemetry.StatInstant:
		return realtime, realtime
	case telemetry.StatHour:
		return time.Hour, slot
	case telemetry.StatDay:
		return 24 * time.Hour, slot
	}
	return slot, slot
}

// sendings makes the frames of the series and takes those that the test has itself, in the order of their receipt. A record is received at its
// slot's end; a late one after all that are in time.
func (r *run) sendings() []sending {
	step, slot := r.length()
	steps := 0
	for _, s := range r.test.Series {
		steps = max(steps, len(s.Values))
	}
	end := r.test.Start.Add(time.Duration(steps)*step + 2*grace)
	var list []sending
	for _, late := range []bool{false, true} {
		for i := range steps {
			for at := r.test.Start.Add(time.Duration(i) * step); at.Before(r.test.Start.Add(time.Duration(i+1) * step)); at = at.Add(slot) {
				received := at.Add(slot)
				if r.test.Step == telemetry.StatInstant {
					received = at
				}
				if late {
					received = end
				}
				if frame := r.frame(i, at, received, late); frame != nil {
					list = append(list, sending{received, frame})
				}
			}
		}
	}
	for _, text := range r.test.Frames {
		list = append(list, sending{received(text, r.test.Start), append(slices.Clone(text), "\r\n"...)})
	}
	slices.SortStableFunc(list, func(a, b sending) int { return a.at.Compare(b.at) })
	return list
}

// received is the time of a raw frame's QN; start when it has none.
func received(frame []byte, start time.Time) time.Time {
	if _, qn, ok := strings.Cut(string(frame), "QN="); ok && len(qn) >= 14 {
		if at, ok := hj212.ParseTime([]byte(qn[:14])); ok {
			return at
		}
	}
	return start
}

// frame is the record of one slot with the values of step i that are late or not; nil: there are none.
func (r *run) frame(i int, at, received time.Time, late bool) []byte {
	cn, suffix := "2051", "Avg"
	if r.test.Step == telemetry.StatInstant {
		cn, suffix = "2011", "Rtd"
	}
	var groups []string
	for _, s := range r.test.Series {
		if i >= len(s.Values) || s.Values[i].Text == "" || s.Values[i].Late != late {
			continue
		}
		flag := s.Values[i].Flag
		if flag == "" {
			flag = "N"
		}
		groups = append(groups, fmt.Sprintf("%s-%s=%s,%s-Flag=%s", s.Factor, suffix, s.Values[i].Text, s.Factor, flag))
	}
	if groups == nil {
		return nil
	}
	st := "32"
	if r.test.Device.Medium == "gas" {
		st = "31"
	}
	r.qn++
	segment := fmt.Sprintf("QN=%s%03d;ST=%s;CN=%s;PW=;MN=%s;Flag=5;CP=&&DataTime=%s;%s&&", hj212.AppendTime(nil, received), r.qn%1000, st, cn, r.test.Device.MN,
		hj212.AppendTime(nil, at), strings.Join(groups, ";"))
	return hj212.AppendFrame(nil, []byte(segment))
}
