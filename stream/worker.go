// Package stream turns the journal into results. A Worker folds the journal partitions that its consumer group gives it and publishes
// what the fold makes, each output once: outputs carry their position, and whoever takes a partition over reads how far its outputs
// got, folds on from a snapshot and drops what is out already. Replay does the same for a range of the past.
package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/internal/store"
)

// commitInterval is how often the group is told how far the outputs are; Replay compares no further.
const commitInterval = 2 * time.Second

// A Worker folds the partitions that its group assigns to it.
type Worker struct {
	cfg        Config
	cluster    Cluster
	barrier    Barrier
	snapshots  *snapshots
	log        zerolog.Logger
	skippedLog zerolog.Logger // a few a minute
	metrics    *metrics
	failed     chan error // the first fatal error

	mu         sync.Mutex // guards what follows
	member     *member    // set by Run before partitions exist, and then for good
	joined     bool
	closing    bool
	partitions map[int32]*partition
	unacked    map[int32]chan struct{} // holds a token for each tick of a partition that waits for the brokers; outlives its ownership
}

// New makes a worker, which keeps its snapshots in st; Run starts it. It registers the worker's metrics.
func New(cfg Config, cluster Cluster, barrier Barrier, st store.Store, log zerolog.Logger, reg prometheus.Registerer) (*Worker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	kept, err := newSnapshots(st)
	if err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: cfg, cluster: cluster, barrier: barrier, snapshots: kept, log: log,
		skippedLog: log.Sample(&zerolog.BurstSampler{Burst: 5, Period: time.Minute}),
		failed:     make(chan error, 1), partitions: map[int32]*partition{}, unacked: map[int32]chan struct{}{},
	}
	if w.metrics, err = newMetrics(w, reg); err != nil {
		return nil, err
	}
	return w, nil
}

// Run works until ctx ends, and then returns nil once every partition is drained or DrainTimeout is over; or until journal entries are
// lost that a partition needs (a *LostError). Call it once. It owns:
//
//	watch      the group's errors into the log; ends with Run
//	commit     tells the group how far the outputs are; ends with Run
//	partition  one for each assigned partition: journal -> fold -> outputs; ends when it is taken away, or with Run
func (w *Worker) Run(ctx context.Context) error {
	// Partitions outlive ctx by the time they take to drain; the callbacks of the group start them.
	w.mu.Lock()
	m, err := join(w.cluster, w.cfg, w.assigned, w.revoked, w.lost)
	w.member = m
	w.mu.Unlock() // the callbacks wait for it
	if err != nil {
		return err
	}
	defer func() {
		if err := m.close(leaveTimeout); err != nil {
			w.log.Warn().Err(err).Msg("consumer group not left: others wait for the session timeout")
		}
	}()

	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { m.watch(background, func(err error) { w.log.Warn().Err(err).Msg("consumer group") }) })
	wg.Go(func() { w.commitEvery(background) })
	select {
	case <-ctx.Done():
		err = nil
	case err = <-w.failed:
	}
	w.mu.Lock()
	w.closing = true
	all := slices.Collect(maps.Keys(w.partitions))
	w.mu.Unlock()
	w.revoked(all)
	cancel()
	wg.Wait()
	return err
}

// leaveTimeout bounds the farewell to the group.
const leaveTimeout = 3 * time.Second

// fail ends Run with the first of the fatal errors.
func (w *Worker) fail(err error) {
	select {
	case w.failed <- err:
	default:
	}
}

// assigned starts partitions; it does not wait for them.
func (w *Worker) assigned(ids []int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.joined = true
	if w.closing {
		return
	}
	for _, id := range ids {
		if w.partitions[id] != nil {
			panic(fmt.Sprintf("stream: partition %d assigned twice", id))
		}
		p := &partition{w: w, id: id, log: w.log.With().Int32("partition", id).Logger(), done: make(chan struct{}),
			unacked: w.unackedTicks(id)}
		p.published.Store(-1)
		p.savedNext.Store(-1)
		stop, cancelStop := context.WithCancel(context.Background())
		hard, cancelHard := context.WithCancel(context.Background())
		p.stop, p.kill = cancelStop, cancelHard
		w.partitions[id] = p
		go p.run(stop, hard)
	}
}

// unackedTicks bounds a partition's ticks under way through all the times that it is ours. mu is held.
func (w *Worker) unackedTicks(id int32) chan struct{} {
	if w.unacked[id] == nil {
		w.unacked[id] = make(chan struct{}, maxUnackedTicks)
	}
	return w.unacked[id]
}

// revoked drains partitions and returns when they have ended, after DrainTimeout at the latest. The group's callback may meet Run's own
// call; both wait.
func (w *Worker) revoked(ids []int32) {
	ending := w.pick(ids)
	for _, p := range ending {
		p.stop()
	}
	deadline, cancel := context.WithTimeout(context.Background(), w.cfg.DrainTimeout)
	defer cancel()
	ended := map[int32]mark{}
	for _, p := range ending {
		select {
		case <-p.done:
		case <-deadline.Done():
			p.log.Warn().Dur("timeout", w.cfg.DrainTimeout).Msg("partition not drained in time")
		}
		p.kill()
		<-p.done
		ended[p.id] = p.mark()
	}
	w.commit(ended)
	w.forget(ending)
}

// lost drops partitions that belong to someone else already.
func (w *Worker) lost(ids []int32) {
	ending := w.pick(ids)
	for _, p := range ending {
		p.stop()
		p.kill()
	}
	for _, p := range ending {
		<-p.done
	}
	w.forget(ending)
}

// commitEvery commits what has changed, until ctx ends. A commit that fails, as during a rebalance, is made up for by the next.
func (w *Worker) commitEvery(ctx context.Context) {
	every := time.NewTicker(commitInterval)
	defer every.Stop()
	committed := map[int32]mark{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		moved := map[int32]mark{}
		w.mu.Lock()
		for id, p := range w.partitions {
			if m := p.mark(); m != committed[id] {
				moved[id] = m
			}
		}
		w.mu.Unlock()
		if w.commit(moved) {
			maps.Copy(committed, moved)
		}
	}
}

// commit has its own deadline: it also runs when everything else is being stopped.
func (w *Worker) commit(marks map[int32]mark) bool {
	ctx, cancel := context.WithTimeout(context.Background(), commitInterval)
	defer cancel()
	if err := w.member.commit(ctx, marks); err != nil {
		w.log.Debug().Err(err).Msg("offsets not committed")
		return false
	}
	return true
}

func (w *Worker) pick(ids []int32) []*partition {
	w.mu.Lock()
	defer w.mu.Unlock()
	var picked []*partition
	for _, id := range ids {
		if p := w.partitions[id]; p != nil {
			picked = append(picked, p)
		}
	}
	return picked
}

func (w *Worker) forget(ended []*partition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range ended {
		delete(w.partitions, p.id)
	}
}
