package alert

import (
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"outfall/telemetry"
)

// A line is what waits for one channel, and how the channel is.
type line struct {
	ch       Channel
	index    int // in the desk's lines; quietLine
	renderer *renderer
	budget   budget
	waiting  []*delivery // in the order in which they came
	retry    []*delivery // the head of waiting that makes the next message once more, so that its key stays the same; empty: none
	busy     bool        // a job is out

	failures int       // in a row
	broken   bool      // the last answer was ClassBroken
	since    time.Time // of the first of them
	why      string    // of the last
	tries    int       // of the message at the head of waiting
	notYet   time.Time // no request before it

	firing map[string]Event // Alertmanager: what it is to hold for firing, by alarm id
	kept   time.Time        // when that was repeated last
}

// A job is one thing to be done for a line: a message to be sent and then noted, or only noted.
type job struct {
	line        *line
	message     Message
	title, body string
	deliveries  []*delivery
	tries       int                    // with this one
	noted       telemetry.NoticeResult // not empty: nothing is sent, and this is noted
	reason      string                 // of noted
	next        string                 // the channel that is tried if this one fails
}

// result is what the notices say.
func (j *job) result(done Outcome) telemetry.NoticeResult {
	switch {
	case j.noted != "":
		return j.noted
	case done.Class == ClassAccepted:
		return telemetry.NoticeAccepted
	}
	return telemetry.NoticeFailed
}

func (j *job) why(done Outcome) string {
	if j.noted != "" {
		return j.reason
	}
	return done.Why
}

const (
	firstRetry = time.Second // doubled with each failure in a row
	lastRetry  = time.Minute
	maxDigest  = 500              // events of one message
	sharpHold  = 10 * time.Second // after a full and a half hour
)

// push appends a delivery.
func (l *line) push(one *delivery) { l.waiting = append(l.waiting, one) }

// join appends a delivery to its group, whose first sets when all may go.
func (l *line) join(one *delivery, wait time.Duration, now time.Time) {
	a := &one.ev.Alarm
	one.group = a.Region + "\x00" + a.Rule + "\x00" + one.from
	one.due = now.Add(wait)
	for _, other := range l.waiting {
		if other.group == one.group {
			one.due = other.due
			break
		}
	}
	l.push(one)
}

// keep remembers for Alertmanager what is firing.
func (l *line) keep(ev *event) {
	if l.ch.Type != TypeAlertmanager {
		return
	}
	if ev.State.Ends() {
		delete(l.firing, ev.ID)
	} else {
		l.firing[ev.ID] = ev.Event
	}
}

// putBack returns a job's deliveries to the head of the line.
func (l *line) putBack(j *job) {
	l.waiting = append(slices.Clone(j.deliveries), l.waiting...)
	l.retry = nil
	if j.noted == "" {
		l.retry = j.deliveries
	}
}

// learn follows how the channel is.
func (l *line) learn(done Outcome, j *job, now time.Time) {
	if j.noted != "" {
		return
	}
	switch done.Class {
	case ClassAccepted, ClassRefused:
		l.failures, l.broken, l.why, l.tries = 0, false, "", 0
		return
	}
	if l.failures == 0 {
		l.since = now
	}
	l.failures++
	l.broken, l.why, l.tries = done.Class == ClassBroken, done.Why, j.tries
	pause := min(firstRetry<<min(l.failures-1, 10), lastRetry)
	if l.broken {
		pause = lastRetry
	}
	l.notYet = now.Add(max(pause, done.After))
}

// pollLine gives the next job of a line, or when to ask again; zero: when something comes.
func (d *desk) pollLine(l *line, now time.Time) (*job, time.Time) {
	if l.busy {
		return nil, time.Time{}
	}
	if l.index == quietLine {
		if len(l.waiting) == 0 {
			return nil, time.Time{}
		}
		return l.noteOnly(l.waitingFor(func(one *delivery) bool { return one.why == l.waiting[0].why }), telemetry.NoticeSilenced, l.waiting[0].why), time.Time{}
	}
	if late := l.waitingFor(func(one *delivery) bool { return now.Sub(one.ev.at) >= d.cfg.Deadline }); len(late) > 0 {
		why := l.why
		if why == "" {
			why = "too old when it came"
		}
		return l.noteOnly(late, telemetry.NoticeExpired, why), time.Time{}
	}
	if j := d.giveUp(l, now); j != nil {
		return j, time.Time{}
	}
	at, sooner := l.notYet, time.Time{}
	if l.failures > 0 && l.ch.Fallback != "" && len(l.waiting) > 0 {
		sooner = l.waiting[0].came.Add(d.cfg.Patience)
	}
	if hold := l.sharp(now); hold.After(at) {
		at = hold
	}
	if at.After(now) {
		if !sooner.IsZero() && sooner.Before(at) {
			at = sooner
		}
		return nil, at
	}
	if len(l.waiting) == 0 {
		return l.repeat(now)
	}
	return d.message(l, now)
}

// waitingFor is the part of the line, at most maxDigest long, that which selects.
func (l *line) waitingFor(which func(*delivery) bool) (some []*delivery) {
	for _, one := range l.waiting {
		if len(some) < maxDigest && which(one) {
			some = append(some, one)
		}
	}
	return some
}

// take removes deliveries from the line.
func (l *line) take(some []*delivery) {
	l.waiting = slices.DeleteFunc(l.waiting, func(one *delivery) bool { return slices.Contains(some, one) })
	l.retry = nil
}

