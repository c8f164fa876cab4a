package alert

import (
	"maps"
	"slices"
	"time"

	"outfall/telemetry"
)

// A desk decides what is to be told to whom and when. It does no I/O and has no clock: it is told the time, never goes back, and is used by one
// goroutine. Its counterpart runs the jobs that poll gives and returns each by finish.
type desk struct {
	cfg   Config
	lines []*line // of the channels, in their order
	quiet *line   // of what is not sent but noted: silenced events

	silences map[string]*silence
	alarms   map[string]*openAlarm
	receipts map[receiptKey]receiptOf // of events that may come again; see load

	pending int // events that wait for an end
	tally   tally
	wakeAt  time.Time // of the next look for silences that hold no more
}

// tally counts what became of events.
type tally struct {
	routed, silenced, discarded, unchanged int64
}

// An event is one event of the topic that has not come to its end.
type event struct {
	Event
	partition int32
	pos       telemetry.Position
	offset    int64
	at        time.Time // the record's timestamp: receipt of what caused it
	open      int       // deliveries without an end
	ended     func()    // is told when there is none any more
	again     bool      // it was owed, see openAlarm, and comes once more
	told      bool      // a channel took it
	expired   bool      // a channel did not in time
}

// A delivery is one event on its way to one channel.
type delivery struct {
	ev        *event
	from, why string    // the channel that did not take it, and why
	came      time.Time // when it came to this channel
	due       time.Time // when it may go: its group has had its time
	group     string
}

// An openAlarm is an alarm that is not cleared.
type openAlarm struct {
	last  *event
	level telemetry.AlarmLevel // of the last event
	told  bool                 // people were told of it, or are being told, or could not be told
	owed  bool                 // nobody was told of its last news: a silence kept it back, or no channel took it in time
}

// A silence is what holds, or held.
type silence struct {
	telemetry.Action
	ended time.Time // by unsilence; zero: at To
}

// holds reports whether the silence is in force at now.
func (s *silence) holds(now time.Time) bool {
	return !now.Before(*s.From) && now.Before(*s.To) && (s.ended.IsZero() || now.Before(s.ended))
}

// A receiptKey names an event and the channel that has a receipt of it; an empty channel stands for a silence.
type receiptKey struct {
	partition int32
	pos       telemetry.Position
	channel   string
}

type receiptOf struct {
	result telemetry.NoticeResult
	next   string
	why    string
}

// newDesk takes the channels' renderers, one each and nil where a channel needs none.
func newDesk(cfg Config, renderers []*renderer) *desk {
	d := &desk{cfg: cfg, silences: map[string]*silence{}, alarms: map[string]*openAlarm{}, receipts: map[receiptKey]receiptOf{}}
	for i, ch := range cfg.Channels {
		d.lines = append(d.lines, &line{ch: ch, index: i, renderer: renderers[i], budget: budgetOf(ch), firing: map[string]Event{}})
	}
	d.quiet = &line{index: quietLine, firing: map[string]Event{}}
	return d
}

// quietLine is the index of the line without a channel.
const quietLine = -1

func (d *desk) line(name string) *line {
	for _, l := range d.lines {
		if l.ch.Name == name {
			return l
		}
	}
	return nil
}

// act takes an action of the topic. Notices are known from their own writing, or by load.
func (d *desk) act(a *telemetry.Action) {
	d.wakeAt = time.Time{}
	switch a.Verb {
	case telemetry.VerbSilence:
		if d.silences[a.ID] == nil {
			d.silences[a.ID] = &silence{Action: *a}
		}
	case telemetry.VerbUnsilence:
		if s := d.silences[a.Silence]; s != nil && s.ended.IsZero() {
			s.ended = a.When
		}
	}
}

// silencedBy is the silence that holds for a at now; nil: none.
func (d *desk) silencedBy(a *telemetry.Alarm, now time.Time) *silence {
	var by *silence
	for _, s := range d.silences {
		if s.holds(now) && s.Match.Matches(a) && (by == nil || s.ID < by.ID) { // the same one, whatever the order of the map
			by = s
		}
	}
	return by
}

// add takes the next event of the topic. Its ended is called, during this call or a later one of finish, when nothing is to be done for it any more.
func (d *desk) add(ev *event, now time.Time) {
	a := &ev.Alarm
	if a.State.ByPeople() { // they know
		d.pending++
		ev.open = 1
		d.tally.unchanged++
		d.end(ev)
		return
	}
	before, alarm := d.follow(ev)
	d.pending++
	ev.open = 1 // this call's own, so that it can't end before it is known where it goes
	by := d.silencedBy(a, now)
	cleared := a.State.Ends()
	_, noted := d.receipts[receiptKey{ev.partition, ev.pos, ""}] // it was silenced before the restart
	switch {
	case cleared && !alarm.told: // people were not told that it began
		d.tally.silenced++
	case (by != nil || noted) && !cleared:
		d.tally.silenced++
		if news := a.State == telemetry.AlarmRaised || before != a.Level; news {
			alarm.owed = true
			if !noted {
				d.quiet.push(&delivery{ev: ev, came: now, due: now, why: by.ID})
				ev.open++
			}
		}
	case d.route(ev, before, now):
		alarm.told, alarm.owed = true, false
	}
	d.end(ev)
}

