package influx

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// fakeInflux answers as InfluxDB 1.8.10 does: a write with bad lines among good ones stores the good ones and is refused with 400.
type fakeInflux struct {
	*httptest.Server
	mu       sync.Mutex
	lines    []string // stored, in order of arrival, with repetitions
	requests int
	status   int           // answer to writes instead of storing; 0: store
	foreign  bool          // another server's answer: no header of InfluxDB
	missing  bool          // the database does not exist
	delay    time.Duration // before a write is answered
}

func newFakeInflux(t testing.TB) *fakeInflux {
	f := &fakeInflux{}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeInflux) set(change func(*fakeInflux)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeInflux) stored() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.lines)
}

func (f *fakeInflux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if r.URL.Path == "/api/v2/write" {
		time.Sleep(delay)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.foreign {
		w.Header().Set("X-Influxdb-Version", "1.8.10")
	}
	switch r.URL.Path {
	case "/ping":
		w.WriteHeader(http.StatusNoContent)
	case "/query":
		f.missing = false
		io.WriteString(w, `{"results":[{"statement_id":0}]}`)
	case "/api/v2/write":
		f.write(w, string(body))
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeInflux) write(w http.ResponseWriter, body string) {
	f.requests++
	if f.status != 0 {
		w.WriteHeader(f.status)
		return
	}
	if f.missing {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"code":"not found","message":"database not found: \"outfall\""}`)
		return
	}
	bad := ""
	for rest := []byte(body); len(rest) > 0; {
		var l []byte
		if l, rest = cutLine(rest); strings.HasPrefix(string(l), "bad") {
			bad = string(l)
		} else {
			f.lines = append(f.lines, string(l))
		}
	}
	if bad != "" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"code":"invalid","message":%q}`, "partial write: unable to parse '"+bad+"': missing fields dropped=0")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// cluster starts an embedded broker with its topics, which ends with the test.
func cluster(t testing.TB, partitions int32) *broker.Cluster {
	return embedded(t, partitions).Cluster()
}

func embedded(t testing.TB, partitions int32) *broker.Embedded {
	t.Helper()
	dir, err := os.MkdirTemp("", "sink") // not t.TempDir: the path of a Unix socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := broker.DefaultConfig()
	conf.Partitions = partitions
	e, err := broker.StartEmbedded(dir, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// A point is a record of the points topic to be produced; source < 0: without a position.
type point struct {
	partition int32
	source    int64
	ordinal   int32
	value     string
}

func produce(t testing.TB, c *broker.Cluster, points ...point) {
	t.Helper()
	cl, err := c.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	records := make([]*kgo.Record, len(points))
	for i, p := range points {
		records[i] = &kgo.Record{Topic: c.Topic(telemetry.TopicPoints), Partition: p.partition, Value: []byte(p.value)}
		if p.source >= 0 {
			records[i].Headers = []kgo.RecordHeader{
				{Key: telemetry.HeaderSource, Value: fmt.Append(nil, p.source)},
				{Key: telemetry.HeaderOrdinal, Value: fmt.Append(nil, p.ordinal)},
			}
		}
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// series makes n points of a partition, at journal offsets from first on.
func series(partition int32, first, n int) []point {
	points := make([]point, n)
	for i := range points {
		points[i] = point{partition, int64(first + i), 0, fmt.Sprintf("m,p=%d v=%di %d", partition, first+i, first+i)}
	}
	return points
}

func values(points ...[]point) []string {
	var all []string
	for _, p := range slices.Concat(points...) {
		all = append(all, p.value)
	}
	return all
}

func testConfig(url string) Config {
	c := DefaultConfig()
	c.URL = url
	c.FlushInterval = 10 * time.Millisecond
	c.MaxRetryInterval = 100 * time.Millisecond
	return c
}

// A testSink runs until stop, or the end of the test.
type testSink struct {
	*Sink
	reg  *prometheus.Registry
	stop func()
}

func runSink(t testing.TB, cfg Config, c Cluster) *testSink {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	s, err := New(cfg, c, zerolog.New(zerolog.NewTestWriter(t)), reg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return &testSink{s, reg, stop}
}

// committed are the group's offsets and their metadata.
func committed(t testing.TB, c *broker.Cluster) map[int32]string {
	t.Helper()
	cl, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	offsets, err := kadm.NewClient(cl).FetchOffsets(t.Context(), (&Sink{cluster: c}).group())
	if err != nil {
		t.Fatal(err)
	}
	got := map[int32]string{}
	offsets.Each(func(o kadm.OffsetResponse) { got[o.Partition] = fmt.Sprintf("%d@%s", o.At, o.Metadata) })
	return got
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
