package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/archive"
	"outfall/telemetry"
)

// maxRounds bounds how often a reader goes between archive and log without getting further: once is a race with the archiving.
const maxRounds = 3

// A GapError says that records are in neither the archive nor the broker's log.
type GapError struct {
	Topic     string
	Partition int32
	From, To  int64 // the offsets [From, To) are missing
}

func (e *GapError) Error() string {
	return fmt.Sprintf("%s[%d]: the offsets %d to %d are neither in the archive nor in the log", e.Topic, e.Partition, e.From, e.To-1)
}

// archived tells whether what retention takes of t goes to the archive: of the embedded broker's journal.
func (c *Cluster) archived(t telemetry.Topic) bool {
	return c.Embedded() && t == telemetry.TopicJournal
}

// Archive is the archive of the embedded broker's journal; ok is false on Apache Kafka, which has none.
func (c *Cluster) Archive() (a archive.Archive, ok bool) {
	if !c.Embedded() {
		return a, false
	}
	return archive.At(filepath.Join(c.dataDir(), "archive"), c.Topic(telemetry.TopicJournal)), true
}

// ReadPartition calls fn with the records of [from, end) of one partition of t, in offset order, on the caller's goroutine. The journal
// of an embedded broker is read from its archive as far as that reaches, then from the log, without a gap or a repetition where
// they meet, also while another process archives. fn may keep the record; its error ends the reading and is returned, wrapped
// with the record's position. What retention has taken and no archive holds is a *GapError, or kerr.OffsetOutOfRange.
func (c *Cluster) ReadPartition(ctx context.Context, t telemetry.Topic, partition int32, from, end int64, fn func(*kgo.Record) error) error {
	next, ends := make([]int64, c.config.Partitions), make([]int64, c.config.Partitions)
	next[partition], ends[partition] = from, end
	return c.read(ctx, t, next, ends, fn)
}

// read consumes [next, end) of each partition, or from next on for ever if end is nil: what the archive holds from there, then the log.
// It moves next behind what fn has had.
func (c *Cluster) read(ctx context.Context, t telemetry.Topic, next, end []int64, fn func(*kgo.Record) error) error {
	if !c.archived(t) {
		return c.readLog(ctx, t, next, end, fn)
	}
	for rounds := 0; ; rounds++ {
		before := slices.Clone(next)
		if err := c.readArchive(ctx, next, end, fn); err != nil {
			return err
		}
		// What the archive did not hold yet may leave the log before it is read here; then it is in the archive.
		err := c.readLog(ctx, t, next, end, fn)
		if !errors.Is(err, kerr.OffsetOutOfRange) {
			return err
		}
		if !slices.Equal(before, next) {
			rounds = 0
		}
		if gap := c.gap(ctx, next, end); gap != nil || rounds == maxRounds {
			return errors.Join(gap, err)
		}
	}
}

// readArchive calls fn with what the archive holds of [next, end) of each partition, partition after partition, and moves next behind it.
func (c *Cluster) readArchive(ctx context.Context, next, end []int64, fn func(*kgo.Record) error) error {
	a, _ := c.Archive()
	for p := range next {
		limit := int64(math.MaxInt64)
		if end != nil {
			limit = end[p]
		}
		files, err := filesFrom(a, int32(p), next[p])
		if err != nil {
			return err
		}
		for _, f := range files {
			if next[p] >= limit || !f.Covers(next[p]) {
				break // what follows a hole is not what comes next
			}
			err := f.Read(next[p], limit, func(r *kgo.Record) error {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := fn(r); err != nil {
					return positioned(r, err)
				}
				next[p] = r.Offset + 1
				return nil
			})
			if errors.Is(err, fs.ErrNotExist) {
				break // removed by kafka.archive_bytes since it was listed: the log, or the gap, is next
			}
			if err != nil {
				return err
			}
			next[p] = min(f.Next, limit)
		}
	}
	return nil
}

