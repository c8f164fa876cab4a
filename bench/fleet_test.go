package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"outfall/telemetry"
)

// listen serves h over loopback TCP until the test ends.
func listen(t *testing.T, h *host) string {
	t.Helper()
	return listenOn(t, h, "127.0.0.1:0")
}

func listenOn(t *testing.T, h *host, addr string) string {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			h.wg.Add(1)
			go h.serve(conn)
		}
	}()
	t.Cleanup(func() { ln.Close(); <-ended; h.wg.Wait() })
	return ln.Addr().String()
}

func TestFleetOverTCP(t *testing.T) {
	h := &host{}
	cfg := DefaultConfig()
	cfg.Addr, cfg.Ramp, cfg.BackoffMax = listen(t, h), 50*time.Millisecond, 160*time.Millisecond
	for i, d := range []telemetry.Device{waterDevice(), gasDevice(), oldDevice(), waterDevice(), waterDevice()} {
		if i > 2 {
			d.MN = fmt.Sprintf("010000A8900016F00000000%d", i)
			d.Outlet = [...]string{3: "W25", 4: "W26"}[i]
		}
		d.MinuteInterval = 10
		cfg.Devices = append(cfg.Devices, d)
	}
	var file bytes.Buffer
	ledger := NewLedger(&file)
	cfg.OnAcked = ledger.Add
	f, err := NewFleet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, testStart) }()
	for f.Stats().Backfilled < int64(f.Size()) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	s := f.Stats()
	if s.Backfilled != int64(f.Size()) || s.Connections != 0 || s.Acked != ledger.Len() {
		t.Fatalf("stats %+v, ledger of %d, last fault %v", s, ledger.Len(), f.Fault())
	}
	if err := ledger.Flush(); err != nil {
		t.Fatal(err)
	}
	acked, err := ReadLedger(&file)
	if err != nil || int64(len(acked)) != s.Acked {
		t.Fatalf("ReadLedger = %d frames, %v; want %d", len(acked), err, s.Acked)
	}
	for _, r := range h.seen() {
		delete(acked, DigestOf([]byte(r.raw)))
	}
	if len(acked) != 0 {
		t.Errorf("%d frames were told as acked that the host never had", len(acked))
	}
}

func TestReadLedgerNamesTheLine(t *testing.T) {
	good := strings.Repeat("ab", 32) + "\n"
	for _, bad := range []string{"abc", strings.Repeat("xy", 32)} {
		if _, err := ReadLedger(strings.NewReader(good + bad)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("ReadLedger(%q) = %v, want line 2 named", bad, err)
		}
	}
}

func TestConfigFaultsAllAtOnce(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Devices = []telemetry.Device{waterDevice(), waterDevice(), {}}
	cfg.Window, cfg.OverTime, cfg.BackfillHours, cfg.RealtimeInterval, cfg.Behaviours = 0, 0, 721, time.Millisecond, map[string]Behaviour{"W09": 9}
	_, err := NewFleet(cfg)
	for _, want := range []string{"addr:", "twice", "devices[2]: mn:", "window:", "over_time:", "backfill_hours:", "realtime_interval:", "W09"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %q: %v", want, err)
		}
	}
}

func TestPlayCorpus(t *testing.T) {
	h := &host{policy: func(n int, _ received) (bool, bool) { return true, n == 2 }}
	addr := listen(t, h)
	s := testScript(waterDevice(), Bad)
	var frames [][]byte
	for i := range 4 {
		frames = append(frames, s.instant(testStart.Add(time.Duration(i)*time.Second)).frame)
	}
	frames = append(frames, s.bad(BadCRC, testStart, testStart).frame)
	p, err := PlayCorpus(t.Context(), addr, frames)
	// The fourth frame may be on its way when the close after the third is noticed: then it is one reply less.
	if err != nil || p.Sent != 5 || p.Connections != 2 || p.Replies < 2 || p.Replies > 3 {
		t.Errorf("PlayCorpus = %+v, %v, want 5 sent over 2 connections with 2 or 3 replies", p, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := PlayCorpus(ctx, addr, frames); err == nil {
		t.Error("PlayCorpus with an ended context: no error")
	}
}

// A host that is started again refuses connections for a moment: the corpus waits for it, as real loggers do.
func TestPlayCorpusOverARestart(t *testing.T) {
	before, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := before.Addr().String()
	before.Close()
	type result struct {
		Played
		err error
	}
	done := make(chan result, 1)
	s := testScript(waterDevice(), Bad)
	go func() {
		p, err := PlayCorpus(t.Context(), addr, [][]byte{s.instant(testStart).frame})
		done <- result{p, err}
	}()
	time.Sleep(2 * playRedial)
	listenOn(t, &host{}, addr)
	if r := <-done; r.err != nil || r.Sent != 1 || r.Replies != 1 {
		t.Errorf("PlayCorpus = %+v, %v, want 1 sent and answered", r.Played, r.err)
	}
}
