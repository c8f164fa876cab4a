package ingest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// A station is one device as the downlink sees it: the pure state machine of HJ 212-2017 6.2.2 (host side). Events go in by its methods, what
// is to be done for them collects in out. It does no I/O and has no clock.
//
//	queue --begin--> clearing --the step is durable, and ours--> asked --9011--> accepted --9012--> final
//	                     ^------------ OverTime, at most ReCount times --|
type station struct {
	mn      string
	gateway string
	ask     asker // how the device is asked, by its registry entry; kept up to date by the owner

	live    bool // the topic was read up to the end that it had at the start: until then nothing begins or ends
	online  bool
	peer    string
	version uint8 // of what the device sent last, one of hj212.Version...
	pwNext  bool  // the device uses PWNext already

	queue  []telemetry.Command // to be sent, in the order of the topic
	open   *dialogue           // being asked here, nil: none
	lent   []lent              // asked by somebody else, and not final
	issued []string            // QN of our newest sendings
	lastQN time.Time

	out []action
}

// An action is what a station wants done: a step to be written (outcome), or bytes to be sent.
type action struct {
	outcome *telemetry.Outcome
	command *telemetry.Command // that the outcome is about
	frame   []byte
	offset  *time.Duration // with the StepData of a clock: what the device's is ahead
}

// A lent command is in the hands of another gateway, or of a former life of this one.
type lent struct {
	cmd     telemetry.Command
	gateway string
	until   time.Time // without another step of it until then, that gateway is gone
}

// phase is where a dialogue is.
type phase uint8

const (
	clearing phase = iota // StepSending of this try is on its way to the topic; its bytes have not left
	asked                 // the bytes have left; waits for a 9011 (WAIT_9011)
	accepted              // waits for data and a 9012 (WAIT_EXEC)
)

// A dialogue is a command on its way through a device.
type dialogue struct {
	cmd   telemetry.Command
	terms terms
	qn    string
	frame []byte // as sent, the same at every try but for the clock of a 1012
	try   int
	phase phase
	// A step is on the topic once seen there and durable. That the first StepSending of a command is ours decides between two gateways
	// which both have a connection of the device.
	seen, durable bool
	sent          bool // bytes have left
	swapped       bool // the other password was tried
	finished      bool // 9012 came before the one answer
	got           int  // data frames of the answer
	noted         time.Time
	deadline      time.Time
}

// noteEvery is the least time between two StepData of one command.
const noteEvery = 5 * time.Second

// add takes a command of the topic.
func (s *station) add(c telemetry.Command, now time.Time) {
	if s.find(c.ID) != nil {
		return
	}
	if s.live && len(s.queue) >= s.ask.cfg.MaxQueue { // before: their finals may stand further down in the topic
		s.emit(&c, outcomeOf(telemetry.StepFailed, 0, fmt.Sprintf("not queued: %d commands of the device wait already", len(s.queue))), now)
		return
	}
	s.queue = append(s.queue, c)
	s.begin(now)
}

// find is the command with that ID; nil when it has ended or never was.
func (s *station) find(id string) *telemetry.Command {
	if s.open != nil && s.open.cmd.ID == id {
		return &s.open.cmd
	}
	for i := range s.queue {
		if s.queue[i].ID == id {
			return &s.queue[i]
		}
	}
	for i := range s.lent {
		if s.lent[i].cmd.ID == id {
			return &s.lent[i].cmd
		}
	}
	return nil
}

// asks reports whether a command of that operator has not ended.
func (s *station) asks(operator string) bool {
	if s.open != nil && s.open.cmd.Operator == operator {
		return true
	}
	by := func(c telemetry.Command) bool { return c.Operator == operator }
	return slices.ContainsFunc(s.queue, by) || slices.ContainsFunc(s.lent, func(l lent) bool { return by(l.cmd) })
}

// saw takes a step that stands on the topic, whoever wrote it.
func (s *station) saw(o *telemetry.Outcome, now time.Time) {
	s.noteQN(o.QN)
	g := s.open
	if g != nil && g.cmd.ID == o.ID {
		switch {
		case o.Step.Final(): // somebody found that it expired, or that we are gone
			s.open = nil
		case o.Step == telemetry.StepSending && o.Gateway == s.gateway && o.QN == g.qn && o.Try == g.try:
			g.seen = true
			s.leave(now)
			return
		case o.Step == telemetry.StepSending && !g.sent && !g.seen && !s.isOurs(o): // it was first
			s.lend(g.cmd, o, now)
			s.open = nil
		}
		s.begin(now)
		return
	}
	for i := range s.lent {
		if l := &s.lent[i]; l.cmd.ID == o.ID {
			if o.Step.Final() {
				s.lent = append(s.lent[:i], s.lent[i+1:]...)
				s.begin(now)
				return
			}
			l.until = s.silentUntil(o, now)
			return
		}
	}
	for i := range s.queue {
		if c := s.queue[i]; c.ID == o.ID {
			if o.Step.Final() || !s.isOurs(o) {
				s.queue = append(s.queue[:i], s.queue[i+1:]...)
			}
			if !o.Step.Final() && !s.isOurs(o) {
				s.lend(c, o, now)
			}
			s.begin(now)
			return
		}
	}
}

