package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// A PartitionInfo is how one partition of the journal is, as its group and the brokers tell it: what workers commit is up to
// commitInterval old.
type PartitionInfo struct {
	Partition int32
	Owner     Owner // zero without one
	Start     int64 // the journal's first offset in the brokers' log
	End       int64 // the offset of its next entry
	Published int64 // offset after the last entry whose outputs are all out, -1 if nothing was committed yet
	Lag       int64 // entries not folded yet
	// Behind is how long ago the oldest of those was received, 0 without lag, below 0 if it could not be read.
	Behind   time.Duration
	Snapshot int64     // journal offset of the newest snapshot, -1 if there is none or nothing is known
	SavedAt  time.Time // when it was made; zero without one
	State    State
	// Fault is what failed. Beside StateNoOwner it is what its last owner said before it ended.
	Fault string
}

// An Owner is the worker that holds a partition.
type Owner struct {
	Member   string // id in the group
	Instance string // stream.instance_id, empty without one
	Host     string // from which it talks to the brokers; empty on the embedded broker, whose clients have no address
}

// inspectTime bounds the reading of the oldest entries not folded.
const inspectTime = 5 * time.Second

// Inspect asks the brokers how the partitions of a group are; any client of the cluster can.
func Inspect(ctx context.Context, cluster Cluster, group string) ([]PartitionInfo, error) {
	cl, err := cluster.Client()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	admin, journal := kadm.NewClient(cl), cluster.Topic(telemetry.TopicJournal)
	owners, err := ownersOf(ctx, admin, group, journal)
	if err != nil {
		return nil, err
	}
	committed, err := admin.FetchOffsets(ctx, group)
	if err == nil {
		err = committed.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("read the offsets of group %s: %w", group, err)
	}
	starts, ends, err := bounds(ctx, admin, journal)
	if err != nil {
		return nil, err
	}
	infos := make([]PartitionInfo, cluster.Partitions())
	oldest := map[int32]int64{}
	for i := range infos {
		p := int32(i)
		infos[p] = PartitionInfo{Partition: p, Owner: owners[p], Start: starts[p], End: ends[p], Published: -1, Snapshot: -1}
		infos[p].judge(committed[journal][p])
		if infos[p].Lag > 0 {
			oldest[p] = max(infos[p].Published, starts[p])
		}
	}
	now := time.Now()
	received, err := readTimes(ctx, cluster, oldest)
	if err != nil {
		return nil, err
	}
	for p := range oldest {
		infos[p].Behind = -1
		if at, ok := received[p]; ok {
			infos[p].Behind = max(0, now.Sub(at))
		}
	}
	return infos, nil
}

// ownersOf are the members of the group by partition of the journal.
func ownersOf(ctx context.Context, admin *kadm.Client, group, journal string) (map[int32]Owner, error) {
	described, err := admin.DescribeGroups(ctx, group)
	if err == nil {
		err = described[group].Err
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("describe group %s: %w", group, err)
	}
	owners := map[int32]Owner{}
	for _, m := range described[group].Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		o := Owner{Member: m.MemberID, Host: strings.TrimLeft(m.ClientHost, "/@")}
		if m.InstanceID != nil {
			o.Instance = *m.InstanceID
		}
		for _, t := range assigned.Topics {
			if t.Topic == journal {
				for _, p := range t.Partitions {
					owners[p] = o
				}
			}
		}
	}
	return owners, nil
}

// judge fills in what follows from a commit, which may be zero.
func (i *PartitionInfo) judge(commit kadm.OffsetResponse) {
	var n note
	if commit.Topic != "" && commit.At >= 0 {
		i.Published = commit.At
		if json.Unmarshal([]byte(commit.Metadata), &n) != nil {
			n = note{condition: condition{Snapshot: -1}} // committed by hand
		}
		i.Fault = n.Fault
		if n.Snapshot >= 0 && n.SavedMs > 0 {
			i.Snapshot, i.SavedAt = n.Snapshot, time.UnixMilli(n.SavedMs).UTC()
		}
	}
	i.Lag = max(0, i.End-max(i.Published, i.Start))
	switch {
	case i.Owner.Member == "":
		i.State = StateNoOwner
	case n.Worker != i.Owner.Member:
		i.State, i.Fault = StateRecovering, "" // what the owner before said
	default:
		i.State = n.State
	}
}

// readTimes are the timestamps of the entries at the given offsets, by partition; those that did not come within inspectTime are missing.
func readTimes(ctx context.Context, cluster Cluster, at map[int32]int64) (map[int32]time.Time, error) {
	times := map[int32]time.Time{}
	if len(at) == 0 {
		return times, nil
	}
	journal := cluster.Topic(telemetry.TopicJournal)
	offsets := map[int32]kgo.Offset{}
	for p, o := range at {
		offsets[p] = kgo.NoResetOffset().At(o)
	}
	cl, err := cluster.Client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{journal: offsets}), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxPartitionBytes(64<<10), // the first batch comes whole, whatever its size
	)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	waiting, cancel := context.WithTimeout(ctx, inspectTime)
	defer cancel()
	for len(times) < len(at) && waiting.Err() == nil {
		cl.PollFetches(waiting).EachPartition(func(p kgo.FetchTopicPartition) {
			if _, ok := times[p.Partition]; !ok && len(p.Records) > 0 {
				times[p.Partition] = p.Records[0].Timestamp
				cl.PauseFetchPartitions(map[string][]int32{journal: {p.Partition}})
			}
		})
	}
	return times, ctx.Err()
}
