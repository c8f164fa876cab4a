package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// counted lists the frames of a window that counted and those that did not.
func counted(w Traced) (yes, no []string) {
	for _, u := range w.Frames {
		text := fmt.Sprintf("%s %s %s", u.CN, u.Value, u.Why)
		if u.Counted {
			yes = append(yes, text)
		} else {
			no = append(no, text)
		}
	}
	return yes, no
}

func (h *hour) trace(opts TraceOptions) *Trace {
	h.t.Helper()
	tr, err := TraceOutput(h.t.Context(), h.cluster, opts)
	if err != nil {
		h.t.Fatal(err)
	}
	if !tr.Reproduced || tr.MN != h.mn {
		h.t.Errorf("not reproduced: %+v", tr)
	}
	for _, w := range tr.Windows {
		if !w.Explained || w.Computed != w.Published {
			h.t.Errorf("%s %v: published %s, computed %s of %d minutes: %+v", w.Statistic, w.Start, w.Published, w.Computed, w.Minutes, w.Frames)
		}
	}
	return tr
}

func TestTracePoint(t *testing.T) {
	h := newHour(t)
	point := func(stat telemetry.Statistic, at time.Time, rev int) *Trace {
		return h.trace(TraceOptions{MN: h.mn, Factor: "w01018", Stat: stat, Time: at, Rev: rev})
	}
	first, newest := point(telemetry.StatHour, h.t0, 0), point(telemetry.StatHour, h.t0, -1)
	if first.Windows[0].Minutes != 59 || newest.Windows[0].Minutes != 59 || first.Windows[0].Computed == newest.Windows[0].Computed {
		t.Errorf("hour: first %+v, newest %+v", first.Windows[0], newest.Windows[0])
	}
	yes, no := counted(newest.Windows[0])
	if len(yes) != 57+1+2 || len(no) != 120-2+2 { // records, a packet, minute 10's real-time values; the others, the D, the one again
		t.Errorf("%d counted, %d not:\n%s\n\n%s", len(yes), len(no), strings.Join(yes, "\n"), strings.Join(no, "\n"))
	}
	for _, want := range []string{`marked "D": not valid`, "duplicate: the frame came before; ignored", "its minute has no value", "the minute record counts instead"} {
		if !slices.ContainsFunc(no, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("no value is left out because: %s", want)
		}
	}
	if !slices.ContainsFunc(yes, func(s string) bool { return strings.Contains(s, "packet 2 of a set") }) {
		t.Errorf("the packet is not counted: %q", yes)
	}
	for _, u := range newest.Windows[0].Frames {
		if name := fmt.Sprintf("minute %d", int(u.Time.Sub(h.t0).Minutes())); u.CN == "2051" && u.Counted && u.Why == "" && string(u.Frame) != string(h.sent[name]) {
			t.Errorf("%s: frame %q, sent %q", name, u.Frame, h.sent[name])
		}
		if u.Peer != "192.0.2.1:40001" {
			t.Errorf("peer %q", u.Peer)
		}
	}
	for _, c := range []struct {
		stat telemetry.Statistic
		at   time.Time
	}{{telemetry.StatMinute, h.t0.Add(10 * time.Minute)}, {telemetry.StatMinute, h.t0.Add(15 * time.Minute)}, {telemetry.StatRolling1, h.t0.Add(40 * time.Minute)},
		{telemetry.StatRolling24, h.t0.Add(40 * time.Minute)}, {telemetry.StatInstant, h.t0.Add(30 * time.Second)}} {
		if tr := point(c.stat, c.at, -1); len(tr.Windows) != 1 || tr.Windows[0].Minutes == 0 || tr.Windows[0].Statistic != c.stat {
			t.Errorf("%s: %+v", c.stat, tr)
		}
	}
	_, err := TraceOutput(t.Context(), h.cluster, TraceOptions{MN: h.mn, Factor: "w01018", Stat: telemetry.StatHour, Time: h.t0.Add(time.Minute), Rev: -1})
	if !errors.Is(err, ErrNotPublished) {
		t.Errorf("a point that is not there: %v", err)
	}
}

