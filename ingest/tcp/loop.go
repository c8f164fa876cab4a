package tcp

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"outfall/ingest"
)

// maxSpare is the longest completion queue that is kept for use again.
const maxSpare = 4096

// A loop is what this package keeps for one gnet event loop.
type loop struct {
	srv *Server
	ev  gnet.EventLoop

	mu      sync.Mutex // guards the four below; a leaf: nothing is locked under it
	queue   []task
	armed   bool // Run is scheduled
	missed  int  // sweeps that were due since the one that is scheduled; 0: none is
	stopped bool // the engine is about to end: schedule nothing, gnet would write to a descriptor that may be another's by then

	waiters atomic.Int32 // len(waiting), for other goroutines

	// Owned by the event loop.
	spare   []task
	conns   []*conn
	due     []time.Duration // when the conn of the same index must be looked at, at the latest; since Server.epoch
	dirty   []*conn
	waiting []*conn // waitRoom, the longest first; closed ones among them
	dead    int     // so many of waiting are closed
}

// push queues a task and schedules a drain if none is.
func (l *loop) push(t task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, t)
	l.arm()
}

// kick schedules a drain if none is.
func (l *loop) kick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arm()
}

// arm is called with mu held.
func (l *loop) arm() {
	if l.armed || l.stopped {
		return
	}
	l.armed = l.schedule(l)
}

// schedule is called with mu held.
func (l *loop) schedule(r gnet.Runnable) bool {
	if err := l.ev.Execute(context.Background(), r); err != nil {
		l.srv.log.Error().Err(err).Msg("event loop takes no task")
		return false
	}
	return true
}

// sweep schedules the timers' work, unless the last one still waits: a loop that is stuck gets no heap of them. It returns for how
// many calls that has been so.
func (l *loop) sweep() (missed int) {
	due := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.missed == 0 && !l.stopped {
		l.schedule(gnet.RunnableFunc(func(context.Context) error {
			l.mu.Lock()
			l.missed = 0
			l.mu.Unlock()
			l.srv.noteLag(time.Since(due))
			l.expire(l.srv.now())
			return nil
		}))
	}
	l.missed++
	return l.missed - 1
}

// finish drains once more in the loop, closes done after it, and lets nothing be scheduled from now on.
func (l *loop) finish(done chan<- struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok := l.schedule(gnet.RunnableFunc(func(context.Context) error {
		l.drain()
		close(done)
		return nil
	}))
	l.stopped = true
	if !ok {
		close(done)
	}
}

// Run implements gnet.Runnable: the drain, in the event loop.
func (l *loop) Run(context.Context) error {
	l.drain()
	return nil
}

