package window

import (
	"encoding/binary"
	"math"

	"outfall/telemetry"
)

// maxIndex bounds the indexes of a form, either way: minutes of a million years.
const maxIndex = 1 << 40

// maxValues bounds the values of a total in a form: a day has 1,440 slots.
const maxValues = math.MaxInt16

// wideForm is the bit of a form's first byte, beside the decimals, that says that numbers are in full.
const wideForm = 0x80

// AppendTo appends the History in a form that Read takes back: the unit, then each ring column by column.
func (h History) AppendTo(dst []byte) []byte {
	kind := h.decimals
	if h.wide {
		kind |= wideForm
	}
	dst = append(dst, kind)
	var f former
	dst = f.appendMinutes(dst, h, h.minuteRing())
	dst = f.appendTotals(dst, h, h.hourRing())
	return f.appendTotals(dst, h, h.dayRing())
}

// A former holds a ring's windows and a column of them, on their way into a form or out of one.
type former struct {
	n    int // windows held
	span int // windows from the oldest held to the head
	have [MaxColumn / 64]uint64
	cell [MaxColumn]uint8 // their places, oldest first
	col  [MaxColumn]int64
}

func (f *former) begin() { f.n, f.span, f.have = 0, 0, [MaxColumn / 64]uint64{} }

// take notes that the window so far back from the head is held, in that place. Windows come oldest first.
func (f *former) take(at, back int) {
	if f.n == 0 {
		f.span = back + 1
	}
	f.cell[f.n] = uint8(at)
	f.n++
	f.have[back>>6] |= 1 << (back & 63)
}

// appendHeld appends the head, the span, and a bit for each window of the span unless all are held.
func (f *former) appendHeld(dst []byte, head int64) []byte {
	if head == noHead {
		return append(dst, 0)
	}
	all := uint64(0)
	if f.n == f.span {
		all = 1
	}
	dst = binary.AppendVarint(binary.AppendUvarint(dst, uint64(f.span)<<2|all<<1|1), head)
	if all == 0 {
		for i := 0; i < f.span; i += 64 {
			dst = binary.LittleEndian.AppendUint64(dst, f.have[i>>6])
		}
	}
	return dst
}

// readHeld is the inverse of appendHeld for a ring of so many windows.
func (f *former) readHeld(b []byte, size int) (head int64, rest []byte, err error) {
	f.begin()
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errForm
	}
	if b = b[n:]; v == 0 {
		return noHead, b, nil
	}
	head, n = binary.Varint(b)
	if n <= 0 || v>>2 > uint64(size) || head > maxIndex || head < -maxIndex {
		return 0, nil, errForm
	}
	b = b[n:]
	f.span = int(v >> 2)
	f.have = [MaxColumn / 64]uint64{^uint64(0), ^uint64(0)}
	if v&2 == 0 {
		for i := 0; i < f.span; i += 64 {
			if len(b) < 8 {
				return 0, nil, errForm
			}
			f.have[i>>6], b = binary.LittleEndian.Uint64(b), b[8:]
		}
	}
	newest := int(((head % int64(size)) + int64(size)) % int64(size))
	for back := f.span - 1; back >= 0; back-- {
		if f.have[back>>6]>>(back&63)&1 == 1 {
			f.cell[f.n] = uint8((newest - back + size) % size)
			f.n++
		}
	}
	return head, b, nil
}

func (f *former) append(dst []byte) []byte { return AppendColumn(dst, f.col[:f.n]) }

