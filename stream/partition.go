package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"outfall/stream/fold"
	"outfall/telemetry"
)

// A LostError says that a partition's journal cannot be folded on: entries that are still needed are gone, or it switches to an arithmetic
// that this program lacks. Nothing can be computed from there on that equals what it would have given, so the worker stops.
type LostError struct {
	Partition int32
	Wanted    int64  // journal offset that is to be folded next
	What      string // what is missing, and what to do
}

func (e *LostError) Error() string {
	return fmt.Sprintf("journal partition %d, offset %d: %s", e.Partition, e.Wanted, e.What)
}

// A partition is one assigned partition of the journal: it folds it until stopped, and begins anew from its newest snapshot when
// something goes wrong.
type partition struct {
	w    *Worker
	id   int32
	log  zerolog.Logger
	stop context.CancelFunc // ends reading; what was read is folded, published and kept in a snapshot
	kill context.CancelFunc // ends everything
	done chan struct{}      // closed when run has returned

	unacked chan struct{} // see Worker.unacked

	progress
}

// Progress of a partition, for metrics and health; each field is written by one goroutine of the session.
type progress struct {
	published atomic.Int64 // journal offset after the last entry whose outputs are out; -1 until first recovered
	end       atomic.Int64 // the journal's end as last heard
	caughtUp  atomic.Bool  // has reached the end that it saw when it was assigned
	devices   atomic.Int64
	alarms    atomic.Int64
	clock     atomic.Int64 // log clock, ms
	savedNext atomic.Int64 // next of the newest snapshot, -1 without one
	saved     atomic.Int64 // when the newest snapshot was made, or the partition recovered without one; ms
	fault     atomic.Pointer[string]

	savedBytes atomic.Int64 // of the newest snapshot that this worker wrote; 0 before
	saveTook   atomic.Int64 // ns from its beginning until it was there
}

