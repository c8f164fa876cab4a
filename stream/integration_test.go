//go:build integration

package stream

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"outfall/internal/store"
)

// TestStoreHoldsSnapshots has workers that share nothing but a bucket of a real S3 service take over from one another.
func TestStoreHoldsSnapshots(t *testing.T) {
	endpoint, keys := os.Getenv("OUTFALL_TEST_S3"), os.Getenv("OUTFALL_TEST_S3_KEYS")
	if endpoint == "" {
		t.Skip("OUTFALL_TEST_S3 is not set")
	}
	cfg := config(fmt.Sprintf("s3://%s/snapshots-%d", os.Getenv("OUTFALL_TEST_S3_BUCKET"), time.Now().UnixNano()))
	cfg.Snapshots.Endpoint = endpoint
	cfg.Snapshots.AccessKeyFile, cfg.Snapshots.SecretKeyFile = filepath.Join(keys, "access_key"), filepath.Join(keys, "secret_key")
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(cfg.Snapshots)
	if err != nil {
		t.Fatal(err)
	}
	b := newBed(t)
	for range 5 {
		b.feed(10)
		w := startWorker(t, b.cluster, cfg)
		b.waitFolded(w)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		if n := testutil.ToFloat64(w.metrics.suppressed); n != 0 {
			t.Errorf("%v outputs made again after a stop in order, want none", n)
		}
	}
	b.checkPublished(false)
	for p := range int32(bedPartitions) {
		// The three newest, and the first of the day, of two when midnight of UTC+8 passed meanwhile.
		if objects, err := st.List(t.Context(), snapshotPrefix(p)); err != nil || len(objects) < generations || len(objects) > generations+2 {
			t.Errorf("partition %d: %v, %v", p, objects, err)
		}
		if s, err := SnapshotBefore(t.Context(), st, p, b.journalEnds()[p]); err != nil || s == nil {
			t.Errorf("partition %d: no snapshot to begin at: %v", p, err)
		}
	}
	replayed := b.replay(ReplayOptions{From: time.Now(), Snapshots: st, Compare: true, Group: cfg.Group})
	if !replayed.Comparison.Same() {
		t.Errorf("%+v\n%v", replayed.Comparison, replayed.Comparison.First)
	}
}
