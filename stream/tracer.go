package stream

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/store"
	"outfall/stream/fold"
	"outfall/stream/window"
	"outfall/telemetry"
)

// A Use is a value that a frame carries for a traced window, and what became of it. Field order is the form of trace's JSON.
type Use struct {
	Offset   int64     `json:"offset"`   // of the frame in the journal
	Received time.Time `json:"received"` // by the gateway
	Gateway  string    `json:"gateway"`
	Peer     string    `json:"peer"`
	Conn     string    `json:"conn"`
	CN       string    `json:"cn"`
	QN       string    `json:"qn"`
	Time     time.Time `json:"time"`  // the record's, UTC
	Value    string    `json:"value"` // as sent
	Mark     string    `json:"mark"`  // the data mark as sent
	Counted  bool      `json:"counted"`
	Why      string    `json:"why,omitempty"` // it was not counted, or how it was
	Frame    []byte    `json:"-"`             // the exact bytes

	carried fold.Carried
	shown   bool // it became a point of its own
}

// A target is an output whose frames are looked for.
type target struct {
	mn string
	about
	source int64 // the output's: what comes later changes nothing of it
	uses   []*Use
	fills  map[int64]fill   // by the start of a minute slot
	gone   map[int64]string // hours that marks leave nothing of, by their start: the marks
}

// A fill is what gave a minute slot its value last.
type fill struct {
	offset int64 // of the entry that published the value
	by     int64 // of the frame that holds the record; -1: the slot was made of real-time values
	mean   telemetry.Fixed
	out    string // marks that keep it out of every mean; empty: none
}

func newTarget(mn string, a about, source int64) *target {
	if a.end == a.start {
		a.end++ // an instant, or a minute of whatever length
	}
	return &target{mn: mn, about: a, source: source, fills: map[int64]fill{}, gone: map[int64]string{}}
}

// whole reports whether the target is the entry itself: an output that speaks of no window.
func (t *target) whole() bool { return t.start == 0 }

// earliest is when the first frame may have been received that has a part in the target.
func (t *target) earliest(received time.Time) time.Time {
	if t.whole() {
		return received
	}
	return time.UnixMilli(t.start).Add(-receiptJitter)
}

func (t *target) wants(c *fold.Carried) bool {
	switch {
	case t.whole() || t.factor != "" && t.factor != c.Factor || c.DataTime == "":
		return false
	case t.stat == telemetry.StatInstant:
		return c.CN == "2011" && c.At == t.start
	case t.factor == "":
		return c.CN == "2051" && c.Start >= t.start && c.Start < t.end
	}
	return (c.CN == "2051" || c.CN == "2011") && c.Start >= t.start && c.Start < t.end
}

// A tracer folds one partition as far as the devices of its targets go, and follows what their frames bring. Devices do not depend on one
// another: a device alone gives the same values; only the ordinals, and the nanoseconds of alarm points, count the others too.
type tracer struct {
	targets  map[string][]*target // by MN
	last     int64                // greatest source
	held     map[string][]*Use    // packets without a time of their own, by MN, newest last
	notes    []string
	st       *fold.State
	onOutput func(e *telemetry.Entry, o *telemetry.Output) // may be nil

	outputs []telemetry.Output // of the entry at hand
	dated   []*Use             // all that it carries
	current map[*target][]*Use // of that, what targets want
}

// maxHeldPackets bounds the packets of a device that wait for their time.
const maxHeldPackets = 256

func (tr *tracer) follow(t *target) {
	if tr.targets == nil {
		tr.targets, tr.held = map[string][]*target{}, map[string][]*Use{}
	}
	tr.targets[t.mn] = append(tr.targets[t.mn], t)
	tr.last = max(tr.last, t.source)
}

// run folds up to the last target's entry, from the newest snapshot before earliest or from the journal's beginning.
func (tr *tracer) run(ctx context.Context, cluster Cluster, partition int32, snapshots store.Store, earliest time.Time) error {
	start, end, err := cluster.Bounds(ctx, telemetry.TopicJournal)
	if err != nil {
		return err
	}
	first, err := cluster.OffsetsSince(ctx, telemetry.TopicJournal, earliest)
	if err != nil {
		return err
	}
	at, note, err := startBefore(ctx, snapshots, partition, start[partition], first[partition])
	if err != nil {
		return err
	}
	if note != "" {
		tr.notes = append(tr.notes, note)
	}
	if tr.st, err = at.state(partition); err != nil {
		return err
	}
	return readJournal(ctx, cluster, partition, at.next, min(end[partition], tr.last+1), func(rec *kgo.Record, e *telemetry.Entry) error {
		tr.apply(rec, e)
		return nil
	})
}

