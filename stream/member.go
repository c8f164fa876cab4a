package stream

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"outfall/telemetry"
)

// A member is the worker's place in the consumer group, and what it writes into the journal. It fetches nothing.
type member struct {
	client          *kgo.Client
	journal         string
	group, instance string
}

// join enters the group. The functions get journal partitions; they are never called concurrently, and the group waits for them.
func join(cluster Cluster, cfg Config, assigned, revoked, lost func([]int32)) (*member, error) {
	journal := cluster.Topic(telemetry.TopicJournal)
	on := func(fn func([]int32)) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) { fn(partitions[journal]) }
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(cfg.Group), kgo.ConsumeTopics(journal), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(cfg.SessionTimeout), kgo.HeartbeatInterval(cfg.SessionTimeout / 4),
		kgo.RebalanceTimeout(cfg.DrainTimeout + 30*time.Second),
		kgo.DisableAutoCommit(), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(on(assigned)), kgo.OnPartitionsRevoked(on(revoked)), kgo.OnPartitionsLost(on(lost)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(2 * time.Millisecond),
	}
	if cfg.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(cfg.InstanceID))
	}
	cl, err := cluster.Client(opts...)
	if err != nil {
		return nil, fmt.Errorf("join group %s: %w", cfg.Group, err)
	}
	cl.PauseFetchTopics(journal)
	return &member{client: cl, journal: journal, group: cfg.Group, instance: cfg.InstanceID}, nil
}

// watch reports the group's errors until ctx ends.
func (m *member) watch(ctx context.Context, report func(error)) {
	for ctx.Err() == nil {
		m.client.PollFetches(ctx).EachError(func(_ string, _ int32, err error) {
			if ctx.Err() == nil {
				report(err)
			}
		})
	}
}

// tick writes a tick into the journal; done gets its outcome on another goroutine.
func (m *member) tick(partition int32, now time.Time, done func(error)) {
	m.client.Produce(context.Background(), tickRecord(m.journal, partition, now), func(_ *kgo.Record, err error) { done(err) })
}

// commit tells the group how far partitions are. A partition that is not recovered yet keeps the offset that its owner before committed; if
// there is none, nothing is said about it.
func (m *member) commit(ctx context.Context, marks map[int32]mark) error {
	before := m.client.CommittedOffsets()[m.journal]
	offsets := map[int32]kgo.EpochOffset{}
	for p, mark := range marks {
		o := kgo.EpochOffset{Epoch: -1, Offset: mark.next}
		if mark.next < 0 {
			var ok bool
			if o, ok = before[p]; !ok || o.Offset < 0 {
				continue
			}
		}
		offsets[p] = o
	}
	if len(offsets) == 0 {
		return nil
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		worker, _ := m.client.GroupMetadata()
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				p := &req.Topics[i].Partitions[j]
				text := string(telemetry.AppendJSON(nil, note{worker, marks[p.Partition].condition}))
				p.Metadata = &text
			}
		}
		return nil
	})
	var refused error
	m.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.journal: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			refused = err
			if err != nil {
				return
			}
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						refused = fmt.Errorf("journal partition %d: %w", p.Partition, err)
					}
				}
			}
		})
	if refused != nil {
		return fmt.Errorf("commit offsets: %w", refused)
	}
	return nil
}

// close leaves the group, for at most the drain's time: on a network that swallows packets the request would wait for ever.
func (m *member) close(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := m.client.LeaveGroupContext(ctx)
	m.client.Close()
	return err
}

// A mark is what a worker commits of a partition.
type mark struct {
	next int64 // journal offset after the last entry whose outputs are all out; -1: not known yet
	condition
}

// A State is what a partition's owner does with it, or that it has none.
type State string

// The states of a partition.
const (
	StateNoOwner    State = "no owner"    // nobody folds it
	StateRecovering State = "recovering"  // assigned; its owner has not begun to fold, or not said so yet
	StateCatchingUp State = "catching up" // folds what was there when it was assigned
	StateFolding    State = "folding"
	StateFaulty     State = "faulty" // something failed and is tried again: see Fault
)

// A condition is how a partition is, as its owner sees it.
type condition struct {
	State    State  `json:"state"`
	Fault    string `json:"fault,omitempty"` // of the session before, which is tried again, or that ended the worker
	Snapshot int64  `json:"snapshot"`        // journal offset of the newest snapshot, -1 without one
	SavedMs  int64  `json:"saved_ms"`        // when it was made; of no meaning without one
}

// A note is the metadata of a commit, JSON of at most 3,300 bytes (Kafka takes 4,096). It is for people who look from elsewhere.
type note struct {
	Worker string `json:"worker"` // member id
	condition
}

// maxFaultBytes bounds Fault; escaped, a byte can become six.
const maxFaultBytes = 500

// mark may be called from any goroutine.
func (p *partition) mark() mark {
	m := mark{p.published.Load(), condition{State: StateFolding, Snapshot: p.savedNext.Load(), SavedMs: p.saved.Load()}}
	fault := p.fault.Load()
	switch {
	case fault != nil:
		m.State, m.Fault = StateFaulty, strings.ToValidUTF8((*fault)[:min(len(*fault), maxFaultBytes)], "")
	case m.next < 0:
		m.State = StateRecovering
	case !p.caughtUp.Load():
		m.State = StateCatchingUp
	}
	return m
}
