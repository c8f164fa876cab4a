package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/store"
	"outfall/stream/fold"
	"outfall/telemetry"
)

// A startPoint is where the fold of a partition begins: before the journal offset next, with the state of a snapshot or, body nil, a
// new one.
type startPoint struct {
	next int64
	body []byte
}

// state is a new state that begins at the start point.
func (at startPoint) state(partition int32) (*fold.State, error) {
	if at.body == nil {
		return fold.New(partition), nil
	}
	return fold.Read(at.body)
}

// startBefore finds the newest snapshot that lies before the entry first; else the journal's first entry, start. The note says what a
// journal that does not reach back leaves unknown.
func startBefore(ctx context.Context, snapshots store.Store, partition int32, start, first int64) (at startPoint, note string, err error) {
	if snapshots != nil {
		snap, err := SnapshotBefore(ctx, snapshots, partition, first)
		if err != nil {
			return at, "", err
		}
		if snap != nil && snap.Next >= start {
			return startPoint{snap.Next, snap.Body}, "", nil
		}
	}
	if start > 0 {
		note = fmt.Sprintf("partition %d: the journal begins at offset %d; what came before is unknown, so results may differ from those published", partition, start)
	}
	return startPoint{next: start}, note, nil
}

func (r *replay) startOf(ctx context.Context, partition int32) (startPoint, string, error) {
	return startBefore(ctx, r.opts.Snapshots, partition, r.survey.start[partition], r.survey.first[partition])
}

// A foldRun folds one partition and keeps the outputs that count.
type foldRun struct {
	r        *replay
	st       *fold.State
	selected *selection
	parts    *partsWriter
	entry    *telemetry.Entry // at hand
	within   bool             // it is in the range
	switched bool             // Rules is in force
	marks    []knownMark      // KnownNow: those that do not hold yet
	shift    map[telemetry.Topic]int32
}

// fold writes the outputs of one partition's entries in the range into its parts. It returns whose outputs those are.
func (r *replay) fold(ctx context.Context, partition int32, at startPoint) (*selection, error) {
	st, err := at.state(partition)
	if err != nil {
		return nil, err
	}
	f := &foldRun{r: r, st: st, selected: newSelection(&r.opts, st)}
	if f.parts, err = createParts(r.parts, partition, r.topics()); err != nil {
		return nil, err
	}
	if r.opts.KnownNow {
		if f.marks, err = r.marksKnown(ctx, partition); err != nil {
			return nil, errors.Join(err, f.parts.close())
		}
	}
	err = readJournal(ctx, r.cluster, partition, at.next, r.survey.end[partition], func(_ *kgo.Record, e *telemetry.Entry) error {
		f.apply(e)
		r.done.Add(1)
		return f.parts.err
	})
	return f.selected, errors.Join(err, f.parts.close())
}

func (f *foldRun) apply(e *telemetry.Entry) {
	f.entry, f.within = e, f.r.within(e.Received)
	if f.within {
		f.r.entries.Add(1)
	}
	if f.r.opts.Rules != nil {
		if f.within && !f.switched {
			f.switchRules()
		}
		if f.switched && e.Kind == telemetry.KindRules {
			return
		}
	}
	if f.r.opts.KnownNow {
		f.giveMarks()
		if e.Kind == telemetry.KindMark {
			f.shift = nil
			return
		}
	}
	f.st.Apply(e, f.emit)
	f.selected.note(e, f.st)
	f.shift = nil
}

// switchRules puts the given rules in force.
func (f *foldRun) switchRules() {
	f.switched = true
	f.inject(telemetry.KindRules, "", f.r.opts.Rules)
}

func (f *foldRun) emit(o telemetry.Output) {
	if !f.within || !f.selected.now(o.MN, f.st) {
		return
	}
	if !f.r.opts.AsOf.IsZero() && !f.r.opts.trim(&o) {
		return
	}
	o.Pos.Ordinal += f.shift[o.Topic]
	f.parts.write(f.entry.Received, &o)
}
