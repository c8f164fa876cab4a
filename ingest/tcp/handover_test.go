package tcp

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outfall/ingest"
)

// Two hand-overs of a port under a stream of new connections: none is refused, none is reset before its first ack. The second one shows
// that the first has left nothing behind that steers connections to a socket that is gone.
func TestHandOver(t *testing.T) {
	open := func(address string) *rig {
		return startLight(t, func(_ *ingest.Config, c *Config) {
			c.Listen, c.ReusePort, c.HandoverTime = address, true, 300*time.Millisecond
		})
	}
	current := open("127.0.0.1:0")
	address := current.srv.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var acked atomic.Int64
	var devices sync.WaitGroup
	for range 8 {
		devices.Go(func() {
			for ctx.Err() == nil {
				c, err := net.DialTimeout("tcp", address, patience)
				if err != nil {
					t.Errorf("refused: %v", err)
					return
				}
				if err := exchange(c, upload(mn1, "123456", int(acked.Add(1)))); err != nil {
					t.Errorf("ended before its first ack: %v", err)
				}
				c.Close()
			}
		})
	}
	for range 2 {
		next := open(address)
		before := acked.Load()
		waitFor(t, "connections", func() bool { return acked.Load() > before+100 })
		current.stop()
		before, taken := acked.Load(), next.in.Stats().Journaled
		waitFor(t, "connections after the hand-over", func() bool { return acked.Load() > before+100 && next.in.Stats().Journaled > taken+100 })
		current = next
	}
	cancel()
	devices.Wait()
}

// A port that is not shared stays with who has it.
func TestPortNotShared(t *testing.T) {
	r := startLight(t, nil)
	cfg := DefaultConfig()
	cfg.Listen, cfg.ReusePort = r.srv.Addr().String(), true
	if ln, err := listen(&cfg, cfg.Listen); err == nil {
		ln.Close()
		t.Error("a second process took the port")
	}
}
