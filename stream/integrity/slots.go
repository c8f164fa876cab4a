// Package integrity keeps which time slots of a device have arrived and which of them are valid, and finds what is missing. It is
// pure: no clock, no I/O, integers only.
package integrity

import (
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"
)

// A Set is a set of minutes, each the whole minutes since 1970-01-01T00:00Z, in a Roaring bitmap: a full day of one-minute data is
// one run, so a device costs tens of bytes a day.
type Set struct{ bits *roaring.Bitmap }

// NewSet makes an empty set.
func NewSet() Set { return Set{bits: roaring.New()} }

// Has reports whether the minute is in the set.
func (s Set) Has(minute int64) bool { return s.bits.Contains(uint32(minute)) }

// Add puts the minute into the set and reports whether it was new.
func (s Set) Add(minute int64) bool { return s.bits.CheckedAdd(uint32(minute)) }

// Remove takes the minute out.
func (s Set) Remove(minute int64) { s.bits.Remove(uint32(minute)) }

// Count is the number of minutes of the set in [from, to).
func (s Set) Count(from, to int64) int {
	if to <= from {
		return 0
	}
	n := s.bits.Rank(uint32(to - 1))
	if from > 0 {
		n -= s.bits.Rank(uint32(from - 1))
	}
	return int(n)
}

// Forget drops every minute before the given one and packs what is left into runs.
func (s Set) Forget(before int64) {
	s.bits.RemoveRange(0, uint64(before))
	s.bits.RunOptimize()
}

// AppendTo appends the set in Roaring's portable format.
func (s Set) AppendTo(dst []byte) ([]byte, error) {
	b, err := s.bits.ToBytes()
	if err != nil {
		return dst, fmt.Errorf("encode slots: %w", err)
	}
	return append(dst, b...), nil
}

// ReadSet is the inverse of AppendTo. The set does not alias b.
func ReadSet(b []byte) (Set, error) {
	s := NewSet()
	if err := s.bits.UnmarshalBinary(b); err != nil {
		return Set{}, fmt.Errorf("decode slots: %w", err)
	}
	return s, nil
}

// A Span is a run of minutes, [Start, End).
type Span struct{ Start, End int64 }

// Slots are a device's minute records: those received, and those of them whose every factor is valid.
type Slots struct {
	Received Set
	Valid    Set
}

// NewSlots makes empty slots.
func NewSlots() Slots { return Slots{Received: NewSet(), Valid: NewSet()} }

// Mark notes the record of a slot and reports whether that changes anything. A record that comes in several frames is valid only when
// all of them are.
func (s Slots) Mark(minute int64, valid bool) (changed bool) {
	isNew := s.Received.Add(minute)
	switch {
	case isNew && valid:
		s.Valid.Add(minute)
	case !valid && s.Valid.Has(minute):
		s.Valid.Remove(minute)
		return true
	}
	return isNew
}

// A Share is the completeness of a period: slots due, received, and valid.
type Share struct{ Due, Received, Valid int }

// Share counts the slots of [from, to) for records every interval minutes. Records of a shorter interval that was in force before count
// only where a slot begins, so that no period is more than complete.
func (s Slots) Share(from, to int64, interval int) Share {
	share := Share{Due: int(to-from) / interval, Received: s.Received.Count(from, to), Valid: s.Valid.Count(from, to)}
	if interval == 1 || share.Received == 0 {
		return share
	}
	share.Received, share.Valid = 0, 0
	for m := from; m < to; m += int64(interval) {
		if s.Received.Has(m) {
			share.Received++
		}
		if s.Valid.Has(m) {
			share.Valid++
		}
	}
	return share
}

// Missing lists the runs of slots in [from, to) that were not received, oldest first.
func (s Slots) Missing(from, to int64, interval int) []Span {
	var gaps []Span
	step := int64(interval)
	for m := from; m < to; m += step {
		if s.Received.Has(m) {
			continue
		}
		if n := len(gaps); n > 0 && gaps[n-1].End == m {
			gaps[n-1].End = m + step
			continue
		}
		gaps = append(gaps, Span{m, m + step})
	}
	return gaps
}

// Forget drops every slot before the given minute.
func (s Slots) Forget(before int64) {
	s.Received.Forget(before)
	s.Valid.Forget(before)
}
