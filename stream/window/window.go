// Package window holds event-time windows: mergeable cells of exact sums and the rings that keep the recent ones. It is pure:
// no clock, no I/O, integers only.
package window

import (
	"math"

	"outfall/telemetry"
)

// Flags are what the fold remembers of a window beside its numbers.
type Flags uint8

const (
	Emitted    Flags = 1 << iota // published at least once, so the next time is a revision
	Dirty                        // changed since it was published
	FromRecord                   // minute: filled by the device's own minute record (CN 2051), not by real-time values
)

// A Cell is one window of one factor. The zero value is an empty window. Cells merge, and sums can be taken out again exactly.
type Cell struct {
	Sum      telemetry.Sum
	Min, Max telemetry.Fixed // of what was added; 0 while N is 0
	N        int32           // values added
	Rev      uint16          // revision published last
	Flags    Flags
	Alarmed  uint8 // bit i set = the i-th rule of the series raised an alarm for this window alone, because it came late
	Judged   uint8 // bit i set = the window crossed the i-th rule's limit when it was the newest: a part of that rule's own alarm
}

// Add counts one value with the extremes that belong to it.
func (c *Cell) Add(mean, low, high telemetry.Fixed) {
	if c.N == 0 || low < c.Min {
		c.Min = low
	}
	if c.N == 0 || high > c.Max {
		c.Max = high
	}
	c.Sum = c.Sum.Add(mean)
	c.N++
}

// Remove takes out a value that Add counted. The extremes stay: they are not invertible, and a wider span than the corrected data
// have is the safe side.
func (c *Cell) Remove(mean telemetry.Fixed) {
	c.Sum = c.Sum.Minus(telemetry.Sum{}.Add(mean))
	c.N--
}

// Merge counts everything that o holds.
func (c *Cell) Merge(o *Cell) {
	if o.N == 0 {
		return
	}
	if c.N == 0 || o.Min < c.Min {
		c.Min = o.Min
	}
	if c.N == 0 || o.Max > c.Max {
		c.Max = o.Max
	}
	c.Sum = c.Sum.Plus(o.Sum)
	c.N += o.N
}

// Mean is the arithmetic mean rounded once to a millionth, half to even; 0 for an empty cell.
func (c *Cell) Mean() telemetry.Fixed {
	if c.N == 0 {
		return 0
	}
	return c.Sum.Mean(int64(c.N))
}

// A Ring holds the newest windows of one size, by index (start divided by size).
type Ring struct {
	cells []Cell
	head  int64 // greatest index held
}

// NewRing makes an empty ring of n windows.
func NewRing(n int) Ring { return Ring{cells: make([]Cell, n), head: math.MinInt64} }

// Head is the greatest index held; ok is false for an empty ring.
func (r *Ring) Head() (i int64, ok bool) { return r.head, r.head != math.MinInt64 }

// Len is the number of windows the ring can hold.
func (r *Ring) Len() int { return len(r.cells) }

// At is the window with index i, or nil when the ring does not hold it. The pointer is good until the next Touch.
func (r *Ring) At(i int64) *Cell {
	if r.head == math.MinInt64 || i > r.head || i <= r.head-int64(len(r.cells)) {
		return nil
	}
	return &r.cells[r.slot(i)]
}

// Touch is At, but moves the ring forward when i is newer than all it holds; the oldest windows fall out. nil: i is too old.
func (r *Ring) Touch(i int64) *Cell {
	n := int64(len(r.cells))
	switch {
	case r.head == math.MinInt64 || i-r.head >= n:
		clear(r.cells)
		r.head = i
	case i > r.head:
		for j := r.head + 1; j <= i; j++ {
			r.cells[r.slot(j)] = Cell{}
		}
		r.head = i
	case i <= r.head-n:
		return nil
	}
	return &r.cells[r.slot(i)]
}

// Evicts calls fn for every window that holds something and that Touch(i) would drop, oldest first.
func (r *Ring) Evicts(i int64, fn func(i int64, c *Cell)) {
	if r.head == math.MinInt64 || i <= r.head {
		return
	}
	n := int64(len(r.cells))
	for j := r.head - n + 1; j <= min(i-n, r.head); j++ {
		if c := &r.cells[r.slot(j)]; *c != (Cell{}) {
			fn(j, c)
		}
	}
}

func (r *Ring) slot(i int64) int64 {
	n := int64(len(r.cells))
	return ((i % n) + n) % n
}

// SumOf merges the windows with indexes in [from, to) that the ring holds.
func (r *Ring) SumOf(from, to int64) Cell {
	var sum Cell
	if r.head == math.MinInt64 {
		return sum
	}
	from, to = max(from, r.head-int64(len(r.cells))+1), min(to, r.head+1)
	for at := int(r.slot(from)); from < to; from++ { // one division, not one a cell: this runs for every value
		sum.Merge(&r.cells[at])
		if at++; at == len(r.cells) {
			at = 0
		}
	}
	return sum
}

// Each calls fn for every window that holds values or flags, oldest first.
func (r *Ring) Each(fn func(i int64, c *Cell)) {
	if r.head == math.MinInt64 {
		return
	}
	for i := r.head - int64(len(r.cells)) + 1; i <= r.head; i++ {
		if c := &r.cells[r.slot(i)]; *c != (Cell{}) {
			fn(i, c)
		}
	}
}