// run folds the partition until stop ends. What is in hand then may take until hard ends. Faults are retried with growing pauses,
// from 0.25 to 30 s; lost entries are final and go to the worker.
func (p *partition) run(stop, hard context.Context) {
	defer close(p.done)
	pause := 250 * time.Millisecond
	for stop.Err() == nil {
		began := time.Now()
		err := p.session(stop, hard)
		var lost *LostError
		switch {
		case err == nil:
			return
		case errors.As(err, &lost):
			text := lost.What
			p.fault.Store(&text)
			p.w.fail(err)
			return
		case stop.Err() != nil:
			p.log.Warn().Err(err).Msg("partition not drained: its next owner folds the rest again")
			return
		}
		p.w.metrics.restarts.Inc()
		text := err.Error()
		p.fault.Store(&text)
		if time.Since(began) > time.Minute {
			pause = 250 * time.Millisecond
		}
		level := zerolog.ErrorLevel
		if errors.Is(err, errNotOurs) {
			level = zerolog.WarnLevel // the group says soon who owns it
		}
		p.log.WithLevel(level).Err(err).Dur("pause", pause).Msg("partition stopped, folding again from its newest snapshot")
		select {
		case <-stop.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// A session folds one partition from a recovered state on.
type session struct {
	*partition
	link   *link
	hard   context.Context
	state  *fold.State
	next   int64 // journal offset of the first entry that is not in state
	target int64 // the journal's end when the session began

	floor map[telemetry.Topic]telemetry.Position // outputs up to here are out since before the session
	at    map[telemetry.Topic]telemetry.Position // last output that the fold made

	entry telemetry.Entry // at hand
	group outputGroup     // outputs that the outlet does not have yet
	out   *outlet
	err   error // of handing over within Apply

	saveAt  time.Time // when another snapshot is due
	saving  *saving   // the one on its way, nil without
	statsAt time.Time
}

// session returns nil when stop ended and everything in hand was published and saved. It owns three goroutines:
//
//	tick   writes the partition's clock into the journal; ends with the session
//	out    publishes what is folded; ends with the session
//	save   writes one snapshot at a time into the store; ends before the session
func (p *partition) session(stop, hard context.Context) error {
	l, err := openLink(p.w.cluster, p.id, &p.w.cfg)
	if err != nil {
		return err
	}
	defer l.close()
	if err := p.takeOver(stop, l); err != nil {
		if stop.Err() != nil {
			return nil // nothing was begun
		}
		return err
	}
	s := &session{partition: p, link: l, at: map[telemetry.Topic]telemetry.Position{}}
	if err := s.recover(stop); err != nil {
		if stop.Err() != nil {
			return nil // nothing was begun
		}
		return err
	}
	var owned sync.WaitGroup
	defer owned.Wait()
	writing, giveUp := context.WithCancel(hard)
	defer giveUp()
	reading, cancel := context.WithCancelCause(stop)
	defer cancel(nil)
	s.hard, s.out = writing, newOutlet(s, cancel)
	s.group = newOutputGroup(topicNames(p.w.cluster), s.out.free)
	owned.Go(func() { p.tick(reading) })
	owned.Go(func() { s.out.run(writing) })
	defer s.dropSaving()

	l.startAt(s.next)
	// Partitions take turns, so that their snapshots do not all fall into the same moment.
	s.saveAt = time.Now().Add(p.w.cfg.SnapshotInterval * time.Duration(p.id%8+1) / 8)
	for {
		b, err := l.poll(reading, s.pollWait())
		switch {
		case stop.Err() != nil:
			return s.finish()
		case reading.Err() != nil:
			return context.Cause(reading) // what was folded cannot be published
		case errors.Is(err, errOutOfRange):
			return s.lostError(hard, err)
		case err != nil:
			return err
		}
		if err := s.fold(b); err != nil {
			return err
		}
		s.count()
		s.saveSome()
	}
}

// fold applies a batch and hands its outputs over.
func (s *session) fold(b batch) error {
	emit := s.emit
	for _, rec := range b.records {
		e, err := decodeEntry(rec)
		if errors.Is(err, fold.ErrAlgorithm) {
			lost := &LostError{Partition: s.id, Wanted: rec.Offset, What: err.Error()}
			return errors.Join(s.out.put(&s.group, s.next, b.end), s.out.await(s.hard, s.next), lost)
		}
		if err != nil {
			s.w.metrics.entries[skipped].Inc()
			s.w.skippedLog.Warn().Err(err).Msg("journal entry skipped")
		} else {
			s.w.metrics.entries[e.Kind].Inc()
			s.entry = e
			s.state.Apply(&s.entry, emit)
		}
		if s.err != nil {
			return s.err
		}
		s.next = rec.Offset + 1
	}
	return s.out.put(&s.group, s.next, b.end)
}

// emit takes one output of the entry at hand. It hands over when the group is full, so that an entry with any number of outputs fits.
func (s *session) emit(o telemetry.Output) {
	last, ok := s.at[o.Topic]
	if o.Pos.Source != s.entry.Offset || ok && !o.Pos.After(last) {
		panic(fmt.Sprintf("stream: the fold of journal partition %d offset %d made %s output %v after %v", s.id, s.entry.Offset, o.Topic, o.Pos, last))
	}
	s.at[o.Topic] = o.Pos
	if floor, ok := s.floor[o.Topic]; ok && !o.Pos.After(floor) {
		s.w.metrics.suppressed.Inc()
		return
	}
	if s.err != nil {
		return // the session ends, and with it this state
	}
	s.group.add(s.id, s.entry.Received, &o)
	if s.group.full(s.out.limit) {
		s.err = s.out.put(&s.group, s.next, -1)
	}
}

// report publishes the session's progress: outputs of the entries below next are out; end is the journal's end if known, else -1.
func (s *session) report(next, end int64) {
	s.published.Store(next)
	if end >= 0 {
		s.progress.end.Store(end)
	}
	s.fault.Store(nil) // recovery alone proves nothing: what failed may fail again
	s.atTarget(next)
}

func (s *session) atTarget(next int64) {
	if next >= s.target && s.caughtUp.CompareAndSwap(false, true) {
		s.log.Info().Int64("offset", next).Msg("partition caught up")
	}
}

// count publishes, once a second, what the state counts.
func (s *session) count() {
	now := time.Now()
	if now.Sub(s.statsAt) < time.Second {
		return
	}
	s.statsAt = now
	st := s.state.Stats()
	s.devices.Store(int64(st.Devices))
	s.alarms.Store(int64(st.OpenAlarms))
	if c := s.state.Clock(); !c.IsZero() {
		s.clock.Store(c.UnixMilli())
	}
}

// maxUnackedTicks bounds the ticks of a partition that wait for the brokers; while they are away, time stands still.
const maxUnackedTicks = 2

// tick writes a tick at once and then each TickInterval, until ctx ends. Ticks go to the journal's end, behind the backlog that may be
// there, so time never runs ahead of it.
func (p *partition) tick(ctx context.Context) {
	every := time.NewTicker(p.w.cfg.TickInterval)
	defer every.Stop()
	for {
		select {
		case p.unacked <- struct{}{}:
			p.w.member.tick(p.id, time.Now(), func(err error) {
				<-p.unacked
				if err != nil {
					p.w.metrics.ticksFailed.Inc()
				}
			})
		default:
			p.w.metrics.ticksFailed.Inc()
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
