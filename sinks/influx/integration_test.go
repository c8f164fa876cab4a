//go:build integration

package influx

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"outfall/internal/broker"
)

// need is an environment variable that names a real server.
func need(t testing.TB, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: the integration tests need real servers (deploy/local)", name)
	}
	return v
}

// What the sink needs of the consumer group, metadata of commits above all, on Apache Kafka.
func TestInfluxPositionsOnKafka(t *testing.T) {
	conf := broker.DefaultConfig()
	conf.Brokers = []string{need(t, "OUTFALL_TEST_KAFKA")}
	conf.TopicPrefix = fmt.Sprintf("sink-%d.", time.Now().UnixNano())
	conf.Partitions, conf.ReplicationFactor = 1, 1
	c := broker.Remote(conf)
	if _, err := c.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	exercisePositions(t, c)
}

// server is the configuration for the real InfluxDB 1.8.10 or 2.7.12 of the environment, with a database of this test's own on 1.8.
func server(t testing.TB, version string) Config {
	t.Helper()
	if version == "1" {
		c := testConfig(need(t, "OUTFALL_TEST_INFLUX1"))
		c.Bucket = fmt.Sprintf("sink_%d/autogen", time.Now().UnixNano())
		t.Cleanup(func() {
			db, _, _ := strings.Cut(c.Bucket, "/")
			c.influxQL(context.Background(), "DROP DATABASE "+quoteIdent(db))
		})
		return c
	}
	c := testConfig(need(t, "OUTFALL_TEST_INFLUX2"))
	c.Org, c.Bucket = need(t, "OUTFALL_TEST_INFLUX2_ORG"), need(t, "OUTFALL_TEST_INFLUX2_BUCKET")
	c.TokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(c.TokenFile, []byte(need(t, "OUTFALL_TEST_INFLUX2_TOKEN")), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// Points, a correction, bad lines of each kind that InfluxDB tells apart, and the same positions again.
func TestInfluxServers(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		t.Run("version="+version, func(t *testing.T) { exerciseReal(t, server(t, version)) })
	}
}

func exerciseReal(t *testing.T, cfg Config) {
	m := fmt.Sprintf("sink_test_%d", time.Now().UnixNano())
	now := time.Now().UTC().Truncate(time.Hour).Add(-time.Hour).UnixNano()
	var points []point
	for i := range 500 {
		points = append(points, point{int32(i % 2), int64(i), 0, fmt.Sprintf("%s,mn=%d,stat=hour avg=%d.5,rev=0i %d", m, i%10, i, now+int64(i/10)*1e9)})
	}
	points = append(points,
		point{0, 600, 0, fmt.Sprintf("%s,mn=0,stat=hour avg=77.5,rev=1i %d", m, now)},
		point{0, 601, 0, m + ",mn=0 broken"},
		point{0, 602, 0, fmt.Sprintf("%s,mn=0,stat=hour avg=\"text\" %d", m, now+1)}, // avg is a float
		point{0, 603, 0, fmt.Sprintf("%s,mn=text text=\"two\nlines\" %d", m, now)},
	)
	c := cluster(t, 2)
	produce(t, c, points...)
	s := runSink(t, cfg, c)
	eventually(t, "all written", func() bool { st := s.Stats(); return st.Points == 502 && st.Bad == 2 && st.Lag == 0 })

	query := func(flux string) []map[string]any {
		t.Helper()
		rows, err := cfg.Query(t.Context(), fmt.Sprintf(`from(bucket: %q) |> range(start: -1d) |> filter(fn: (r) => r._measurement == %q) `, cfg.Bucket, m)+flux)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if rows := query(`|> filter(fn: (r) => r._field == "avg") |> group() |> count()`); len(rows) != 1 || rows[0]["_value"] != int64(500) {
		t.Errorf("count: %v, want 500", rows)
	}
	for field, want := range map[string]any{"avg": 77.5, "rev": int64(1)} { // the corrected point
		rows := query(fmt.Sprintf(`|> filter(fn: (r) => r.mn == "0" and r._field == %q) |> first()`, field))
		if len(rows) != 1 || rows[0]["_value"] != want {
			t.Errorf("%s of the corrected point: %v, want %v", field, rows, want)
		}
	}
	if rows := query(`|> filter(fn: (r) => r.mn == "text")`); len(rows) != 1 || rows[0]["_value"] != "two\nlines" {
		t.Errorf("text: %v", rows)
	}
}

func TestInfluxBucketMissing(t *testing.T) {
	c := server(t, "2")
	if err := c.EnsureDatabase(t.Context()); err != nil {
		t.Errorf("the bucket is there, but: %v", err)
	}
	c.Bucket = "none"
	if err := c.EnsureDatabase(t.Context()); err == nil || !strings.Contains(err.Error(), `no bucket "none" in organisation`) {
		t.Errorf("EnsureDatabase = %v, want a missing bucket", err)
	}
	c = server(t, "1")
	c.Bucket = strings.TrimSuffix(c.Bucket, "autogen") + "none"
	if err := c.EnsureDatabase(t.Context()); err == nil || !strings.Contains(err.Error(), `no retention policy "none"`) {
		t.Errorf("EnsureDatabase = %v, want a missing retention policy", err)
	}
}

func prepare(t testing.TB) string {
	t.Helper()
	bin, err := Prepare(t.Context(), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// The sink outlives a kill -9 of InfluxDB; the data and the port are there again after the restart.
func TestInfluxEmbeddedKilledUnderTheSink(t *testing.T) {
	bin, dir := prepare(t), filepath.Join(t.TempDir(), "influx")
	e, err := StartEmbedded(t.Context(), bin, dir)
	if err != nil {
		t.Fatal(err)
	}
	url := e.URL()
	c := cluster(t, 2)
	s := runSink(t, testConfig(url), c)
	a := series(0, 0, 3000)
	produce(t, c, a[:1000]...)
	eventually(t, "the first are written", func() bool { return s.Stats().Points == 1000 })
	e.cmd.Process.Kill()
	<-e.Ended()
	produce(t, c, a[1000:]...)
	eventually(t, "the sink waits", func() bool { return s.Ready() != nil && s.Stats().Lag == 2000 })
	if e, err = StartEmbedded(t.Context(), bin, dir); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.URL() != url {
		t.Errorf("URL %s after the restart, %s before", e.URL(), url)
	}
	eventually(t, "all written", func() bool { return s.Stats().Points == 3000 && s.Ready() == nil })
	rows, err := testConfig(url).Query(t.Context(), `from(bucket: "outfall") |> range(start: 0) |> group() |> count()`)
	if err != nil || len(rows) != 1 || rows[0]["_value"] != int64(3000) {
		t.Errorf("count: %v, %v, want 3000", rows, err)
	}
	s.stop()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestMain lets the test binary be a parent that can be killed: it starts influxd, prints its URL and waits.
func TestMain(m *testing.M) {
	if bin := os.Getenv("SINK_TEST_PARENT_BIN"); bin != "" {
		e, err := StartEmbedded(context.Background(), bin, os.Getenv("SINK_TEST_PARENT_DIR"))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(e.URL())
		<-e.Ended()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A killed parent takes influxd along, and a restart works at once, even when it did not.
func TestInfluxEmbeddedOutlivesKilledParent(t *testing.T) {
	bin, dir := prepare(t), filepath.Join(t.TempDir(), "influx")
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "SINK_TEST_PARENT_BIN="+bin, "SINK_TEST_PARENT_DIR="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 200)
	n, err := out.Read(buf)
	url := strings.TrimSpace(string(buf[:n]))
	if err != nil || !strings.HasPrefix(url, "http://") {
		t.Fatalf("parent says %q, %v", url, err)
	}
	parent.Process.Signal(syscall.SIGKILL)
	parent.Wait()
	e, err := StartEmbedded(t.Context(), bin, dir)
	if err != nil {
		t.Fatal(err)
	}
	if e.URL() != url {
		t.Errorf("URL %s after the restart, %s before: the old influxd still held its port", e.URL(), url)
	}
	// One that nobody took along: its starter forgot it. A second start ends it.
	e2, err := StartEmbedded(t.Context(), bin, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e2.Close()
	select {
	case <-e.Ended():
	case <-time.After(5 * time.Second):
		t.Error("the stray influxd still runs")
	}
	if resp, err := http.Get(e2.URL() + "/ping"); err != nil {
		t.Error(err)
	} else {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// A pid file that names a process that is not ours does not end it.
func TestInfluxEmbeddedSparesStrangers(t *testing.T) {
	dir := t.TempDir()
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stranger.Process.Kill(); stranger.Wait() }()
	if err := os.WriteFile(filepath.Join(dir, "influxd.pid"), fmt.Append(nil, stranger.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := StartEmbedded(t.Context(), prepare(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger is gone: %v", err)
	}
}

func TestInfluxEmbeddedSaysWhyItDoesNotStart(t *testing.T) {
	false_, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := StartEmbedded(t.Context(), false_, t.TempDir()); err == nil || !strings.Contains(err.Error(), "ended while starting") {
		t.Errorf("StartEmbedded = %v", err)
	}
}

// BenchmarkSinkReal: with InfluxDB 1.8.10 on the same machine.
func BenchmarkSinkReal(b *testing.B) {
	e, err := StartEmbedded(b.Context(), prepare(b), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	benchmarkSink(b, testConfig(e.URL()))
}
