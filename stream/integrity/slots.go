// Package integrity keeps which time slots of a device have arrived and which of them are valid, and finds what is missing. It is
// pure: no clock, no I/O, integers only.
package integrity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// A Span is a run of minutes, [Start, End).
type Span struct{ Start, End int64 }

// Slots are a device's minute slots, each named by its first minute: those whose record was received, those of them whose every factor is
// valid, and for each of the device's series those that are filled, by a record or otherwise. The zero value is not valid.
//
// What is filled is nearly always what was received. So a series keeps, of minutes that are not recent, only where it differs.
type Slots struct {
	newest   int64 // block of the newest minute seen
	received set
	valid    set
	filled   []set // by series; old is where the series differs from received
}

// NewSlots makes empty slots.
func NewSlots() Slots { return Slots{newest: noBlock} }

// AddSeries makes room for a series and returns its number: 0, 1, ...
func (s *Slots) AddSeries() int {
	var none set
	if s.received.old != nil {
		none.old = s.received.old.Clone() // it differs wherever a record was received
	}
	s.filled = append(s.filled, none)
	return len(s.filled) - 1
}

// Series is the number of series.
func (s *Slots) Series() int { return len(s.filled) }

// recent reports whether the minute is one of the recent blocks, and gives its place and bit there.
func (s *Slots) recent(minute int64) (at int, bit uint64, ok bool) {
	block := minute >> 6
	return place(block), 1 << (minute & 63), block > s.newest-recentBlocks && block <= s.newest
}

func (s *Slots) in(x *set, minute int64) bool {
	at, bit, ok := s.recent(minute)
	if ok {
		return x.recent[at]&bit != 0
	}
	return minute>>6 <= s.newest && x.hasOld(minute)
}

// Received reports whether the slot's record has come.
func (s *Slots) Received(minute int64) bool { return s.in(&s.received, minute) }

// Valid reports whether it has, and every factor in it is valid.
func (s *Slots) Valid(minute int64) bool { return s.in(&s.valid, minute) }

// Filled reports whether a series has a value for the slot.
func (s *Slots) Filled(series int, minute int64) bool {
	at, bit, ok := s.recent(minute)
	if ok {
		return s.filled[series].recent[at]&bit != 0
	}
	return minute>>6 <= s.newest && s.filled[series].hasOld(minute) != s.received.hasOld(minute)
}

// Fill notes that a series has a value for the slot.
func (s *Slots) Fill(series int, minute int64) {
	s.advance(minute >> 6)
	if at, bit, ok := s.recent(minute); ok {
		s.filled[series].recent[at] |= bit
	} else if !s.Filled(series, minute) {
		s.filled[series].flipOld(minute)
	}
}

// Empty is the inverse of Fill.
func (s *Slots) Empty(series int, minute int64) {
	if at, bit, ok := s.recent(minute); ok {
		s.filled[series].recent[at] &^= bit
	} else if s.Filled(series, minute) {
		s.filled[series].flipOld(minute)
	}
}

// Mark notes the record of a slot and reports whether that changes anything. A record that comes in several frames is valid only when
// all of them are.
func (s *Slots) Mark(minute int64, valid bool) (changed bool) {
	s.advance(minute >> 6)
	isNew := !s.Received(minute)
	if isNew {
		s.receive(minute, valid)
		return true
	}
	if valid || !s.Valid(minute) {
		return false
	}
	if at, bit, ok := s.recent(minute); ok {
		s.valid.recent[at] &^= bit
	} else {
		s.valid.flipOld(minute)
	}
	return true
}

// receive puts a minute into received, and into valid.
func (s *Slots) receive(minute int64, valid bool) {
	if at, bit, ok := s.recent(minute); ok {
		s.received.recent[at] |= bit
		if valid {
			s.valid.recent[at] |= bit
		}
		return
	}
	s.received.addOld(minute)
	if valid {
		s.valid.addOld(minute)
	}
	for i := range s.filled {
		s.filled[i].flipOld(minute)
	}
}

// advance makes a block that is newer than all others the newest; those that are recent no longer go into the Roaring bitmaps.
func (s *Slots) advance(block int64) {
	if block <= s.newest {
		return
	}
	if s.newest != noBlock {
		for b := s.newest - recentBlocks + 1; b <= min(s.newest, block-recentBlocks); b++ {
			s.retire(b)
		}
	}
	s.newest = block
}

func (s *Slots) retire(block int64) {
	at := place(block)
	received := s.received.recent[at]
	for i := range s.filled {
		f := &s.filled[i]
		f.retire(block, f.recent[at]^received)
		f.recent[at] = 0
	}
	s.received.retire(block, received)
	s.valid.retire(block, s.valid.recent[at])
	s.received.recent[at], s.valid.recent[at] = 0, 0
}

