package rulefile

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"outfall/rules"
	"outfall/telemetry"

	"github.com/goccy/go-yaml/ast"
)

// Bounds of the tests of a file.
const (
	MaxTests  = 200
	MaxSteps  = 3000 // values of one series
	MaxSeries = 32   // of one test
)

// A Test is data of one device and what the rules must make of them.
type Test struct {
	Name   string
	Line   int
	Device telemetry.Device
	Start  time.Time           // of the first value
	Step   telemetry.Statistic // what one value fills: a minute slot, an hour, a day; or one real-time value every 30 s
	Series []Series
	Frames [][]byte // raw frames beside the series, each received when its QN says
	Expect []Expect
}

// A Series is the values of one factor, one a step.
type Series struct {
	Factor string
	Values []Value
}

// A Value is one step of a series.
type Value struct {
	Text string // as it is sent; empty: nothing is sent
	Flag string // data flag; empty: N
	Late bool   // sent after the end of the series
}

// What an Expect can ask.
const (
	ExpectAlarm  = "alarm"  // an alarm of the rule is open
	ExpectNone   = "none"   // none is
	ExpectRaised = "raised" // one has been raised at some time, open or not
)

// An Expect is what must hold once the windows that end by At have closed.
type Expect struct {
	Line  int
	At    time.Duration // from Start
	Kind  string
	Rule  string
	Level telemetry.AlarmLevel // of the alarm; empty: any
	Value *telemetry.Fixed     // shown by the alarm; nil: any
	Limit *telemetry.Fixed
}

func (f *file) readTests(top *mapping, list []rules.Rule) {
	if !top.has("tests") {
		return
	}
	nodes := top.list("tests", "tests: begin each with '- name: ...'", "at least one test")
	if len(nodes) > MaxTests {
		top.bad("tests", "%d tests are more than %d", len(nodes), MaxTests)
		return
	}
	for _, n := range nodes {
		m := f.mapping(n, "a test", "name", "device", "start", "step", "series", "frames", "expect")
		if m == nil {
			continue
		}
		t := Test{Name: m.required("name", "say what the test shows"), Line: m.at.line, Step: telemetry.Statistic(m.text("step"))}
		switch t.Step {
		case "":
			t.Step = telemetry.StatHour
		case telemetry.StatInstant, telemetry.StatMinute, telemetry.StatHour, telemetry.StatDay:
		default:
			m.bad("step", "%q is none of instant, minute, hour, day", t.Step)
		}
		t.Start = f.testStart(m)
		t.Device = f.testDevice(m, &t)
		f.testSeries(m, &t)
		for _, text := range m.texts("frames") {
			t.Frames = append(t.Frames, []byte(strings.TrimSpace(text)))
		}
		if len(t.Series) == 0 && len(t.Frames) == 0 && !m.faulty["series"] {
			f.bad(m.at, "series: missing: write the values of a factor, like {w01018: 40 62x3}, or frames")
		}
		f.testExpect(m, &t, list)
		f.tests = append(f.tests, t)
	}
}

func (f *file) testStart(m *mapping) time.Time {
	text := m.text("start")
	if text == "" {
		text = "2026-03-02 00:00"
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, telemetry.China); err == nil && at.Year() >= 2000 && at.Year() < 2100 {
			return at.UTC()
		}
	}
	m.bad("start", "%q is not a time of UTC+8 like 2026-03-02 00:00", text)
	return time.Time{}
}

