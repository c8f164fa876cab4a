package stream

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"outfall/telemetry"
)

// A part is a temporary file with the outputs of one partition to one topic, in order: position, receipt, key and value, each number a
// uvarint and each text behind its length.

func partPath(dir string, t telemetry.Topic, partition int32) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%05d", t, partition))
}

// A madeOutput is an output with the receipt of its entry.
type madeOutput struct {
	telemetry.Output
	received time.Time
}

// partsWriter writes the parts of one partition.
type partsWriter struct {
	files   []*os.File
	writers map[telemetry.Topic]*bufio.Writer // only the topics that are kept
	scratch []byte
	err     error // the first
}

func createParts(dir string, partition int32, topics []telemetry.Topic) (*partsWriter, error) {
	w := &partsWriter{writers: map[telemetry.Topic]*bufio.Writer{}}
	for _, t := range topics {
		f, err := os.Create(partPath(dir, t, partition))
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.files = append(w.files, f)
		w.writers[t] = bufio.NewWriterSize(f, 1<<16)
	}
	return w, nil
}

// write drops outputs to topics that are not kept.
func (w *partsWriter) write(received time.Time, o *telemetry.Output) {
	to := w.writers[o.Topic]
	if to == nil || w.err != nil {
		return
	}
	b := binary.AppendUvarint(w.scratch[:0], uint64(o.Pos.Source))
	b = binary.AppendUvarint(b, uint64(o.Pos.Ordinal))
	b = binary.AppendVarint(b, received.UnixMilli())
	b = binary.AppendUvarint(b, uint64(len(o.MN)))
	b = append(b, o.MN...)
	b = binary.AppendUvarint(b, uint64(len(o.Value)))
	b = append(b, o.Value...)
	w.scratch = b
	if _, err := to.Write(b); err != nil {
		w.err = err
	}
}

func (w *partsWriter) close() error {
	errs := []error{w.err}
	for _, to := range w.writers {
		errs = append(errs, to.Flush())
	}
	for _, f := range w.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// A partReader reads one part.
type partReader struct {
	topic telemetry.Topic
	file  *os.File
	r     *bufio.Reader
	err   error
	head  madeOutput // the next output, while more
	more  bool
}

// openPart opens a part at its first output.
func openPart(dir string, t telemetry.Topic, partition int32) (*partReader, error) {
	f, err := os.Open(partPath(dir, t, partition))
	if err != nil {
		return nil, err
	}
	p := &partReader{topic: t, file: f, r: bufio.NewReaderSize(f, 1<<16)}
	p.advance()
	return p, nil
}

// advance moves on to the next output; more is false at the end and after an error, which close returns.
func (p *partReader) advance() {
	p.more = false
	if p.err != nil {
		return
	}
	source, err := binary.ReadUvarint(p.r)
	if err == io.EOF {
		return
	}
	p.err = err
	ordinal := p.uvarint()
	received := p.varint()
	mn := p.bytes()
	value := p.bytes()
	if p.err != nil {
		return
	}
	p.more = true
	p.head = madeOutput{telemetry.Output{Topic: p.topic, MN: string(mn), Value: value,
		Pos: telemetry.Position{Source: int64(source), Ordinal: int32(ordinal)}}, time.UnixMilli(received).UTC()}
}

func (p *partReader) uvarint() uint64 {
	if p.err != nil {
		return 0
	}
	var n uint64
	n, p.err = binary.ReadUvarint(p.r)
	return n
}

func (p *partReader) varint() int64 {
	if p.err != nil {
		return 0
	}
	var n int64
	n, p.err = binary.ReadVarint(p.r)
	return n
}

func (p *partReader) bytes() []byte {
	b := make([]byte, p.uvarint())
	if p.err == nil {
		_, p.err = io.ReadFull(p.r, b)
	}
	return b
}

func (p *partReader) close() error { return errors.Join(p.err, p.file.Close()) }
