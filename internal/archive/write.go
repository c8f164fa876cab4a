package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
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
	unfinished = "unfinished"                // the name of the file that is being written
	headerSize = 61                          // of a record batch
	crcFrom    = 21                          // the first byte that the CRC covers
	lengthFrom = 12                          // the first byte that the length counts
	codecZstd  = int16(kgo.CodecZstd)        // in a batch's attributes
	magic      = 2                           // of record batches
	noProducer = -1                          // batches here are no producer's
	maxBatch   = batchBytes + 16<<20         // more than the largest record that a broker takes beside a full batch
	maxDelta   = int64(math.MaxInt32) - 1<<8 // offsets that one batch can span
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Writer appends to one partition's archive. It is not safe for concurrent use, and a partition has one writer at a time.
type Writer struct {
	archive   Archive
	partition int32
	zip       *zstd.Encoder
	sealed    []File // since the last Seal

	file *os.File // nil: none begun
	at   File     // what is in the file and, its times, in the open batch; Next is where that begins
	raw  int      // bytes in the file before compression
	any  bool     // it holds a record, or the open batch does

	batch          []byte // records of the open batch
	records        int32
	first, max     time.Time // timestamps of the open batch's first record, and its latest
	scratch, frame []byte
}

// NewWriter makes a writer whose first file begins at the offset first. Close it.
func (a Archive) NewWriter(partition int32, first int64) (*Writer, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return &Writer{archive: a, partition: partition, zip: zip, at: File{First: first, Next: first}}, nil
}

// Add appends a record. Its offset must be at or behind the next one; offsets that are passed over hold no record. After an error the writer
// can only be closed; files that are whole stay.
func (w *Writer) Add(r *kgo.Record) error {
	if r.Offset < w.at.Next {
		panic(fmt.Sprintf("record %d is added to an archive that reaches to %d", r.Offset, w.at.Next))
	}
	if len(w.batch) >= batchBytes || r.Offset-w.at.Next > maxDelta {
		if err := w.flush(r.Offset); err != nil {
			return err
		}
		if w.raw >= fileBytes {
			if err := w.seal(); err != nil {
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
func (w *Writer) Seal(next int64) ([]File, error) {
	if next > w.at.Next {
		if err := w.flush(next); err != nil {
			return nil, err
		}
	}
	if w.file != nil {
		if err := w.seal(); err != nil {
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
func (w *Writer) Close() error {
	err := w.zip.Close()
	if w.file != nil {
		err = errors.Join(err, w.file.Close(), os.Remove(w.file.Name()))
		w.file = nil
	}
	return err
}

// flush writes the open batch, whose offsets end before next.
func (w *Writer) flush(next int64) error {
	if err := w.begin(); err != nil {
		return err
	}
	b := kmsg.RecordBatch{
		FirstOffset: w.at.Next, LastOffsetDelta: int32(next - 1 - w.at.Next), PartitionLeaderEpoch: -1, Magic: magic,
		Attributes: codecZstd, ProducerID: noProducer, ProducerEpoch: noProducer, FirstSequence: noProducer,
		FirstTimestamp: w.first.UnixMilli(), MaxTimestamp: w.max.UnixMilli(), NumRecords: w.records,
		Records: w.zip.EncodeAll(w.batch, nil),
	}
	w.frame = b.AppendTo(w.frame[:0])
	binary.BigEndian.PutUint32(w.frame[8:], uint32(len(w.frame)-lengthFrom))
	binary.BigEndian.PutUint32(w.frame[crcFrom-4:], crc32.Checksum(w.frame[crcFrom:], castagnoli))
	if _, err := w.file.Write(w.frame); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	w.raw += len(w.batch) + headerSize
	w.at.Next = next
	w.batch, w.records = w.batch[:0], 0
	return nil
}

// begin opens a file unless one is open. What a killed process left under its name is overwritten.
func (w *Writer) begin() error {
	if w.file != nil {
		return nil
	}
	dir := w.archive.folder(w.partition)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = syncDir(filepath.Dir(dir))
	}
	if err == nil {
		w.file, err = os.OpenFile(filepath.Join(dir, unfinished), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}

// seal gives the file its name, once it is durable, and makes the name durable.
func (w *Writer) seal() error {
	f := w.at
	f.Partition, f.topic = w.partition, w.archive.topic
	dir, from := w.archive.folder(w.partition), w.file.Name()
	f.path = filepath.Join(dir, f.name())
	err := w.file.Sync()
	if err == nil {
		err = w.file.Close()
		w.file = nil
	}
	if err == nil {
		err = os.Rename(from, f.path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	w.sealed = append(w.sealed, f)
	w.at, w.raw, w.any = File{First: f.Next, Next: f.Next}, 0, false
	return nil
}
