package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// A desk drives a station by hand: its steps are durable and on the topic when the test says so.
type desk struct {
	t interface {
		Helper()
		Fatalf(string, ...any)
	}
	cfg   DownlinkConfig
	s     *station
	now   time.Time
	steps []telemetry.Outcome
	sent  []string
	held  []telemetry.Outcome // StepSending that are not on the topic yet
	hold  bool                // keep them back
}

func newDesk(t *testing.T, change func(*telemetry.Device)) *desk {
	entry := telemetry.Device{MN: mn1, PW: "123456", Medium: "water", MinuteInterval: 10, RealtimeInterval: 30}
	if change != nil {
		change(&entry)
	}
	d := &desk{t: t, cfg: DefaultDownlinkConfig(), now: start}
	d.s = &station{mn: mn1, gateway: "gw1", live: true, ask: asker{cfg: &d.cfg, device: NewDevice(entry)}}
	d.s.connect("192.0.2.1:4000", hj212.Version2017, d.now)
	return d
}

func (d *desk) command(id, cn, cp string) telemetry.Command {
	return telemetry.Command{ID: id, MN: mn1, CN: cn, CP: cp, Operator: "li", Created: d.now, NotAfter: d.now.Add(10 * time.Minute)}
}

func (d *desk) add(id, cn, cp string) {
	d.s.add(d.command(id, cn, cp), d.now)
	d.settle()
}

// settle carries out the actions until there are none.
func (d *desk) settle() {
	d.t.Helper()
	for len(d.s.out) > 0 {
		out := d.s.out
		d.s.out = nil
		for _, a := range out {
			if a.frame != nil {
				d.sent = append(d.sent, string(a.frame))
				continue
			}
			d.steps = append(d.steps, *a.outcome)
			d.held = append(d.held, *a.outcome)
		}
		if !d.hold {
			d.release()
		}
	}
}

// release puts what was held back on the topic, durably.
func (d *desk) release() {
	held := d.held
	d.held = nil
	for i := range held {
		d.s.saw(&held[i], d.now)
		if held[i].Step == telemetry.StepSending {
			d.s.cleared(held[i].QN, held[i].Try, nil, d.now)
		}
	}
}

// after lets time pass, ticking whenever the station asks for it.
func (d *desk) after(long time.Duration) {
	d.t.Helper()
	end := d.now.Add(long)
	for n := 0; ; n++ {
		at := d.s.wake()
		if at.IsZero() || at.After(end) {
			break
		}
		if n == 1000 {
			d.t.Fatalf("station asks to be ticked again and again at %v", at)
		}
		if at.After(d.now) {
			d.now = at
		}
		d.s.tick(d.now)
		d.settle()
	}
	d.now = end
}

// reply is a segment of the device; "*" stands for the QN of the newest request.
func (d *desk) reply(segment string) {
	d.t.Helper()
	if strings.Contains(segment, "*") {
		segment = strings.ReplaceAll(segment, "*", d.qn())
	}
	var m hj212.Message
	if err := m.Parse([]byte(segment)); err != nil {
		d.t.Fatalf("%q: %v", segment, err)
	}
	a := answerOf(&m)
	d.s.hear(&a, d.now)
	d.settle()
}

func (d *desk) request(i int) *hj212.Message {
	f, _, err := hj212.Framer{}.Next([]byte(d.sent[i]), true)
	m := new(hj212.Message)
	if err != nil || m.Parse(f.Data) != nil {
		d.t.Fatalf("request %q: %v", d.sent[i], err)
	}
	return m
}

func (d *desk) qn() string { return string(d.request(len(d.sent) - 1).QN) }

func head(cn string) string { return "QN=*;ST=91;CN=" + cn + ";PW=123456;MN=" + mn1 + ";Flag=4;" }

