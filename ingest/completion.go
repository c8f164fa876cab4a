package ingest

import (
	"io"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

const (
	// keepOut is the largest ack buffer that is used again, in bytes: larger ones are rare.
	keepOut = 64 << 10
	// keepValue is the largest record buffer that is used again, in bytes: larger ones are rare.
	keepValue = 16 << 10
	// ackRoom is what an ack takes, in bytes: the 9014 of a 24-character MN has 99.
	ackRoom = 160
)

// A Completion is the fate of one record. It is used again after Settle.
type Completion struct {
	session  *Session
	kind     telemetry.Kind
	reason   Reason
	ackKind  ackKind
	failed   bool
	ack      []byte // the last bytes of buf
	cost     int
	received time.Time
	buf      []byte      // the record's value and the ack
	callback func(error) // c.done, made once
}

// publish copies value, builds the ack that is owed for msg beside the copy, and offers both to the publisher. msg is nil for what is no
// accepted frame, and d nil for a device that the registry does not name. A record that the publisher does not take leaves no trace.
func (s *Session) publish(rec Record, value []byte, msg *hj212.Message, d *Device) bool {
	c := s.in.completions.Get().(*Completion)
	if cap(c.buf) < len(value)+ackRoom {
		c.buf = make([]byte, 0, len(value)+ackRoom)
	}
	buf := append(c.buf[:0], value...)
	rec.Value = buf[:len(value):len(value)]
	c.session, c.kind, c.reason, c.received, c.cost, c.failed = s, rec.Kind, rec.Reason, rec.Received, rec.cost(), false
	c.ackKind = ackNone
	if msg != nil {
		c.ackKind = ackFor(msg, d.answers(msg))
		buf = d.appendAck(buf, c.ackKind, msg)
	}
	c.buf, c.ack = buf, buf[len(value):]
	s.in.outstanding.Add(1) // before: the completion may come before Publish returns
	if err := s.in.pub.Publish(rec, c.callback); err != nil {
		s.in.released()
		s.in.recycle(c)
		return false
	}
	s.unacked.Add(int64(rec.cost())) // after is soon enough: Settle is called on this goroutine
	if rec.Kind != telemetry.KindSession {
		s.in.counters.received.Add(1)
	}
	return true
}

// newCompletion makes one for the pool.
func newCompletion() any {
	c := new(Completion)
	c.callback = c.done
	return c
}

// recycle puts c back into the pool: nobody has it or its buffer any more.
func (in *Intake) recycle(c *Completion) {
	c.session, c.ack = nil, nil
	if cap(c.buf) > keepValue {
		c.buf = nil
	}
	in.completions.Put(c)
}

// done is the publisher's callback, on a goroutine of its own.
func (c *Completion) done(err error) {
	in := c.session.in
	c.failed = err != nil
	if err != nil {
		in.log.Error().Err(err).Str("remote", c.session.origin.Peer).Msg("record lost: no ack, the device sends it again")
	}
	switch {
	case c.kind == telemetry.KindSession && err != nil:
		in.counters.sessionsLost.Add(1)
	case c.kind == telemetry.KindSession:
		in.counters.sessionsKept.Add(1)
	case err != nil:
		in.counters.rejected[ReasonPublishError].Add(1)
	case c.kind == telemetry.KindReject:
		in.counters.rejected[c.reason].Add(1)
	default:
		in.counters.journaled.Add(1)
		in.counters.publishSeconds.Observe(time.Since(c.received).Seconds())
	}
	c.session.line.Completed(c) // c is the session's from here on
	in.released()
}

// Settle takes back a Completion. It must be called once for each, on the session's goroutine, which must not touch it again. owes reports
// whether FlushAcks has something to write.
func (s *Session) Settle(c *Completion) (owes bool) {
	s.unacked.Add(int64(-c.cost))
	switch {
	case c.failed || c.ackKind == ackNone:
	case s.closed:
		s.in.counters.acksDropped.Add(1)
	default:
		s.add(c.ack)
		s.acks[c.ackKind]++
	}
	s.in.recycle(c)
	return s.out != nil
}

// Queue adds frame, which the device is to be sent, behind the acks that FlushAcks will write next. It is dropped when the session ended.
func (s *Session) Queue(frame []byte) {
	if !s.closed {
		s.add(frame)
	}
}

// FlushAcks writes the acks of all settled completions, and what was queued, in one call of w.Write, which keeps or copies what it cannot
// send at once.
func (s *Session) FlushAcks(w io.Writer) error {
	if s.out == nil {
		return nil
	}
	if _, err := w.Write(s.out.b); err != nil {
		s.dropAcks()
		return err
	}
	for kind, n := range s.acks {
		s.in.counters.acked[kind].Add(n)
	}
	s.resetAcks()
	return nil
}

func (s *Session) dropAcks() {
	for _, n := range s.acks {
		s.in.counters.acksDropped.Add(n)
	}
	s.resetAcks()
}

// add appends to out, in a buffer that the sessions share: one with nothing to write has none.
func (s *Session) add(b []byte) {
	if s.out == nil {
		s.out = s.in.outs.Get().(*outBuffer)
	}
	s.out.b = append(s.out.b, b...)
}

func (s *Session) resetAcks() {
	s.acks = [ackEnd]int64{}
	if s.out == nil {
		return
	}
	if cap(s.out.b) <= keepOut {
		s.out.b = s.out.b[:0]
		s.in.outs.Put(s.out)
	}
	s.out = nil
}

// An outBuffer collects what is written to a connection at once.
type outBuffer struct{ b []byte }
