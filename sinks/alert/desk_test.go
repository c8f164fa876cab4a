package alert

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outfall/telemetry"
)

// until sleeps to a wall clock of UTC+8 in the bubble, whose time begins at 2000-01-01 00:00:00 UTC.
func until(hour, minute, second int) {
	now := time.Now().In(telemetry.China)
	time.Sleep(time.Date(now.Year(), now.Month(), now.Day(), hour, minute, second, 0, telemetry.China).Sub(now))
}

// 40 alarms at 11:00:00 reach people on every robot, and none of them is muted or throttled.
func TestFortyAlarmsAtTheFullHour(t *testing.T) {
	for _, typ := range []string{TypeDingTalk, TypeWeCom, TypeFeishu} {
		for _, counties := range []int{1, 10, 40} {
			t.Run(fmt.Sprintf("%s/counties=%d", typ, counties), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					until(11, 0, 0)
					v := &vendor{typ: typ}
					cfg := DefaultConfig()
					cfg.Channels, cfg.Default = []Channel{v.channel(t, "duty")}, []string{"duty"}
					r := newRig(t, cfg, map[string]*vendor{"duty": v})
					for i := range 40 {
						r.add(func(a *telemetry.Alarm) {
							a.Region = fmt.Sprintf("贵州省/贵阳市/第%d区", i%counties)
							a.Outlet = fmt.Sprintf("DA%03d", i)
						})
						r.run(25 * time.Millisecond)
					}
					began := time.Now()
					r.run(5 * time.Minute)
					if v.mutes != 0 || len(v.refused) > 0 {
						t.Errorf("muted or throttled %d times; refused: %q", v.mutes, v.refused)
					}
					text := v.text()
					for i := range 40 {
						if !strings.Contains(text, fmt.Sprintf("DA%03d", i)) {
							t.Errorf("nobody heard of DA%03d", i)
						}
					}
					if len(r.ended) != 40 || r.results("duty")[telemetry.NoticeAccepted] != 40 {
						t.Errorf("%d events ended, notices %v", len(r.ended), r.results("duty"))
					}
					got := v.got()
					last := got[len(got)-1].at.Sub(began)
					t.Logf("%d messages, the last %v after the alarms", len(got), last)
					if last > 45*time.Second {
						t.Errorf("the last message came after %v", last)
					}
				})
			})
		}
	}
}

// An hour of five alarms a second: more than any robot may be sent one by one. Everything is told, nothing is muted.
func TestFloodKeepsToTheBudget(t *testing.T) {
	for _, typ := range []string{TypeDingTalk, TypeWeCom, TypeFeishu} {
		t.Run(typ, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				until(10, 50, 0)
				v := &vendor{typ: typ}
				cfg := DefaultConfig()
				cfg.Channels, cfg.Default = []Channel{v.channel(t, "duty")}, []string{"duty"}
				r := newRig(t, cfg, map[string]*vendor{"duty": v})
				const n = 600
				for i := range n {
					r.add(func(a *telemetry.Alarm) { a.Region = fmt.Sprintf("贵州省/遵义市/第%d区", i%20) })
					r.run(2 * time.Second)
				}
				r.run(10 * time.Minute)
				if v.mutes != 0 || len(v.refused) > 0 {
					t.Errorf("muted or throttled %d times; refused: %q", v.mutes, v.refused)
				}
				if got := r.results("duty")[telemetry.NoticeAccepted]; got != n || len(r.ended) != n {
					t.Errorf("%d accepted, %d ended, want %d", got, len(r.ended), n)
				}
			})
		})
	}
}

// A muted robot: the fallback gets the messages, with the reason, and the robot is left alone until it may speak again.
func TestMutedRobotFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ding, mail := &vendor{typ: TypeDingTalk}, &vendor{typ: TypeWeCom}
		cfg := DefaultConfig()
		cfg.Channels, cfg.Default = []Channel{ding.channel(t, "ding"), mail.channel(t, "wecom")}, []string{"ding"}
		cfg.Channels[0].Fallback = "wecom"
		r := newRig(t, cfg, map[string]*vendor{"ding": ding, "wecom": mail})
		ding.mutedTill = time.Now().Add(8 * time.Minute) // somebody else used the robot too
		first := r.add(nil)
		r.run(5 * time.Second)
		if !strings.Contains(mail.text(), "备用通道发送**:通道 ding 未能送达(130101 send too fast") {
			t.Errorf("the fallback said %q", mail.text())
		}
		if ding.requests != 1 {
			t.Errorf("%d requests to a muted robot", ding.requests)
		}
		if n := r.results("ding"); n[telemetry.NoticeFailed] != 1 || r.notices[0].Notice.Next != "wecom" {
			t.Errorf("notices %+v", r.notices)
		}
		if r.ended[first.Key] != 1 {
			t.Errorf("the event ended %d times", r.ended[first.Key])
		}
		r.run(11 * time.Minute)
		r.add(nil)
		r.run(5 * time.Second)
		if got := r.results("ding"); got[telemetry.NoticeAccepted] != 1 {
			t.Errorf("after the mute: %v", got)
		}
	})
}

