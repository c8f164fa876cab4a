package influx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"outfall/telemetry"
)

// Cluster is what the sink needs of the Kafka cluster.
type Cluster interface {
	Client(opts ...kgo.Opt) (*kgo.Client, error)
	Topic(t telemetry.Topic) string // with the configured prefix
	Partitions() int32
}

func (s *Sink) topic() string { return s.cluster.Topic(telemetry.TopicPoints) }

// group is the consumer group: the topic prefix and "sink-influx".
func (s *Sink) group() string {
	return strings.TrimSuffix(s.topic(), telemetry.TopicPoints.String()) + "sink-influx"
}

// A consumer is one membership in the consumer group. A commit carries, as metadata "source/ordinal", the greatest position before
// its offset, so that the next owner drops exactly what was written. (The last record before the offset would not do: it may
// itself be a late duplicate, with a smaller position.)
type consumer struct {
	sink   *Sink
	client *kgo.Client // not for the callbacks: they may come before it is set

	// From remember to assign, both on the group's goroutine.
	fetching *kgo.Client
	metadata map[int32]string // of the offsets fetched
}

// join becomes a member. Kafka may be away.
func (s *Sink) join() (*consumer, error) {
	c := &consumer{sink: s}
	fetch := int32(s.cfg.FetchBytes)
	client, err := s.cluster.Client(
		kgo.ConsumerGroup(s.group()),
		kgo.ConsumeTopics(s.topic()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // a hole is seen in assign, not jumped over in silence
		kgo.KeepControlRecords(),                    // passed over, but the last may be one: without it there would be lag for ever
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),         // from a poll until its records have found their part
		kgo.SessionTimeout(15*time.Second), // how long a killed sink's partitions wait for another one
		kgo.FetchMaxBytes(fetch),
		kgo.FetchMaxPartitionBytes(min(fetch, 1<<20)),
		kgo.MaxConcurrentFetches(1), // with FetchMaxBytes: the bound of the fetch buffer
		kgo.OnOffsetsFetched(c.remember),
		kgo.AdjustFetchOffsetsFn(c.assign),
		kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, m map[string][]int32) { c.commit(ctx, cl, c.release(m)) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { c.release(m) }),
	)
	if err != nil {
		return nil, fmt.Errorf("open a Kafka client: %w", err)
	}
	c.client = client
	return c, nil
}

// leave commits (by the revoke of all partitions), leaves the group and closes the client.
func (c *consumer) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), c.sink.cfg.Timeout)
	defer cancel()
	c.client.AllowRebalance()
	if err := c.client.LeaveGroupContext(ctx); err != nil {
		c.sink.log.Warn().Err(err).Str("group", c.sink.group()).Msg("consumer group not left: others wait for the session timeout")
	}
	c.client.CloseAllowingRebalance()
	c.client.AllowRebalance()                              // Close leaves a second time and polls a last time: the one might wait for the other's end for ever
	c.release(map[string][]int32{c.sink.topic(): c.ids()}) // of a leave that took too long
}

func (c *consumer) ids() (ids []int32) {
	for _, p := range c.sink.assigned() {
		ids = append(ids, p.id)
	}
	return ids
}

// remember keeps the metadata of the committed offsets for assign, which is called next.
func (c *consumer) remember(_ context.Context, cl *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	c.fetching = cl
	c.metadata = map[int32]string{}
	for _, g := range resp.Groups {
		for _, t := range g.Topics { // only ours was asked for
			for _, p := range t.Partitions {
				if p.Metadata != nil {
					c.metadata[p.Partition] = *p.Metadata
				}
			}
		}
	}
	return nil
}

// assign makes the parts of newly assigned partitions and says where each begins. A committed offset that the log no longer
// holds is the one place where points can be lost: it is counted and logged, and what is left is written.
func (c *consumer) assign(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	s := c.sink
	topic := s.topic()
	admin := kadm.NewClient(c.fetching)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list the starts of %s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list the ends of %s: %w", topic, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, o := range offsets[topic] {
		start, _ := starts.Lookup(topic, id)
		end, _ := ends.Lookup(topic, id)
		at, committed := o.EpochOffset().Offset, o.EpochOffset().Offset >= 0
		m := mark{next: start.Offset, pos: telemetry.NoPosition}
		if committed {
			m = mark{next: min(max(at, start.Offset), end.Offset), pos: parseMetadata(c.metadata[id])}
			c.hole(id, at, start.Offset, end.Offset)
		}
		s.parts[id] = &part{id: id, cut: m, done: m, committed: at, end: end.Offset}
		offsets[topic][id] = kgo.NewOffset().At(m.next)
	}
	return offsets, nil
}

// hole reports an offset outside [start, end].
func (c *consumer) hole(id int32, at, start, end int64) {
	s := c.sink
	switch {
	case at < start:
		s.lost.Add(start - at)
		s.metrics.lost.Add(float64(start - at))
		s.log.Error().Str("topic", s.topic()).Int32("partition", id).Int64("offset", at).Int64("start", start).
			Msg("points deleted by retention before they were written; replay makes them again")
	case at > end:
		// The log lost its tail after it was written to InfluxDB. The stream worker makes it again, with the same positions.
		s.log.Error().Str("topic", s.topic()).Int32("partition", id).Int64("offset", at).Int64("end", end).
			Msg("kafka lost points that are written already")
	}
}

