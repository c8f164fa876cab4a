package telemetry

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestActionValidate(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	end := now.Add(MaxSilence)
	late := end.Add(1)
	silence := Action{V: 1, ID: "a-1", Verb: VerbSilence, Match: &AlarmMatch{Outlet: []string{"W01"}}, From: &now, To: &end, Who: "li", When: now}
	notice := Action{V: 1, ID: "a-2", Verb: VerbNotice, MN: "A1", Alarms: []string{"x"}, Who: ActionOperator, When: now,
		Notice: &Notice{Channel: "c", Result: NoticeAccepted, Events: []NoticeEvent{{"x", 1, 0}}}}
	ack := Action{V: 1, ID: "a-3", Verb: VerbAck, MN: "A1", Alarms: []string{"x"}, Who: "li", When: now}
	explain := ack
	explain.Verb, explain.Text = VerbExplain, "the pump"
	unsilence := Action{V: 1, ID: "a-4", Verb: VerbUnsilence, Silence: "a-1", Who: "li", When: now}
	for _, good := range []Action{silence, notice, ack, explain, unsilence} {
		if err := good.Validate(); err != nil {
			t.Errorf("%s: %v", good.Verb, err)
		}
		var back Action
		if err := json.Unmarshal(AppendJSON(nil, good), &back); err != nil || !reflect.DeepEqual(back, good) {
			t.Errorf("%s: %v: %+v, want %+v", good.Verb, err, back, good)
		}
	}
	for _, c := range []struct {
		field  string
		of     Action
		change func(*Action)
	}{
		{"v", ack, func(a *Action) { a.V = 2 }},
		{"id", ack, func(a *Action) { a.ID = "a b" }},
		{"verb", ack, func(a *Action) { a.Verb = "frob" }},
		{"who", ack, func(a *Action) { a.Who = "" }},
		{"when", ack, func(a *Action) { a.When = time.Time{} }},
		{"text", ack, func(a *Action) { a.Text = strings.Repeat("x", 1025) }},
		{"mn", ack, func(a *Action) { a.MN = "" }},
		{"mn", notice, func(a *Action) { a.MN = "a;b" }},
		{"alarms", ack, func(a *Action) { a.Alarms = nil }},
		{"alarms", notice, func(a *Action) { a.Alarms = make([]string, MaxActionAlarms+1) }},
		{"text", explain, func(a *Action) { a.Text = "" }},
		{"match", silence, func(a *Action) { a.Match = &AlarmMatch{} }},
		{"to", silence, func(a *Action) { a.To = &late }},
		{"to", silence, func(a *Action) { a.To = a.From }},
		{"silence", unsilence, func(a *Action) { a.Silence = "" }},
		{"notice", notice, func(a *Action) { a.Notice = &Notice{Result: "lost"} }},
	} {
		a := c.of
		c.change(&a)
		if err := a.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.field+": ") {
			t.Errorf("%s with bad %s: %v", a.Verb, c.field, err)
		}
	}
}

func TestAlarmMatch(t *testing.T) {
	a := Alarm{ID: "x", Region: "贵州省/贵阳市/清镇市", Outlet: "W01", Level: LevelExceed, Factor: "w01018"}
	for _, c := range []struct {
		name string
		m    AlarmMatch
		want bool
	}{
		{"nothing asked", AlarmMatch{}, true},
		{"province", AlarmMatch{Region: []string{"贵州省"}}, true},
		{"county", AlarmMatch{Region: []string{"贵州省/贵阳市/清镇市"}}, true},
		{"a name that only begins alike", AlarmMatch{Region: []string{"贵州省/贵阳"}}, false},
		{"one of two", AlarmMatch{Region: []string{"贵州省/遵义市", "贵州省/贵阳市"}}, true},
		{"all must match", AlarmMatch{Region: []string{"贵州省"}, Factor: []string{"w01018"}, Level: []AlarmLevel{LevelWarning}}, false},
		{"id", AlarmMatch{Alarm: []string{"x"}, Outlet: []string{"W01"}}, true},
	} {
		if got := c.m.Matches(&a); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