// A channel that somebody had to repair is tried again by itself, and while it is broken nothing waits for it.
func TestBrokenChannelIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := true
		hook, other := &vendor{typ: TypeWebhook}, &vendor{typ: TypeWebhook}
		hook.answer = func(int) (int, string, bool) {
			if broken {
				return 401, "who are you", false
			}
			return 0, "", false
		}
		cfg := DefaultConfig()
		cfg.Channels, cfg.Default = []Channel{hook.channel(t, "hook"), other.channel(t, "other")}, []string{"hook"}
		cfg.Channels[0].Fallback = "other"
		r := newRig(t, cfg, map[string]*vendor{"hook": hook, "other": other})
		for range 20 {
			r.add(nil)
			r.run(10 * time.Second)
		}
		if n := len(other.got()); n != 20 || hook.requests < 3 || hook.requests > 5 {
			t.Errorf("%d by the fallback, %d requests to the broken channel", n, hook.requests)
		}
		broken = false
		r.run(time.Minute)
		r.add(nil)
		r.run(5 * time.Second)
		if len(hook.got()) != 1 || len(other.got()) != 20 {
			t.Errorf("repaired: %d and %d messages", len(hook.got()), len(other.got()))
		}
	})
}

// Later, refused, broken: what each leads to.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name     string
		answer   func(n int) (int, string, bool)
		fallback bool
		run      time.Duration
		want     map[telemetry.NoticeResult]int // of the channel
		requests int
	}{
		{"twice away, then well", func(n int) (int, string, bool) {
			if n <= 2 {
				return 503, "away", false
			}
			return 0, "", false
		}, false, time.Minute, map[telemetry.NoticeResult]int{telemetry.NoticeAccepted: 1}, 3},
		{"away for long: the fallback after the patience", func(int) (int, string, bool) { return 502, "", false }, true, 3 * time.Minute,
			map[telemetry.NoticeResult]int{telemetry.NoticeFailed: 1}, 0},
		{"away until the deadline", func(int) (int, string, bool) { return 502, "", false }, false, 61 * time.Minute,
			map[telemetry.NoticeResult]int{telemetry.NoticeExpired: 1}, 0},
		{"refused: this message never", func(int) (int, string, bool) { return 400, "no", false }, false, time.Minute,
			map[telemetry.NoticeResult]int{telemetry.NoticeFailed: 1}, 1},
		{"broken: the fallback at once", func(int) (int, string, bool) { return 403, "no", false }, true, 5 * time.Second,
			map[telemetry.NoticeResult]int{telemetry.NoticeFailed: 1}, 1},
		{"a redirect is not followed", func(int) (int, string, bool) { return 302, "", false }, true, 5 * time.Second,
			map[telemetry.NoticeResult]int{telemetry.NoticeFailed: 1}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook, other := &vendor{typ: TypeWebhook, answer: c.answer}, &vendor{typ: TypeWebhook}
				cfg := DefaultConfig()
				cfg.Deadline = time.Hour
				cfg.Channels, cfg.Default = []Channel{hook.channel(t, "hook"), other.channel(t, "other")}, []string{"hook"}
				if c.fallback {
					cfg.Channels[0].Fallback = "other"
				}
				r := newRig(t, cfg, map[string]*vendor{"hook": hook, "other": other})
				ev := r.add(nil)
				r.run(c.run)
				if got := r.results("hook"); fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("notices %v, want %v", got, c.want)
				}
				if c.requests > 0 && hook.requests != c.requests {
					t.Errorf("%d requests, want %d", hook.requests, c.requests)
				}
				if r.ended[ev.Key] != 1 {
					t.Errorf("the event ended %d times", r.ended[ev.Key])
				}
				if got := len(other.got()); got != map[bool]int{true: 1}[c.fallback] {
					t.Errorf("the fallback got %d", got)
				}
			})
		})
	}
}