func TestTraceAlarm(t *testing.T) {
	h := newHour(t)
	id := ""
	err := eachPublished(t.Context(), h.cluster, telemetry.TopicAlarms, nil, time.Time{}, func(p published) { id = valueOf(jsonFields(p.Value), "id") })
	if err != nil || id == "" {
		t.Fatal(id, err)
	}
	at := func(minutes ...int) (list []time.Time) {
		for _, m := range minutes {
			list = append(list, h.t0.Add(time.Duration(m)*time.Minute))
		}
		return list
	}
	for _, c := range []struct {
		event telemetry.AlarmState
		want  []time.Time
	}{{"", at(20, 21)}, {telemetry.AlarmRaised, at(20, 21)}, {telemetry.AlarmCleared, at(21, 23, 24)}} {
		tr := h.trace(TraceOptions{Alarm: id, Event: c.event})
		var got []time.Time
		for _, w := range tr.Windows {
			got = append(got, w.Start)
			if yes, _ := counted(w); len(yes) != 1 {
				t.Errorf("%s window %v: counted %q", c.event, w.Start, yes)
			}
		}
		if !slices.EqualFunc(got, c.want, time.Time.Equal) || len(tr.Events) != 2 || tr.EntryKind != "frame" {
			t.Errorf("%s: windows %v, want %v; %+v", c.event, got, c.want, tr.Events)
		}
	}
	if _, err := TraceOutput(t.Context(), h.cluster, TraceOptions{Alarm: "0123456789abcdef"}); !errors.Is(err, ErrNotPublished) {
		t.Errorf("an alarm that is not there: %v", err)
	}
}

// A relay stands between clients and the broker's socket and notes every kind of request that passes.
type relay struct {
	listener net.Listener
	broker   string // socket
	mu       sync.Mutex
	sent     map[kmsg.Key]bool // guarded by mu
}

func (r *relay) serve() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", r.broker)
		if err != nil {
			client.Close()
			continue
		}
		go func() { defer client.Close(); _, _ = io.Copy(client, server) }()
		go func() { defer server.Close(); r.requests(client, server) }()
	}
}

// requests passes requests on: each is its size, and then the number of its kind first of all.
func (r *relay) requests(client io.Reader, server io.Writer) {
	for {
		var head [6]byte
		if _, err := io.ReadFull(client, head[:]); err != nil {
			return
		}
		r.mu.Lock()
		r.sent[kmsg.Key(binary.BigEndian.Uint16(head[4:]))] = true
		r.mu.Unlock()
		if _, err := server.Write(head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(server, client, int64(binary.BigEndian.Uint32(head[:]))-2); err != nil {
			return
		}
	}
}

// A replay and a trace can't notify anyone, nor disturb a worker: they ask, read, and write nothing.
func TestLookingBackWritesNothing(t *testing.T) {
	h := newHour(t)
	r := &relay{broker: h.broker.Socket(), sent: map[kmsg.Key]bool{}}
	through := filepath.Join(filepath.Dir(r.broker), "relay.sock")
	var err error
	if r.listener, err = net.Listen("unix", through); err != nil {
		t.Fatal(err)
	}
	defer r.listener.Close()
	go r.serve()
	cluster := broker.Dial(bedConfig(), through)
	if _, err := Replay(t.Context(), cluster, ReplayOptions{Out: t.TempDir(), Compare: true, Group: DefaultConfig().Group}); err != nil {
		t.Fatal(err)
	}
	if _, err := Replay(t.Context(), cluster, ReplayOptions{Out: t.TempDir(), AsOf: h.late}); err != nil {
		t.Fatal(err)
	}
	if _, err := TraceOutput(t.Context(), cluster, TraceOptions{MN: h.mn, Factor: "w01018", Stat: telemetry.StatHour, Time: h.t0, Rev: -1}); err != nil {
		t.Fatal(err)
	}
	asks := []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata, kmsg.ListOffsets, kmsg.Fetch, kmsg.FindCoordinator, kmsg.OffsetFetch, kmsg.OffsetForLeaderEpoch,
		kmsg.GetTelemetrySubscriptions, kmsg.PushTelemetry} // the last two: the client's own metrics
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.sent {
		if !slices.Contains(asks, key) {
			t.Errorf("a request %s was sent", key.Name())
		}
	}
	if !r.sent[kmsg.Fetch] || !r.sent[kmsg.OffsetFetch] {
		t.Errorf("only %v was sent: the test watches the wrong clients", r.sent)
	}
}
