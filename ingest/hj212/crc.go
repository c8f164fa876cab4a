package hj212

import (
	"encoding/binary"
	"math/bits"
)

// crcTable[x] is what the standard's eight shift rounds make of a register whose value is x.
var crcTable = makeCRCTable()

func makeCRCTable() (t [256]uint16) {
	for x := range t {
		r := uint16(x)
		for range 8 {
			low := r & 1
			r >>= 1
			if low == 1 {
				r ^= 0xA001
			}
		}
		t[x] = r
	}
	return t
}

// A crcFold holds what CRC needs behind the folded word. The register's high byte h is all that one byte hands on to the next:
// h = M(h ^ b), where M(x) = crcTable[x]>>8 is linear over GF(2) and M applied eight times is the identity.
type crcFold struct {
	power [8][256]byte // power[k][x] is M applied k times to x
	start [8]byte      // start[k] is M applied k times to FF, the high byte at the start
	last  [256]uint16  // last[h] is the register whose high byte is h: they determine each other
}

var fold = makeFold()

func makeFold() (f crcFold) {
	for x := range 256 {
		y := byte(x)
		for k := range f.power {
			f.power[k][x] = y
			y = byte(crcTable[y] >> 8)
		}
		f.last[crcTable[x]>>8] = crcTable[x]
	}
	for k := range f.start {
		f.start[k] = f.power[k][0xFF]
	}
	return f
}

// CRC is the check value of a data segment (HJ 212-2017 annex A; the same in the 2005 edition). Per byte the standard drops the low
// half of the register, R = T[R>>8 ^ b], which is why it is none of the catalogued CRC-16s: CRC("123456789") is 2F80.
//
// It is weak evidence. The register holds 8 bits only, so of the 65,536 values 256 occur, one corruption in 256 passes, and two
// bytes that change places at a distance of 8, 16, 24 … are never noticed. That last property makes it cheap: bytes at a distance of 8
// are XORed into one, whole words at a time, and the eight bytes that are left go through one table each (crcFold).
func CRC(data []byte) uint16 {
	n := len(data)
	if n < 8 {
		r := uint16(0xFFFF)
		for _, b := range data {
			r = crcTable[byte(r>>8)^b]
		}
		return r
	}
	// The tail's bytes are moved to the lanes that continue the count of the words before it.
	tail := uint(n%8) * 8
	a := binary.LittleEndian.Uint64(data[n-8:]) >> (64 - tail)
	var b, c, d uint64
	for len(data) >= 64 {
		a ^= binary.LittleEndian.Uint64(data) ^ binary.LittleEndian.Uint64(data[32:])
		b ^= binary.LittleEndian.Uint64(data[8:]) ^ binary.LittleEndian.Uint64(data[40:])
		c ^= binary.LittleEndian.Uint64(data[16:]) ^ binary.LittleEndian.Uint64(data[48:])
		d ^= binary.LittleEndian.Uint64(data[24:]) ^ binary.LittleEndian.Uint64(data[56:])
		data = data[64:]
	}
	for len(data) >= 8 {
		a ^= binary.LittleEndian.Uint64(data)
		data = data[8:]
	}
	// The byte that is k places before the segment's end has gone through M k+1 times; after the rotation, lane i is one with k+1 = -i mod 8.
	x := bits.RotateLeft64(a^b^c^d, -int(tail))
	p := &fold.power
	h := fold.start[n%8] ^ byte(x) ^ p[7][byte(x>>8)] ^ p[6][byte(x>>16)] ^ p[5][byte(x>>24)] ^
		p[4][byte(x>>32)] ^ p[3][byte(x>>40)] ^ p[2][byte(x>>48)] ^ p[1][byte(x>>56)]
	return fold.last[h]
}

// hexDigits has the value of each hex digit; notHex for other bytes, with lowerHex for a..f.
var hexDigits = makeHexDigits()

const (
	lowerHex = 0x40
	notHex   = 0x80
)

func makeHexDigits() (t [256]byte) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = byte(c) - '0'
		case c >= 'A' && c <= 'F':
			t[c] = byte(c) - 'A' + 10
		case c >= 'a' && c <= 'f':
			t[c] = byte(c) - 'a' + 10 | lowerHex
		default:
			t[c] = notHex
		}
	}
	return t
}

// parseCRC reads four hex digits of either case; lower reports a digit a..f. ok is false for anything else.
func parseCRC(b []byte) (crc uint16, lower, ok bool) {
	d0, d1, d2, d3 := hexDigits[b[0]], hexDigits[b[1]], hexDigits[b[2]], hexDigits[b[3]]
	all := d0 | d1 | d2 | d3
	if all&notHex != 0 {
		return 0, false, false
	}
	return uint16(d0&15)<<12 | uint16(d1&15)<<8 | uint16(d2&15)<<4 | uint16(d3&15), all&lowerHex != 0, true
}

// appendHex appends v as four upper-case hex digits.
func appendHex(dst []byte, v uint16) []byte {
	const digits = "0123456789ABCDEF"
	return append(dst, digits[v>>12], digits[v>>8&15], digits[v>>4&15], digits[v&15])
}
