package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"outfall/telemetry"
)

// A gate is a barrier that passes when the test says so.
type gate struct{ asked chan func(error) }

func (g gate) Notify(fn func(error))      { g.asked <- fn }
func (g gate) Wait(context.Context) error { return nil }

// newTestOutlet has an outlet of partition 0 on brokers of its own, and runs it until the test ends.
func newTestOutlet(t *testing.T, cfg Config) (*bed, *outlet, gate) {
	t.Helper()
	b, _ := newFakeBed(t)
	l, err := openLink(b.cluster, 0, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	w := &Worker{cfg: cfg, cluster: b.cluster}
	if w.metrics, err = newMetrics(w, prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	g := gate{make(chan func(error), 100)}
	w.barrier = g
	s := &session{partition: &partition{w: w}, link: l, target: 1 << 40}
	o := newOutlet(s, func(error) {})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); o.run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return b, o, g
}

// handIn puts one point of the entry at offset.
func handIn(t *testing.T, b *bed, o *outlet, topic telemetry.Topic, offset int64) {
	t.Helper()
	g := newOutputGroup(topicNames(b.cluster), o.free)
	g.add(0, b.base, &telemetry.Output{Topic: topic, MN: bedMN(0), Value: []byte("x"), Pos: telemetry.Position{Source: offset}})
	if err := o.put(&g, offset+1, -1); err != nil {
		t.Fatal(err)
	}
	if g.len() != 0 {
		t.Fatal("the group was not taken")
	}
}

// What is durable goes out while what came later waits for its own barrier, and nothing goes before.
func TestOutletWaitsForTheBarrier(t *testing.T) {
	b, o, gate := newTestOutlet(t, config(t.TempDir()))
	handIn(t, b, o, telemetry.TopicPoints, 0)
	first := <-gate.asked
	handIn(t, b, o, telemetry.TopicPoints, 1)
	second := <-gate.asked
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := o.await(short, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("an output went before its barrier: %v", err)
	}
	first(nil)
	if err := o.await(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	out := o.out
	o.mu.Unlock()
	if out != 1 {
		t.Errorf("outputs of the entries below %d are out, want 1", out)
	}
	second(nil)
	if err := o.await(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	// Entries without outputs need no barrier.
	g := newOutputGroup(nil, o.free)
	if err := o.put(&g, 7, 9); err != nil {
		t.Fatal(err)
	}
	if err := o.await(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	// A backlog asks once: the journal's end was 9 when it was asked for.
	handIn(t, b, o, telemetry.TopicPoints, 7)
	third := <-gate.asked
	handIn(t, b, o, telemetry.TopicPoints, 8)
	third(nil)
	if err := o.await(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	handIn(t, b, o, telemetry.TopicPoints, 9)
	lost := errors.New("page lost")
	(<-gate.asked)(lost)
	if err := o.await(t.Context(), 10); !errors.Is(err, lost) {
		t.Errorf("after the barrier failed: %v", err)
	}
	if err := o.put(&g, 11, -1); !errors.Is(err, lost) {
		t.Errorf("put after the barrier failed: %v", err)
	}
}

// Transactions are apart by their interval; an alarm waits less, and much not at all.
func TestOutletLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outlet{limit: 100}
		o.moved = sync.NewCond(&o.mu)
		const long, soon = time.Hour, time.Minute
		linger := func() time.Duration {
			began := time.Now()
			o.mu.Lock()
			defer o.mu.Unlock()
			o.linger(soon, long)
			return time.Since(began)
		}
		o.waiting = []handed{{group: grouped(telemetry.TopicPoints, 1)}}
		if took := linger(); took != long {
			t.Errorf("points waited %v, want %v", took, long)
		}
		o.waiting = append(o.waiting, handed{group: grouped(telemetry.TopicAlarms, 1)})
		if took := linger(); took != soon {
			t.Errorf("an alarm waited %v, want %v", took, soon)
		}
		o.waiting = []handed{{group: grouped(telemetry.TopicPoints, 50)}}
		if took := linger(); took != 0 {
			t.Errorf("half of the limit waited %v", took)
		}
	})
}

func grouped(topic telemetry.Topic, n int) outputGroup {
	g := newOutputGroup(make([]string, outputTopics), make(chan *outputPiece, 1))
	for i := range n {
		g.add(0, time.Time{}, &telemetry.Output{Topic: topic, Pos: telemetry.Position{Source: int64(i)}})
	}
	return g
}

// Groups keep what they are given, through merging and the use of their memory again.
func TestOutputGroup(t *testing.T) {
	if n := len(telemetry.Topics()); n != outputTopics {
		t.Fatalf("%d topics, want %d", n, outputTopics)
	}
	names := strings.Fields("a b c d e f g h i")
	free := make(chan *outputPiece, 2)
	whole, part := newOutputGroup(nil, free), newOutputGroup(names, free)
	n := int64(0)
	for round := range 5 {
		var want []telemetry.Output
		for range 3 {
			for range 200 {
				o := telemetry.Output{Topic: telemetry.TopicPoints, MN: fmt.Sprint("mn", n), Value: bytes.Repeat([]byte{byte(n)}, int(n%5000)), Pos: telemetry.Position{Source: n, Ordinal: int32(n % 7)}}
				if n%97 == 0 {
					o.Value = make([]byte, pieceValues+5)
				}
				part.add(3, time.UnixMilli(n), &o)
				want = append(want, o)
				n++
			}
			whole.take(&part)
			if part.len() != 0 || part.bytes != 0 {
				t.Fatal("the group that was taken is not empty")
			}
		}
		if whole.len() != len(want) || whole.counts[telemetry.TopicPoints] != len(want) || whole.last != n-1 {
			t.Fatalf("round %d: %d records, counts %v, last %d", round, whole.len(), whole.counts, whole.last)
		}
		for i, o := range want {
			got, plain := whole.records[i], outputRecord(names[o.Topic], 3, time.UnixMilli(o.Pos.Source), &o)
			if got.Topic != plain.Topic || got.Partition != 3 || !got.Timestamp.Equal(plain.Timestamp) || !bytes.Equal(got.Key, plain.Key) || !bytes.Equal(got.Value, plain.Value) {
				t.Fatalf("round %d: record %d is %v", round, i, got)
			}
			if pos, err := recordPosition(got); err != nil || pos != o.Pos {
				t.Fatalf("position %v, %v, want %v", pos, err, o.Pos)
			}
		}
		whole.reset()
		if len(free) != cap(free) || whole.len() != 0 {
			t.Fatalf("%d pieces came back", len(free))
		}
	}
}

// In steady state an output allocates nothing.
func TestOutputGroupAllocates(t *testing.T) {
	g := newOutputGroup(strings.Fields("a b c d e f g h i"), make(chan *outputPiece, 4))
	o := telemetry.Output{Topic: telemetry.TopicPoints, MN: bedMN(0), Value: make([]byte, 700)}
	fill := func() {
		for range 500 {
			o.Pos.Source++
			g.add(0, time.Time{}, &o)
		}
		g.reset()
	}
	fill()
	if n := testing.AllocsPerRun(20, fill); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
