package ingest

import (
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// nextQN is the QN of a new exchange: the clock, and never one that was used for the device.
func (s *station) nextQN(now time.Time) string {
	at := now.Truncate(time.Millisecond)
	if !at.After(s.lastQN) {
		at = s.lastQN.Add(time.Millisecond)
	}
	s.lastQN = at
	qn := string(hj212.AppendQN(nil, at))
	const keep = 16 // retries keep their QN: two are in use at a time, the rest is on its way through the topic
	if len(s.issued) == keep {
		s.issued = append(s.issued[:0], s.issued[1:]...)
	}
	s.issued = append(s.issued, qn)
	return qn
}

func (s *station) noteQN(qn string) {
	if t, ok := hj212.ParseTime([]byte(qn)); ok && t.After(s.lastQN) {
		s.lastQN = t
	}
}

func outcomeOf(step telemetry.Step, code int, detail string) *telemetry.Outcome {
	return &telemetry.Outcome{Step: step, Code: code, Detail: detail}
}

// finish ends the open dialogue and takes the next command.
func (s *station) finish(step telemetry.Step, code int, detail string, now time.Time) {
	g := s.open
	s.open = nil
	o := outcomeOf(step, code, detail)
	o.QN = g.qn
	s.emit(&g.cmd, o, now)
	if g.cmd.CN == "1072" && step == telemetry.StepDone {
		s.pwNext = true
	}
	s.begin(now)
}

// emit completes a step and writes it.
func (s *station) emit(c *telemetry.Command, o *telemetry.Outcome, now time.Time) {
	o.ID, o.MN, o.CN, o.Gateway, o.Time = c.ID, s.mn, c.CN, s.gateway, now.UTC().Truncate(time.Millisecond)
	if s.online {
		o.Peer = s.peer
	}
	s.out = append(s.out, action{outcome: o, command: c})
}
