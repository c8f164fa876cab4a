package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"outfall/internal/obs"
	"outfall/telemetry"
)

func (s *Sink) topic() string { return s.cluster.Topic(telemetry.TopicAlarms) }

// group is the consumer group: the topic prefix and "sink-alert".
func (s *Sink) group() string {
	return strings.TrimSuffix(s.topic(), telemetry.TopicAlarms.String()) + "sink-alert"
}

// oneOwner gives every partition to one member of the group, so that one process keeps the budgets of the channels and sees every alarm of a
// county. Its wire forms are those of Kafka's range assignor.
type oneOwner struct{ kgo.GroupBalancer }

// ProtocolName implements kgo.GroupBalancer.
func (oneOwner) ProtocolName() string { return "outfall-one-owner" }

// MemberBalancer implements kgo.GroupBalancer.
func (o oneOwner) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	b, err := kgo.NewConsumerBalancer(o, members)
	if err != nil {
		return nil, nil, err
	}
	return b, b.MemberTopics(), nil
}

// Balance implements kgo.ConsumerBalancerBalance.
func (oneOwner) Balance(b *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	plan := b.NewPlan()
	var owner *kmsg.JoinGroupResponseMember
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, _ *kmsg.ConsumerMemberMetadata) {
		if owner == nil || m.MemberID < owner.MemberID {
			owner = m
		}
	})
	for topic, n := range topics {
		for p := range n {
			plan.AddPartition(owner, topic, p)
		}
	}
	return plan
}

// A member is one membership in the consumer group. The group says who works and keeps the offsets; the records are read beside it.
type member struct {
	sink   *Sink
	client *kgo.Client // not for the callbacks: they may come before it is set

	mu    sync.Mutex // guards shift
	shift *shift     // nil: another process works
}

// join becomes a member. Kafka may be away.
func (s *Sink) join() (*member, error) {
	m := &member{sink: s}
	client, err := s.cluster.Client(
		kgo.ConsumerGroup(s.group()),
		kgo.ConsumeTopics(s.topic()),
		kgo.Balancers(oneOwner{kgo.RangeBalancer()}),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(15*time.Second), // how long a killed process's work waits for another one
		kgo.OnPartitionsAssigned(m.assigned),
		kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, _ map[string][]int32) { m.end(ctx, cl) }),
		kgo.OnPartitionsLost(func(ctx context.Context, _ *kgo.Client, _ map[string][]int32) { m.end(ctx, nil) }),
	)
	if err != nil {
		return nil, fmt.Errorf("open a Kafka client: %w", err)
	}
	client.PauseFetchTopics(s.topic())
	m.client = client
	return m, nil
}

// run keeps the membership until ctx ends or it is of no more use.
func (m *member) run(ctx context.Context) error {
	s := m.sink
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		waiting, cancel := context.WithTimeout(ctx, pollInterval)
		fetches := m.client.PollFetches(waiting) // nothing is fetched: it gives the group's errors
		cancel()
		var errs []error
		fetches.EachError(func(_ string, _ int32, err error) {
			switch session, ok := errors.AsType[*kgo.ErrGroupSession](err); {
			case ok:
				s.kafka.Note(fmt.Errorf("join consumer group %s: %w", s.group(), session)) // the client joins again by itself
			case ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded):
				errs = append(errs, err)
			}
		})
		if err := errors.Join(errs...); err != nil || ctx.Err() != nil {
			return err
		}
		s.kafka.ClearAfter(2 * obs.Reminder / 3)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// assigned begins to work. On the group's goroutine.
func (m *member) assigned(_ context.Context, cl *kgo.Client, topics map[string][]int32) {
	if len(topics[m.sink.topic()]) == 0 {
		m.sink.standby.Store(true)
		return
	}
	m.sink.standby.Store(false)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shift = m.sink.begin(cl)
}

// end ends the work: requests in flight get their receipts. Where the membership still holds, what is done is committed by cl.
func (m *member) end(ctx context.Context, cl *kgo.Client) {
	m.sink.standby.Store(true)
	m.mu.Lock()
	sh := m.shift
	m.shift = nil
	m.mu.Unlock()
	if sh == nil {
		return
	}
	sh.end()
	if cl != nil {
		sh.commit(ctx, cl)
	}
}

// leave ends the work, leaves the group and closes the client.
func (m *member) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), m.sink.cfg.Timeout+leaveTime)
	defer cancel()
	if err := m.client.LeaveGroupContext(ctx); err != nil {
		m.sink.log.Warn().Err(err).Str("group", m.sink.group()).Msg("consumer group not left: others wait for the session timeout")
	}
	m.client.Close()
	m.end(ctx, nil) // of a leave that took too long
}

// begins are the marks from which this process goes on: what the group has committed. A partition of which nothing is committed begins
// Config.Deadline ago: what is older would be given up.
func (s *Sink) begins(ctx context.Context, cl *kgo.Client) ([]mark, error) {
	start, end, err := s.cluster.Bounds(ctx, telemetry.TopicAlarms)
	if err != nil {
		return nil, err
	}
	since, err := s.cluster.OffsetsSince(ctx, telemetry.TopicAlarms, time.Now().Add(-s.cfg.Deadline))
	if err != nil {
		return nil, err
	}
	offsets, err := kadm.NewClient(cl).FetchOffsets(ctx, s.group())
	if err == nil {
		err = offsets.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("offsets of group %s: %w", s.group(), err)
	}
	all := make([]mark, s.cluster.Partitions())
	for p := range all {
		all[p] = mark{next: since[p], pos: telemetry.NoPosition}
		o, ok := offsets.Lookup(s.topic(), int32(p))
		if !ok || o.At < 0 {
			continue
		}
		source, ordinal, _ := strings.Cut(o.Metadata, "/")
		if pos, err := telemetry.ParsePosition(source, ordinal); err == nil {
			all[p].pos = pos
		}
		all[p].next = min(max(o.At, start[p]), end[p])
		if lost := start[p] - o.At; lost > 0 {
			s.metrics.lost.Add(float64(lost))
			s.log.Error().Str("topic", s.topic()).Int("partition", p).Int64("offset", o.At).Int64("start", start[p]).
				Msg("alarms deleted by retention before they were delivered")
		}
	}
	return all, nil
}

// commit commits how far the partitions got, each with the greatest position before its offset as metadata. An error is logged, not returned:
// the next commit covers this one, and what was not committed has its receipts.
func (sh *shift) commit(ctx context.Context, cl *kgo.Client) {
	s := sh.sink
	if sh.marks == nil {
		return
	}
	moved := sh.marks.moved()
	if len(moved) == 0 {
		return
	}
	offsets := map[int32]kgo.EpochOffset{}
	for p, m := range moved {
		offsets[p] = kgo.EpochOffset{Epoch: -1, Offset: m.next}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for _, t := range req.Topics {
			for i := range t.Partitions {
				if m, ok := moved[t.Partitions[i].Partition]; ok && m.pos != telemetry.NoPosition {
					text := fmt.Sprintf("%d/%d", m.pos.Source, m.pos.Ordinal)
					t.Partitions[i].Metadata = &text
				}
			}
		}
		return nil
	})
	var commitErr error
	cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{s.topic(): offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if commitErr = err; err != nil {
				return
			}
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						commitErr = err
					} else {
						sh.marks.commit(p.Partition, offsets[p.Partition].Offset)
					}
				}
			}
		})
	if commitErr != nil && ctx.Err() == nil {
		s.log.Warn().Err(commitErr).Str("group", s.group()).Msg("offsets not committed")
	}
}
