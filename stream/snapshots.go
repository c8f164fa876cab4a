package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"outfall/internal/store"
	"outfall/stream/fold"
)

// generations is how many of a partition's newest snapshots are kept: the newest, one for when that is damaged, and one for when the
// broker's log lost its end with it.
const generations = 3

// snapshots are those of all partitions, as objects of a store.
type snapshots struct {
	store   store.Store
	encoder *zstd.Encoder // both may be used by many goroutines at once
	decoder *zstd.Decoder
}

func newSnapshots(st store.Store) (*snapshots, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	// A chunk that says it is larger is damaged.
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(2*maxChunkBytes), zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	return &snapshots{store: st, encoder: encoder, decoder: decoder}, nil
}

func (st *snapshots) close() {
	_ = st.encoder.Close() // it has no stream that could be cut
	st.decoder.Close()
}

// A snapshotName is what a snapshot's object is called: pPPPPP-gGGGGGGGGGG-oOFFSET-cCLOCK.snap, the numbers with leading zeros. What is to
// be kept and what Replay can begin at is decided from names alone.
type snapshotName struct {
	partition  int32
	generation int64     // counts a partition's snapshots
	next       int64     // Snapshot.Next, -1 in names of form 1: pPPPPP-gGGGGGGGGGG.snap
	clock      time.Time // Snapshot.Clock
	object     string    // the name itself
}

const snapshotSuffix = ".snap"

func snapshotPrefix(partition int32) string { return fmt.Sprintf("p%05d-", partition) }

func nameSnapshot(s *Snapshot, generation int64) snapshotName {
	n := snapshotName{partition: s.Partition, generation: generation, next: s.Next, clock: s.Clock}
	n.object = fmt.Sprintf("%sg%010d-o%019d-c%014d%s", snapshotPrefix(s.Partition), generation, s.Next, clockMs(s.Clock), snapshotSuffix)
	return n
}

// parseSnapshotName reads the name of an object of the given partition; false: it is none of ours.
func parseSnapshotName(partition int32, object string) (snapshotName, bool) {
	n := snapshotName{partition: partition, next: -1, object: object}
	rest, ours := strings.CutPrefix(object, snapshotPrefix(partition))
	rest, whole := strings.CutSuffix(rest, snapshotSuffix)
	fields := strings.Split(rest, "-")
	if !ours || !whole || len(fields) != 1 && len(fields) != 3 {
		return n, false
	}
	var clock int64
	into := [...]*int64{&n.generation, &n.next, &clock}
	for i, f := range fields {
		v, err := strconv.ParseUint(f[min(1, len(f)):], 10, 63)
		if err != nil || f[0] != "goc"[i] {
			return n, false
		}
		*into[i] = int64(v)
	}
	n.clock = clockOf(clock)
	return n, true
}

// list returns the partition's snapshots, newest first. Those of a past that did not happen are left out: a journal that lost its end and
// was written on, or that began anew, leaves snapshots of entries behind that are no longer in it. They lie beyond one that was written
// later. (An owner that did not know yet that it had lost the partition can have written that one; then newer ones are passed over, and
// a little more is folded again.)
func (st *snapshots) list(ctx context.Context, partition int32) (kept, stale []snapshotName, err error) {
	objects, err := st.store.List(ctx, snapshotPrefix(partition))
	if err != nil {
		return nil, nil, fmt.Errorf("snapshots of partition %d: %w", partition, err)
	}
	var names []snapshotName
	for _, o := range objects {
		if n, ok := parseSnapshotName(partition, o.Name); ok {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b snapshotName) int {
		return cmp.Or(cmp.Compare(b.generation, a.generation), cmp.Compare(b.next, a.next))
	})
	least := int64(-1)
	for _, n := range names {
		if least >= 0 && n.next > least {
			stale = append(stale, n)
			continue
		}
		kept = append(kept, n)
		if n.next >= 0 {
			least = n.next
		}
	}
	return kept, stale, nil
}

