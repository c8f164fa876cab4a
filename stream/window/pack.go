package window

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// MaxColumn is the most numbers of a column in this package.
const MaxColumn = 128

// steps is the bit of a column's first byte that says that it holds steps.
const steps = 0x80

// AppendColumn appends numbers in the fewest bits that hold each one's distance from the least of them, or each step's distance from the
// least step, whichever is less: a byte of that width, with the bit steps; the least number, or the first number and the least step, as
// varints; the distances, least significant bit first. Their count is not written. All arithmetic wraps around, so that any numbers can stand in it.
func AppendColumn(dst []byte, v []int64) []byte {
	if len(v) == 0 {
		return dst
	}
	same := 1
	for same < len(v) && v[same] == v[0] {
		same++
	}
	if same == len(v) { // marks and counts mostly are
		return binary.AppendVarint(append(dst, 0), v[0])
	}
	least, most := v[0], v[0]
	leastStep, mostStep := v[1]-v[0], v[1]-v[0]
	before := v[0]
	for _, x := range v[1:] {
		least, most = min(least, x), max(most, x)
		leastStep, mostStep = min(leastStep, x-before), max(mostStep, x-before)
		before = x
	}
	width, stepWidth := bits.Len64(uint64(most)-uint64(least)), bits.Len64(uint64(mostStep)-uint64(leastStep))
	if stepWidth >= width {
		dst = binary.AppendVarint(append(dst, byte(width)), least)
		return appendBits(dst, v, least, 0, width)
	}
	dst = binary.AppendVarint(append(dst, byte(stepWidth)|steps), v[0])
	dst = binary.AppendVarint(dst, leastStep)
	return appendBits(dst, v, leastStep, -1, stepWidth)
}

// appendBits appends what each number is above base, or with mask -1 what each is above the one before it and base, from the second on.
func appendBits(dst []byte, v []int64, base, mask int64, width int) []byte {
	if width == 0 {
		return dst
	}
	var acc uint64
	n := 0
	before := v[0] & mask
	for _, x := range v[-mask:] {
		d := uint64(x - before - base)
		before = x & mask
		acc |= d << n
		if n += width; n >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)
			n -= 64
			acc = d >> (width - n) // a shift by 64 gives 0
		}
	}
	for ; n > 0; n -= 8 {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

var errForm = errors.New("windows: not the form of AppendTo")

// ReadColumn is the inverse of AppendColumn: it reads len(v) numbers and returns the bytes behind them.
func ReadColumn(b []byte, v []int64) (rest []byte, err error) {
	if len(v) == 0 {
		return b, nil
	}
	if len(b) == 0 {
		return nil, errForm
	}
	width, mask := int(b[0]&^steps), -int64(b[0]>>7)
	first, n := binary.Varint(b[1:])
	if n <= 0 || width > 64 {
		return nil, errForm
	}
	b = b[1+n:]
	base, before := first, int64(0)
	if mask != 0 {
		if base, n = binary.Varint(b); n <= 0 {
			return nil, errForm
		}
		b = b[n:]
		v[0], before, v = first, first, v[1:]
	}
	size := (len(v)*width + 7) / 8
	if size > len(b) {
		return nil, errForm
	}
	readBits(b[:size], v, base, before, mask, width)
	return b[size:], nil
}

// readBits is the inverse of appendBits, for b of just the bytes that v takes.
func readBits(b []byte, v []int64, base, before, mask int64, width int) {
	keep := ^uint64(0) >> (64 - width)
	var acc uint64
	have := 0 // bits in acc
	for i := range v {
		d := acc
		if have >= width {
			acc >>= width
			have -= width
		} else {
			var next uint64
			if len(b) >= 8 {
				next = binary.LittleEndian.Uint64(b)
				b = b[8:]
			} else {
				for k, c := range b {
					next |= uint64(c) << (8 * k)
				}
				b = nil
			}
			d |= next << have
			acc = next >> (width - have)
			have += 64 - width
		}
		before = before&mask + base + int64(d&keep)
		v[i] = before
	}
}
