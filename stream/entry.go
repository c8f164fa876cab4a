package stream

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/stream/fold"
	"outfall/telemetry"
)

// decodeEntry reads a record of the journal. The entry's Value aliases the record. An error that wraps fold.ErrAlgorithm means that nothing
// from the record on can be folded. Any other means that the record is none that this version knows: it is skipped, in every replay alike,
// because only its own bytes decide.
func decodeEntry(rec *kgo.Record) (telemetry.Entry, error) {
	name := header(rec, telemetry.HeaderKind)
	kind, ok := telemetry.ParseKind(name)
	if !ok {
		return telemetry.Entry{}, fmt.Errorf("journal partition %d offset %d: unknown kind %.40q", rec.Partition, rec.Offset, name)
	}
	e := telemetry.Entry{
		Partition: rec.Partition, Offset: rec.Offset, Received: rec.Timestamp.UTC().Truncate(time.Millisecond),
		Kind: kind, MN: string(rec.Key), Value: rec.Value,
	}
	switch kind {
	case telemetry.KindTick, telemetry.KindRules, telemetry.KindAction:
		return e, nil
	case telemetry.KindVersion:
		if err := fold.CheckVersion(rec.Value); err != nil {
			return telemetry.Entry{}, fmt.Errorf("journal partition %d offset %d: %w", rec.Partition, rec.Offset, err)
		}
		return e, nil
	case telemetry.KindReject:
		e.Reason = header(rec, telemetry.HeaderReason)
	}
	if e.MN == "" {
		return telemetry.Entry{}, fmt.Errorf("journal partition %d offset %d: %s without a key", rec.Partition, rec.Offset, kind)
	}
	return e, nil
}

// tickRecord is the journal record of a tick of partition at now.
func tickRecord(topic string, partition int32, now time.Time) *kgo.Record {
	now = now.UTC().Truncate(time.Millisecond)
	return &kgo.Record{
		Topic: topic, Partition: partition, Timestamp: now,
		Headers: []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(telemetry.KindTick.String())}},
		Value:   telemetry.AppendJSON(nil, telemetry.Tick{Time: now}),
	}
}

// recordPosition reads the position of an output record. It fails for a record that no worker wrote.
func recordPosition(rec *kgo.Record) (telemetry.Position, error) {
	pos, err := telemetry.ParsePosition(header(rec, telemetry.HeaderSource), header(rec, telemetry.HeaderOrdinal))
	if err != nil {
		return pos, fmt.Errorf("%s partition %d offset %d: %w", rec.Topic, rec.Partition, rec.Offset, err)
	}
	return pos, nil
}

func header(rec *kgo.Record, key string) string {
	for i := range rec.Headers {
		if rec.Headers[i].Key == key {
			return string(rec.Headers[i].Value)
		}
	}
	return ""
}
