package stream

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest/hj212"
	"outfall/internal/broker"
	"outfall/internal/store"
	"outfall/rules"
	"outfall/stream/fold"
	"outfall/telemetry"
)

// A bed is an embedded broker with a journal to fold.
type bed struct {
	t       *testing.T
	broker  *broker.Embedded
	cluster *broker.Cluster
	client  *kgo.Client
	group   string    // of the workers
	base    time.Time // DataTime of the first minute record, within the horizon and far from now
	minutes int       // minute records fed of each device
}

const bedPartitions = 4

func bedConfig() broker.Config {
	cfg := broker.DefaultConfig()
	cfg.Partitions = bedPartitions
	return cfg
}

// newEmptyBed starts a broker.
func newEmptyBed(t *testing.T) *bed {
	t.Helper()
	dir, err := os.MkdirTemp("", "stream") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e, err := broker.StartEmbedded(dir, bedConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	b := &bed{t: t, broker: e, cluster: e.Cluster(), group: DefaultConfig().Group, base: time.Now().Add(-60 * time.Hour).Truncate(time.Hour)}
	if b.client, err = b.cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	return b
}

// newBed starts a broker whose journal holds rules and the registry.
func newBed(t *testing.T) *bed {
	t.Helper()
	b := newEmptyBed(t)
	b.seed()
	return b
}

// seed writes rules and the registry into the journal.
func (b *bed) seed() {
	b.t.Helper()
	high := telemetry.Fixed(50 * telemetry.FixedOne)
	rs, err := rules.NewRuleSet("test", 1, []rules.Rule{{ID: "cod", Title: "COD", Basis: "GB 8978-1996", Factor: "w01018", Statistic: telemetry.StatMinute,
		High: &high, Unit: "mg/L", RaiseAfter: 2, ClearAfter: 2, ClearBelow: telemetry.FixedOne, MinValid: rules.DefaultMinValid(telemetry.StatMinute)}})
	if err != nil {
		b.t.Fatal(err)
	}
	var recs []*kgo.Record
	for p := range int32(bedPartitions) {
		recs = append(recs, b.record(telemetry.KindRules, p, "", rs.AppendJSON(nil)))
	}
	for i := range bedDevices {
		d := telemetry.Device{MN: bedMN(i), Outlet: fmt.Sprintf("W%02d", i), Medium: "water", MinuteInterval: 1, OfflineAfter: 600}
		recs = append(recs, b.record(telemetry.KindRegistry, b.partition(d.MN), d.MN, telemetry.AppendJSON(nil, &d)))
	}
	// Others than the workers write here: no record of it has a position.
	command := &kgo.Record{Topic: b.cluster.Topic(telemetry.TopicCommands), Partition: 1, Key: []byte("X"), Value: []byte("{}")}
	b.write(append(recs, command))
}

const bedDevices = 12

func bedMN(i int) string { return fmt.Sprintf("88888880000%013d", i) }

func (b *bed) partition(mn string) int32 { return telemetry.PartitionOf(mn, bedPartitions) }

func (b *bed) record(kind telemetry.Kind, partition int32, mn string, value []byte) *kgo.Record {
	return &kgo.Record{Topic: b.cluster.Topic(telemetry.TopicJournal), Partition: partition, Key: []byte(mn), Value: value, Timestamp: time.Now(),
		Headers: []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(kind.String())}}}
}

