package fold

import (
	"encoding/json"
	"fmt"

	"outfall/telemetry"
)

// secondEvery is the shortest time between two findings about second connections of a device, ms of log time: two devices of one MN that
// take the session from each other do so every few seconds.
const secondEvery = 3_600_000

// session folds an event of d's connections. Online and offline go by frames, not by connections.
func (s *State) session(d *device, e *telemetry.Entry) {
	d.statusDirty = true
	var ev telemetry.Session
	if json.Unmarshal(e.Value, &ev) != nil || ev.Event != "second" {
		return
	}
	now := s.nowMs()
	if d.secondAt != 0 && now < d.secondAt+secondEvery {
		d.secondMore++
		return
	}
	detail := fmt.Sprintf("%s connected as the device while %s was connected: cloned, spoofed, or its older connection is dead; policy: %s",
		legible(ev.Peer, 64), legible(ev.Other, 64), legible(ev.Cause, 64))
	if d.secondMore > 0 {
		detail += fmt.Sprintf("; %d more in the time before", d.secondMore)
	}
	count := 1 + d.secondMore
	d.secondAt, d.secondMore = now, 0
	s.find(d, telemetry.Finding{Kind: telemetry.FindingSecondSession, Count: count, Detail: detail})
}

// outcome folds a step in the life of a command: one that ends otherwise than it should is a finding. What the device sends in answer is in
// the journal as frames.
func (s *State) outcome(d *device, e *telemetry.Entry) {
	var o telemetry.Outcome
	if json.Unmarshal(e.Value, &o) != nil || !o.Step.Final() || o.Step == telemetry.StepDone {
		return
	}
	detail := fmt.Sprintf("command %s %s", legible(o.ID, 64), o.Step)
	switch {
	case o.Code != 0 && o.Step == telemetry.StepRefused:
		detail += fmt.Sprintf(", QnRtn=%d", o.Code)
	case o.Code != 0:
		detail += fmt.Sprintf(", ExeRtn=%d", o.Code)
	}
	if o.Detail != "" {
		detail += ": " + legible(o.Detail, 200)
	}
	s.find(d, telemetry.Finding{Kind: telemetry.FindingCommandFailed, CN: legible(o.CN, 40), QN: legible(o.QN, 40), Count: 1, Detail: detail})
}
