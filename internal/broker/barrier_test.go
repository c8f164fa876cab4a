package broker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// running starts b.Run and returns how to stop it and get its error.
func running(t testing.TB, b *Barrier) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	return func() error { cancel(); return <-ended }
}

func newBarrier(t testing.TB, sync func(int) error) *Barrier {
	b := Dial(DefaultConfig(), t.TempDir()+"/kafka.sock").NewBarrier()
	if sync != nil {
		b.sync = sync
	}
	return b
}

// TestBarrierOrder: nobody passes before a sync that began after the call, all pass in order, and many share one sync.
func TestBarrierOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log []int // -n: sync with n begun; otherwise the number of a call
		begun := 0
		b := newBarrier(t, func(int) error {
			mu.Lock()
			begun++
			log = append(log, -begun)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			return nil
		})
		stop := running(t, b)
		note := func(n int) {
			b.Notify(func(err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("call %d: %v", n, err)
				}
				log = append(log, n)
			})
		}
		note(1)
		synctest.Wait() // the first sync has begun: the next calls need another, and share it
		note(2)
		note(3)
		time.Sleep(10 * time.Millisecond)
		note(4)
		if err := stop(); err != nil { // queued calls still get a sync
			t.Error(err)
		}
		if want := []int{-1, 1, -2, 2, 3, -3, 4}; !slices.Equal(log, want) {
			t.Errorf("sequence %v, want %v", log, want)
		}
		if err := b.Wait(t.Context()); !errors.Is(err, ErrBarrierStopped) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestBarrierErrorIsFinal(t *testing.T) {
	bad := errors.New("input/output error")
	b := newBarrier(t, func(int) error { return bad })
	var got []error
	for range 3 {
		b.Notify(func(err error) { got = append(got, err) })
	}
	if err := b.Run(t.Context()); !errors.Is(err, bad) {
		t.Errorf("Run: %v", err)
	}
	if len(got) != 3 || !errors.Is(got[0], bad) || !errors.Is(got[2], bad) {
		t.Errorf("callers got %v", got)
	}
	if err := b.Wait(t.Context()); !errors.Is(err, bad) {
		t.Errorf("later caller: %v", err)
	}
}

func TestBarrierIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBarrier(t, func(int) error { return nil })
		calls := 0
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for range maxQueued + 10 {
				b.Notify(func(error) { calls++ })
			}
		}()
		synctest.Wait()
		if n := len(b.queue); n != maxQueued {
			t.Errorf("%d queued, want %d", n, maxQueued)
		}
		stop := running(t, b)
		<-ended
		if err := stop(); err != nil || calls != maxQueued+10 {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}

func TestBarrierWithoutDirectory(t *testing.T) {
	b := Dial(DefaultConfig(), t.TempDir()+"/none/kafka.sock").NewBarrier()
	b.Notify(func(err error) {
		if err == nil {
			t.Error("a record was called durable")
		}
	})
	if err := b.Run(t.Context()); err == nil {
		t.Error("Run did not fail")
	}
}

func TestBarrierOfApacheKafka(t *testing.T) {
	b := Remote(DefaultConfig()).NewBarrier()
	called := false
	b.Notify(func(err error) { called = err == nil }) // without Run
	if !called {
		t.Error("Notify did not call at once")
	}
	if err := running(t, b)(); err != nil {
		t.Error(err)
	}
}

// BenchmarkBarrier is a record's way from Produce to the disk, 1,000 at a time.
func BenchmarkBarrier(b *testing.B) {
	c := start(b, tempDir(b), DefaultConfig()).Cluster()
	barrier := c.NewBarrier()
	stop := running(b, barrier)
	cl, err := c.Client()
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	topic, value := c.Topic(telemetry.TopicJournal), make([]byte, 500)
	room := make(chan struct{}, 1000)
	var took []time.Duration // written by Run's goroutine alone
	b.SetBytes(500)
	b.ReportAllocs()
	for b.Loop() {
		room <- struct{}{}
		began := time.Now()
		cl.Produce(b.Context(), &kgo.Record{Topic: topic, Key: []byte("010000A8900016F000169DC0"), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
			barrier.Notify(func(err error) {
				if err != nil {
					b.Error(err)
				}
				took = append(took, time.Since(began))
				<-room
			})
		})
	}
	for range cap(room) {
		room <- struct{}{} // the last are durable
	}
	if err := stop(); err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
}