func (b *bed) write(recs []*kgo.Record) {
	b.t.Helper()
	if err := b.client.ProduceSync(context.Background(), recs...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// feed adds n minute records of every device, some of them above the limit, and a few entries that make findings or nothing.
func (b *bed) feed(n int) {
	b.t.Helper()
	var recs []*kgo.Record
	for range n {
		at := b.base.Add(time.Duration(b.minutes) * time.Minute)
		for i := range bedDevices {
			value := fmt.Sprintf("%d.%d", 30+(b.minutes*7+i*13)%40, i%10)
			seg := fmt.Sprintf("QN=%s;ST=32;CN=2051;PW=123456;MN=%s;Flag=5;CP=&&DataTime=%s;w01018-Min=%[4]s,w01018-Avg=%[4]s,w01018-Max=%[4]s,w01018-Flag=N&&",
				hj212.AppendQN(nil, at), bedMN(i), hj212.AppendTime(nil, at), value)
			recs = append(recs, b.record(telemetry.KindFrame, b.partition(bedMN(i)), bedMN(i), hj212.AppendFrame(nil, []byte(seg))))
		}
		recs = append(recs, b.packets(at)...)
		if b.minutes%5 == 0 {
			recs = append(recs, recs[len(recs)-1-rand.N(bedDevices)]) // a device sends again what it has sent
			other := b.record(telemetry.KindFrame, int32(rand.N(bedPartitions)), bedMN(0), []byte("?"))
			other.Headers[0].Value = []byte("mark")
			recs = append(recs, other)
		}
		b.minutes++
	}
	// A record can be produced once.
	for i, r := range recs {
		c := *r
		recs[i] = &c
	}
	b.write(recs)
}

// packets are a record of the first device in two packets, of which the second, without a time of its own, comes a minute later than the
// first; every seventh does not come at all.
func (b *bed) packets(at time.Time) []*kgo.Record {
	mn := bedMN(0)
	packet := func(at time.Time, pno int, cp string) *kgo.Record {
		seg := fmt.Sprintf("QN=%s;ST=32;CN=2051;PW=123456;MN=%s;Flag=7;PNUM=2;PNO=%d;CP=&&%s&&", hj212.AppendQN(nil, at.Add(time.Second)), mn, pno, cp)
		return b.record(telemetry.KindFrame, b.partition(mn), mn, hj212.AppendFrame(nil, []byte(seg)))
	}
	recs := []*kgo.Record{packet(at, 1, fmt.Sprintf("DataTime=%s;w21003-Avg=1.%d", hj212.AppendTime(nil, at), b.minutes%10))}
	if b.minutes > 0 && b.minutes%7 != 0 {
		recs = append(recs, packet(at.Add(-time.Minute), 2, fmt.Sprintf("w21011-Avg=2.%d", b.minutes%10)))
	}
	return recs
}

// config is a worker's configuration with snapshots in dir and nothing that would make a test wait.
func config(dir string) Config {
	cfg := DefaultConfig()
	cfg.Snapshots.Location = dir
	cfg.TickInterval = 100 * time.Millisecond
	cfg.SnapshotInterval = time.Second
	cfg.MaxBufferedOutputs = 100
	return cfg
}

// A running is a worker that works until stop.
type running struct {
	*Worker
	stop  func() error
	ended chan struct{} // closed when Run has returned
}

// waitEnded waits for Run to return by itself.
func (r *running) waitEnded(t *testing.T) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the worker did not stop within 20 s")
	}
}

func startWorker(t *testing.T, cluster *broker.Cluster, cfg Config) *running {
	t.Helper()
	barrier := cluster.NewBarrier()
	ctx, cancel := context.WithCancel(context.Background())
	synced := make(chan error, 1)
	go func() { synced <- barrier.Run(ctx) }()
	log := zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)
	st, err := store.Open(cfg.Snapshots)
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(cfg, cluster, barrier, st, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	working, end := context.WithCancel(ctx)
	var result error
	ended := make(chan struct{})
	go func() { defer close(ended); result = w.Run(working) }()
	stop := sync.OnceValue(func() error {
		end()
		<-ended
		cancel()
		<-synced
		return result
	})
	t.Cleanup(func() { stop() })
	return &running{w, stop, ended}
}

// waitFor polls until ok, for 20 s.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

// journalEnds are the offsets of the next entries.
func (b *bed) journalEnds() []int64 {
	b.t.Helper()
	ends, err := b.cluster.Offsets(context.Background(), telemetry.TopicJournal, broker.FromEnd)
	if err != nil {
		b.t.Fatal(err)
	}
	return ends
}

// waitFolded waits until the workers together are past what the journal holds now.
func (b *bed) waitFolded(workers ...*running) {
	b.t.Helper()
	for p, end := range b.journalEnds() {
		waitFor(b.t, fmt.Sprintf("partition %d to reach offset %d", p, end), func() bool {
			for _, w := range workers {
				w.mu.Lock()
				part := w.partitions[int32(p)]
				w.mu.Unlock()
				if part != nil && part.published.Load() >= end {
					return true
				}
			}
			return false
		})
	}
}

