package tcp

import (
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/rs/zerolog"

	"outfall/ingest"
)

// OnOpen implements gnet.EventHandler, in the event loop that the connection was given to.
func (s *Server) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	cn := gc.Context().(*conn)
	now := time.Now()
	cn.gc, cn.loop, cn.lastRead, cn.opened = gc, s.loopOf(gc.EventLoop()), s.since(now), true
	cn.sess = s.intake.Open(*cn.peer, now, cn)
	cn.remote, cn.peer = cn.peer.Addr, nil
	cn.loop.add(cn)
	return nil, gnet.None
}

func (s *Server) loopOf(ev gnet.EventLoop) *loop {
	s.mu.RLock()
	l := s.loops[ev]
	s.mu.RUnlock()
	if l == nil { // only this event loop's goroutine asks for it, so nobody else makes it meanwhile
		l = &loop{srv: s, ev: ev}
		s.mu.Lock()
		s.loops[ev] = l
		s.mu.Unlock()
	}
	return l
}

// OnTraffic implements gnet.EventHandler: there are new bytes.
func (s *Server) OnTraffic(gc gnet.Conn) gnet.Action {
	cn := gc.Context().(*conn)
	cn.lastRead = s.now()
	var cause ingest.Cause
	if cn.wait != waitNone {
		cause = cn.loop.account(cn)
	} else if cause = cn.loop.feed(cn, false); cause == 0 {
		cn.loop.await(cn)
	}
	if cause == 0 {
		return gnet.None
	}
	cn.cause = cause
	return gnet.Close // not EventLoop.Close: gnet goes on with the connection's buffers after this callback
}

// OnClose implements gnet.EventHandler: the inbound buffer is still there, the socket takes nothing any more.
func (s *Server) OnClose(gc gnet.Conn, _ error) gnet.Action {
	cn := gc.Context().(*conn)
	switch {
	case cn.cause != 0:
	case s.stopping.Load():
		cn.cause = ingest.CauseShutdown
	default:
		cn.cause = ingest.CausePeer
	}
	cn.closed = true
	unread := gc.InboundBuffered()
	now := time.Now()
	if unread > 0 && cn.cause != ingest.CauseGarbage && cn.cause != ingest.CauseBacklog {
		if buf, err := gc.Peek(-1); err == nil {
			n, _ := cn.sess.Feed(buf, now, true)
			unread -= n
		}
	}
	cn.loop.remove(cn)
	s.backlog.Add(-int64(cn.buffered))
	s.forget(cn.from, false)
	cn.sess.Close(cn.cause, unread, now)
	s.log.Debug().Str("remote", cn.remote).Stringer("cause", cn.cause).Msg("connection closed")
	return gnet.None
}

// gnetLog passes on what gnet says of itself. Its start and stop messages are details here.
type gnetLog struct{ log zerolog.Logger }

func (g gnetLog) Debugf(format string, args ...any) { g.log.Trace().Msgf("gnet: "+format, args...) }
func (g gnetLog) Infof(format string, args ...any)  { g.log.Debug().Msgf("gnet: "+format, args...) }
func (g gnetLog) Warnf(format string, args ...any)  { g.log.Warn().Msgf("gnet: "+format, args...) }
func (g gnetLog) Errorf(format string, args ...any) { g.log.Error().Msgf("gnet: "+format, args...) }
func (g gnetLog) Fatalf(format string, args ...any) {
	g.log.Error().Msgf("gnet: fatal: "+format, args...)
}