func requestAnswer(code int) string { return head("9011") + fmt.Sprintf("CP=&&QnRtn=%d&&", code) }
func result(code int) string        { return head("9012") + fmt.Sprintf("CP=&&ExeRtn=%d&&", code) }
func uploaded(qn, cn, cp string) string {
	return "QN=" + qn + ";ST=32;CN=" + cn + ";PW=123456;MN=" + mn1 + ";Flag=5;CP=&&" + cp + "&&"
}

// text is the steps as "step" or "step:code".
func (d *desk) text() string {
	var all []string
	for _, o := range d.steps {
		word := string(o.Step)
		if o.Code != 0 {
			word += fmt.Sprintf(":%d", o.Code)
		}
		all = append(all, word)
	}
	return strings.Join(all, " ")
}

func (d *desk) last() telemetry.Outcome { return d.steps[len(d.steps)-1] }

func TestDialogues(t *testing.T) {
	const hours = "BeginTime=20260301000000;EndTime=20260301080000"
	for _, tt := range []struct {
		name, cn, cp string
		run          func(d *desk)
		want, detail string
		sent         int
	}{
		{"set", "1062", "RtdInterval=30", func(d *desk) { d.reply(requestAnswer(1)); d.reply(result(1)) }, "sending accepted:1 done:1", "", 1},
		{"refused", "1062", "RtdInterval=30", func(d *desk) { d.reply(requestAnswer(5)) }, "sending refused:5", "wrong ST", 1},
		{"failed in execution", "3011", "PolId=w01018", func(d *desk) { d.reply(requestAnswer(1)); d.reply(result(5)) }, "sending accepted:1 failed:5", "busy", 1},
		{"get", "1061", "", func(d *desk) {
			d.reply(requestAnswer(1))
			d.reply("QN=*;ST=32;CN=1061;PW=123456;MN=" + mn1 + ";Flag=4;CP=&&RtdInterval=30&&")
			d.reply(result(1))
		}, "sending accepted:1 data done:1", "1 data frame", 1},
		{"silence: sent four times, then given up", "1062", "RtdInterval=30", func(d *desk) { d.after(time.Minute) },
			"sending sending sending sending failed", "no answer to 4 tries, 10s each", 4},
		{"late answer to a retry", "1062", "RtdInterval=30", func(d *desk) {
			d.after(25 * time.Second)
			d.reply(requestAnswer(1))
			d.reply(requestAnswer(7)) // to the retry: the QN is known already
			d.reply(result(1))
		}, "sending sending sending accepted:1 done:1", "", 3},
		{"execution timeout", "1062", "RtdInterval=30", func(d *desk) { d.reply(requestAnswer(1)); d.after(5 * time.Minute) },
			"sending accepted:1 failed", "accepted, but no result within 2m0s", 1},
		{"9012 before 9011 (Q17)", "1062", "RtdInterval=30", func(d *desk) { d.reply(result(1)); d.reply(requestAnswer(1)) }, "sending done:1", "", 1},
		{"no 9011 (Q17)", "1061", "", func(d *desk) { d.reply(uploaded("*", "1061", "RtdInterval=30")); d.reply(result(1)) }, "sending data done:1", "1 data frame", 1},
		{"no 9012 (Q17)", "1061", "", func(d *desk) {
			d.reply(requestAnswer(1))
			d.reply(uploaded("*", "1061", "RtdInterval=30"))
			d.after(5 * time.Minute)
		}, "sending accepted:1 data done", "no 9012 came: 1 data frame", 1},
		{"9012 before the one answer", "1061", "", func(d *desk) { d.reply(result(1)); d.reply(uploaded("*", "1061", "RtdInterval=30")) }, "sending data done:1", "", 1},
		{"9012 and no answer", "1061", "", func(d *desk) { d.reply(result(1)); d.after(time.Minute) }, "sending done:1", "9012 came, the answer did not", 1},
		{"history under other QN", "2061", hours, func(d *desk) {
			d.reply(requestAnswer(1))
			d.reply(uploaded("20260301090000534", "2061", "DataTime=20260301000000;w01018-Avg=1"))
			d.reply(uploaded("20260301090000535", "2061", "DataTime=20260301080000;w01018-Avg=1"))
			d.reply(uploaded("20260301090000536", "2061", "DataTime=20260301090000;w01018-Avg=1")) // not asked for
			d.reply(uploaded("20260301090000537", "2051", "DataTime=20260301080000;w01018-Avg=1")) // not asked for
			d.reply(result(1))
		}, "sending accepted:1 data done:1", "2 data frames", 1},
		{"no data", "2061", hours, func(d *desk) { d.reply(requestAnswer(1)); d.reply(result(100)) }, "sending accepted:1 done:100", "the device has no data for it", 1},
		{"answers to something else", "1062", "RtdInterval=30", func(d *desk) {
			d.reply(strings.Replace(requestAnswer(2), "*", "20260301000000000", 1))
			d.reply(strings.Replace(result(2), "*", "20260301000000000", 1))
			d.reply(head("9014") + "CP=&&&&")
			d.reply(result(1))
		}, "sending done:1", "", 1},
		{"answers without any QN", "1062", "RtdInterval=30", func(d *desk) {
			d.reply(strings.Replace(requestAnswer(1), "QN=*;", "", 1))
			d.reply(strings.Replace(result(1), "QN=*;", "", 1))
		}, "sending accepted:1 done:1", "", 1},
		{"notice", "2012", "", func(d *desk) { d.reply(head("9013") + "CP=&&&&") }, "sending done", "", 1},
		{"connection ends before the answer", "1062", "RtdInterval=30", func(d *desk) { d.s.disconnect(d.now); d.settle() },
			"sending failed", "the connection ended before the answer; unknown whether the device acted", 1},
		{"connection ends before the result", "2061", hours, func(d *desk) { d.reply(requestAnswer(1)); d.s.disconnect(d.now); d.settle() },
			"sending accepted:1 failed", "the connection ended before the result", 1},
		{"connection ends after the one answer", "1061", "", func(d *desk) {
			d.reply(uploaded("*", "1061", "RtdInterval=30"))
			d.s.disconnect(d.now)
			d.settle()
		}, "sending data done", "no 9012 came: 1 data frame", 1},
		{"connection ends after 9012", "1061", "", func(d *desk) { d.reply(result(1)); d.s.disconnect(d.now); d.settle() },
			"sending done:1", "9012 came, the answer did not", 1},
		{"parameter out of range", "1062", "RtdInterval=7", func(*desk) {}, "failed", `not sent: hj212: CN 1062: parameter RtdInterval: "7" is not 30..3600 s`, 0},
		{"not of the edition", "2072", "", func(*desk) {}, "failed", "not sent: CN 2072 is no command of HJ 212-2017, which the device speaks", 0},
		{"no next password", "1072", "", func(*desk) {}, "failed", "not sent: the registry has no next password of the device", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, nil)
			d.add("a", tt.cn, tt.cp)
			tt.run(d)
			if got := d.text(); got != tt.want || d.last().Detail != tt.detail || len(d.sent) != tt.sent {
				t.Errorf("steps %q, detail %q, %d requests; want %q, %q, %d", got, d.last().Detail, len(d.sent), tt.want, tt.detail, tt.sent)
			}
			for _, f := range d.sent {
				if f != d.sent[0] {
					t.Errorf("a retry differs: %q and %q", f, d.sent[0])
				}
			}
			if w := d.s.wake(); !w.IsZero() {
				t.Errorf("something is due at %v after the end", w)
			}
		})
	}
}

