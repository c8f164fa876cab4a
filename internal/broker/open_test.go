package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// BenchmarkOpen is what docs/embedded.md says about the start of the embedded broker: a process of its own opens a journal of MiB bytes on 8
// partitions, left by a stop or by a kill. batch is the size of what ingest wrote at once: one frame, when few devices are connected, or many.
// OUTFALL_BENCH_OPEN sets the sizes, in MiB.
func BenchmarkOpen(b *testing.B) {
	sizes := "64,256,1024"
	if s := os.Getenv("OUTFALL_BENCH_OPEN"); s != "" {
		sizes = s
	}
	for size := range strings.SplitSeq(sizes, ",") {
		mib, err := strconv.ParseInt(size, 10, 32)
		if err != nil {
			b.Fatal(err)
		}
		for _, batch := range []string{"1frame", "64KiB"} {
			dir := tempDir(b)
			fillJournal(b, dir, mib<<20, batch == "1frame")
			for _, after := range []string{"stop", "kill"} {
				if after == "kill" {
					forgetStop(b, dir)
				}
				b.Run(fmt.Sprintf("MiB=%d/batch=%s/after=%s", mib, batch, after), func(b *testing.B) { benchmarkOpen(b, dir) })
			}
		}
	}
}

func benchmarkOpen(b *testing.B, dir string) {
	var peak, rest int64
	for range b.N {
		pid, _, kill := child(b, dir, "")
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		peak, rest = peak+kibibytes(b, status, "VmHWM:"), rest+kibibytes(b, status, "VmRSS:")
		kill()
		b.StartTimer()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/open")
	b.ReportMetric(float64(peak)/1024/float64(b.N), "peak-MiB")
	b.ReportMetric(float64(rest)/1024/float64(b.N), "RSS-MiB")
	b.ReportMetric(0, "ns/op")
}

func kibibytes(b *testing.B, status []byte, key string) int64 {
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == key {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("no %s", key)
	return 0
}

// fillJournal makes a journal of size bytes: one partition written, the others its copies.
func fillJournal(b *testing.B, dir string, size int64, single bool) {
	b.Helper()
	e, err := StartEmbedded(dir, DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	topic, folder := e.Cluster().Topic(telemetry.TopicJournal), filepath.Join(dir, "kafka", "log", "partitions")
	bytes := int32(64 << 10)
	if single {
		bytes = 1 << 10
	}
	cl, err := e.Cluster().Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(bytes), kgo.MaxBufferedRecords(20_000))
	if err != nil {
		b.Fatal(err)
	}
	written := func() (total int64) {
		segments, err := filepath.Glob(filepath.Join(folder, topic+"-0", "*.dat"))
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range segments {
			info, err := os.Stat(s)
			if err != nil {
				b.Fatal(err)
			}
			total += info.Size()
		}
		return total
	}
	n := 0
	for each := size / int64(e.Cluster().Partitions()); written() < each; {
		for range 5_000 {
			n++
			frame := fmt.Appendf(nil, "##0433QN=%017d;ST=31;CN=2011;PW=123456;MN=520181A00170C67EF96ED8C5;Flag=4;CP=&&DataTime=%014d;", n, n)
			for i, f := range []string{"a21026", "a21002", "a34013", "a19001", "a01011", "a01012", "a01013", "a01014"} {
				frame = fmt.Appendf(frame, "%s-Rtd=%d.%03d,%s-Flag=N;", f, (n*7919+i)%977, (n*104729)%997, f)
			}
			cl.Produce(b.Context(), &kgo.Record{Topic: topic, Key: []byte("520181A00170C67EF96ED8C5"), Value: append(frame, "&&1C80\r\n"...),
				Headers: []kgo.RecordHeader{{Key: "k", Value: []byte("frame")}, {Key: "gw", Value: []byte("gw1")}, {Key: "peer", Value: []byte("10.1.2.3:40000")}, {Key: "cn", Value: []byte("17")}}},
				func(_ *kgo.Record, err error) {
					if err != nil {
						b.Error(err)
					}
				})
		}
		if err := cl.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	cl.Close()
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d frames in %d bytes a partition", n, written())
	for p := range e.Cluster().Partitions() - 1 {
		to := filepath.Join(folder, fmt.Sprintf("%s-%d", topic, p+1))
		if err := os.RemoveAll(to); err != nil {
			b.Fatal(err)
		}
		if err := os.CopyFS(to, os.DirFS(filepath.Join(folder, topic+"-0"))); err != nil {
			b.Fatal(err)
		}
	}
}

// forgetStop makes a stopped broker's log look like a killed one's, which has no notes of its segments.
func forgetStop(b *testing.B, dir string) {
	b.Helper()
	notes, err := filepath.Glob(filepath.Join(dir, "kafka", "log", "partitions", "*", "snapshot.json"))
	if err != nil || len(notes) == 0 {
		b.Fatalf("%d notes, %v", len(notes), err)
	}
	for _, name := range notes {
		if err := os.Remove(name); err != nil {
			b.Fatal(err)
		}
	}
}
