package stream

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/internal/broker"
	"outfall/internal/store"
	"outfall/telemetry"
)

// These make the test binary a worker on the broker at a socket, with snapshots in a directory: something to kill.
const (
	childSocket    = "OUTFALL_STREAM_TEST_SOCKET"
	childSnapshots = "OUTFALL_STREAM_TEST_SNAPSHOTS"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(childSocket); socket != "" {
		runChild(broker.Dial(bedConfig(), socket), childConfig(os.Getenv(childSnapshots)))
		return
	}
	os.Exit(m.Run())
}

func childConfig(dir string) Config {
	cfg := config(dir)
	cfg.InstanceID = "child" // so that the next one need not wait for the dead one's session to end
	return cfg
}

func runChild(cluster *broker.Cluster, cfg Config) {
	barrier := cluster.NewBarrier()
	go func() {
		if err := barrier.Run(context.Background()); err != nil {
			panic(err)
		}
	}()
	st, err := store.Open(cfg.Snapshots)
	if err != nil {
		panic(err)
	}
	w, err := New(cfg, cluster, barrier, st, zerolog.New(os.Stderr).Level(zerolog.ErrorLevel), prometheus.NewRegistry())
	if err != nil {
		panic(err)
	}
	panic(w.Run(context.Background()))
}

// A worker that is killed at any moment, again and again, leaves the same topics behind as one that was never interrupted: the same
// bytes in the same order, each output once.
func TestKillNine(t *testing.T) {
	b, dir := newBed(t), t.TempDir()
	published := func() (sum int64) {
		ends, err := b.cluster.Offsets(t.Context(), telemetry.TopicPoints, broker.FromEnd)
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range ends {
			sum += end
		}
		return sum
	}
	for kill := range 12 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childSocket+"="+b.broker.Socket(), childSnapshots+"="+dir)
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		feedUntil := func(ok func() bool) {
			waitFor(t, "the moment to kill", func() bool { b.feed(1); return ok() })
		}
		if before := published(); kill%4 != 3 { // every fourth dies while it starts or recovers
			feedUntil(func() bool { return published() > before })
		}
		end := time.Now().Add(rand.N(400 * time.Millisecond))
		feedUntil(func() bool { return time.Now().After(end) })
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it says that it was killed
	}
	w := startWorker(t, b.cluster, childConfig(dir))
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.checkPublished(false)

	result, err := Replay(t.Context(), b.cluster, ReplayOptions{Out: t.TempDir(), Compare: true, Group: DefaultConfig().Group})
	if err != nil {
		t.Fatal(err)
	}
	if c := result.Comparison; !c.Same() || c.Identical == 0 {
		t.Errorf("comparison %+v\n%v", c, c.First)
	}
}
