package alert

import (
	"slices"
	"time"

	"outfall/telemetry"
)

// A recall brings a new desk to where the one before it ended, from what is in Kafka: first the actions, then the alarms before the committed
// offsets, each topic in the order of its partitions.
type recall struct {
	desk      *desk
	now       time.Time
	committed []telemetry.Position // of each partition: what is not beyond it has its end
	history   map[string]told      // by alarm id
	sent      map[string]sending   // messages of the last minute, by key
}

// told is what the notices say about an alarm.
type told struct {
	told     bool
	owed     bool
	accepted telemetry.Position // of the event that a channel took last
}

type sending struct {
	line *line
	at   time.Time
}

// budgetMemory is how far back messages count for the budgets.
const budgetMemory = time.Minute

func newRecall(d *desk, committed []telemetry.Position, now time.Time) *recall {
	return &recall{desk: d, now: now, committed: committed, history: map[string]told{}, sent: map[string]sending{}}
}

// action takes a record of the topic actions.
func (r *recall) action(partition int32, a *telemetry.Action) {
	r.desk.act(a)
	if a.Verb != telemetry.VerbNotice {
		return
	}
	n := a.Notice
	channel := n.Channel
	if n.Result == telemetry.NoticeSilenced {
		channel = ""
	}
	for _, e := range n.Events {
		pos := telemetry.Position{Source: e.Source, Ordinal: e.Ordinal}
		if pos.After(r.committed[partition]) {
			r.desk.receipts[receiptKey{partition, pos, channel}] = receiptOf{n.Result, n.Next, n.Reason}
		}
		h := r.history[e.Alarm]
		switch {
		case n.Result == telemetry.NoticeSilenced:
			h.owed = true
		case n.Result == telemetry.NoticeExpired:
			h = told{told: true, owed: h.accepted != pos}
		case n.Result == telemetry.NoticeAccepted:
			h = told{told: true, accepted: pos}
		case n.Next == "":
			h.told = true
		}
		r.history[e.Alarm] = h
	}
	if l := r.desk.line(n.Channel); l != nil && n.Result == telemetry.NoticeAccepted && r.now.Sub(a.When) < budgetMemory {
		r.sent[n.Message] = sending{l, a.When}
	}
}

// alarm takes an event before the committed offset of its partition.
func (r *recall) alarm(ev *event) { r.desk.follow(ev) }

// end is called when all is recalled.
func (r *recall) end() {
	d := r.desk
	for id, o := range d.alarms {
		h, known := r.history[id]
		o.told, o.owed = !known || h.told, h.owed
		if !o.told {
			continue
		}
		for _, name := range d.cfg.channelsOf(&o.last.Alarm, r.now) {
			if l := d.line(name); l != nil {
				l.keep(o.last)
			}
		}
	}
	times := make([]sending, 0, len(r.sent))
	for _, s := range r.sent {
		times = append(times, s)
	}
	slices.SortFunc(times, func(a, b sending) int { return a.at.Compare(b.at) })
	for _, s := range times {
		s.line.budget.take(s.at)
	}
}
