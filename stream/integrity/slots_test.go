package integrity

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestShareAndMissing(t *testing.T) {
	s := NewSlots()
	const hour = 29_000_000 * 60 / 60
	from := int64(hour) / 60 * 60
	for m := from; m < from+60; m++ {
		if m == from+3 || m >= from+50 {
			continue
		}
		s.Mark(m, m != from+7)
	}
	if got, want := s.Share(from, from+60, 1), (Share{Due: 60, Received: 49, Valid: 48}); got != want {
		t.Errorf("Share = %+v, want %+v", got, want)
	}
	if got, want := s.Missing(from, from+60, 1), []Span{{from + 3, from + 4}, {from + 50, from + 60}}; !reflect.DeepEqual(got, want) {
		t.Errorf("Missing = %v, want %v", got, want)
	}
	if got := s.Share(from+60, from+120, 5); got != (Share{Due: 12}) {
		t.Errorf("empty hour of 5-minute slots: %+v", got)
	}
}

func TestMarkInSeveralFrames(t *testing.T) {
	s := NewSlots()
	s.Mark(10, true)
	s.Mark(10, false) // the second packet of the same minute holds an invalid factor
	s.Mark(11, false)
	s.Mark(11, true)
	if s.Valid(10) || s.Valid(11) {
		t.Error("a slot with an invalid part counts as valid")
	}
}

func TestFullDaysAreShort(t *testing.T) {
	s := NewSlots()
	s.AddSeries()
	for m := int64(29_000_000); m < 29_000_000+3000; m++ {
		s.Fill(0, m)
		s.Mark(m, true)
	}
	s.Forget(29_000_000 + 1000)
	b := s.AppendTo(nil)
	if len(b) > 120 {
		t.Errorf("2000 minutes in a row take %d bytes", len(b))
	}
	if s.filled[0].old != nil {
		t.Error("a series that was filled by every record has a bitmap of its own")
	}
	back, rest, err := ReadSlots(b, 1)
	if err != nil || len(rest) > 0 {
		t.Fatal(err, rest)
	}
	if got := back.Share(29_000_000, 29_003_000, 1); got.Received != 2000 || back.Received(29_000_999) || !back.Filled(0, 29_001_000) {
		t.Errorf("after the round trip: %+v", got)
	}
	if _, _, err := ReadSlots(b, 0); err == nil {
		t.Error("a series too many was read")
	}
}

// Slots must agree with maps of minutes, through any order of records, fills, forgetting, and being written and read.
func TestSlotsAgreeWithMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSlots()
		received, valid := map[int64]bool{}, map[int64]bool{}
		var filled []map[int64]bool
		now := int64(29_000_000)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			minute := now - rapid.SampledFrom([]int64{0, 0, 1, 60, 200, 260, 1500, 5000}).Draw(t, "age")
			switch rapid.IntRange(0, 12).Draw(t, "step") {
			case 0:
				now += rapid.SampledFrom([]int64{1, 63, 64, 300, 2000}).Draw(t, "gap")
			case 1:
				if len(filled) < 4 {
					if n := s.AddSeries(); n != len(filled) {
						t.Fatalf("series %d, want %d", n, len(filled))
					}
					filled = append(filled, map[int64]bool{})
				}
			case 2:
				before := now - rapid.SampledFrom([]int64{0, 100, 1000, 4000}).Draw(t, "kept")
				s.Forget(before)
				for _, m := range append([]map[int64]bool{received, valid}, filled...) {
					for at := range m {
						if at < before {
							delete(m, at)
						}
					}
				}
			case 3:
				form := s.AppendTo(nil)
				back, rest, err := ReadSlots(form, 4)
				if err != nil || len(rest) > 0 || !bytes.Equal(back.AppendTo(nil), form) {
					t.Fatalf("read back: %v, %d bytes left", err, len(rest))
				}
				s = back
			case 4, 5, 6:
				good := rapid.Bool().Draw(t, "valid")
				changes := !received[minute] || valid[minute] && !good
				valid[minute] = good && (!received[minute] || valid[minute])
				received[minute] = true
				if s.Mark(minute, good) != changes {
					t.Fatalf("Mark(%d, %t) is not %t", minute, good, changes)
				}
			default:
				now++
				for i := range filled {
					if rapid.IntRange(0, 3).Draw(t, "fill") > 0 {
						s.Fill(i, minute)
						filled[i][minute] = true
					}
				}
			}
			for _, m := range []int64{minute, minute - 1, now, now - 64, now - 255, now - 256, now - 257, now - 3000} {
				if s.Received(m) != received[m] || s.Valid(m) != valid[m] {
					t.Fatalf("minute %d: %t %t, want %t %t", m, s.Received(m), s.Valid(m), received[m], valid[m])
				}
				for i := range filled {
					if s.Filled(i, m) != filled[i][m] {
						t.Fatalf("minute %d of series %d: %t", m, i, s.Filled(i, m))
					}
				}
			}
			from := now - rapid.Int64Range(0, 6000).Draw(t, "from")
			to := from + rapid.Int64Range(0, 1500).Draw(t, "length")
			want := Share{Due: int(to - from)}
			for m := from; m < to; m++ {
				if received[m] {
					want.Received++
				}
				if valid[m] {
					want.Valid++
				}
			}
			if got := s.Share(from, to, 1); got != want || s.Any(from, to) != (want.Received > 0) {
				t.Fatalf("Share(%d, %d) = %+v, want %+v", from, to, got, want)
			}
		}
	})
}

// Damaged slots are refused or work.
func FuzzReadSlots(f *testing.F) {
	s := NewSlots()
	s.AddSeries()
	for m := int64(29_000_000); m < 29_002_000; m += 1 + m%3 {
		s.Mark(m, m%5 > 0)
		s.Fill(0, m-m%2)
	}
	f.Add(s.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _, err := ReadSlots(b, 8)
		if err != nil {
			return
		}
		at := max(s.newest, 0) << 6
		for m := at - 300; m < at+300; m++ {
			s.Mark(m, m%2 == 0)
			for i := range s.filled {
				s.Fill(i, m)
			}
		}
		s.Forget(at - 100)
		if _, _, err := ReadSlots(s.AppendTo(nil), 8); err != nil {
			t.Fatal(err)
		}
	})
}
