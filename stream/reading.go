package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/stream/fold"
	"outfall/telemetry"
)

// A survey is what a replay needs to know of the cluster before it reads: offsets by partition.
type survey struct {
	start     []int64         // of the journal, with what is archived
	end       []int64         // where reading the journal ends
	first     []int64         // the first entry of the range, end if there is none
	published map[int32]int64 // what the group has committed; no element where it has not
	outputs   map[telemetry.Topic]outputBounds
}

// outputBounds are offsets of an output topic by partition: where it begins, where the range's outputs may begin, and its end.
type outputBounds struct{ start, from, end []int64 }

// receiptJitter bounds how far receipts of one partition stand out of order: the clocks of gateways differ.
const receiptJitter = time.Hour

// lookAround makes a survey for a range of receipt; published and outputs only for a comparison. What an offset promises is read after
// it: the outputs' ends after the group's offsets.
func lookAround(ctx context.Context, cluster Cluster, opts *ReplayOptions) (*survey, error) {
	s := &survey{published: map[int32]int64{}, outputs: map[telemetry.Topic]outputBounds{}}
	var err error
	if s.start, s.end, err = cluster.Bounds(ctx, telemetry.TopicJournal); err != nil {
		return nil, err
	}
	if end := opts.readUntil(); !end.IsZero() {
		if s.end, err = cluster.OffsetsSince(ctx, telemetry.TopicJournal, end); err != nil {
			return nil, err
		}
	}
	s.first = s.start
	if from := opts.foldFrom(); !from.IsZero() {
		if s.first, err = cluster.OffsetsSince(ctx, telemetry.TopicJournal, from); err != nil {
			return nil, err
		}
	}
	if !opts.Compare {
		return s, nil
	}
	if opts.Group != "" {
		if s.published, err = committed(ctx, cluster, opts.Group); err != nil {
			return nil, err
		}
	}
	for _, t := range telemetry.OutputTopics() {
		var o outputBounds
		if o.start, o.end, err = cluster.Bounds(ctx, t); err != nil {
			return nil, err
		}
		o.from = o.start
		if !opts.From.IsZero() {
			if o.from, err = cluster.OffsetsSince(ctx, t, opts.From.Add(-receiptJitter)); err != nil {
				return nil, err
			}
		}
		s.outputs[t] = o
	}
	return s, nil
}

// committed are the group's offsets of the journal, by partition; none where it has committed none.
func committed(ctx context.Context, cluster Cluster, group string) (map[int32]int64, error) {
	cl, err := cluster.Client()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	offsets, err := kadm.NewClient(cl).FetchOffsets(ctx, group)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("read the offsets of group %s: %w", group, err)
	}
	byPartition := map[int32]int64{}
	for p, o := range offsets[cluster.Topic(telemetry.TopicJournal)] {
		if o.At >= 0 {
			byPartition[p] = o.At
		}
	}
	return byPartition, nil
}

// readJournal calls fn with the records of [from, end) of one partition of the journal, archived ones too, and the entries that they are;
// those that are skipped are left out.
func readJournal(ctx context.Context, cluster Cluster, partition int32, from, end int64, fn func(*kgo.Record, *telemetry.Entry) error) error {
	return cluster.ReadPartition(ctx, telemetry.TopicJournal, partition, from, end, func(rec *kgo.Record) error {
		e, err := decodeEntry(rec)
		if errors.Is(err, fold.ErrAlgorithm) {
			return err
		}
		if err != nil {
			return nil // as the worker does
		}
		return fn(rec, &e)
	})
}

// readOutputs calls fn with the published outputs of one partition and the receipt of their entries, each position once.
func readOutputs(ctx context.Context, cluster Cluster, t telemetry.Topic, partition int32, from, end int64,
	fn func(received time.Time, o *telemetry.Output) error,
) error {
	last := telemetry.NoPosition
	return cluster.ReadPartition(ctx, t, partition, from, end, func(rec *kgo.Record) error {
		pos, err := recordPosition(rec)
		if err != nil {
			return err
		}
		if !pos.After(last) {
			return nil
		}
		last = pos
		return fn(rec.Timestamp, &telemetry.Output{Topic: t, MN: string(rec.Key), Value: rec.Value, Pos: pos})
	})
}
