package ingest

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// A KafkaPublisher is the Publisher of a Kafka cluster: acks=all, idempotent, in order per key, and durable in the sense of the
// barrier. While the cluster is away records wait in its bounded buffer, without a limit in time, and are then sent.
type KafkaPublisher struct {
	client     *kgo.Client
	barrier    *broker.Barrier
	journal    string
	rejects    string
	partitions int32
	maxRecords int64
	maxBytes   int64
	records    atomic.Int64 // taken and not durable yet
	bytes      atomic.Int64 // their cost
	deliveries sync.Pool    // *delivery
}

// NewKafkaPublisher connects on first use. The barrier must run until after Close; r gets the gauges of what is under way.
func NewKafkaPublisher(cfg Config, cluster *broker.Cluster, barrier *broker.Barrier, r prometheus.Registerer) (*KafkaPublisher, error) {
	p := &KafkaPublisher{
		barrier: barrier, journal: cluster.Topic(telemetry.TopicJournal), rejects: cluster.Topic(telemetry.TopicRejects),
		partitions: cluster.Partitions(), maxRecords: cfg.MaxInflightRecords, maxBytes: cfg.MaxInflightBytes,
	}
	p.deliveries.New = p.newDelivery
	var err error
	p.client, err = cluster.Client(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(cfg.Linger),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		// TryProduce reports a full buffer on a callback, when the frame is gone from the socket's buffer. So Publish counts itself, and
		// the client's own bounds are out of its way: the client counts a record until its promise has returned, Publish until within.
		kgo.MaxBufferedRecords(2*int(cfg.MaxInflightRecords)),
		kgo.MaxBufferedBytes(2*int(cfg.MaxInflightBytes)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return nil, err
	}
	gauge := func(name, help string, v *atomic.Int64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "outfall_ingest_" + name, Help: help},
			func() float64 { return float64(v.Load()) }))
	}
	gauge("inflight_bytes", "Bytes on the way to the journal that are not durable yet.", &p.bytes)
	gauge("inflight_records", "Records on the way to the journal that are not durable yet.", &p.records)
	return p, nil
}

// A delivery is one record on its way. It is used again after its end, with the functions that are made once.
type delivery struct {
	p       *KafkaPublisher
	rec     kgo.Record
	key     []byte
	cost    int64
	done    func(error)
	promise func(*kgo.Record, error) // d.produced
	settle  func(error)              // d.settled
}

func (p *KafkaPublisher) newDelivery() any {
	d := &delivery{p: p}
	d.promise, d.settle = d.produced, d.settled
	return d
}

// Publish implements Publisher.
func (p *KafkaPublisher) Publish(rec Record, done func(error)) error {
	cost := int64(rec.cost())
	records, bytes := p.records.Add(1), p.bytes.Add(cost)
	if records > p.maxRecords || bytes > p.maxBytes {
		p.release(cost)
		return ErrFull
	}
	d := p.deliveries.Get().(*delivery)
	d.done, d.cost = done, cost
	d.key = append(d.key[:0], rec.Key...)
	d.rec = p.record(&rec, d.key)
	p.client.TryProduce(context.Background(), &d.rec, d.promise)
	return nil
}

// produced is the client's callback: the brokers have the record, or it is lost. The record is ours again.
func (d *delivery) produced(_ *kgo.Record, err error) {
	if err != nil {
		d.settled(err)
		return
	}
	d.p.barrier.Notify(d.settle)
}

func (d *delivery) settled(err error) {
	d.p.release(d.cost)
	done := d.done
	d.done, d.rec = nil, kgo.Record{}
	d.p.deliveries.Put(d)
	done(err)
}

func (p *KafkaPublisher) release(cost int64) {
	p.records.Add(-1)
	p.bytes.Add(-cost)
}

// record is the wire form of architecture's topic table.
func (p *KafkaPublisher) record(rec *Record, key []byte) kgo.Record {
	headers := rec.Origin.headers
	if rec.Kind != telemetry.KindFrame || headers == nil {
		headers = rec.Origin.appendHeaders(make([]kgo.RecordHeader, 0, 5), rec.Kind)
	}
	if rec.Kind == telemetry.KindReject {
		headers = append(headers, kgo.RecordHeader{Key: telemetry.HeaderReason, Value: []byte(rec.Reason.String())})
	}
	topic := p.journal
	if rec.Topic == telemetry.TopicRejects {
		topic = p.rejects
	}
	return kgo.Record{
		Topic: topic, Partition: telemetry.PartitionOf(rec.Key, p.partitions), Key: key, Value: rec.Value,
		Headers: headers, Timestamp: rec.Received,
	}
}

// Flush implements Publisher.
func (p *KafkaPublisher) Flush(ctx context.Context) error { return p.client.Flush(ctx) }

// Close drops what is not sent yet: Flush first.
func (p *KafkaPublisher) Close() { p.client.Close() }