// isOurs reports whether this process wrote the step: another may have our name, and a former one had it.
func (s *station) isOurs(o *telemetry.Outcome) bool {
	if o.Gateway != s.gateway {
		return false
	}
	for _, qn := range s.issued {
		if qn == o.QN {
			return true
		}
	}
	return false
}

func (s *station) lend(c telemetry.Command, o *telemetry.Outcome, now time.Time) {
	s.lent = append(s.lent, lent{c, o.Gateway, s.silentUntil(o, now)})
}

// silentUntil is when the gateway that wrote o is gone if it writes nothing more.
func (s *station) silentUntil(o *telemetry.Outcome, now time.Time) time.Time {
	if !s.live { // an old step
		now = o.Time
	}
	return now.Add(s.ask.patience())
}

// start says that the topic was read up to its end: what a former life of this gateway has sent and not finished can no longer be told.
func (s *station) start(now time.Time) {
	s.live = true
	for i := len(s.lent) - 1; i >= 0; i-- {
		if l := s.lent[i]; l.gateway == s.gateway {
			s.lent = append(s.lent[:i], s.lent[i+1:]...)
			s.emit(&l.cmd, outcomeOf(telemetry.StepFailed, 0, "the gateway ended before the answer; unknown whether the device acted"), now)
		}
	}
	s.tick(now)
}

// connect says that the device has a connection, a new one if it had one before. What was asked on the old one goes on: the device may
// answer on either, and a retry goes to the new one.
func (s *station) connect(peer string, version uint8, now time.Time) {
	s.online, s.peer, s.version = true, peer, version
	s.begin(now)
}

// disconnect says that the device has no connection.
func (s *station) disconnect(now time.Time) {
	s.online = false
	g := s.open
	switch {
	case g == nil:
	case !g.sent: // a StepSending may be on the topic; nobody else takes the command for that
		s.open = nil
		s.queue = append([]telemetry.Command{g.cmd}, s.queue...)
	case g.finished:
		s.finish(telemetry.StepDone, 1, "9012 came, the answer did not", now)
	case g.terms.shape == hj212.ShapeGet && g.got > 0: // there is one answer, and it is here
		s.finish(telemetry.StepDone, 0, "no 9012 came"+g.tally(), now)
	case g.phase == accepted:
		s.finish(telemetry.StepFailed, 0, "the connection ended before the result"+g.tally(), now)
	default:
		s.finish(telemetry.StepFailed, 0, "the connection ended before the answer; unknown whether the device acted", now)
	}
}

// begin takes the next command when the device is free.
func (s *station) begin(now time.Time) {
	for s.live && s.online && s.open == nil && len(s.lent) == 0 && len(s.queue) > 0 {
		c := s.queue[0]
		s.queue = s.queue[1:]
		if d := s.ask.device; d == nil || d.PWNext == "" {
			s.pwNext = false
		}
		if now.After(c.NotAfter) {
			s.emit(&c, outcomeOf(telemetry.StepExpired, 0, "it came too late, or other commands took too long"), now)
			continue
		}
		t, err := s.ask.terms(&c, s.version)
		if err != nil {
			s.emit(&c, outcomeOf(telemetry.StepFailed, 0, "not sent: "+err.Error()), now)
			continue
		}
		s.open = &dialogue{cmd: c, terms: t}
		s.attempt(s.nextQN(now), now)
	}
}

// attempt announces the next try, with a new QN or that of the try before.
func (s *station) attempt(qn string, now time.Time) {
	g := s.open
	g.try++
	g.qn, g.phase, g.seen, g.durable, g.deadline = qn, clearing, false, false, time.Time{}
	if g.try == 1 {
		g.deadline = g.cmd.NotAfter
	} else if strings.Contains(g.cmd.CP, clockNow) {
		g.frame = nil // a clock set by the first try's time would be late by all the waiting since
	}
	s.emit(&g.cmd, &telemetry.Outcome{Step: telemetry.StepSending, QN: qn, Try: g.try}, now)
}

