package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// tempDir is a data directory whose path is short enough for a socket, however long the test's name.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "outfall")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func start(t testing.TB, dir string, c Config) *Embedded {
	t.Helper()
	e, err := StartEmbedded(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// produce writes values to one partition of topic.
func produce(t testing.TB, c *Cluster, topic telemetry.Topic, partition int32, values ...string) {
	t.Helper()
	cl, err := c.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, v := range values {
		r := &kgo.Record{Topic: c.Topic(topic), Partition: partition, Value: []byte(v)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// readAll lists the values of topic per partition.
func readAll(t testing.TB, c *Cluster, topic telemetry.Topic) map[int32][]string {
	t.Helper()
	got := map[int32][]string{}
	err := c.ReadAll(t.Context(), topic, func(r *kgo.Record) error {
		got[r.Partition] = append(got[r.Partition], string(r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEmbeddedKeepsDataOverRestart(t *testing.T) {
	dir := tempDir(t)
	e := start(t, dir, DefaultConfig())
	if fi, err := os.Stat(e.Socket()); err != nil || fi.Mode().Perm() != 0o600 || fi.Mode().Type() != os.ModeSocket {
		t.Fatalf("socket: %v, %v; want a socket of mode 0600", fi, err)
	}
	produce(t, e.Cluster(), telemetry.TopicJournal, 3, "a", "b")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(e.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket after Close: %v, want it gone", err)
	}
	// What a killed process leaves behind.
	if err := os.WriteFile(filepath.Join(dir, "kafka.sock"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	e = start(t, dir, DefaultConfig())
	produce(t, Dial(DefaultConfig(), "unix:"+e.Socket()), telemetry.TopicJournal, 3, "c")
	if got := readAll(t, e.Cluster(), telemetry.TopicJournal); fmt.Sprint(got) != "map[3:[a b c]]" {
		t.Errorf("after the restart: %v", got)
	}
}

func TestEmbeddedHoldsItsDirectory(t *testing.T) {
	dir := tempDir(t)
	start(t, dir, DefaultConfig())
	_, err := StartEmbedded(dir, DefaultConfig())
	if want := fmt.Sprintf("process %d", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("second start: %v, want it to name %s", err, want)
	}
}

func TestEmbeddedRefusesLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	_, err := StartEmbedded(dir, DefaultConfig())
	if err == nil || !strings.Contains(err.Error(), "shorter --data path") {
		t.Errorf("err = %v, want advice on --data", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

// TestPartitionOfKey: clients put a key where telemetry.PartitionOf says.
func TestPartitionOfKey(t *testing.T) {
	c := start(t, tempDir(t), DefaultConfig()).Cluster()
	cl, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range 50 {
		mn := fmt.Sprintf("010000A8900016F%09d", i*7919)
		r, err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: c.Topic(telemetry.TopicJournal), Key: []byte(mn)}).First()
		if err != nil {
			t.Fatal(err)
		}
		if want := telemetry.PartitionOf(mn, c.Partitions()); r.Partition != want {
			t.Errorf("%s went to partition %d, want %d", mn, r.Partition, want)
		}
	}
}

func TestRetentionTrimsWholeSegments(t *testing.T) {
	conf := DefaultConfig()
	conf.RetentionBytes = 1 << 20
	e, err := startEmbedded(tempDir(t), conf, time.Hour) // on a busy machine writing takes longer than the pause between two trimmings
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	value := []byte("fifteen bytes..")
	cl, err := e.Cluster().Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	topic := e.Cluster().Topic(telemetry.TopicJournal)
	for range 200_000 {
		cl.Produce(t.Context(), &kgo.Record{Topic: topic, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.fake.ApplyRetention()
	starts, err := e.Cluster().Offsets(t.Context(), telemetry.TopicJournal, FromStart)
	if err != nil || starts[0] != 0 {
		t.Fatalf("the broker by itself trimmed to %d, %v", starts[0], err)
	}
	if err := e.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	starts, err = e.Cluster().Offsets(t.Context(), telemetry.TopicJournal, FromStart)
	if err != nil {
		t.Fatal(err)
	}
	if starts[0] == 0 || starts[0] >= 200_000 {
		t.Errorf("partition starts at %d, want between 0 and the end", starts[0])
	}
	var size int64
	err = filepath.WalkDir(filepath.Join(e.cluster.dataDir(), "kafka", "log"), func(path string, d os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".dat" {
			fi, err := d.Info()
			if err != nil {
				return err
			}
			size += fi.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if size == 0 || size > 1<<20 {
		t.Errorf("%d bytes on disk, want no more than the retention", size)
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	big := DefaultConfig()
	big.Partitions = 1024
	if err := big.Validate(); err == nil || !strings.Contains(err.Error(), "kafka.retention_bytes: ") {
		t.Errorf("128 GiB of embedded log: %v", err)
	}
	big.Brokers = []string{"kafka:9092"}
	if err := big.Validate(); err != nil {
		t.Errorf("1024 partitions on Apache Kafka: %v", err)
	}
	err := Config{Brokers: []string{"kafka"}, TopicPrefix: "a b", TLSCA: "x", SASL: SASL{Mechanism: "PLAIN"}}.Validate()
	for _, key := range []string{"brokers", "topic_prefix", "partitions", "replication_factor", "retention_bytes", "archive_bytes", "journal_retention",
		"journal_bytes", "alarm_retention", "tls_ca", "sasl.mechanism", "sasl.user", "sasl.password_file"} {
		if err == nil || !strings.Contains(err.Error(), "kafka."+key+": ") {
			t.Errorf("kafka.%s is not named in %v", key, err)
		}
	}
}

func TestTopicsPlanAndApply(t *testing.T) {
	e := start(t, tempDir(t), DefaultConfig())
	exerciseTopics(t, Dial(func() Config { c := DefaultConfig(); c.TopicPrefix = "other."; return c }(), e.Socket()))
}

// exerciseTopics runs plan and apply on a cluster where the prefix is unused.
func exerciseTopics(t *testing.T, c *Cluster) {
	ctx := t.Context()
	plan, err := c.Plan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan) != len(telemetry.Topics()) || plan[0].What != Missing || !plan[0].Mendable() {
		t.Fatalf("plan of nothing: %v", plan)
	}
	if done, err := c.Apply(ctx); err != nil || !slices.Equal(done, plan) {
		t.Fatalf("apply: %v, %v; want the plan %v", done, err, plan)
	}
	if plan, err = c.Plan(ctx); err != nil || len(plan) != 0 {
		t.Fatalf("plan after apply: %v, %v", plan, err)
	}
	if done, err := c.Apply(ctx); err != nil || len(done) != 0 {
		t.Fatalf("second apply: %v, %v", done, err)
	}

	// Someone alters a key, and removes a topic.
	cl, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	value := "12345678"
	alter := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.bytes", Value: &value}}
	if _, err := adm.AlterTopicConfigs(ctx, alter, c.Topic(telemetry.TopicAlarms)); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.DeleteTopic(ctx, c.Topic(telemetry.TopicStatus)); err != nil {
		t.Fatal(err)
	}
	want := []string{c.Topic(telemetry.TopicAlarms) + ": retention.bytes is 12345678, wanted -1", c.Topic(telemetry.TopicStatus) + ": missing"}
	eventually(t, func() error {
		plan, err = c.Plan(ctx)
		if err != nil || len(plan) != 2 || plan[0].String() != want[0] || !strings.HasPrefix(plan[1].String(), want[1]) {
			return fmt.Errorf("plan: %v, %v; want %v", plan, err, want)
		}
		return nil
	})
	if done, err := c.Apply(ctx); err != nil || len(done) != 2 {
		t.Fatalf("mending: %v, %v", done, err)
	}

	// Another number of partitions is an error that changes nothing.
	more := *c
	more.config.Partitions++
	plan, err = more.Plan(ctx)
	if err != nil || len(plan) != len(telemetry.Topics()) || plan[0].What != Partitions || plan[0].Mendable() {
		t.Fatalf("plan with %d partitions: %v, %v", more.config.Partitions, plan, err)
	}
	if done, err := more.Apply(ctx); err == nil || len(done) != 0 || !strings.Contains(err.Error(), "fixed for life") {
		t.Errorf("apply with %d partitions: %v, %v", more.config.Partitions, done, err)
	}
	if plan, err = c.Plan(ctx); err != nil || len(plan) != 0 {
		t.Errorf("plan after the refused apply: %v, %v", plan, err)
	}
}

// eventually calls check until it returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