// HJ/T 212-2005: QN in the CP of answers, realtime data within the dialogue and no 9012.
func TestDialogue2005(t *testing.T) {
	d := newDesk(t, func(d *telemetry.Device) { d.Edition = "2005" })
	d.add("a", "2011", "")
	d.reply("ST=91;CN=9011;PW=123456;MN=" + mn1 + ";Flag=1;CP=&&QN=*;QnRtn=1&&")
	d.reply("ST=32;CN=2011;PW=123456;MN=" + mn1 + ";CP=&&DataTime=20260301080000;011-Rtd=1.1&&")
	if got, want := d.text(), "sending accepted:1 data done"; got != want {
		t.Errorf("steps %q, want %q", got, want)
	}
	if m := d.request(0); m.Flag.Version() != hj212.Version2005 {
		t.Errorf("request %q, want one of 2005", d.sent[0])
	}
}

func TestOneCommandAtATime(t *testing.T) {
	d := newDesk(t, nil)
	for _, id := range []string{"a", "b", "c"} {
		d.add(id, "1061", "")
	}
	d.add("a", "1061", "") // again: nothing
	if len(d.sent) != 1 {
		t.Fatalf("%d requests, want one", len(d.sent))
	}
	d.reply(result(1))
	d.reply(uploaded("*", "1061", "RtdInterval=30"))
	d.after(45 * time.Second) // b: silence
	if len(d.sent) != 1+4+1 {
		t.Errorf("%d requests, want a once, b four times, c once", len(d.sent))
	}
	var qns []string
	for i := range d.sent {
		qns = append(qns, string(d.request(i).QN))
	}
	if qns = slices.Compact(qns); len(qns) != 3 || !slices.IsSorted(qns) {
		t.Errorf("QN %v, want three, growing", qns)
	}
	for n := range d.cfg.MaxQueue + 1 {
		d.add(fmt.Sprint("q", n), "1061", "")
	}
	if o := d.last(); o.ID != "q32" || o.Step != telemetry.StepFailed {
		t.Errorf("the command beyond the queue: %+v", o)
	}
}

