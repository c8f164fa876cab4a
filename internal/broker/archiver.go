package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/archive"
	"outfall/telemetry"
)

// ArchiveStats are what the archiving has come to.
type ArchiveStats struct {
	Files   int
	Bytes   int64     // as stored
	Oldest  time.Time // receipt of the oldest archived entry, zero if there is none
	Entries int64     // archived by this process
	Deleted int64     // files deleted by this process because of kafka.archive_bytes
	Failed  int64     // attempts of this process that ended with an error
	Waiting int64     // bytes of the log beyond its retention that have yet to be archived, as of the last attempt
	Err     error     // of the last attempt; nil: it succeeded
}

// An archiver drops what is beyond the retention from the embedded broker's journal, once the archive has it. It is the only one that
// drops anything there. The order for a partition is: write whole files and make them durable; sync the log, so that its end cannot
// fall behind them in a power cut; delete the segments. A kill between any two leaves entries in both, which readers know how to take.
type archiver struct {
	cluster *Cluster
	archive archive.Archive
	logDir  string // the broker's, with the partitions' folders
	sync    func() error
	drop    func(partition int32, before int64) error // deletes whole segments below an offset

	files [][]archive.File // by partition, in order; nil: not loaded. Only whoever trims touches them

	mu    sync.Mutex // guards stats
	stats ArchiveStats
}

// errForeign is wrapped by the error about an archive that is not this journal's.
var errForeign = errors.New("not of this journal")

// load reads what is there. What lies beyond the end of the journal is another journal's: offsets would collide. That error wraps
// errForeign; after any other, trim tries again.
func (a *archiver) load(ctx context.Context) error {
	ends, err := a.cluster.Offsets(ctx, telemetry.TopicJournal, FromEnd)
	if err != nil {
		return err
	}
	all, err := a.archive.All(ctx)
	if err != nil {
		return err
	}
	files := make([][]archive.File, len(ends))
	for _, f := range all {
		if int(f.Partition) >= len(ends) || f.Next > ends[f.Partition] {
			return fmt.Errorf("%s is %w, which ends earlier: the log was removed or replaced. Restore it, or move %s away", f.Path(), errForeign, a.archive)
		}
		files[f.Partition] = append(files[f.Partition], f)
	}
	a.files = files
	a.count(ArchiveStats{})
	return nil
}

// trim applies the retention: it archives and then drops whole segments, partition by partition, and deletes the oldest files beyond the
// archive's bound. What cannot be archived stays in the log. notes are what a log should tell.
func (a *archiver) trim(ctx context.Context) (notes []string, err error) {
	if a.files == nil {
		if err := a.load(ctx); err != nil {
			a.count(ArchiveStats{Err: err})
			return nil, err
		}
	}
	deleted, err := a.bound(ctx) // first: on a full disk, a lowered bound makes room
	var waiting, entries int64
	var errs []error
	if err != nil {
		errs = append(errs, err)
	}
	for p := range a.files {
		excess, err := a.excess(int32(p))
		for len(excess) > 0 && err == nil {
			var n int64
			n, err = a.move(ctx, int32(p), excess[0].end)
			if entries += n; err == nil {
				excess = excess[1:]
			}
		}
		for _, s := range excess {
			waiting += s.size
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("partition %d: %w", p, err))
		}
	}
	more, err := a.bound(ctx)
	if err != nil {
		errs = append(errs, err)
	}
	if deleted = append(deleted, more...); len(deleted) > 0 {
		notes = append(notes, fmt.Sprintf("the archive reached kafka.archive_bytes: %d of its oldest files deleted, up to entries of %s",
			len(deleted), deleted[len(deleted)-1].Newest.Format(time.RFC3339)))
	}
	if ctx.Err() != nil {
		return notes, ctx.Err() // the end of the process, no fault of the archive
	}
	err = errors.Join(errs...)
	a.count(ArchiveStats{Entries: entries, Deleted: int64(len(deleted)), Waiting: waiting, Err: err})
	return notes, err
}

// A segment is a file of the broker's log.
type segment struct {
	base, end int64 // offsets; end is the next segment's base
	size      int64 // bytes
}

