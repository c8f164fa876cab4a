package fold

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"outfall/ingest/hj212"
	"outfall/rules/rulefile"
	"outfall/telemetry"
)

// A plant makes the journal of one device as real ones look: values that remember the minute before, are written to the digits of annex B,
// follow a load that changes, with calibrations, maintenance, faults of analysers, stops, and outages of the line whose records come later or
// never. The same seed makes the same plant. It is a test's model: floats are good enough.
type plant struct {
	r      *rand.Rand
	water  bool
	pumped bool // water that flows at times only
	whole  bool // dust without decimals
	mn     string
	series []*signal
	now    time.Time
	s      *State
	offset int64
	emit   func(telemetry.Output)
	plan   plan
	fraud  *fraud

	load    float64 // about 1
	aim     float64
	stopped int // minutes that it stays stopped
	outage  int // minutes that the line stays down
	lost    bool
	held    []record2051
	taken   time.Time // of the newest sample of a batch analyser
}

// plan is how often things happen, as one in so many minutes.
type plan struct{ stop, outage, maintain, fault, step int }

var usual = plan{stop: 14 * 1440, outage: 4 * 1440, maintain: 10 * 1440, fault: 25 * 1440, step: 480}

// A signal is one factor of a plant.
type signal struct {
	code     string
	decimals int
	level    float64 // mean
	slow     float64 // share of the level by which its slow wander goes
	noise    float64 // share of the level of the minute's noise
	load     float64 // how it follows the load
	drift    float64 // the slow wander's state
	batch    bool    // one result a cycle
	result   float64
	mark     string // N, or what the analyser says for so many minutes
	marked   int
	day      sum
	hour     sum
}

type sum struct {
	total float64
	n     int
}

type reading struct {
	v    float64
	mark string
}

type record2051 struct {
	at time.Time
	cp string
}

func newPlant(seed uint64, water bool, emit func(telemetry.Output)) *plant {
	r := rand.New(rand.NewPCG(seed, 8))
	p := &plant{r: r, water: water, mn: fmt.Sprintf("PL%022d", seed), now: t0, s: New(0), emit: emit, plan: usual, load: 1, aim: 1, fraud: &fraud{}}
	p.s.algorithm = watched
	p.pumped, p.whole = water && r.IntN(10) == 0, r.IntN(3) == 0
	vary := func(v float64) float64 { return v * (0.8 + 0.4*r.Float64()) }
	if water {
		p.series = []*signal{
			{code: "w00000", decimals: 2, level: vary(20), slow: 0.1, noise: 0.03, load: 1},
			{code: "w01001", decimals: 2, level: 7.2, slow: 0.01, noise: 0.003},
			{code: "w01018", decimals: 1, level: vary(26), slow: 0.12, noise: 0.02, load: 0.3, batch: true},
			{code: "w21003", decimals: 2, level: vary(1.1), slow: 0.2, noise: 0.03, load: 0.2, batch: true},
			{code: "w21001", decimals: 2, level: vary(9), slow: 0.1, noise: 0.02, load: 0.2, batch: true},
			{code: "w21011", decimals: 2, level: vary(0.2), slow: 0.15, noise: 0.03, batch: true},
		}
	} else {
		dust := 1
		if p.whole {
			dust = 0
		}
		p.series = []*signal{
			{code: "a00000", decimals: 1, level: vary(150), slow: 0.05, noise: 0.02, load: 1},
			{code: "a34013", decimals: dust, level: vary(4), slow: 0.15, noise: 0.05, load: 0.4},
			{code: "a21026", decimals: 2, level: vary(12), slow: 0.25, noise: 0.08, load: 0.5},
			{code: "a21002", decimals: 1, level: vary(30), slow: 0.1, noise: 0.04, load: 0.4},
			{code: "a19001", decimals: 1, level: vary(7), slow: 0.04, noise: 0.01, load: -0.5},
			{code: "a01011", decimals: 2, level: vary(11), slow: 0.05, noise: 0.03, load: 1},
			{code: "a01012", decimals: 1, level: vary(105), slow: 0.04, noise: 0.004, load: 0.2},
			{code: "a01014", decimals: 1, level: vary(9), slow: 0.06, noise: 0.01},
		}
	}
	p.begin()
	return p
}

func (p *plant) begin() {
	medium, rules := "gas", gasRules
	if p.water {
		medium, rules = "water", waterRules
	}
	rs, err := rulefile.Parse("plant", []byte(rules))
	if err != nil {
		panic(err)
	}
	p.add(telemetry.KindTick, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: p.now}))
	p.add(telemetry.KindRules, "", rs.AppendJSON(nil))
	p.add(telemetry.KindRegistry, p.mn, telemetry.AppendJSON(nil, &telemetry.Device{MN: p.mn, Outlet: "P", Medium: medium, MinuteInterval: 1,
		RealtimeInterval: 300, OfflineAfter: 1800}))
}

