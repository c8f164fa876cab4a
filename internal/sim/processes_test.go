package sim

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/sinks/influx"
	"outfall/stream"
)

// A worker is one stream process.
type worker struct {
	w     *world
	slot  who
	net   *network
	store *access
	stop  context.CancelFunc // tells it to stop
	ended chan struct{}      // it and its barrier have
	dead  atomic.Bool        // it has crashed: what it says counts no more
}

// watched is the cluster as a worker sees it, with an eye on its clients' buffers.
type watched struct {
	*broker.Cluster
	w *world
}

// Client implements stream.Cluster.
func (c watched) Client(opts ...kgo.Opt) (*kgo.Client, error) {
	return c.Cluster.Client(append(opts, kgo.WithHooks(&buffered{w: c.w}))...)
}

// buffered counts what a client has taken and not got rid of.
type buffered struct {
	w *world
	n atomic.Int64
}

// OnProduceRecordBuffered implements kgo.HookProduceRecordBuffered.
func (b *buffered) OnProduceRecordBuffered(*kgo.Record) {
	// A client of a partition holds its outputs, one of a member two ticks of each partition.
	if n := b.n.Add(1); n > int64(max(b.w.plan.maxOutputs, 2*int(b.w.plan.partitions))) {
		b.w.fail("a worker's client holds %d records, bound %d", n, b.w.plan.maxOutputs)
	}
}

// OnProduceRecordUnbuffered implements kgo.HookProduceRecordUnbuffered.
func (b *buffered) OnProduceRecordUnbuffered(*kgo.Record, error) { b.n.Add(-1) }

// startWorker starts a process with its snapshots on a shelf.
func (w *world) startWorker(slot who, on *shelf) {
	w.mu.Lock()
	w.incarnations++
	seed := w.incarnations
	w.mu.Unlock()
	p := &worker{w: w, slot: slot, net: w.fabric.network(w.plan.seed ^ seed<<20), store: &access{shelf: on}, ended: make(chan struct{})}
	cluster := broker.Virtual(w.brokerConfig(), p.net.dial, w.sync)
	cfg := stream.DefaultConfig()
	cfg.Snapshots.Location = "/not/used"
	cfg.SnapshotInterval, cfg.DrainTimeout = w.plan.snapshotEvery, w.plan.drain
	cfg.MaxBufferedOutputs, cfg.SessionTimeout = w.plan.maxOutputs, 6*time.Second
	if w.plan.static {
		cfg.InstanceID = slot.String()
	}
	barrier := cluster.NewBarrier()
	worker, err := stream.New(cfg, watched{cluster, w}, barrier, p.store, w.log, prometheus.NewRegistry())
	if err != nil {
		w.fail("%v: %v", slot, err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	syncing, stopSync := context.WithCancel(context.Background())
	synced := make(chan struct{})
	go func() { defer close(synced); _ = barrier.Run(syncing) }()
	go func() {
		defer close(p.ended)
		if err := worker.Run(ctx); err != nil && !p.dead.Load() {
			w.fail("the %v gave up: %v", slot, err)
		}
		stopSync()
		<-synced
	}()
	w.mu.Lock()
	w.workers[slot] = p
	w.mu.Unlock()
}

// maxGhost bounds how long a process that was told to stop may take, whatever the network does.
const maxGhost = 90 * time.Second

// await fails if a process that must end does not.
func (w *world) await(name string, ended <-chan struct{}) {
	timer := time.NewTimer(maxGhost)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		w.fail("the %s did not end within %v", name, maxGhost)
		<-ended
	}
}

// crash takes the process away and starts another on its snapshots, some of them damaged unless fate is 0.
func (p *worker) crash(pause time.Duration, fate int64) {
	w := p.w
	if !w.takeWorker(p) {
		return
	}
	w.count("worker crash")
	p.dead.Store(true)
	p.store.dead.Store(true)
	p.net.die()
	if fate > 0 {
		w.tear(p.store.shelf, fate)
	}
	p.stop()
	w.background.Go(func() { w.await(p.slot.String(), p.ended) })
	w.background.Go(func() {
		time.Sleep(pause)
		w.startWorker(p.slot, p.store.shelf)
	})
}

// leave stops the process in order.
func (p *worker) leave() {
	if !p.w.takeWorker(p) {
		return
	}
	p.stop()
	p.w.await(p.slot.String(), p.ended)
}

// tear damages snapshots.
func (w *world) tear(on *shelf, fate int64) {
	if on.tear(rand.New(rand.NewPCG(w.plan.seed, uint64(fate)))) > 0 {
		w.count("snapshots torn")
	}
}

// A sink is one process that writes into InfluxDB.
type sink struct {
	w     *world
	net   *network
	door  *door
	stop  context.CancelFunc
	ended chan struct{}
}

func (w *world) startSink() {
	w.mu.Lock()
	w.incarnations++
	seed := w.incarnations
	w.mu.Unlock()
	cfg := influx.DefaultConfig()
	cfg.URL, cfg.BatchLines = "http://influxdb:8086", w.plan.batchLines
	p := &sink{w: w, net: w.fabric.network(w.plan.seed ^ seed<<20), door: &door{db: &w.db, maxLines: cfg.BatchLines}, ended: make(chan struct{})}
	cfg.Transport = p.door
	s, err := influx.New(cfg, broker.Virtual(w.brokerConfig(), p.net.dial, w.sync), w.log, prometheus.NewRegistry())
	if err != nil {
		w.fail("sink: %v", err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() {
		defer close(p.ended)
		if err := s.Run(ctx); err != nil {
			w.fail("the sink gave up: %v", err)
		}
		if st := s.Stats(); st.Bad+st.Lost > 0 {
			w.fail("the sink dropped points: %+v", st)
		}
		if what := p.door.broken.Load(); what != nil {
			w.fail("sink: %s", *what)
		}
	}()
	w.mu.Lock()
	w.sink = p
	w.mu.Unlock()
}

func (p *sink) crash(pause time.Duration) {
	w := p.w
	w.mu.Lock()
	ours := w.sink == p
	if ours {
		w.sink = nil
	}
	w.mu.Unlock()
	if !ours {
		return
	}
	w.count("sink crash")
	p.door.dead.Store(true)
	p.net.die()
	p.stop()
	w.background.Go(func() { w.await("sink", p.ended) })
	w.background.Go(func() {
		time.Sleep(pause)
		w.startSink()
	})
}

func (w *world) brokerConfig() broker.Config {
	cfg := broker.DefaultConfig()
	cfg.Partitions = w.plan.partitions
	return cfg
}