// excess finds the segments of a partition that must go for the rest to be within the retention, the oldest first. The last segment, to
// which the broker appends, stays.
func (a *archiver) excess(partition int32) ([]segment, error) {
	var segments []segment
	var total int64
	entries, err := os.ReadDir(filepath.Join(a.logDir, fmt.Sprintf("%s-%d", a.cluster.Topic(telemetry.TopicJournal), partition)))
	if err != nil && !errors.Is(err, os.ErrNotExist) { // nothing was written yet
		return nil, fmt.Errorf("look at the log: %w", err)
	}
	for _, e := range entries {
		base, err := strconv.ParseInt(strings.TrimSuffix(e.Name(), ".dat"), 10, 64)
		if err != nil || filepath.Ext(e.Name()) != ".dat" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("look at the log: %w", err)
		}
		segments = append(segments, segment{base: base, size: info.Size()})
		total += info.Size()
	}
	slices.SortFunc(segments, func(x, y segment) int { return cmp.Compare(x.base, y.base) })
	n := 0
	for ; n+1 < len(segments) && total > a.cluster.config.RetentionBytes; n++ {
		segments[n].end = segments[n+1].base
		total -= segments[n].size
	}
	return segments[:n], nil
}

// move archives a partition's entries before the offset cut, as far as they are not yet, and drops them from the log.
func (a *archiver) move(ctx context.Context, partition int32, cut int64) (entries int64, err error) {
	starts, err := a.cluster.Offsets(ctx, telemetry.TopicJournal, FromStart)
	if err != nil {
		return 0, err
	}
	from := starts[partition]
	if have := a.files[partition]; len(have) > 0 {
		from = max(from, have[len(have)-1].Next) // what a killed process had archived and not dropped yet
	}
	if from < cut {
		entries, err = a.write(ctx, partition, from, cut)
		if err != nil {
			return entries, err
		}
	}
	if err := a.sync(); err != nil {
		return entries, fmt.Errorf("sync the log: %w", err)
	}
	return entries, a.drop(partition, cut)
}

// write archives the entries of [from, cut) of a partition. Files that were whole before an error count.
func (a *archiver) write(ctx context.Context, partition int32, from, cut int64) (entries int64, err error) {
	w, err := a.archive.NewWriter(partition, from)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	next, end := make([]int64, len(a.files)), make([]int64, len(a.files))
	next[partition], end[partition] = from, cut
	err = a.cluster.readLog(ctx, telemetry.TopicJournal, next, end, func(r *kgo.Record) error {
		entries++
		return w.Add(ctx, r)
	})
	whole := w.Sealed()
	if err == nil {
		whole, err = w.Seal(ctx, cut)
	}
	a.files[partition] = append(a.files[partition], whole...)
	return entries, err
}

// bound deletes the oldest files beyond kafka.archive_bytes. Each partition's archive loses its beginning only, so no holes come of it.
func (a *archiver) bound(ctx context.Context) (deleted []archive.File, err error) {
	limit := a.cluster.config.ArchiveBytes
	for total, _ := a.total(); limit >= 0 && total > limit; {
		oldest := -1
		for p, files := range a.files {
			if len(files) > 0 && (oldest < 0 || files[0].Newest.Before(a.files[oldest][0].Newest)) {
				oldest = p
			}
		}
		f := a.files[oldest][0]
		if err := f.Remove(ctx); err != nil {
			return deleted, err
		}
		total -= f.Size
		a.files[oldest] = a.files[oldest][1:]
		deleted = append(deleted, f)
	}
	return deleted, nil
}

func (a *archiver) total() (bytes int64, n int) {
	for _, files := range a.files {
		for _, f := range files {
			bytes, n = bytes+f.Size, n+1
		}
	}
	return bytes, n
}

// count notes the result of an attempt, whose Entries and Deleted add up.
func (a *archiver) count(last ArchiveStats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last.Bytes, last.Files = a.total()
	for _, files := range a.files {
		if len(files) > 0 && (last.Oldest.IsZero() || files[0].Oldest.Before(last.Oldest)) {
			last.Oldest = files[0].Oldest
		}
	}
	last.Entries += a.stats.Entries
	last.Deleted += a.stats.Deleted
	if last.Failed = a.stats.Failed; last.Err != nil {
		last.Failed++
	}
	a.stats = last
}

func (a *archiver) read() ArchiveStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stats
}
