package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/stream/fold"
	"outfall/telemetry"
)

// firstEntryTimeout bounds one attempt to write the first version entry; the partition then begins anew.
const firstEntryTimeout = 30 * time.Second

// beginJournal writes a version entry of the newest algorithm into a journal that nobody has folded yet: the session begins it with a new
// state, nothing is published, and no owner has left a tick or a version entry. What the journal holds already, registry and rules as a
// rule, stays before the switch. It comes before the session's first tick, so a journal that has been owned once is never switched here.
//
// An owner that dies between the two leaves the entry to the next, which finds it. Two owners at once write it twice, which is one switch.
func (s *session) beginJournal(ctx context.Context) error {
	owned, err := ownedBefore(ctx, s.w.cluster, s.id, s.target)
	if err != nil || owned {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	rec := &kgo.Record{
		Topic: s.w.cluster.Topic(telemetry.TopicJournal), Partition: s.id, Timestamp: now,
		Headers: []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(telemetry.KindVersion.String())}},
		Value:   telemetry.AppendJSON(nil, &telemetry.Version{Algorithm: fold.Algorithms, Operator: "outfall", Reason: "new journal", Time: now}),
	}
	ctx, cancel := context.WithTimeout(ctx, firstEntryTimeout)
	defer cancel()
	if err := s.w.member.client.ProduceSync(ctx, rec).FirstErr(); err != nil {
		return fmt.Errorf("write the first version entry of journal partition %d: %w", s.id, err)
	}
	s.log.Info().Int64("offset", rec.Offset).Int("algorithm", fold.Algorithms).Msg("new journal: folded by the newest algorithm from here on")
	return nil
}

// errOwned ends the search of ownedBefore.
var errOwned = errors.New("tick or version found")

// ownedBefore reports whether the entries [0, end) of a partition's journal have any that only an owner writes, or that says by what it is to
// be folded. A journal that was owned has a tick near its beginning.
func ownedBefore(ctx context.Context, cluster Cluster, partition int32, end int64) (bool, error) {
	if end == 0 {
		return false, nil
	}
	err := cluster.ReadPartition(ctx, telemetry.TopicJournal, partition, 0, end, func(rec *kgo.Record) error {
		switch header(rec, telemetry.HeaderKind) {
		case telemetry.KindTick.String(), telemetry.KindVersion.String():
			return errOwned
		}
		return nil
	})
	if errors.Is(err, errOwned) {
		return true, nil
	}
	return false, err
}
