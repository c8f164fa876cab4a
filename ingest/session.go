package ingest

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// State says how Feed left the buffer.
type State uint8

const (
	StateReady   State = iota // everything whole was taken; what is left waits for more bytes
	StateFull                 // the journal has no room, or nothing is taken any more: offer the same bytes again later
	StateUnacked              // this connection has too much under way: offer them again after a Settle
	StateGarbage              // too many refused bytes: close the connection with CauseGarbage
)

// leastRefused is what a refused span that begins like a frame counts against Config.MaxGarbageBytes at least, in bytes: a few bytes that
// claim to be a long frame cost a tenth of a millisecond, in an event loop that others share, and a record. Heartbeats of modems do not.
const leastRefused = 256

// A Session is one connection. Except for Completion callbacks, and where a field says otherwise, it belongs to one goroutine.
type Session struct {
	in      *Intake
	number  uint64
	opened  time.Time
	peer    Peer
	addr    netip.Addr // of peer
	origin  Origin
	connKey string // key of the rejects topic
	line    Line

	// first is the device of the first good frame, more the others of the same connection (a dispatcher's), nil while there are none.
	first *presence
	own   *Device // what the registry says of first; valid within Feed
	more  map[string]*presence
	debts []debt // session entries that the journal has to get before anything else

	garbage int           // refused bytes since the last good frame, see leastRefused
	denied  bool          // the policy left a device to another connection
	closed  bool          // Close was called: acks have nowhere to go
	out     *outBuffer    // nil: nothing to write
	acks    [ackEnd]int64 // in out

	// For any goroutine.
	unacked  atomic.Int64 // cost of the records under way, see Record.cost
	devices  atomic.Int32 // presences that are not lost
	replaced atomic.Bool  // the last of them was lost: the connection is about to be closed, nothing is taken from it
	refused  atomic.Pointer[[reasonEnd]atomic.Uint32]
}

// Accepted reports whether a frame of a known device was taken from this connection.
func (s *Session) Accepted() bool { return s.first != nil }

// Opened is when the connection began.
func (s *Session) Opened() time.Time { return s.opened }

