package stream

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/stream/fold"
	"outfall/telemetry"
)

// A switch to an arithmetic that the program has is folded over; at one that it lacks the worker stops with everything before it published,
// and a replay says so instead of computing by another.
func TestUnknownAlgorithmStopsTheWorker(t *testing.T) {
	b := newBed(t)
	b.feed(5)
	b.switchTo(`{"algorithm":1,"operator":"li","time":"2026-03-01T00:00:00Z"}`)
	b.switchTo(`{"algorithm":"two"}`) // no version: skipped
	b.feed(5)
	known := b.journalEnds()
	w := startWorker(t, b.cluster, config(t.TempDir()))
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.checkPublished(false)
	b.switchTo(fmt.Sprintf(`{"algorithm":%d,"operator":"li","time":"2026-03-02T00:00:00Z"}`, fold.Algorithms+1))
	b.feed(5)
	w = startWorker(t, b.cluster, config(t.TempDir()))
	w.waitEnded(t)
	var lost *LostError
	if err := w.stop(); !errors.As(err, &lost) || !strings.Contains(err.Error(), "unknown algorithm 3, this program has 1..2") {
		t.Fatalf("Run = %v, want it to name the algorithm", err)
	}
	if lost.Wanted < known[lost.Partition] {
		t.Errorf("stopped at offset %d of partition %d, before %d", lost.Wanted, lost.Partition, known[lost.Partition])
	}
	_, err := Replay(t.Context(), b.cluster, ReplayOptions{Out: t.TempDir()})
	if !errors.Is(err, fold.ErrAlgorithm) {
		t.Fatalf("Replay = %v, want ErrAlgorithm", err)
	}
}

// switchTo writes a version entry with the value to every partition.
func (b *bed) switchTo(value string) {
	var recs []*kgo.Record
	for p := range b.cluster.Partitions() {
		recs = append(recs, b.record(telemetry.KindVersion, p, "", []byte(value)))
	}
	b.write(recs)
}
