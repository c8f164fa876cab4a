package ingest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outfall/telemetry"
)

// The journal does not take a StepSending for good: the command ends, and the next one goes. Before, a retry whose step was lost waited for
// ever, and every command behind it with it.
func TestSendingLost(t *testing.T) {
	lost := errors.New("message too large")
	for _, tt := range []struct {
		name   string
		before time.Duration // until the step that is lost
		detail string
		sent   int
	}{
		{"the first", 0, "not sent: the journal did not take its entry: message too large", 0},
		{"of a retry", 10 * time.Second, "no answer to 1 tries; the journal did not take the next: message too large", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, nil)
			d.hold = tt.before == 0
			d.add("a", "1061", "")
			d.hold = true
			d.after(tt.before)
			d.add("b", "1063", "")
			step := d.steps[len(d.steps)-1]
			d.held = nil
			d.s.cleared(step.QN, step.Try, lost, d.now)
			d.hold = false
			d.settle()
			if step.ID != "a" || len(d.sent) != tt.sent+1 || string(d.request(tt.sent).CN) != "1063" {
				t.Fatalf("lost %+v, then %d requests", step, len(d.sent))
			}
			var last telemetry.Outcome
			for _, o := range d.steps {
				if o.ID == "a" {
					last = o
				}
			}
			if last.Step != telemetry.StepFailed || last.Detail != tt.detail {
				t.Errorf("last step %s: %q, want %q", last.Step, last.Detail, tt.detail)
			}
		})
	}
}

// An answer that came while a retry's step was on its way counts, whatever becomes of the step.
func TestSendingLostAfterTheAnswer(t *testing.T) {
	d := newDesk(t, nil)
	d.add("a", "1062", "RtdInterval=30")
	d.hold = true
	d.after(10 * time.Second)
	d.reply(requestAnswer(1))
	d.s.cleared(d.qn(), 2, errors.New("message too large"), d.now)
	d.hold = false
	d.reply(result(1))
	if want := "sending sending accepted:1 done:1"; d.text() != want {
		t.Errorf("steps %q, want %q", d.text(), want)
	}
}

// A retry of clock-set carries the clock of its own sending, under the QN of the first.
func TestClockOfARetry(t *testing.T) {
	d := newDesk(t, nil)
	d.add("a", "1012", "SystemTime=now;PolId=w01018")
	d.after(15 * time.Second)
	if len(d.sent) != 2 {
		t.Fatalf("%d requests", len(d.sent))
	}
	first, second := d.request(0), d.request(1)
	a, _ := first.Param("SystemTime")
	b, _ := second.Param("SystemTime")
	if string(first.QN) != string(second.QN) || string(a) == string(b) || !strings.HasPrefix(string(b), "20260301") {
		t.Errorf("requests %q and %q", d.sent[0], d.sent[1])
	}
}

// The journal or the topic loses the final step of a command a few times: it is written again, and the listings of commands do not show the
// command as open until the next start. A step that is not final is not worth it.
func TestFinalStepLost(t *testing.T) {
	for _, tt := range []struct {
		name    string
		topic   bool
		times   int
		steps   string
		journal int // final steps in it
		lost    int64
		after   time.Duration // until the last one is there
	}{
		{"by the journal", false, finalRetries, "sending accepted:1 done:1", 1, 0, 15 * time.Second},
		{"by the topic", true, finalRetries, "sending accepted:1 done:1", 1, 0, 15 * time.Second},
		{"for good", false, finalRetries + 1, "sending accepted:1", 0, 1, 15 * time.Second},
		{"when the gateway ends", true, finalRetries, "sending accepted:1", 1, 1, 0},
		{"once, when the gateway ends", true, 1, "sending accepted:1 done:1", 1, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				left := tt.times
				l.lose = func(topic bool, value []byte) error {
					if topic != tt.topic || left == 0 || !bytes.Contains(value, []byte(`"step":"done"`)) {
						return nil
					}
					left--
					return errors.New("not enough replicas")
				}
				d, stop := gateway(t, l, "gw1", nil)
				d.connected(&wire{answer: obey(0)})
				l.give("a", "1062", "RtdInterval=30")
				time.Sleep(time.Second/2 + tt.after)
				stop()
				time.Sleep(finalRetry << finalRetries) // what waited for its turn is given up
				var steps []string
				for _, s := range l.steps() {
					steps = append(steps, strings.TrimPrefix(s, "gw1 1062 "))
				}
				if got := strings.Join(steps, " "); got != tt.steps {
					t.Errorf("steps %q, want %q", got, tt.steps)
				}
				finals := 0
				for _, r := range l.journal {
					if bytes.Contains(r.value, []byte(`"step":"done"`)) {
						finals++
					}
				}
				if n := d.metrics.lost.Load(); finals != tt.journal || n != tt.lost {
					t.Errorf("%d final steps in the journal, want %d; %d lost, want %d", finals, tt.journal, n, tt.lost)
				}
			})
		})
	}
}
