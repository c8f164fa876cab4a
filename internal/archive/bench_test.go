package archive

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// frames are n journal entries as loggers send them.
func frames(n int) []*kgo.Record {
	var all []*kgo.Record
	for i := range n {
		mn := fmt.Sprintf("520181A00170C67EF96E%04d", i%50)
		v := fmt.Appendf(nil, "##0433QN=%017d;ST=31;CN=2011;PW=123456;MN=%s;Flag=4;CP=&&DataTime=%014d;", 20260701000000000+i, mn, 20260701000000+i/50)
		for j, f := range []string{"a21026", "a21002", "a34013", "a19001", "a01011", "a01012", "a01013", "a01014"} {
			v = fmt.Appendf(v, "%s-Rtd=%d.%03d,%s-Flag=N;", f, (i*7919+j)%977, (i*104729)%997, f)
		}
		all = append(all, &kgo.Record{Offset: int64(i), Key: []byte(mn), Value: append(v, "&&1C80\r\n"...), Timestamp: time.UnixMilli(1_764_000_000_000 + int64(i)*20),
			Headers: []kgo.RecordHeader{{Key: "k", Value: []byte("frame")}, {Key: "gw", Value: []byte("gw1")}, {Key: "peer", Value: []byte("10.1.2.3:40000")}, {Key: "cn", Value: []byte("17")}}})
	}
	return all
}

func BenchmarkWrite(b *testing.B) {
	all := frames(20_000)
	var size int64
	for range b.N {
		a := at(b, b.TempDir())
		w, err := a.NewWriter(0, 0)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range all {
			if err := w.Add(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
		files, err := w.Seal(b.Context(), int64(len(all)))
		if err != nil {
			b.Fatal(err)
		}
		size = 0
		for _, f := range files {
			size += f.Size
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(all)*b.N)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(float64(size)/float64(len(all)), "B/frame")
}

func BenchmarkRead(b *testing.B) {
	all := frames(20_000)
	a := at(b, b.TempDir())
	w, err := a.NewWriter(0, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	for _, r := range all {
		if err := w.Add(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	files, err := w.Seal(b.Context(), int64(len(all)))
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		for _, f := range files {
			if err := f.Read(b.Context(), f.First, f.Next, func(*kgo.Record) error { n++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "frames/s")
}