// testDevice is the registry entry of the test's device.
func (f *file) testDevice(m *mapping, t *Test) telemetry.Device {
	d := telemetry.Device{MN: "88888880000001", Outlet: "T01", Medium: "water", MinuteInterval: 1, RealtimeInterval: 30, OfflineAfter: 86400}
	if t.Step == telemetry.StatHour || t.Step == telemetry.StatDay {
		d.MinuteInterval = 10
	}
	in := m.sub("device", "mn", "outlet", "region", "medium", "standard", "class", "built", "judged", "permits", "stack", "flow_weighted", "minute_interval")
	if in == nil {
		return d
	}
	for _, t := range []struct {
		key string
		to  *string
	}{{"mn", &d.MN}, {"outlet", &d.Outlet}, {"region", &d.Region}, {"medium", &d.Medium}, {"standard", &d.Standard}, {"class", &d.Class}} {
		if in.has(t.key) {
			*t.to = in.text(t.key)
		}
	}
	d.Built, d.Judged = in.date("built"), telemetry.Statistic(in.text("judged"))
	d.MinuteInterval = in.whole("minute_interval", d.MinuteInterval)
	d.Permits = f.testPermits(in)
	var err error
	if d.Stack, err = telemetry.ParseStack(in.text("stack")); err != nil {
		in.bad("stack", "%v", err)
	}
	switch in.text("flow_weighted") {
	case "true":
		d.FlowWeighted = true
	case "", "false":
	default:
		in.bad("flow_weighted", "neither true nor false")
	}
	if err := d.Validate(); err != nil {
		m.bad("device", "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return d
}

// testPermits reads permits: a list of mappings.
func (f *file) testPermits(in *mapping) []telemetry.Permit {
	if !in.has("permits") {
		return nil
	}
	var list []telemetry.Permit
	for _, n := range in.list("permits", "limits, like {factor: w01018, statistic: day, high: 40, unit: mg/L}", "at least one limit") {
		if p := f.mapping(n, "a permit", "factor", "statistic", "low", "high", "unit"); p != nil {
			list = append(list, telemetry.Permit{Factor: p.text("factor"), Statistic: telemetry.Statistic(p.text("statistic")), Low: p.number("low"),
				High: p.number("high"), Unit: p.text("unit")})
		}
	}
	return list
}

func (f *file) testSeries(m *mapping, t *Test) {
	node, ok := m.keys["series"].(ast.MapNode)
	if !ok {
		if m.has("series") {
			m.bad("series", "not a mapping: write it like {w01018: 40 62x3}")
		}
		return
	}
	for iter := node.MapRange(); iter.Next(); {
		at := begin(iter.Key())
		code, _ := scalar(iter.Key())
		text, ok := scalar(iter.Value())
		factor, known := telemetry.LookupFactor(code)
		switch {
		case !ok:
			f.bad(at, "series: %s: not plain text: write values with blanks between them", code)
			continue
		case !known || factor.Code != code:
			f.bad(at, "series: %q is not a code of HJ 212-2017 annex B", code)
			continue
		case len(t.Series) == MaxSeries || slices.ContainsFunc(t.Series, func(s Series) bool { return s.Factor == code }):
			f.bad(at, "series: %s is there twice, or there are more than %d", code, MaxSeries)
			continue
		}
		s := Series{Factor: code}
		for _, word := range strings.Fields(text) {
			v, n, fault := parseValue(word)
			if fault == "" && len(s.Values)+n > MaxSteps {
				fault = "makes the series longer than " + strconv.Itoa(MaxSteps) + " values"
			}
			if fault != "" {
				f.bad(begin(iter.Value()), "series: %s: %q %s", code, word, fault)
				break
			}
			s.Values = append(s.Values, slices.Repeat([]Value{v}, n)...)
		}
		t.Series = append(t.Series, s)
	}
}

// parseValue reads a word of a series: a decimal or - for nothing, then !F for a data flag, ~ for late, xN for N times.
func parseValue(word string) (v Value, n int, fault string) {
	n = 1
	if body, times, ok := strings.Cut(word, "x"); ok {
		var err error
		if n, err = strconv.Atoi(times); err != nil || n < 1 || n > MaxSteps {
			return v, 0, "is not repeated a number of times: write 62x3"
		}
		word = body
	}
	word, v.Late = strings.TrimSuffix(word, "~"), strings.HasSuffix(word, "~")
	word, v.Flag, _ = strings.Cut(word, "!")
	if word == "-" && v.Flag == "" {
		return v, n, ""
	}
	if _, ok := telemetry.ParseFixed(word); !ok {
		return v, 0, "is no value: write a decimal, - for nothing, 62!D with a data flag, 62~ when it comes late, 62x3 for three of them"
	}
	v.Text = word
	return v, n, ""
}

func (f *file) testExpect(m *mapping, t *Test, list []rules.Rule) {
	last := time.Duration(0)
	for _, n := range m.list("expect", "expectations: begin each with '- {at: 3h, ...}'", "what must come of it") {
		e := f.mapping(n, "an expectation", "at", ExpectAlarm, ExpectNone, ExpectRaised, "level", "value", "limit")
		if e == nil {
			continue
		}
		x := Expect{Line: e.at.line, Level: telemetry.AlarmLevel(e.text("level")), Value: e.number("value"), Limit: e.number("limit")}
		at, ok := parseSpan(e.required("at", "the time since start, like 3h"))
		if !ok || at > 400*24*time.Hour {
			e.bad("at", "%q is not a time since start like 90m, 3h or 2d", e.text("at"))
		} else if at < last {
			e.bad("at", "%s comes before the expectation above it", e.text("at"))
		}
		x.At, last = at, max(at, last)
		for _, kind := range []string{ExpectAlarm, ExpectNone, ExpectRaised} {
			switch {
			case !e.has(kind):
			case x.Kind != "":
				e.bad(kind, "and %s: write two expectations", x.Kind)
			default:
				x.Kind, x.Rule = kind, e.required(kind, "the id of a rule")
				if !slices.ContainsFunc(list, func(r rules.Rule) bool { return r.ID == x.Rule }) && x.Rule != "" {
					e.bad(kind, "%q is no rule of the file", x.Rule)
				}
			}
		}
		if x.Kind == "" {
			f.bad(e.at, "expect: names no rule: write alarm, none or raised with its id")
		}
		if x.Level != "" && x.Level != telemetry.LevelExceed && x.Level != telemetry.LevelWarning {
			e.bad("level", "%q is neither exceed nor warning", x.Level)
		}
		t.Expect = append(t.Expect, x)
	}
}

// parseSpan reads 90s, 30m, 3h or 2d.
func parseSpan(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	n, err := strconv.Atoi(s[:len(s)-1])
	unit, ok := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[s[len(s)-1]]
	if err != nil || !ok || n < 0 || n > 1_000_000 {
		return 0, false
	}
	return time.Duration(n) * unit, true
}
