package stream

import (
	"context"
	"errors"
	"maps"
	"time"

	"outfall/stream/fold"
	"outfall/telemetry"
)

const (
	// pieceBytes is how much of a state goes to the writer at once, and maxPieces how much may wait for it: with what is at hand on
	// either side, 3 MiB, or 10 while the fold changes what it has not given out yet.
	pieceBytes = 256 << 10
	maxPieces  = 8
	// stepTime bounds what a batch waits for the encoding; a step looks at the clock every stepDevices devices, a tenth of it.
	stepTime    = time.Millisecond
	stepDevices = 4
	// writerWait is how long the partition waits for entries while the writer has no room for more.
	writerWait = 10 * time.Millisecond
	// saveTimeout bounds the writing of one snapshot.
	saveTimeout = 10 * time.Minute
)

// A saving is one snapshot on its way. The partition's goroutine, which alone touches the state, encodes a step of it after each batch; a
// goroutine of its own writes. So entries wait for a step at most, and never for the disk or the network.
type saving struct {
	snap   *Snapshot // without its body
	frozen *fold.Frozen
	began  time.Time

	piece   []byte      // being filled
	pieces  chan []byte // to the writer; closed behind the last
	free    chan []byte // back from it
	encoded bool        // all has gone to the writer

	cancel context.CancelFunc
	done   chan struct{} // closed when the writer has ended, and then
	err    error         // says how
}

// beginSaving freezes the state as it is. It starts the writer, which waits for the outputs of the entries in it.
func (s *session) beginSaving() {
	positions := maps.Clone(s.floor)
	for t, pos := range s.at {
		if floor, ok := positions[t]; !ok || pos.After(floor) {
			positions[t] = pos
		}
	}
	ctx, cancel := context.WithTimeout(s.hard, saveTimeout)
	v := &saving{
		snap:   &Snapshot{Partition: s.id, Next: s.next, Clock: s.state.Clock(), Positions: positions},
		frozen: s.state.Freeze(), began: time.Now(),
		pieces: make(chan []byte, maxPieces), free: make(chan []byte, maxPieces),
		cancel: cancel, done: make(chan struct{}),
	}
	s.saving = v
	go func() {
		defer close(v.done)
		if v.err = s.write(ctx, v); v.err != nil && !errors.Is(ctx.Err(), context.Canceled) { // given up is not failed
			s.w.metrics.snapshots[snapshotFailed].Inc()
		}
	}()
}

// write puts a snapshot into the store once all that it rests on is durable, the entries in it and their outputs, and clears away
// older ones.
func (s *session) write(ctx context.Context, v *saving) error {
	if err := s.out.await(ctx, v.snap.Next); err != nil {
		return err
	}
	if err := s.w.barrier.Wait(ctx); err != nil {
		return err
	}
	size, err := s.w.snapshots.save(ctx, v.snap, v.pieces, v.free)
	if err != nil {
		return err
	}
	s.w.metrics.snapshots[snapshotWritten].Inc()
	s.savedNext.Store(v.snap.Next)
	now := time.Now()
	s.saved.Store(now.UnixMilli())
	s.savedBytes.Store(size)
	s.saveTook.Store(int64(now.Sub(v.began)))
	starts, _, err := s.w.cluster.Bounds(ctx, telemetry.TopicJournal) // with what is archived: replay reaches that too
	if err == nil {
		err = s.w.snapshots.prune(ctx, s.id, starts[s.id])
	}
	if err != nil {
		s.log.Warn().Err(err).Msg("old snapshots not cleared away")
	}
	return nil
}

// step encodes for stepTime at most; it hands over what the writer has room for.
func (v *saving) step() {
	for until := v.began; !v.encoded && v.room(); {
		if now := time.Now(); until == v.began {
			until = now.Add(stepTime)
		} else if now.After(until) {
			return
		}
		if v.encode() {
			v.pieces <- v.piece // there is room, and nobody else sends
			v.handedOver()
		}
	}
}

func (v *saving) room() bool { return len(v.pieces) < cap(v.pieces) }

// encode adds a few devices to the piece; it reports that the piece is to be handed over.
func (v *saving) encode() bool {
	if v.piece == nil {
		select {
		case v.piece = <-v.free:
		default:
			v.piece = make([]byte, 0, pieceBytes+pieceBytes/4)
		}
	}
	v.piece, v.encoded = v.frozen.Next(v.piece, stepDevices)
	return v.encoded || len(v.piece) >= pieceBytes
}

func (v *saving) handedOver() {
	v.piece = nil
	if v.encoded {
		close(v.pieces)
	}
}

// wait encodes the rest, waits for the writer and returns how it ended.
func (v *saving) wait() error {
	for !v.encoded {
		if !v.encode() {
			continue
		}
		select {
		case v.pieces <- v.piece:
			v.handedOver()
		case <-v.done:
			v.frozen.Drop()
			return v.err
		}
	}
	<-v.done
	v.cancel()
	return v.err
}

// giveUp ends the writer; no snapshot appears unless it is there already.
func (v *saving) giveUp() {
	v.cancel()
	<-v.done
	v.frozen.Drop()
}

// saveSome goes on with the snapshot that is on its way, or begins one when it is due.
func (s *session) saveSome() {
	v := s.saving
	if v == nil {
		if now := time.Now(); now.After(s.saveAt) && s.savedNext.Load() != s.next {
			s.saveAt = now.Add(s.w.cfg.SnapshotInterval)
			s.beginSaving()
		}
		return
	}
	select {
	case <-v.done:
		v.cancel()
		v.frozen.Drop()
		s.saving = nil
		switch {
		case v.frozen.GivenUp():
			s.saveAt = time.Now() // the next one, of the state behind the entry that changed too much of it
		case v.err != nil:
			s.log.Error().Err(v.err).Msg("snapshot not written: a restart folds more again")
		}
	default:
		if v.frozen.GivenUp() {
			v.cancel() // the writer's end is seen after one of the next batches
			return
		}
		v.step()
	}
}

// pollWait is how long the next poll may wait: while there is something to encode, as long as the step before took, so that a snapshot takes half a
// core at most. Below 0: until there is an entry.
func (s *session) pollWait() time.Duration {
	switch v := s.saving; {
	case v == nil || v.encoded:
		return -1
	case v.frozen.GivenUp():
		return writerWait
	case v.room():
		return stepTime
	default:
		return writerWait
	}
}

// finish writes the last snapshot of a partition that is given up in order.
func (s *session) finish() error {
	if err := s.out.await(s.hard, s.next); err != nil {
		return err
	}
	if v := s.saving; v != nil && v.snap.Next == s.next {
		return v.wait()
	}
	s.dropSaving()
	if s.savedNext.Load() == s.next {
		return nil
	}
	s.beginSaving()
	return s.saving.wait()
}

// dropSaving gives up the snapshot that is on its way, if there is one.
func (s *session) dropSaving() {
	if s.saving != nil {
		s.saving.giveUp()
		s.saving = nil
	}
}
