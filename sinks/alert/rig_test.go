package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"outfall/telemetry"
)

// A rig is a desk with its channels, without Kafka, in the virtual time of a synctest bubble. It writes down every notice.
type rig struct {
	t         testing.TB
	desk      *desk
	notifiers []Notifier
	notices   []telemetry.Action
	ended     map[string]int // events that have come to their end, by key
	source    int64
	all       []*event                       // that were added
	state     map[int64]telemetry.AlarmState // of each, by its position
	once      map[string]bool                // not nil: what has an accepted receipt, by channel and event; it must not go out again
	crash     bool                           // requests go out, and nothing is noted: the process dies
}

// roads leads each host to its vendor: one transport for all channels of a test.
type roads map[string]*vendor

func (r roads) RoundTrip(req *http.Request) (*http.Response, error) {
	return r[req.URL.Host].RoundTrip(req)
}

// newRig makes a desk whose channel names are hosts.
func newRig(t testing.TB, cfg Config, vendors map[string]*vendor) *rig {
	t.Helper()
	way := roads{}
	for i := range cfg.Channels {
		ch := &cfg.Channels[i]
		ch.URL = "http://" + ch.Name
		way[ch.Name] = vendors[ch.Name]
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, ended: map[string]int{}, state: map[int64]telemetry.AlarmState{}}
	var renderers []*renderer
	for _, ch := range cfg.Channels {
		n, err := NewNotifier(ch, way)
		if err != nil {
			t.Fatal(err)
		}
		rd, err := newRenderer(ch)
		if err != nil {
			t.Fatal(err)
		}
		r.notifiers, renderers = append(r.notifiers, n), append(renderers, rd)
	}
	r.desk = newDesk(cfg, renderers)
	return r
}

// restart is a new desk that knows what the notices say. Everything that has not ended comes again.
func (r *rig) restart() *rig {
	next := &rig{t: r.t, notifiers: r.notifiers, ended: map[string]int{}, notices: r.notices, state: map[int64]telemetry.AlarmState{}}
	next.desk = newDesk(r.desk.cfg, renderersOf(r.desk))
	re := newRecall(next.desk, []telemetry.Position{telemetry.NoPosition}, time.Now())
	for i := range r.notices {
		re.action(0, &r.notices[i])
	}
	re.end()
	return next
}

// event makes an event of an alarm at the next position.
func (r *rig) event(change func(*telemetry.Alarm)) *event {
	r.source++
	now := time.Now().UTC()
	e := SampleMessage(FormAlarm, "", now).Events[0]
	e.ID, e.MN = fmt.Sprintf("%016d", r.source), fmt.Sprintf("MN%04d", r.source)
	if change != nil {
		change(&e.Alarm)
	}
	ev := &event{Event: e, pos: telemetry.Position{Source: r.source}, at: now}
	ev.Key = eventKey(e.ID, ev.pos)
	ev.ended = func() { r.ended[ev.Key]++ }
	return ev
}

func (r *rig) add(change func(*telemetry.Alarm)) *event {
	ev := r.event(change)
	r.all = append(r.all, ev)
	r.state[r.source] = ev.State
	r.desk.add(ev, time.Now())
	return ev
}

// run works for a time.
func (r *rig) run(d time.Duration) {
	end := time.Now().Add(d)
	for {
		now := time.Now()
		jobs, next := r.desk.poll(now)
		for _, j := range jobs {
			var done Outcome
			if j.noted == "" {
				for _, one := range j.deliveries {
					if r.once[j.line.ch.Name+one.ev.Key] {
						r.t.Errorf("%s is sent again on %s", one.ev.Key, j.line.ch.Name)
					}
				}
				ctx, cancel := context.WithTimeout(r.t.Context(), r.desk.cfg.Timeout)
				done = r.notifiers[j.line.index].Send(ctx, j.message, j.title, j.body)
				cancel()
			}
			if r.crash {
				return
			}
			if final := j.noted != "" || done.Class == ClassAccepted || done.Class == ClassRefused; final && j.message.Form != FormKeep {
				for _, a := range j.notices(done, time.Millisecond, now) {
					if err := a.Validate(); err != nil {
						r.t.Errorf("notice: %v", err)
					}
					r.notices = append(r.notices, a)
					for i := 0; r.once != nil && a.Notice.Result == telemetry.NoticeAccepted && i < len(j.deliveries); i++ {
						r.once[j.line.ch.Name+j.deliveries[i].ev.Key] = true
					}
				}
			}
			r.desk.finish(j, done, time.Now(), false)
		}
		if len(jobs) > 0 {
			continue
		}
		if next.After(end) {
			time.Sleep(end.Sub(now))
			return
		}
		time.Sleep(max(next.Sub(now), time.Millisecond))
	}
}

// results counts the notices of a channel by result.
func (r *rig) results(channel string) map[telemetry.NoticeResult]int {
	n := map[telemetry.NoticeResult]int{}
	for _, a := range r.notices {
		if a.Notice.Channel == channel {
			n[a.Notice.Result] += len(a.Notice.Events)
		}
	}
	return n
}

func mustUnmarshal(t testing.TB, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
