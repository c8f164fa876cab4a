package window

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	"outfall/telemetry"
)

func totalOf(values ...telemetry.Fixed) Total {
	var t Total
	for _, v := range values {
		t.Add(Value{v, v, v})
	}
	return t
}

func TestMeanRoundsOnceHalfToEven(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []telemetry.Fixed
		want   telemetry.Fixed
	}{
		{"empty", nil, 0},
		{"one", []telemetry.Fixed{7}, 7},
		{"half down to even", []telemetry.Fixed{2, 3}, 2},
		{"half up to even", []telemetry.Fixed{3, 4}, 4},
		{"negative half to even", []telemetry.Fixed{-2, -3}, -2},
		{"a third", []telemetry.Fixed{1, 0, 0}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := totalOf(tc.values...)
			if got := c.Mean(); got != tc.want {
				t.Errorf("mean of %v = %d, want %d millionths", tc.values, int64(got), int64(tc.want))
			}
		})
	}
}

func TestRemoveUndoesAdd(t *testing.T) {
	c := totalOf(5, -9, 1)
	c.Remove(-9)
	if want := totalOf(5, 1); c.Sum != want.Sum || c.N != want.N {
		t.Errorf("after Remove: %+v, want sum and count of %+v", c, want)
	}
	if c.Min != -9 {
		t.Errorf("Min = %d: extremes must stay", c.Min)
	}
}

// A modelRing keeps the windows of one kind in a map; the newest size of them count.
type modelRing[T any] struct {
	cells map[int64]*T
	head  int64
	any   bool
	size  int64
}

func (m *modelRing[T]) holds(i int64) bool { return m.any && i <= m.head && i > m.head-m.size }

func (m *modelRing[T]) touch(i int64) *T {
	if m.any && i <= m.head-m.size {
		return nil
	}
	if !m.any || i > m.head {
		m.head, m.any = i, true
	}
	for k := range m.cells {
		if !m.holds(k) {
			delete(m.cells, k)
		}
	}
	if m.cells[i] == nil {
		m.cells[i] = new(T)
	}
	return m.cells[i]
}

func newModelRing[T any](size int64) *modelRing[T] {
	return &modelRing[T]{cells: map[int64]*T{}, size: size}
}

// newHistory is an empty History of Rings that have memory for another one only.
func newHistory() History {
	r := NewRings(1)
	r.Of(0).Fill(0, 0, 0, Value{})
	return r.Of(r.Add())
}

type modelTotal struct {
	Total
	mark Mark
}

type modelMinute struct {
	Value
	filled bool
	mark   Mark
}

// Values of any size and any number of decimals, in any order: a History must agree with maps of all that it should hold, whatever form it
// has, and be the same after it was written and read.
func TestHistoryAgreesWithMaps(t *testing.T) {
	values := []telemetry.Fixed{0, 7_000_000, 12_300_000, 12_345_678, -3_000_001, 2_147_483_647, 2_147_483_648, 4_000_000_000_000_000, 4_000_000_000_000_001,
		math.MaxInt64, math.MinInt64, -5_500_000, 100_000_000_000}
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int{2, 4, 7, len(values)}).Draw(t, "values")
		h := newHistory()
		minutes, hours, days := newModelRing[modelMinute](MinuteCells), newModelRing[modelTotal](HourCells), newModelRing[modelTotal](DayCells)
		value := func(name string) telemetry.Fixed { return rapid.SampledFrom(values[:most]).Draw(t, name) }
		now := int64(29_000_000)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				now += rapid.SampledFrom([]int64{2, 50, 70, 200, 3000, 20_000}).Draw(t, "gap")
			case 1:
				h.ClearRules()
				for _, m := range minutes.cells {
					m.mark.Judged, m.mark.Alarmed = 0, 0
				}
				for _, r := range []*modelRing[modelTotal]{hours, days} {
					for _, c := range r.cells {
						c.mark.Judged, c.mark.Alarmed = 0, 0
					}
				}
			case 2:
				form := h.AppendTo(nil)
				h = newHistory()
				if rest, err := h.Read(form); err != nil || len(rest) > 0 {
					t.Fatalf("read back: %v, %d bytes left", err, len(rest))
				}
				if !bytes.Equal(form, h.AppendTo(nil)) {
					t.Fatal("another form after it was read back")
				}
			case 3:
				h.ClearMinutes()
				minutes = newModelRing[modelMinute](MinuteCells)
			default:
				now++
			}
			slot := now - rapid.SampledFrom([]int64{0, 0, 0, 0, 1, 30, 100, 130, 4000}).Draw(t, "age")
			v := Value{value("mean"), value("low"), value("high")}
			fillModel(t, h, minutes, hours, days, slot, v)
			checkModel(t, h, minutes, hours, days, slot, rapid.SampledFrom([]int64{60, 12}).Draw(t, "per"))
		}
	})
}

