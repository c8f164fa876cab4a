package tcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"outfall/ingest"
)

const (
	// Back-off of an accept loop: EMFILE passes when connections end.
	minAcceptPause, maxAcceptPause = 5 * time.Millisecond, time.Second
	// maxAwaited bounds the connections of load balancers whose PROXY header is being read, each by a goroutine.
	maxAwaited = 1024
)

// An entrant is a connection on its way from the accept to its session.
type entrant struct {
	c    *net.TCPConn
	peer ingest.Peer
	from addressKey // what Server.dismiss gives back to the door
	tls  bool       // it counts in Server.encrypted
	pace *pacer     // the listener's, beside the server's
}

// accept takes connections from ln until it is closed or its deadline has passed. own is the listener's pace beside the server's; nil: none.
// From the end of paced on there is no pace.
func (s *Server) accept(ctx, paced context.Context, ln *net.TCPListener, own *pacer) {
	var pause time.Duration
	for {
		s.pace.wait(paced)
		own.wait(paced)
		c, err := ln.AcceptTCP()
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err == nil {
			err = s.greet(ctx, c, ln != s.ln, own)
		}
		if err == nil {
			pause = 0
			continue
		}
		s.acceptErrors.Add(1)
		if pause == 0 {
			s.log.Error().Err(err).Msg("accept: backing off")
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		select {
		case <-ctx.Done(): // the listener is about to be closed
		case <-time.After(pause):
		}
	}
}

// greet counts a new connection and brings it to its session: at once, or on a goroutine when its peer must say something first.
func (s *Server) greet(ctx context.Context, c *net.TCPConn, encrypted bool, own *pacer) error {
	address, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok { // reset before the accept
		return c.Close()
	}
	remote := netip.AddrPortFrom(address.AddrPort().Addr().Unmap(), address.AddrPort().Port())
	e := &entrant{c: c, peer: ingest.Peer{Addr: remote.String(), TLS: encrypted}, tls: encrypted, pace: own}
	live := s.live.Add(1)
	if encrypted && s.encrypted.Add(1) > int64(s.cfg.TLS.MaxConnections) {
		s.dismiss(e, refusedTLS, nil)
		return nil
	}
	if live > s.limit {
		s.dismiss(e, refusedLimit, nil)
		return nil
	}
	proxied := contains(s.proxies, remote.Addr())
	if !proxied && !s.admit(e, remote.Addr()) {
		return nil
	}
	if !proxied && !encrypted {
		return s.enrol(e)
	}
	if !proxied {
		s.guests.Go(func() { s.serve(ctx, e) })
		return nil
	}
	select {
	case s.awaited <- struct{}{}:
		s.guests.Go(func() { s.introduce(ctx, e, remote) })
	default: // waiting for one of them would let slow headers hold up everybody else
		s.dismiss(e, refusedBusy, nil)
	}
	return nil
}

// admit asks the door.
func (s *Server) admit(e *entrant, a netip.Addr) bool {
	key, why := s.door.enter(a, time.Now())
	if why != 0 {
		s.dismiss(e, why, nil)
		return false
	}
	e.from = key
	return true
}

// introduce reads the PROXY header of a load balancer's connection and goes on with it as with one from the address in it.
func (s *Server) introduce(ctx context.Context, e *entrant, balancer netip.AddrPort) {
	source, err := s.readHeader(ctx, e.c)
	<-s.awaited
	if err != nil {
		s.dismiss(e, refusedProxy, err)
		return
	}
	if source.IsValid() {
		e.peer.Addr, e.peer.Via = source.String(), balancer.String()
		if !s.admit(e, source.Addr()) {
			return
		}
	}
	if e.tls {
		s.serve(ctx, e)
		return
	}
	if err := s.enrol(e); err != nil {
		s.log.Error().Err(err).Str("remote", e.peer.Addr).Msg("connection not taken")
	}
}

func (s *Server) readHeader(ctx context.Context, c *net.TCPConn) (netip.AddrPort, error) {
	if err := c.SetReadDeadline(time.Now().Add(s.cfg.ProxyTimeout)); err != nil {
		return netip.AddrPort{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	source, err := readProxyHeader(c)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if !stop() {
		return netip.AddrPort{}, ctx.Err()
	}
	return source, c.SetReadDeadline(time.Time{})
}

// enrol hands a connection to the event loop with the fewest. It waits until the loop has it, which limits the rate of accepts to what
// the loops bear.
func (s *Server) enrol(e *entrant) error {
	cn := &conn{peer: &e.peer, from: e.from}
	_, err := s.client.EnrollContext(e.c, cn)
	if cn.opened {
		return err
	}
	if err == nil { // gnet swallows an error of epoll_ctl
		err = errors.New("the event loop did not take the connection")
	}
	s.dismiss(e, refusedFault, nil)
	return err
}

// dismiss ends a connection that gets no session. cause is for the log; nil when the refusal says all. One that was turned away at the door
// has cost next to nothing and gives its place back: a flood from one address must not use up the pace of everybody's accepts.
func (s *Server) dismiss(e *entrant, why refusal, cause error) {
	s.refused[why].Add(1)
	switch why {
	case refusedLimit, refusedAddress, refusedRate, refusedBusy, refusedTLS:
		s.pace.giveBack()
		e.pace.giveBack()
	}
	s.forget(e.from, e.tls)
	_ = e.c.Close() // of what it could report, nobody has a use
	s.sampled.Warn().Err(cause).Str("remote", e.peer.Addr).Stringer("reason", why).Msg("connection refused")
}

// forget takes back what greet counted.
func (s *Server) forget(from addressKey, encrypted bool) {
	s.live.Add(-1)
	if encrypted {
		s.encrypted.Add(-1)
	}
	s.door.leave(from, time.Now())
}