// noteOnly is a job that sends nothing.
func (l *line) noteOnly(some []*delivery, what telemetry.NoticeResult, why string) *job {
	l.take(some)
	j := &job{line: l, deliveries: some, noted: what, reason: why}
	for _, one := range some {
		j.message.Events = append(j.message.Events, one.ev.Event)
	}
	j.message.Key = messageKey(l.ch.Name, j.message.Events)
	return j
}

// giveUp takes to the fallback what a channel in trouble has not taken in time: at once when nobody but a person can help, until the channel is tried
// again.
func (d *desk) giveUp(l *line, now time.Time) *job {
	if l.failures == 0 || l.ch.Fallback == "" {
		return nil
	}
	pause := l.notYet.Sub(now)
	hopeless := l.broken && pause > 0 || pause > d.cfg.Patience
	some := l.waitingFor(func(one *delivery) bool { return hopeless || now.Sub(one.came) >= d.cfg.Patience })
	if len(some) == 0 {
		return nil
	}
	j := l.noteOnly(some, telemetry.NoticeFailed, l.why)
	j.next, j.tries = l.ch.Fallback, l.tries
	return j
}

// sharp is until when a channel is spared whose vendor asks for it: the first seconds of a full and a half hour, when everybody sends. Channels
// come back at different moments.
func (l *line) sharp(now time.Time) time.Time {
	if l.ch.Type != TypeFeishu {
		return time.Time{}
	}
	h := fnv.New32a()
	h.Write([]byte(l.ch.Name))
	start := now.Truncate(30 * time.Minute)
	return start.Add(sharpHold + time.Duration(h.Sum32()%5000)*time.Millisecond)
}

// repeat tells Alertmanager once more what is firing, when it is time.
func (l *line) repeat(now time.Time) (*job, time.Time) {
	if len(l.firing) == 0 {
		return nil, time.Time{}
	}
	if at := l.kept.Add(keepEvery); at.After(now) {
		return nil, at
	}
	l.kept = now
	j := &job{line: l, message: Message{Form: FormKeep, At: now}}
	for _, e := range l.firing {
		j.message.Events = append(j.message.Events, e)
	}
	slices.SortFunc(j.message.Events, func(a, b Event) int { return strings.Compare(a.ID, b.ID) })
	return j, time.Time{}
}

// message makes the next message of the line: the one that was not taken, else the group whose time came first, or everything at once when the
// budget does not last for a message each.
func (d *desk) message(l *line, now time.Time) (*job, time.Time) {
	some, tries := l.retry, l.tries+1
	if len(some) == 0 {
		first, groups := l.firstDue(now)
		if first.due.After(now) {
			return nil, first.due
		}
		tries = 1
		together := l.ch.Type == TypeAlertmanager || l.budget.low(now, groups)
		some = l.waitingFor(func(one *delivery) bool {
			return (together || one.group == first.group) && one.from == first.from && one.why == first.why
		})
	}
	if l.budget.available(now) < 1 {
		return nil, l.budget.next(now)
	}
	j := &job{line: l, deliveries: some, tries: tries, next: l.ch.Fallback}
	if l.ch.Type == TypeAlertmanager {
		j.deliveries = onePerAlarm(some)
	}
	j.message = Message{Form: formOf(j.deliveries), From: some[0].from, Why: some[0].why, At: now}
	for _, one := range j.deliveries {
		j.message.Events = append(j.message.Events, one.ev.Event)
	}
	if l.renderer != nil {
		title, body, n, err := l.renderer.render(j.message)
		if err != nil { // of a template that took the samples: the message's fault
			j.noted, j.reason = telemetry.NoticeFailed, "template: "+err.Error()
			n = len(j.deliveries)
		}
		j.title, j.body = title, body
		j.message.More = len(j.deliveries) - n
		j.deliveries, j.message.Events = j.deliveries[:n], j.message.Events[:n]
	}
	j.message.Key = messageKey(l.ch.Name, j.message.Events)
	j.message.Events = append(j.message.Events, l.outdated(j.message.Events)...)
	l.take(j.deliveries)
	if j.noted == "" {
		l.budget.take(now)
	}
	return j, time.Time{}
}

// firstDue is the delivery that may go first, and how many groups may go at now.
func (l *line) firstDue(now time.Time) (first *delivery, groups int) {
	first = l.waiting[0]
	seen := map[string]bool{}
	for _, one := range l.waiting {
		if one.due.Before(first.due) {
			first = one
		}
		if !one.due.After(now) {
			seen[one.group] = true
		}
	}
	return first, len(seen)
}

// outdated are the alerts that Alertmanager must end because their labels are others now.
func (l *line) outdated(events []Event) (old []Event) {
	for _, e := range events {
		if before, ok := l.firing[e.ID]; ok && before.Level != e.Level {
			before.State = telemetry.AlarmCleared
			old = append(old, before)
		}
	}
	return old
}

// onePerAlarm ends the part before the second event of an alarm: in one request Alertmanager would not know which is the later one.
func onePerAlarm(some []*delivery) []*delivery {
	seen := map[string]bool{}
	for i, one := range some {
		if seen[one.ev.ID] {
			return some[:i]
		}
		seen[one.ev.ID] = true
	}
	return some
}

func formOf(some []*delivery) string {
	switch {
	case len(some) == 1:
		return FormAlarm
	case slices.ContainsFunc(some, func(one *delivery) bool { return one.group != some[0].group }):
		return FormDigest
	}
	return FormGroup
}
