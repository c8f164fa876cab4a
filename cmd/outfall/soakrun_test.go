//go:build integration

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/rules/registryfile"
	"outfall/telemetry"
)

// A soakConfig sizes a soak test.
type soakConfig struct {
	devices  int
	period   time.Duration // between two turns of a device, on average
	ramp     time.Duration // over which they connect
	duration time.Duration // the ramp included
	sample   time.Duration // between two looks at the server's memory
}

// TestEndToEndSoakShort plays 500 data loggers with every fault at a process for half a minute and checks the books: what came in is what
// was kept and what was refused, by reason, and every acknowledged frame is in the journal.
func TestEndToEndSoakShort(t *testing.T) {
	soak(t, soakConfig{devices: 500, period: time.Second, ramp: 3 * time.Second, duration: 30 * time.Second, sample: time.Second})
}

// soakRetention bounds a partition of the journal, so that the broker's indexes reach their full size within the warm-up of the long form.
// The journal is read as it grows, so nothing is missed.
const soakRetention = 16 << 20

// soak runs the server as a process, with everything on but InfluxDB, which is an HTTP server that takes all; and the fleet here.
func soak(t *testing.T, cfg soakConfig) {
	dir := filepath.Join(t.TempDir(), "d")
	influx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Influxdb-Version", "v2.7.12")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer influx.Close()
	t.Setenv("OUTFALL_INFLUX_URL", influx.URL)
	t.Setenv("OUTFALL_KAFKA_RETENTION_BYTES", strconv.Itoa(soakRetention))
	p := start(t, "run", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--no-sample")
	info := p.waitRun(dir)
	fleet := newSoakFleet(info.Ingest, cfg)
	importSoak(t, dir, info, fleet)

	kafka := broker.DefaultConfig()
	kafka.RetentionBytes = soakRetention
	books := newSoakBooks(fleet)
	following, stopFollowing := context.WithCancel(context.Background())
	var follow sync.WaitGroup
	defer func() { stopFollowing(); follow.Wait() }()
	for _, topic := range []telemetry.Topic{telemetry.TopicJournal, telemetry.TopicRejects} {
		follow.Go(func() {
			if err := broker.Dial(kafka, info.socket()).Follow(following, topic, broker.FromStart, books.take); err != nil {
				fleet.fault("follow %v: %v", topic, err)
			}
		})
	}
	playing, stopPlaying := context.WithTimeout(t.Context(), cfg.duration)
	defer stopPlaying()
	watch := &soakWatch{pid: p.cmd.Process.Pid, admin: info.Admin}
	var side sync.WaitGroup
	side.Go(func() { watch.run(playing, cfg.sample, fleet) })
	fleet.run(playing)
	side.Wait()

	// The connections' ends and what was under way; then the readers have the same as the counters.
	var m soakMetrics
	eventually(t, time.Minute, "every frame is counted and the last connection has ended", func() bool {
		var err error
		m, err = readSoakMetrics(info.Admin)
		return err == nil && m["outfall_ingest_connections"] == 0 && m["outfall_ingest_inflight_records"] == 0 &&
			m["outfall_ingest_received_total"] == m[`outfall_ingest_frames_total{result="journaled"}`]+m[`outfall_ingest_frames_total{result="rejected"}`]
	})
	eventually(t, time.Minute, "the journal's reader has every frame", func() bool {
		frames, rejects := books.counts()
		return frames >= int64(m[`outfall_ingest_frames_total{result="journaled"}`]) && rejects >= int64(m[`outfall_ingest_frames_total{result="rejected"}`])
	})
	stopFollowing()
	follow.Wait()
	checkSoak(t, fleet, books, m)
	watch.check(t, cfg)
	p.stop()
}

// importSoak registers the fleet and waits until the intake knows it.
func importSoak(t *testing.T, dir string, info *runInfo, fleet *soakFleet) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "soak.csv")
	if err := os.WriteFile(file, registryfile.Format(fleet.registry()), 0o600); err != nil {
		t.Fatal(err)
	}
	outfall(t, 0, "registry", "import", file, "--data", dir)
	eventually(t, time.Minute, "the intake knows the devices", func() bool {
		m, err := readSoakMetrics(info.Admin)
		return err == nil && int(m["outfall_ingest_registry_devices"]) == fleet.cfg.devices
	})
}

// soakBooks are what the topics hold: per device the number of journal frames and the sum of their digests, which needs no more memory
// however long it goes on, and the rejects by reason.
type soakBooks struct {
	mu      sync.Mutex // guards the rest
	index   map[string]int
	frames  []int64
	digest  []uint64
	strange int64 // frames of other devices
	rejects map[string]int64
	total   int64
}

