//go:build integration

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/deploy/sample"
	"outfall/ingest/hj212"
	"outfall/internal/broker"
	"outfall/rules/registryfile"
	"outfall/stream"
	"outfall/telemetry"
)

// A scaleBed is an installation on a real Kafka whose journal is written by the test, and workers that are processes.
type scaleBed struct {
	t       *testing.T
	dir     string
	config  string // path of the configuration
	group   string
	cluster *broker.Cluster
	db      *influx2 // nil: no sink
	devices []telemetry.Device
	began   time.Time // DataTime of the first minute

	stopFeed func() // returns when the journal has everything that was fed
}

const scalePartitions = 6

func newScaleBed(t *testing.T, kafka, eos string, db *influx2) *scaleBed {
	t.Helper()
	prefix := fmt.Sprintf("scale%d.", time.Now().UnixNano())
	c := broker.DefaultConfig()
	c.Brokers, c.TopicPrefix, c.Partitions, c.ReplicationFactor = []string{kafka}, prefix, scalePartitions, 1
	b := &scaleBed{t: t, dir: t.TempDir(), group: prefix + "stream", cluster: broker.Remote(c), db: db,
		began: time.Now().Add(-60 * time.Hour).Truncate(time.Hour)}
	text := fmt.Sprintf(`kafka:
  brokers: [%q]
  topic_prefix: %q
  partitions: %d
  replication_factor: 1
stream:
  eos: %s
  snapshots:
    location: %q
  snapshot_interval: 2s
  session_timeout: 6s
admin:
  listen: 127.0.0.1:0
`, kafka, prefix, scalePartitions, eos, filepath.Join(b.dir, "snapshots"))
	if db != nil {
		db.bucket = strings.Trim(prefix, ".")
		db.createBucket(t)
		text += fmt.Sprintf("influx:\n  url: %q\n  org: %q\n  bucket: %q\n  token_file: %q\n", db.url, db.org, db.bucket, b.write("token", db.token))
	}
	b.config = b.write("outfall.yaml", text)
	outfall(t, 0, "topics", "apply", "--config", b.config)
	outfall(t, 0, "registry", "import", b.write("devices.csv", string(sample.Registry)), "--config", b.config)
	outfall(t, 0, "rules", "activate", b.write("rules.yaml", string(sample.Rules)), "--config", b.config)
	file, err := registryfile.Parse("sample", sample.Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Devices {
		if d.Medium == "water" {
			b.devices = append(b.devices, d)
		}
	}
	return b
}

func (b *scaleBed) write(name, text string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *scaleBed) serve(role string) *process {
	return start(b.t, "serve", "--role", role, "--config", b.config)
}

// feed writes one minute of every device into the journal each 40 ms, until stopFeed: 650 frames a second.
func (b *scaleBed) feed() {
	b.t.Helper()
	cl, err := b.cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		every := time.NewTicker(40 * time.Millisecond)
		defer every.Stop()
		for at := b.began; ctx.Err() == nil; at = at.Add(time.Minute) {
			<-every.C
			if err := cl.ProduceSync(context.Background(), b.minute(at)...).FirstErr(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	b.stopFeed = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
		cl.Close()
	})
	b.t.Cleanup(b.stopFeed)
}

func (b *scaleBed) minute(at time.Time) []*kgo.Record {
	n := int(at.Sub(b.began) / time.Minute)
	var recs []*kgo.Record
	for i, d := range b.devices {
		seg := fmt.Sprintf("QN=%s;ST=32;CN=2051;PW=%s;MN=%s;Flag=5;CP=&&DataTime=%s;w01018-Min=%[5]d,w01018-Avg=%[5]d,w01018-Max=%[5]d,w01018-Flag=N&&",
			hj212.AppendQN(nil, at), d.PW, d.MN, hj212.AppendTime(nil, at), 10+(n*7+i*13)%60)
		recs = append(recs, &kgo.Record{
			Topic: b.cluster.Topic(telemetry.TopicJournal), Partition: telemetry.PartitionOf(d.MN, scalePartitions), Key: []byte(d.MN),
			Value: hj212.AppendFrame(nil, []byte(seg)), Timestamp: time.Now(),
			Headers: []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(telemetry.KindFrame.String())}},
		})
	}
	return recs
}

// owned counts the partitions of each member whose commits say that it folds them.
func (b *scaleBed) owned() (folding map[string]int, all []stream.PartitionInfo) {
	b.t.Helper()
	all, err := stream.Inspect(b.t.Context(), b.cluster, b.group)
	folding = map[string]int{}
	if err != nil {
		return folding, nil // the group moves to another coordinator, or Kafka is away
	}
	for _, i := range all {
		if i.State == stream.StateFolding {
			folding[i.Owner.Member]++
		}
	}
	return folding, all
}

