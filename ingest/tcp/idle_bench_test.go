package tcp

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/ingest"
)

// resident is this process's resident memory, in bytes.
func resident(tb testing.TB) int64 {
	tb.Helper()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// BenchmarkIdleSession holds connections of a fleet in another process, each of a device of its own that was heard once, and reports what
// one costs this process: live heap, and resident memory after the collector gave back what it could. The kernel's share is not in it.
func BenchmarkIdleSession(b *testing.B) {
	const conns = 8000
	for b.Loop() {
		r := startLight(b, func(_ *ingest.Config, c *Config) { c.MaxConnectionsPerAddress = 0 })
		r.shelf.mu.Lock()
		r.shelf.blind = true
		r.shelf.mu.Unlock()
		startFleet(b, r.srv.Addr().String(), 100)()
		waitFor(b, "the first fleet's end", func() bool { return r.srv.live.Load() == 0 })
		before, rss := heap(), resident(b)
		stop := startFleet(b, r.srv.Addr().String(), conns)
		if n := r.srv.live.Load(); n != conns {
			b.Fatalf("%d connections, want %d", n, conns)
		}
		b.ReportMetric(float64(heap()-before)/conns, "heap-B/session")
		b.ReportMetric(float64(resident(b)-rss)/conns, "rss-B/session")
		stop()
		r.stop()
	}
}

// BenchmarkStorm connects 8,000 devices at once, each with its first frame and ack, and drops them.
func BenchmarkStorm(b *testing.B) {
	r := startLight(b, nil)
	const conns = 8000
	for b.Loop() {
		for _, c := range storm(b, r, conns) {
			c.Close()
		}
		waitFor(b, "the sessions' end", func() bool { return r.srv.live.Load() == 0 })
	}
	b.ReportMetric(float64(b.N*conns)/b.Elapsed().Seconds(), "connects/s")
}

// BenchmarkExpire is the timers' pass over idle connections, once a second in each loop.
func BenchmarkExpire(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("conns=%d", n), func(b *testing.B) {
			r := startLight(b, nil)
			l := &loop{srv: r.srv}
			for range n {
				cn := &conn{loop: l}
				cn.sess = r.in.Open(ingest.Peer{Addr: "192.0.2.1:4000"}, time.Now(), cn)
				l.add(cn)
			}
			now := r.srv.now()
			for b.Loop() {
				l.expire(now)
			}
			for _, cn := range l.conns {
				cn.sess.Close(ingest.CausePeer, 0, time.Now())
			}
		})
	}
}

// handBack is a Publisher whose records are durable when complete is called.
type handBack struct{ done []func(error) }

func (p *handBack) Publish(_ ingest.Record, done func(error)) error {
	p.done = append(p.done, done)
	return nil
}

func (p *handBack) Flush(context.Context) error { return nil }

func (p *handBack) complete() {
	for _, done := range p.done {
		done(nil)
	}
	p.done = p.done[:0]
}

// BenchmarkAckPath is the way of a frame from OnTraffic to the written 9014 without sockets' and the journal's share: 1,000 connections
// have window frames each in every round.
func BenchmarkAckPath(b *testing.B) {
	for _, window := range []int{1, 8} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			r := startLight(b, nil)
			l := &loop{srv: r.srv, ev: fakeEvents{srv: r.srv}}
			pub := &handBack{}
			icfg := ingest.DefaultConfig()
			icfg.OneSession = ingest.PolicyOff
			in := ingest.NewIntake(icfg, newKnown(), pub, nil, prometheus.NewRegistry(), zerolog.Nop())
			frame := []byte(strings.Repeat(upload(mn1, "123456", 1), window))
			var conns []*fakeConn
			for range 1000 {
				cn := &conn{loop: l}
				gc := &fakeConn{cn: cn, inbound: frame}
				cn.gc, cn.sess = gc, in.Open(ingest.Peer{Addr: "192.0.2.1:4000"}, time.Now(), cn)
				l.add(cn)
				conns = append(conns, gc)
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, gc := range conns {
					gc.inbound = frame
					r.srv.OnTraffic(gc)
				}
				pub.complete()
				l.drain()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000*window), "ns/frame")
		})
	}
}
