package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// A CommandTopic is the commands topic as a Downlink uses it.
type CommandTopic interface {
	// Follow calls fn with every record written at or after since, in order per MN, and loaded once when it has come to the end that the
	// topic had at the call. It returns nil when ctx ends, and an error when records that were to come next are gone.
	Follow(ctx context.Context, since time.Time, fn func(kind telemetry.Kind, mn string, value []byte), loaded func()) error
	// Write never blocks. done is called once, on another goroutine or at once: with nil after the record is durable, with the error when
	// it is lost.
	Write(kind telemetry.Kind, mn string, value []byte, at time.Time, done func(error))
}

// KafkaCommands is the CommandTopic of a Kafka cluster.
type KafkaCommands struct {
	cluster *broker.Cluster
	barrier *broker.Barrier
	client  *kgo.Client
	log     zerolog.Logger
}

// NewKafkaCommands connects on first use. The barrier must run until after Close.
func NewKafkaCommands(cluster *broker.Cluster, barrier *broker.Barrier, log zerolog.Logger) (*KafkaCommands, error) {
	client, err := cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(2*maxWriting))
	if err != nil {
		return nil, err
	}
	return &KafkaCommands{cluster: cluster, barrier: barrier, client: client, log: log}, nil
}

// Close drops what is not written yet.
func (k *KafkaCommands) Close() { k.client.Close() }

// Write implements CommandTopic.
func (k *KafkaCommands) Write(kind telemetry.Kind, mn string, value []byte, at time.Time, done func(error)) {
	rec := CommandRecord(k.cluster, kind, mn, value, at)
	k.client.TryProduce(context.Background(), rec, func(_ *kgo.Record, err error) {
		if err != nil {
			done(fmt.Errorf("write to %s: %w", rec.Topic, err))
			return
		}
		k.barrier.Notify(done)
	})
}

// CommandRecord is the record of the commands topic that holds a command, or a step of one.
func CommandRecord(cluster *broker.Cluster, kind telemetry.Kind, mn string, value []byte, at time.Time) *kgo.Record {
	return &kgo.Record{
		Topic: cluster.Topic(telemetry.TopicCommands), Partition: telemetry.PartitionOf(mn, cluster.Partitions()), Key: []byte(mn),
		Value: value, Timestamp: at, Headers: []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(kind.String())}},
	}
}

// Follow implements CommandTopic. Brokers that are away are tried again, once a second.
func (k *KafkaCommands) Follow(ctx context.Context, since time.Time, fn func(telemetry.Kind, string, []byte), loaded func()) error {
	f := commandFollower{KafkaCommands: k, fn: fn, loaded: loaded}
	down := false
	for {
		err := f.read(ctx, since, &down)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, kerr.OffsetOutOfRange):
			return fmt.Errorf("commands: %w", err)
		case !down:
			down = true
			k.log.Error().Err(err).Msg("commands cannot be read")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(registryRetry):
		}
	}
}

// A commandFollower is where a Follow is.
type commandFollower struct {
	*KafkaCommands
	fn        func(telemetry.Kind, string, []byte)
	loaded    func() // nil once called
	next, end []int64
}

func (f *commandFollower) read(ctx context.Context, since time.Time, down *bool) error {
	if f.end == nil {
		next, err := f.cluster.OffsetsSince(ctx, telemetry.TopicCommands, since)
		if err != nil {
			return err
		}
		end, err := f.cluster.Offsets(ctx, telemetry.TopicCommands, broker.FromEnd)
		if err != nil {
			return err
		}
		f.next, f.end = next, end
	}
	f.progress()
	return f.cluster.FollowFrom(ctx, telemetry.TopicCommands, f.next, func(rec *kgo.Record) error {
		if *down {
			*down = false
			f.log.Info().Msg("commands are read again")
		}
		kind := telemetry.Kind(0)
		for _, h := range rec.Headers {
			if h.Key == telemetry.HeaderKind {
				kind, _ = telemetry.ParseKind(string(h.Value))
			}
		}
		f.fn(kind, string(rec.Key), rec.Value)
		f.next[rec.Partition] = rec.Offset + 1
		f.progress()
		return nil
	})
}

// progress calls loaded when every partition was read up to the end that it had at the start.
func (f *commandFollower) progress() {
	if f.loaded == nil {
		return
	}
	for p := range f.end {
		if f.next[p] < f.end[p] {
			return
		}
	}
	f.loaded()
	f.loaded = nil
}
