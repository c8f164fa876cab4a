package integrity

import (
	"reflect"
	"testing"
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
	if s.Valid.Has(10) || s.Valid.Has(11) {
		t.Error("a slot with an invalid part counts as valid")
	}
}

func TestSetRoundTripAndForget(t *testing.T) {
	s := NewSet()
	for m := int64(29_000_000); m < 29_000_000+3000; m++ {
		s.Add(m)
	}
	s.Forget(29_000_000 + 1000)
	b, err := s.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 64 {
		t.Errorf("2000 minutes in a row take %d bytes", len(b))
	}
	back, err := ReadSet(b)
	if err != nil {
		t.Fatal(err)
	}
	if n := back.Count(0, 1<<31); n != 2000 || back.Has(29_000_999) || !back.Has(29_001_000) {
		t.Errorf("after the round trip: %d minutes", n)
	}
	if _, err := ReadSet([]byte{1, 2, 3}); err == nil {
		t.Error("a damaged set was read")
	}
}