// Feed takes what it can from the head of buf, the connection's unread bytes, and returns their number; the caller keeps the rest
// and offers it again, with what came after it. eof says that nothing will follow, so that a frame's beginning is refused, not waited
// for. buf is not kept: it is the caller's on return. now is the moment of receipt.
func (s *Session) Feed(buf []byte, now time.Time, eof bool) (n int, state State) {
	if s.first != nil {
		s.own = s.in.devices.Lookup(s.first.key)
	}
	msg := s.in.messages.Get().(*hj212.Message)
	defer s.in.messages.Put(msg)
	for n < len(buf) {
		if s.in.draining.Load() || s.replaced.Load() || !s.in.devices.Loaded() || !s.pay(now) {
			return n, StateFull
		}
		if s.unacked.Load() >= int64(s.in.cfg.MaxUnackedBytes) {
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

func errorReason(err error) Reason {
	if perr, ok := errors.AsType[*hj212.ParseError](err); ok {
		return parseReason(perr.Reason)
	}
	return ReasonGarbage
}

// frame judges a frame that the codec accepts. It returns false when there is no room for its record.
func (s *Session) frame(msg *hj212.Message, frame hj212.Frame, now time.Time) bool {
	wire := frame.Raw
	if err := msg.ParseHeader(frame.Data); err != nil {
		return s.refuse(wire, errorReason(err), now)
	}
	d, p := s.own, s.first
	if p == nil || string(msg.MN) != p.mn {
		if len(msg.MN) > 64 || !telemetry.ValidMN(string(msg.MN)) {
			return s.refuse(wire, ReasonBadMN, now)
		}
		d, p = s.in.devices.Lookup(msg.MN), s.more[string(msg.MN)]
		if err := s.verify(frame, d); err != nil {
			return s.refuse(wire, errorReason(err), now)
		}
	}
	if d == nil && s.in.cfg.UnknownDevices != PolicyAdmit {
		return s.reject(telemetry.TopicRejects, s.connKey, wire, ReasonUnknownMN, now)
	}
	if d != nil {
		if reason := d.refusal(msg.PW, &s.peer, s.addr); reason != 0 {
			return s.reject(telemetry.TopicJournal, d.MN, wire, reason, now)
		}
	}
	if p == nil || p.lost.Load() {
		if p == nil && s.first != nil && len(s.more)+1 >= s.in.cfg.MaxDevices {
			return s.reject(telemetry.TopicRejects, s.connKey, wire, ReasonTooManyDevices, now)
		}
		p = s.recognise(p, msg, d, now)
		if !s.pay(now) {
			return false
		}
		if p == nil {
			return s.reject(telemetry.TopicJournal, string(msg.MN), wire, ReasonSecondSession, now)
		}
	}
	rec := Record{Topic: telemetry.TopicJournal, Kind: telemetry.KindFrame, Key: p.mn, Received: now, Origin: &s.origin}
	if !s.publish(rec, wire, msg, d) {
		return false
	}
	p.heard(msg, now)
	s.in.downlink.heard(p.mn, msg, now)
	s.garbage = 0
	return true
}

// recognise makes the device of msg present on this connection; have is its presence that was lost, nil on its first frame here. The
// result is nil when the policy leaves the device to another connection.
func (s *Session) recognise(have *presence, msg *hj212.Message, d *Device, now time.Time) *presence {
	p := have
	if p == nil {
		p = &presence{mn: string(msg.MN), session: s, version: d.answers(msg)}
		p.key = []byte(p.mn)
	}
	switch {
	case !s.enter(p, now):
		return nil
	case have != nil:
	case s.first == nil:
		s.first, s.own = p, d
	case s.more == nil:
		s.more = map[string]*presence{p.mn: p}
	default:
		s.more[p.mn] = p
	}
	return p
}

// refuse keeps bytes that name no device. They are charged to the connection's device when there is exactly one and the registry
// still has it; the devices of a dispatcher cannot be told apart, so its bytes go to the rejects topic.
func (s *Session) refuse(wire []byte, reason Reason, now time.Time) bool {
	if s.first != nil && s.more == nil && s.own != nil {
		return s.reject(telemetry.TopicJournal, s.first.mn, wire, reason, now)
	}
	return s.reject(telemetry.TopicRejects, s.connKey, wire, reason, now)
}

func (s *Session) reject(topic telemetry.Topic, key string, wire []byte, reason Reason, now time.Time) bool {
	rec := Record{Topic: topic, Kind: telemetry.KindReject, Key: key, Received: now, Origin: &s.origin, Reason: reason}
	if !s.publish(rec, wire, nil, nil) {
		return false
	}
	s.garbage += len(wire)
	if wire[0] == '#' {
		s.garbage += max(0, leastRefused-len(wire))
	}
	counts := s.refused.Load()
	if counts == nil { // most connections never need it
		counts = new([reasonEnd]atomic.Uint32)
		s.refused.Store(counts)
	}
	counts[reason].Add(1)
	s.in.log.Warn().Str("key", key).Str("remote", s.origin.Peer).Stringer("reason", reason).Int("bytes", len(wire)).Msg("frame refused")
	return true
}

// Close ends the session: each device present on it gets its close entry. unread is how many bytes of the connection were never
// taken. Completions may still come; Settle drops their acks.
func (s *Session) Close(cause Cause, unread int, now time.Time) {
	if cause == CauseLogin && s.denied {
		cause = CauseRefusedSecond
	}
	s.closed = true
	c := &s.in.counters
	c.connections.Add(-1)
	c.closed[cause].Add(1)
	c.unread.Add(int64(unread))
	s.dropAcks()
	if s.first != nil {
		s.leave(s.first, cause, now)
	}
	for _, p := range s.more {
		s.leave(p, cause, now)
	}
	if !s.pay(now) { // the journal is full and the connection gone: nobody is left to offer them again
		c.sessionsLost.Add(int64(len(s.debts)))
		s.debts = nil
	}
}

// leave ends p, and owes its close entry unless another connection has had the device since and wrote it.
func (s *Session) leave(p *presence, cause Cause, now time.Time) {
	if s.in.live.leave(p, now) {
		s.owe(debt{of: s, entry: telemetry.Session{MN: p.mn, Event: "close", Cause: cause.String()}})
	}
}
