package sim

import (
	"bytes"
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/stream/fold"
	"outfall/telemetry"
)

// A story is what the topics hold in the end, by partition.
type story struct {
	journal [][]*kgo.Record
	rejects [][]*kgo.Record
	outputs map[telemetry.Topic][][]*kgo.Record
}

func (w *world) read(t telemetry.Topic) [][]*kgo.Record {
	all := make([][]*kgo.Record, w.plan.partitions)
	err := w.cluster.ReadAll(context.Background(), t, func(r *kgo.Record) error {
		all[r.Partition] = append(all[r.Partition], r)
		return nil
	})
	if err != nil {
		w.fail("read %s: %v", t, err)
	}
	return all
}

// check holds what has happened against the invariants.
func (w *world) check() figures {
	s := &story{journal: w.read(telemetry.TopicJournal), rejects: w.read(telemetry.TopicRejects), outputs: map[telemetry.Topic][][]*kgo.Record{}}
	for _, t := range telemetry.OutputTopics() {
		s.outputs[t] = w.read(t)
	}
	w.checkLedger(s)
	w.checkBooks(s)
	folded := w.committed("outfall.stream", telemetry.TopicJournal)
	f := w.checkOutputs(s, folded)
	w.checkDatabase(s)
	w.checkWindows(s, folded)
	f.frames = len(w.ledger)
	for _, records := range s.journal {
		f.entries += len(records)
	}
	return f
}

// checkLedger: every acknowledged frame is in the journal, byte for byte, and was durable there when its ack came (invariants 1 and 9).
func (w *world) checkLedger(s *story) {
	where := map[string]int64{} // first offset of a frame
	for _, records := range s.journal {
		for _, r := range records {
			if header(r, telemetry.HeaderKind) != telemetry.KindFrame.String() {
				continue
			}
			key := string(r.Key) + " " + string(r.Value)
			if _, known := where[key]; !known {
				where[key] = r.Offset
			}
		}
	}
	for _, a := range w.ledger {
		at, ok := where[a.mn+" "+string(a.frame)]
		switch {
		case !ok:
			w.fail("invariant 1: acknowledged and not in the journal: %q", a.frame)
		case at >= a.durable:
			w.fail("invariant 1: acknowledged when the journal was durable up to %d, but it stands at %d: %q", a.durable, at, a.frame)
		}
	}
}

// checkBooks: what a gateway took stands in exactly one place, under the reason that it counted (invariant 2).
func (w *world) checkBooks(s *story) {
	type place struct{ frames, rejects, bytes int64 }
	places, reasons := map[string]*place{}, map[string]int64{}
	for _, topic := range [][][]*kgo.Record{s.journal, s.rejects} {
		for _, records := range topic {
			for _, r := range records {
				gw, kind := header(r, telemetry.HeaderGateway), header(r, telemetry.HeaderKind)
				if gw == "" || kind == telemetry.KindSession.String() {
					continue
				}
				p := places[gw]
				if p == nil {
					p = &place{}
					places[gw] = p
				}
				p.bytes += int64(len(r.Value))
				if why := header(r, telemetry.HeaderReason); why != "" {
					p.rejects++
					reasons[gw+" "+why]++
				} else {
					p.frames++
				}
			}
		}
	}
	for _, g := range w.allGateways {
		p := places[g.name]
		if p == nil {
			p = &place{}
		}
		st := g.intake.Stats()
		if g.dead.Load() { // what it had under way at its end is in the journal or not, but never beyond what it took
			if p.frames < st.Journaled || p.frames+p.rejects > st.Received || p.bytes > g.consumed.Load() {
				w.fail("invariant 2: %s crashed with %+v, %d bytes taken; the topics have %+v", g.name, st, g.consumed.Load(), *p)
			}
			continue
		}
		if st.Received != st.Journaled+st.Rejected || p.frames != st.Journaled {
			w.fail("invariant 2: %s counts %+v; the topics have %+v", g.name, st, *p)
		}
		if p.bytes+g.meter.lost.Load() != g.consumed.Load() {
			w.fail("invariant 2: %s took %d bytes, the topics have %d of them, %d were refused", g.name, g.consumed.Load(), p.bytes, g.meter.lost.Load())
		}
		for r, n := range st.RejectedBy {
			if r.String() != "publish_error" && reasons[g.name+" "+r.String()] != n {
				w.fail("invariant 2: %s counts %d rejects for %s, the topics have %d", g.name, n, r, reasons[g.name+" "+r.String()])
			}
		}
	}
}

