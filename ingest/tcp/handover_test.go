package tcp

import (
	"context"
	"crypto/tls"
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
	// One more process that stays shares the port with it by the kernel's hash again.
	beside := open(address)
	here, there := current.in.Stats().Journaled, beside.in.Stats().Journaled
	waitFor(t, "both processes to get connections", func() bool {
		return current.in.Stats().Journaled > here+100 && beside.in.Stats().Journaled > there+100
	})
	cancel()
	devices.Wait()
}

// What a pace holds back in the kernel's queue is served before the listener is closed, for that resets the queue.
func TestHandOverOfAQueue(t *testing.T) {
	a := newAuthority(t)
	_, config := withTLS(t, a, func(_ *ingest.Config, c *Config) {
		c.ReusePort, c.HandoverTime, c.TLS.HandshakeRate = true, time.Second, 1
	})
	r := startLight(t, config)
	address := r.srv.TLSAddr().String()
	var waiting []net.Conn
	for range 8 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		waiting = append(waiting, c)
	}
	var devices sync.WaitGroup
	for i, raw := range waiting {
		devices.Go(func() {
			c := tls.Client(raw, &tls.Config{RootCAs: a.pool, ServerName: "gateway"})
			if err := exchange(c, upload(mn1, "123456", i)); err != nil {
				t.Errorf("device %d: ended before its first ack: %v", i, err)
			}
		})
	}
	next := startLight(t, func(i *ingest.Config, c *Config) {
		config(i, c)
		c.TLS.Listen = address
	})
	r.stop()
	devices.Wait()
	if n := next.in.Stats().Journaled; n != 0 {
		t.Errorf("%d frames came to the newer process, want them where their connections waited", n)
	}
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
