package alert

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"outfall/telemetry"
)

// Whatever the channels answer, and whenever the process dies: every event comes to its end on every channel of its route, nothing with a receipt is
// sent again, no robot is muted, and the budgets hold.
func TestDeskUnderFaults(t *testing.T) {
	seeds := 16
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { deskUnderFaults(t, rand.New(rand.NewPCG(uint64(seed), 212))) })
		})
	}
}

func deskUnderFaults(t *testing.T, rnd *rand.Rand) {
	bad := true // the first half
	trouble := func(int) (int, string, bool) {
		switch n := rnd.IntN(100); {
		case !bad || n < 70:
			return 0, "", false
		case n < 80:
			return 503, "away", false
		case n < 90:
			return 504, "taken, the answer lost", true
		case n < 95:
			return 401, "broken", false
		}
		return 400, "refused", false
	}
	ding, wecom, hook := &vendor{typ: TypeDingTalk, answer: trouble}, &vendor{typ: TypeWeCom}, &vendor{typ: TypeWebhook, answer: trouble}
	cfg := DefaultConfig()
	cfg.Channels = []Channel{ding.channel(t, "ding"), wecom.channel(t, "wecom"), hook.channel(t, "hook")}
	cfg.Channels[0].Fallback = "wecom"
	cfg.Default = []string{"ding", "hook"}
	r := newRig(t, cfg, map[string]*vendor{"ding": ding, "wecom": wecom, "hook": hook})
	r.once = map[string]bool{}
	committed := int64(0) // events up to it have ended, and Kafka knows
	for range 60 {
		for range rnd.IntN(4) {
			r.add(func(a *telemetry.Alarm) { a.Region = fmt.Sprintf("贵州省/贵阳市/%d", rnd.IntN(5)) })
		}
		r.run(time.Duration(rnd.IntN(20_000)) * time.Millisecond)
		if rnd.IntN(3) == 0 {
			for committed < int64(len(r.all)) && r.ended[r.all[committed].Key] > 0 {
				committed++
			}
		}
		if rnd.IntN(10) == 0 {
			r.crash = true
			r.run(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			r = died(r, committed)
		}
	}
	bad = false
	r.run(time.Hour)
	if ding.mutes+wecom.mutes > 0 {
		t.Errorf("muted: %d, %d", ding.mutes, wecom.mutes)
	}
	final := map[string]telemetry.NoticeResult{}
	for _, a := range r.notices {
		for _, e := range a.Notice.Events {
			final[fmt.Sprintf("%s %d", a.Notice.Channel, e.Source)] = a.Notice.Result
		}
	}
	for _, ev := range r.all {
		at := ev.pos.Source
		onDing, onHook, onWeCom := final[fmt.Sprintf("ding %d", at)], final[fmt.Sprintf("hook %d", at)], final[fmt.Sprintf("wecom %d", at)]
		if onHook == "" || onDing == "" || (onDing == telemetry.NoticeFailed) != (onWeCom == telemetry.NoticeAccepted) {
			t.Errorf("event %d: ding %q, wecom %q, hook %q", at, onDing, onWeCom, onHook)
		}
		if at > committed && r.ended[ev.Key] != 1 {
			t.Errorf("event %d ended %d times", at, r.ended[ev.Key])
		}
	}
	if r.desk.pending != 0 || len(r.desk.receipts) != 0 {
		t.Errorf("%d events wait, %d receipts are kept", r.desk.pending, len(r.desk.receipts))
	}
}

// died is the rig of the next process: what is committed is known by the notices alone, the rest comes again.
func died(r *rig, committed int64) *rig {
	next := r.restart()
	next.all, next.state, next.source, next.once = r.all, r.state, r.source, r.once
	next.desk = newDesk(r.desk.cfg, renderersOf(r.desk))
	re := newRecall(next.desk, []telemetry.Position{{Source: committed}}, time.Now())
	for i := range r.notices {
		re.action(0, &r.notices[i])
	}
	for _, ev := range r.all[:committed] {
		re.alarm(&event{Event: ev.Event, pos: ev.pos, at: ev.at})
	}
	re.end()
	for _, ev := range r.all[committed:] {
		again := &event{Event: ev.Event, pos: ev.pos, at: ev.at}
		again.ended = func() { next.ended[ev.Key]++ }
		next.desk.add(again, time.Now())
	}
	return next
}

func renderersOf(d *desk) (all []*renderer) {
	for _, l := range d.lines {
		all = append(all, l.renderer)
	}
	return all
}