// checkOutputs: the journal folded in one go makes what the topics hold, byte for byte, each once by position and in order (invariants 3, 4).
func (w *world) checkOutputs(s *story, folded []int64) (f figures) {
	for p := range w.plan.partitions {
		state := fold.New(p)
		want := map[telemetry.Topic][]telemetry.Output{}
		for _, r := range s.journal[p] {
			e, ok := entry(r)
			if !ok || r.Offset >= folded[p] {
				continue
			}
			state.Apply(&e, func(o telemetry.Output) {
				o.Value = bytes.Clone(o.Value) // it is the fold's
				want[o.Topic] = append(want[o.Topic], o)
			})
		}
		for _, t := range telemetry.OutputTopics() {
			got := once(s.outputs[t][p])
			f.outputs += len(got)
			f.duplicates += len(s.outputs[t][p]) - len(got)
			for i := range max(len(got), len(want[t])) {
				if i >= len(got) || i >= len(want[t]) {
					w.fail("invariant 3: %s partition %d has %d outputs, the journal up to %d makes %d", t, p, len(got), folded[p], len(want[t]))
					break
				}
				g, o := got[i], want[t][i]
				if pos := position(g); pos != o.Pos || string(g.Key) != o.MN || !bytes.Equal(g.Value, o.Value) {
					w.fail("invariant 3: %s partition %d output %d is %v %s %.300q, the journal makes %v %s %.300q", t, p, i, pos, g.Key, g.Value, o.Pos, o.MN, o.Value)
					break
				}
			}
		}
	}
	return f
}

// once are the records of an output partition as a reader takes them: beyond the position that it has seen.
func once(records []*kgo.Record) (list []*kgo.Record) {
	last := telemetry.NoPosition
	for _, r := range records {
		if pos := position(r); pos.After(last) {
			last = pos
			list = append(list, r)
		}
	}
	return list
}

// checkDatabase: InfluxDB holds what the points make in the order of their positions, and nothing else (invariant 4).
func (w *world) checkDatabase(s *story) {
	want := map[string]string{}
	for _, records := range s.outputs[telemetry.TopicPoints] {
		for _, r := range once(records) {
			put(want, string(r.Value))
		}
	}
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	if len(want) == 0 {
		w.fail("invariant 4: there are no points at all")
	}
	for k, v := range want {
		if got := w.db.points[k]; got != v {
			w.fail("invariant 4: InfluxDB has %q at %q, the topic %q", got, k, v)
		}
	}
	if n := len(w.db.points); n != len(want) {
		w.fail("invariant 4: InfluxDB has %d points, the topic %d", n, len(want))
	}
}

// entry reads a journal record as a worker does; ok is false for one that is skipped.
func entry(r *kgo.Record) (e telemetry.Entry, ok bool) {
	kind, ok := telemetry.ParseKind(header(r, telemetry.HeaderKind))
	return telemetry.Entry{Partition: r.Partition, Offset: r.Offset, Received: r.Timestamp.UTC().Truncate(time.Millisecond), Kind: kind, MN: string(r.Key),
		Value: r.Value, Reason: header(r, telemetry.HeaderReason)}, ok
}

func position(r *kgo.Record) telemetry.Position {
	pos, err := telemetry.ParsePosition(header(r, telemetry.HeaderSource), header(r, telemetry.HeaderOrdinal))
	if err != nil {
		return telemetry.NoPosition
	}
	return pos
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// figures sum up what a seed went through.
type figures struct{ frames, entries, outputs, duplicates int }
