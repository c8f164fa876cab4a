package fold

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outfall/rules"
	"outfall/telemetry"
)

func (b *bed) act(verb telemetry.Verb, text string, ids ...string) {
	b.qn++
	a := telemetry.Action{V: telemetry.ActionVersion, ID: fmt.Sprint("a", b.qn), Verb: verb, MN: mn, Alarms: ids, Who: "li", When: b.now, Text: text}
	if err := a.Validate(); err != nil {
		b.t.Fatal(err)
	}
	b.apply(telemetry.KindAction, mn, telemetry.AppendJSON(nil, &a))
}

// acts writes what people did as "state who text open".
func (b *bed) acts() string {
	var log []string
	for _, a := range b.alarms() {
		log = append(log, fmt.Sprintf("%s %s %q open=%t", a.State, a.Who, a.Text, a.ClearedAt == nil))
	}
	return strings.Join(log, "; ")
}

func TestActionsOnAnAlarm(t *testing.T) {
	b := hourBed(t)
	b.live(0, 70, always("70"))
	id := b.alarms()[0].ID
	b.act(telemetry.VerbAck, "", id)
	events := b.out
	if got := b.acts(); got != `acknowledged li "" open=true` {
		t.Errorf("got %s", got)
	}
	b.out = events
	if a := b.alarms()[0]; a.ID != id || a.Value != 70_000_000 || a.Limit != 50_000_000 || a.Basis == "" || a.When == nil || !a.When.Equal(b.now) || a.Action == "" {
		t.Errorf("the event lacks the alarm: %+v", a)
	}
	b.act(telemetry.VerbClose, "done", id)
	b.wantFound("action 1")
	b.take(0)
	b.live(70, 125, always("20"))
	b.act(telemetry.VerbExplain, "泵停", id)
	b.act(telemetry.VerbClose, "done", id)
	if got := b.acts(); got != `cleared  "" open=false; explained li "泵停" open=false; closed li "done" open=false` {
		t.Errorf("got %s", got)
	}
	b.act(telemetry.VerbAck, "", id)
	b.wantFound("action 1")
}

func TestAnActionOnAnUnknownAlarm(t *testing.T) {
	b := hourBed(t)
	b.act(telemetry.VerbAck, "", "0123456789abcdef")
	b.wantFound("action 1")
	if got := b.acts(); got != "" {
		t.Errorf("got %s", got)
	}
}

// The delivery's own actions are none of the fold's.
func TestNoticesChangeNothing(t *testing.T) {
	b := hourBed(t)
	b.take(0)
	n := telemetry.Action{V: 1, ID: "n", Verb: telemetry.VerbNotice, MN: mn, Who: telemetry.ActionOperator, When: b.now,
		Notice: &telemetry.Notice{Result: telemetry.NoticeAccepted, Events: []telemetry.NoticeEvent{{Alarm: "x"}}}}
	b.apply(telemetry.KindAction, mn, telemetry.AppendJSON(nil, &n))
	if len(b.out) > 0 {
		t.Errorf("a notice made %d outputs", len(b.out))
	}
}

func TestPastAlarmsAreForgotten(t *testing.T) {
	b := newBed(t)
	b.rules(rules.Rule{ID: "m", Statistic: telemetry.StatMinute, High: high(50_000_000)})
	var ids []string
	for m := range 2 * (maxPast + 6) {
		b.now = at(m + 1)
		b.tick()
		b.minute(at(m), []string{"60", "20"}[m%2])
		if m%2 == 0 {
			ids = append(ids, b.alarms()[0].ID)
		}
		b.take(0)
	}
	b.take(0)
	if n := len(b.s.devices[mn].past); n != maxPast {
		t.Errorf("%d past alarms", n)
	}
	b.act(telemetry.VerbAck, "", ids[0], ids[6])
	b.wantFound("action 1")
	if got := b.acts(); got != `acknowledged li "" open=false` {
		t.Errorf("got %s", got)
	}
	b.wait(36 * 24 * time.Hour)
	b.take(0)
	b.minute(b.now.Add(-time.Minute).Truncate(time.Minute), "60")
	b.now = b.now.Add(time.Minute)
	b.minute(b.now.Add(-time.Minute).Truncate(time.Minute), "20")
	if n := len(b.s.devices[mn].past); n != 1 {
		t.Errorf("%d past alarms after 36 days, want the newest alone", n)
	}
}
