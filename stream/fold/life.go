package fold

import (
	"encoding/json"
	"fmt"
	"time"

	"outfall/telemetry"
)

// An eventNote is what an alarm event says of why it came, beside the alarm itself.
type eventNote struct {
	mark, reason      string // of a mark
	action, who, text string // of people
	when              *time.Time
}

func (n *eventNote) fill(ev *telemetry.Alarm) {
	ev.Mark, ev.Reason, ev.Action, ev.Who, ev.When, ev.Text = n.mark, n.reason, n.action, n.who, n.when, n.text
}

// action takes what people did about alarms of a device: an event for each of them. Silences and notices are the delivery's; they change nothing
// here.
func (s *State) action(mn string, value []byte) {
	var a telemetry.Action
	if json.Unmarshal(value, &a) != nil || a.MN != mn || a.Validate() != nil {
		return
	}
	state := map[telemetry.Verb]telemetry.AlarmState{telemetry.VerbAck: telemetry.AlarmAcknowledged, telemetry.VerbExplain: telemetry.AlarmExplained,
		telemetry.VerbClose: telemetry.AlarmClosed}[a.Verb]
	if state == "" {
		return
	}
	d := s.device(mn)
	if d == nil {
		return
	}
	for _, id := range a.Alarms {
		s.note = eventNote{action: a.ID, who: a.Who, when: &a.When, text: a.Text}
		why := s.act(d, id, state)
		s.note = eventNote{}
		if why != "" {
			s.find(d, telemetry.Finding{Kind: telemetry.FindingAction, Count: 1, Detail: fmt.Sprintf("%s of alarm %s by %s (action %s): %s", a.Verb, legible(id, 40), legible(a.Who, 64), a.ID, why)})
		}
	}
}

// act emits the event of an action on one alarm, or says why it cannot.
func (s *State) act(d *device, id string, state telemetry.AlarmState) (why string) {
	for n := range d.series {
		sr := &d.series[n]
		for i := range sr.bindings {
			b := &sr.bindings[i]
			if !b.m.Open || b.alarm.id != id {
				continue
			}
			if state == telemetry.AlarmClosed {
				return "it is still open; it can be closed when its condition has ended"
			}
			s.alarmEvent(d, sr, b.rule, b.alarm, state, nil)
			return ""
		}
	}
	i := d.findPast(id)
	if i < 0 {
		return fmt.Sprintf("it is not known, or ended more than %d days or %d alarms ago", pastKept/(24*hourMs), maxPast)
	}
	p := &d.past[i]
	sr := d.seriesNamed(p.factor)
	switch {
	case sr == nil:
		return "its factor is not known"
	case p.closed:
		return "it is closed already"
	}
	p.closed = state == telemetry.AlarmClosed
	s.alarmEvent(d, sr, p.asRule(), &p.openAlarm, state, msTimePtr(p.endedAt))
	return ""
}