// drain settles what was queued, writes each connection's acks in one call, and takes up connections that waited.
func (l *loop) drain() {
	l.mu.Lock()
	queue := l.queue
	l.queue, l.armed = l.spare[:0], false
	l.mu.Unlock()
	for _, t := range queue {
		l.perform(t)
	}
	clear(queue)
	if l.spare = queue; cap(queue) > maxSpare {
		l.spare = nil
	}
	for _, cn := range l.dirty {
		cn.dirty = false
		l.flush(cn)
		if cn.wait == waitAcks && !cn.closed {
			l.resume(cn)
			l.take(cn, false)
		}
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
	l.takeWaiting()
}

// perform does one task of the queue.
func (l *loop) perform(t task) {
	switch {
	case t.c != nil:
		if t.cn.sess.Settle(t.c) || t.cn.wait == waitAcks {
			l.markDirty(t.cn)
		}
	case t.frame != nil:
		t.cn.release(t.job)
		if !t.cn.closed {
			t.cn.sess.Queue(t.frame)
			l.markDirty(t.cn)
		}
	default:
		if l.flush(t.cn); !t.cn.closed { // what the device is owed goes first
			l.close(t.cn, t.hangup)
		}
	}
}

func (l *loop) markDirty(cn *conn) {
	if !cn.dirty && !cn.closed {
		cn.dirty = true
		l.dirty = append(l.dirty, cn)
	}
}

// flush writes the acks of cn. gnet keeps what the socket does not take; a peer that leaves too much of it is closed.
func (l *loop) flush(cn *conn) {
	if cn.closed {
		return
	}
	if err := cn.sess.FlushAcks(cn.gc); err != nil {
		return // gnet has closed the connection
	}
	if !cn.closed && cn.gc.OutboundBuffered() > l.srv.cfg.MaxOutboundBytes {
		l.close(cn, ingest.CauseSlowReader)
	}
}

// takeWaiting goes on with the connections that wait for room, the longest first, until one finds none again.
func (l *loop) takeWaiting() {
	for len(l.waiting) > 0 {
		cn := l.waiting[0]
		if cn.closed {
			l.dead--
		} else {
			l.resume(cn)
			if cause := l.feed(cn, false); cause != 0 {
				l.close(cn, cause)
			} else if cn.wait == waitRoom {
				break
			}
		}
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
	}
	l.noteWaiters()
}

// resume ends the wait of a connection, whose silence counts from now on: it had reason to be silent, its device waits for an ack.
func (l *loop) resume(cn *conn) {
	cn.wait = waitNone
	cn.lastRead = l.srv.now()
}

// noteWaiters publishes the length of waiting to the goroutines that make room.
func (l *loop) noteWaiters() {
	n := int32(len(l.waiting))
	l.srv.waiters.Add(int64(n - l.waiters.Swap(n)))
}

// take feeds a connection from a task of the loop; OnTraffic does it from gnet's own callback.
func (l *loop) take(cn *conn, eof bool) {
	if cause := l.feed(cn, eof); cause != 0 {
		l.close(cn, cause)
		return
	}
	l.await(cn)
}

// await puts a connection that found no room at the end of the queue.
func (l *loop) await(cn *conn) {
	if cn.wait == waitRoom {
		l.waiting = append(l.waiting, cn)
		l.noteWaiters()
	}
}

// feed offers the inbound bytes to the session and sets cn.wait. A cause that is not zero asks the caller to close the connection, which
// then waits for nothing: it has no place in waiting that its close could give up.
func (l *loop) feed(cn *conn, eof bool) ingest.Cause {
	buf, err := cn.gc.Peek(-1)
	if err != nil || len(buf) == 0 {
		return l.account(cn)
	}
	n, state := cn.sess.Feed(buf, time.Now(), eof)
	if n > 0 { // gnet takes Discard(0) for everything
		_, _ = cn.gc.Discard(n)
	}
	switch state {
	case ingest.StateGarbage:
		return ingest.CauseGarbage
	case ingest.StateFull:
		cn.wait = waitRoom
	case ingest.StateUnacked:
		cn.wait = waitAcks
	}
	cause := l.account(cn)
	if cause != 0 {
		cn.wait = waitNone
	}
	return cause
}

// account counts what is left in the inbound buffer against both bounds, and sets a begun frame its time.
func (l *loop) account(cn *conn) ingest.Cause {
	left := cn.gc.InboundBuffered()
	total := l.srv.backlog.Add(int64(left - int(cn.buffered)))
	cn.buffered = int32(left)
	if left == 0 {
		return 0
	}
	if partial := cn.lastRead + l.srv.cfg.PartialTimeout; l.due[cn.index] > partial {
		l.due[cn.index] = partial
	}
	if left > l.srv.cfg.MaxBacklogBytes || total > l.srv.cfg.MaxBacklogTotalBytes {
		return ingest.CauseBacklog
	}
	return 0
}

// close ends a connection from a task of the loop; gnet calls OnClose before it returns.
func (l *loop) close(cn *conn, cause ingest.Cause) {
	cn.cause = cause
	if err := l.ev.Close(cn.gc); err != nil {
		l.srv.log.Warn().Err(err).Msg("connection closed badly")
	}
}

// expire applies the timeouts. It looks at the connections that are due only: a hundred thousand idle ones cost one pass over their
// times a second.
func (l *loop) expire(now time.Duration) {
	for i := len(l.conns) - 1; i >= 0; i-- { // backwards: a close moves the last one, which was seen already, to its place
		if l.due[i] > now {
			continue
		}
		cn := l.conns[i]
		if l.judge(cn, now); !cn.closed && cn.wait == waitNone {
			l.due[cn.index] = l.dueOf(cn)
		}
	}
	l.takeWaiting() // also when nothing became durable since: the registry may have been loaded
}

// judge closes a connection whose time is over. One whose bytes wait for the journal is not idle and cannot log in: it has none.
func (l *loop) judge(cn *conn, now time.Duration) {
	cfg := &l.srv.cfg
	if cn.wait != waitNone {
		return
	}
	quiet := now - cn.lastRead
	if cn.buffered > 0 && quiet >= cfg.PartialTimeout {
		if l.take(cn, true); cn.closed || cn.wait != waitNone {
			return
		}
	}
	switch {
	case quiet >= cfg.IdleTimeout:
		l.close(cn, ingest.CauseIdle)
	case !cn.sess.Accepted() && now-l.srv.since(cn.sess.Opened()) >= cfg.LoginTimeout:
		l.close(cn, ingest.CauseLogin)
	}
}

// dueOf is when judge will have something to do if nothing happens until then.
func (l *loop) dueOf(cn *conn) time.Duration {
	cfg := &l.srv.cfg
	due := cn.lastRead + cfg.IdleTimeout
	if !cn.sess.Accepted() {
		due = min(due, l.srv.since(cn.sess.Opened())+cfg.LoginTimeout)
	}
	if cn.buffered > 0 {
		due = min(due, cn.lastRead+cfg.PartialTimeout)
	}
	return due
}

// add and remove keep conns and due dense.
func (l *loop) add(cn *conn) {
	cn.index = int32(len(l.conns))
	l.conns = append(l.conns, cn)
	l.due = append(l.due, l.dueOf(cn))
}

func (l *loop) remove(cn *conn) {
	last := len(l.conns) - 1
	l.conns[cn.index], l.due[cn.index] = l.conns[last], l.due[last]
	l.conns[cn.index].index = cn.index
	l.conns[last] = nil
	l.conns, l.due = l.conns[:last], l.due[:last]
	if cn.wait != waitRoom {
		return
	}
	// Its place in waiting is skipped when its turn comes; while the journal is away no turn comes, so the dead must not pile up.
	if l.dead++; l.dead > 16+len(l.waiting)/2 {
		l.waiting = slices.DeleteFunc(l.waiting, func(cn *conn) bool { return cn.closed })
		l.dead = 0
		l.noteWaiters()
	}
}

// settleRest settles what came after the engine's end; no acks can be written any more.
func (l *loop) settleRest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.queue {
		if t.c != nil {
			t.cn.sess.Settle(t.c)
		}
	}
	l.queue = nil
}