func newSoakBooks(f *soakFleet) *soakBooks {
	b := &soakBooks{index: map[string]int{}, frames: make([]int64, len(f.devices)), digest: make([]uint64, len(f.devices)), rejects: map[string]int64{}}
	for i := range f.devices {
		b.index[f.devices[i].mn] = i
	}
	return b
}

func (b *soakBooks) take(r *kgo.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch header(r, telemetry.HeaderKind) {
	case telemetry.KindFrame.String():
		b.total++
		i, ok := b.index[string(r.Key)]
		if !ok {
			b.strange++
			return nil
		}
		b.frames[i]++
		b.digest[i] += soakDigest(r.Value)
	case telemetry.KindReject.String():
		b.rejects[header(r, telemetry.HeaderReason)]++
	}
	return nil
}

func (b *soakBooks) counts() (frames, rejects int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.rejects {
		rejects += n
	}
	return b.total, rejects
}

// soakMetrics are the samples of /metrics by name and labels, as they are printed.
type soakMetrics map[string]float64

func readSoakMetrics(admin string) (soakMetrics, error) {
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	m := soakMetrics{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		i := strings.LastIndexByte(lines.Text(), ' ')
		if i < 0 || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		if v, err := strconv.ParseFloat(lines.Text()[i+1:], 64); err == nil {
			m[lines.Text()[:i]] = v
		}
	}
	return m, lines.Err()
}

func (m soakMetrics) rejects(reason string) int64 {
	return int64(m[fmt.Sprintf("outfall_ingest_rejects_total{reason=%q}", reason)])
}

// checkSoak compares what the fleet did, what the server counted and what the topics hold.
func checkSoak(t *testing.T, f *soakFleet, b *soakBooks, m soakMetrics) {
	t.Helper()
	for _, fault := range f.faults {
		t.Error(fault)
	}
	if f.unanswered.Load()+f.broken.Load() > 0 {
		t.Errorf("%d frames unanswered, %d connections broken", f.unanswered.Load(), f.broken.Load())
	}
	t.Logf("%d devices, %d connections, %d bytes sent; turns: %s", len(f.devices), f.connects.Load(), f.bytes.Load(), f.turns())
	t.Logf("answers: p50 %d ms, p99 %d ms, p99.9 %d ms, longest %d ms", f.quantile(.5), f.quantile(.99), f.quantile(.999), f.quantile(1))
	t.Logf("%-28s %12s %12s %12s", "", "fleet", "counted", "in topics")
	row := func(what string, fleet, counted, kept int64, slack int64) {
		t.Logf("%-28s %12d %12d %12d", what, fleet, counted, kept)
		if counted != kept || counted > fleet || counted < fleet-slack {
			t.Errorf("%s: the fleet sent %d (%d of them may be lost), %d were counted and %d kept", what, fleet, slack, counted, kept)
		}
	}
	row("frames journaled", f.sent.Load(), int64(m[`outfall_ingest_frames_total{result="journaled"}`]), b.total, 0)
	resets := f.acts[actReset].Load()
	want := map[string]int64{"crc": f.acts[actCRC].Load(), "garbage": f.acts[actGarbage].Load(), "wrong_pw": f.acts[actPassword].Load(),
		"unknown_mn": f.acts[actUnknownMN].Load(), "half": f.acts[actHalf].Load() + resets}
	var reasons []string
	for name := range m {
		if reason, ok := strings.CutPrefix(name, `outfall_ingest_rejects_total{reason="`); ok {
			reasons = append(reasons, strings.TrimSuffix(reason, `"}`))
		}
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		slack := int64(0)
		if reason == "half" { // what a reset overtook
			slack = resets
		}
		if want[reason]+m.rejects(reason) > 0 {
			row("rejected: "+reason, want[reason], m.rejects(reason), b.rejects[reason], slack)
		}
	}
	acked, lost := int64(0), 0
	for i := range f.devices {
		d := &f.devices[i]
		acked += d.acked
		if d.acked != b.frames[i] || d.digest != b.digest[i] {
			lost++
		}
	}
	t.Logf("%-28s %12d %12.0f %12d", "acknowledged", acked, m[`outfall_ingest_acked_total{kind="data"}`], b.total-b.strange)
	if lost > 0 || acked != f.sent.Load() || acked != int64(m[`outfall_ingest_acked_total{kind="data"}`]) || b.strange > 0 {
		t.Errorf("for %d devices the journal does not hold exactly the acknowledged frames; %d of %d frames acknowledged, %d of strangers",
			lost, acked, f.sent.Load(), b.strange)
	}
	if taken, sent := int64(m["outfall_ingest_received_bytes_total"]+m["outfall_ingest_unread_bytes_total"]), f.bytes.Load(); taken > sent {
		t.Errorf("%d bytes counted, %d sent", taken, sent)
	}
}