// release ends the ownership of partitions, after the write in flight, and returns those that we had.
func (c *consumer) release(m map[string][]int32) []*part {
	s := c.sink
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	s.mu.Lock()
	defer s.mu.Unlock()
	var released []*part
	for _, id := range m[s.topic()] {
		if p := s.parts[id]; p != nil {
			p.gone = true
			delete(s.parts, id)
			s.metrics.setLag(id, 0)
			released = append(released, p)
		}
	}
	return released
}

// poll waits up to wait for records, at most limit. An error means that the membership is of no more use.
func (c *consumer) poll(ctx context.Context, wait time.Duration, limit int) ([]record, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	pollCtx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	fetches := c.client.PollRecords(pollCtx, limit)
	defer c.client.AllowRebalance()
	var errs []error
	fetches.EachError(func(_ string, partition int32, err error) {
		if session, ok := errors.AsType[*kgo.ErrGroupSession](err); ok {
			// The client joins again by itself.
			c.sink.waitsForKafka(fmt.Errorf("join consumer group %s: %w", c.sink.group(), session))
			return
		}
		if pollCtx.Err() == nil || !errors.Is(err, pollCtx.Err()) {
			errs = append(errs, fmt.Errorf("partition %d: %w", partition, err))
		}
	})
	s := c.sink
	s.mu.Lock()
	defer s.mu.Unlock()
	records := make([]record, 0, fetches.NumRecords())
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p := s.parts[f.Partition]
		if p == nil {
			return // an injected error: it names no partition of ours
		}
		p.end = max(p.end, f.HighWatermark)
		for _, r := range f.Records {
			records = append(records, record{p, r.Offset, r.Value, position(r), r.Attrs.IsControl()})
		}
	})
	return records, errors.Join(errs...)
}

// position is the one in the record's headers, NoPosition if there is none.
func position(r *kgo.Record) telemetry.Position {
	var source, ordinal string
	for _, h := range r.Headers {
		switch h.Key {
		case telemetry.HeaderSource:
			source = string(h.Value)
		case telemetry.HeaderOrdinal:
			ordinal = string(h.Value)
		}
	}
	pos, err := telemetry.ParsePosition(source, ordinal)
	if err != nil {
		return telemetry.NoPosition
	}
	return pos
}

// parseMetadata reads the position of a commit. A commit without one was made by hand, to have points written again (or
// passed over): then no position is passed yet.
func parseMetadata(text string) telemetry.Position {
	source, ordinal, _ := strings.Cut(text, "/")
	pos, err := telemetry.ParsePosition(source, ordinal)
	if err != nil {
		return telemetry.NoPosition
	}
	return pos
}

// commit commits how far the parts got, if they moved. An error is logged, not returned: the next commit covers this one, and
// what was not committed is written again, to the same effect.
func (c *consumer) commit(ctx context.Context, client *kgo.Client, parts []*part) {
	s := c.sink
	topic := s.topic()
	offsets := map[int32]kgo.EpochOffset{}
	metadata := map[int32]string{}
	s.mu.Lock()
	for _, p := range parts {
		if p.done.next != p.committed && p.done.next > 0 {
			offsets[p.id] = kgo.EpochOffset{Epoch: -1, Offset: p.done.next}
			if p.done.pos != telemetry.NoPosition {
				metadata[p.id] = fmt.Sprintf("%d/%d", p.done.pos.Source, p.done.pos.Ordinal)
			}
		}
	}
	s.mu.Unlock()
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for _, t := range req.Topics {
			for i := range t.Partitions {
				if m, ok := metadata[t.Partitions[i].Partition]; ok {
					t.Partitions[i].Metadata = &m
				}
			}
		}
		return nil
	})
	failed := map[int32]error{}
	var commitErr error
	client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if commitErr = err; err != nil {
				return
			}
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						failed[p.Partition] = err
						commitErr = err
					}
				}
			}
		})
	if commitErr != nil && ctx.Err() == nil {
		s.log.Warn().Err(commitErr).Str("group", s.group()).Msg("offsets not committed")
	}
	if commitErr != nil && len(failed) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parts {
		if o, ok := offsets[p.id]; ok && failed[p.id] == nil {
			p.committed = o.Offset
		}
	}
}

// watch keeps the ends of the partitions and the lag current, also while InfluxDB holds up the pump.
func (c *consumer) watch(ctx context.Context) error {
	s := c.sink
	topic := s.topic()
	admin := kadm.NewClient(c.client)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			continue // Kafka away: the group says so
		}
		s.kafka.ClearAfter(5 * time.Second) // the client's pauses between two attempts to join are shorter
		s.mu.Lock()
		for id, p := range s.parts {
			if end, ok := ends.Lookup(topic, id); ok && end.Err == nil {
				p.end = max(p.end, end.Offset)
			}
			s.metrics.setLag(id, p.lag())
		}
		s.mu.Unlock()
	}
}
