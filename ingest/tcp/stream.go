package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"sync"
	"time"

	"outfall/ingest"
)

// chunk is what one read takes from a TLS connection, in bytes.
const chunk = 4 << 10

// A stream is one TLS connection. Its session belongs to the goroutine of run; another one reads, and only what run asks for, so that a
// device whose frames have no place is held back by its own kernel.
type stream struct {
	srv    *Server
	c      *tls.Conn
	sess   *ingest.Session
	remote string
	sending
	wake chan struct{} // a token when queue has tasks, or when there may be room in the journal

	mu    sync.Mutex // guards the two below; only Session.Settle is called under it
	queue []job
	ended bool // run is over: completions are settled by who brings them

	// Owned by run.
	buf      []byte    // taken from c, not from here
	lastRead time.Time // last bytes, or the end of the last wait
	wait     wait
	cause    ingest.Cause // why it ends; zero: it goes on
}

// A reading is what the reader brings.
type reading struct {
	data []byte // the reader's until the next grant
	err  error
}

// Completed implements ingest.Line.
func (st *stream) Completed(c *ingest.Completion) {
	st.push(job{c: c})
	st.srv.roomMade()
}

// Send implements ingest.Line.
func (st *stream) Send(frame []byte) { st.push(st.sent(frame, st.srv.cfg.MaxOutboundBytes)) }

// Hangup implements ingest.Line.
func (st *stream) Hangup(cause ingest.Cause) { st.push(job{hangup: cause}) }

func (st *stream) push(j job) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case !st.ended:
		st.queue = append(st.queue, j)
		st.kick()
	case j.c != nil:
		st.sess.Settle(j.c)
	}
}

// kick lets run look around.
func (st *stream) kick() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// serve encrypts a connection and runs its session to the end. ctx ends the handshake only: a session ends by Hangup.
func (s *Server) serve(ctx context.Context, e *entrant) {
	c := tls.Server(e.c, s.identity.config(time.Now()))
	shake, cancel := context.WithTimeout(ctx, s.cfg.TLS.HandshakeTimeout)
	err := c.HandshakeContext(shake)
	cancel()
	if err != nil {
		s.dismiss(e, refusedHandshake, err)
		return
	}
	e.peer.Certs = names(c.ConnectionState())
	now := time.Now()
	st := &stream{srv: s, c: c, remote: e.peer.Addr, lastRead: now, wake: make(chan struct{}, 1)}
	st.sess = s.intake.Open(e.peer, now, st)
	s.streams.add(st)
	st.run()
	s.streams.remove(st)
	s.forget(e.from, e.tls)
}

// run drives the session until it ends by either side, then closes the connection.
func (st *stream) run() {
	grant, readings := make(chan struct{}, 1), make(chan reading, 1)
	var reader sync.WaitGroup
	reader.Go(func() { st.read(grant, readings) })
	timer := time.NewTimer(st.pause(st.lastRead))
	defer timer.Stop()
	granted := false
	for st.cause == 0 {
		if !granted && st.wait == waitNone {
			grant <- struct{}{}
			granted = true
		}
		select {
		case r := <-readings:
			granted = false
			st.take(r)
		case <-st.wake:
			st.drain()
		case <-timer.C:
			st.expire(time.Now())
		}
		timer.Reset(st.pause(time.Now()))
	}
	close(grant)
	st.end()
	reader.Wait()
}

// read brings one reading for each grant until one fails.
func (st *stream) read(grant <-chan struct{}, readings chan<- reading) {
	buf := make([]byte, chunk)
	for range grant {
		n, err := st.c.Read(buf)
		readings <- reading{buf[:n], err}
		if err != nil {
			return
		}
	}
}

// take feeds what was read. What the session leaves is kept here: less than a frame, or less than a frame and a chunk while it waits.
func (st *stream) take(r reading) {
	if len(r.data) > 0 {
		st.lastRead = time.Now()
		if len(st.buf) == 0 {
			st.feed(r.data, false)
		} else {
			st.feed(append(st.buf, r.data...), false)
		}
	}
	if r.err != nil && st.cause == 0 {
		st.cause = ingest.CausePeer
	}
}

