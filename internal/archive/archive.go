// Package archive keeps journal records that a broker is about to drop, in a store. Of every partition it has files of consecutive
// offsets. A file is a segment as Apache Kafka writes it: record batches (magic 2, zstd), each with a CRC-32C of its own, so
// kafka-dump-log reads it too. Its name says what is in it, so finding an offset or a moment reads no other file. Nothing here
// starts a goroutine; one writer a partition, readers of any number and process beside it.
package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"outfall/internal/store"
)

// ErrDamaged is wrapped by the error about a file whose bytes are not those that were written. The file's path is in the text.
var ErrDamaged = errors.New("damaged")

// An Archive is one topic's archive. It may be copied and shared.
type Archive struct {
	store store.Store
	topic string
}

// In is the archive of topic, as Kafka names it, in s: the objects TOPIC/PARTITION/FILE.
func In(s store.Store, topic string) Archive { return Archive{store: s, topic: topic} }

// String names the place, for messages.
func (a Archive) String() string { return a.store.String() + "/" + a.topic }

// folder begins the names of a partition's files.
func (a Archive) folder(partition int32) string {
	return a.topic + "/" + strconv.Itoa(int(partition)) + "/"
}

// A File is a range of one partition's offsets: [First, Next).
type File struct {
	Partition   int32
	First, Next int64
	// Oldest and Newest are the earliest and the latest timestamp of the records, to the millisecond.
	Oldest, Newest time.Time
	Size           int64 // bytes, as stored

	archive Archive
}

// Path is where the file is: a path, or a bucket's name and the object's in it.
func (f File) Path() string { return f.archive.store.String() + "/" + f.object() }

func (f File) object() string { return f.archive.folder(f.Partition) + f.name() }

// Covers tells whether offset is in the file's range.
func (f File) Covers(offset int64) bool { return f.First <= offset && offset < f.Next }

const extension = ".log" // kafka-dump-log goes by it

// name is FIRST.NEXT.OLDEST.NEWEST.log: offsets of 20 digits, so that names sort by them, and milliseconds since 1970.
func (f File) name() string {
	return fmt.Sprintf("%020d.%020d.%d.%d%s", f.First, f.Next, f.Oldest.UnixMilli(), f.Newest.UnixMilli(), extension)
}

// parseName is the inverse of name; ok is false for any other text.
func parseName(name string) (f File, ok bool) {
	parts := strings.Split(strings.TrimSuffix(name, extension), ".")
	if len(parts) != 4 {
		return f, false
	}
	var n [4]int64
	for i, part := range parts {
		v, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return f, false
		}
		n[i] = v
	}
	f = File{First: n[0], Next: n[1], Oldest: time.UnixMilli(n[2]).UTC(), Newest: time.UnixMilli(n[3]).UTC()}
	return f, f.name() == name && 0 <= f.First && f.First < f.Next
}

// List is a partition's files by offset; none if there is no archive. Another process may remove one at any moment: reading it then
// fails with store.ErrNotFound.
func (a Archive) List(ctx context.Context, partition int32) ([]File, error) {
	return a.list(ctx, a.folder(partition))
}

// All are the files of every partition, by partition and offset.
func (a Archive) All(ctx context.Context) ([]File, error) { return a.list(ctx, a.topic+"/") }

func (a Archive) list(ctx context.Context, prefix string) ([]File, error) {
	objects, err := a.store.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	var files []File
	for _, o := range objects {
		folder, name, _ := strings.Cut(strings.TrimPrefix(o.Name, a.topic+"/"), "/")
		partition, err := strconv.ParseInt(folder, 10, 32)
		if f, ok := parseName(name); ok && err == nil {
			f.Partition, f.Size, f.archive = int32(partition), o.Size, a
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(x, y File) int {
		return cmp.Or(cmp.Compare(x.Partition, y.Partition), cmp.Compare(x.First, y.First), cmp.Compare(x.Next, y.Next))
	})
	return files, nil
}

// Remove deletes the file.
func (f File) Remove(ctx context.Context) error {
	if err := f.archive.store.Delete(ctx, f.object()); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}
