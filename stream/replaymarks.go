package stream

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// A knownMark is a mark of the journal that holds now, as the entry that a fold takes before the first data of its time.
type knownMark struct {
	mn    string
	from  time.Time
	value []byte
}

// marksKnown reads the marks of a partition that hold at the journal's end: what was replaced or revoked is left out. They are ordered by
// their beginning. Memory grows with their number.
func (r *replay) marksKnown(ctx context.Context, partition int32) ([]knownMark, error) {
	start, end, err := r.cluster.Bounds(ctx, telemetry.TopicJournal)
	if err != nil {
		return nil, err
	}
	type place struct{ mn, id string }
	holds := map[place]telemetry.Mark{}
	seen := map[place]bool{}
	err = readJournal(ctx, r.cluster, partition, start[partition], end[partition], func(_ *kgo.Record, e *telemetry.Entry) error {
		var m telemetry.Mark
		if e.Kind != telemetry.KindMark || json.Unmarshal(e.Value, &m) != nil || m.MN != e.MN || m.Validate() != nil || seen[place{m.MN, m.ID}] {
			return nil
		}
		seen[place{m.MN, m.ID}] = true
		if m.Replaces != "" {
			delete(holds, place{m.MN, m.Replaces})
		}
		if !m.Revoked {
			m.Replaces = ""
			holds[place{m.MN, m.ID}] = m
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := make([]knownMark, 0, len(holds))
	for at, m := range holds {
		list = append(list, knownMark{at.mn, m.From, telemetry.AppendJSON(nil, &m)})
	}
	slices.SortFunc(list, func(a, b knownMark) int {
		if c := a.from.Compare(b.from); c != 0 {
			return c
		}
		return slices.Compare(a.value, b.value)
	})
	return list, nil
}

// giveMarks lets the marks hold that the entry at hand may bring data for: data are at most that far ahead of their receipt.
func (f *foldRun) giveMarks() {
	const ahead = 10 * time.Minute
	for len(f.marks) > 0 && !f.marks[0].from.After(f.entry.Received.Add(ahead)) {
		f.inject(telemetry.KindMark, f.marks[0].mn, f.marks[0].value)
		f.marks = f.marks[1:]
	}
}

// inject applies an entry that the journal does not have there, as the first thing that the entry at hand does: its outputs have the position of
// that, and the entry's own are numbered on from there.
func (f *foldRun) inject(kind telemetry.Kind, mn string, value []byte) {
	made := map[telemetry.Topic]int32{}
	change := *f.entry
	change.Kind, change.MN, change.Value = kind, mn, value
	f.st.Apply(&change, func(o telemetry.Output) {
		made[o.Topic]++
		f.emit(o)
	})
	for t, n := range made {
		if f.shift == nil {
			f.shift = map[telemetry.Topic]int32{}
		}
		f.shift[t] += n
	}
}