// feed offers data, which is st.buf or begins with it, to the session and keeps the rest.
func (st *stream) feed(data []byte, eof bool) {
	n, state := st.sess.Feed(data, time.Now(), eof)
	before := len(st.buf)
	if n == len(data) {
		st.buf = nil // an idle connection keeps none
	} else {
		st.buf = append(st.buf[:0], data[n:]...)
	}
	st.srv.backlog.Add(int64(len(st.buf) - before))
	st.wait = waitNone
	switch state {
	case ingest.StateGarbage:
		st.cause = ingest.CauseGarbage
	case ingest.StateFull:
		st.wait = waitRoom
	case ingest.StateUnacked:
		st.wait = waitAcks
	}
	st.srv.streams.noteWait(st, st.wait == waitRoom)
}

// drain does what others asked for, writes what the device is owed, and goes on with bytes that waited.
func (st *stream) drain() {
	st.mu.Lock()
	queue := st.queue
	st.queue = nil
	st.mu.Unlock()
	var hangup ingest.Cause
	for _, j := range queue {
		switch {
		case j.c != nil:
			st.sess.Settle(j.c)
		case j.frame != nil:
			st.release(j)
			st.sess.Queue(j.frame)
		case hangup == 0:
			hangup = j.hangup
		}
	}
	st.flush()
	if hangup != 0 && st.cause == 0 {
		st.cause = hangup
	}
	st.retry()
}

// retry offers waiting bytes again, and lets another stream try its luck if that went well.
func (st *stream) retry() {
	if st.cause != 0 || st.wait == waitNone {
		return
	}
	waited := st.wait
	st.lastRead = time.Now() // its device, which waits for an ack, had reason to be silent
	if st.feed(st.buf, false); waited == waitRoom && st.wait != waitRoom {
		st.srv.streams.roomMade()
	}
}

// flush writes acks and commands. A peer that does not take them in time is closed: TLS cannot go on behind half a record.
func (st *stream) flush() {
	_ = st.c.SetWriteDeadline(time.Now().Add(st.srv.cfg.TLS.WriteTimeout)) // its only error is a closed connection, which the write reports
	err := st.sess.FlushAcks(st.c)
	switch {
	case err == nil || st.cause != 0:
	case errors.Is(err, os.ErrDeadlineExceeded):
		st.cause = ingest.CauseSlowReader
	default:
		st.cause = ingest.CausePeer
	}
}

// pause is how long nothing is due, seen from now.
func (st *stream) pause(now time.Time) time.Duration {
	if st.wait != waitNone {
		return maxSweep // room may have come unnoticed, see Server.roomMade
	}
	cfg := &st.srv.cfg
	due := st.lastRead.Add(cfg.IdleTimeout)
	if login := st.sess.Opened().Add(cfg.LoginTimeout); !st.sess.Accepted() && login.Before(due) {
		due = login
	}
	if partial := st.lastRead.Add(cfg.PartialTimeout); len(st.buf) > 0 && partial.Before(due) {
		due = partial
	}
	return max(0, due.Sub(now))
}

// expire applies the timeouts as loop.expire does.
func (st *stream) expire(now time.Time) {
	if st.wait != waitNone {
		st.retry()
		return
	}
	cfg := &st.srv.cfg
	quiet := now.Sub(st.lastRead)
	if len(st.buf) > 0 && quiet >= cfg.PartialTimeout {
		st.feed(st.buf, true)
	}
	switch {
	case st.cause != 0 || st.wait != waitNone:
	case quiet >= cfg.IdleTimeout:
		st.cause = ingest.CauseIdle
	case !st.sess.Accepted() && now.Sub(st.sess.Opened()) >= cfg.LoginTimeout:
		st.cause = ingest.CauseLogin
	}
}

// end closes session and connection.
func (st *stream) end() {
	now := time.Now()
	if len(st.buf) > 0 && st.cause != ingest.CauseGarbage {
		cause := st.cause
		st.feed(st.buf, true)
		st.cause = cause
	}
	st.srv.streams.noteWait(st, false)
	st.srv.backlog.Add(int64(-len(st.buf)))
	st.sess.Close(st.cause, len(st.buf), now)
	if st.cause == ingest.CauseSlowReader {
		_ = st.c.NetConn().Close() // the alert of tls.Conn.Close would wait for the peer, too
	} else {
		_ = st.c.Close()
	}
	st.mu.Lock()
	st.ended = true
	for _, j := range st.queue {
		if j.c != nil {
			st.sess.Settle(j.c)
		}
	}
	st.queue = nil
	st.mu.Unlock()
	st.srv.log.Debug().Str("remote", st.remote).Stringer("cause", st.cause).Msg("connection closed")
}