// count is the number of minutes of x in [from, to).
func (s *Slots) count(x *set, from, to int64) int {
	first := (s.newest - recentBlocks + 1) << 6 // of the recent minutes
	n := x.countOld(from, min(to, first))
	for block := max(from, first) >> 6; block <= min(to-1, s.newest<<6|63)>>6; block++ {
		word := x.recent[place(block)]
		if start := block << 6; from > start {
			word &= ^uint64(0) << (from - start)
		}
		if end := block<<6 + 64; to < end {
			word &= ^uint64(0) >> (end - to)
		}
		n += bits.OnesCount64(word)
	}
	return n
}

// Any reports whether a record of [from, to) was received.
func (s *Slots) Any(from, to int64) bool {
	return s.newest != noBlock && s.count(&s.received, from, to) > 0
}

// A Share is the completeness of a period: slots due, received, and valid.
type Share struct{ Due, Received, Valid int }

// Share counts the slots of [from, to) for records every interval minutes. Records of a shorter interval that was in force before count
// only where a slot begins, so that no period is more than complete.
func (s *Slots) Share(from, to int64, interval int) Share {
	share := Share{Due: int(to-from) / interval}
	if s.newest == noBlock {
		return share
	}
	share.Received, share.Valid = s.count(&s.received, from, to), s.count(&s.valid, from, to)
	if interval == 1 || share.Received == 0 {
		return share
	}
	share.Received, share.Valid = 0, 0
	for m := from; m < to; m += int64(interval) {
		if s.Received(m) {
			share.Received++
		}
		if s.Valid(m) {
			share.Valid++
		}
	}
	return share
}

// Missing lists the runs of slots in [from, to) that were not received, oldest first.
func (s *Slots) Missing(from, to int64, interval int) []Span {
	var gaps []Span
	step := int64(interval)
	for m := from; m < to; m += step {
		if s.Received(m) {
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
func (s *Slots) Forget(before int64) {
	if s.newest == noBlock {
		return
	}
	sets := []*set{&s.received, &s.valid}
	for i := range s.filled {
		sets = append(sets, &s.filled[i])
	}
	for _, x := range sets {
		x.forgetOld(before)
		for block := s.newest - recentBlocks + 1; block <= s.newest; block++ {
			if gone := before - block<<6; gone > 0 {
				x.recent[place(block)] &= ^uint64(0) << gone // all of it from 64 on
			}
		}
	}
}

// AppendTo appends the slots in a form that ReadSlots takes back.
func (s *Slots) AppendTo(dst []byte) []byte {
	dst = binary.AppendVarint(dst, s.newest)
	if s.newest == noBlock {
		return binary.AppendUvarint(dst, uint64(len(s.filled)))
	}
	for i, word := range s.received.recent {
		dst = binary.LittleEndian.AppendUint64(dst, word)
		dst = binary.AppendUvarint(dst, word^s.valid.recent[i])
	}
	dst = s.valid.appendOld(s.received.appendOld(dst))
	dst = binary.AppendUvarint(dst, uint64(len(s.filled)))
	for i := range s.filled {
		f := &s.filled[i]
		for k, word := range f.recent {
			dst = binary.AppendUvarint(dst, word^s.received.recent[k])
		}
		dst = f.appendOld(dst)
	}
	return dst
}

var errShort = errors.New("slots end too early")

// ReadSlots is the inverse of AppendTo and returns the bytes behind it. The slots do not alias b. At most so many series are taken.
func ReadSlots(b []byte, maxSeries int) (s Slots, rest []byte, err error) {
	newest, n := binary.Varint(b)
	if n <= 0 {
		return s, nil, errShort
	}
	if newest != noBlock && (newest > 1<<40 || newest < -1<<40) {
		return s, nil, fmt.Errorf("slots of block %d", newest)
	}
	s.newest, b = newest, b[n:]
	if newest != noBlock {
		if b, err = s.readDevice(b); err != nil {
			return s, nil, err
		}
	}
	series, b, err := uvarint(b)
	if err == nil && series > uint64(maxSeries) {
		err = fmt.Errorf("slots of %d series, at most %d", series, maxSeries)
	}
	if err != nil {
		return s, nil, err
	}
	s.filled = make([]set, series)
	for i := range s.filled {
		if newest == noBlock {
			break
		}
		f := &s.filled[i]
		for k := range f.recent {
			var differs uint64
			if differs, b, err = uvarint(b); err != nil {
				return s, nil, err
			}
			f.recent[k] = differs ^ s.received.recent[k]
		}
		if b, err = f.readOld(b); err != nil {
			return s, nil, err
		}
	}
	return s, b, nil
}

// readDevice reads received and valid.
func (s *Slots) readDevice(b []byte) (rest []byte, err error) {
	for i := range s.received.recent {
		if len(b) < 8 {
			return nil, errShort
		}
		s.received.recent[i] = binary.LittleEndian.Uint64(b)
		differs, rest, err := uvarint(b[8:])
		if err != nil {
			return nil, err
		}
		s.valid.recent[i], b = differs^s.received.recent[i], rest
	}
	if b, err = s.received.readOld(b); err != nil {
		return nil, err
	}
	return s.valid.readOld(b)
}