type place struct {
	topic     telemetry.Topic
	partition int32
}

// fromScratch folds the journal up to the given offsets in one go: what an uninterrupted worker publishes.
func (b *bed) fromScratch(ends []int64) map[place][]telemetry.Output {
	b.t.Helper()
	want := map[place][]telemetry.Output{}
	for p, end := range ends {
		st := fold.New(int32(p))
		err := readJournal(context.Background(), b.cluster, int32(p), 0, end, func(_ *kgo.Record, e *telemetry.Entry) error {
			st.Apply(e, func(o telemetry.Output) {
				at := place{o.Topic, int32(p)}
				o.Value = bytes.Clone(o.Value)
				want[at] = append(want[at], o)
			})
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return want
}

// checkPublished compares the topics, as they are, with the journal folded in one go as far as the workers have committed: every
// output once, in order, the same bytes. With duplicates allowed, only what a reader makes of them by position counts.
func (b *bed) checkPublished(duplicates bool) {
	b.t.Helper()
	b.checkPublishedFrom(make([]int64, bedPartitions), duplicates)
}

// checkPublishedFrom is checkPublished for the outputs of entries from the given offsets on; there are none of entries before.
func (b *bed) checkPublishedFrom(from []int64, duplicates bool) {
	b.t.Helper()
	s, err := lookAround(context.Background(), b.cluster, &ReplayOptions{Compare: true, Group: b.group})
	if err != nil {
		b.t.Fatal(err)
	}
	ends := make([]int64, bedPartitions)
	for p := range ends {
		ends[p] = s.published[int32(p)]
	}
	want, total := b.fromScratch(ends), 0
	for _, t := range telemetry.OutputTopics() {
		for p := range int32(bedPartitions) {
			var got []telemetry.Output
			last := telemetry.NoPosition
			err := b.cluster.ReadPartition(context.Background(), t, p, 0, s.outputs[t].end[p], func(rec *kgo.Record) error {
				pos, err := recordPosition(rec)
				if duplicates && !pos.After(last) {
					return err
				}
				last = pos
				got = append(got, telemetry.Output{Topic: t, MN: string(rec.Key), Value: rec.Value, Pos: pos})
				return err
			})
			if err != nil {
				b.t.Fatal(err)
			}
			expected := slices.DeleteFunc(want[place{t, p}], func(o telemetry.Output) bool { return o.Pos.Source < from[p] })
			total += len(expected)
			for i := range max(len(got), len(expected)) {
				if i >= len(got) || i >= len(expected) {
					b.t.Errorf("%s partition %d: %d outputs, want %d", t, p, len(got), len(expected))
					break
				}
				if g, w := got[i], expected[i]; g.Pos != w.Pos || g.MN != w.MN || !bytes.Equal(g.Value, w.Value) {
					b.t.Errorf("%s partition %d output %d:\n got %v %s %s\nwant %v %s %s", t, p, i, g.Pos, g.MN, g.Value, w.Pos, w.MN, w.Value)
					break
				}
			}
		}
	}
	if total == 0 {
		b.t.Error("the journal gave no outputs at all")
	}
	b.t.Logf("%d outputs of %v entries", total, ends)
}

func snapshotFiles(t *testing.T, dir string, partition int) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("p%05d-*.snap", partition)))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// outputRecord is the record of an output, as outputGroup.add makes it.
func outputRecord(topic string, partition int32, received time.Time, o *telemetry.Output) *kgo.Record {
	return &kgo.Record{
		Topic: topic, Partition: partition, Timestamp: received, Key: []byte(o.MN), Value: o.Value,
		Headers: []kgo.RecordHeader{
			{Key: telemetry.HeaderSource, Value: strconv.AppendInt(nil, o.Pos.Source, 10)},
			{Key: telemetry.HeaderOrdinal, Value: strconv.AppendInt(nil, int64(o.Pos.Ordinal), 10)},
		},
	}
}
