package influx

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// checkOrder fails unless got holds exactly the values of each series, each in its order.
func checkOrder(t *testing.T, got []string, want ...[]point) {
	t.Helper()
	for _, s := range want {
		var of []string
		for _, l := range got {
			if strings.HasPrefix(l, fmt.Sprintf("m,p=%d ", s[0].partition)) {
				of = append(of, l)
			}
		}
		if w := values(s); !slices.Equal(of, w) {
			t.Errorf("partition %d: %d lines arrived, want %d in order; first %q, last %q", s[0].partition, len(of), len(w), of[:min(3, len(of))], of[max(0, len(of)-3):])
		}
	}
	if n := len(values(want...)); len(got) != n {
		t.Errorf("%d lines arrived, want %d", len(got), n)
	}
}

func TestSinkWritesAllInOrder(t *testing.T) {
	c, in := cluster(t, 3), newFakeInflux(t)
	a, b, d := series(0, 10, 2000), series(1, 0, 1), series(2, 500, 700)
	produce(t, c, slices.Concat(a, b, d)...)
	cfg := testConfig(in.URL)
	cfg.BatchLines = 97
	s := runSink(t, cfg, c)
	eventually(t, "all written", func() bool { return s.Stats().Points == 2701 && s.Stats().Lag == 0 })
	checkOrder(t, in.stored(), a, b, d)
	s.stop()
	want := map[int32]string{0: "2000@2009/0", 1: "1@0/0", 2: "700@1199/0"}
	if got := committed(t, c); !maps.Equal(got, want) {
		t.Errorf("committed %v, want %v", got, want)
	}
	if in.requests < 2701/97 || in.requests > 40 {
		t.Errorf("%d requests for 2701 lines in batches of 97", in.requests)
	}
}

// InfluxDB away: nothing is committed, the sink says so, and everything arrives once it is back.
func TestSinkOutlastsOutage(t *testing.T) {
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusUnauthorized} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			c, in := cluster(t, 1), newFakeInflux(t)
			in.set(func(f *fakeInflux) { f.status = status })
			want := series(0, 0, 300)
			produce(t, c, want...)
			s := runSink(t, testConfig(in.URL), c)
			eventually(t, "five attempts", func() bool { in.mu.Lock(); defer in.mu.Unlock(); return in.requests >= 5 })
			if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "points wait for InfluxDB since") {
				t.Errorf("Ready = %v while InfluxDB is away", err)
			}
			eventually(t, "the lag is known", func() bool { return s.Stats().Lag == 300 })
			if got := committed(t, c); len(got) != 0 {
				t.Errorf("committed %v though nothing was written", got)
			}
			in.set(func(f *fakeInflux) { f.status = 0 })
			eventually(t, "all written", func() bool { return s.Stats().Points == 300 && s.Ready() == nil })
			checkOrder(t, in.stored(), want)
		})
	}
}

// A server that is not InfluxDB refuses everything: no point may be given up for that.
func TestSinkGivesNothingUpForWrongServer(t *testing.T) {
	c, in := cluster(t, 1), newFakeInflux(t)
	in.set(func(f *fakeInflux) { f.status, f.foreign = http.StatusBadRequest, true })
	want := series(0, 0, 3)
	produce(t, c, want...)
	s := runSink(t, testConfig(in.URL), c)
	eventually(t, "three attempts", func() bool { in.mu.Lock(); defer in.mu.Unlock(); return in.requests >= 3 })
	in.set(func(f *fakeInflux) { f.status, f.foreign = 0, false })
	eventually(t, "all written", func() bool { return s.Stats().Points == 3 })
	if st := s.Stats(); st.Bad != 0 {
		t.Errorf("stats %+v: points were given up", st)
	}
	checkOrder(t, in.stored(), want)
}

func TestSinkMakesMissingDatabase(t *testing.T) {
	c, in := cluster(t, 1), newFakeInflux(t)
	in.set(func(f *fakeInflux) { f.missing = true })
	produce(t, c, series(0, 0, 3)...)
	s := runSink(t, testConfig(in.URL), c)
	eventually(t, "all written", func() bool { return s.Stats().Points == 3 })
}

