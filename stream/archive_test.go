package stream

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// TestReplayReachesThroughTheArchive: what retention took from the embedded broker's log is folded again to the same bytes.
func TestReplayReachesThroughTheArchive(t *testing.T) {
	b := newBed(t)
	b.feed(60)
	before := b.replay(ReplayOptions{})

	// The same journal with the shortest retention, filled up with entries that nothing comes of.
	conf := bedConfig()
	conf.RetentionBytes = 1 << 20
	b.client.Close()
	dir := filepath.Dir(b.broker.Socket())
	if err := b.broker.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := broker.StartEmbedded(dir, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	b.cluster = e.Cluster()
	if b.client, err = b.cluster.Client(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 12_000 {
		value := make([]byte, 1000)
		for j := range value {
			value[j] = byte(rnd.Uint32())
		}
		filler := b.record(telemetry.KindFrame, 0, bedMN(i%bedDevices), value)
		filler.Headers[0].Value = []byte("mark") // of no known kind
		b.client.Produce(t.Context(), filler, nil)
	}
	if err := errors.Join(b.client.Flush(t.Context()), e.Trim(t.Context())); err != nil {
		t.Fatal(err)
	}
	starts, err := b.cluster.Offsets(t.Context(), telemetry.TopicJournal, broker.FromStart)
	if err != nil || starts[0] == 0 || starts[1] == 0 {
		t.Fatalf("the log starts at %v, %v: nothing was archived", starts, err)
	}
	after := b.replay(ReplayOptions{})
	if len(after.Notes) != 0 || !reflect.DeepEqual(after.Files, before.Files) {
		t.Errorf("from log and archive %+v, notes %q\nfrom the log alone %+v", after.Files, after.Notes, before.Files)
	}
	if later := b.replay(ReplayOptions{From: time.Now().Add(time.Hour)}); later.Entries != 0 {
		t.Errorf("a range behind the end: %d entries", later.Entries)
	}
}
