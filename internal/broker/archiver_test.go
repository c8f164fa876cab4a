package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"outfall/internal/archive"
	"outfall/internal/store"
	"outfall/telemetry"
)

// smallConfig has the shortest journal: 1 MiB a partition, in segments of 256 KiB.
func smallConfig() Config {
	c := DefaultConfig()
	c.Partitions = 3
	c.RetentionBytes = 1 << 20
	return c
}

// A ledger is what was produced to the journal and acknowledged: the value at each offset of each partition.
type ledger struct {
	rnd    *rand.Rand
	values []map[int64][]byte
	start  time.Time // receipt of an entry is start and as many seconds as its offset
}

func newLedger(c *Cluster, seed uint64) *ledger {
	l := &ledger{rnd: rand.New(rand.NewPCG(seed, 0)), start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	for range c.Partitions() {
		l.values = append(l.values, map[int64][]byte{})
	}
	return l
}

// produce writes n entries of size bytes that do not compress, with a header, and notes those that are acknowledged. It returns the first error.
func (l *ledger) produce(ctx context.Context, c *Cluster, partition int32, n, size int) error {
	cl, err := c.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(32<<10))
	if err != nil {
		return err
	}
	var failed error // and the ledger are the promises' until all have been called: one at a time, by the client
	var promises sync.WaitGroup
	next := int64(len(l.values[partition]))
	for i := range n {
		value := make([]byte, size)
		for j := range value {
			value[j] = byte(l.rnd.Uint32())
		}
		at := l.start.Add(time.Duration(next+int64(i)) * time.Second)
		promises.Add(1)
		cl.Produce(ctx, &kgo.Record{Topic: c.Topic(telemetry.TopicJournal), Partition: partition, Key: []byte("MN"), Value: value, Timestamp: at,
			Headers: []kgo.RecordHeader{{Key: "k", Value: []byte("frame")}}}, func(r *kgo.Record, err error) {
			defer promises.Done()
			if err == nil {
				l.values[partition][r.Offset] = r.Value
			} else if failed == nil {
				failed = err
			}
		})
	}
	err = cl.Flush(ctx)
	cl.Close() // fails what is not flushed
	promises.Wait()
	return errors.Join(err, failed)
}

// check reads [from, end) of a partition, and wants every offset once, in order, and every acknowledged value at its own.
func (l *ledger) check(ctx context.Context, c *Cluster, partition int32, from, end int64) error {
	next := from
	err := c.ReadPartition(ctx, telemetry.TopicJournal, partition, from, end, func(r *kgo.Record) error {
		if r.Offset != next {
			return fmt.Errorf("offset %d came, wanted %d", r.Offset, next)
		}
		next++
		if want, ok := l.values[partition][r.Offset]; ok && !bytes.Equal(r.Value, want) {
			return errors.New("another value than the acknowledged one")
		}
		if string(r.Key) != "MN" || len(r.Headers) != 1 || r.Headers[0].Key != "k" || r.Timestamp.IsZero() || r.Partition != partition {
			return fmt.Errorf("incomplete: %+v", r)
		}
		return nil
	})
	if err == nil && next != end {
		err = fmt.Errorf("ends at offset %d, wanted %d", next, end)
	}
	return err
}

// whole checks that archive and log together hold everything, each entry once.
func (l *ledger) whole(t testing.TB, c *Cluster) {
	t.Helper()
	start, end, err := c.Bounds(t.Context(), telemetry.TopicJournal)
	if err != nil {
		t.Fatal(err)
	}
	for p := range start {
		for offset := range l.values[p] {
			if offset >= end[p] {
				t.Fatalf("partition %d ends at %d, entry %d was acknowledged", p, end[p], offset)
			}
		}
		if start[p] != 0 {
			t.Fatalf("partition %d reaches back to %d", p, start[p])
		}
		if err := l.check(t.Context(), c, int32(p), 0, end[p]); err != nil {
			t.Fatalf("partition %d: %v", p, err)
		}
	}
}