// Bad lines are found among good ones, of the same record too, and the good ones are stored; their order stays.
func TestSinkIsolatesBadLines(t *testing.T) {
	c, in := cluster(t, 1), newFakeInflux(t)
	var want []string
	var points []point
	for i := range 1000 {
		good := fmt.Sprintf("m,p=0 v=%di,text=\"a\nb\" %d", i, i)
		value := good
		if i%333 == 7 {
			value = "bad before\n" + good + "\nbad,behind=1"
		}
		want = append(want, good)
		points = append(points, point{0, int64(i), 3, value})
	}
	produce(t, c, points...)
	s := runSink(t, testConfig(in.URL), c)
	eventually(t, "all written", func() bool { return s.Stats().Points == 1000 && s.Stats().Lag == 0 })
	if st := s.Stats(); st.Bad != 6 {
		t.Errorf("stats %+v, want 6 bad", st)
	}
	// Lines may come again after ones that were behind them, but then those come again too: the last arrivals are in order.
	last := map[string]int{}
	for i, l := range in.stored() {
		last[l] = i
	}
	for i := range want {
		if _, ok := last[want[i]]; !ok {
			t.Fatalf("line %d is missing", i)
		}
		if i > 0 && last[want[i]] < last[want[i-1]] {
			t.Fatalf("line %d ended up before line %d", i, i-1)
		}
	}
	s.stop()
	if got := committed(t, c)[0]; got != "1000@999/3" {
		t.Errorf("committed %s, want 1000@999/3", got)
	}
}

// What a worker that lost its partition writes late is dropped, also by the sink that starts behind its records.
func TestSinkDropsPassedPositions(t *testing.T) { exercisePositions(t, cluster(t, 1)) }

func exercisePositions(t *testing.T, c *broker.Cluster) {
	in := newFakeInflux(t)
	want := series(0, 0, 10)
	produce(t, c, want[:8]...)
	produce(t, c, want[2:5]...)
	s := runSink(t, testConfig(in.URL), c)
	eventually(t, "the duplicates are seen", func() bool { return s.Stats().Duplicates == 3 && s.Stats().Lag == 0 })
	s.stop()
	if got := committed(t, c)[0]; got != "11@7/0" {
		t.Errorf("committed %s, want 11@7/0", got)
	}
	produce(t, c, want[5:]...)
	produce(t, c, point{0, -1, 0, "m,p=0 v=99i 99"})
	s = runSink(t, testConfig(in.URL), c)
	eventually(t, "the rest is written", func() bool { return s.Stats().Lag == 0 && s.Stats().Points == 2 })
	checkOrder(t, in.stored(), want)
	if st := s.Stats(); st.Duplicates != 3 || st.Bad != 1 {
		t.Errorf("stats %+v, want 3 duplicates and 1 bad (no position)", st)
	}
}

// The write in flight when the sink is told to stop is finished and committed.
func TestSinkFinishesWriteInFlight(t *testing.T) {
	c, in := cluster(t, 1), newFakeInflux(t)
	in.set(func(f *fakeInflux) { f.delay = 300 * time.Millisecond })
	produce(t, c, series(0, 0, 50)...)
	s := runSink(t, testConfig(in.URL), c)
	eventually(t, "a write began", func() bool {
		return len(s.writing) > 0
	})
	s.stop()
	if st := s.Stats(); st.Points == 0 {
		t.Fatalf("stats %+v: the write in flight was dropped", st)
	} else if got, want := committed(t, c)[0], fmt.Sprintf("%d@%d/0", st.Points, st.Points-1); got != want {
		t.Errorf("committed %s, want %s", got, want)
	}
	if err := s.Ready(); err == nil {
		t.Error("Ready = nil after Run has ended")
	}
}

// With Kafka away the sink says so, and still ends when told to.
func TestSinkEndsWithoutKafka(t *testing.T) {
	e, in := embedded(t, 1), newFakeInflux(t)
	produce(t, e.Cluster(), series(0, 0, 10)...)
	cfg := testConfig(in.URL)
	cfg.Timeout = 500 * time.Millisecond
	s := runSink(t, cfg, e.Cluster())
	eventually(t, "all written", func() bool { return s.Stats().Points == 10 })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the sink misses Kafka", func() bool { return s.Ready() != nil && strings.Contains(s.Stats().Trouble, "points wait for Kafka") })
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the sink took %v to end", took)
	}
}

