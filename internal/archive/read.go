package archive

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Read calls fn with the records of [from, end) in the file, by offset, on the caller's goroutine. fn may keep the record; its error ends
// the reading and is returned as it is. Batches that the range does not touch are passed over unread. Every batch is checked before
// its first record is handed out; the error about a file that is not as it was written wraps ErrDamaged.
func (f File) Read(from, end int64, fn func(*kgo.Record) error) error {
	return f.batches(func(b batch) (bool, error) {
		if b.next <= from || b.first >= end {
			return b.first < end, nil
		}
		raw, err := b.read()
		if err != nil {
			return false, err
		}
		records, err := b.decode(raw)
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
func (f File) OffsetSince(since time.Time) (offset int64, found bool, err error) {
	since = since.Truncate(time.Millisecond) // as Kafka's own search
	err = f.batches(func(b batch) (bool, error) {
		// Checked before it is passed over: a wrong time in its header would hide its records.
		raw, err := b.read()
		if err != nil || b.newest.Before(since) {
			return true, err
		}
		records, err := b.decode(raw)
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
func (f File) Verify() (records int64, err error) {
	var oldest, newest time.Time
	err = f.Read(f.First, f.Next, func(r *kgo.Record) error {
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
	return fmt.Errorf("archive file %s: %w: %s", f.path, ErrDamaged, fmt.Sprintf(format, a...))
}

// A batch is one of a file's, its header read and its records not.
type batch struct {
	file        File
	r           io.ReaderAt
	at          int64 // where it begins in the file
	size        int64 // bytes, header and all
	first, next int64
	newest      time.Time
	count       int32
}

// batches calls fn with the batches in order until it says to stop. That they follow each other without a gap, from the file's first
// offset to its last, is checked as far as they are read.
func (f File) batches(fn func(batch) (more bool, err error)) error {
	file, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	size, next := info.Size(), f.First
	head := make([]byte, headerSize)
	for at := int64(0); at < size; {
		if size-at < headerSize {
			return f.damaged("it ends within a batch's header, at byte %d", size)
		}
		if _, err := file.ReadAt(head, at); err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		b := batch{file: f, r: file, at: at}
		length := int64(int32(binary.BigEndian.Uint32(head[8:])))
		b.size, b.first = lengthFrom+length, int64(binary.BigEndian.Uint64(head))
		b.next = b.first + int64(int32(binary.BigEndian.Uint32(head[23:]))) + 1
		b.newest = time.UnixMilli(int64(binary.BigEndian.Uint64(head[35:]))).UTC()
		b.count = int32(binary.BigEndian.Uint32(head[57:]))
		if head[16] != magic || b.size < headerSize || b.size > maxBatch || b.size > size-at {
			return f.damaged("what stands at byte %d is no batch of %d bytes", at, b.size)
		}
		if b.first != next || b.next <= b.first || b.next > f.Next {
			return f.damaged("the batch at byte %d holds offsets %d to %d, wanted from %d", at, b.first, b.next-1, next)
		}
		more, err := fn(b)
		if err != nil || !more {
			return err
		}
		at, next = at+b.size, b.next
	}
	if next != f.Next {
		return f.damaged("it ends at offset %d, its name says %d", next, f.Next)
	}
	return nil
}

// read returns the batch's bytes, checked.
func (b batch) read() ([]byte, error) {
	raw := make([]byte, b.size)
	if _, err := b.r.ReadAt(raw, b.at); err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	if crc32.Checksum(raw[crcFrom:], castagnoli) != binary.BigEndian.Uint32(raw[crcFrom-4:]) {
		return nil, b.file.damaged("the checksum of the batch at byte %d does not match", b.at)
	}
	return raw, nil
}

// decode returns the records in the batch's bytes.
func (b batch) decode(raw []byte) ([]*kgo.Record, error) {
	opts := kgo.ProcessFetchPartitionOpts{DisableCRCValidation: true, Offset: b.first, Topic: b.file.topic, Partition: b.file.Partition}
	part := kmsg.FetchResponseTopicPartition{Partition: b.file.Partition, RecordBatches: raw}
	fetched, _ := kgo.ProcessFetchPartition(opts, &part, kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil || len(fetched.Records) != int(b.count) {
		return nil, b.file.damaged("%d of %d records of the batch at byte %d can be read: %v", len(fetched.Records), b.count, b.at, fetched.Err)
	}
	return fetched.Records, nil
}
