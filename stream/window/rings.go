package window

// Rings are the windows of all series of a device, a History for each. A device sends what it measures together: so the cells of one
// minute stand side by side, and those of one hour, and those of one day. The zero value is empty.
type Rings struct {
	heads    []head
	columns  int      // of a row: series that there is memory for
	expected int      // series that there will be, as far as is known
	minutes  []minute // MinuteCells rows, of a cell for each series
	hours    []total  // HourCells rows
	days     []total  // DayCells rows
	wide     []*wide  // by series, nil: none is wide
}

// NewRings makes n empty series.
func NewRings(n int) Rings {
	r := Rings{heads: make([]head, n)}
	for i := range r.heads {
		r.heads[i] = newHead()
	}
	return r
}

func newHead() head { return head{minutes: noHead, hours: noHead, days: noHead} }

// Add makes room for a series and returns its number: 0, 1, ...
func (r *Rings) Add() int {
	r.heads = append(r.heads, newHead())
	if r.wide != nil {
		r.wide = append(r.wide, nil)
	}
	return len(r.heads) - 1
}

// Expect says that there will be n series: memory is made for so many at once.
func (r *Rings) Expect(n int) { r.expected = n }

// Of is the History of a series.
func (r *Rings) Of(series int) History { return History{&r.heads[series], r, series} }

// widen makes memory for all series, and moves the cells.
func (r *Rings) widen() {
	n := max(len(r.heads), r.expected)
	r.minutes = widened(r.minutes, MinuteCells, r.columns, n)
	r.hours = widened(r.hours, HourCells, r.columns, n)
	r.days = widened(r.days, DayCells, r.columns, n)
	r.columns = n
}

func widened[T any](cells []T, rows, from, to int) []T {
	wider := make([]T, rows*to)
	for i := range rows {
		copy(wider[i*to:], cells[i*from:(i+1)*from])
	}
	return wider
}

// Fetch reads a little of each line of memory that Fill and the rolling windows of all series will touch for a slot, the newest most likely, so
// that the cache asks for all of them at once. What it returns has no meaning. per is the number of slots of an hour.
func (r *Rings) Fetch(slot, per, hour, day int64) (read int) {
	for i := range r.heads {
		h := &r.heads[i]
		read += int(h.minutes) + int(h.hour.last) + int(h.day.hour)
	}
	if r.columns == 0 {
		return read
	}
	for _, i := range [...]int64{slot, slot - per} {
		read += fetchRow(r.minutes, int(uint64(i)%MinuteCells)*r.columns, r.columns, func(c *minute) int { return int(c.mean) })
	}
	read += fetchRow(r.hours, int(uint64(hour)%HourCells)*r.columns, r.columns, func(c *total) int { return int(c.sum) })
	return read + fetchRow(r.days, int(uint64(day)%DayCells)*r.columns, r.columns, func(c *total) int { return int(c.sum) })
}

func fetchRow[T any](cells []T, from, n int, of func(*T) int) (read int) {
	for i := from; i < from+n; i += 2 {
		read += of(&cells[i])
	}
	return read
}

func (h History) minuteRing() ring[minute] {
	return ring[minute]{cells: own(h, h.r.minutes), head: &h.minutes, count: MinuteCells, stride: h.r.columns}
}

func (h History) hourRing() ring[total] {
	return ring[total]{cells: own(h, h.r.hours), head: &h.hours, count: HourCells, stride: h.r.columns}
}

func (h History) dayRing() ring[total] {
	return ring[total]{cells: own(h, h.r.days), head: &h.days, count: DayCells, stride: h.r.columns}
}

// own is the cells from h's own first one on; none when there is no memory for them yet.
func own[T any](h History, cells []T) []T {
	if h.column >= h.r.columns {
		return nil
	}
	return cells[h.column:]
}

func (h History) totalRings() [2]ring[total] { return [2]ring[total]{h.hourRing(), h.dayRing()} }