// cleared says that StepSending of a try under a QN is durable, in the journal and on the topic, or by lost that one of them did not take it:
// then the try cannot leave, and waiting for an answer to the tries before it would be waiting for nothing.
func (s *station) cleared(qn string, try int, lost error, now time.Time) {
	g := s.open
	if g == nil || g.qn != qn || g.try != try {
		return
	}
	switch {
	case lost == nil:
		g.durable = true
		s.leave(now)
	case g.phase != clearing: // an answer came meanwhile
	case g.sent:
		s.finish(telemetry.StepFailed, 0, fmt.Sprintf("no answer to %d tries; the journal did not take the next: %v", g.try-1, lost), now)
	default:
		s.finish(telemetry.StepFailed, 0, fmt.Sprintf("not sent: the journal did not take its entry: %v", lost), now)
	}
}

// leave sends the bytes of the current try if its step is where it must be first.
func (s *station) leave(now time.Time) {
	g := s.open
	if g.phase != clearing || !g.seen || !g.durable {
		return
	}
	if g.try == 1 && now.After(g.cmd.NotAfter) {
		s.finish(telemetry.StepExpired, 0, "the journal did not take its entry in time", now)
		return
	}
	if g.frame == nil {
		frame, err := s.ask.request(&g.cmd, g.qn, s.version, s.pwNext, now)
		if err != nil {
			s.finish(telemetry.StepFailed, 0, "not sent: "+err.Error(), now)
			return
		}
		g.frame = frame
	}
	s.out = append(s.out, action{frame: bytes.Clone(g.frame)})
	g.phase, g.sent, g.deadline = asked, true, now.Add(g.terms.overTime)
}

// tick does what is due. See wake.
func (s *station) tick(now time.Time) {
	if !s.live {
		return
	}
	if g := s.open; g != nil && !g.deadline.IsZero() && !now.Before(g.deadline) {
		s.overdue(now)
	}
	for i := len(s.lent) - 1; i >= 0; i-- {
		if l := s.lent[i]; !now.Before(l.until.Add(s.slack(l.cmd.ID))) {
			s.lent = append(s.lent[:i], s.lent[i+1:]...)
			s.emit(&l.cmd, outcomeOf(telemetry.StepFailed, 0, fmt.Sprintf("nothing was heard of gateway %s since it sent it; unknown whether the device acted", l.gateway)), now)
		}
	}
	for i := len(s.queue) - 1; i >= 0; i-- {
		if c := s.queue[i]; !now.Before(s.expiry(&c)) {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			detail := "the device did not connect"
			if s.online {
				detail = "commands before it took too long"
			}
			s.emit(&c, outcomeOf(telemetry.StepExpired, 0, detail), now)
		}
	}
	s.begin(now)
}

// overdue takes the end of the open dialogue's patience.
func (s *station) overdue(now time.Time) {
	g := s.open
	switch {
	case g.phase == clearing: // the first try: the journal is away
		s.finish(telemetry.StepExpired, 0, "the journal did not take its entry in time", now)
	case g.finished:
		s.finish(telemetry.StepDone, 1, "9012 came, the answer did not", now)
	case g.phase == accepted && g.got > 0:
		s.finish(telemetry.StepDone, 0, "no 9012 came"+g.tally(), now)
	case g.phase == accepted:
		s.finish(telemetry.StepFailed, 0, "accepted, but no result within "+g.terms.execTime.String(), now)
	case g.try <= g.terms.reCount:
		s.attempt(g.qn, now)
	case g.got > 0: // uploads that the request asks for, from a device that answers no request
		s.finish(telemetry.StepDone, 0, "neither 9011 nor 9012 came"+g.tally(), now)
	default:
		s.finish(telemetry.StepFailed, 0, fmt.Sprintf("no answer to %d tries, %v each", g.try, g.terms.overTime), now)
	}
}

// wake is when tick has something to do; zero: never.
func (s *station) wake() (at time.Time) {
	if !s.live {
		return at
	}
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if s.open != nil {
		earlier(s.open.deadline)
	}
	for i := range s.lent {
		earlier(s.lent[i].until.Add(s.slack(s.lent[i].cmd.ID)))
	}
	for i := range s.queue {
		earlier(s.expiry(&s.queue[i]))
	}
	return at
}

// expiry is when c, which is in the queue, ends as expired.
func (s *station) expiry(c *telemetry.Command) time.Time {
	if s.online {
		return c.NotAfter.Add(time.Millisecond)
	}
	return c.NotAfter.Add(s.slack(c.ID))
}

// slack spreads over two seconds when the gateways declare a command dead that none of them has: the first one's step spares the others
// theirs.
func (s *station) slack(id string) time.Duration {
	spread := uint32(shardOf(s.gateway))<<8 | uint32(shardOf(id+s.gateway))
	return time.Second + time.Duration(spread%2000)*time.Millisecond
}

// idle reports whether the station can be forgotten.
func (s *station) idle() bool {
	return !s.online && s.open == nil && len(s.queue) == 0 && len(s.lent) == 0
}