func (f *soakFleet) turns() string {
	var b strings.Builder
	for act := range f.acts {
		fmt.Fprintf(&b, "%s %d, ", soakActNames[act], f.acts[act].Load())
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// quantile is of the time to an answer, in milliseconds.
func (f *soakFleet) quantile(q float64) int {
	total, last := int64(0), 0
	for ms := range f.latency {
		if n := f.latency[ms].Load(); n > 0 {
			total, last = total+n, ms
		}
	}
	want, seen := int64(q*float64(total)), int64(0)
	for ms := range f.latency {
		if seen += f.latency[ms].Load(); seen > want {
			return ms
		}
	}
	return last
}

// A soakWatch samples the server from outside.
type soakWatch struct {
	pid     int
	admin   string
	samples []soakSample
	errs    []error
}

type soakSample struct {
	at                          time.Duration
	rss, heap                   int64 // bytes; heap is what the last collection left
	goroutines, files, live     int64
	received, cpu, readsWaiting float64
}

func (w *soakWatch) run(ctx context.Context, every time.Duration, f *soakFleet) {
	begin := time.Now()
	for pause(ctx, every) {
		m, err := readSoakMetrics(w.admin)
		rss, rssErr := residentBytes(w.pid)
		if err = errors.Join(err, rssErr); err != nil {
			w.errs = append(w.errs, err)
			continue
		}
		w.samples = append(w.samples, soakSample{at: time.Since(begin), rss: rss, heap: int64(m["go_memstats_next_gc_bytes"] / 2), goroutines: int64(m["go_goroutines"]),
			files: int64(m["process_open_fds"]), live: f.live.Load(), received: m["outfall_ingest_received_total"], cpu: m["process_cpu_seconds_total"],
			readsWaiting: m["outfall_ingest_waiting_connections"]})
	}
}

func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm of process %d: %q", pid, text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// check prints the samples' course and wants no growth: of goroutines and files at all, and, over the long form, of memory. The ramp and the
// first third are the warm-up.
func (w *soakWatch) check(t *testing.T, cfg soakConfig) {
	t.Helper()
	for _, err := range w.errs {
		t.Errorf("sample: %v", err)
	}
	if len(w.samples) < 6 {
		t.Fatalf("only %d samples", len(w.samples))
	}
	third := len(w.samples) / 3
	for i := range 11 {
		s := w.samples[i*(len(w.samples)-1)/10]
		t.Logf("%8v  RSS %6.1f MiB  live heap %6.1f MiB  goroutines %4d  files %5d  connections %5d  received %9.0f  CPU %6.1f s  waiting %.0f", s.at.Round(time.Second),
			float64(s.rss)/(1<<20), float64(s.heap)/(1<<20), s.goroutines, s.files, s.live, s.received, s.cpu, s.readsWaiting)
	}
	middle, last := w.samples[third:2*third], w.samples[2*third:]
	first, end := middle[0], last[len(last)-1]
	span := (end.at - first.at).Seconds()
	t.Logf("%.0f frames/s, %.2f cores over the last two thirds; over the last third RSS slope %+.2f MiB/min, live heap %+.2f", (end.received-first.received)/span, (end.cpu-first.cpu)/span,
		slope(w.samples[2*third:], func(s soakSample) int64 { return s.rss })*60/(1<<20), slope(w.samples[2*third:], func(s soakSample) int64 { return s.heap })*60/(1<<20))
	median := func(samples []soakSample, f func(soakSample) int64) int64 {
		var values []int64
		for _, s := range samples {
			values = append(values, f(s))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	grown := func(what string, slack int64, f func(soakSample) int64) {
		if a, b := median(middle, f), median(last, f); b > a+slack {
			t.Errorf("%s grew from %d to %d", what, a, b)
		}
	}
	grown("goroutines", 20, func(s soakSample) int64 { return s.goroutines })
	grown("open files beyond connections", 50, func(s soakSample) int64 { return s.files - s.live })
	if cfg.duration >= 5*time.Minute {
		grown("resident bytes", median(middle, func(s soakSample) int64 { return s.rss })/20, func(s soakSample) int64 { return s.rss })
	}
}

// slope is the least-squares slope of f in units per second.
func slope(samples []soakSample, f func(soakSample) int64) float64 {
	var n, x, y, xx, xy float64
	for _, s := range samples {
		at, v := s.at.Seconds(), float64(f(s))
		n, x, y, xx, xy = n+1, x+at, y+v, xx+at*at, xy+at*v
	}
	return (n*xy - x*y) / (n*xx - x*x)
}