// Partitions move between sinks while points flow: each point arrives, in order, once.
func TestSinksShareAndHandOver(t *testing.T) {
	c, in := cluster(t, 4), newFakeInflux(t)
	var all [4][]point
	for p := range all {
		all[p] = series(int32(p), 0, 400)
	}
	feed := func(from, to int) {
		for i := from; i < to; i += 20 {
			for p := range all {
				produce(t, c, all[p][i:i+20]...)
			}
		}
	}
	cfg := testConfig(in.URL)
	cfg.BatchLines = 16
	s1 := runSink(t, cfg, c)
	feed(0, 100)
	s2 := runSink(t, cfg, c)
	eventually(t, "both have partitions", func() bool { return len(s1.assigned()) == 2 && len(s2.assigned()) == 2 })
	feed(100, 200)
	s1.stop()
	feed(200, 400)
	eventually(t, "all written", func() bool { return s1.Stats().Points+s2.Stats().Points == 1600 })
	checkOrder(t, in.stored(), all[:]...)
}

// Points that retention deletes while InfluxDB is away are counted, and the rest goes on.
func TestSinkReportsHole(t *testing.T) {
	c, in := cluster(t, 1), newFakeInflux(t)
	want := series(0, 0, 100)
	produce(t, c, want[:10]...)
	s := runSink(t, testConfig(in.URL), c)
	eventually(t, "the first are written", func() bool { return s.Stats().Points == 10 })
	s.stop()
	produce(t, c, want[10:]...)
	deleteBefore(t, c, 0, 60)
	s = runSink(t, testConfig(in.URL), c)
	eventually(t, "the rest is written", func() bool { return s.Stats().Points == 40 })
	if st := s.Stats(); st.Lost != 50 {
		t.Errorf("stats %+v, want 50 lost", st)
	}
	checkOrder(t, in.stored(), slices.Concat(want[:10], want[60:]))
}

func deleteBefore(t *testing.T, c *broker.Cluster, partition int32, offset int64) {
	t.Helper()
	cl, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var offsets kadm.Offsets
	offsets.AddOffset(c.Topic(telemetry.TopicPoints), partition, offset, -1)
	res, err := kadm.NewClient(cl).DeleteRecords(t.Context(), offsets)
	if err == nil {
		err = res.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Every series stands from the start, so that a rate sees the first fault.
func TestMetricsExistFromTheStart(t *testing.T) {
	c := cluster(t, 2)
	s := runSink(t, testConfig("http://127.0.0.1:1"), c)
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range families {
		got[f.GetName()] = len(f.GetMetric())
	}
	want := map[string]int{"outfall_sink_points_total": 3, "outfall_sink_retries_total": 2, "outfall_sink_lost_records_total": 1,
		"outfall_sink_lag_records": 2, "outfall_sink_write_seconds": 1, "outfall_sink_last_write_timestamp_seconds": 1}
	if !maps.Equal(got, want) {
		t.Errorf("series %v, want %v", got, want)
	}
}

// BenchmarkSink: how fast the sink itself is; the server does no more than read.
func BenchmarkSink(b *testing.B) {
	in := newFakeInflux(b)
	in.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	benchmarkSink(b, testConfig(in.URL))
}

// benchmarkSink drains b.N records of ten points each.
func benchmarkSink(b *testing.B, cfg Config) {
	c := cluster(b, 8)
	var lines strings.Builder
	points := make([]point, 0, 10_000)
	for i := range b.N {
		lines.Reset()
		for factor := range 10 {
			fmt.Fprintf(&lines, "instant,mn=88888880000%04d,outlet=DA001,factor=a2%04d value=%d.25,valid=true,flag=\"N\" %d000000000\n", i%1000, factor, i%500, 1700000000+i)
		}
		points = append(points, point{int32(i % 8), int64(i), 0, lines.String()})
		if len(points) == cap(points) || i == b.N-1 {
			produce(b, c, points...)
			points = points[:0]
		}
	}
	b.ResetTimer()
	s := runSink(b, cfg, c)
	for s.Stats().Points < int64(b.N)*10 {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)*10/b.Elapsed().Seconds(), "points/s")
}