// load reads one snapshot, see readSnapshot. ErrDamaged: it is of no use, an older one may be. Any other error says nothing about it: try again
// later.
func (st *snapshots) load(ctx context.Context, n snapshotName, body func(piece []byte)) (*Snapshot, error) {
	r, err := st.store.Get(ctx, n.object)
	if err != nil {
		return nil, fmt.Errorf("snapshot of partition %d: %w", n.partition, err)
	}
	defer r.Close()
	s, err := readSnapshot(r, st.decoder, body)
	if err == nil && (s.Partition != n.partition || n.next >= 0 && s.Next != n.next) {
		err = fmt.Errorf("%w: holds partition %d up to offset %d", ErrDamaged, s.Partition, s.Next)
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot %s in %s: %w", n.object, st.store, err)
	}
	return s, nil
}

// save writes a new snapshot, whose body comes through pieces, and returns its size. It is there once save returns nil, and survives a
// power loss. free takes back the pieces that have been written.
func (st *snapshots) save(ctx context.Context, s *Snapshot, pieces <-chan []byte, free chan<- []byte) (int64, error) {
	kept, stale, err := st.list(ctx, s.Partition)
	if err != nil {
		return 0, err
	}
	generation := int64(1)
	for _, n := range append(kept, stale...) {
		generation = max(generation, n.generation+1)
	}
	src := newSnapshotSource(ctx, s, pieces, free, st.encoder)
	if err := st.store.Put(ctx, nameSnapshot(s, generation).object, src); err != nil {
		return 0, fmt.Errorf("snapshot of partition %d: %w", s.Partition, err)
	}
	return src.size, nil
}

// prune deletes what is no longer worth keeping. Kept are the three newest snapshots, and the first of every day (of UTC+8, by the log
// clock) as long as the journal reaches back to it: reach is the first offset that can still be read. Replay begins at those.
func (st *snapshots) prune(ctx context.Context, partition int32, reach int64) error {
	kept, doomed, err := st.list(ctx, partition)
	if err != nil {
		return err
	}
	for i, n := range kept {
		if i < generations {
			continue
		}
		first := n.next >= reach && !n.clock.IsZero()
		for _, earlier := range kept[i+1:] {
			first = first && (earlier.clock.IsZero() || day(earlier.clock) != day(n.clock))
		}
		if !first {
			doomed = append(doomed, n)
		}
	}
	var errs []error
	for _, n := range doomed {
		errs = append(errs, st.store.Delete(ctx, n.object))
	}
	return errors.Join(errs...)
}

// day counts the days of UTC+8.
func day(t time.Time) int64 { return t.Add(8*time.Hour).Unix() / (24 * 3600) }

// SnapshotBefore returns the newest snapshot of a partition that holds no entry at or above offset and can be read; nil if there is none.
// Damaged ones are passed over.
func SnapshotBefore(ctx context.Context, st store.Store, partition int32, offset int64) (*Snapshot, error) {
	all, err := newSnapshots(st)
	if err != nil {
		return nil, err
	}
	defer all.close()
	names, _, err := all.list(ctx, partition)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if n.next > offset {
			continue
		}
		var body []byte
		s, err := all.load(ctx, n, func(piece []byte) { body = append(body, piece...) })
		if err == nil && s.Next <= offset {
			s.Body = body
			if _, err = fold.Read(s.Body); err == nil {
				return s, nil
			}
		} else if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, err
		}
	}
	return nil, nil
}

// SaveSnapshot writes s, Body and all, as the newest snapshot of its partition. It is there once the error is nil, and survives a power loss.
// No worker may hold the partition meanwhile.
func SaveSnapshot(ctx context.Context, st store.Store, s *Snapshot) error {
	all, err := newSnapshots(st)
	if err != nil {
		return err
	}
	defer all.close()
	body, pieces := s.Body, make(chan []byte, len(s.Body)/pieceBytes+1)
	for len(body) > 0 {
		n := min(len(body), pieceBytes)
		pieces <- body[:n:n] // there is room for all
		body = body[n:]
	}
	close(pieces)
	_, err = all.save(ctx, s, pieces, nil)
	return err
}
