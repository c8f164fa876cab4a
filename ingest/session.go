package ingest

import (
	"crypto/subtle"
	"errors"
	"io"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// State says how Feed left the buffer.
type State uint8

const (
	StateReady   State = iota // everything whole was taken; what is left waits for more bytes
	StateFull                 // the journal has no room: offer the same bytes again when it has
	StateUnacked              // this connection has too much under way: offer them again after a Settle
	StateGarbage              // too many refused bytes: close the connection with CauseGarbage
)

// A Session is one connection. Except for Completion callbacks it belongs to one goroutine.
type Session struct {
	in      *Intake
	number  uint64
	opened  time.Time
	origin  Origin
	connKey string // key of the rejects topic
	line    Line

	// first is the device of the first good frame, more the others of the same connection (a dispatcher's), nil while there are none.
	first    string
	firstKey []byte // the same, for lookups
	more     map[string]string

	garbage int  // refused bytes since the last good frame
	unacked int  // cost of the records under way, see Record.cost
	closed  bool // Close was called: acks have nowhere to go
	out     []byte
	owed    [ackEnd]int64 // acks in out
}

// keepOut is the largest ack buffer that an idle session keeps, in bytes.
const keepOut = 512

// Accepted reports whether a frame of a known device was taken from this connection.
func (s *Session) Accepted() bool { return s.first != "" }

// Opened is when the connection began.
func (s *Session) Opened() time.Time { return s.opened }

// Feed takes what it can from the head of buf, the connection's unread bytes, and returns their number; the caller keeps the rest
// and offers it again, with what came after it. eof says that nothing will follow, so that a frame's beginning is refused, not waited
// for. buf is not kept: it is the caller's on return. now is the moment of receipt.
func (s *Session) Feed(buf []byte, now time.Time, eof bool) (n int, state State) {
	msg := s.in.messages.Get().(*hj212.Message)
	defer s.in.messages.Put(msg)
	for n < len(buf) {
		if s.in.draining.Load() || !s.in.devices.Loaded() {
			return n, StateFull
		}
		if s.unacked >= s.in.cfg.MaxUnackedBytes {
			return n, StateUnacked
		}
		frame, size, err := s.next(buf[n:], eof, msg)
		taken := true
		switch {
		case err != nil:
			// Verbatim: no span is longer than the longest frame.
			taken = s.refuse(buf[n:n+size], errorReason(err), now)
		case size == 0:
			return n, StateReady
		case frame.Raw != nil: // else blanks that a tolerant device put behind its frame
			taken = s.frame(msg, frame, now)
		}
		if !taken {
			return n, StateFull
		}
		n += size
		s.in.counters.receivedBytes.Add(int64(size))
		if s.garbage > s.in.cfg.MaxGarbageBytes {
			return n, StateGarbage
		}
	}
	return n, StateReady
}

// next cuts the next frame, strictly or not as the connection's first device is. A connection without a device is cut strictly, and
// tolerantly where that finds no frame but a device that may omit the tail: it could not introduce itself otherwise.
func (s *Session) next(buf []byte, eof bool, msg *hj212.Message) (hj212.Frame, int, error) {
	strict, tolerant := s.in.cfg.framer(false), s.in.cfg.framer(true)
	if s.first != "" {
		if s.tolerates(s.firstKey) {
			return tolerant.Next(buf, eof)
		}
		return strict.Next(buf, eof)
	}
	frame, size, err := strict.Next(buf, eof)
	if err == nil && size > 0 || err != nil && errorReason(err) != ReasonTail {
		return frame, size, err
	}
	lax, laxSize, laxErr := tolerant.Next(buf, eof)
	if laxErr == nil && lax.Raw != nil && msg.Parse(lax.Data) == nil && s.tolerates(msg.MN) {
		return lax, laxSize, nil
	}
	return frame, size, err
}

// tolerates reports whether the device of an MN may end its frames without CR LF.
func (s *Session) tolerates(mn []byte) bool {
	if d := s.in.devices.Lookup(mn); d != nil {
		return d.TolerantTail
	}
	return s.in.cfg.TolerantTail
}

func errorReason(err error) Reason {
	if perr, ok := errors.AsType[*hj212.ParseError](err); ok {
		return parseReason(perr.Reason)
	}
	return ReasonGarbage
}

// frame judges a frame that the codec accepts. It returns false when there is no room for its record.
func (s *Session) frame(msg *hj212.Message, frame hj212.Frame, now time.Time) bool {
	wire := frame.Raw
	if err := msg.Parse(frame.Data); err != nil {
		return s.refuse(wire, errorReason(err), now)
	}
	if !validMN(msg.MN) {
		return s.refuse(wire, ReasonBadMN, now)
	}
	d := s.in.devices.Lookup(msg.MN)
	switch {
	case d == nil && s.in.cfg.UnknownDevices != PolicyAdmit:
		return s.reject(telemetry.TopicRejects, s.connKey, wire, ReasonUnknownMN, now)
	case d != nil && d.PW != "" && subtle.ConstantTimeCompare([]byte(d.PW), msg.PW) != 1:
		return s.reject(telemetry.TopicJournal, d.MN, wire, ReasonWrongPW, now)
	}
	mn, known := s.device(msg.MN)
	if !known {
		if len(s.more)+1 >= s.in.cfg.MaxDevices && s.first != "" {
			return s.reject(telemetry.TopicRejects, s.connKey, wire, ReasonTooManyDevices, now)
		}
		mn = string(msg.MN)
		if !s.event(mn, "open", 0, now) {
			return false
		}
		s.recognise(mn)
	}
	rec := Record{Topic: telemetry.TopicJournal, Kind: telemetry.KindFrame, Key: mn, Received: now, Origin: &s.origin}
	if !s.publish(rec, wire, ackFor(msg), msg) {
		return false
	}
	s.garbage = 0
	return true
}

// validMN is telemetry.ValidMN without making a string of what is usually known anyway.
func validMN(mn []byte) bool { return len(mn) > 0 && len(mn) <= 64 && telemetry.ValidMN(string(mn)) }

// device finds a device that was recognised on this connection before.
func (s *Session) device(mn []byte) (string, bool) {
	if s.first == string(mn) {
		return s.first, true
	}
	known, ok := s.more[string(mn)]
	return known, ok
}

func (s *Session) recognise(mn string) {
	switch {
	case s.first == "":
		s.first, s.firstKey = mn, []byte(mn)
	case s.more == nil:
		s.more = map[string]string{mn: mn}
	default:
		s.more[mn] = mn
	}
}

// refuse keeps bytes that name no device. They are charged to the connection's device when there is exactly one and the registry
// still has it; the devices of a dispatcher cannot be told apart, so its bytes go to the rejects topic.
func (s *Session) refuse(wire []byte, reason Reason, now time.Time) bool {
	if s.first != "" && s.more == nil && s.in.devices.Lookup(s.firstKey) != nil {
		return s.reject(telemetry.TopicJournal, s.first, wire, reason, now)
	}
	return s.reject(telemetry.TopicRejects, s.connKey, wire, reason, now)
}

func (s *Session) reject(topic telemetry.Topic, key string, wire []byte, reason Reason, now time.Time) bool {
	rec := Record{Topic: topic, Kind: telemetry.KindReject, Key: key, Received: now, Origin: &s.origin, Reason: reason}
	if !s.publish(rec, wire, ackNone, nil) {
		return false
	}
	s.garbage += len(wire)
	s.in.log.Warn().Str("key", key).Str("remote", s.origin.Peer).Stringer("reason", reason).Int("bytes", len(wire)).Msg("frame refused")
	return true
}

// event writes a session entry of the journal.
func (s *Session) event(mn, event string, cause Cause, now time.Time) bool {
	value := telemetry.AppendJSON(nil, &telemetry.Session{MN: mn, Event: event, Peer: s.origin.Peer, Conn: s.number, Cause: cause.String()})
	rec := Record{Topic: telemetry.TopicJournal, Kind: telemetry.KindSession, Key: mn, Received: now, Origin: &s.origin}
	return s.publish(rec, value, ackNone, nil)
}

// publish copies value, builds the ack that is owed beside the copy, and offers both to the publisher. A record that the publisher
// does not take leaves no trace.
func (s *Session) publish(rec Record, value []byte, ack ackKind, msg *hj212.Message) bool {
	const ackRoom = 160 // a 9014 of a 24-character MN is 99 bytes
	room := len(value)
	if ack != ackNone {
		room += ackRoom
	}
	buf := append(make([]byte, 0, room), value...)
	rec.Value = buf[:len(value):len(value)]
	c := &Completion{session: s, kind: rec.Kind, reason: rec.Reason, received: rec.Received, cost: rec.cost(), ackKind: ack}
	switch ack {
	case ackData:
		c.ack = hj212.AppendDataAck(buf, msg)[len(value):]
	case ackNotice:
		c.ack = hj212.AppendNoticeAck(buf, msg)[len(value):]
	}
	s.in.outstanding.Add(1) // before: the completion may come before Publish returns
	if err := s.in.pub.Publish(rec, c.done); err != nil {
		s.in.released()
		return false
	}
	s.unacked += c.cost // after is soon enough: Settle is called on this goroutine
	if rec.Kind != telemetry.KindSession {
		s.in.counters.received.Add(1)
	}
	return true
}

// Close ends the session: each device recognised on it gets its close entry. unread is how many bytes of the connection were never
// taken. Completions may still come; Settle drops their acks.
func (s *Session) Close(cause Cause, unread int, now time.Time) {
	s.closed = true
	c := &s.in.counters
	c.connections.Add(-1)
	c.closed[cause].Add(1)
	c.unread.Add(int64(unread))
	s.dropAcks()
	if s.first == "" {
		return
	}
	if !s.event(s.first, "close", cause, now) {
		c.sessionsLost.Add(1) // the journal is full and the connection gone: nobody is left to offer it again
	}
	for mn := range s.more {
		if !s.event(mn, "close", cause, now) {
			c.sessionsLost.Add(1)
		}
	}
}

// Settle takes back a Completion. It must be called once for each, on the session's goroutine. owes reports whether FlushAcks
// has something to write.
func (s *Session) Settle(c *Completion) (owes bool) {
	s.unacked -= c.cost
	switch {
	case c.failed || c.ackKind == ackNone:
	case s.closed:
		s.in.counters.acksDropped.Add(1)
	default:
		s.out = append(s.out, c.ack...)
		s.owed[c.ackKind]++
	}
	return len(s.out) > 0
}

// Queue adds frame, which the device is to be sent, behind the acks that FlushAcks will write next. It is dropped when the session ended.
func (s *Session) Queue(frame []byte) {
	if !s.closed {
		s.out = append(s.out, frame...)
	}
}

// FlushAcks writes the acks of all settled completions, and what was queued, in one call of w.Write, which keeps or copies what it cannot send at once.
func (s *Session) FlushAcks(w io.Writer) error {
	if len(s.out) == 0 {
		return nil
	}
	if _, err := w.Write(s.out); err != nil {
		s.dropAcks()
		return err
	}
	for kind, n := range s.owed {
		s.in.counters.acked[kind].Add(n)
	}
	s.resetAcks()
	return nil
}

func (s *Session) dropAcks() {
	for _, n := range s.owed {
		s.in.counters.acksDropped.Add(n)
	}
	s.resetAcks()
}

func (s *Session) resetAcks() {
	s.owed = [ackEnd]int64{}
	s.out = s.out[:0]
	if cap(s.out) > keepOut {
		s.out = nil
	}
}

// A Completion is the fate of one record.
type Completion struct {
	session  *Session
	kind     telemetry.Kind
	reason   Reason
	ackKind  ackKind
	failed   bool
	ack      []byte
	cost     int
	received time.Time
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
	c.session.line.Completed(c)
	in.released()
}
