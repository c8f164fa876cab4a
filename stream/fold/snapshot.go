package fold

import (
	"encoding/binary"
	"errors"
	"fmt"

	"outfall/rules"
)

// snapshotVersion changes with the form below. A snapshot of another version is not read: the state is rebuilt from the journal. Form 3 has
// no algorithm, which is 1, no texts among the real-time values, and no detectors; it is read too.
const (
	snapshotVersion = 5
	formBefore      = 3
)

// AppendTo appends the state in a form that Read takes back. The state goes on exactly as if it had never been written.
func (s *State) AppendTo(dst []byte) []byte {
	e := encoder{dst}
	e.header(s)
	for _, d := range s.list {
		e.device(d)
	}
	return e.b
}

// header writes what comes before the devices.
func (e *encoder) header(s *State) {
	e.uint(snapshotVersion)
	e.int(int64(s.partition))
	e.uint(uint64(s.algorithm))
	e.int(s.clock)
	e.int(s.alarmAt)
	e.int(s.stats.Frames)
	e.int(s.stats.Duplicates)
	e.int(s.stats.Findings)
	if s.rules == nil {
		e.bytes(nil)
	} else {
		e.bytes(s.rules.AppendJSON(nil))
	}
	e.uint(uint64(len(s.list)))
}

// An encoder appends varints and length-prefixed bytes.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) bytes(v []byte) {
	e.uint(uint64(len(v)))
	e.b = append(e.b, v...)
}
func (e *encoder) string(v string) {
	e.uint(uint64(len(v)))
	e.b = append(e.b, v...)
}

// texts appends at most eight texts: their lengths, then all of them.
func (e *encoder) texts(vs ...string) {
	for _, v := range vs {
		e.uint(uint64(len(v)))
	}
	for _, v := range vs {
		e.b = append(e.b, v...)
	}
}

func (e *encoder) bool(v bool) {
	if v {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

// A decoder reads what encoder wrote. After the first fault every read gives zero and err says what was wrong.
type decoder struct {
	b    []byte
	form uint64 // snapshotVersion or formBefore
	err  error
	lens [8]int // scratch of texts
}

var errShort = errors.New("ends too early")

func (d *decoder) fail(format string, a ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, a...)
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("%w", errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("%w", errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count is the number of things that follow; each takes at least a byte.
func (d *decoder) count() uint64 {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail("%w: %d things in %d bytes", errShort, n, len(d.b))
		return 0
	}
	return n
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("%w", errShort)
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

// texts is the inverse of encoder.texts: all of them are parts of one string.
func (d *decoder) texts(to ...*string) {
	lens, all := d.lens[:len(to)], uint64(0)
	for i := range lens {
		n := d.count()
		lens[i] = int(n)
		all += n
	}
	text := string(d.take(all))
	if d.err != nil {
		return
	}
	for i, n := range lens {
		*to[i], text = text[:n], text[n:]
	}
}

func (d *decoder) bytes() []byte  { return d.take(d.uint()) }
func (d *decoder) string() string { return string(d.bytes()) }
func (d *decoder) bool() bool     { return d.uint() != 0 }

// ruleList is the rules in force, none before the first rules entry.
func (s *State) ruleList() []rules.Rule {
	if s.rules == nil {
		return nil
	}
	return s.rules.Rules
}
