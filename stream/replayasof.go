package stream

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"outfall/telemetry"
)

// trim cuts an output to what lies in the event range and reports whether anything is left: lines of points by their time, alarms by the
// start of their window, findings by what they are about, or when they were made where they are about no time.
func (o *ReplayOptions) trim(out *telemetry.Output) bool {
	in := func(ms int64) bool {
		return ms >= o.EventFrom.UnixMilli() && (o.EventTo.IsZero() || ms < o.EventTo.UnixMilli())
	}
	if out.Topic == telemetry.TopicPoints {
		kept := out.Value[:0:0]
		for line := range strings.Lines(string(out.Value)) {
			if p, ok := parsePoint(strings.TrimSuffix(line, "\n")); ok && in(p.nano/1_000_000) {
				kept = append(kept, line...)
			}
		}
		out.Value = kept
		return len(kept) > 0
	}
	fields := jsonFields(out.Value)
	for _, name := range [...]string{"window_start", "start", "at"} {
		if t, err := time.Parse(time.RFC3339, valueOf(fields, name)); err == nil {
			return in(t.UnixMilli())
		}
	}
	return false
}

// sortBytes is how much of a part is sorted in memory at a time.
const sortBytes = 32 << 20

// A keyed is a value with what it is the newest of.
type keyed struct{ key, value string }

// newestOf calls fn with the last value of every key of a part, ordered by key: a point's series and time, an alarm's device and id. It
// sorts in runs of bound bytes on disk, so that memory does not grow with the range.
func newestOf(part *partReader, dir string, bound int, fn func([]byte) error) (err error) {
	var runs []*run
	defer func() {
		for _, r := range runs {
			err = errors.Join(err, r.close())
		}
	}()
	var held []keyed
	size := 0
	spill := func() error {
		r, err := writeRun(dir, newestFirst(held))
		held, size = held[:0], 0
		if err == nil {
			runs = append(runs, r)
		}
		return err
	}
	for ; part.more; part.advance() {
		for _, k := range keysOf(&part.head.Output) {
			held = append(held, k)
			size += len(k.key) + len(k.value) + 64
		}
		if size >= bound {
			if err := spill(); err != nil {
				return err
			}
		}
	}
	if err := spill(); err != nil {
		return err
	}
	return mergeRuns(runs, fn)
}

// keysOf takes an output apart into keyed values. A point's time is padded, so that texts sort as numbers do.
func keysOf(o *telemetry.Output) (list []keyed) {
	if o.Topic == telemetry.TopicAlarms {
		return []keyed{{o.MN + " " + valueOf(jsonFields(o.Value), "id"), string(o.Value)}}
	}
	for line := range strings.Lines(string(o.Value)) {
		line = strings.TrimSuffix(line, "\n")
		if p, ok := parsePoint(line); ok {
			stamp := strconv.FormatUint(uint64(p.nano)^1<<63, 10)
			list = append(list, keyed{p.series + " " + strings.Repeat("0", 20-len(stamp)) + stamp, line})
		}
	}
	return list
}

// newestFirst sorts by key and keeps the last value of each.
func newestFirst(held []keyed) []keyed {
	slices.SortStableFunc(held, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	kept := held[:0]
	for _, k := range held {
		if n := len(kept); n > 0 && kept[n-1].key == k.key {
			kept[n-1] = k
			continue
		}
		kept = append(kept, k)
	}
	return kept
}

// A run is a temporary file of sorted values.
type run struct {
	file *os.File
	r    *bufio.Reader
	head keyed
	more bool
	err  error
}

func writeRun(dir string, sorted []keyed) (*run, error) {
	f, err := os.CreateTemp(dir, "run-")
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	for _, k := range sorted {
		for _, text := range [...]string{k.key, k.value} {
			_, _ = w.Write(binary.AppendUvarint(nil, uint64(len(text)))) // the writer keeps its first error for Flush
			_, _ = w.WriteString(text)
		}
	}
	err = w.Flush()
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r := &run{file: f, r: bufio.NewReaderSize(f, 1<<16)}
	r.advance()
	return r, nil
}

func (r *run) advance() {
	text := func() string {
		n, err := binary.ReadUvarint(r.r)
		if err == nil && r.err == nil {
			b := make([]byte, n)
			_, err = io.ReadFull(r.r, b)
			r.head.value = string(b)
		}
		if r.err == nil {
			r.err = err
		}
		return r.head.value
	}
	r.head.key = text()
	if errors.Is(r.err, io.EOF) {
		r.more, r.err = false, nil
		return
	}
	text()
	r.more = r.err == nil
}

func (r *run) close() error { return errors.Join(r.err, r.file.Close()) }

// mergeRuns calls fn with each key's value of the newest run that has it.
func mergeRuns(runs []*run, fn func([]byte) error) error {
	for {
		var least *run // among equals the last, which is the newest
		for _, r := range runs {
			if r.more && (least == nil || r.head.key <= least.head.key) {
				least = r
			}
		}
		if least == nil {
			return nil
		}
		key, value := least.head.key, least.head.value
		for _, r := range runs {
			if r.more && r.head.key == key {
				r.advance()
			}
		}
		if err := fn([]byte(value)); err != nil {
			return err
		}
	}
}