// waitSplit waits until so many workers fold all partitions in equal shares, and gives how long that took.
func (b *scaleBed) waitSplit(workers int) time.Duration {
	b.t.Helper()
	began := time.Now()
	eventually(b.t, 30*time.Second, fmt.Sprintf("%d workers fold equal shares", workers), func() bool {
		folding, _ := b.owned()
		for _, n := range folding {
			if n != scalePartitions/workers {
				return false
			}
		}
		return len(folding) == workers
	})
	return time.Since(began)
}

// pointsEnds are where the points topic ends.
func (b *scaleBed) pointsEnds() []int64 {
	b.t.Helper()
	ends, err := b.cluster.Offsets(b.t.Context(), telemetry.TopicPoints, broker.FromEnd)
	if err != nil {
		b.t.Fatal(err)
	}
	return ends
}

// waitOutputs waits until every partition has given points beyond what it had at the call.
func (b *scaleBed) waitOutputs() time.Duration {
	b.t.Helper()
	began, before := time.Now(), b.pointsEnds()
	eventually(b.t, 30*time.Second, "points of every partition", func() bool {
		for p, end := range b.pointsEnds() {
			if end == before[p] {
				return false
			}
		}
		return true
	})
	return time.Since(began)
}

// settle stops the feed and the workers once everything is folded and said so.
func (b *scaleBed) settle(workers ...*process) {
	b.t.Helper()
	b.stopFeed()
	ends, err := b.cluster.Offsets(b.t.Context(), telemetry.TopicJournal, broker.FromEnd)
	if err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, 30*time.Second, "everything folded", func() bool {
		_, all := b.owned()
		for _, i := range all {
			if i.Published < ends[i.Partition] {
				return false
			}
		}
		return len(all) > 0
	})
	for _, w := range workers {
		w.stop()
	}
}

