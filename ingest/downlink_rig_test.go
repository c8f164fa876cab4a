package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// A ledger is a journal and a commands topic in memory. Everything is durable after delay, in order.
type ledger struct {
	delay time.Duration

	order   sync.Mutex // held while a done is called, so that they come in order
	mu      sync.Mutex // guards the rest
	full    bool
	lose    func(topic bool, value []byte) error // why a record is lost; nil: none is
	journal []ledgerRecord
	topic   []ledgerRecord
	dones   []func(error)
	grown   chan struct{} // closed and replaced when topic has grown
}

type ledgerRecord struct {
	kind  telemetry.Kind
	mn    string
	value []byte
}

func newLedger() *ledger { return &ledger{delay: 3 * time.Millisecond, grown: make(chan struct{})} }

// Publish implements Publisher.
func (l *ledger) Publish(rec Record, done func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return ErrFull
	}
	if l.lost(false, rec.Value, done) {
		return nil
	}
	l.journal = append(l.journal, ledgerRecord{rec.Kind, rec.Key, rec.Value})
	l.dones = append(l.dones, done)
	time.AfterFunc(l.delay, l.settle)
	return nil
}

// Flush implements Publisher.
func (l *ledger) Flush(context.Context) error { return nil }

// Write implements CommandTopic. A step that the journal does not have must not come.
func (l *ledger) Write(kind telemetry.Kind, mn string, value []byte, _ time.Time, done func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := false
	for _, r := range l.journal {
		known = known || bytes.Equal(r.value, value)
	}
	if !known {
		panic(fmt.Sprintf("on the topic before the journal: %s", value))
	}
	if l.lost(true, value, done) {
		return
	}
	l.append(ledgerRecord{kind, mn, value})
	l.dones = append(l.dones, done)
	time.AfterFunc(l.delay, l.settle)
}

// lost loses a record if it is to be lost.
func (l *ledger) lost(topic bool, value []byte, done func(error)) bool {
	if l.lose == nil {
		return false
	}
	err := l.lose(topic, value)
	if err != nil {
		time.AfterFunc(l.delay, func() { done(err) })
	}
	return err != nil
}

// settle calls the oldest done.
func (l *ledger) settle() {
	l.order.Lock()
	defer l.order.Unlock()
	l.mu.Lock()
	done := l.dones[0]
	l.dones = l.dones[1:]
	l.mu.Unlock()
	done(nil)
}

func (l *ledger) append(r ledgerRecord) {
	l.topic = append(l.topic, r)
	close(l.grown)
	l.grown = make(chan struct{})
}

// Follow implements CommandTopic.
func (l *ledger) Follow(ctx context.Context, _ time.Time, fn func(telemetry.Kind, string, []byte), loaded func()) error {
	l.mu.Lock()
	end := len(l.topic)
	l.mu.Unlock()
	for i := 0; ; i++ {
		if i == end {
			loaded()
		}
		l.mu.Lock()
		grown := l.grown
		more := i < len(l.topic)
		var r ledgerRecord
		if more {
			r = l.topic[i]
		}
		l.mu.Unlock()
		if more {
			fn(r.kind, r.mn, r.value)
			continue
		}
		i--
		select {
		case <-ctx.Done():
			return nil
		case <-grown:
		}
		end = -1
	}
}

// give puts a command on the topic, as a person does.
func (l *ledger) give(id, cn, cp string) {
	now := time.Now().UTC()
	l.put(telemetry.KindCommand, &telemetry.Command{ID: id, MN: mn1, CN: cn, CP: cp, Operator: "li", Created: now, NotAfter: now.Add(10 * time.Minute)})
}

func (l *ledger) put(kind telemetry.Kind, v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.append(ledgerRecord{kind, mn1, telemetry.AppendJSON(nil, v)})
}

// steps are the steps on the topic as "gateway CN step" or "gateway CN step:code".
func (l *ledger) steps() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.topic {
		var o telemetry.Outcome
		if r.kind == telemetry.KindOutcome {
			if err := json.Unmarshal(r.value, &o); err != nil {
				panic(err)
			}
			word := fmt.Sprintf("%s %s %s", o.Gateway, o.CN, o.Step)
			if o.Code != 0 {
				word += fmt.Sprint(":", o.Code)
			}
			all = append(all, word)
		}
	}
	return all
}

func (l *ledger) last() (o telemetry.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := json.Unmarshal(l.topic[len(l.topic)-1].value, &o); err != nil {
		panic(err)
	}
	return o
}

// A wire is a Line to a device that answers by script.
type wire struct {
	d      *Downlink
	mn     string
	answer func(m *hj212.Message) []string // segments; "*" stands for the request's QN

	mu   sync.Mutex // guards sent
	sent []string
}

func (w *wire) Completed(*Completion) {}
func (w *wire) Hangup(Cause)          {}

// Send implements Line: the device answers a little later.
func (w *wire) Send(frame []byte) {
	f, _, err := hj212.Framer{}.Next(frame, true)
	m := new(hj212.Message)
	if err != nil || m.Parse(f.Data) != nil {
		panic(fmt.Sprintf("request %q: %v", frame, err))
	}
	w.mu.Lock()
	w.sent = append(w.sent, string(m.CN)+" "+string(m.CP))
	w.mu.Unlock()
	if w.answer == nil {
		return
	}
	time.AfterFunc(100*time.Millisecond, func() {
		for _, segment := range w.answer(m) {
			var a hj212.Message
			if err := a.Parse([]byte(strings.ReplaceAll(segment, "*", string(m.QN)))); err != nil {
				panic(err)
			}
			w.d.heard(w.mn, &a, time.Now())
		}
	})
}

func (w *wire) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.sent...)
}

// obey is a device that does everything; its clock is ahead.
func obey(ahead time.Duration) func(m *hj212.Message) []string {
	return func(m *hj212.Message) []string {
		all := []string{requestAnswer(1)}
		if string(m.CN) == "1011" {
			all = append(all, uploaded("*", "1011", "SystemTime="+string(hj212.AppendTime(nil, time.Now().Add(ahead)))))
		}
		return append(all, result(1))
	}
}

// gateway runs a downlink on l within a bubble; stop ends it and waits.
func gateway(t *testing.T, l *ledger, name string, change func(*DownlinkConfig, *telemetry.Device)) (d *Downlink, stop func()) {
	t.Helper()
	cfg := DefaultDownlinkConfig()
	entry := telemetry.Device{MN: mn1, PW: "123456", Medium: "water", MinuteInterval: 10, RealtimeInterval: 30}
	if change != nil {
		change(&cfg, &entry)
	}
	d = NewDownlink(cfg, name, registry{mn1: NewDevice(entry)}, l, l, prometheus.NewRegistry(), zerolog.Nop())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	synctest.Wait()
	return d, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
		synctest.Wait()
	}
}

func (d *Downlink) connected(w *wire) {
	w.d, w.mn = d, mn1
	d.online(mn1, w, "192.0.2.1:4000", hj212.Version2017, time.Now())
	synctest.Wait()
}
