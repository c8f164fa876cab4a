package integrity

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/RoaringBitmap/roaring/v2"
)

// Minutes are whole minutes since 1970-01-01T00:00Z. A block is 64 of them, a word of bits.
const (
	recentBlocks = 4 // a power of two; the newest block and three before it: at least 192 minutes
	noBlock      = -1 << 62
)

// A set is a set of minutes: the recent blocks as words, in the places of their last two bits, older ones in a Roaring bitmap, where
// a full day of one-minute data is one run. Which blocks are recent is known to the Slots that own the set.
type set struct {
	recent [recentBlocks]uint64
	old    *roaring.Bitmap // nil: empty
}

func place(block int64) int { return int(block & (recentBlocks - 1)) }

// hasOld, addOld and flipOld are about minutes that are not recent.
func (s *set) hasOld(minute int64) bool { return s.old != nil && s.old.Contains(uint32(minute)) }

func (s *set) addOld(minute int64) {
	if s.old == nil {
		s.old = roaring.New()
	}
	s.old.Add(uint32(minute))
}

func (s *set) flipOld(minute int64) {
	if s.hasOld(minute) {
		s.old.Remove(uint32(minute))
		return
	}
	s.addOld(minute)
}

// retire moves the bits of a word, a block that is recent no longer, into the Roaring bitmap.
func (s *set) retire(block int64, word uint64) {
	if word == 0 {
		return
	}
	if s.old == nil {
		s.old = roaring.New()
	}
	first := uint64(uint32(block << 6))
	for word != 0 {
		from := bits.TrailingZeros64(word)
		n := bits.TrailingZeros64(^(word >> from))
		s.old.AddRange(first+uint64(from), first+uint64(from+n))
		word &^= (1<<n - 1) << from
	}
	s.old.RunOptimize()
}

// forgetOld drops every minute before the given one from what is not recent.
func (s *set) forgetOld(before int64) {
	if s.old == nil || before <= 0 {
		return
	}
	s.old.RemoveRange(0, uint64(before))
	if s.old.IsEmpty() {
		s.old = nil
		return
	}
	s.old.RunOptimize()
}

// countOld is the number of minutes in [from, to) among those that are not recent.
func (s *set) countOld(from, to int64) int {
	if s.old == nil || to <= max(from, 0) {
		return 0
	}
	return int(s.old.CardinalityInRange(uint64(max(from, 0)), uint64(to)))
}

// A sink appends what a bitmap writes.
type sink struct{ b []byte }

func (w *sink) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// appendOld appends the Roaring bitmap in its portable form, behind its length; 0: none.
func (s *set) appendOld(dst []byte) []byte {
	if s.old == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, s.old.GetSerializedSizeInBytes())
	w := sink{dst}
	if _, err := s.old.WriteTo(&w); err != nil {
		panic(fmt.Sprintf("integrity: %v", err)) // writing to memory does not fail
	}
	return w.b
}

// readOld is the inverse of appendOld and returns the bytes behind it. The set does not alias b.
func (s *set) readOld(b []byte) (rest []byte, err error) {
	n, b, err := uvarint(b)
	if err != nil || n == 0 {
		return b, err
	}
	if n > uint64(len(b)) {
		return nil, errShort
	}
	s.old = roaring.New()
	if err := s.old.UnmarshalBinary(b[:n]); err != nil {
		return nil, fmt.Errorf("decode slots: %w", err)
	}
	if err := s.old.Validate(); err != nil {
		return nil, fmt.Errorf("decode slots: %w", err)
	}
	return b[n:], nil
}

func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errShort
	}
	return v, b[n:], nil
}
