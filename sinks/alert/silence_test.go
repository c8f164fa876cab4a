package alert

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"outfall/telemetry"
)

// quiet is a silence of everything in Guiyang from now on.
func quiet(id string, length time.Duration) *telemetry.Action {
	from := time.Now()
	to := from.Add(length)
	return &telemetry.Action{V: 1, ID: id, Verb: telemetry.VerbSilence, From: &from, To: &to, Who: "li", When: from,
		Match: &telemetry.AlarmMatch{Region: []string{"贵州省/贵阳市"}}}
}

// What a silence keeps back, what it doesn't, and what is told when it ends.
func TestSilence(t *testing.T) {
	type step func(r *rig)
	event := func(id string, state telemetry.AlarmState, level telemetry.AlarmLevel) step {
		return func(r *rig) {
			r.add(func(a *telemetry.Alarm) { a.ID, a.MN, a.State, a.Level = id, "MN"+id, state, level })
			r.run(10 * time.Second)
		}
	}
	silence := func(r *rig) { r.desk.act(quiet("q", time.Hour)); r.run(time.Second) }
	over := func(r *rig) { r.run(time.Hour) }
	ended := func(r *rig) {
		r.desk.act(&telemetry.Action{V: 1, ID: "u", Verb: telemetry.VerbUnsilence, Silence: "q", Who: "li", When: time.Now()})
		r.run(10 * time.Second)
	}
	const raised, updated, cleared = telemetry.AlarmRaised, telemetry.AlarmUpdated, telemetry.AlarmCleared
	const warning, exceed = telemetry.LevelWarning, telemetry.LevelExceed
	for _, c := range []struct {
		name     string
		steps    []step
		want     string
		silenced int
	}{
		{"before it", []step{event("a", raised, exceed), silence, over}, "[raised]", 0},
		{"raised, over: told", []step{silence, event("a", raised, exceed), over}, "[raised]", 1},
		{"raised, ended by hand: told", []step{silence, event("a", raised, exceed), ended}, "[raised]", 1},
		{"raised and cleared: nobody needs to know", []step{silence, event("a", raised, exceed), event("a", cleared, exceed), over}, "[]", 1},
		{"told, then cleared in it: told", []step{event("a", raised, exceed), silence, event("a", cleared, exceed), over}, "[raised cleared]", 0},
		{"worse in it: told at its end, as it stands", []step{event("a", raised, warning), silence, event("a", updated, exceed), event("a", updated, exceed), over}, "[raised updated]", 1},
		{"no news in it", []step{event("a", raised, exceed), silence, event("a", updated, exceed), over}, "[raised]", 0},
		{"raised in it, cleared after it: both", []step{silence, event("a", raised, exceed), ended, event("a", cleared, exceed)}, "[raised cleared]", 1},
		{"a second silence holds on", []step{silence, event("a", raised, exceed), func(r *rig) { r.desk.act(quiet("q2", 2*time.Hour)) }, over}, "[]", 1},
	} {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restarts=%v", c.name, restarts), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					v := &vendor{typ: TypeDingTalk}
					cfg := DefaultConfig()
					cfg.Channels, cfg.Default = []Channel{v.channel(t, "duty")}, []string{"duty"}
					r := newRig(t, cfg, map[string]*vendor{"duty": v})
					var actions []*telemetry.Action
					for _, s := range c.steps {
						s(r)
						for _, one := range r.desk.silences {
							actions = append(actions, &one.Action)
						}
						if restarts {
							r = recalled(r, actions)
						}
					}
					r.run(10 * time.Second)
					var told []telemetry.AlarmState
					silenced := 0
					for _, n := range r.notices {
						switch n.Notice.Result {
						case telemetry.NoticeAccepted:
							told = append(told, r.state[n.Notice.Events[0].Source])
						case telemetry.NoticeSilenced:
							silenced++
						}
					}
					if fmt.Sprint(told) != c.want || silenced != c.silenced {
						t.Errorf("told %v, silenced %d; want %s, %d", told, silenced, c.want, c.silenced)
					}
					if len(v.got()) != len(told) {
						t.Errorf("%d messages, %d receipts", len(v.got()), len(told))
					}
				})
			})
		}
	}
}

// recalled is a rig whose process died when everything was committed.
func recalled(r *rig, silences []*telemetry.Action) *rig {
	next := r.restart()
	next.source = r.source
	re := newRecall(next.desk, []telemetry.Position{{Source: r.source}}, time.Now())
	next.desk.receipts, next.desk.alarms = map[receiptKey]receiptOf{}, map[string]*openAlarm{}
	for _, s := range silences {
		re.action(0, s)
	}
	for id, s := range r.desk.silences {
		if !s.ended.IsZero() {
			next.desk.act(&telemetry.Action{Verb: telemetry.VerbUnsilence, Silence: id, When: s.ended})
		}
	}
	for i := range r.notices {
		re.action(0, &r.notices[i])
	}
	for _, ev := range r.all {
		again := &event{Event: ev.Event, partition: ev.partition, pos: ev.pos, at: ev.at}
		re.alarm(again)
	}
	re.end()
	next.all, next.state = r.all, r.state
	return next
}

// Alertmanager is told of open alarms once a minute, also after a restart, and its old alert ends when the level changes.
func TestAlertmanagerKeepsFiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{typ: TypeAlertmanager}
		cfg := DefaultConfig()
		cfg.Channels, cfg.Default = []Channel{v.channel(t, "am")}, []string{"am"}
		r := newRig(t, cfg, map[string]*vendor{"am": v})
		set := func(state telemetry.AlarmState, level telemetry.AlarmLevel) {
			r.add(func(a *telemetry.Alarm) { a.ID, a.MN, a.State, a.Level = "a", "MNa", state, level })
		}
		// holds is what Alertmanager holds for firing now.
		holds := func() (firing []string) {
			ends := map[string]time.Time{}
			for _, m := range v.got() {
				var alerts []amAlert
				mustUnmarshal(t, m.body, &alerts)
				for _, a := range alerts {
					ends[a.Labels["alarm"]+" "+a.Labels["severity"]] = a.EndsAt
				}
			}
			for _, severity := range []string{"warning", "exceed"} {
				if ends["a "+severity].After(time.Now()) {
					firing = append(firing, severity)
				}
			}
			return firing
		}
		set(telemetry.AlarmRaised, telemetry.LevelWarning)
		r.run(20 * time.Minute)
		if got := fmt.Sprint(holds()); got != "[warning]" {
			t.Errorf("after 20 minutes: %s", got)
		}
		if n := len(v.got()); n < 20 || n > 22 {
			t.Errorf("%d requests in 20 minutes", n)
		}
		r = recalled(r, nil)
		r.run(20 * time.Minute)
		if got := fmt.Sprint(holds()); got != "[warning]" {
			t.Errorf("20 minutes after a restart: %s", got)
		}
		set(telemetry.AlarmUpdated, telemetry.LevelExceed)
		r.run(10 * time.Second)
		if got := fmt.Sprint(holds()); got != "[exceed]" {
			t.Errorf("after it got worse: %s", got)
		}
		set(telemetry.AlarmCleared, telemetry.LevelExceed)
		r.run(10 * time.Second)
		if got := fmt.Sprint(holds()); got != "[]" {
			t.Errorf("after its end: %s", got)
		}
		n := len(v.got())
		r.run(time.Hour)
		if len(v.got()) != n {
			t.Error("it goes on about an alarm that is over")
		}
	})
}
