package bench

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// start of most tests: 10:20:30 of UTC+8, so that no period ends in the moment itself.
var testStart = time.Date(2026, 3, 5, 2, 20, 30, 0, time.UTC)

func waterDevice() telemetry.Device {
	return telemetry.Device{MN: "010000A8900016F000169DC0", PW: "654321", Outlet: "W02", Medium: "water", MinuteInterval: 10,
		RealtimeInterval: 30, OfflineAfter: 600}
}

func gasDevice() telemetry.Device {
	d := waterDevice()
	d.MN, d.Outlet, d.Medium, d.MinuteInterval = "010000A8900016F000169DC1", "G01", "gas", 1
	return d
}

func oldDevice() telemetry.Device {
	d := waterDevice()
	d.MN, d.Outlet = "88888880000001", "W20"
	return d
}

// A received frame as the host decoded it.
type received struct {
	raw      string
	conn     int
	qn, cn   string
	flag     hj212.FrameFlag
	dataTime string
	at       time.Time
}

// A host is the other side by the standard: it answers 9014 to every sound frame whose Flag asks for it, unless policy says otherwise.
type host struct {
	// policy decides about the n-th sound frame, from 0; nil: always answer.
	policy func(n int, r received) (answer, hangUp bool)

	mu      sync.Mutex // guards the rest
	frames  []received
	faults  map[hj212.Reason]int
	conns   int
	stopped bool
	wg      sync.WaitGroup
}

func (h *host) serve(conn net.Conn) {
	defer h.wg.Done()
	defer conn.Close()
	h.mu.Lock()
	h.conns++
	id := h.conns
	h.mu.Unlock()
	framer := hj212.Framer{}
	var buf []byte
	chunk := make([]byte, 32<<10)
	for {
		n, err := conn.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for {
			fr, size, bad := framer.Next(buf, err != nil)
			if size == 0 {
				break
			}
			if !h.take(conn, id, fr, bad) {
				return
			}
			buf = buf[size:]
		}
		if err != nil {
			return
		}
	}
}

func (h *host) take(conn net.Conn, id int, fr hj212.Frame, bad error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if pe, ok := errors.AsType[*hj212.ParseError](bad); ok {
		if h.faults == nil {
			h.faults = map[hj212.Reason]int{}
		}
		h.faults[pe.Reason]++
		return true
	}
	var m hj212.Message
	if m.Parse(fr.Data) != nil {
		return true
	}
	r := received{string(fr.Raw), id, string(m.QN), string(m.CN), m.Flag, string(m.DataTime), time.Now()}
	answer, hangUp := true, false
	if h.policy != nil {
		answer, hangUp = h.policy(len(h.frames), r)
	}
	h.frames = append(h.frames, r)
	if hangUp {
		return false
	}
	if answer && m.HasFlag && m.Flag.WantAck() {
		ack := hj212.AppendDataAck(nil, &m, hj212.DialectHJ)
		h.mu.Unlock()
		_, err := conn.Write(ack)
		h.mu.Lock()
		return err == nil
	}
	return true
}

func (h *host) seen() []received {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]received(nil), h.frames...)
}

// dial connects in memory, so that a test can run in virtual time.
func (h *host) dial(context.Context, string) (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return nil, errors.New("host is down")
	}
	near, far := net.Pipe()
	h.wg.Add(1)
	go h.serve(far)
	return near, nil
}

// play runs a logger of d against h for so long, from start on, and returns it with the frames that were acknowledged.
func play(t *testing.T, h *host, d telemetry.Device, b Behaviour, change func(*Config), long time.Duration) (*Logger, []string) {
	t.Helper()
	var acked []string
	cfg := DefaultConfig()
	cfg.Addr, cfg.Dial, cfg.Devices = "memory", h.dial, []telemetry.Device{d}
	cfg.OnAcked = func(f []byte) { acked = append(acked, string(f)) }
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	l := NewLogger(NewProfile(d, b), cfg)
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	if err := l.Run(ctx, time.Now()); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	h.wg.Wait()
	return l, acked
}

func count(frames []received, cn string) (n int) {
	for _, r := range frames {
		if r.cn == cn {
			n++
		}
	}
	return n
}

// parse decodes one whole frame strictly.
func parse(t *testing.T, frame []byte) *hj212.Message {
	t.Helper()
	fr, size, err := hj212.Framer{MaxData: 9999}.Next(frame, true)
	if err != nil || size != len(frame) {
		t.Fatalf("Next(%q) = size %d of %d, %v", frame, size, len(frame), err)
	}
	m := new(hj212.Message)
	if err := m.Parse(fr.Data); err != nil {
		t.Fatalf("Parse(%q): %v", fr.Data, err)
	}
	return m
}

func text(frames []received) string {
	var b strings.Builder
	for _, r := range frames {
		b.WriteString(r.raw)
	}
	return b.String()
}
