//go:build integration

package stream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// kafka is an Apache Kafka cluster of one node, with a prefix of the test's own whose topics go away with the test.
func kafka(t *testing.T) *broker.Cluster {
	t.Helper()
	addr := os.Getenv("OUTFALL_TEST_KAFKA")
	if addr == "" {
		t.Fatal("OUTFALL_TEST_KAFKA is not set: deploy/local/kafka.sh start prints an address for it")
	}
	conf := bedConfig()
	conf.Brokers, conf.ReplicationFactor = []string{addr}, 1
	conf.TopicPrefix = fmt.Sprintf("fold-%08x.", rand.Uint32())
	c := broker.Remote(conf)
	t.Cleanup(func() {
		cl, err := c.Client()
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		for _, topic := range telemetry.Topics() {
			if _, err := kadm.NewClient(cl).DeleteTopic(context.Background(), c.Topic(topic)); err != nil {
				t.Log(err)
			}
		}
	})
	return c
}

// The tests share a cluster, so each has a group of its own.
func groupOf(c *broker.Cluster) string { return c.Topic(telemetry.TopicJournal) + "-workers" }

func TestKafkaFenced(t *testing.T) {
	b := newBedOn(t, kafka(t))
	b.group = groupOf(b.cluster)
	exerciseFenced(t, b)
}

// The same journal gives the same bytes in either mode.
func TestKafkaModesPublishTheSameBytes(t *testing.T) {
	first := newBedOn(t, kafka(t))
	first.feed(60)
	fold := func(b *bed, mode string) {
		t.Helper()
		cfg := config(t.TempDir())
		cfg.EOS, cfg.Group = mode, groupOf(b.cluster)
		cfg.MaxBufferedOutputs = 10_000
		began := time.Now()
		w := startWorker(t, b.cluster, cfg)
		b.waitFolded(w)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %v", mode, time.Since(began).Round(time.Millisecond))
	}
	fold(first, EOSPosition)
	s, err := lookAround(t.Context(), first.cluster, &ReplayOptions{Compare: true, Group: groupOf(first.cluster)})
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]int64, bedPartitions) // without the last ticks, which nobody folded
	for p := range ends {
		ends[p] = s.published[int32(p)]
	}
	second := &bed{t: t, cluster: kafka(t)}
	second.copyJournal(first, ends)
	fold(second, EOSFenced)
	sums := map[string]bool{}
	for _, b := range []*bed{first, second} {
		sum, n := b.digest(ends)
		t.Logf("%d outputs, SHA-256 %s", n, sum)
		sums[sum] = true
		if n == 0 {
			t.Error("no outputs")
		}
	}
	if len(sums) != 1 {
		t.Error("the two modes publish different bytes")
	}
}

// copyJournal makes b's topics, and its journal the entries of another below ends.
func (b *bed) copyJournal(from *bed, ends []int64) {
	b.t.Helper()
	if _, err := b.cluster.Apply(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	cl, err := b.cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.client = cl
	b.t.Cleanup(cl.Close)
	for p, end := range ends {
		var recs []*kgo.Record
		err := from.cluster.ReadPartition(b.t.Context(), telemetry.TopicJournal, int32(p), 0, end, func(rec *kgo.Record) error {
			recs = append(recs, &kgo.Record{Topic: b.cluster.Topic(telemetry.TopicJournal), Partition: rec.Partition, Key: rec.Key, Value: rec.Value,
				Headers: rec.Headers, Timestamp: rec.Timestamp})
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
		b.write(recs)
	}
}

// digest is of what a read_committed consumer sees: positions, keys, values and headers of the outputs of entries below ends.
func (b *bed) digest(ends []int64) (sum string, outputs int) {
	b.t.Helper()
	s, err := lookAround(b.t.Context(), b.cluster, &ReplayOptions{Compare: true})
	if err != nil {
		b.t.Fatal(err)
	}
	h := sha256.New()
	for _, topic := range telemetry.OutputTopics() {
		for p := range int32(bedPartitions) {
			err := b.cluster.ReadPartition(b.t.Context(), topic, p, 0, s.outputs[topic].end[p], func(rec *kgo.Record) error {
				pos, err := recordPosition(rec)
				if err == nil && pos.Source < ends[p] {
					fmt.Fprintf(h, "%s/%d %v %d %q %q %q\n", topic, p, pos, rec.Timestamp.UnixMilli(), rec.Key, rec.Value, rec.Headers)
					outputs++
				}
				return err
			})
			if err != nil {
				b.t.Fatal(err)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), outputs
}
