package ingest

import (
	"crypto/rand"
	"fmt"
	"time"

	"outfall/telemetry"
)

const (
	setUpEvery    = time.Hour        // a device that keeps connecting is not set up more often
	setUpValidity = 10 * time.Minute // it connects again later, and is set up then
)

// NewCommandID makes a Command's ID: the clock of UTC+8, for people, and 40 random bits.
func NewCommandID(now time.Time) string {
	return now.In(telemetry.China).Format("20060102-150405-") + rand.Text()[:8]
}

// setUp gives the commands of the first connection (HJ 212-2017 6.7), in its order: the clock is read, timeout, retries and intervals are
// set. Like every command they go through the journal and the topic. A setting that the device's edition does not have is left out.
func (d *Downlink) setUp(s *seat, now time.Time) {
	dev := s.ask.device
	if dev == nil || !d.cfg.SetUp && !dev.SetUp || now.Sub(d.configured[s.mn]) < setUpEvery || s.asks(telemetry.SetUpOperator) {
		return
	}
	if d.commands+len(d.outbox) >= d.cfg.MaxOpen {
		return // all devices connect at once: the rest is set up when they connect again
	}
	d.configured[s.mn] = now // for the time until it is known how it went
	pace := s.ask.pace()
	d.give(s, "1011", "", now)
	d.give(s, "1000", fmt.Sprintf("OverTime=%d;ReCount=%d", pace.overTime/time.Second, pace.reCount), now)
	if dev.RealtimeInterval > 0 {
		d.give(s, "1062", fmt.Sprintf("RtdInterval=%d", dev.RealtimeInterval), now)
	}
	d.give(s, "1064", fmt.Sprintf("MinInterval=%d", dev.MinuteInterval), now)
}

// noteSetUp takes a step of a set-up command: one that failed lets the next connection try again.
func (d *Downlink) noteSetUp(mn string, o *telemetry.Outcome) {
	switch o.Step {
	case telemetry.StepDone, telemetry.StepRefused:
		if at, tried := d.configured[mn]; !tried || o.Time.After(at) {
			d.configured[mn] = o.Time
		}
	case telemetry.StepFailed, telemetry.StepExpired:
		delete(d.configured, mn)
	}
}

// correct sets a clock that the set-up has found to be off, where that is allowed.
func (d *Downlink) correct(s *seat, c *telemetry.Command, off time.Duration, now time.Time) {
	if c.Operator == telemetry.SetUpOperator && d.cfg.SetClock && off.Abs() > d.cfg.ClockTolerance {
		d.give(s, "1012", clockNow, now)
	}
}

// give writes a command of the gateway's own, if the device can be asked for it.
func (d *Downlink) give(s *seat, cn, cp string, now time.Time) {
	at := now.UTC().Truncate(time.Millisecond)
	c := telemetry.Command{ID: NewCommandID(now), MN: s.mn, CN: cn, CP: cp, Operator: telemetry.SetUpOperator, Reason: "the device connected",
		Created: at, NotAfter: at.Add(setUpValidity)}
	if _, err := s.ask.terms(&c, s.version); err != nil {
		d.log.Debug().Err(err).Str("mn", s.mn).Str("cn", cn).Msg("left out of the set-up")
		return
	}
	d.post(letter{kind: telemetry.KindCommand, mn: s.mn, peer: s.peer, value: telemetry.AppendJSON(nil, &c), at: at})
}
