package main

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

const partitions = 6

// feeder writes a contestant's input.
type feeder struct {
	client *kgo.Client
	topic  string
	mns    []string
	parts  []int32

	mu  sync.Mutex // guards err
	err error      // the first
}

func newFeeder(brokers, topic string, devices int) (*feeder, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(50_000),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(time.Millisecond),
		kgo.UnknownTopicRetries(100)) // the topics are new, the broker is busy
	if err != nil {
		return nil, err
	}
	f := &feeder{client: cl, topic: topic}
	for i := range devices {
		mn := deviceMN(i)
		f.mns = append(f.mns, mn)
		f.parts = append(f.parts, telemetry.PartitionOf(mn, partitions))
	}
	return f, nil
}

func (f *feeder) put(kind telemetry.Kind, partition int32, mn string, at time.Time, value []byte) {
	f.client.Produce(context.Background(), &kgo.Record{Topic: f.topic, Partition: partition, Key: []byte(mn), Value: value, Timestamp: at,
		Headers: []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(kind.String())}}}, func(_ *kgo.Record, err error) {
		if err != nil {
			f.mu.Lock()
			f.err = cmp.Or(f.err, err)
			f.mu.Unlock()
		}
	})
}

func (f *feeder) flush(ctx context.Context) error {
	if err := f.client.Flush(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return fmt.Errorf("write the input: %w", f.err)
	}
	return nil
}

// registry makes the devices known, which only our own contestant asks for.
func (f *feeder) registry(at time.Time) {
	for i, mn := range f.mns {
		d := telemetry.Device{MN: mn, Outlet: fmt.Sprintf("G%05d", i), Medium: "gas", MinuteInterval: 1, RealtimeInterval: 60 / samples, OfflineAfter: 86_400}
		f.put(telemetry.KindRegistry, f.parts[i], mn, at, telemetry.AppendJSON(nil, &d))
	}
}

// backlog writes the real-time frames of [minutesFrom, minutesIn) in the order of their time, and the journal's clock between them where ticks says
// so: in our own journal time passes by ticks, the others take it from the frames.
func (f *feeder) backlog(base time.Time, ticks bool) {
	const apart = 60 / samples // seconds between two frames of a device
	for s := minutesFrom * 60; s < minutesIn*60; s++ {
		at := base.Add(time.Duration(s) * time.Second)
		if ticks {
			tick := telemetry.AppendJSON(nil, telemetry.Tick{Time: at})
			for p := range int32(partitions) {
				f.put(telemetry.KindTick, p, "", at, tick)
			}
		}
		for i := s % apart; i < len(f.mns); i += apart {
			f.put(telemetry.KindFrame, f.parts[i], f.mns[i], at, realtimeFrame(i, s/apart, at))
		}
	}
}

// last writes one more frame of every device, after the backlog.
func (f *feeder) last(base time.Time) {
	at := base.Add(minutesIn * time.Minute)
	for i, mn := range f.mns {
		f.put(telemetry.KindFrame, f.parts[i], mn, at, realtimeFrame(i, minutesIn*samples, at))
	}
}

// A load is minute records at a fixed rate: frame k is due at start + k/rate and belongs to device k mod devices.
type load struct {
	base    time.Time // of the backlog
	start   time.Time
	rate    int
	devices int
	sent    atomic.Int64
}

func (l *load) due(device, turn int) time.Time {
	return l.start.Add(time.Duration(turn*l.devices+device) * time.Second / time.Duration(l.rate))
}

// run sends what is due every millisecond until ctx ends or every device has sent maxTurns.
func (l *load) run(ctx context.Context, f *feeder) {
	every := time.NewTicker(time.Millisecond)
	defer every.Stop()
	for k := 0; k < l.devices*maxTurns; {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		for due := int(time.Since(l.start) * time.Duration(l.rate) / time.Second); k < min(due, l.devices*maxTurns); k++ {
			device, turn := k%l.devices, k/l.devices
			at := l.base.Add(time.Duration(loadAfter+turn) * time.Minute)
			f.put(telemetry.KindFrame, f.parts[device], f.mns[device], time.Now(), recordFrame(device, turn, at))
			l.sent.Store(int64(k + 1))
		}
	}
}
