package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// A survey is what Replay needs to know of the cluster before it reads: offsets by partition.
type survey struct {
	start, end []int64         // of the journal, with what is archived
	first      []int64         // the first entry received at or after a time, end if there is none
	published  map[int32]int64 // what the group has committed; no element where it has not
	outputs    map[telemetry.Topic]struct{ start, end map[int32]int64 }
}

// lookAround makes a survey; published and outputs only for a comparison. What an offset promises is read after it: the outputs' ends
// after the group's offsets.
func lookAround(ctx context.Context, cluster Cluster, from time.Time, compare bool, group string) (*survey, error) {
	cl, err := cluster.Client()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	admin, journal := kadm.NewClient(cl), cluster.Topic(telemetry.TopicJournal)
	s := &survey{published: map[int32]int64{}, outputs: map[telemetry.Topic]struct{ start, end map[int32]int64 }{}}
	if s.start, s.end, err = cluster.Bounds(ctx, telemetry.TopicJournal); err != nil {
		return nil, err
	}
	s.first = s.start
	if !from.IsZero() {
		if s.first, err = cluster.OffsetsSince(ctx, telemetry.TopicJournal, from); err != nil {
			return nil, err
		}
	}
	if !compare {
		return s, nil
	}
	if group != "" {
		committed, err := admin.FetchOffsets(ctx, group)
		if err == nil {
			err = committed.Error()
		}
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			return nil, fmt.Errorf("read the offsets of group %s: %w", group, err)
		}
		for p, o := range committed[journal] {
			if o.At >= 0 {
				s.published[p] = o.At
			}
		}
	}
	for _, t := range telemetry.OutputTopics() {
		var o struct{ start, end map[int32]int64 }
		if o.start, o.end, err = bounds(ctx, admin, cluster.Topic(t)); err != nil {
			return nil, err
		}
		s.outputs[t] = o
	}
	return s, nil
}

// readEntries calls fn with the journal's entries of [from, end) of one partition, archived ones too; those that are skipped are left out.
func readEntries(ctx context.Context, cluster Cluster, partition int32, from, end int64, fn func(*telemetry.Entry) error) error {
	return cluster.ReadPartition(ctx, telemetry.TopicJournal, partition, from, end, func(rec *kgo.Record) error {
		e, err := decodeEntry(rec)
		if err != nil {
			return nil // as the worker does
		}
		return fn(&e)
	})
}

// readOutputs calls fn with the published outputs of one partition and the receipt of their entries, each position once.
func readOutputs(ctx context.Context, cluster Cluster, t telemetry.Topic, partition int32, from, end int64,
	fn func(received time.Time, o *telemetry.Output) error,
) error {
	last := telemetry.NoPosition
	return readRange(ctx, cluster, t, partition, from, end, func(rec *kgo.Record) error {
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

// readRange calls fn with the records of [from, end) of one partition, in offset order, on the caller's goroutine. fn may keep the
// record; its error ends the reading. Offsets that retention has taken are an error.
func readRange(ctx context.Context, cluster Cluster, t telemetry.Topic, partition int32, from, end int64, fn func(*kgo.Record) error) error {
	if from >= end {
		return nil
	}
	topic := cluster.Topic(t)
	cl, err := cluster.Client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NoResetOffset().At(from)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes), kgo.KeepControlRecords(),
	)
	if err != nil {
		return fmt.Errorf("read %s partition %d: %w", t, partition, err)
	}
	defer cl.Close()
	for from < end {
		fetches := cl.PollRecords(ctx, pollRecords)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s partition %d from offset %d: %w", t, partition, from, err)
		}
		for it := fetches.RecordIter(); !it.Done() && from < end; {
			rec := it.Next()
			from = rec.Offset + 1
			if rec.Offset >= end || rec.Attrs.IsControl() {
				continue
			}
			if err := fn(rec); err != nil {
				return err
			}
		}
	}
	return nil
}