func fillModel(t *rapid.T, h History, minutes *modelRing[modelMinute], hours, days *modelRing[modelTotal], slot int64, v Value) {
	hour, day := slot/60, slot/1440
	mark, ok := h.Fill(slot, hour, day, v)
	if tooOld := hours.any && hour <= hours.head-HourCells || days.any && day <= days.head-DayCells; tooOld == ok {
		t.Fatalf("Fill of hour %d: %t", hour, ok)
	}
	if !ok {
		return
	}
	inHour, inDay := hours.touch(hour), days.touch(day)
	m := minutes.touch(slot)
	if (m != nil) != (mark != nil) {
		t.Fatalf("Fill of slot %d with head %d: mark %v", slot, minutes.head, mark)
	}
	if m != nil {
		if m.filled {
			inHour.Remove(m.Mean)
			inDay.Remove(m.Mean)
			m.mark.Judged = 0
		}
		m.Value, m.filled = v, true
		m.mark.Rev++
		mark.Rev++
		mark.Flags |= FromRecord
		m.mark.Flags |= FromRecord | held
		mark.Judged, mark.Alarmed = uint8(slot), uint8(slot>>3)
		m.mark.Judged, m.mark.Alarmed = uint8(slot), uint8(slot>>3)
	}
	for _, c := range []*modelTotal{inHour, inDay} {
		c.Add(v)
		c.mark.Flags |= held | Dirty
	}
	if slot%3 == 0 {
		_, mark := h.Hour(hour)
		mark.Flags = mark.Flags&^Dirty | Emitted
		inHour.mark.Flags = inHour.mark.Flags&^Dirty | Emitted
	}
}

func checkModel(t *rapid.T, h History, minutes *modelRing[modelMinute], hours, days *modelRing[modelTotal], slot, per int64) {
	for i := slot - 300; i < slot+300; i++ {
		v, mark := h.Minute(i)
		if m := minutes.cells[i]; (m != nil && minutes.holds(i)) != (mark != nil) || mark != nil && (v != m.Value || *mark != m.mark) {
			t.Fatalf("slot %d: %+v %+v, want %+v", i, v, mark, m)
		}
	}
	sum := func(r *modelRing[modelTotal], from, to int64) (all Total) {
		for i := from; i < to; i++ {
			if c := r.cells[i]; c != nil && r.holds(i) {
				all.Merge(&c.Total)
			}
		}
		return all
	}
	for i := slot/60 - 100; i < slot/60+100; i++ {
		got, mark := h.Hour(i)
		if c := hours.cells[i]; (c != nil && hours.holds(i)) != (mark != nil) || mark != nil && (got != c.Total || *mark != c.mark) {
			t.Fatalf("hour %d: %+v %+v, want %+v", i, got, mark, c)
		}
	}
	if got, want := h.RollingDay(slot/60), sum(hours, slot/60-23, slot/60+1); got != want {
		t.Fatalf("rolling day to hour %d: %+v, want %+v", slot/60, got, want)
	}
	var want Total
	for i := slot - per + 1; i <= slot; i++ {
		if m := minutes.cells[i]; m != nil && minutes.holds(i) {
			want.Add(m.Value)
		}
	}
	if got := h.RollingHour(slot, per); got != want && got.N+want.N > 0 {
		t.Fatalf("rolling %d to slot %d: %+v, want %+v", per, slot, got, want)
	}
	dirty := 0
	h.EachDirtyHour(slot/60, func(i int64, got Total, mark *Mark) {
		dirty++
		if c := hours.cells[i]; i >= slot/60 || c == nil || c.Total != got || c.mark.Flags&Dirty == 0 {
			t.Fatalf("hour %d is dirty with %+v", i, got)
		}
	})
	for i, c := range hours.cells {
		if hours.holds(i) && i < slot/60 && c.mark.Flags&Dirty != 0 {
			dirty--
		}
	}
	if dirty != 0 {
		t.Fatalf("%d dirty hours too many", dirty)
	}
}

func TestColumnsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one := rapid.OneOf(rapid.Int64Range(-100, 100), rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0}))
		v := rapid.SliceOfN(one, 0, MaxColumn).Draw(t, "v")
		b := append(AppendColumn([]byte("x"), v), "rest"...)
		got := make([]int64, len(v))
		rest, err := ReadColumn(b[1:], got)
		if err != nil || string(rest) != "rest" {
			t.Fatalf("%v, rest %q", err, rest)
		}
		for i := range v {
			if got[i] != v[i] {
				t.Fatalf("number %d: %d, want %d", i, got[i], v[i])
			}
		}
	})
}

// Damaged forms are refused or give a History that works.
func FuzzRead(f *testing.F) {
	for _, most := range []telemetry.Fixed{50_000_000, math.MaxInt64} {
		h := newHistory()
		for i := range int64(300) {
			h.Fill(29_000_000+i, (29_000_000+i)/60, (29_000_000+i)/1440, Value{telemetry.Fixed(i) * 1000, 0, most})
		}
		f.Add(h.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := newHistory()
		if _, err := h.Read(b); err != nil {
			return
		}
		back, form := newHistory(), h.AppendTo(nil)
		if _, err := back.Read(form); err != nil || !bytes.Equal(back.AppendTo(nil), form) {
			t.Fatalf("%q, which was read: %v", form, err)
		}
		from := h.minutes - 200
		for i := from; i < from+400; i++ {
			h.Fill(i, i/60, i/1440, Value{1, 2, 3})
			sum, day := h.RollingHour(i, 60), h.RollingDay(i/60)
			_, _ = sum.Mean(), day.Mean()
		}
	})
}
