package fold

import (
	"slices"

	"outfall/rules"
	"outfall/telemetry"
)

// Bounds of the alarms that a device remembers after they have ended.
const (
	pastKept = 35 * 24 * 3_600_000 // ms after the end
	maxPast  = 64                  // of a device; the one that ended first is forgotten then
)

// A pastAlarm is an alarm that is over: cleared, or withdrawn. It can still be acknowledged, explained and closed, and a mark can withdraw it or
// bring it back.
type pastAlarm struct {
	openAlarm
	rule      *rules.Rule // the one that raised it, while it is in force; nil: it no longer is
	index     int32       // of rule in the rule set
	factor    string
	ruleID    string
	stat      telemetry.Statistic
	unit      string
	basis     string
	limit     telemetry.Fixed
	last      int64 // end of the last window that belongs to it, ms
	endedAt   int64 // log clock
	withdrawn bool
	closed    bool
}

// keepPast remembers an alarm that the event at hand ends, and forgets one that it raises again. The memory is no part of any output until
// somebody acts on the alarm.
func (s *State) keepPast(d *device, sr *series, r *rules.Rule, a *openAlarm, state telemetry.AlarmState) {
	closed := false
	switch state {
	case telemetry.AlarmAcknowledged, telemetry.AlarmExplained, telemetry.AlarmClosed:
		return
	}
	if i := d.findPast(a.id); i >= 0 {
		if state == telemetry.AlarmUpdated {
			d.past[i].openAlarm = *a
			return
		}
		closed = d.past[i].closed
		d.past = slices.Delete(d.past, i, i+1)
	}
	if state != telemetry.AlarmCleared && state != telemetry.AlarmWithdrawn {
		return
	}
	now := s.nowMs()
	old := 0
	for old < len(d.past) && (d.past[old].endedAt < now-pastKept || len(d.past)-old >= maxPast) {
		old++
	}
	d.past = slices.Delete(d.past, 0, old)
	p := pastAlarm{openAlarm: *a, factor: sr.factor, ruleID: r.ID, stat: r.Statistic, unit: r.Unit, basis: r.Basis, limit: r.LimitOf(a.kind),
		last: a.end, endedAt: now, withdrawn: state == telemetry.AlarmWithdrawn, closed: closed}
	for i := range sr.bindings {
		if b := &sr.bindings[i]; b.rule == r {
			p.rule, p.index = r, b.index
			if b.alarm != nil && b.alarm.id == a.id {
				p.last = max(p.last, b.last)
			}
		}
	}
	d.past = append(d.past, p)
}

// asRule is the rule that the alarm comes from, as far as its events need it.
func (p *pastAlarm) asRule() *rules.Rule {
	if p.rule != nil {
		return p.rule
	}
	r := &rules.Rule{ID: p.ruleID, Factor: p.factor, Statistic: p.stat, Unit: p.unit, Basis: p.basis, MinValid: rules.DefaultMinValid(p.stat)}
	limit := p.limit
	if p.kind == rules.KindLow {
		r.Low = &limit
	} else {
		r.High = &limit
	}
	return r
}

func (d *device) findPast(id string) int {
	return slices.IndexFunc(d.past, func(p pastAlarm) bool { return p.id == id })
}

// seriesNamed is the series of a factor as outputs name it, nil: there is none.
func (d *device) seriesNamed(factor string) *series {
	for n := range d.series {
		sr := &d.series[n]
		if sr.factor == factor {
			return sr
		}
	}
	return nil
}

// lasted says where the last window of a past alarm ends, if the alarm is still remembered.
func (d *device) lasted(id string, end int64) {
	if i := d.findPast(id); i >= 0 {
		d.past[i].last = end
	}
}

// bindPast finds the rules in force that past alarms come from.
func (d *device) bindPast() {
	for i := range d.past {
		p := &d.past[i]
		was := p.rule
		p.rule = nil
		if sr := d.seriesNamed(p.factor); sr != nil && was != nil {
			if b := sameRule(sr.bindings, was); b != nil {
				p.rule, p.index = b.rule, b.index
			}
		}
	}
}
