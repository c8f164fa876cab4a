package hj212

import (
	"encoding/binary"
	"math/bits"
)

// Eight bytes of text are looked at in one 64-bit word, the first byte lowest. A mask has the top bit of a byte set where it tells
// something about that byte; maskEnd turns it into the index of the first.

const (
	ones = 0x0101010101010101
	tops = 0x80 * ones
)

// word is the eight bytes of data from i on, those beyond its end zero.
func word(data []byte, i int) uint64 {
	if i+8 <= len(data) {
		return binary.LittleEndian.Uint64(data[i:])
	}
	return lastWord(data, i)
}

func lastWord(data []byte, i int) (w uint64) {
	if n := len(data); n >= 8 {
		return binary.LittleEndian.Uint64(data[n-8:]) >> (8 * uint(i+8-n))
	}
	for k := len(data) - 1; k >= i; k-- {
		w = w<<8 | uint64(data[k])
	}
	return w
}

// keyMask marks the bytes at which a plain key ends or stops being plain: all below '0', and ':' to '?'. It may mark a byte that is not
// ASCII.
func keyMask(w uint64) uint64 {
	y := w &^ tops
	return (^(y + (0x80-'0')*ones) | (y+(0x80-':')*ones)&^(y<<1)) & tops // y<<1 has what 64 is in y at the top
}

// valueMask marks the bytes at which a plain value ends or stops being plain: all below '-', and ':' to '?'. It may mark a byte that is not
// ASCII.
func valueMask(w uint64) uint64 {
	y := w &^ tops
	return (^(y + (0x80-'-')*ones) | (y+(0x80-':')*ones)&^(y<<1)) & tops
}

// maskEnd is the index of the first byte marked, 8 when there is none.
func maskEnd(mask uint64) uint { return uint(bits.TrailingZeros64(mask)) >> 3 }

// topDigits moves the first n bytes of w, 1..8, to its top, the last of them topmost, with '0' in front of them.
func topDigits(w uint64, n uint) uint64 {
	return w<<((64-8*n)&63) | '0'*ones>>((8*n-8)&63)>>8
}

// closeGap takes the first point out of w, moving the bytes before it up, and returns the exponent that it stands for.
func closeGap(w uint64) (digits uint64, exp int8) {
	point := w ^ '.'*ones
	if point = (point - ones) &^ point & tops; point == 0 {
		return w ^ '0'*ones, 0
	}
	at := uint(bits.TrailingZeros64(point)) & 56
	return (w>>8>>at<<at<<8 | w&(1<<at-1)<<8 | '0') ^ '0'*ones, int8(at>>3) - 7
}

// readDigits reads the eight decimal digits of w.
func readDigits(w uint64) (n int, ok bool) {
	w ^= '0' * ones
	return int(eightDigits(w)), areDigits(w)
}

// areDigits reports whether each byte of w is 0..9.
func areDigits(w uint64) bool { return (w+(0x80-10)*ones|w)&tops == 0 }

// eightDigits is the number that the eight bytes of w, 0..9 each and the first highest, are in decimal.
func eightDigits(w uint64) uint64 {
	w = (w*10 + w>>8) & 0x00FF00FF00FF00FF
	w = (w*100 + w>>16) & 0x0000FFFF0000FFFF
	return (w*10000 + w>>32) & 0xFFFFFFFF
}