// A channel that is away for longer than the deadline: what is over by then is given up, what is still open is told when the channel is back, once,
// whether the process was started again or not.
func TestOpenAlarmsOutliveTheDeadline(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%v", restart), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				away := true
				hook := &vendor{typ: TypeWebhook, answer: func(int) (int, string, bool) {
					if away {
						return 503, "away", false
					}
					return 0, "", false
				}}
				cfg := DefaultConfig()
				cfg.Channels, cfg.Default = []Channel{hook.channel(t, "hook")}, []string{"hook"}
				r := newRig(t, cfg, map[string]*vendor{"hook": hook})
				r.add(func(a *telemetry.Alarm) { a.ID, a.MN = "over", "A1" })
				r.add(func(a *telemetry.Alarm) { a.ID, a.MN, a.State = "over", "A1", telemetry.AlarmCleared })
				open := r.add(func(a *telemetry.Alarm) { a.ID, a.MN = "open", "A2" })
				r.run(25 * time.Hour)
				if got := r.results("hook"); got[telemetry.NoticeExpired] != 3 || r.ended[open.Key] != 1 {
					t.Errorf("after the deadline: %v, ended %d", got, r.ended[open.Key])
				}
				if restart {
					r = recalled(r, nil)
				}
				away = false
				r.run(5 * time.Minute)
				if got := heard(hook); fmt.Sprint(got) != "[W01 raised]" {
					t.Errorf("heard %v", got)
				}
			})
		})
	}
}

// A message that is sent again after an answer that never came has the same key, whatever has come meanwhile.
func TestRepetitionKeepsItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &vendor{typ: TypeWebhook, answer: func(n int) (int, string, bool) {
			if n == 1 {
				return 504, "taken, and the answer lost", true
			}
			return 0, "", false
		}}
		cfg := DefaultConfig()
		cfg.Channels, cfg.Default = []Channel{hook.channel(t, "hook")}, []string{"hook"}
		r := newRig(t, cfg, map[string]*vendor{"hook": hook})
		r.add(nil)
		r.run(700 * time.Millisecond)
		r.add(nil) // of the same group
		r.run(time.Minute)
		got := hook.got()
		if len(got) != 3 || got[0].key != got[1].key || got[1].key == got[2].key {
			t.Errorf("%d messages, keys %v", len(got), got)
		}
	})
}

// A restart between request and receipt repeats the message with its key; one after the receipt repeats nothing.
func TestRestartRepeatsNothingWithAReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &vendor{typ: TypeWebhook}
		cfg := DefaultConfig()
		cfg.Channels, cfg.Default = []Channel{hook.channel(t, "hook")}, []string{"hook"}
		r := newRig(t, cfg, map[string]*vendor{"hook": hook})
		r.crash = true
		ev := r.add(nil)
		r.run(time.Minute)
		if len(hook.got()) != 1 || len(r.notices) != 0 {
			t.Fatalf("%d messages, %d notices", len(hook.got()), len(r.notices))
		}
		again := func(r *rig) {
			ev := *ev
			ev.ended = func() { r.ended[ev.Key]++ }
			r.desk.add(&ev, time.Now())
			r.run(time.Minute)
			if r.ended[ev.Key] != 1 {
				t.Errorf("the event ended %d times", r.ended[ev.Key])
			}
		}
		r = r.restart()
		again(r)
		got := hook.got()
		if len(got) != 2 || got[0].key != got[1].key {
			t.Errorf("%d messages, want the same twice", len(got))
		}
		again(r.restart())
		if len(hook.got()) != 2 {
			t.Errorf("%d messages after a restart with the receipt there", len(hook.got()))
		}
	})
}

// What went out in the last minute counts for the budget after a restart.
func TestRestartKeepsTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{typ: TypeDingTalk}
		cfg := DefaultConfig()
		cfg.Channels, cfg.Default = []Channel{v.channel(t, "duty")}, []string{"duty"}
		r := newRig(t, cfg, map[string]*vendor{"duty": v})
		for range 6 { // a process that is killed every few seconds
			for range 8 {
				r.add(func(a *telemetry.Alarm) { a.Region = "贵州省/贵阳市/" + a.ID })
			}
			r.run(3 * time.Second)
			source := r.source
			r = r.restart()
			r.source = source
		}
		if v.mutes > 0 {
			t.Errorf("the robot was muted after %d messages", len(v.got()))
		}
	})
}
