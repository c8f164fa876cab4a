package integrity

import (
	"bytes"
	"reflect"
	"testing"

	"outfall/telemetry"
)

// busy is a bed in which much happens.
func busy(t *testing.T) *bed {
	b := gasBed(t)
	b.gauge("a21026").flat = true
	b.before = func(hour int64) {
		b.w.Realtime(hour*3_600_000, hour*3_600_000+1000*(hour%700))
		b.w.Own(b.column("a21002"), hour%2 == 0, hour, whole(hour%40), whole(5), 10_000, true)
		b.w.Param("a21026", "i13008", telemetry.Fixed(hour%5)*100_000)
		b.w.Sampled(b.column("a21026"), hour*60, hour*60-hour%400)
		b.w.Flagged(b.column("a21002"), hour*60+hour%60, 1, []byte("CMDT")[hour%4:][:1])
		if hour%9 == 0 {
			b.w.Conflict()
		}
		b.marks = MarkSet(hour / 30 % 4)
	}
	b.set("a21026", func(minute int64, v telemetry.Fixed) telemetry.Fixed { return whole(minute / 300 % 3 * 20) })
	b.set("a21002", func(minute int64, v telemetry.Fixed) telemetry.Fixed { return v + whole(minute/60%25) })
	return b
}

// A watch that is written and read again after every hour says what the one that goes on says.
func TestWatchGoesOn(t *testing.T) {
	a, b := busy(t), busy(t)
	size := 0
	for range 20 * 24 {
		a.step()
		b.step()
		form := b.w.AppendTo(nil)
		size = max(size, len(form))
		back, rest, err := ReadWatch(form, len(b.gauges))
		if err != nil || len(rest) > 0 || !bytes.Equal(back.AppendTo(nil), form) {
			t.Fatalf("read back: %v, %d bytes left", err, len(rest))
		}
		b.w = back
	}
	if !reflect.DeepEqual(a.hits, b.hits) || !reflect.DeepEqual(a.days, b.days) {
		t.Errorf("%d hits, %d after reading back", len(a.hits), len(b.hits))
	}
	if len(a.hits) < 50 {
		t.Errorf("only %d hits", len(a.hits))
	}
	t.Logf("%d bytes for %d factors", size, len(b.gauges))
	if _, _, err := ReadWatch(b.w.AppendTo(nil), 1); err == nil {
		t.Error("too many series were read")
	}
	var none Watch
	if form := none.AppendTo(nil); len(form) != 1 {
		t.Errorf("nothing to remember takes %d bytes", len(form))
	}
}

// Damaged watches are refused or work.
func FuzzReadWatch(f *testing.F) {
	b := busy(&testing.T{})
	b.run(60)
	f.Add(b.w.AppendTo(nil))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, form []byte) {
		w, _, err := ReadWatch(form, 8)
		if err != nil {
			return
		}
		x := busy(t)
		x.w = w
		x.run(30)
		if _, _, err := ReadWatch(x.w.AppendTo(nil), 8); err != nil {
			t.Fatal(err)
		}
	})
}

// An hour allocates nothing when there is nothing to tell.
func TestHourAllocatesNothing(t *testing.T) {
	b := gasBed(t).run(48)
	h := Hour{Index: b.hour, Interval: 1, Medium: "gas", Expected: true}
	for i, g := range b.gauges {
		x := SeriesHour{Factor: g.factor, Role: RoleOf(g.factor), Facts: g.facts, Column: i}
		copy(x.Past[:], g.past)
		for m := range 60 {
			x.Means[m], x.Has = telemetry.Fixed(g.level+int64(m)%7)*10_000, x.Has|1<<m
		}
		h.Series = append(h.Series, x)
	}
	if n := testing.AllocsPerRun(100, func() { b.w.Hour(&h, nil); h.Index += 2 }); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

// BenchmarkHour: an hour of a device of six factors.
func BenchmarkHour(b *testing.B) {
	bed := gasBed(&testing.T{}).run(48)
	h := Hour{Index: bed.hour, Interval: 1, Medium: "gas", Expected: true}
	for i, g := range bed.gauges {
		x := SeriesHour{Factor: g.factor, Role: RoleOf(g.factor), Facts: g.facts, Column: i}
		copy(x.Past[:], g.past)
		for m := range 60 {
			x.Means[m], x.Has = telemetry.Fixed(g.level+int64(m)%7)*10_000, x.Has|1<<m
		}
		h.Series = append(h.Series, x)
	}
	b.ReportAllocs()
	for b.Loop() {
		bed.w.Hour(&h, nil)
		h.Index++
	}
}
