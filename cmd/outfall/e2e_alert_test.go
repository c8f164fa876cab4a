//go:build integration

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/sinks/alert"
	"outfall/telemetry"
)

// An alertHook is a webhook's receiver. before runs before a request is answered, and may kill the one who asks.
type alertHook struct {
	mu      sync.Mutex // guards the rest
	events  []string   // keys, in the order in which they came
	message map[string][]string
	before  func(n int)
	n       int
}

func (h *alertHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var b alert.WebhookBody
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	h.n++
	n, before := h.n, h.before
	for _, e := range b.Events {
		h.events = append(h.events, e.Key)
		h.message[e.Key] = append(h.message[e.Key], b.Key)
	}
	h.mu.Unlock()
	if before != nil {
		before(n)
	}
}

// since lists the events from the n-th on.
func (h *alertHook) since(n int) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.events[n:]...)
}

func (h *alertHook) set(before func(int)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.before, h.n = before, 0
}

// alertReceipts are the keys of the events that the topic actions, or the journal, has an accepted notice of.
func alertReceipts(t *testing.T, cluster *broker.Cluster, topic telemetry.Topic) map[string]int {
	t.Helper()
	all := map[string]int{}
	err := cluster.ReadAll(t.Context(), topic, func(rec *kgo.Record) error {
		var a telemetry.Action
		if header(rec, telemetry.HeaderKind) != telemetry.KindAction.String() || json.Unmarshal(rec.Value, &a) != nil || a.Verb != telemetry.VerbNotice {
			return nil
		}
		for _, e := range a.Notice.Events {
			all[fmt.Sprintf("%s-%d-%d", e.Alarm, e.Source, e.Ordinal)]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEndToEndAlertKills kills the process of `outfall run` between a request and its receipt, between receipts and their commit, and at a moment of
// no meaning. Every event reaches the receiver; one that has a receipt when the process dies never comes again; what comes again in the
// same message has the same key.
func TestEndToEndAlertKills(t *testing.T) {
	hook := &alertHook{message: map[string][]string{}}
	server := httptest.NewServer(hook)
	defer server.Close()
	dir := filepath.Join(t.TempDir(), "d")
	secret, config := filepath.Join(t.TempDir(), "secret"), filepath.Join(t.TempDir(), "c.yaml")
	for path, content := range map[string]string{secret: "s", config: fmt.Sprintf(
		"alert:\n  default: [hook]\n  channels:\n    - {name: hook, type: webhook, url: %q, secret_file: %q}\n", server.URL, secret)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(listen string) (*process, *runInfo, *broker.Cluster) {
		p := start(t, "run", "--data", dir, "--config", config, "--listen", listen, "--admin", "127.0.0.1:0")
		info := p.waitRun(dir)
		return p, info, broker.Dial(broker.DefaultConfig(), info.socket())
	}
	died := make(chan struct{})
	p, info, _ := run("127.0.0.1:0")
	hook.set(func(n int) {
		if n == 1 {
			p.kill() // the receiver has the message, nobody has a receipt
			close(died)
		}
	})
	demo := start(t, "demo", "--data", dir, "--duration", "100s", "--backfill-hours", "4")
	<-died
	first := hook.since(0)
	second, goOn := make(chan struct{}), make(chan struct{})
	hook.set(func(n int) {
		if n == 2 {
			close(second) // the first message gets its receipt, this one not before the process dies
			<-goOn
		}
	})
	p, _, cluster := run(info.Ingest)
	<-second
	known := map[string]int{}
	eventually(t, time.Minute, "the first receipts", func() bool {
		known = alertReceipts(t, cluster, telemetry.TopicActions)
		return len(known) > 0
	})
	p.kill() // commits come once a second
	close(goOn)
	hook.set(nil)
	mark := len(hook.since(0))
	p, _, cluster = run(info.Ingest)
	if code := demo.wait(3 * time.Minute); code != 0 {
		t.Fatalf("demo: exit %d", code)
	}
	eventually(t, time.Minute, "a receipt of every event", func() bool {
		return len(alertReceipts(t, cluster, telemetry.TopicActions)) == alarmEvents(t, cluster)
	})
	notAgain(t, known, hook.since(mark))
	if got := hook.message[first[0]]; len(got) < 2 || got[0] != got[1] {
		t.Errorf("the message that had no receipt came with the keys %v", got)
	}
	journal := alertReceipts(t, cluster, telemetry.TopicJournal)
	for key := range alertReceipts(t, cluster, telemetry.TopicActions) {
		if journal[key] == 0 {
			t.Errorf("the journal has no receipt of %s", key)
		}
	}
	t.Logf("%d events, %d deliveries", len(journal), len(hook.since(0)))
	p.stop()
}

// notAgain wants none of the known events among the later ones.
func notAgain(t *testing.T, known map[string]int, later []string) {
	t.Helper()
	for _, key := range later {
		if known[key] > 0 {
			t.Errorf("%s was sent again although it had a receipt", key)
		}
	}
}

// alarmEvents counts the topic's events, each once.
func alarmEvents(t *testing.T, cluster *broker.Cluster) int {
	t.Helper()
	seen, n := positions{}, 0
	err := cluster.ReadAll(t.Context(), telemetry.TopicAlarms, func(rec *kgo.Record) error {
		_, fresh, err := decodeOutput[telemetry.Alarm](seen, rec)
		if fresh {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