func (f *former) appendMinutes(dst []byte, h History, r ring[minute]) []byte {
	f.begin()
	for back, at := MinuteCells-1, r.first(); at >= 0 && back >= 0; back-- {
		if r.cell(at).Flags&held != 0 {
			f.take(at, back)
		}
		if at++; at == MinuteCells {
			at = 0
		}
	}
	dst = f.appendHeld(dst, *r.head)
	places := f.cell[:f.n]
	if h.wide {
		w := h.r.wide[h.column].minutes
		for i, at := range places {
			f.col[i] = int64(w[at].Mean)
		}
		dst = f.append(dst)
		for i, at := range places {
			f.col[i] = int64(w[at].Low)
		}
		dst = f.append(dst)
		for i, at := range places {
			f.col[i] = int64(w[at].High)
		}
		dst = f.append(dst)
	} else {
		for i, at := range places {
			f.col[i] = int64(r.cell(int(at)).mean)
		}
		dst = f.append(dst)
		for i, at := range places {
			c := r.cell(int(at))
			f.col[i] = int64(c.mean) - int64(c.low)
		}
		dst = f.append(dst)
		for i, at := range places {
			c := r.cell(int(at))
			f.col[i] = int64(c.high) - int64(c.mean)
		}
		dst = f.append(dst)
	}
	for i, at := range places {
		f.col[i] = r.cell(int(at)).marked()
	}
	return f.append(dst)
}

// marked is a mark as one number, what seldom changes on top.
func (m *Mark) marked() int64 {
	return int64(m.Flags) | int64(m.Rev)<<8 | int64(m.Judged)<<24 | int64(m.Alarmed)<<32
}

func markOf(v int64) (m Mark, ok bool) {
	m = Mark{Flags: Flags(v), Rev: uint16(v >> 8), Judged: uint8(v >> 24), Alarmed: uint8(v >> 32)}
	return m, v>>40 == 0 && m.Flags&held != 0 && m.Flags&^allFlags == 0
}

func (f *former) appendTotals(dst []byte, h History, r ring[total]) []byte {
	f.begin()
	for back, at := r.count-1, r.first(); at >= 0 && back >= 0; back-- {
		if r.cell(at).Flags&held != 0 {
			f.take(at, back)
		}
		if at++; at == r.count {
			at = 0
		}
	}
	dst = f.appendHeld(dst, *r.head)
	places := f.cell[:f.n]
	for i, at := range places {
		f.col[i] = int64(r.cell(int(at)).n)
	}
	dst = f.append(dst)
	for i, at := range places {
		f.col[i] = r.cell(int(at)).marked()
	}
	dst = f.append(dst)
	if h.wide {
		return f.appendWide(dst, h.wideOf(&r))
	}
	for i, at := range places {
		f.col[i] = r.cell(int(at)).sum
	}
	dst = f.append(dst)
	for i, at := range places {
		f.col[i] = int64(r.cell(int(at)).min)
	}
	dst = f.append(dst)
	for i, at := range places {
		f.col[i] = int64(r.cell(int(at)).max)
	}
	return f.append(dst)
}

func (f *former) appendWide(dst []byte, totals []Total) []byte {
	for _, of := range totalNumbers {
		for i, at := range f.cell[:f.n] {
			f.col[i] = of(&totals[at])
		}
		dst = f.append(dst)
	}
	return dst
}

// totalNumbers are the numbers of a wide total but for N, in the order of the form.
var totalNumbers = [...]func(t *Total) int64{
	func(t *Total) int64 { return t.Sum.Hi }, func(t *Total) int64 { return int64(t.Sum.Lo) },
	func(t *Total) int64 { return int64(t.Min) }, func(t *Total) int64 { return int64(t.Max) },
}

// Read is the inverse of AppendTo for a History that is empty, and returns the bytes behind the form. The History does not alias b.
func (h History) Read(b []byte) (rest []byte, err error) {
	if len(b) == 0 || b[0]&^wideForm >= uint8(len(units)) {
		return nil, errForm
	}
	h.decimals = b[0] &^ wideForm
	isWide := b[0]&wideForm != 0
	var f former
	head, b, err := f.readHeld(b[1:], MinuteCells)
	if err != nil {
		return nil, err
	}
	if head == noHead && f.n == 0 && len(b) >= 2 && b[0] == 0 && b[1] == 0 && !isWide {
		return b[2:], nil // nothing at all
	}
	if h.column >= h.r.columns {
		h.r.widen()
	}
	if isWide {
		h.setWide(h.newWide())
	}
	h.minutes = head
	if b, err = f.readMinutes(b, h, h.minuteRing()); err != nil {
		return nil, err
	}
	if b, err = f.readTotals(b, h, h.hourRing()); err != nil {
		return nil, err
	}
	return f.readTotals(b, h, h.dayRing())
}