// filesFrom lists the files of a partition from the one that covers offset on, or the one behind it.
func filesFrom(a archive.Archive, partition int32, offset int64) ([]archive.File, error) {
	files, err := a.List(partition)
	i := slices.IndexFunc(files, func(f archive.File) bool { return f.Next > offset })
	if err != nil || i < 0 {
		return nil, err
	}
	return files[i:], nil
}

// gap finds the first partition where neither the log nor the archive holds what comes next; nil if there is none.
func (c *Cluster) gap(ctx context.Context, next, end []int64) error {
	a, _ := c.Archive()
	starts, err := c.Offsets(ctx, telemetry.TopicJournal, FromStart) // before the archive is listed: what leaves the log later is in there
	if err != nil {
		return err
	}
	for p, start := range starts {
		if next[p] >= start || end != nil && next[p] >= end[p] {
			continue
		}
		files, err := filesFrom(a, int32(p), next[p])
		if err != nil {
			return err
		}
		if len(files) > 0 {
			start = min(start, files[0].First)
		}
		if next[p] < start {
			return &GapError{Topic: c.Topic(telemetry.TopicJournal), Partition: int32(p), From: next[p], To: start}
		}
	}
	return nil
}

// positioned wraps what fn returned for r.
func positioned(r *kgo.Record, err error) error {
	return fmt.Errorf("%s[%d]@%d: %w", r.Topic, r.Partition, r.Offset, err)
}

// Bounds are the offsets of the oldest record of t that can be read and of the next that will be written, one each per partition. The
// journal of an embedded broker is read from its archive where that reaches further back than the log.
func (c *Cluster) Bounds(ctx context.Context, t telemetry.Topic) (start, end []int64, err error) {
	cl, err := c.Client()
	if err != nil {
		return nil, nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if start, err = c.offsets(ctx, adm, t, FromStart); err != nil {
		return nil, nil, err
	}
	if end, err = c.offsets(ctx, adm, t, FromEnd); err != nil || !c.archived(t) {
		return start, end, err
	}
	a, _ := c.Archive()
	for p := range start {
		files, err := a.List(int32(p))
		if err != nil {
			return nil, nil, err
		}
		if len(files) > 0 {
			start[p] = min(start[p], files[0].First)
		}
	}
	return start, end, nil
}

// OffsetsSince are the offsets of topic t, one per partition, of the first record whose timestamp is at or after since, or of the next that
// will be written where there is none. The journal's archive is searched too.
func (c *Cluster) OffsetsSince(ctx context.Context, t telemetry.Topic, since time.Time) ([]int64, error) {
	cl, err := c.Client()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	end, err := c.offsets(ctx, adm, t, FromEnd)
	if err != nil {
		return nil, err
	}
	offsets, err := c.listed(ctx, t, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return adm.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topics...)
	})
	if err != nil {
		return nil, err
	}
	for p := range offsets {
		// Where no record is found the client asks once more, for the end: a record that was written between the two would be passed over.
		offsets[p] = min(offsets[p], end[p])
		if !c.archived(t) {
			continue
		}
		offset, found, err := c.archivedSince(int32(p), since) // after the log was asked: what leaves it meanwhile is in the archive
		if err != nil {
			return nil, err
		}
		if found {
			offsets[p] = min(offsets[p], offset)
		}
	}
	return offsets, nil
}

// archivedSince is the offset of a partition's first archived entry received at or after since.
func (c *Cluster) archivedSince(partition int32, since time.Time) (offset int64, found bool, err error) {
	a, _ := c.Archive()
	files, err := a.List(partition)
	if err != nil {
		return 0, false, err
	}
	for _, f := range files {
		if f.Newest.Before(since.Truncate(time.Millisecond)) {
			continue
		}
		if offset, found, err = f.OffsetSince(since); errors.Is(err, fs.ErrNotExist) {
			continue // removed by kafka.archive_bytes since it was listed
		}
		return offset, found, err
	}
	return 0, false, nil
}
