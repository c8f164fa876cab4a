package stream

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// newFakeBed has brokers that are reached as Apache Kafka is, over TCP, know transactions and fail on demand. Nothing of them survives
// the test.
func newFakeBed(t *testing.T) (*bed, *kfake.Cluster) {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	conf := bedConfig()
	conf.Brokers, conf.ReplicationFactor = fake.ListenAddrs(), 1
	return newBedOn(t, broker.Remote(conf)), fake
}

// newBedOn makes the topics on a cluster and a journal to fold.
func newBedOn(t *testing.T, cluster *broker.Cluster) *bed {
	t.Helper()
	if _, err := cluster.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, cluster: cluster, group: DefaultConfig().Group, base: time.Now().Add(-60 * time.Hour).Truncate(time.Hour)}
	var err error
	if b.client, err = cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	b.seed()
	return b
}

func fencedConfig(dir string) Config {
	cfg := config(dir)
	cfg.EOS = EOSFenced
	cfg.TransactionInterval = 10 * time.Millisecond
	return cfg
}

// intrude begins a transaction under the worker's transactional id of a partition, as a second owner does, and writes n outputs of a
// position that no fold will ever reach. The transaction stays open.
func (b *bed) intrude(partition int32, n int) *kgo.Client {
	b.t.Helper()
	cl, err := b.cluster.Client(kgo.TransactionalID(transactionalID(b.group, partition)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err == nil {
		err = cl.BeginTransaction()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cl.Close)
	o := telemetry.Output{MN: bedMN(0), Value: []byte("given up"), Pos: telemetry.Position{Source: 1 << 40}}
	var recs []*kgo.Record
	for range n {
		for _, t := range telemetry.OutputTopics() {
			recs = append(recs, outputRecord(b.cluster.Topic(t), partition, time.Now(), &o))
		}
	}
	if err := cl.ProduceSync(b.t.Context(), recs...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
	return cl
}

// In transactions the topics hold, for who reads what is committed, the same outputs as without: each once. What others left unfinished or
// gave up is none.
func TestFencedOutputsAreTheSame(t *testing.T) {
	b, _ := newFakeBed(t)
	exerciseFenced(t, b)
}

func exerciseFenced(t *testing.T, b *bed) {
	cfg := fencedConfig(t.TempDir())
	cfg.Group = b.group
	b.feed(20)
	w := startWorker(t, b.cluster, cfg)
	b.waitFolded(w)

	// Somebody else writes under the worker's name: it is refused, finds that it is still a member, and takes over again.
	b.intrude(0, 3)
	before := testutil.ToFloat64(w.metrics.restarts)
	b.feed(20)
	b.waitFolded(w)
	if n := testutil.ToFloat64(w.metrics.restarts); n == before {
		t.Error("the worker wrote on after another had taken its place")
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.checkPublished(false)

	// Leftovers at the topics' ends: given up, and still open.
	if err := b.intrude(1, 100).EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	b.intrude(2, 5)
	for p := range int32(bedPartitions) {
		for _, topic := range telemetry.OutputTopics() {
			rec, err := b.cluster.Tail(t.Context(), topic, p)
			if err != nil || rec != nil && string(rec.Value) == "given up" {
				t.Errorf("tail of %s partition %d: %v, %v", topic, p, rec, err)
			}
		}
	}
	b.feed(20)
	w = startWorker(t, b.cluster, cfg)
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.checkPublished(false)
	result := b.replay(ReplayOptions{Compare: true, Group: b.group})
	if c := result.Comparison; !c.Same() || c.Identical == 0 {
		t.Errorf("comparison %+v\n%v", c, c.First)
	}

	// And back: without transactions the next worker goes on behind them.
	b.feed(20)
	cfg.EOS = EOSPosition
	w = startWorker(t, b.cluster, cfg)
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.checkPublished(false)
}

// A worker that the group no longer counts must not take a partition's outputs from its successor.
func TestOnlyMembersTakeOver(t *testing.T) {
	b, _ := newFakeBed(t)
	w := startWorker(t, b.cluster, fencedConfig(t.TempDir()))
	b.waitFolded(w)
	if err := w.member.confirm(t.Context()); err != nil {
		t.Errorf("a member: %v", err)
	}
	id, _ := w.member.client.GroupMetadata()
	stranger := *w.member
	var err error
	if stranger.client, err = b.cluster.Client(); err != nil {
		t.Fatal(err)
	}
	defer stranger.client.Close()
	if err := stranger.confirm(t.Context()); !errors.Is(err, errNotOurs) {
		t.Errorf("no member: %v", err)
	}
	p := &partition{w: &Worker{member: &stranger}, id: 0}
	l, err := openLink(b.cluster, 0, new(fencedConfig("")))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := p.takeOver(t.Context(), l); !errors.Is(err, errNotOurs) {
		t.Errorf("take-over by no member: %v", err)
	}
	b.feed(3)
	b.waitFolded(w)
	if n := testutil.ToFloat64(w.metrics.restarts); n != 0 {
		t.Errorf("member %s began anew %v times", id, n)
	}
}

// Brokers that refuse, lose and delay produce requests change nothing that a reader sees.
func TestProduceErrors(t *testing.T) {
	for _, mode := range []string{EOSPosition, EOSFenced} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel() // they mostly wait
			b, fake := newFakeBed(t)
			points := b.cluster.Topic(telemetry.TopicPoints)
			produce := []kmsg.Key{kmsg.Produce}
			cfg := fencedConfig(t.TempDir())
			cfg.EOS = mode
			b.feed(5)
			w := startWorker(t, b.cluster, cfg)
			for i, fault := range []struct {
				err   *kerr.Error
				count int
			}{
				{kerr.NotLeaderForPartition, 2}, {kerr.RequestTimedOut, 2}, {kerr.NotEnoughReplicasAfterAppend, 2}, {kerr.KafkaStorageError, 2},
				{kerr.InvalidRecord, 1}, {kerr.UnknownServerError, 1}, // these end the session
			} {
				f := fake.Fault(kfake.Fault{Keys: produce, Topic: points, Partitions: []int32{int32(i % bedPartitions)}, Err: fault.err, Count: fault.count})
				waitFor(t, fault.err.Message, func() bool { b.feed(1); return f.Hits() >= fault.count })
				f.Remove()
			}
			b.waitFolded(w)
			if err := w.stop(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%v restarts", testutil.ToFloat64(w.metrics.restarts))
			b.checkPublished(false)
		})
	}
}

// Two owners of every partition at once, as for a moment when one does not know yet that it lost them: both write ticks and outputs.
func TestTwoOwnersAtOnce(t *testing.T) {
	b := newBed(t)
	other := config(t.TempDir())
	other.Group = "another"
	b.feed(10)
	first, second := startWorker(t, b.cluster, config(t.TempDir())), startWorker(t, b.cluster, other)
	for range 20 {
		b.feed(1)
		time.Sleep(50 * time.Millisecond) // for ticks of both to come between
	}
	b.waitFolded(first)
	b.waitFolded(second)
	if err := errors.Join(second.stop(), first.stop()); err != nil {
		t.Fatal(err)
	}
	b.checkPublished(true)
	result := b.replay(ReplayOptions{Compare: true, Group: DefaultConfig().Group})
	if c := result.Comparison; !c.Same() || c.Identical == 0 {
		t.Errorf("comparison %+v\n%v", c, c.First)
	}
	// Whoever comes next finds the ends of the topics as two left them.
	b.feed(10)
	w := startWorker(t, b.cluster, config(t.TempDir()))
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.checkPublished(true)
}
