package stream

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

func TestRestartGoesOnFromTheSnapshot(t *testing.T) {
	b, dir := newBed(t), t.TempDir()
	b.feed(70)
	w := startWorker(t, b.cluster, config(dir))
	b.waitFolded(w)
	waitFor(t, "readiness", func() bool { return w.Ready() == nil })
	waitFor(t, "a clock and every device in Stats", func() bool {
		st := w.Stats()
		return st.Partitions == bedPartitions && st.CaughtUp == bedPartitions && !st.Clock.IsZero() && st.Devices == bedDevices
	})
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	for p := range bedPartitions {
		if len(snapshotFiles(t, dir, p)) == 0 {
			t.Errorf("partition %d: no snapshot after a stop in order", p)
		}
	}
	b.feed(30)
	w = startWorker(t, b.cluster, config(dir))
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(w.metrics.suppressed); n != 0 {
		t.Errorf("%v outputs made again after a stop in order, want none", n)
	}
	b.checkPublished(false)
}

func TestDamagedSnapshotFallsBack(t *testing.T) {
	b, dir := newBed(t), t.TempDir()
	for range 2 {
		b.feed(20)
		w := startWorker(t, b.cluster, config(dir))
		b.waitFolded(w)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
	}
	// Partition 0 loses its newest, partition 1 all of them.
	files := snapshotFiles(t, dir, 0)
	for _, file := range append(files[len(files)-1:], snapshotFiles(t, dir, 1)...) {
		if err := os.Truncate(file, 100); err != nil {
			t.Fatal(err)
		}
	}
	b.feed(20)
	w := startWorker(t, b.cluster, config(dir))
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(w.metrics.snapshots[snapshotDamaged]); n < 2 {
		t.Errorf("%v damaged snapshots counted", n)
	}
	if n := testutil.ToFloat64(w.metrics.suppressed); n == 0 {
		t.Error("no output was suppressed, though snapshots were lost")
	}
	b.checkPublished(false)
}

// While the brokers refuse a batch the partition must neither skip it nor publish anything behind it.
func TestRefusedOutputIsNeverSkipped(t *testing.T) {
	b := newBed(t)
	admin := kadm.NewClient(b.client)
	limit := func(bytes string) {
		t.Helper()
		_, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}},
			b.cluster.Topic(telemetry.TopicPoints))
		if err != nil {
			t.Fatal(err)
		}
	}
	limit("100")
	b.feed(10)
	w := startWorker(t, b.cluster, config(t.TempDir()))
	waitFor(t, "two restarts", func() bool { return testutil.ToFloat64(w.metrics.restarts) >= 2 })
	waitFor(t, "Ready to say what is amiss", func() bool {
		err := w.Ready()
		return err != nil && strings.Contains(err.Error(), "points partition")
	})
	if ends, err := b.cluster.Offsets(t.Context(), telemetry.TopicPoints, broker.FromEnd); err != nil || ends[0]+ends[1]+ends[2]+ends[3] != 0 {
		t.Errorf("points published behind refused ones: ends %v, %v", ends, err)
	}
	limit("1000000")
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.checkPublished(false)
}

func TestRebalanceMovesPartitions(t *testing.T) {
	b := newBed(t)
	b.feed(20)
	first := startWorker(t, b.cluster, config(t.TempDir()))
	b.waitFolded(first)
	second := startWorker(t, b.cluster, config(t.TempDir())) // its own directory: nothing to go on from but the journal
	for deadline := 400; second.Stats().Partitions != bedPartitions/2 || first.Stats().Partitions != bedPartitions/2; deadline-- {
		if deadline == 0 {
			t.Fatalf("first has %+v, second %+v", first.Stats(), second.Stats())
		}
		b.feed(1)
		time.Sleep(5 * time.Millisecond)
	}
	b.waitFolded(first, second)
	b.feed(5)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	b.feed(5)
	b.waitFolded(second)
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(second.metrics.suppressed); n == 0 {
		t.Error("the second worker suppressed nothing")
	}
	b.checkPublished(false)
}

func TestLostJournalStopsTheWorker(t *testing.T) {
	b, dir := newBed(t), t.TempDir()
	b.feed(10)
	w := startWorker(t, b.cluster, config(dir))
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.feed(10)
	b.dropJournal()
	w = startWorker(t, b.cluster, config(dir))
	var lost *LostError
	w.waitEnded(t)
	if err := w.stop(); !errors.As(err, &lost) || !strings.Contains(err.Error(), "removed") || !strings.Contains(err.Error(), dir) {
		t.Fatalf("Run = %v, want a LostError that says what to do", err)
	}
	w = startWorker(t, b.cluster, config(t.TempDir())) // the snapshots are gone too
	w.waitEnded(t)
	if err := w.stop(); !errors.As(err, &lost) || !strings.Contains(err.Error(), "no snapshot") {
		t.Fatalf("Run without snapshots = %v, want a LostError", err)
	}
	accepting := config(dir)
	accepting.AcceptLoss = true
	w = startWorker(t, b.cluster, accepting)
	b.feed(5)
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		t.Fatalf("Run with the loss accepted = %v", err)
	}
}

// dropJournal leaves one entry of each partition, as a retention that is too short does.
func (b *bed) dropJournal() {
	b.t.Helper()
	var gone kadm.Offsets
	for p, end := range b.journalEnds() {
		gone.AddOffset(b.cluster.Topic(telemetry.TopicJournal), int32(p), end-1, -1)
	}
	if _, err := kadm.NewClient(b.client).DeleteRecords(b.t.Context(), gone); err != nil {
		b.t.Fatal(err)
	}
}

// An output from beyond the journal's end means that the journal lost its end: new entries there would be taken for known.
func TestOutputsBeyondTheJournalStopTheWorker(t *testing.T) {
	b := newBed(t)
	o := telemetry.Output{MN: bedMN(0), Value: []byte("x"), Pos: telemetry.Position{Source: 1_000_000}}
	b.write([]*kgo.Record{outputRecord(b.cluster.Topic(telemetry.TopicAlarms), 2, time.Now(), &o)})
	w := startWorker(t, b.cluster, config(t.TempDir()))
	w.waitEnded(t)
	var lost *LostError
	if err := w.stop(); !errors.As(err, &lost) || lost.Partition != 2 {
		t.Fatalf("Run = %v, want a LostError of partition 2", err)
	}
}
