package stream

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"outfall/telemetry"
)

// A Snapshot is the state of one partition between two entries of its journal.
type Snapshot struct {
	Partition int32
	Next      int64 // journal offset of the first entry that is not in Body
	// Clock is the log clock; zero before the first tick, and in snapshots of form 1.
	Clock time.Time
	// Positions are the last outputs of the entries below Next, by topic; all of them were durable before the snapshot was made.
	Positions map[telemetry.Topic]telemetry.Position
	Body      []byte // the fold's own form; nil in a worker, which does not hold one whole
}

// ErrDamaged is a snapshot that is there and can never be used.
var ErrDamaged = errors.New("snapshot of no use")

// The form of a snapshot, integers big endian:
//
//	magic, form uint16, partition uint32, next offset uint64, log clock uint64 ms, positions, CRC-32C of all that
//	any number of chunks: stored bytes uint32, body bytes uint32, the stored bytes (zstd), CRC-32C of the chunk so far
//	0 uint32, number of chunks uint32, bytes of the body uint64, CRC-32C of everything before
//
// The parts' checksums find damage before anything is made of the bytes, the last one finds chunks that are missing, doubled or of another
// snapshot. Form 1, which the program wrote before, has the body in one piece: ..., next offset, positions, its length uint64, the body,
// CRC-32C of all that.
const (
	snapshotMagic = "OUTFSNAP"
	snapshotForm  = 2
	oldForm       = 1
	maxChunkBytes = 1 << 20 // of the body in one chunk
)

func newChecksum() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// appendHead appends the fields of s in front of its body.
func (s *Snapshot) appendHead(dst []byte) []byte {
	start := len(dst)
	be := binary.BigEndian
	dst = append(dst, snapshotMagic...)
	dst = be.AppendUint16(dst, snapshotForm)
	dst = be.AppendUint32(dst, uint32(s.Partition))
	dst = be.AppendUint64(dst, uint64(s.Next))
	dst = be.AppendUint64(dst, uint64(clockMs(s.Clock)))
	topics := telemetry.OutputTopics()
	dst = append(dst, byte(len(topics)))
	for _, t := range topics {
		pos, ok := s.Positions[t]
		if !ok {
			pos = telemetry.NoPosition
		}
		dst = append(dst, byte(len(t.String())))
		dst = append(dst, t.String()...)
		dst = be.AppendUint64(dst, uint64(pos.Source))
		dst = be.AppendUint32(dst, uint32(pos.Ordinal))
	}
	return be.AppendUint32(dst, castagnoli(dst[start:]))
}

func clockMs(clock time.Time) int64 {
	if clock.IsZero() {
		return 0
	}
	return clock.UnixMilli()
}

func clockOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// A snapshotSource is the bytes of a snapshot whose body comes in pieces while they are read.
type snapshotSource struct {
	ctx    context.Context
	pieces <-chan []byte // of the body, of any size; closed behind the last
	// free takes a piece back that is no longer needed; full, it is dropped.
	free  chan<- []byte
	codec *zstd.Encoder

	left   []byte // of the piece at hand
	piece  []byte
	out    []byte // encoded and not read yet
	ended  bool
	sum    hash.Hash32
	chunks uint32
	body   uint64 // bytes
	size   int64  // of the snapshot, so far
}

func newSnapshotSource(ctx context.Context, s *Snapshot, pieces <-chan []byte, free chan<- []byte, codec *zstd.Encoder) *snapshotSource {
	src := &snapshotSource{ctx: ctx, pieces: pieces, free: free, codec: codec, sum: newChecksum()}
	src.put(s.appendHead(nil))
	return src
}

func (s *snapshotSource) put(b []byte) {
	s.out = b
	s.sum.Write(b)
	s.size += int64(len(b))
}

