package broker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// readStall bounds how long Tail and ReadAll wait for the next record of a range that the brokers said to hold.
const readStall = 30 * time.Second

// From says where in each partition a reader begins.
type From uint8

const (
	FromStart From = iota // the oldest record
	FromEnd               // behind the newest record: only what comes after the call
)

// Offsets are the offsets of topic t in the brokers' log, one per partition: of the oldest record (FromStart), or the next that
// will be written (FromEnd); of a transaction that is not committed yet, the first.
func (c *Cluster) Offsets(ctx context.Context, t telemetry.Topic, from From) ([]int64, error) {
	cl, err := c.Client()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return c.offsets(ctx, kadm.NewClient(cl), t, from)
}

func (c *Cluster) offsets(ctx context.Context, adm *kadm.Client, t telemetry.Topic, from From) ([]int64, error) {
	list := adm.ListStartOffsets
	if from == FromEnd {
		list = adm.ListCommittedOffsets
	}
	return c.listed(ctx, t, list)
}

// listed are the offsets of t that list finds, one per partition.
func (c *Cluster) listed(ctx context.Context, t telemetry.Topic, list func(context.Context, ...string) (kadm.ListedOffsets, error)) ([]int64, error) {
	name := c.Topic(t)
	listed, err := list(ctx, name)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("offsets of %s: %w", name, err)
	}
	if n := len(listed[name]); n != int(c.config.Partitions) {
		return nil, fmt.Errorf("%s has %d partitions, wanted %d", name, n, c.config.Partitions)
	}
	offsets := make([]int64, c.config.Partitions)
	for p := range offsets {
		offsets[p] = listed[name][int32(p)].Offset
	}
	return offsets, nil
}

// Tail is the last record of a partition of topic t; nil if it holds none. Records of transactions that are under way or were given up are
// none. The record is the caller's.
func (c *Cluster) Tail(ctx context.Context, t telemetry.Topic, partition int32) (*kgo.Record, error) {
	start, end, err := c.Bounds(ctx, t)
	if err != nil {
		return nil, err
	}
	if partition < 0 || partition >= c.config.Partitions {
		panic(fmt.Sprintf("partition %d of %d", partition, c.config.Partitions))
	}
	for p := range end {
		if int32(p) != partition {
			start[p] = end[p] // nothing to read there
		}
	}
	// The end may be the marker of a transaction, and before it may come any number that was given up: the search widens.
	for first, reach := start[partition], int64(2); ; reach *= 16 {
		from := max(first, end[partition]-reach)
		start[partition] = from
		var last *kgo.Record
		err = c.read(ctx, t, start, end, func(r *kgo.Record) error {
			last = r
			return nil
		})
		if err != nil || last != nil || from == first {
			return last, err
		}
	}
}

// ReadAll calls fn with every record of topic t that was there at the call, each partition from its start and in order, then
// returns. The journal of an embedded broker starts in its archive. fn runs on the caller's goroutine and may keep the record;
// its error ends the reading and is returned, wrapped with the record's position.
func (c *Cluster) ReadAll(ctx context.Context, t telemetry.Topic, fn func(*kgo.Record) error) error {
	start, end, err := c.Bounds(ctx, t)
	if err != nil {
		return err
	}
	return c.read(ctx, t, start, end, fn)
}

// Follow calls fn with the records of topic t as they come, from the given side of each partition on, in order per partition,
// until ctx ends (nil), fn fails, or records that were to come next are gone (retention was faster). The journal of an embedded
// broker starts in its archive. fn runs on the caller's goroutine and may keep the record.
func (c *Cluster) Follow(ctx context.Context, t telemetry.Topic, from From, fn func(*kgo.Record) error) error {
	var next []int64
	var err error
	if from == FromStart {
		next, _, err = c.Bounds(ctx, t)
	} else {
		next, err = c.Offsets(ctx, t, FromEnd)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return c.FollowFrom(ctx, t, next, fn)
}

// FollowFrom is Follow from given offsets on, one per partition. Offsets taken before a ReadAll continue it without a gap.
func (c *Cluster) FollowFrom(ctx context.Context, t telemetry.Topic, next []int64, fn func(*kgo.Record) error) error {
	err := c.read(ctx, t, slices.Clone(next), nil, fn)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// readLog consumes [next, end) of each partition of the brokers' log, or from next on for ever if end is nil, and moves next behind what
// fn has had.
func (c *Cluster) readLog(ctx context.Context, t telemetry.Topic, next, end []int64, fn func(*kgo.Record) error) error {
	name := c.Topic(t)
	starts := map[int32]kgo.Offset{}
	for p := range next {
		if end == nil || next[p] < end[p] {
			starts[int32(p)] = kgo.NewOffset().At(next[p])
		}
	}
	if len(starts) == 0 {
		return nil
	}
	cl, err := c.Client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: starts}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // lost data is an error, never a jump
		kgo.KeepControlRecords(),                    // they take offsets: the end may be one
		kgo.FetchMaxPartitionBytes(4<<20),           // a replay reads one partition: fewer round trips
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	open := len(starts)
	for open > 0 {
		fetches, err := poll(ctx, cl, end != nil)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if end != nil && r.Offset >= end[r.Partition] {
				continue // written after the call; its partition is closed already
			}
			if !r.Attrs.IsControl() {
				if err := fn(r); err != nil {
					return positioned(r, err)
				}
			}
			next[r.Partition] = r.Offset + 1
			if end != nil && r.Offset+1 == end[r.Partition] {
				open--
				cl.PauseFetchPartitions(map[string][]int32{name: {r.Partition}})
			}
		}
	}
	return nil
}

// poll waits for records: until ctx ends, and no longer than readStall if they must be there.
func poll(ctx context.Context, cl *kgo.Client, bounded bool) (kgo.Fetches, error) {
	waiting := ctx
	if bounded {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, readStall)
		defer cancel()
	}
	fetches := cl.PollFetches(waiting)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if waiting.Err() != nil && fetches.Empty() {
		return nil, fmt.Errorf("no record came within %v", readStall)
	}
	return fetches, fetches.Err()
}
