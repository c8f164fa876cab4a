// Package archive keeps journal records that a broker is about to drop. An archive is a folder for each partition with files of
// consecutive offsets. A file is a segment as Apache Kafka writes it: record batches (magic 2, zstd), each with a CRC-32C of its
// own, so kafka-dump-log reads it too. Its name says what is in it, so finding an offset or a moment reads no other file. Nothing
// here starts a goroutine; one writer a partition, readers of any number and process beside it.
package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrDamaged is wrapped by the error about a file whose bytes are not those that were written. The file's path is in the text.
var ErrDamaged = errors.New("damaged")

// An Archive is one topic's archive. It holds nothing open and may be copied and shared.
type Archive struct {
	dir   string
	topic string
}

// At is the archive of topic, as Kafka names it, in the folder dir/topic, which need not exist.
func At(dir, topic string) Archive { return Archive{dir: filepath.Join(dir, topic), topic: topic} }

// Dir is the archive's folder.
func (a Archive) Dir() string { return a.dir }

func (a Archive) folder(partition int32) string {
	return filepath.Join(a.dir, strconv.Itoa(int(partition)))
}

// A File is a range of one partition's offsets: [First, Next).
type File struct {
	Partition   int32
	First, Next int64
	// Oldest and Newest are the earliest and the latest timestamp of the records, to the millisecond.
	Oldest, Newest time.Time

	topic, path string
}

// Path is where the file is.
func (f File) Path() string { return f.path }

// Covers tells whether offset is in the file's range.
func (f File) Covers(offset int64) bool { return f.First <= offset && offset < f.Next }

// Size is the file's size in bytes.
func (f File) Size() (int64, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

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

// List is a partition's files by offset; none if there is no archive. Only whole files are listed. Another process may remove one at any
// moment: opening it then fails with fs.ErrNotExist.
func (a Archive) List(partition int32) ([]File, error) {
	entries, err := os.ReadDir(a.folder(partition)) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the archive: %w", err)
	}
	var files []File
	for _, e := range entries {
		if f, ok := parseName(e.Name()); ok {
			f.Partition, f.topic, f.path = partition, a.topic, filepath.Join(a.folder(partition), e.Name())
			files = append(files, f)
		}
	}
	return files, nil
}

// Partitions lists the partitions that have a folder, in ascending order.
func (a Archive) Partitions() ([]int32, error) {
	entries, err := os.ReadDir(a.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the archive: %w", err)
	}
	var partitions []int32
	for _, e := range entries {
		if p, err := strconv.ParseInt(e.Name(), 10, 32); err == nil && p >= 0 && e.IsDir() {
			partitions = append(partitions, int32(p))
		}
	}
	slices.Sort(partitions)
	return partitions, nil
}

// Remove deletes a file.
func Remove(f File) error {
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove from the archive: %w", err)
	}
	return nil
}

// syncDir makes names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