func TestQNIsNeverUsedTwice(t *testing.T) {
	d := newDesk(t, nil)
	d.s.saw(&telemetry.Outcome{ID: "old", QN: "20260301080000005"}, d.now) // of a former life, in the clock's future
	d.add("a", "2012", "")
	d.reply(head("9013") + "CP=&&&&")
	d.add("b", "2012", "")
	if x, y := string(d.request(0).QN), string(d.request(1).QN); x != "20260301080000006" || y != "20260301080000007" {
		t.Errorf("QN %s and %s", x, y)
	}
}

func TestExpires(t *testing.T) {
	d := newDesk(t, nil)
	d.s.disconnect(d.now)
	d.add("a", "1061", "")
	d.after(9 * time.Minute)
	if len(d.steps) != 0 {
		t.Errorf("steps %q before the end", d.text())
	}
	d.after(2 * time.Minute)
	d.s.connect("192.0.2.1:4001", hj212.Version2017, d.now)
	d.settle()
	if d.text() != "expired" || len(d.sent) != 0 || d.s.wake() != (time.Time{}) {
		t.Errorf("steps %q, %d requests", d.text(), len(d.sent))
	}
}

// Nothing leaves before its step is durable and read back.
func TestNothingLeavesUnannounced(t *testing.T) {
	d := newDesk(t, nil)
	d.hold = true
	d.add("a", "1061", "")
	d.s.saw(&d.held[0], d.now)
	d.settle()
	if len(d.sent) != 0 {
		t.Fatal("sent before the step is durable")
	}
	d.s.disconnect(d.now) // nothing had left: back to the queue
	d.s.connect("192.0.2.1:4001", hj212.Version2017, d.now)
	d.s.cleared(d.held[0].QN, 1, nil, d.now)
	d.settle()
	if len(d.sent) != 0 {
		t.Fatal("sent by the step of an attempt that was given up")
	}
	d.hold = false
	d.release()
	d.settle()
	if len(d.sent) != 1 || d.qn() != d.steps[1].QN || d.steps[1].QN == d.steps[0].QN {
		t.Errorf("%d requests, steps %+v", len(d.sent), d.steps)
	}
}
