package ingest

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\n got %q\nwant %q", what, got, want)
	}
}

func TestDownlinkAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		d, stop := gateway(t, l, "gw1", nil)
		w := &wire{answer: obey(0)}
		d.connected(w)
		l.give("a", "1062", "RtdInterval=30")
		l.give("b", "1012", "SystemTime=now")
		time.Sleep(time.Second)
		wantLines(t, "requests", w.requests(), "1062 RtdInterval=30", "1012 SystemTime="+string(hj212.AppendTime(nil, time.Now().Add(-time.Second))))
		wantLines(t, "steps", l.steps(), "gw1 1062 sending", "gw1 1062 accepted:1", "gw1 1062 done:1", "gw1 1012 sending", "gw1 1012 accepted:1", "gw1 1012 done:1")
		stop()
		if len(d.seats) != 1 || d.commands != 0 || d.asking() != 0 || len(d.due) != 0 {
			t.Errorf("left: %d seats, %d commands, %d asking, %d due", len(d.seats), d.commands, d.asking(), len(d.due))
		}
	})
}

// The device is connected to one of two gateways, or, cloned or half gone, to both: one asks it.
func TestDownlinkTwoGateways(t *testing.T) {
	for _, both := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLedger()
			d1, stop1 := gateway(t, l, "gw1", nil)
			d2, stop2 := gateway(t, l, "gw2", nil)
			w1, w2 := &wire{answer: obey(0)}, &wire{answer: obey(0)}
			d1.connected(w1)
			if both {
				d2.connected(w2)
			}
			l.give("a", "1061", "")
			l.give("b", "3012", "PolId=w01018")
			time.Sleep(time.Minute)
			if n := len(w1.requests()) + len(w2.requests()); n != 2 {
				t.Errorf("both=%v: %d requests left, want 2: %q, %q", both, n, w1.requests(), w2.requests())
			}
			finals := 0
			for _, s := range l.steps() {
				if strings.Contains(s, "done") {
					finals++
				}
			}
			if finals != 2 || d1.commands != 0 || d2.commands != 0 {
				t.Errorf("both=%v: %d finals, %d and %d commands left: %q", both, finals, d1.commands, d2.commands, l.steps())
			}
			stop1()
			stop2()
		})
	}
}

// Expiry is written once although no gateway has the device.
func TestDownlinkExpiresOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		var stops []func()
		for _, name := range []string{"gw1", "gw2", "gw3"} {
			_, stop := gateway(t, l, name, nil)
			stops = append(stops, stop)
		}
		l.give("a", "1061", "")
		time.Sleep(11 * time.Minute)
		if steps := l.steps(); len(steps) != 1 || !strings.HasSuffix(steps[0], "1061 expired") {
			t.Errorf("steps %q, want one: expired", steps)
		}
		for _, stop := range stops {
			stop()
		}
	})
}

// A gateway that ends between the request and the answer does not ask again after its start.
func TestDownlinkRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		now := time.Now().UTC()
		l.give("a", "3011", "PolId=w01018")
		l.put(telemetry.KindOutcome, &telemetry.Outcome{ID: "a", MN: mn1, CN: "3011", Step: telemetry.StepSending, QN: "20000101080000000", Try: 1, Gateway: "gw1", Time: now})
		l.give("b", "3012", "PolId=w01018")
		l.give("c", "1061", "")
		l.put(telemetry.KindOutcome, &telemetry.Outcome{ID: "c", MN: mn1, CN: "1061", Step: telemetry.StepDone, Gateway: "gw1", Time: now})
		d, stop := gateway(t, l, "gw1", nil)
		w := &wire{answer: obey(0)}
		d.connected(w)
		time.Sleep(time.Second)
		wantLines(t, "requests", w.requests(), "3012 PolId=w01018")
		steps := l.steps()
		wantLines(t, "steps", steps[2:], "gw1 3011 failed", "gw1 3012 sending", "gw1 3012 accepted:1", "gw1 3012 done:1")
		stop()
	})
}