func (tr *tracer) apply(rec *kgo.Record, e *telemetry.Entry) {
	if e.MN != "" && tr.targets[e.MN] == nil {
		return
	}
	tr.outputs, tr.dated, tr.current = tr.outputs[:0], tr.dated[:0], map[*target][]*Use{}
	tr.st.Carries(e, func(c *fold.Carried) { tr.carried(rec, e, c) })
	tr.st.Apply(e, func(o telemetry.Output) {
		if tr.targets[o.MN] != nil {
			o.Value = bytes.Clone(o.Value)
			tr.outputs = append(tr.outputs, o)
		}
	})
	for _, t := range tr.targets[e.MN] {
		if t.whole() && t.source == e.Offset && e.Kind == telemetry.KindFrame {
			u := newUse(rec, e, &fold.Carried{})
			u.shown = true
			t.uses = append(t.uses, u)
		}
	}
	for i := range tr.outputs {
		o := &tr.outputs[i]
		if tr.onOutput != nil {
			tr.onOutput(e, o)
		}
		if o.Topic != telemetry.TopicPoints {
			continue
		}
		for line := range strings.Lines(string(o.Value)) {
			if p, ok := parsePoint(strings.TrimSuffix(line, "\n")); ok && (p.measurement == "mean" || p.measurement == "instant") {
				tr.line(e, o.MN, &p)
			}
		}
	}
	tr.explain()
}

func newUse(rec *kgo.Record, e *telemetry.Entry, c *fold.Carried) *Use {
	u := &Use{Offset: e.Offset, Received: e.Received, Gateway: header(rec, telemetry.HeaderGateway), Peer: header(rec, telemetry.HeaderPeer),
		Conn: header(rec, telemetry.HeaderConn), CN: c.CN, QN: c.QN, Value: c.Text, Mark: c.Mark, Frame: e.Value, carried: *c}
	if c.DataTime != "" {
		u.Time = time.UnixMilli(c.At).UTC()
	}
	return u
}

// carried notes what a frame carries, before it is folded.
func (tr *tracer) carried(rec *kgo.Record, e *telemetry.Entry, c *fold.Carried) {
	if c.DataTime == "" {
		if c.CN == "2051" && c.Packet > 0 {
			list := append(tr.held[e.MN], newUse(rec, e, c))
			tr.held[e.MN] = slices.Delete(list, 0, max(0, len(list)-maxHeldPackets))
		}
		return
	}
	u := newUse(rec, e, c)
	tr.dated = append(tr.dated, u)
	for _, t := range tr.targets[e.MN] {
		if t.source >= e.Offset && t.wants(c) {
			own := *u
			t.uses = append(t.uses, &own)
			tr.current[t] = append(tr.current[t], &own)
		}
	}
}

// line takes a line that the entry at hand made: it shows what became of a value.
func (tr *tracer) line(e *telemetry.Entry, mn string, p *point) {
	at, minute := p.nano/1_000_000, p.tag("stat") == string(telemetry.StatMinute)
	made := fill{offset: e.Offset, by: -1}
	var packet *Use
	if minute {
		made.mean, _ = telemetry.ParseFixed(p.field("avg"))
		made.by, packet = tr.filler(mn, p.tag("factor"), at, made.mean)
	}
	for _, t := range tr.targets[mn] {
		if t.source < e.Offset || t.factor == "" || t.factor != p.tag("factor") {
			continue
		}
		switch {
		case p.measurement == "instant":
			for _, u := range tr.current[t] {
				if u.CN == "2011" && u.carried.At == at {
					u.shown = true
				}
			}
		case p.tag("stat") == string(telemetry.StatHour) && p.field("marks") != "" && p.field("count") == "0":
			t.gone[at] = p.field("marks")
		case p.tag("stat") == string(telemetry.StatHour):
			delete(t.gone, at)
		case minute && at >= t.start && at < t.end && t.stat != telemetry.StatInstant:
			t.fill(at, made, p, e.Kind == telemetry.KindMark)
			if packet != nil {
				own := *packet
				t.uses = append(t.uses, &own)
			}
		}
	}
}

// fill notes what gave a slot its value. A mark gives none: it only says whether the value that there was counts.
func (t *target) fill(at int64, made fill, p *point, byMark bool) {
	if had, ok := t.fills[at]; ok && byMark {
		made = had
	}
	made.out = ""
	if p.field("counted") == "false" && t.stat != telemetry.StatMinute {
		made.out = p.field("marks")
	}
	t.fills[at] = made
}

// keptOut is the marks that keep a slot's value out of the target; empty: none.
func (t *target) keptOut(slot int64) string {
	if f := t.fills[slot]; f.out != "" {
		return f.out
	}
	return t.gone[slot-slot%3_600_000]
}

