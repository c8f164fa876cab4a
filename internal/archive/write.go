package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Sizes before compression. A batch is what a reader holds in memory, a file what it opens to find an offset: 8 batches.
const (
	batchBytes = 1 << 20
	fileBytes  = 8 << 20
)

const (
	headerSize = 61                          // of a record batch
	crcFrom    = 21                          // the first byte that the CRC covers
	lengthFrom = 12                          // the first byte that the length counts
	codecZstd  = int16(kgo.CodecZstd)        // in a batch's attributes
	magic      = 2                           // of record batches
	noProducer = -1                          // batches here are no producer's
	maxFile    = 64 << 20                    // more than a file of batches that do not compress, with the largest records that a broker takes
	maxDelta   = int64(math.MaxInt32) - 1<<8 // offsets that one batch can span
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Writer appends to one partition's archive. It is not safe for concurrent use, and a partition has one writer at a time.
type Writer struct {
	archive   Archive
	partition int32
	zip       *zstd.Encoder
	sealed    []File // since the last Seal

	file []byte // what will be stored
	at   File   // what is in the file and, its times, in the open batch; Next is where that begins
	raw  int    // bytes in the file before compression
	any  bool   // it holds a record, or the open batch does

	batch           []byte // records of the open batch
	records         int32
	first, max      time.Time // timestamps of the open batch's first record, and its latest
	scratch, zipped []byte
}

// NewWriter makes a writer whose first file begins at the offset first. It holds a file, 8 MiB before compression, in memory. Close it.
func (a Archive) NewWriter(partition int32, first int64) (*Writer, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return &Writer{archive: a, partition: partition, zip: zip, at: File{First: first, Next: first}}, nil
}

// Add appends a record. Its offset must be at or behind the next one; offsets that are passed over hold no record. After an error the writer
// can only be closed; files that are whole stay.
func (w *Writer) Add(ctx context.Context, r *kgo.Record) error {
	if r.Offset < w.at.Next {
		panic(fmt.Sprintf("record %d is added to an archive that reaches to %d", r.Offset, w.at.Next))
	}
	if len(w.batch) >= batchBytes || r.Offset-w.at.Next > maxDelta {
		w.flush(r.Offset)
		if w.raw >= fileBytes {
			if err := w.seal(ctx); err != nil {
				return err
			}
		}
	}
	if w.records == 0 {
		w.first, w.max = r.Timestamp, r.Timestamp
	}
	if r.Timestamp.After(w.max) {
		w.max = r.Timestamp
	}
	if !w.any || r.Timestamp.Before(w.at.Oldest) {
		w.at.Oldest = r.Timestamp
	}
	if !w.any || r.Timestamp.After(w.at.Newest) {
		w.at.Newest = r.Timestamp
	}
	w.batch = w.appendRecord(w.batch, r)
	w.records, w.any = w.records+1, true
	return nil
}

// appendRecord appends r as it stands in a batch.
func (w *Writer) appendRecord(dst []byte, r *kgo.Record) []byte {
	rec := kmsg.Record{
		TimestampDelta64: r.Timestamp.UnixMilli() - w.first.UnixMilli(),
		OffsetDelta:      int32(r.Offset - w.at.Next),
		Key:              r.Key,
		Value:            r.Value,
	}
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
	}
	w.scratch = rec.AppendTo(w.scratch[:0])
	body := w.scratch[1:] // behind the length, which is 0 and so one byte
	return append(binary.AppendVarint(dst, int64(len(body))), body...)
}

// Seal ends the file that is being written, so that everything before the offset next is archived, and returns the files since the last
// call. They are there, whole and durable, when it returns without an error. The next file begins at next.
func (w *Writer) Seal(ctx context.Context, next int64) ([]File, error) {
	if next > w.at.Next {
		w.flush(next)
	}
	if len(w.file) > 0 {
		if err := w.seal(ctx); err != nil {
			return nil, err
		}
	}
	files := w.sealed
	w.sealed = nil
	return files, nil
}

// Sealed are the files that are whole since the last Seal, also when Add or Seal failed.
func (w *Writer) Sealed() []File { return w.sealed }

// Close drops what is not sealed.
func (w *Writer) Close() error { return w.zip.Close() }

// flush ends the open batch, whose offsets end before next.
func (w *Writer) flush(next int64) {
	w.zipped = w.zip.EncodeAll(w.batch, w.zipped[:0])
	b := kmsg.RecordBatch{
		FirstOffset: w.at.Next, LastOffsetDelta: int32(next - 1 - w.at.Next), PartitionLeaderEpoch: -1, Magic: magic,
		Attributes: codecZstd, ProducerID: noProducer, ProducerEpoch: noProducer, FirstSequence: noProducer,
		FirstTimestamp: w.first.UnixMilli(), MaxTimestamp: w.max.UnixMilli(), NumRecords: w.records, Records: w.zipped,
	}
	begin := len(w.file)
	w.file = b.AppendTo(w.file)
	frame := w.file[begin:]
	binary.BigEndian.PutUint32(frame[8:], uint32(len(frame)-lengthFrom))
	binary.BigEndian.PutUint32(frame[crcFrom-4:], crc32.Checksum(frame[crcFrom:], castagnoli))
	w.raw += len(w.batch) + headerSize
	w.at.Next = next
	w.batch, w.records = w.batch[:0], 0
}

// seal stores the file.
func (w *Writer) seal(ctx context.Context) error {
	f := w.at
	f.Partition, f.Size, f.archive = w.partition, int64(len(w.file)), w.archive
	if err := w.archive.store.Put(ctx, f.object(), bytes.NewReader(w.file)); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	w.sealed = append(w.sealed, f)
	w.file, w.at, w.raw, w.any = w.file[:0], File{First: f.Next, Next: f.Next}, 0, false
	return nil
}
