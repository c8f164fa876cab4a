package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// A Cluster is what this stage needs to know of the brokers.
type Cluster interface {
	// Client opens a client of the cluster with opts added to the usual ones.
	Client(opts ...kgo.Opt) (*kgo.Client, error)
	// Topic is the name of t in the cluster.
	Topic(t telemetry.Topic) string
	// Partitions is the number of partitions of every topic.
	Partitions() int32
	// Tail is the last record of a partition, nil if it holds none.
	Tail(ctx context.Context, t telemetry.Topic, partition int32) (*kgo.Record, error)
	// Bounds are the offsets of the oldest record that can be read, from an archive too, and of the next; by partition.
	Bounds(ctx context.Context, t telemetry.Topic) (start, end []int64, err error)
	// OffsetsSince are the offsets of the first record at or after a time, from an archive too, or of the next; by partition.
	OffsetsSince(ctx context.Context, t telemetry.Topic, since time.Time) ([]int64, error)
	// ReadPartition calls fn with the records of [from, end) of a partition, from an archive too. fn's error ends it.
	ReadPartition(ctx context.Context, t telemetry.Topic, partition int32, from, end int64, fn func(*kgo.Record) error) error
}

// A Barrier makes what the brokers have acknowledged safe from a power loss.
type Barrier interface {
	// Wait returns nil once everything that was acknowledged before the call is durable.
	Wait(ctx context.Context) error
	// Notify calls fn once with what Wait would return, perhaps before it returns itself.
	Notify(fn func(error))
}

// Sizes of one fetch and of one record. The fetch bounds what a partition holds in memory unfolded: two fetches, before decompression.
const (
	fetchBytes     = 1 << 20
	pollRecords    = 1024
	maxOutputBytes = 900_000 // a batch of the client holds 1,000,012 bytes, headers included
)

// errOutOfRange: the journal does not hold the offset that is wanted next.
var errOutOfRange = errors.New("offset out of range")

// A link is one partition's own client. It reads the partition's journal and writes its outputs, so that whatever goes wrong with a
// partition ends with its link and touches no other.
//
// Outputs must not have holes: once a later output is in its topic, readers drop an earlier one. So the client flushes by hand and
// publish hands it a whole group at a time. Within a group a batch that a broker refuses takes the later ones of its topic with it (the
// client fails all that it holds for that partition; those in flight are refused for their sequence number), and after a failure
// nothing more is written by this link.
//
// A fenced link writes each group in a transaction of its own. What it leaves unfinished is given up by the next takeOver, or by Kafka
// after transactionTimeout.
type link struct {
	client    *kgo.Client
	admin     *kadm.Client
	cluster   Cluster
	partition int32
	fenced    bool
}

func openLink(cluster Cluster, partition int32, cfg *Config) (*link, error) {
	opts := []kgo.Opt{
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes), kgo.MaxConcurrentFetches(1),
		kgo.FetchMaxWait(time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ManualFlushing(), kgo.MaxBufferedRecords(cfg.MaxBufferedOutputs),
		kgo.StopProducerOnDataLossDetected(),
	}
	fenced := cfg.EOS == EOSFenced
	if fenced {
		opts = append(opts, fencedOpts(cfg, partition)...)
	}
	cl, err := cluster.Client(opts...)
	if err != nil {
		return nil, fmt.Errorf("open the client of partition %d: %w", partition, err)
	}
	return &link{client: cl, admin: kadm.NewClient(cl), cluster: cluster, partition: partition, fenced: fenced}, nil
}

// close drops what is not yet out.
func (l *link) close() { l.client.Close() }

// journalBounds are the journal's first offset and the offset of its next entry.
func (l *link) journalBounds(ctx context.Context) (start, end int64, err error) {
	starts, ends, err := bounds(ctx, l.admin, l.cluster.Topic(telemetry.TopicJournal))
	if err != nil {
		return 0, 0, err
	}
	return starts[l.partition], ends[l.partition], nil
}