// filler finds the frame whose record gave a slot its value: the one at hand, or an earlier packet whose time has become known, which is
// then returned too. -1: none, the slot was made of real-time values.
func (tr *tracer) filler(mn, factor string, slot int64, mean telemetry.Fixed) (offset int64, packet *Use) {
	for _, u := range tr.dated {
		if c := &u.carried; c.CN == "2051" && c.Factor == factor && c.Start == slot && c.Numeric && c.Value == mean {
			return u.Offset, nil
		}
	}
	for i, u := range slices.Backward(tr.held[mn]) {
		if c := &u.carried; c.Factor == factor && c.Numeric && c.Value == mean {
			c.Start, u.Time = slot, time.UnixMilli(slot).UTC()
			u.Why = fmt.Sprintf("packet %d of a set: its time is that of the packets before it", c.Packet)
			tr.held[mn] = slices.Delete(tr.held[mn], i, i+1)
			return u.Offset, u
		}
	}
	return -1, nil
}

// explain takes from the findings of the entry at hand why a value was not counted.
func (tr *tracer) explain() {
	for i := range tr.outputs {
		o := &tr.outputs[i]
		if o.Topic != telemetry.TopicFindings {
			continue
		}
		fields := jsonFields(o.Value)
		kind, factor := valueOf(fields, "kind"), valueOf(fields, "factor")
		switch telemetry.FindingKind(kind) {
		case telemetry.FindingDuplicate, telemetry.FindingConflict, telemetry.FindingFuture, telemetry.FindingTooOld, telemetry.FindingBadTime,
			telemetry.FindingNoRegistry:
		default:
			continue
		}
		for t, uses := range tr.current {
			for _, u := range uses {
				if t.mn == o.MN && u.Why == "" && (factor == "" || factor == u.carried.Factor) {
					u.Why = kind + ": " + valueOf(fields, "detail")
				}
			}
		}
	}
}

// result says of each value whether it is a part of the target.
func (t *target) result() []*Use {
	for _, u := range t.uses {
		u.Counted = u.shown && (t.whole() || t.stat == telemetry.StatInstant)
		if t.whole() || t.stat == telemetry.StatInstant {
			continue
		}
		if t.factor == "" {
			u.Counted = u.Why == ""
			continue
		}
		f, filled := t.fills[u.carried.Start]
		why := u.Why
		switch {
		case filled && t.keptOut(u.carried.Start) != "":
			why = "its data enter no mean: mark " + t.keptOut(u.carried.Start)
		case u.CN == "2051" && filled && f.by == u.Offset:
			u.Counted = true
			if u.carried.DataTime != "" {
				why = "" // a finding was about another factor of the frame
			}
		case why != "" && !u.shown:
		case !u.carried.Known:
			why = "the device is not in the registry"
		case !u.carried.Numeric:
			why = "no number"
		case !u.carried.Valid:
			why = fmt.Sprintf("marked %q: not valid", u.Mark)
		case u.CN == "2011" && !u.shown:
			why = "not taken"
		case !filled:
			why = "its minute has no value: closed before it came, or held back by an invalid minute record"
		case f.by >= 0:
			why = fmt.Sprintf("the minute record counts instead, journal offset %d", f.by)
		case u.CN == "2011" && u.Offset < f.offset:
			u.Counted, why = true, ""
		default:
			why = fmt.Sprintf("its minute was closed before it came, at journal offset %d", f.offset)
		}
		u.Why = why
	}
	slices.SortStableFunc(t.uses, func(a, b *Use) int { return int(a.Offset - b.Offset) })
	return t.uses
}

// emptied reports whether marks keep all out of the target that there was.
func (t *target) emptied() bool {
	for slot := range t.fills {
		if t.keptOut(slot) == "" {
			return false
		}
	}
	return len(t.fills) > 0
}

// mean computes the target's mean from the frames that counted, and says whether they explain it: each minute that was made of real-time
// values is computed again too.
func (t *target) mean() (mean telemetry.Fixed, minutes int, explained bool) {
	var all window.Total
	explained = true
	for slot, f := range t.fills {
		if t.keptOut(slot) != "" {
			continue
		}
		value := f.mean
		if f.by < 0 {
			var minute window.Total
			for _, u := range t.uses {
				if u.Counted && u.carried.Start == slot {
					minute.Add(window.Value{Mean: u.carried.Value, Low: u.carried.Value, High: u.carried.Value})
				}
			}
			explained = explained && minute.N > 0 && minute.Mean() == f.mean
		}
		all.Add(window.Value{Mean: value, Low: value, High: value})
	}
	if t.stat == telemetry.StatInstant {
		for _, u := range t.uses {
			if u.Counted && u.carried.Numeric {
				return u.carried.Value, 1, true
			}
		}
	}
	if all.N == 0 {
		return 0, 0, false
	}
	return all.Mean(), int(all.N), explained
}
