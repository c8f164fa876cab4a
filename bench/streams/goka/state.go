package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A state is a device's value in the group table.
type state struct {
	clock   int64       // greatest time of its real-time values, s since 1970
	open    [2][]window // minutes and hours, in order
	running window      // the hour of its newest minute record
}

type window struct {
	start   int64 // s since 1970
	factors []factor
}

type factor struct {
	code string
	sum  int64 // millionths
	n    int64
}

// stateCodec is a compact binary form: goka stores and publishes a state with every frame, JSON would be most of the work.
type stateCodec struct{}

func (stateCodec) Encode(value any) ([]byte, error) {
	s, ok := value.(*state)
	if !ok {
		return nil, fmt.Errorf("%T is no state", value)
	}
	b := binary.AppendVarint(make([]byte, 0, 512), s.clock)
	for i := range s.open {
		b = binary.AppendUvarint(b, uint64(len(s.open[i])))
		for k := range s.open[i] {
			b = appendWindow(b, &s.open[i][k])
		}
	}
	return appendWindow(b, &s.running), nil
}

func appendWindow(b []byte, w *window) []byte {
	b = binary.AppendUvarint(binary.AppendVarint(b, w.start), uint64(len(w.factors)))
	for _, f := range w.factors {
		b = append(binary.AppendUvarint(b, uint64(len(f.code))), f.code...)
		b = binary.AppendVarint(binary.AppendVarint(b, f.sum), f.n)
	}
	return b
}

func (stateCodec) Decode(b []byte) (any, error) {
	r := reader{b: b}
	s := &state{clock: r.int()}
	for i := range s.open {
		s.open[i] = make([]window, r.len())
		for k := range s.open[i] {
			s.open[i][k] = r.window()
		}
	}
	s.running = r.window()
	if r.bad {
		return nil, errors.New("the state of a device cannot be read")
	}
	return s, nil
}

type reader struct {
	b   []byte
	bad bool
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	return r.took(v, n)
}

// len is a length, which never exceeds what is left.
func (r *reader) len() int {
	v, n := binary.Uvarint(r.b)
	if v > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(r.took(int64(v), n))
}

func (r *reader) took(v int64, n int) int64 {
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) window() window {
	w := window{start: r.int()}
	w.factors = make([]factor, r.len())
	for i := range w.factors {
		n := min(r.len(), len(r.b))
		w.factors[i].code = string(r.b[:n])
		r.b = r.b[n:]
		w.factors[i].sum, w.factors[i].n = r.int(), r.int()
	}
	return w
}
