package tcp

import (
	"context"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/ingest"
)

// unread is a registry that was not read yet, so that every connection's bytes wait.
type unread struct{}

func (unread) Lookup([]byte) *ingest.Device { return nil }
func (unread) Loaded() bool                 { return false }

// fakeConn and fakeEvents are the little of gnet that a loop needs.
type fakeConn struct {
	gnet.Conn
	cn      *conn
	inbound []byte
}

func (c *fakeConn) Context() any             { return c.cn }
func (c *fakeConn) Peek(int) ([]byte, error) { return c.inbound, nil }
func (c *fakeConn) InboundBuffered() int     { return len(c.inbound) }
func (c *fakeConn) OutboundBuffered() int    { return 0 }
func (c *fakeConn) Discard(n int) (int, error) {
	c.inbound = c.inbound[n:]
	return n, nil
}
func (c *fakeConn) Write(b []byte) (int, error) { return len(b), nil }

type fakeEvents struct {
	gnet.EventLoop
	srv *Server
}

func (e fakeEvents) Execute(context.Context, gnet.Runnable) error { return nil }

func (e fakeEvents) Close(c gnet.Conn) error {
	e.srv.OnClose(c, nil)
	return nil
}

// A waiting connection that is closed at its turn, because all connections together hold too much, takes no other one out of the queue.
func TestWaitingConnectionClosedAtItsTurn(t *testing.T) {
	srv := &Server{cfg: DefaultConfig(), log: zerolog.Nop(), epoch: time.Now()}
	srv.door = newDoor(&srv.cfg, srv.epoch)
	srv.streams.waiters = &srv.waiters
	srv.intake = ingest.NewIntake(ingest.DefaultConfig(), unread{}, nil, nil, prometheus.NewRegistry(), zerolog.Nop())
	l := &loop{srv: srv, ev: fakeEvents{srv: srv}}
	open := func() *conn {
		cn := &conn{loop: l, lastRead: srv.now()}
		gc := &fakeConn{cn: cn, inbound: []byte("##0")}
		cn.gc, cn.sess = gc, srv.intake.Open(ingest.Peer{Addr: "192.0.2.1:4000"}, time.Now(), cn)
		l.add(cn)
		srv.live.Add(1)
		if srv.OnTraffic(gc) != gnet.None || cn.wait != waitRoom {
			t.Fatal("a connection without room does not wait")
		}
		return cn
	}
	var conns []*conn
	for range 40 {
		conns = append(conns, open())
	}
	for _, cn := range conns[1:30] { // their peers close them
		srv.OnClose(cn.gc, nil)
	}
	srv.backlog.Add(srv.cfg.MaxBacklogTotalBytes) // another loop's connections
	l.takeWaiting()
	if srv.backlog.Add(-srv.cfg.MaxBacklogTotalBytes) != 0 || srv.live.Load() != 0 {
		t.Fatalf("%d connections with %d bytes are left, want none", srv.live.Load(), srv.backlog.Load())
	}

	late := open()
	l.takeWaiting()
	if len(l.waiting) != 1 || l.waiting[0] != late || srv.waiters.Load() != 1 {
		t.Fatalf("%d connections wait, %d are counted, want one", len(l.waiting), srv.waiters.Load())
	}
}

// late is a registry that is read when a test says so.
type late struct {
	known
	loaded bool
}

func (l *late) Loaded() bool { return l.loaded }

// The journal was away for longer than the idle timeout: the devices that waited for it are not closed as idle when it is back.
func TestConnectionIsNotIdleAfterAWait(t *testing.T) {
	srv := &Server{cfg: DefaultConfig(), log: zerolog.Nop(), epoch: time.Now().Add(-24 * time.Hour)}
	srv.door = newDoor(&srv.cfg, srv.epoch)
	srv.streams.waiters = &srv.waiters
	reg, pub := &late{known: newKnown()}, newShelf()
	defer pub.close()
	srv.intake = ingest.NewIntake(ingest.DefaultConfig(), reg, pub, nil, prometheus.NewRegistry(), zerolog.Nop())
	l := &loop{srv: srv, ev: fakeEvents{srv: srv}}
	cn := &conn{loop: l}
	gc := &fakeConn{cn: cn, inbound: []byte("##0")}
	cn.gc, cn.sess = gc, srv.intake.Open(ingest.Peer{Addr: "192.0.2.1:4000"}, time.Now(), cn)
	l.add(cn)
	srv.live.Add(1)
	srv.OnTraffic(gc)
	if cn.wait != waitRoom {
		t.Fatal("a connection without room does not wait")
	}
	cn.lastRead = 0 // a day ago
	l.expire(srv.now())
	reg.loaded = true
	l.expire(srv.now())
	if l.expire(srv.now()); cn.closed || cn.wait != waitNone || len(gc.inbound) != 3 {
		t.Errorf("closed %v by %q, wait %d, %d bytes kept: want a connection that goes on with its half frame", cn.closed, cn.cause, cn.wait, len(gc.inbound))
	}
}

// A stream that waited for longer than the idle timeout is not idle when its wait ends.
func TestStreamIsNotIdleAfterAWait(t *testing.T) {
	srv := &Server{cfg: DefaultConfig(), log: zerolog.Nop(), epoch: time.Now()}
	pub := newShelf()
	defer pub.close()
	srv.streams.waiters, srv.streams.waiting = &srv.waiters, map[*stream]struct{}{}
	srv.intake = ingest.NewIntake(ingest.DefaultConfig(), newKnown(), pub, nil, prometheus.NewRegistry(), zerolog.Nop())
	st := &stream{srv: srv, wait: waitRoom, lastRead: time.Now().Add(-24 * time.Hour), buf: []byte("##0")}
	st.sess = srv.intake.Open(ingest.Peer{Addr: "192.0.2.1:4000"}, time.Now(), st)
	st.expire(time.Now()) // it is offered its room
	if st.expire(time.Now()); st.cause != 0 || st.wait != waitNone || len(st.buf) != 3 {
		t.Errorf("cause %q, wait %d, %d bytes kept: want a stream that goes on with its half frame", st.cause, st.wait, len(st.buf))
	}
}
