package broker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/archive"
	"outfall/internal/store"
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

// Archive is the archive of the embedded broker's journal. The error is about the directory, or the credentials of a bucket, which is not
// spoken to yet. Apache Kafka has none.
func (c *Cluster) Archive() (archive.Archive, error) {
	conf := c.config.Archive
	if conf.Location == "" {
		conf.Location = filepath.Join(c.dataDir(), "archive")
	}
	s, err := store.Open(conf)
	if err != nil {
		return archive.Archive{}, fmt.Errorf("archive: %w", err)
	}
	return archive.In(s, c.Topic(telemetry.TopicJournal)), nil
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

// read consumes [next, end) of each partition, or from next on for ever if end is nil: what is before the beginning of the log from the
// archive, then the log. It moves next behind what fn has had.
func (c *Cluster) read(ctx context.Context, t telemetry.Topic, next, end []int64, fn func(*kgo.Record) error) error {
	if !c.archived(t) {
		return c.readLog(ctx, t, next, end, fn)
	}
	for rounds := 0; ; rounds++ {
		before := slices.Clone(next)
		if err := c.readArchive(ctx, next, end, fn); err != nil {
			return err
		}
		// What was in the log may leave it before it is read here; then it is in the archive.
		err := c.readLog(ctx, t, next, end, fn)
		if !errors.Is(err, kerr.OffsetOutOfRange) {
			return err
		}
		if !slices.Equal(before, next) {
			rounds = 0
		}
		if rounds == maxRounds {
			return err
		}
	}
}

// readArchive calls fn with what the archive holds of [next, end) of each partition whose log begins later, partition after partition, and
// moves next behind it. What the archive lacks of that is a *GapError.
func (c *Cluster) readArchive(ctx context.Context, next, end []int64, fn func(*kgo.Record) error) error {
	starts, err := c.Offsets(ctx, telemetry.TopicJournal, FromStart)
	if err != nil {
		return err
	}
	var a archive.Archive
	for p, start := range starts {
		limit := int64(math.MaxInt64)
		if end != nil {
			limit = end[p]
		}
		if next[p] >= min(start, limit) {
			continue
		}
		if a == (archive.Archive{}) {
			if a, err = c.Archive(); err != nil {
				return err
			}
		}
		if err := c.readFiles(ctx, a, int32(p), &next[p], limit, fn); err != nil {
			return err
		}
		if to := min(start, limit); next[p] < to {
			return c.gap(ctx, a, int32(p), next[p], to)
		}
	}
	return nil
}

// readFiles calls fn with the records of [*next, limit) of a partition in the archive's files, as far as they follow each other, and moves
// *next behind them.
func (c *Cluster) readFiles(ctx context.Context, a archive.Archive, partition int32, next *int64, limit int64, fn func(*kgo.Record) error) error {
	files, err := filesFrom(ctx, a, partition, *next)
	if err != nil {
		return err
	}
	for _, f := range files {
		if *next >= limit || !f.Covers(*next) {
			return nil
		}
		err := f.Read(ctx, *next, limit, func(r *kgo.Record) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(r); err != nil {
				return positioned(r, err)
			}
			*next = r.Offset + 1
			return nil
		})
		if errors.Is(err, store.ErrNotFound) {
			return nil // removed by kafka.archive_bytes since it was listed
		}
		if err != nil {
			return err
		}
		*next = min(f.Next, limit)
	}
	return nil
}

// filesFrom lists the files of a partition from the one that covers offset on, or the one behind it.
func filesFrom(ctx context.Context, a archive.Archive, partition int32, offset int64) ([]archive.File, error) {
	files, err := a.List(ctx, partition)
	i := slices.IndexFunc(files, func(f archive.File) bool { return f.Next > offset })
	if err != nil || i < 0 {
		return nil, err
	}
	return files[i:], nil
}

// gap is the error about a partition whose archive does not hold next, which was to lead up to the offset to.
func (c *Cluster) gap(ctx context.Context, a archive.Archive, partition int32, next, to int64) error {
	files, err := filesFrom(ctx, a, partition, next)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		to = min(to, files[0].First)
	}
	return &GapError{Topic: c.Topic(telemetry.TopicJournal), Partition: partition, From: next, To: to}
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
	a, err := c.Archive()
	if err != nil {
		return nil, nil, err
	}
	files, err := a.All(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		if int(f.Partition) < len(start) {
			start[f.Partition] = min(start[f.Partition], f.First)
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
		return adm.ListOffsetsAfterMilli(ctx, max(0, since.UnixMilli()), topics...) // below 0 are names of offsets
	})
	if err != nil {
		return nil, err
	}
	for p := range offsets {
		// Where no record is found the client asks once more, for the end: a record that was written between the two would be passed over.
		offsets[p] = min(offsets[p], end[p])
	}
	if !c.archived(t) {
		return offsets, nil
	}
	a, err := c.Archive()
	if err != nil {
		return nil, err
	}
	files, err := a.All(ctx) // after the log was asked: what leaves it meanwhile is in the archive
	if err != nil {
		return nil, err
	}
	found := make([]bool, len(offsets))
	for _, f := range files {
		if p := f.Partition; int(p) < len(offsets) && !found[p] && !f.Newest.Before(since.Truncate(time.Millisecond)) {
			offset, ok, err := f.OffsetSince(ctx, since)
			if err != nil && !errors.Is(err, store.ErrNotFound) { // removed by kafka.archive_bytes since it was listed
				return nil, err
			}
			if ok {
				offsets[p], found[p] = min(offsets[p], offset), true
			}
		}
	}
	return offsets, nil
}