// follow keeps the last event of an alarm while it is open. before is the level of the event before, empty if none is known: then people may have
// been told of the alarm, unless this event raises it.
func (d *desk) follow(ev *event) (before telemetry.AlarmLevel, alarm *openAlarm) {
	a := &ev.Alarm
	alarm = d.alarms[a.ID]
	if alarm == nil || a.State == telemetry.AlarmRaised {
		alarm = &openAlarm{told: a.State != telemetry.AlarmRaised}
	}
	before = alarm.level
	alarm.last, alarm.level = ev, a.Level
	if a.State.Ends() {
		delete(d.alarms, a.ID)
	} else {
		d.alarms[a.ID] = alarm
	}
	return before, alarm
}

// route gives the event to the channels of its routes, and reports whether there is one.
func (d *desk) route(ev *event, before telemetry.AlarmLevel, now time.Time) bool {
	names := d.cfg.channelsOf(&ev.Alarm, now)
	if len(names) == 0 {
		d.tally.discarded++
		return false
	}
	took := false
	for _, name := range names {
		l := d.line(name)
		if !ev.again && !l.ch.takes(&ev.Alarm, before) {
			continue
		}
		took = true
		d.hand(l, &delivery{ev: ev}, now)
	}
	if took {
		d.tally.routed++
	} else {
		d.tally.unchanged++
	}
	return true
}

// hand gives a delivery to a channel, or, where a receipt says that this one had it, to the one that comes after it.
func (d *desk) hand(l *line, one *delivery, now time.Time) {
	for {
		r, ok := d.receipts[receiptKey{one.ev.partition, one.ev.pos, l.ch.Name}]
		if !ok {
			break
		}
		next := d.line(r.next)
		if r.result != telemetry.NoticeFailed || next == nil {
			if r.result == telemetry.NoticeAccepted {
				one.ev.told = true
				l.keep(one.ev)
			}
			return
		}
		one.from, one.why, l = l.ch.Name, r.why, next
	}
	one.came = now
	one.ev.open++
	l.join(one, d.cfg.GroupWait, now)
}

// end counts the end of one of the event's ways.
func (d *desk) end(ev *event) {
	if ev.open--; ev.open == 0 {
		d.pending--
		if o := d.alarms[ev.ID]; o != nil && o.last == ev && ev.expired && !ev.told {
			o.owed = true // it is open still: people must hear of it when a channel works again
		}
		for _, l := range d.lines {
			delete(d.receipts, receiptKey{ev.partition, ev.pos, l.ch.Name})
		}
		delete(d.receipts, receiptKey{ev.partition, ev.pos, ""})
		if ev.ended != nil {
			ev.ended()
		}
	}
}

// wake looks for open alarms whose last news nobody was told of, and that no silence keeps back now, and tells of them as they stand.
func (d *desk) wake(now time.Time) {
	if now.Before(d.wakeAt) {
		return
	}
	d.wakeAt = now.Add(time.Second)
	for _, id := range slices.Sorted(maps.Keys(d.alarms)) {
		o := d.alarms[id]
		if !o.owed || o.last.open > 0 || d.silencedBy(&o.last.Alarm, now) != nil {
			continue
		}
		ev := *o.last
		ev.ended, ev.again, ev.open, ev.at, ev.told, ev.expired = nil, true, 1, now, false, false
		o.last, o.owed = &ev, false
		d.pending++
		o.told = d.route(&ev, "", now) || o.told
		d.end(&ev)
	}
	for id, s := range d.silences { // what was over for so long kept back nothing of an alarm that is known
		if now.Sub(*s.To) > telemetry.MaxSilence {
			delete(d.silences, id)
		}
	}
}

// poll gives the jobs that are to be run now, at most one a line, and the time of the next call at the latest.
func (d *desk) poll(now time.Time) (jobs []*job, next time.Time) {
	d.wake(now)
	next = now.Add(time.Second) // silences end by the clock
	for _, l := range append(slices.Clone(d.lines), d.quiet) {
		j, at := d.pollLine(l, now)
		if j != nil {
			l.busy = true
			jobs = append(jobs, j)
		}
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return jobs, next
}

// finish takes back a job of poll: done is what it came to, and its notices are durable. With lost the notices are not: the job is as if it had
// not been.
func (d *desk) finish(j *job, done Outcome, now time.Time, lost bool) {
	l := j.line
	l.busy = false
	if lost {
		l.putBack(j)
		return
	}
	l.learn(done, j, now)
	switch {
	case j.message.Form == FormKeep:
		return
	case j.noted == "" && done.Class == ClassLater, j.noted == "" && done.Class == ClassBroken:
		l.putBack(j)
		return
	}
	result := j.result(done)
	for _, one := range j.deliveries {
		one.ev.expired = one.ev.expired || result == telemetry.NoticeExpired
		if next := d.line(j.next); result == telemetry.NoticeFailed && next != nil {
			d.hand(next, &delivery{ev: one.ev, from: l.ch.Name, why: j.why(done)}, now)
		}
		if result == telemetry.NoticeAccepted {
			one.ev.told = true
			l.keep(one.ev)
		}
		d.end(one.ev)
	}
}
