package window

import (
	"encoding/binary"
	"iter"
	"math"
)

// noHead is the head of a ring that holds nothing.
const noHead = math.MinInt64

// A ring holds the newest cells of one kind of window, by index (start divided by size).
type ring[T any] struct {
	cells  []T    // from the ring's first cell on; its cells lie stride apart
	head   *int64 // greatest index held
	count  int    // of cells
	stride int
}

// cell is the cell in a place.
func (r *ring[T]) cell(at int) *T { return &r.cells[at*r.stride] }

// all are the cells, by place; none when there is no memory for them yet.
func (r ring[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := 0; i < len(r.cells); i += r.stride {
			if !yield(&r.cells[i]) {
				return
			}
		}
	}
}

func (r ring[T]) clear() {
	var zero T
	for c := range r.all() {
		*c = zero
	}
}

// holds reports whether the window with index i is within the ring.
func (r *ring[T]) holds(i int64) bool {
	return *r.head != noHead && i <= *r.head && i > *r.head-int64(r.count)
}

// touch moves the ring forward when i is newer than all that it holds; the oldest windows fall out. false: i is too old.
func (r *ring[T]) touch(i int64) bool {
	size := int64(r.count)
	switch {
	case i <= *r.head:
		return i > *r.head-size
	case *r.head == noHead || i-*r.head >= size:
		r.clear()
	default:
		var zero T
		for j := *r.head + 1; j <= i; j++ {
			*r.cell(r.at(j)) = zero
		}
	}
	*r.head = i
	return true
}

// at is the place of a window. Indexes are minutes of wall clocks and larger units: the remainder of 32 bits is cheaper, and of a constant
// is no division.
func (r *ring[T]) at(i int64) int {
	if uint64(i) > math.MaxUint32 {
		n := int64(r.count)
		return int((i%n + n) % n)
	}
	switch v := uint32(i); r.count {
	case MinuteCells:
		return int(v % MinuteCells)
	case HourCells:
		return int(v % HourCells)
	case DayCells:
		return int(v % DayCells)
	default:
		return int(v % uint32(r.count))
	}
}

// oldest is the index of the oldest window that the ring could hold.
func (r *ring[T]) oldest() int64 { return *r.head - int64(r.count) + 1 }

// first is the place of the oldest window that the ring could hold; -1 when it holds nothing.
func (r *ring[T]) first() int {
	if *r.head == noHead {
		return -1
	}
	return r.at(r.oldest())
}

// Marks is a ring of windows that have no numbers. Make it with NewMarks.
type Marks struct {
	cells []Mark // nil until the first Touch
	head  int64
	n     int
}

// NewMarks makes an empty ring of n windows, at most 128.
func NewMarks(n int) Marks { return Marks{head: noHead, n: n} }

func (m *Marks) ring() ring[Mark] {
	return ring[Mark]{cells: m.cells, head: &m.head, count: m.n, stride: 1}
}

// Touch is the mark of window i, good until the next Touch. It moves the ring forward when i is newer than all it holds. nil: i is too old.
func (m *Marks) Touch(i int64) *Mark {
	if m.cells == nil {
		m.cells = make([]Mark, m.n)
	}
	r := m.ring()
	if !r.touch(i) {
		return nil
	}
	return r.cell(r.at(i))
}

// Each calls fn for every window that is marked, oldest first.
func (m *Marks) Each(fn func(i int64, mark *Mark)) {
	if m.head == noHead {
		return
	}
	r := m.ring()
	for i := r.oldest(); i <= m.head; i++ {
		if c := r.cell(r.at(i)); *c != (Mark{}) {
			fn(i, c)
		}
	}
}

// AppendTo appends the ring in a form that Read takes back.
func (m *Marks) AppendTo(dst []byte) []byte {
	if m.head == noHead {
		return append(dst, 0)
	}
	dst = binary.AppendVarint(append(dst, 1), m.head)
	r := m.ring()
	var col [MaxColumn]int64
	for i := range m.n {
		col[i] = r.cell(r.at(m.head - int64(i))).marked()
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
	m.cells, m.head = make([]Mark, m.n), head
	r := m.ring()
	for i := range m.n {
		mark, ok := markOf(col[i] | int64(held))
		if !ok {
			return nil, errForm
		}
		mark.Flags = Flags(col[i])
		*r.cell(r.at(head - int64(i))) = mark
	}
	return b, nil
}
