package archive

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Read calls fn with the records of [from, end) in the file, by offset, on the caller's goroutine. fn may keep the record; its error ends
// the reading and is returned as it is. The file is held in memory, up to 64 MiB and usually a few. Every batch is checked before its
// first record is handed out; the error about a file that is not as it was written wraps ErrDamaged.
func (f File) Read(ctx context.Context, from, end int64, fn func(*kgo.Record) error) error {
	return f.batches(ctx, func(b batch) (bool, error) {
		if b.next <= from || b.first >= end {
			return b.first < end, nil
		}
		if err := b.check(); err != nil {
			return false, err
		}
		records, err := b.records()
		if err != nil {
			return false, err
		}
		for _, r := range records {
			if r.Offset < from || r.Offset >= end {
				continue
			}
			if err := fn(r); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// OffsetSince is the offset of the first record whose timestamp is at or after since; found is false if there is none.
func (f File) OffsetSince(ctx context.Context, since time.Time) (offset int64, found bool, err error) {
	since = since.Truncate(time.Millisecond) // as Kafka's own search
	err = f.batches(ctx, func(b batch) (bool, error) {
		// Checked before it is passed over: a wrong time in its header would hide its records.
		err := b.check()
		if err != nil || b.newest.Before(since) {
			return true, err
		}
		records, err := b.records()
		if err != nil {
			return false, err
		}
		for _, r := range records {
			if !r.Timestamp.Before(since) {
				offset, found = r.Offset, true
				return false, nil
			}
		}
		return true, nil
	})
	return offset, found, err
}

// Verify reads the whole file and compares it with its checksums and its name. It returns the number of records.
func (f File) Verify(ctx context.Context) (records int64, err error) {
	var oldest, newest time.Time
	err = f.Read(ctx, f.First, f.Next, func(r *kgo.Record) error {
		if records == 0 || r.Timestamp.Before(oldest) {
			oldest = r.Timestamp
		}
		if records == 0 || r.Timestamp.After(newest) {
			newest = r.Timestamp
		}
		records++
		return nil
	})
	if err == nil && records > 0 && (!oldest.Equal(f.Oldest) || !newest.Equal(f.Newest)) {
		err = f.damaged("its records are of %v to %v, its name says otherwise", oldest.UTC(), newest.UTC())
	}
	return records, err
}

func (f File) damaged(format string, a ...any) error {
	return fmt.Errorf("archive file %s: %w: %s", f.Path(), ErrDamaged, fmt.Sprintf(format, a...))
}

// A batch is one of a file's.
type batch struct {
	file        File
	at          int    // where it begins in the file
	raw         []byte // header and all
	first, next int64
	newest      time.Time
	count       int32
}

// batches calls fn with the batches in order until it says to stop. That they follow each other without a gap, from the file's first
// offset to its last, is checked as far as they are gone through.
func (f File) batches(ctx context.Context, fn func(batch) (more bool, err error)) error {
	rest, err := f.load(ctx)
	if err != nil {
		return err
	}
	next := f.First
	for at := 0; len(rest) > 0; {
		if len(rest) < headerSize {
			return f.damaged("it ends within a batch's header, at byte %d", at+len(rest))
		}
		size := lengthFrom + int64(int32(binary.BigEndian.Uint32(rest[8:])))
		if rest[16] != magic || size < headerSize || size > int64(len(rest)) {
			return f.damaged("what stands at byte %d is no batch of %d bytes", at, size)
		}
		b := batch{file: f, at: at, raw: rest[:size], first: int64(binary.BigEndian.Uint64(rest))}
		b.next = b.first + int64(int32(binary.BigEndian.Uint32(rest[23:]))) + 1
		b.newest = time.UnixMilli(int64(binary.BigEndian.Uint64(rest[35:]))).UTC()
		b.count = int32(binary.BigEndian.Uint32(rest[57:]))
		if b.first != next || b.next <= b.first || b.next > f.Next {
			return f.damaged("the batch at byte %d holds offsets %d to %d, wanted from %d", at, b.first, b.next-1, next)
		}
		more, err := fn(b)
		if err != nil || !more {
			return err
		}
		at, rest, next = at+int(size), rest[size:], b.next
	}
	if next != f.Next {
		return f.damaged("it ends at offset %d, its name says %d", next, f.Next)
	}
	return nil
}

// load reads the whole file.
func (f File) load(ctx context.Context) ([]byte, error) {
	object, err := f.archive.store.Get(ctx, f.object())
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	defer object.Close()
	all, err := io.ReadAll(io.LimitReader(object, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("archive: read %s: %w", f.Path(), err)
	}
	if len(all) > maxFile {
		return nil, f.damaged("it has more than %d bytes", maxFile)
	}
	return all, nil
}

// check compares the batch with its checksum.
func (b batch) check() error {
	if crc32.Checksum(b.raw[crcFrom:], castagnoli) != binary.BigEndian.Uint32(b.raw[crcFrom-4:]) {
		return b.file.damaged("the checksum of the batch at byte %d does not match", b.at)
	}
	return nil
}

// records decodes the batch.
func (b batch) records() ([]*kgo.Record, error) {
	opts := kgo.ProcessFetchPartitionOpts{DisableCRCValidation: true, Offset: b.first, Topic: b.file.archive.topic, Partition: b.file.Partition}
	part := kmsg.FetchResponseTopicPartition{Partition: b.file.Partition, RecordBatches: b.raw}
	fetched, _ := kgo.ProcessFetchPartition(opts, &part, kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil || len(fetched.Records) != int(b.count) {
		return nil, b.file.damaged("%d of %d records of the batch at byte %d can be read: %v", len(fetched.Records), b.count, b.at, fetched.Err)
	}
	return fetched.Records, nil
}