// check compares what readers see with an undisturbed fold of the journal, and InfluxDB with both. It gives how many records readers
// drop because they have seen their position.
func (b *scaleBed) check() (again int) {
	b.t.Helper()
	means, last, again := map[string]struct{}{}, map[place]telemetry.Position{}, 0
	for _, topic := range telemetry.OutputTopics() {
		err := b.cluster.ReadAll(b.t.Context(), topic, func(r *kgo.Record) error {
			pos, err := telemetry.ParsePosition(header(r, telemetry.HeaderSource), header(r, telemetry.HeaderOrdinal))
			if err != nil {
				return err
			}
			at := place{topic, r.Partition}
			if before, ok := last[at]; ok && !pos.After(before) {
				again++
				return nil
			}
			last[at] = pos
			if topic == telemetry.TopicPoints {
				for line := range strings.SplitSeq(string(r.Value), "\n") {
					if strings.HasPrefix(line, "mean,") {
						means[line[:strings.IndexByte(line, ' ')]+line[strings.LastIndexByte(line, ' '):]] = struct{}{}
					}
				}
			}
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	outfall(b.t, 0, "replay", "--config", b.config, "--out", filepath.Join(b.dir, "replay"), "--compare")
	if b.db != nil {
		got := 0
		eventually(b.t, 30*time.Second, "InfluxDB holds every mean once", func() bool { got = b.db.count(b.t); return got == len(means) })
	}
	b.t.Logf("%d means; %d outputs written twice, which readers drop", len(means), again)
	if len(means) < 1000 {
		b.t.Errorf("only %d means", len(means))
	}
	return again
}

type place struct {
	topic     telemetry.Topic
	partition int32
}

// TestEndToEndZombie: a worker is suspended under load until another has its partitions, then wakes and writes what it still holds. Readers
// drop that; InfluxDB has each once.
func TestEndToEndZombie(t *testing.T) { exerciseZombie(t, stream.EOSPosition) }

// TestEndToEndZombieFenced: with transactions, Kafka refuses what it still holds.
func TestEndToEndZombieFenced(t *testing.T) {
	if again := exerciseZombie(t, stream.EOSFenced); again != 0 {
		t.Errorf("%d outputs are there twice for who reads what is committed", again)
	}
}

func exerciseZombie(t *testing.T, eos string) (again int) {
	db := &influx2{url: env(t, "OUTFALL_TEST_INFLUX2"), org: env(t, "OUTFALL_TEST_INFLUX2_ORG"), token: env(t, "OUTFALL_TEST_INFLUX2_TOKEN")}
	b := newScaleBed(t, env(t, "OUTFALL_TEST_KAFKA"), eos, db)
	b.feed()
	zombie, sink := b.serve("stream"), b.serve("sink")
	b.waitSplit(1)
	other := b.serve("stream")
	b.waitSplit(2)
	if err := zombie.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b.waitSplit(1)
	t.Logf("its partitions are folded elsewhere %v after it was suspended", time.Since(began).Round(10*time.Millisecond))
	b.waitOutputs()
	if err := zombie.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	b.waitSplit(2)
	t.Logf("it folds its share again %v after it woke", time.Since(began).Round(10*time.Millisecond))
	b.settle(zombie, other)
	again = b.check()
	sink.stop()
	for line := range strings.Lines(zombie.out.String()) {
		if strings.Contains(line, `"partition stopped`) || strings.Contains(line, "not drained") {
			t.Logf("the zombie said: %s", line)
		}
	}
	return again
}

// TestEndToEndScaleOut: workers join, crash and leave under load; partitions move within seconds, and nothing is lost or there twice.
func TestEndToEndScaleOut(t *testing.T) {
	b := newScaleBed(t, env(t, "OUTFALL_TEST_KAFKA"), stream.EOSPosition, nil)
	b.feed()
	first := b.serve("stream")
	b.waitSplit(1)
	second, third := b.serve("stream"), b.serve("stream")
	joined := b.waitSplit(3)
	third.kill()
	began := time.Now()
	time.Sleep(300 * time.Millisecond) // what it sent last has arrived
	b.waitOutputs()
	crashed := time.Since(began)
	b.waitSplit(2)
	began = time.Now()
	second.stop()
	b.waitOutputs()
	left := time.Since(began)
	b.waitSplit(1)
	t.Logf("two joined: equal shares after %v; kill -9: every partition folded after %v, of which 6 s are the session's timeout; leave: after %v",
		joined.Round(10*time.Millisecond), crashed.Round(10*time.Millisecond), left.Round(10*time.Millisecond))
	if crashed > 12*time.Second || left > 10*time.Second {
		t.Error("partitions moved slowly")
	}
	var rows int
	for line := range strings.Lines(outfall(t, 0, "stream", "ls", "--config", b.config, "--output", "jsonl")) {
		var row streamRow
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.State != "folding" || row.Host == "" || row.Published == nil || row.Snapshot == nil {
			t.Errorf("%v: %s", err, line)
		}
		rows++
	}
	if rows != scalePartitions {
		t.Errorf("%d rows, want %d", rows, scalePartitions)
	}
	b.settle(first)
	if again := b.check(); again != 0 {
		t.Errorf("%d outputs stand twice, though no two workers met", again)
	}
}

// TestEndToEndRetentionTooShort: a worker whose journal was trimmed before it had folded it ends with an error, whatever restarts it.
func TestEndToEndRetentionTooShort(t *testing.T) {
	b := newScaleBed(t, env(t, "OUTFALL_TEST_KAFKA"), stream.EOSPosition, nil)
	b.feed()
	w := b.serve("stream")
	b.waitSplit(1)
	w.stop()
	b.waitJournalGrows()
	b.stopFeed()
	b.trimJournal()
	for range 2 {
		w = b.serve("stream")
		if code := w.wait(30 * time.Second); code != exitRuntime {
			t.Errorf("exit code %d, want %d", code, exitRuntime)
		}
		for _, want := range []string{"retention removed", "stream.accept_loss"} {
			if !strings.Contains(w.out.String(), want) {
				t.Errorf("the log does not say %q", want)
			}
		}
	}
	if table := outfall(t, 0, "stream", "ls", "--config", b.config); !strings.Contains(table, "no owner: the journal begins only at offset") {
		t.Errorf("stream ls does not say why nobody folds:\n%s", table)
	}
}

func (b *scaleBed) waitJournalGrows() {
	b.t.Helper()
	before, err := b.cluster.Offsets(b.t.Context(), telemetry.TopicJournal, broker.FromEnd)
	if err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, 10*time.Second, "ten new entries in each partition", func() bool {
		ends, err := b.cluster.Offsets(b.t.Context(), telemetry.TopicJournal, broker.FromEnd)
		for p := range ends {
			if ends[p] < before[p]+10 {
				return false
			}
		}
		return err == nil
	})
}

// trimJournal leaves the last entry of each partition.
func (b *scaleBed) trimJournal() {
	b.t.Helper()
	ends, err := b.cluster.Offsets(b.t.Context(), telemetry.TopicJournal, broker.FromEnd)
	if err != nil {
		b.t.Fatal(err)
	}
	cl, err := b.cluster.Client()
	if err != nil {
		b.t.Fatal(err)
	}
	defer cl.Close()
	offsets := kadm.Offsets{}
	for p, end := range ends {
		offsets.AddOffset(b.cluster.Topic(telemetry.TopicJournal), int32(p), end-1, -1)
	}
	if answer, err := kadm.NewClient(cl).DeleteRecords(b.t.Context(), offsets); errors.Join(err, answer.Error()) != nil {
		b.t.Fatal(err, answer.Error())
	}
}