// gasRules and waterRules set limits that good plants keep.
var (
	gasRules   = plantRules("a34013 hour 10 mg/m3", "a21026 hour 35 mg/m3", "a21002 hour 50 mg/m3")
	waterRules = plantRules("w01018 day 50 mg/L", "w21003 day 5 mg/L", "w21001 day 15 mg/L", "w21011 day 0.5 mg/L")
)

func plantRules(limits ...string) string {
	text := "ruleset: plants\nversion: 1\nrules:\n"
	for _, l := range limits {
		f := strings.Fields(l)
		text += fmt.Sprintf("  - {id: r-%s, title: t, basis: b, factor: %s, statistic: %s, limit: {high: %s, unit: %s}}\n", f[0], f[0], f[1], f[2], f[3])
	}
	return text
}

func (p *plant) add(k telemetry.Kind, mn string, v []byte) {
	p.s.Apply(&telemetry.Entry{Offset: p.offset, Received: p.now, Kind: k, MN: mn, Value: v}, p.emit)
	p.offset++
}

func (p *plant) send(cn string, at time.Time, cp string) {
	if p.outage > 0 {
		return
	}
	st := "31"
	if p.water {
		st = "32"
	}
	seg := fmt.Sprintf("QN=%s%03d;ST=%s;CN=%s;PW=123456;MN=%s;Flag=5;CP=&&DataTime=%s;%s&&", hj212.AppendTime(nil, p.now), p.offset%1000, st, cn, p.mn,
		hj212.AppendTime(nil, at.Add(p.fraud.clock)), cp)
	p.add(telemetry.KindFrame, p.mn, hj212.AppendFrame(nil, []byte(seg)))
}

// days runs the plant for so long.
func (p *plant) days(n int) {
	for range n * 1440 {
		p.minute()
	}
}

// one reports whether something that happens once in n minutes happens now.
func (p *plant) one(n int) bool { return n > 0 && p.r.IntN(n) == 0 }

// happen moves load, stops, outages and analysers on by a minute.
func (p *plant) happen() {
	if p.one(p.plan.step) {
		p.aim = 0.7 + 0.5*p.r.Float64()
	}
	p.load += (p.aim-p.load)*0.05 + 0.004*p.r.NormFloat64()
	switch {
	case p.stopped > 0:
		p.stopped--
	case p.one(p.plan.stop):
		p.stopped = 120 + p.r.IntN(1200)
	}
	if p.pumped && p.now.Minute() == 0 {
		p.stopped = 0
		if p.r.IntN(2) == 0 {
			p.stopped = 60
		}
	}
	for _, s := range p.series[1:] {
		switch {
		case s.marked > 0:
			if s.marked--; s.marked == 0 {
				s.mark = "N"
			}
		case p.one(p.plan.maintain):
			s.mark, s.marked = "M", 30+p.r.IntN(150)
		case p.one(p.plan.fault):
			s.mark, s.marked = "D", 60+p.r.IntN(600)
		}
	}
	if p.water && p.now.Add(8*time.Hour).Hour() == 2 && p.now.Minute() == 0 { // the automatic standard check
		for _, s := range p.series {
			if s.batch {
				s.mark, s.marked = "C", 60
			}
		}
	}
	if !p.water && p.now.Weekday() == time.Monday && p.now.Hour() == 1 && p.now.Minute() == 0 { // zero and span
		for _, s := range p.series[1:5] {
			s.mark, s.marked = "C", 40
		}
	}
}

// values makes the minute's samples.
func (p *plant) values() []reading {
	out := make([]reading, len(p.series))
	for i, s := range p.series {
		s.drift += -s.drift*0.01 + s.slow*0.14*p.r.NormFloat64()
		v := s.level * (1 + s.drift) * (1 + s.load*(p.load-1)) * (1 + s.noise*p.r.NormFloat64())
		if p.stopped > 0 {
			v = p.still(s, v)
		}
		if s.batch {
			if p.now.Hour()%2 == 0 && p.now.Minute() == 0 || s.result == 0 {
				s.result = v
			}
			v = s.result
		}
		if s.mark == "" {
			s.mark = "N"
		}
		out[i] = reading{quantised(math.Max(v, 0), s.decimals), s.mark}
	}
	if p.water && p.now.Hour()%2 == 0 && p.now.Minute() == 0 {
		p.taken = p.now.Add(-40 * time.Minute)
	}
	return out
}

// still is a value of a plant that is stopped.
func (p *plant) still(s *signal, v float64) float64 {
	switch s.code {
	case "w00000", "a00000":
		return 0
	case "a01011":
		return 0.4 + 0.2*p.r.Float64()
	case "a19001":
		return 20.6 + 0.1*p.r.Float64()
	case "a01012":
		return s.level * 0.4
	case "a34013", "a21026", "a21002":
		return v * 0.05
	}
	return v
}