// tails are the positions of the last records of the partition's output topics. Read them only once the partition is ours.
func (l *link) tails(ctx context.Context) (map[telemetry.Topic]telemetry.Position, error) {
	tails := map[telemetry.Topic]telemetry.Position{}
	for _, t := range telemetry.OutputTopics() {
		rec, err := l.cluster.Tail(ctx, t, l.partition)
		if err != nil {
			return nil, fmt.Errorf("read the last of %s partition %d: %w", t, l.partition, err)
		}
		if rec == nil {
			continue
		}
		if tails[t], err = recordPosition(rec); err != nil {
			return nil, err
		}
	}
	return tails, nil
}

// startAt makes poll begin at a journal offset. Call it once.
func (l *link) startAt(offset int64) {
	l.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{
		l.cluster.Topic(telemetry.TopicJournal): {l.partition: kgo.NoResetOffset().At(offset)},
	})
}

// A batch is what one poll returned.
type batch struct {
	records []*kgo.Record // in offset order; the link does not touch them again
	end     int64         // offset of the journal's next entry as the broker said with them, -1 if it did not
}

// poll waits for the next entries for the given time, below 0 without limit, or until ctx ends. The batch may be empty. The error wraps
// errOutOfRange if the journal no longer holds what comes next.
func (l *link) poll(ctx context.Context, wait time.Duration) (batch, error) {
	waiting := ctx
	if wait >= 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	fetches := l.client.PollRecords(waiting, pollRecords)
	b := batch{end: -1}
	var err error
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Err != nil && err == nil && !(wait >= 0 && errors.Is(p.Err, context.DeadlineExceeded)) {
			err = p.Err
		}
		b.records = append(b.records, p.Records...)
		b.end = max(b.end, p.HighWatermark)
	})
	switch {
	case ctx.Err() != nil:
		return batch{}, ctx.Err()
	case errors.Is(err, kerr.OffsetOutOfRange):
		return batch{}, fmt.Errorf("read journal partition %d: %w: %w", l.partition, errOutOfRange, err)
	case err != nil:
		return batch{}, fmt.Errorf("read journal partition %d: %w", l.partition, err)
	}
	return b, nil
}

// publish writes a group of output records, at most the link's maxOutputs, and returns when all brokers asked for have them. After
// an error the link is good for close alone.
func (l *link) publish(ctx context.Context, group []*kgo.Record) error {
	for _, rec := range group {
		if n := len(rec.Key) + len(rec.Value); n > maxOutputBytes {
			return fmt.Errorf("publish %s partition %d: an output of %d bytes, the limit is %d", rec.Topic, rec.Partition, n, maxOutputBytes)
		}
	}
	if l.fenced {
		if err := l.client.BeginTransaction(); err != nil {
			return l.refused(err)
		}
	}
	var (
		mu    sync.Mutex // guards the two below
		acked int
		first error
	)
	promise := func(rec *kgo.Record, err error) {
		mu.Lock()
		defer mu.Unlock()
		acked++
		if err != nil && first == nil {
			first = fmt.Errorf("publish %s partition %d: %w", rec.Topic, rec.Partition, err)
		}
	}
	whole := context.WithoutCancel(ctx) // a record given up alone would leave a hole
	for _, rec := range group {
		l.client.Produce(whole, rec, promise)
	}
	if err := l.client.Flush(ctx); err != nil {
		return fmt.Errorf("publish %d outputs of partition %d: %w", len(group), l.partition, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if first == nil && acked != len(group) {
		panic(fmt.Sprintf("stream: flush returned with %d of %d outputs acknowledged", acked, len(group)))
	}
	if l.fenced && first == nil {
		first = l.client.EndTransaction(ctx, kgo.TryCommit)
	}
	if l.fenced && first != nil {
		return l.refused(first)
	}
	return first
}

// bounds are a topic's first and next offsets by partition; next is before a transaction that is not committed yet.
func bounds(ctx context.Context, admin *kadm.Client, topic string) (start, end map[int32]int64, err error) {
	if start, err = offsetsOf(ctx, topic, admin.ListStartOffsets); err != nil {
		return nil, nil, err
	}
	end, err = offsetsOf(ctx, topic, admin.ListCommittedOffsets)
	return start, end, err
}

func offsetsOf(ctx context.Context, topic string, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	listed, err := list(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	offsets := map[int32]int64{}
	for p, o := range listed[topic] {
		offsets[p] = o.Offset
	}
	return offsets, nil
}
