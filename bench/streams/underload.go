package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/bench/machine"
)

// A watch sees results as they come.
type watch struct {
	round *round
	load  *load

	mu     sync.Mutex // guards what follows and the ledger
	ages   []float64  // ms from due to here, of every result whose frame was due in [from, to)
	from   time.Time
	to     time.Time
	fresh  time.Time // when the last new result came
	young  time.Time // when the last came that was less than a second old
	err    error
	record int // results that were new
}

// underLoad measures latency at a fixed rate, then recovery, and closes the books.
func (r *round) underLoad(ctx context.Context) error {
	// Positions before the load begins.
	ends, err := r.admin.ListEndOffsets(ctx, r.topics.output)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) { from[o.Partition] = kgo.NewOffset().At(o.Offset) })
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.brokers), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topics.output: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	l := &load{base: r.base, start: time.Now().Add(100 * time.Millisecond), rate: r.rate, devices: r.devices}
	w := &watch{round: r, load: l, from: l.start.Add(warmUp), to: l.start.Add(warmUp + measured)}
	loading, stopLoad := context.WithCancel(ctx)
	watching, stopWatch := context.WithCancel(ctx)
	var loaders, watchers sync.WaitGroup
	loaders.Go(func() { l.run(loading, r.feeder) })
	watchers.Go(func() { w.run(watching, cl) })
	defer watchers.Wait()
	defer stopWatch()
	defer loaders.Wait()
	defer stopLoad()

	if err := sleep(ctx, time.Until(w.to)+young); err != nil {
		return err
	}
	w.percentiles()
	r.say("p50 %.1f, p90 %.1f, p99 %.1f, longest %.0f ms", r.out.P50, r.out.P90, r.out.P99, r.out.Max)
	if r.out.Kept, r.out.KeptCaughtUp, err = r.crash(ctx, w, false); err != nil {
		return fmt.Errorf("killed, state kept: %w", err)
	}
	if err := sleep(ctx, betweenKills); err != nil {
		return err
	}
	if r.out.Wiped, r.out.WipedCaughtUp, err = r.crash(ctx, w, true); err != nil {
		return fmt.Errorf("killed, state wiped: %w", err)
	}
	r.out.RSSEnd, _ = machine.Resident(r.proc.PID())
	r.say("kept %.2f and %.2f s, wiped %.2f and %.2f s, %.0f MiB", r.out.Kept, r.out.KeptCaughtUp, r.out.Wiped, r.out.WipedCaughtUp, r.out.RSSEnd)
	stopLoad()
	loaders.Wait()
	if err := r.feeder.flush(ctx); err != nil {
		return err
	}
	return r.close(ctx, w, int(l.sent.Load()))
}

// close waits for the last results and compares all of them with what was sent.
func (r *round) close(ctx context.Context, w *watch, sent int) error {
	for deadline := time.Now().Add(restTimeout); time.Now().Before(deadline); {
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		w.mu.Lock()
		n := w.record
		w.mu.Unlock()
		if n >= sent {
			break
		}
	}
	if err := sleep(ctx, time.Second); err != nil { // what comes twice may come after it
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	whole := sent / r.devices
	r.count(runningMean, whole)
	for device := range sent % r.devices { // of the turn under way
		if r.ledger.seen[runningMean][whole*r.devices+device] != allFactors {
			r.out.Missing++
		}
	}
	r.count(minuteMean, 0) // those of the backlog that came again
	r.count(hourMean, 0)
	return w.err
}

// crash kills the contestant, lets what it had published arrive, starts it again, and returns how long it took from the start to the first new
// result and until results were less than a second old.
func (r *round) crash(ctx context.Context, w *watch, wipe bool) (first, caughtUp float64, err error) {
	r.proc.Kill()
	if err := w.quiet(ctx); err != nil {
		return 0, 0, err
	}
	if wipe {
		if err := os.RemoveAll(r.dir); err != nil {
			return 0, 0, err
		}
		if err := os.MkdirAll(r.dir, 0o700); err != nil {
			return 0, 0, err
		}
	}
	if err := r.startContestant(); err != nil {
		return 0, 0, err
	}
	began := r.proc.Began
	for deadline := time.Now().Add(recoverTimeout); time.Now().Before(deadline); {
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return 0, 0, err
		}
		if err := r.proc.Alive(); err != nil {
			return 0, 0, err
		}
		w.mu.Lock()
		fresh, newest, failed := w.fresh, w.young, w.err
		w.mu.Unlock()
		if failed != nil {
			return 0, 0, failed
		}
		if first == 0 && fresh.After(began) {
			first = fresh.Sub(began).Seconds()
		}
		if newest.After(began) {
			return first, newest.Sub(began).Seconds(), nil
		}
	}
	return 0, 0, fmt.Errorf("not back in %v (first new result after %.1f s)", recoverTimeout, first)
}

// quiet returns when no new result has come for half a second.
func (w *watch) quiet(ctx context.Context) error {
	const long = 500 * time.Millisecond
	for since := time.Now(); time.Since(since) < long; {
		if err := sleep(ctx, long/10); err != nil {
			return err
		}
		w.mu.Lock()
		if w.fresh.After(since) {
			since = w.fresh
		}
		w.mu.Unlock()
	}
	return nil
}

// run takes results until ctx ends.
func (w *watch) run(ctx context.Context, cl *kgo.Client) {
	for ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		now := time.Now()
		w.mu.Lock()
		if err := fetches.Err(); err != nil && ctx.Err() == nil {
			w.err = errors.Join(w.err, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			rec := it.Next()
			if err := w.round.parse(rec, func(x *result) { w.see(x, now) }); err != nil {
				w.err = errors.Join(w.err, err)
			}
		}
		failed := w.err != nil
		w.mu.Unlock()
		if failed {
			return
		}
	}
}

// see takes one result at a time.
func (w *watch) see(x *result, now time.Time) {
	if !w.round.ledger.add(x) || x.window != runningMean {
		return
	}
	w.record++
	due := w.load.due(x.device, w.round.ledger.number(x))
	w.fresh = now
	if now.Sub(due) < young {
		w.young = now
	}
	if !due.Before(w.from) && due.Before(w.to) {
		w.ages = append(w.ages, now.Sub(due).Seconds()*1000)
	}
}

// percentiles takes the ages that were measured.
func (w *watch) percentiles() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ages) == 0 {
		return
	}
	slices.Sort(w.ages)
	at := func(q float64) float64 { return w.ages[min(len(w.ages)-1, int(q*float64(len(w.ages))))] }
	f := &w.round.out
	f.P50, f.P90, f.P99, f.Max = at(0.50), at(0.90), at(0.99), at(1)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