// archived fills and trims a journal so that partition 0 has some files; it returns the ledger.
func archived(t testing.TB, e *Embedded) *ledger {
	t.Helper()
	l := newLedger(e.Cluster(), 1)
	for range 3 {
		if err := l.produce(t.Context(), e.Cluster(), 0, 1000, 1000); err != nil {
			t.Fatal(err)
		}
		if err := e.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func files(t testing.TB, c *Cluster, partition int32) []archive.File {
	t.Helper()
	a, err := c.Archive()
	if err != nil {
		t.Fatal(err)
	}
	files, err := a.List(t.Context(), partition)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestArchiveReachesBack(t *testing.T) {
	dir := tempDir(t)
	e := start(t, dir, smallConfig())
	l := archived(t, e)
	c := Dial(smallConfig(), e.Socket()) // as another process
	l.whole(t, c)
	starts, err := c.Offsets(t.Context(), telemetry.TopicJournal, FromStart)
	if err != nil || starts[0] < 1000 || starts[0] >= 3000 {
		t.Fatalf("the log starts at %v, %v", starts, err)
	}
	have := files(t, c, 0)
	if last := have[len(have)-1]; have[0].First != 0 || last.Next != starts[0] {
		t.Errorf("archived %d to %d, the log starts at %d", have[0].First, last.Next, starts[0])
	}

	// Moments in the archive, at the seam, in the log.
	for _, offset := range []int64{0, 1, 777, starts[0] - 1, starts[0], 2999} {
		at, err := c.OffsetsSince(t.Context(), telemetry.TopicJournal, l.start.Add(time.Duration(offset)*time.Second-time.Nanosecond*1e6))
		if err != nil || at[0] != offset || at[1] != 0 {
			t.Errorf("since entry %d: %v, %v", offset, at, err)
		}
	}

	// A follower comes through the archive into the log and to what is written meanwhile.
	ctx, cancel := context.WithCancel(t.Context())
	next := int64(0)
	err = c.Follow(ctx, telemetry.TopicJournal, FromStart, func(r *kgo.Record) error {
		if r.Partition == 1 {
			cancel()
			return nil
		}
		if r.Offset != next {
			return fmt.Errorf("wanted %d", next)
		}
		if next++; next == 3000 {
			return l.produce(t.Context(), c, 1, 1, 10)
		}
		return nil
	})
	if err != nil || next != 3000 {
		t.Errorf("follow: %v after %d", err, next)
	}
	n := 0
	if err := c.ReadAll(t.Context(), telemetry.TopicJournal, func(*kgo.Record) error { n++; return nil }); err != nil || n != 3001 {
		t.Errorf("all: %d entries, %v", n, err)
	}

	// After a restart the archive goes on where it was.
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = start(t, dir, smallConfig())
	if err := l.produce(t.Context(), e.Cluster(), 0, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if err := e.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.whole(t, e.Cluster())
	for _, f := range files(t, c, 0) {
		if _, err := f.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestArchiveSeamWhileTrimming: readers never see the seam, however fast it moves away under them.
func TestArchiveSeamWhileTrimming(t *testing.T) {
	e := start(t, tempDir(t), smallConfig())
	l := archived(t, e)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	writer := newLedger(e.Cluster(), 2) // its values are not the readers' business
	go func() {
		for {
			err := writer.produce(ctx, e.Cluster(), 0, 300, 1000)
			if err == nil {
				err = e.Trim(ctx)
			}
			if err != nil {
				if ctx.Err() != nil {
					err = nil
				}
				ended <- err
				return
			}
		}
	}()
	c, moved := Dial(smallConfig(), e.Socket()), false
	for round := 0; round < 8 || !moved; round++ {
		before, end, err := c.Bounds(t.Context(), telemetry.TopicJournal)
		if err != nil {
			t.Fatal(err)
		}
		from := l.rnd.Int64N(end[0])
		if err := l.check(t.Context(), c, 0, from, end[0]); err != nil {
			t.Fatalf("[%d, %d): %v", from, end[0], err)
		}
		after, err := c.Offsets(t.Context(), telemetry.TopicJournal, FromStart)
		if err != nil {
			t.Fatal(err)
		}
		moved = moved || after[0] > before[0]
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestArchiveGapAndDamage(t *testing.T) {
	e := start(t, tempDir(t), smallConfig())
	l := archived(t, e)
	c := e.Cluster()
	have := files(t, c, 0)
	if len(have) < 4 {
		t.Fatalf("%d files", len(have))
	}
	f := have[2]
	whole, err := os.ReadFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	torn := whole[:len(whole)/2]
	if err := os.WriteFile(f.Path(), torn, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.check(t.Context(), c, 0, 0, 3000); !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), f.Path()) {
		t.Errorf("through a torn file: %v", err)
	}
	if err := f.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = l.check(t.Context(), c, 0, 0, 3000)
	if gap, ok := errors.AsType[*GapError](err); !ok || gap.From != f.First || gap.To != f.Next || gap.Partition != 0 {
		t.Errorf("through a missing file [%d, %d): %v", f.First, f.Next, err)
	}
	if err := l.check(t.Context(), c, 0, f.Next, 3000); err != nil {
		t.Errorf("behind the gap: %v", err)
	}
}

// TestArchiveBound: at its bound the archive loses its oldest files, says so, and has no hole.
func TestArchiveBound(t *testing.T) {
	e := start(t, tempDir(t), smallConfig())
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	if err := e.Observe(zerolog.New(&log), reg); err != nil {
		t.Fatal(err)
	}
	l := archived(t, e)
	e.cluster.config.ArchiveBytes = 700 << 10
	if err := e.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := e.ArchiveStats()
	have := files(t, e.Cluster(), 0)
	if s.Deleted == 0 || s.Bytes > 700<<10 || s.Files != len(have) || s.Entries != have[len(have)-1].Next || !s.Oldest.Equal(have[0].Oldest) {
		t.Errorf("stats: %+v with %d files", s, len(have))
	}
	if !strings.Contains(log.String(), "kafka.archive_bytes") {
		t.Errorf("log: %s", log.String())
	}
	start, end, err := e.Cluster().Bounds(t.Context(), telemetry.TopicJournal)
	if err != nil || start[0] != have[0].First || start[0] == 0 {
		t.Fatalf("starts at %v, %v", start, err)
	}
	if err := l.check(t.Context(), e.Cluster(), 0, start[0], end[0]); err != nil {
		t.Error(err)
	}
	err = l.check(t.Context(), e.Cluster(), 0, 0, end[0])
	if gap, ok := errors.AsType[*GapError](err); !ok || gap.From != 0 || gap.To != start[0] {
		t.Errorf("before the beginning: %v", err)
	}
	if metrics, err := reg.Gather(); err != nil || len(metrics) != 7 {
		t.Errorf("%d metrics, %v", len(metrics), err)
	}
}

// A fullStore takes nothing while full is set, as a disk without room.
type fullStore struct {
	store.Store
	full bool
}

func (s *fullStore) Put(ctx context.Context, name string, r io.Reader) error {
	if s.full {
		return fmt.Errorf("write %s: %w", name, unix.ENOSPC)
	}
	return s.Store.Put(ctx, name, r)
}

// TestArchiveDiskFull: a disk that takes no more keeps everything in the log and says so; with room again nothing is missing.
func TestArchiveDiskFull(t *testing.T) {
	t.Run("a store that says so", func(t *testing.T) {
		e := start(t, tempDir(t), smallConfig())
		d, err := store.OpenDir(filepath.Join(filepath.Dir(e.Socket()), "archive"))
		if err != nil {
			t.Fatal(err)
		}
		full := &fullStore{Store: d, full: true}
		e.archiver.archive = archive.In(full, e.Cluster().Topic(telemetry.TopicJournal))
		exerciseDiskFull(t, e, func() { full.full = false })
	})
	t.Run("a file system of 200 KiB", func(t *testing.T) {
		dir := tempDir(t)
		place := filepath.Join(dir, "archive")
		if err := os.Mkdir(place, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", place, "tmpfs", 0, "size=200k"); err != nil {
			t.Skipf("no right to mount: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(place, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		exerciseDiskFull(t, start(t, dir, smallConfig()), func() {
			if err := unix.Mount("tmpfs", place, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
				t.Fatal(err)
			}
		})
	})
}

func exerciseDiskFull(t *testing.T, e *Embedded, makeRoom func()) {
	var log bytes.Buffer
	if err := e.Observe(zerolog.New(&log), prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	l := newLedger(e.Cluster(), 3)
	for range 2 {
		if err := l.produce(t.Context(), e.Cluster(), 0, 2000, 1000); err != nil {
			t.Fatal(err)
		}
		if err := e.Trim(t.Context()); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("trim on a full disk: %v", err)
		}
		if s := e.ArchiveStats(); e.Ready() == nil || s.Waiting < 900<<10 || s.Files != 0 {
			t.Errorf("ready: %v, %+v", e.Ready(), s)
		}
		l.whole(t, e.Cluster())
	}
	if n := strings.Count(log.String(), "cannot be archived"); n == 0 || n > 2 { // the second is about another file
		t.Errorf("logged %d times: %s", n, log.String())
	}
	starts, err := e.Cluster().Offsets(t.Context(), telemetry.TopicJournal, FromStart)
	if err != nil || starts[0] != 0 {
		t.Errorf("dropped before it was archived: %v, %v", starts, err)
	}
	makeRoom()
	if err := e.Trim(t.Context()); err != nil || e.Ready() != nil {
		t.Errorf("with room again: %v, %v", err, e.Ready())
	}
	if !strings.Contains(log.String(), "archiving works again") {
		t.Errorf("log: %s", log.String())
	}
	l.whole(t, e.Cluster())
	if len(files(t, e.Cluster(), 0)) == 0 {
		t.Error("nothing was archived")
	}
}

// TestArchiveAway: a bucket that does not answer keeps no broker from starting; nothing is dropped meanwhile.
func TestArchiveAway(t *testing.T) {
	dir, conf := tempDir(t), smallConfig()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf.Archive.Location, conf.Archive.Endpoint, conf.Archive.AccessKeyFile, conf.Archive.SecretKeyFile = "s3://bucket/site", "http://127.0.0.1:1", key, key
	if err := conf.Validate(); err != nil {
		t.Fatal(err)
	}
	e := start(t, dir, conf)
	if e.Ready() == nil {
		t.Error("ready without an archive")
	}
	l := newLedger(e.Cluster(), 4)
	if err := l.produce(t.Context(), e.Cluster(), 0, 3000, 1000); err != nil {
		t.Fatal(err)
	}
	if err := e.Trim(t.Context()); err == nil {
		t.Error("archived into nothing")
	}
	end := int64(len(l.values[0]))
	if err := l.check(t.Context(), e.Cluster(), 0, 0, end); err != nil { // what the log has is read without the archive
		t.Error(err)
	}
}

// TestArchiveOfAnotherJournal: a log that was removed begins at offset 0 again, where the archive has other entries.
func TestArchiveOfAnotherJournal(t *testing.T) {
	dir := tempDir(t)
	e := start(t, dir, smallConfig())
	archived(t, e)
	if err := errors.Join(e.Close(), os.RemoveAll(filepath.Join(dir, "kafka"))); err != nil {
		t.Fatal(err)
	}
	_, err := StartEmbedded(dir, smallConfig())
	if err == nil || !strings.Contains(err.Error(), "not of this journal") {
		t.Fatalf("started: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, "archive"), filepath.Join(dir, "archive.old")); err != nil {
		t.Fatal(err)
	}
	start(t, dir, smallConfig())
}

// TestArchiveProperty: whatever the order of writing, archiving, faults and restarts, archive and log together are everything that was
// ever produced.
func TestArchiveProperty(t *testing.T) {
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		dir := tempDir(t)
		e := start(t, dir, smallConfig())
		l := newLedger(e.Cluster(), seed)
		fault := errors.New("fault")
		for range 25 {
			switch rnd.IntN(8) {
			case 0, 1, 2, 3:
				if err := l.produce(t.Context(), e.Cluster(), rnd.Int32N(3), 1+rnd.IntN(800), 1+rnd.IntN(2000)); err != nil {
					t.Fatal(err)
				}
			case 4, 5:
				if err := e.Trim(t.Context()); err != nil {
					t.Fatal(err)
				}
			case 6: // one of the steps fails, after some partitions or segments
				after := rnd.IntN(3)
				sync, drop := e.archiver.sync, e.archiver.drop
				e.archiver.sync = func() error {
					if after--; after < 0 && rnd.IntN(2) == 0 {
						return fault
					}
					return sync()
				}
				e.archiver.drop = func(p int32, before int64) error {
					if after--; after < 0 {
						return fault
					}
					return drop(p, before)
				}
				if err := e.Trim(t.Context()); err != nil && !errors.Is(err, fault) {
					t.Fatal(err)
				}
				e.archiver.sync, e.archiver.drop = sync, drop
			case 7:
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				e = start(t, dir, smallConfig())
			}
		}
		l.whole(t, e.Cluster())
	}
}
