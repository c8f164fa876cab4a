package tcp

import (
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"outfall/ingest"
)

// wait says why a connection's bytes are not taken at the moment.
type wait uint8

const (
	waitNone wait = iota
	waitRoom      // for room in the journal; the connection is in loop.waiting
	waitAcks      // for the connection's own records under way
)

// A conn is one plain connection; it belongs to its event loop.
type conn struct {
	loop     *loop
	gc       gnet.Conn
	sess     *ingest.Session
	peer     *ingest.Peer // until OnOpen
	remote   string
	from     addressKey
	lastRead time.Duration // last bytes, the connection's begin, or the end of a wait; since Server.epoch
	index    int32         // in loop.conns and loop.due
	buffered int32         // inbound bytes that count in Server.backlog
	sending
	wait   wait
	dirty  bool         // acks to write, in loop.dirty
	opened bool         // OnOpen was called
	closed bool         // OnClose was called
	cause  ingest.Cause // why it is being closed; zero: the peer
}

// Completed implements ingest.Line.
func (cn *conn) Completed(c *ingest.Completion) {
	cn.loop.push(task{cn, job{c: c}})
	cn.loop.srv.roomMade()
}

// Send implements ingest.Line.
func (cn *conn) Send(frame []byte) {
	cn.loop.push(task{cn, cn.sent(frame, cn.loop.srv.cfg.MaxOutboundBytes)})
}

// Hangup implements ingest.Line.
func (cn *conn) Hangup(cause ingest.Cause) { cn.loop.push(task{cn, job{hangup: cause}}) }

// A job is what another goroutine asks of a connection's own: exactly one of the three.
type job struct {
	c      *ingest.Completion
	frame  []byte
	hangup ingest.Cause
}

// A task is a job in the queue of an event loop.
type task struct {
	cn *conn
	job
}

// sending bounds the frames of Line.Send that wait for the connection's goroutine.
type sending struct{ bytes atomic.Int64 }

// sent is the job for frame; a hang-up when too much waits already.
func (s *sending) sent(frame []byte, limit int) job {
	if s.bytes.Add(int64(len(frame))) > int64(limit) {
		s.bytes.Add(int64(-len(frame)))
		return job{hangup: ingest.CauseSlowReader}
	}
	return job{frame: frame}
}

// release takes back what sent counted.
func (s *sending) release(j job) { s.bytes.Add(int64(-len(j.frame))) }
