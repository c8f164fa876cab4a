package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"outfall/stream/fold"
)

// recover finds where the partition goes on: the newest snapshot that can be read and that the journal still reaches, and how far each
// output topic got. Different topics may have got differently far; each goes on by itself.
func (s *session) recover(ctx context.Context) error {
	snap, st, err := s.w.loadSnapshot(ctx, s.id, func(snap *Snapshot) (bool, error) {
		_, end, err := s.link.journalBounds(ctx)
		return snap.Next <= end, err
	})
	if err != nil {
		return err
	}
	// The tails before the journal's end: an owner that does not know yet that it lost the partition may still be writing both.
	if s.floor, err = s.link.tails(ctx); err != nil {
		return err
	}
	start, end, err := s.link.journalBounds(ctx)
	if err != nil {
		return err
	}
	s.state, s.next, s.target = st, start, end
	s.savedNext.Store(-1)
	if snap != nil {
		s.next = snap.Next
		s.savedNext.Store(snap.Next)
		for t, pos := range snap.Positions {
			floor, ok := s.floor[t]
			if ok && !pos.After(floor) {
				continue
			}
			s.log.Warn().Stringer("topic", t).Int64("src", pos.Source).Msg("topic ends before the output that the snapshot rests on: it lost its end, or its retention is too short")
			s.floor[t] = pos
		}
	}
	if s.next < start {
		if !s.w.cfg.AcceptLoss {
			return s.lost(start)
		}
		s.log.Warn().Int64("offset", s.next).Int64("start", start).Msg("journal entries are lost; accepted")
		s.next = start
	}
	for t, pos := range s.floor {
		if pos.Source >= end {
			return &LostError{Partition: s.id, Wanted: end, What: fmt.Sprintf("%s holds outputs of entries up to offset %d, but the journal ends "+
				"before offset %d: it lost its end. Restore the journal, or move this installation to a new topic prefix", t, pos.Source, end)}
		}
	}
	if snap == nil && start > 0 {
		if len(s.floor) > 0 && !s.w.cfg.AcceptLoss {
			return &LostError{Partition: s.id, Wanted: 0, What: fmt.Sprintf("there is no snapshot in %s, and the journal begins only at offset %d: what "+
				"follows would not continue what was published. Restore the snapshots, or accept that by starting once with stream.accept_loss=true",
				s.w.snapshots.store, start)}
		}
		s.log.Warn().Int64("offset", start).Msg("no snapshot: folding from the journal's first entry; what came before it is unknown")
	}
	if snap == nil && start == 0 && len(s.floor) == 0 {
		if err := s.beginJournal(ctx); err != nil {
			return err
		}
	}
	s.log.Info().Int64("offset", s.next).Int64("end", end).Bool("snapshot", snap != nil).Msg("partition recovered")
	s.saved.Store(time.Now().UnixMilli())
	if snap != nil && !snap.Clock.IsZero() {
		s.saved.Store(snap.Clock.UnixMilli())
	}
	s.published.Store(s.next)
	s.end.Store(end)
	s.count()
	s.atTarget(s.next)
	return nil
}

// lost is the error for a journal that begins only at start, behind what is wanted.
func (s *session) lost(start int64) error {
	return &LostError{Partition: s.id, Wanted: s.next, What: fmt.Sprintf("the journal begins only at offset %d: retention removed %d entries before "+
		"they were folded. Give the journal more retention and restore it; or accept the loss by starting once with stream.accept_loss=true: "+
		"the fold then goes on at offset %d with the state of its snapshots in %s", start, start-s.next, start, s.w.snapshots.store)}
}

// lostError explains errOutOfRange.
func (s *session) lostError(ctx context.Context, cause error) error {
	start, end, err := s.link.journalBounds(ctx)
	switch {
	case err != nil:
		return errors.Join(cause, err)
	case s.next < start:
		return s.lost(start)
	case s.next > end:
		return &LostError{Partition: s.id, Wanted: s.next, What: fmt.Sprintf("the journal ends before offset %d: it lost its end while it was being "+
			"read. Restore it; a restart goes on from a snapshot that the journal still reaches, if there is one", end)}
	}
	return cause
}

// loadSnapshot returns the newest snapshot that can be read and that usable accepts, with the state in it; a nil snapshot and a new
// state if there is none. Each that is passed over is logged and counted.
func (w *Worker) loadSnapshot(ctx context.Context, partition int32, usable func(*Snapshot) (bool, error)) (*Snapshot, *fold.State, error) {
	names, stale, err := w.snapshots.list(ctx, partition)
	if err != nil {
		return nil, nil, err // a state begun anew because of a full file table would be wrong for ever
	}
	for _, n := range stale {
		w.metrics.snapshots[snapshotAhead].Inc()
		w.log.Warn().Str("snapshot", n.object).Msg("snapshot lies beyond one that was written later: the journal lost its end since; passed over")
	}
	for _, n := range names {
		var body fold.Reader
		snap, err := w.snapshots.load(ctx, n, body.Add)
		var st *fold.State
		if err == nil {
			if st, err = body.State(); err != nil {
				err = fmt.Errorf("snapshot %s: %w: %w", n.object, ErrDamaged, err)
			}
		}
		if errors.Is(err, ErrDamaged) {
			w.metrics.snapshots[snapshotDamaged].Inc()
			w.log.Warn().Err(err).Msg("snapshot cannot be read, trying an older one")
			continue
		}
		if err != nil {
			return nil, nil, err // also of one that another worker has just cleared away: there are newer ones now
		}
		ok, err := usable(snap)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			return snap, st, nil
		}
		w.metrics.snapshots[snapshotAhead].Inc()
		w.log.Warn().Str("snapshot", n.object).Msg("snapshot lies beyond the journal's end, trying an older one")
	}
	return nil, fold.New(partition), nil
}
