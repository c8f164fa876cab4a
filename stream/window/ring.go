package window

import (
	"encoding/binary"
	"math"
)

// noHead is the head of a ring that holds nothing.
const noHead = math.MinInt64

// A ring holds the newest cells of one kind of window, by index (start divided by size). Its owner makes the cells when they are first
// needed.
type ring[T any] struct {
	cells []T
	head  int64 // greatest index held
}

// holds reports whether the window with index i is within the ring.
func (r *ring[T]) holds(i int64) bool {
	return r.head != noHead && i <= r.head && i > r.head-int64(len(r.cells))
}

// touch moves the ring forward when i is newer than all that it holds; the oldest windows fall out. false: i is too old.
func (r *ring[T]) touch(i int64) bool {
	size := int64(len(r.cells))
	switch {
	case r.head == noHead || i-r.head >= size:
		clear(r.cells)
		r.head = i
	case i > r.head:
		var zero T
		for j := r.head + 1; j <= i; j++ {
			r.cells[r.at(j)] = zero
		}
		r.head = i
	case i <= r.head-size:
		return false
	}
	return true
}

// at is the place of a window in cells. Indexes are minutes of wall clocks and larger units: the remainder of 32 bits is cheaper.
func (r *ring[T]) at(i int64) int {
	n := len(r.cells)
	if uint64(i) <= math.MaxUint32 {
		return int(uint32(i) % uint32(n))
	}
	return (int(i%int64(n)) + n) % n
}

// oldest is the index of the oldest window that the ring could hold.
func (r *ring[T]) oldest() int64 { return r.head - int64(len(r.cells)) + 1 }

// first is the place of the oldest window that the ring could hold; -1 when it holds nothing.
func (r *ring[T]) first() int {
	if r.head == noHead {
		return -1
	}
	return r.at(r.oldest())
}

// Marks is a ring of windows that have no numbers. Make it with NewMarks.
type Marks struct {
	r ring[Mark]
	n int
}

// NewMarks makes an empty ring of n windows, at most 128.
func NewMarks(n int) Marks { return Marks{r: ring[Mark]{head: noHead}, n: n} }

// Touch is the mark of window i, good until the next Touch. It moves the ring forward when i is newer than all it holds. nil: i is too old.
func (m *Marks) Touch(i int64) *Mark {
	if m.r.cells == nil {
		m.r.cells = make([]Mark, m.n)
	}
	if !m.r.touch(i) {
		return nil
	}
	return &m.r.cells[m.r.at(i)]
}

// Each calls fn for every window that is marked, oldest first.
func (m *Marks) Each(fn func(i int64, mark *Mark)) {
	if m.r.head == noHead {
		return
	}
	for i := m.r.oldest(); i <= m.r.head; i++ {
		if c := &m.r.cells[m.r.at(i)]; *c != (Mark{}) {
			fn(i, c)
		}
	}
}

// AppendTo appends the ring in a form that Read takes back.
func (m *Marks) AppendTo(dst []byte) []byte {
	if m.r.head == noHead {
		return append(dst, 0)
	}
	dst = binary.AppendVarint(append(dst, 1), m.r.head)
	var col [MaxColumn]int64
	for i := range m.n {
		col[i] = m.r.cells[m.r.at(m.r.head-int64(i))].marked()
	}
	return AppendColumn(dst, col[:m.n])
}

// Read is the inverse of AppendTo for a ring that is NewMarks', and returns the bytes behind the form.
func (m *Marks) Read(b []byte) (rest []byte, err error) {
	if len(b) == 0 || b[0] > 1 {
		return nil, errForm
	}
	if b[0] == 0 {
		return b[1:], nil
	}
	head, n := binary.Varint(b[1:])
	if n <= 0 || head > maxIndex || head < -maxIndex {
		return nil, errForm
	}
	var col [MaxColumn]int64
	if b, err = ReadColumn(b[1+n:], col[:m.n]); err != nil {
		return nil, err
	}
	m.r = ring[Mark]{cells: make([]Mark, m.n), head: head}
	for i := range m.n {
		mark, ok := markOf(col[i] | int64(held))
		if !ok {
			return nil, errForm
		}
		mark.Flags = Flags(col[i])
		m.r.cells[m.r.at(head-int64(i))] = mark
	}
	return b, nil
}