// The gateway that has sent a command is gone for good: another one says so, and goes on with what waits behind.
func TestDownlinkGatewayGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		l.give("a", "3011", "PolId=w01018")
		d, stop := gateway(t, l, "gw1", nil)
		l.put(telemetry.KindOutcome, &telemetry.Outcome{ID: "a", MN: mn1, CN: "3011", Step: telemetry.StepSending, QN: "20000101080000000", Try: 1, Gateway: "gw9", Time: time.Now()})
		synctest.Wait()
		w := &wire{answer: obey(0)}
		d.connected(w)
		l.give("b", "3012", "PolId=w01018")
		time.Sleep(3 * time.Minute)
		if n := len(w.requests()); n != 0 {
			t.Errorf("%d requests while gw9 may be at work", n)
		}
		time.Sleep(2 * time.Minute)
		wantLines(t, "requests", w.requests(), "3012 PolId=w01018")
		wantLines(t, "steps", l.steps()[1:2], "gw1 3011 failed")
		stop()
	})
}

// A journal without room: nothing leaves until it has some; a stop waits for what is under way.
func TestDownlinkJournalFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		l.full = true
		d, stop := gateway(t, l, "gw1", nil)
		w := &wire{}
		d.connected(w)
		l.give("a", "1061", "")
		time.Sleep(time.Minute)
		if n := len(w.requests()); n != 0 {
			t.Fatalf("%d requests without a journal", n)
		}
		l.mu.Lock()
		l.full = false
		l.mu.Unlock()
		time.Sleep(time.Second)
		wantLines(t, "requests", w.requests(), "1061 ")
		d.offline(mn1, w, time.Now())
		stop()
		if o := l.last(); o.Step != telemetry.StepFailed || o.Detail != "the connection ended before the answer; unknown whether the device acted" {
			t.Errorf("last step %+v", o)
		}
		if len(d.seats) != 0 {
			t.Errorf("%d seats left", len(d.seats))
		}
	})
}

func TestDownlinkSetUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		d, stop := gateway(t, l, "gw1", func(c *DownlinkConfig, d *telemetry.Device) { d.SetUp, c.SetClock = true, true })
		w := &wire{answer: obey(time.Hour)}
		d.connected(w)
		time.Sleep(5 * time.Second)
		all := w.requests()
		set := "1012 SystemTime=" + string(hj212.AppendTime(nil, time.Now()))[:10]
		if len(all) != 5 || !strings.HasPrefix(all[4], set) {
			t.Fatalf("requests %q, want five, the last %s", all, set)
		}
		wantLines(t, "requests", all[:4], "1011 ", "1000 OverTime=10;ReCount=3", "1062 RtdInterval=30", "1064 MinInterval=10")
		again := func(want int) {
			t.Helper()
			d.offline(mn1, w, time.Now())
			d.connected(w)
			time.Sleep(5 * time.Second)
			if n := len(w.requests()); n != want {
				t.Errorf("%d requests after another connection, want %d", n, want)
			}
		}
		again(5)
		time.Sleep(time.Hour)
		again(10)
		stop()
		// A restart remembers, from the topic.
		d, stop = gateway(t, l, "gw1", func(c *DownlinkConfig, d *telemetry.Device) { d.SetUp = true })
		d.connected(w)
		time.Sleep(5 * time.Second)
		if n := len(w.requests()); n != 10 {
			t.Errorf("%d requests after a restart, want 10", n)
		}
		stop()
	})
}

// The clock is only read where nobody allowed more.
func TestDownlinkSetUpLeavesTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		d, stop := gateway(t, l, "gw1", func(c *DownlinkConfig, _ *telemetry.Device) { c.SetUp = true })
		w := &wire{answer: obey(time.Hour)}
		d.connected(w)
		time.Sleep(5 * time.Second)
		if all := w.requests(); len(all) != 4 || strings.HasPrefix(all[3], "1012") {
			t.Errorf("requests %q", all)
		}
		stop()
	})
}

func TestDownlinkPasswordChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		d, stop := gateway(t, l, "gw1", func(_ *DownlinkConfig, d *telemetry.Device) { d.PWNext = "654321" })
		pw := "123456"
		w := &wire{}
		w.answer = func(m *hj212.Message) []string {
			if string(m.PW) != pw {
				return []string{requestAnswer(3)}
			}
			if next, ok := m.Param("NewPW"); ok {
				pw = string(next)
			}
			return []string{requestAnswer(1), result(1)}
		}
		d.connected(w)
		l.give("a", "1072", "")
		l.give("b", "3012", "PolId=w01018")
		time.Sleep(time.Second)
		wantLines(t, "requests", w.requests(), "1072 NewPW=654321", "3012 PolId=w01018")
		stop()

		// A gateway that does not know which password holds finds out.
		d, stop = gateway(t, l, "gw1", func(_ *DownlinkConfig, d *telemetry.Device) { d.PWNext = "654321" })
		d.connected(w)
		l.give("c", "3013", "PolId=w01018")
		time.Sleep(time.Second)
		if o := l.last(); o.Step != telemetry.StepDone || len(w.requests()) != 4 {
			t.Errorf("last step %+v, requests %q", o, w.requests())
		}
		stop()
		for _, r := range append(l.journal, l.topic...) {
			if bytes.Contains(r.value, []byte("654321")) || bytes.Contains(r.value, []byte("123456")) {
				t.Errorf("a password in %s", r.value)
			}
		}
	})
}

func TestDownlinkBadRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		d, stop := gateway(t, l, "gw1", nil)
		l.put(telemetry.KindCommand, &telemetry.Command{ID: "no validity", MN: mn1, CN: "1061"})
		l.put(telemetry.KindCommand, &telemetry.Command{ID: "a", MN: mn2, CN: "1061", Operator: "li", Created: time.Now(), NotAfter: time.Now().Add(time.Minute)})
		l.put(telemetry.KindFrame, "x")
		synctest.Wait()
		if n := d.metrics.bad.Load(); n != 3 || len(d.seats) != 0 {
			t.Errorf("%d bad records, %d seats", n, len(d.seats))
		}
		stop()
	})
}

func TestHeardCostsNothing(t *testing.T) {
	var none *Downlink
	d := NewDownlink(DefaultDownlinkConfig(), "gw1", registry{}, newLedger(), newLedger(), prometheus.NewRegistry(), zerolog.Nop())
	var m hj212.Message
	if n := testing.AllocsPerRun(100, func() { d.heard(mn1, &m, start); none.heard(mn1, &m, start) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	none.online(mn1, nil, "", 0, start)
	none.offline(mn1, nil, start)
}

func TestDownlinkConfig(t *testing.T) {
	if err := DefaultDownlinkConfig().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	err := DownlinkConfig{}.Validate()
	for _, key := range []string{"over_time", "re_count", "exec_time", "max_queue", "max_open", "clock_tolerance"} {
		if err == nil || !strings.Contains(err.Error(), "ingest.downlink."+key+": ") {
			t.Errorf("zero value: no fault of %s: %v", key, err)
		}
	}
}

// More devices than commands may be open: the set-up of the rest is left out, and commands beyond the bound fail.
func TestDownlinkBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		d, stop := gateway(t, l, "gw1", func(c *DownlinkConfig, _ *telemetry.Device) { c.MaxOpen = 2 })
		for _, id := range []string{"a", "b", "c"} {
			l.give(id, "1061", "")
		}
		time.Sleep(time.Second)
		if o := l.last(); o.ID != "c" || o.Step != telemetry.StepFailed || o.Detail != "not queued: 2 commands wait already" {
			t.Errorf("last step %+v", o)
		}
		stop()
		if d.commands != 2 {
			t.Errorf("%d commands", d.commands)
		}
	})
}
