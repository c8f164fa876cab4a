package archive

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"outfall/internal/store"
)

// at is the archive in a directory.
func at(t testing.TB, dir string) Archive {
	t.Helper()
	d, err := store.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return In(d, "outfall.journal")
}

// same compares what the archive promises to keep.
func same(a, b *kgo.Record) bool {
	return a.Offset == b.Offset && a.Timestamp.Equal(b.Timestamp) && (a.Key == nil) == (b.Key == nil) && bytes.Equal(a.Key, b.Key) &&
		(a.Value == nil) == (b.Value == nil) && bytes.Equal(a.Value, b.Value) && reflect.DeepEqual(a.Headers, b.Headers)
}

func read(t testing.TB, files []File, from, end int64) []*kgo.Record {
	t.Helper()
	var got []*kgo.Record
	for _, f := range files {
		if err := f.Read(t.Context(), from, end, func(r *kgo.Record) error { got = append(got, r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// fill archives n records of size bytes from the offset first on, one every second, and returns them.
func fill(t testing.TB, a Archive, partition int32, first int64, n, size int) []*kgo.Record {
	t.Helper()
	w, err := a.NewWriter(partition, first)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	var all []*kgo.Record
	for i := range n {
		value := make([]byte, size)
		copy(value, fmt.Sprint(i*i*7919))
		r := &kgo.Record{Offset: first + int64(i), Key: []byte("MN"), Value: value, Timestamp: time.UnixMilli(1_764_000_000_000 + int64(i)*1000),
			Headers: []kgo.RecordHeader{{Key: "k", Value: []byte("frame")}}}
		all = append(all, r)
		if err := w.Add(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Seal(t.Context(), first+int64(n)); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestLossless: what is read is what was added, for any records, in any division into files.
func TestLossless(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		a := at(t, dir)
		next := rapid.Int64Range(0, 1<<40).Draw(rt, "first")
		first := next
		w, err := a.NewWriter(3, next)
		if err != nil {
			rt.Fatal(err)
		}
		var want []*kgo.Record
		var sealed []File
		some := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			if rapid.IntRange(0, 5).Draw(rt, "seal") == 0 {
				next += rapid.Int64Range(0, 3).Draw(rt, "hole")
				files, err := w.Seal(t.Context(), next)
				if err != nil {
					rt.Fatal(err)
				}
				sealed = append(sealed, files...)
				continue
			}
			next += int64(rapid.SampledFrom([]int{0, 0, 0, 0, 1, 900}).Draw(rt, "hole"))
			r := &kgo.Record{Offset: next, Key: some.Draw(rt, "key"), Value: some.Draw(rt, "value"),
				Timestamp: time.UnixMilli(rapid.Int64Range(-5, 1<<42).Draw(rt, "ms"))}
			if rapid.IntRange(0, 30).Draw(rt, "big") == 0 {
				r.Value = bytes.Repeat([]byte{byte(next)}, batchBytes)
			}
			for i := range rapid.IntRange(0, 3).Draw(rt, "headers") {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: fmt.Sprint(i), Value: some.Draw(rt, "header")})
			}
			if err := w.Add(t.Context(), r); err != nil {
				rt.Fatal(err)
			}
			want = append(want, r)
			next++
		}
		files, err := w.Seal(t.Context(), next)
		if err = errors.Join(err, w.Close()); err != nil {
			rt.Fatal(err)
		}
		sealed = append(sealed, files...)
		listed, err := a.List(t.Context(), 3)
		if err != nil || len(listed) != len(sealed) {
			rt.Fatalf("listed %d files, %v; sealed %d", len(listed), err, len(sealed))
		}
		var records int64
		for i, f := range listed {
			if i > 0 && f.First != listed[i-1].Next || i == 0 && f.First != first || i == len(listed)-1 && f.Next != next {
				rt.Fatalf("file %d is [%d, %d)", i, f.First, f.Next)
			}
			n, err := f.Verify(t.Context())
			if err != nil {
				rt.Fatal(err)
			}
			records += n
		}
		if records != int64(len(want)) {
			rt.Fatalf("%d records verified, %d added", records, len(want))
		}
		from := rapid.Int64Range(first, next).Draw(rt, "from")
		end := rapid.Int64Range(from, next).Draw(rt, "end")
		var wanted []*kgo.Record
		for _, r := range want {
			if r.Offset >= from && r.Offset < end {
				wanted = append(wanted, r)
			}
		}
		got := read(t, listed, from, end)
		if len(got) != len(wanted) {
			rt.Fatalf("[%d, %d): %d records, want %d", from, end, len(got), len(wanted))
		}
		for i := range got {
			if !same(got[i], wanted[i]) || got[i].Topic != "outfall.journal" || got[i].Partition != 3 {
				rt.Fatalf("got %+v, want %+v", got[i], wanted[i])
			}
		}
	})
}

func TestFilesAndBatchesAreBounded(t *testing.T) {
	a := at(t, t.TempDir())
	fill(t, a, 0, 100, 2_000, 10_000) // 20 MB
	files, err := a.List(t.Context(), 0)
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files, %v; want 3 of 8 MiB or less", len(files), err)
	}
	batches := 0
	err = files[0].batches(t.Context(), func(batch) (bool, error) { batches++; return true, nil })
	if err != nil || batches < 8 || batches > 9 {
		t.Errorf("%d batches in a file, %v", batches, err)
	}
	fill(t, a, 10, 0, 1, 1)
	fill(t, a, 2, 0, 1, 1)
	all, err := a.All(t.Context())
	if err != nil || len(all) != 5 || all[3].Partition != 2 || all[4].Partition != 10 || all[0] != files[0] || all[0].Size == 0 {
		t.Errorf("all: %+v, %v", all, err)
	}
}

func TestOffsetSince(t *testing.T) {
	a := at(t, t.TempDir())
	all := fill(t, a, 0, 0, 2_000, 3_000)
	files, err := a.List(t.Context(), 0)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, i := range []int{0, 1, 777, 1999} {
		for _, early := range []time.Duration{0, 300 * time.Millisecond} {
			offset, found, err := files[0].OffsetSince(t.Context(), all[i].Timestamp.Add(-early))
			if err != nil || !found || offset != int64(i) {
				t.Errorf("since record %d less %v: %d, %v, %v", i, early, offset, found, err)
			}
		}
	}
	if _, found, err := files[0].OffsetSince(t.Context(), all[1999].Timestamp.Add(time.Second)); err != nil || found {
		t.Errorf("since the end: %v, %v", found, err)
	}
}

// TestDamage: whatever byte changes, wherever the file is cut, verification finds it, and no wrong record is handed out.
func TestDamage(t *testing.T) {
	a := at(t, t.TempDir())
	all := fill(t, a, 0, 0, 40, 60_000)
	files, err := a.List(t.Context(), 0)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	f := files[0]
	whole, err := os.ReadFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, content []byte) {
		t.Helper()
		if err := os.WriteFile(f.Path(), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Verify(t.Context()); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: verified as %v", what, err)
		}
		_ = f.Read(t.Context(), 0, 40, func(r *kgo.Record) error { // its error was looked at
			if !same(r, all[r.Offset]) {
				t.Errorf("%s: record %d is handed out changed", what, r.Offset)
			}
			return nil
		})
	}
	var starts []int
	if err := f.batches(t.Context(), func(b batch) (bool, error) { starts = append(starts, b.at); return true, nil }); err != nil || len(starts) < 3 {
		t.Fatalf("batches at %v, %v", starts, err)
	}
	for i, start := range starts {
		end := len(whole)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		for at := start; at < end; at++ {
			switch in := at - start; {
			case in >= 12 && in < 16:
				continue // the leader's epoch, which nothing uses: no checksum of Kafka's covers it
			case in > headerSize && at%5 != 0:
				continue
			}
			changed := bytes.Clone(whole)
			changed[at] ^= 1 << (at % 8)
			check(fmt.Sprintf("byte %d", at), changed)
		}
	}
	for _, n := range []int{0, 1, headerSize, len(whole) / 2, len(whole) - 1} {
		check(fmt.Sprintf("cut to %d bytes", n), whole[:n])
	}
	check("more behind it", append(bytes.Clone(whole), whole...))
	if err := os.Remove(f.Path()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Verify(t.Context()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestNames(t *testing.T) {
	f := File{First: 17, Next: 1 << 40, Oldest: time.UnixMilli(-3).UTC(), Newest: time.UnixMilli(1_764_000_000_123).UTC()}
	if got, ok := parseName(f.name()); !ok || got != f {
		t.Errorf("%s is read as %+v, %v", f.name(), got, ok)
	}
	for _, name := range []string{"", "x", "1.2.3.4.log", "00000000000000000005.00000000000000000005.1.2.log",
		"00000000000000000005.00000000000000000006.1.2", "00000000000000000005.00000000000000000006.01.2.log"} {
		if f, ok := parseName(name); ok {
			t.Errorf("%q is taken for %+v", name, f)
		}
	}
}
