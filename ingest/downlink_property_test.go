package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// Whatever a device, its line, the journal and another gateway do, in any order: every command ends once, is sent a bounded number of times
// and never after its end, and no request leaves whose step was not on the topic first.
func TestCommandsEndOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := &ordeal{desk: newDesk(t, func(d *telemetry.Device) { d.PWNext = "654321" }), rt: rt, commands: map[string]telemetry.Command{}}
		p.t = rt
		rt.Repeat(map[string]func(*rapid.T){
			"":        func(*rapid.T) { p.check() },
			"command": func(rt *rapid.T) { p.command() },
			"9011": func(rt *rapid.T) {
				p.answer(requestAnswer(rapid.SampledFrom([]int{0, 1, 1, 2, 3, 7}).Draw(rt, "code")))
			},
			"9012": func(rt *rapid.T) { p.answer(result(rapid.SampledFrom([]int{0, 1, 1, 2, 100}).Draw(rt, "code"))) },
			"9013": func(rt *rapid.T) { p.answer(head("9013") + "CP=&&&&") },
			"data": func(rt *rapid.T) {
				cn := rapid.SampledFrom([]string{"1061", "2061", "2011"}).Draw(rt, "cn")
				p.answer(uploaded("*", cn, "DataTime=20260301010000;RtdInterval=30"))
			},
			"time": func(rt *rapid.T) { p.after(time.Duration(rapid.IntRange(1, 200).Draw(rt, "seconds")) * time.Second) },
			"line": func(rt *rapid.T) {
				if p.s.online {
					p.s.disconnect(p.now)
				} else {
					p.s.connect("192.0.2.1:4001", hj212.Version2017, p.now)
				}
				p.settle()
			},
			"hold":    func(rt *rapid.T) { p.hold = true },
			"release": func(rt *rapid.T) { p.hold = false; p.release(); p.settle() },
			"other":   func(rt *rapid.T) { p.other() },
		})
		p.hold = false
		p.release()
		p.settle()
		p.after(48 * time.Hour)
		p.check()
		for id := range p.commands {
			if p.finals[id] != 1 {
				rt.Fatalf("command %s has %d finals: %s", id, p.finals[id], p.text())
			}
		}
		if w := p.s.wake(); !w.IsZero() {
			rt.Fatalf("due at %v after the end", w)
		}
	})
}

// An ordeal is a desk with a model of what must hold.
type ordeal struct {
	*desk
	rt       *rapid.T
	commands map[string]telemetry.Command
	foreign  []telemetry.Outcome // of another gateway, in topic order
	finals   map[string]int
}

func (p *ordeal) command() {
	id := fmt.Sprint("c", len(p.commands))
	cn := rapid.SampledFrom([]string{"1061", "1062", "2012", "2061", "2011", "1072", "9999"}).Draw(p.rt, "cn")
	cp := map[string]string{"1062": "RtdInterval=30", "2061": "BeginTime=20260301000000;EndTime=20260301080000"}[cn]
	c := p.desk.command(id, cn, cp)
	p.commands[id] = c
	p.s.add(c, p.now)
	p.settle()
}

// answer is a frame of the device: to the newest request, an older one, or none in particular.
func (p *ordeal) answer(segment string) {
	if len(p.sent) == 0 {
		return
	}
	switch rapid.IntRange(0, 3).Draw(p.rt, "qn") {
	case 0:
		segment = strings.Replace(segment, "QN=*;", "", 1)
	case 1:
		segment = strings.Replace(segment, "*", string(p.request(0).QN), 1)
	}
	p.reply(segment)
}

// other lets another gateway take a command that was not sent yet, or end one that it took.
func (p *ordeal) other() {
	o := telemetry.Outcome{MN: mn1, Gateway: "gw2", Time: p.now, Try: 1, QN: "20260301080000999", Step: telemetry.StepSending}
	if n := len(p.s.lent); n > 0 && rapid.Bool().Draw(p.rt, "end") {
		o.ID, o.Step = p.s.lent[0].cmd.ID, telemetry.StepDone
		p.foreign = append(p.foreign, o)
	} else if g := p.s.open; g != nil && !g.sent && !g.seen {
		o.ID = g.cmd.ID
	} else if len(p.s.queue) > 0 {
		o.ID = p.s.queue[len(p.s.queue)-1].ID
	} else {
		return
	}
	p.s.saw(&o, p.now)
	p.settle()
}

func (p *ordeal) check() {
	p.finals = map[string]int{}
	announced, sends := map[string]int{}, map[string]int{}
	for _, o := range append(append([]telemetry.Outcome(nil), p.steps...), p.foreign...) {
		if o.Step.Final() {
			if p.finals[o.ID]++; p.finals[o.ID] > 1 {
				p.rt.Fatalf("command %s ends twice: %s", o.ID, p.text())
			}
		}
		if o.Step == telemetry.StepSending && o.Gateway == "gw1" {
			announced[o.QN]++
		}
	}
	frames := map[string]string{}
	for i, f := range p.sent {
		qn := string(p.request(i).QN)
		if sends[qn]++; sends[qn] > announced[qn] || sends[qn] > p.cfg.ReCount+2 {
			p.rt.Fatalf("QN %s was sent %d times, announced %d times", qn, sends[qn], announced[qn])
		}
		if old, ok := frames[qn]; ok && old != f {
			p.rt.Fatalf("two requests under QN %s: %q and %q", qn, old, f)
		}
		frames[qn] = f
	}
}