// read reads a column of the windows held.
func (f *former) read(b []byte, err *error) []byte {
	if *err == nil {
		b, *err = ReadColumn(b, f.col[:f.n])
	}
	return b
}

func (f *former) readMinutes(b []byte, h History, r ring[minute]) (rest []byte, err error) {
	places := f.cell[:f.n]
	odd := false
	b = f.read(b, &err)
	if h.wide {
		w := h.r.wide[h.column].minutes
		for i, at := range places {
			w[at].Mean = telemetry.Fixed(f.col[i])
		}
		b = f.read(b, &err)
		for i, at := range places {
			w[at].Low = telemetry.Fixed(f.col[i])
		}
		b = f.read(b, &err)
		for i, at := range places {
			w[at].High = telemetry.Fixed(f.col[i])
		}
	} else {
		for i, at := range places {
			c := r.cell(int(at))
			c.mean = int32(f.col[i])
			odd = odd || int64(c.mean) != f.col[i]
		}
		b = f.read(b, &err)
		for i, at := range places {
			c := r.cell(int(at))
			low := int64(c.mean) - f.col[i]
			c.low = int32(low)
			odd = odd || int64(int32(low)) != low
		}
		b = f.read(b, &err)
		for i, at := range places {
			c := r.cell(int(at))
			high := int64(c.mean) + f.col[i]
			c.high = int32(high)
			odd = odd || int64(int32(high)) != high
		}
	}
	b = f.read(b, &err)
	if err != nil {
		return nil, err
	}
	for i, at := range places {
		mark, ok := markOf(f.col[i])
		odd = odd || !ok
		r.cell(int(at)).Mark = mark
	}
	if odd {
		return nil, errForm
	}
	return b, nil
}

func (f *former) readTotals(b []byte, h History, r ring[total]) (rest []byte, err error) {
	head, b, err := f.readHeld(b, r.count)
	*r.head = head
	places := f.cell[:f.n]
	odd := false
	b = f.read(b, &err)
	for i, at := range places {
		r.cell(int(at)).n = uint16(f.col[i])
		odd = odd || f.col[i] < 0 || f.col[i] > maxValues
	}
	b = f.read(b, &err)
	for i, at := range places {
		mark, ok := markOf(f.col[i])
		odd = odd || !ok
		r.cell(int(at)).Mark = mark
	}
	if h.wide {
		return f.readWide(b, &r, h.wideOf(&r), odd, err)
	}
	b = f.read(b, &err)
	for i, at := range places {
		c := r.cell(int(at))
		c.sum = f.col[i]
		most := int64(c.n) << 31
		odd = odd || f.col[i] > most || f.col[i] < -most
	}
	b = f.read(b, &err)
	for i, at := range places {
		r.cell(int(at)).min = int32(f.col[i])
		odd = odd || int64(int32(f.col[i])) != f.col[i]
	}
	b = f.read(b, &err)
	for i, at := range places {
		r.cell(int(at)).max = int32(f.col[i])
		odd = odd || int64(int32(f.col[i])) != f.col[i]
	}
	if err == nil && odd {
		err = errForm
	}
	return b, err
}

func (f *former) readWide(b []byte, r *ring[total], totals []Total, odd bool, err error) ([]byte, error) {
	var numbers [len(totalNumbers)][MaxColumn]int64
	for k := range numbers {
		b = f.read(b, &err)
		copy(numbers[k][:f.n], f.col[:f.n])
	}
	for i, at := range f.cell[:f.n] {
		n := int64(r.cell(int(at)).n)
		t := Total{telemetry.Sum{Hi: numbers[0][i], Lo: uint64(numbers[1][i])}, telemetry.Fixed(numbers[2][i]), telemetry.Fixed(numbers[3][i]), int32(n)}
		odd = odd || t.Sum.Cmp(math.MaxInt64, n) > 0 || t.Sum.Cmp(math.MinInt64, n) < 0
		totals[at] = t
	}
	if err == nil && odd {
		err = errForm
	}
	return b, err
}