// Read gives the snapshot's bytes; it waits for pieces until ctx ends, whose error it then returns.
func (s *snapshotSource) Read(p []byte) (int, error) {
	for len(s.out) == 0 {
		if s.ended {
			return 0, io.EOF
		}
		if err := s.encode(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// encode puts the next chunk, or the end, into out.
func (s *snapshotSource) encode() error {
	be := binary.BigEndian
	if len(s.left) == 0 {
		if s.piece != nil {
			select {
			case s.free <- s.piece[:0]:
			default:
			}
			s.piece = nil
		}
		var more bool
		select {
		case s.piece, more = <-s.pieces:
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
		s.left = s.piece
		if !more {
			s.ended = true
			b := be.AppendUint32(nil, 0)
			b = be.AppendUint32(b, s.chunks)
			s.put(be.AppendUint64(b, s.body))
			s.out = be.AppendUint32(s.out, s.sum.Sum32())
			s.size += 4
			return nil
		}
		if len(s.left) == 0 {
			return nil
		}
	}
	body := s.left[:min(len(s.left), maxChunkBytes)]
	s.left = s.left[len(body):]
	b := s.codec.EncodeAll(body, make([]byte, 8, 8+len(body)/2))
	be.PutUint32(b, uint32(len(b)-8))
	be.PutUint32(b[4:], uint32(len(body)))
	s.put(be.AppendUint32(b, castagnoli(b)))
	s.chunks++
	s.body += uint64(len(body))
	return nil
}

// readSnapshot reads a snapshot of either form up to io.EOF. Its body goes to body in pieces, which are good until body returns, and not into
// Body; when an error comes, what body had is of no use. An error that wraps ErrDamaged is one of the bytes, every other is r's.
func readSnapshot(r io.Reader, codec *zstd.Decoder, body func(piece []byte)) (*Snapshot, error) {
	d := &snapshotDecoder{r: bufio.NewReaderSize(r, 1<<16), sum: newChecksum()}
	s := &Snapshot{Positions: map[telemetry.Topic]telemetry.Position{}}
	if magic := string(d.take(len(snapshotMagic))); magic != snapshotMagic {
		d.damaged("is no snapshot")
	}
	form := d.uint16()
	if form != snapshotForm && form != oldForm {
		d.damaged("form %d, this program reads %d and %d", form, oldForm, snapshotForm)
	}
	s.Partition, s.Next = int32(d.uint32()), int64(d.uint64())
	if form == snapshotForm {
		s.Clock = clockOf(int64(d.uint64()))
	}
	for n := d.byte(); n > 0; n-- {
		name := string(d.take(int(d.byte())))
		pos := telemetry.Position{Source: int64(d.uint64()), Ordinal: int32(d.uint32())}
		i := slices.IndexFunc(telemetry.OutputTopics(), func(t telemetry.Topic) bool { return t.String() == name })
		if i >= 0 && pos != telemetry.NoPosition {
			s.Positions[telemetry.OutputTopics()[i]] = pos
		}
	}
	if form == oldForm {
		body(d.oldBody())
	} else {
		d.checksum(d.sum.Sum32())
		d.body(codec, body)
	}
	if d.err == nil {
		if _, err := d.r.ReadByte(); err == nil {
			d.damaged("goes on behind its end")
		} else if err != io.EOF {
			d.err = err
		}
	}
	if d.err == nil && s.Next < 0 {
		d.damaged("next offset %d", s.Next)
	}
	if d.err != nil {
		return nil, d.err
	}
	return s, nil
}

// A snapshotDecoder takes fields off r; once err is set, zeros come from then on. sum is of everything taken.
type snapshotDecoder struct {
	r   *bufio.Reader
	sum hash.Hash32
	err error
}

func (d *snapshotDecoder) damaged(format string, a ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, a...))
	}
}

func (d *snapshotDecoder) take(n int) []byte {
	b := make([]byte, n)
	if d.err == nil {
		_, err := io.ReadFull(d.r, b)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			d.damaged("cut short")
		} else if err != nil {
			d.err = err
		}
		d.sum.Write(b)
	}
	if d.err != nil {
		return make([]byte, n)
	}
	return b
}

func (d *snapshotDecoder) byte() byte     { return d.take(1)[0] }
func (d *snapshotDecoder) uint16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }
func (d *snapshotDecoder) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *snapshotDecoder) uint64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }

func (d *snapshotDecoder) checksum(got uint32) {
	if want := d.uint32(); d.err == nil && got != want {
		d.damaged("checksum %08x, want %08x", got, want)
	}
}

// body takes the chunks and the end.
func (d *snapshotDecoder) body(codec *zstd.Decoder, body func(piece []byte)) {
	var piece []byte
	read := uint64(0)
	for chunks := uint32(0); d.err == nil; chunks++ {
		stored := d.uint32()
		if stored == 0 {
			count, size := d.uint32(), d.uint64()
			d.checksum(d.sum.Sum32())
			if count != chunks || size != read {
				d.damaged("%d chunks of %d bytes, want %d of %d", chunks, read, count, size)
			}
			break
		}
		size := d.uint32()
		if stored > 2*maxChunkBytes || size > maxChunkBytes {
			d.damaged("chunk %d has %d bytes for %d", chunks, stored, size)
			break
		}
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, stored), size)
		b := d.take(int(stored))
		d.checksum(crc32.Update(castagnoli(head), crc32.MakeTable(crc32.Castagnoli), b))
		if d.err != nil {
			break
		}
		var err error
		if piece, err = codec.DecodeAll(b, piece[:0]); err != nil || len(piece) != int(size) {
			d.damaged("chunk %d gives %d bytes, want %d: %v", chunks, len(piece), size, err)
			break
		}
		body(piece)
		read += uint64(len(piece))
	}
}

// oldBody takes the rest of a snapshot of form 1.
func (d *snapshotDecoder) oldBody() []byte {
	size := d.uint64()
	if d.err != nil {
		return nil
	}
	rest, err := io.ReadAll(d.r)
	if err != nil {
		d.err = err
		return nil
	}
	if len(rest) < 4 || uint64(len(rest)-4) != size {
		d.damaged("%d bytes of body, want %d", len(rest)-4, size)
		return nil
	}
	d.sum.Write(rest[:size])
	if got, want := d.sum.Sum32(), binary.BigEndian.Uint32(rest[size:]); got != want {
		d.damaged("checksum %08x, want %08x", got, want)
	}
	return rest[:size]
}