func quantised(v float64, decimals int) float64 {
	unit := math.Pow(10, float64(decimals))
	return math.Round(v*unit) / unit
}

// minute runs a minute: its records, its ticks, the hour's and the day's own means.
func (p *plant) minute() {
	p.happen()
	samples := p.values()
	p.fraud.change(p, samples)
	at := p.now
	p.now = p.now.Add(time.Minute)
	p.line()
	cp := p.group(samples, "Avg")
	switch {
	case p.fraud.silent:
	case p.outage > 0:
		if !p.lost {
			p.held = append(p.held, record2051{at, cp})
		}
	default:
		p.send("2051", at, cp)
		if at.Minute()%5 == 0 {
			p.send("2011", p.now, p.group(samples, "Rtd"))
		}
	}
	p.means(at, samples)
	p.fraud.after(p, at, samples)
	p.now = p.now.Add(time.Second)
	p.add(telemetry.KindTick, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: p.now}))
	p.now = p.now.Add(-time.Second)
}

// line loses the line and gets it back, with the records that the logger kept.
func (p *plant) line() {
	switch {
	case p.outage > 0:
		if p.outage--; p.outage == 0 {
			for _, h := range p.held {
				p.send("2051", h.at, h.cp)
			}
			p.held = p.held[:0]
		}
	case p.one(p.plan.outage):
		p.outage, p.lost = 10+p.r.IntN(240), p.r.IntN(3) == 0
	}
}

func (s *signal) text(v float64) string { return strconv.FormatFloat(v, 'f', s.decimals, 64) }

func (p *plant) group(samples []reading, suffix string) string {
	cp := ""
	for i, s := range p.series {
		x := samples[i]
		if cp != "" {
			cp += ";"
		}
		v := x.v
		if suffix == "Rtd" {
			cp += fmt.Sprintf("%s-Rtd=%s,%[1]s-Flag=%[3]s", s.code, s.text(v), x.mark)
			continue
		}
		spread := s.level * s.noise
		if s.batch || p.fraud.flat[s.code] {
			spread = 0
		}
		low, high := quantised(math.Max(v-spread, math.Min(v, 0)), s.decimals), quantised(v+spread, s.decimals)
		cp += fmt.Sprintf("%s-Min=%s,%[1]s-Avg=%[3]s,%[1]s-Max=%[4]s,%[1]s-Flag=%[5]s", s.code, s.text(low), s.text(v), s.text(high), x.mark)
		if s.batch && !p.taken.IsZero() {
			cp += fmt.Sprintf(",%s-SampleTime=%s", s.code, hj212.AppendTime(nil, p.taken.Add(p.fraud.sampled)))
		}
	}
	return cp
}

// means sends the device's own hour and day means: plain ones of the valid minutes.
func (p *plant) means(at time.Time, samples []reading) {
	for i, s := range p.series {
		if samples[i].mark == "N" {
			s.hour.total, s.hour.n = s.hour.total+samples[i].v, s.hour.n+1
			s.day.total, s.day.n = s.day.total+samples[i].v, s.day.n+1
		}
	}
	if p.now.Minute() != 0 {
		return
	}
	p.send("2061", at.Truncate(time.Hour), p.own(func(s *signal) *sum { return &s.hour }))
	if local := p.now.Add(8 * time.Hour); local.Hour() == 0 {
		p.send("2031", p.now.Add(-24*time.Hour), p.own(func(s *signal) *sum { return &s.day }))
		for i, s := range p.series[1:] {
			factor := 1.0
			if p.fraud.slope && i == 1 {
				factor = 0.8
			}
			p.send("3020", p.now, fmt.Sprintf("PolId=%s;i13008-Info=%.3f;i13007-Info=0.02;i13001-Info=%d;i13009-Info=%s", s.code, factor, p.rangeOf(s), s.text(s.level*0.04)))
		}
	}
}

// rangeOf is the measuring range, about five times the level.
func (p *plant) rangeOf(s *signal) int {
	if p.fraud.wide && (s.code == "a21026" || s.code == "w01018") {
		return 2000
	}
	return int(s.level*5) + 1
}

func (p *plant) own(of func(*signal) *sum) string {
	cp := ""
	for i, s := range p.series {
		m := of(s)
		if m.n == 0 {
			continue
		}
		if cp != "" {
			cp += ";"
		}
		v := m.total / float64(m.n)
		if p.fraud.means && i > 1 {
			v *= 0.9
		}
		cp += fmt.Sprintf("%s-Avg=%s,%[1]s-Flag=N", s.code, s.text(v))
		*m = sum{}
	}
	return cp
}
