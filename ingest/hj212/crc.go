package hj212

import "encoding/binary"

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

// CRC is the check value of a data segment (HJ 212-2017 annex A; the same in the 2005 edition). Per byte the standard drops the low
// half of the register, R = T[R>>8 ^ b], which is why it is none of the catalogued CRC-16s: CRC("123456789") is 2F80.
//
// It is weak evidence. The register holds 8 bits only, so of the 65,536 values 256 occur, one corruption in 256 passes, and two
// bytes that change places at a distance of 8, 16, 24 … are never noticed: eight rounds of the linear map b -> T[b]>>8 are
// the identity. That last property is used here: whole 8-byte words are XORed into one first.
func CRC(data []byte) uint16 {
	r := uint16(0xFFFF)
	if len(data) >= 16 {
		var word uint64
		for ; len(data) >= 8; data = data[8:] {
			word ^= binary.LittleEndian.Uint64(data)
		}
		for range 8 {
			r = crcTable[byte(r>>8)^byte(word)]
			word >>= 8
		}
	}
	for _, b := range data {
		r = crcTable[byte(r>>8)^b]
	}
	return r
}

// parseCRC reads four hex digits of either case; lower reports a digit a..f. ok is false for anything else.
func parseCRC(b []byte) (crc uint16, lower, ok bool) {
	for _, c := range b {
		var d byte
		switch {
		case c >= '0' && c <= '9':
			d = c - '0'
		case c >= 'A' && c <= 'F':
			d = c - 'A' + 10
		case c >= 'a' && c <= 'f':
			d, lower = c-'a'+10, true
		default:
			return 0, false, false
		}
		crc = crc<<4 | uint16(d)
	}
	return crc, lower, true
}

// appendHex appends v as four upper-case hex digits.
func appendHex(dst []byte, v uint16) []byte {
	const digits = "0123456789ABCDEF"
	return append(dst, digits[v>>12], digits[v>>8&15], digits[v>>4&15], digits[v&15])
}
