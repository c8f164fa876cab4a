//go:build integration

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"outfall/bench"
	"outfall/internal/broker"
	"outfall/rules/registryfile"
	"outfall/telemetry"
)

const (
	stormDevices = 20_000
	stormFiles   = 20_000 // open files of each process
	// stormHeld is how many connections a process with so many files holds: see tcp.Config.MaxConnections.
	stormHeld = stormFiles*9/10 - 64
)

// TestEndToEndStorm has 20,000 data loggers dial one process at once, which has files for 17,936 of them: these are acknowledged, the others are
// turned away, dial again and get in as some leave. Then all connections are reset at once and everybody dials again, and at last the process
// is killed while everybody uploads. Every frame that was acknowledged is in the journal, and the counters add up.
func TestEndToEndStorm(t *testing.T) {
	influx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer influx.Close()
	dir := filepath.Join(t.TempDir(), "d")
	config := filepath.Join(t.TempDir(), "outfall.yaml")
	// Loggers from 127.0.0.0/8 are to be limited like any others.
	if err := os.WriteFile(config, fmt.Appendf(nil, "tcp:\n  unlimited_from: []\ninflux:\n  url: %q\n", influx.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	run := func(gateway, listen string) *stormGateway {
		g := &stormGateway{name: gateway, p: startStormProcess(t, "run", "--data", dir, "--listen", listen, "--admin", "127.0.0.1:0", "--no-sample",
			"--config", config, "--set", "ingest.gateway="+gateway)}
		info := g.p.waitRun(dir)
		g.admin, g.listen, g.socket = info.Admin, info.Ingest, info.socket()
		return g
	}
	first := run("gw1", "127.0.0.1:0")
	outfall(t, 0, "registry", "import", stormRegistry(t), "--data", dir)
	first.awaitDevices(t)
	field := startStorm(t, first.listen, stormDevices, 2)

	at := time.Now()
	field.order(stormUpload)
	field.awaitAcked(stormHeld, "as many as the process holds")
	eventually(t, 30*time.Second, "the process is full and turns the others away", func() bool {
		m := first.metrics(t)
		return m["outfall_ingest_connections"] == stormHeld && m.refused("max_connections") >= stormDevices-stormHeld
	})
	t.Logf("one process: %d connections, %.0f turned away so far, after %v", stormHeld, first.metrics(t).refused("max_connections"), time.Since(at).Round(100*time.Millisecond))
	field.order(stormLeave)
	field.awaitAll(at, "first upload")

	field.order(stormCut)
	at = time.Now()
	field.order(stormUpload)
	field.awaitAll(at, "after all connections were reset")
	first.settle(t)

	field.order(stormUpload)
	field.awaitAcked(stormDevices/10, "a tenth")
	first.p.kill()
	at = time.Now()
	field.order(stormUpload) // those that were acknowledged before the kill find out, too
	second := run("gw2", first.listen)
	t.Logf("started again in %v", time.Since(at).Round(100*time.Millisecond))
	field.awaitAll(at, "after kill -9")
	second.settle(t)

	checkStorm(t, field, broker.Dial(broker.DefaultConfig(), second.socket), first, second)
	second.p.stop()
	t.Logf("took %v", time.Since(begin).Round(time.Second))
}

// TestEndToEndStormOnTwo has 20,000 data loggers dial two processes on one port and stay, resets all connections at once, and kills one of the
// processes in the middle of an upload: the other one takes as many as it holds, and a new process on the port the rest.
func TestEndToEndStormOnTwo(t *testing.T) {
	dir := t.TempDir()
	prefix := fmt.Sprintf("storm%d.", time.Now().UnixNano())
	kafka, listen := env(t, "OUTFALL_TEST_KAFKA"), freePort(t)
	config := filepath.Join(dir, "outfall.yaml")
	text := fmt.Sprintf(`kafka:
  brokers: [%q]
  topic_prefix: %q
  partitions: 4
  replication_factor: 1
tcp:
  listen: %q
  reuse_port: true
  unlimited_from: []
`, kafka, prefix, listen)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	outfall(t, 0, "topics", "apply", "--config", config)
	outfall(t, 0, "registry", "import", stormRegistry(t), "--config", config)
	serve := func(gateway string) *stormGateway {
		g := &stormGateway{name: gateway, listen: listen, admin: freePort(t)}
		g.p = startStormProcess(t, "serve", "--role", "ingest", "--config", config, "--admin", g.admin, "--set", "ingest.gateway="+gateway)
		g.awaitDevices(t)
		return g
	}
	first, second := serve("gw1"), serve("gw2")
	field := startStorm(t, listen, stormDevices, 2)

	at := time.Now()
	field.order(stormUpload)
	field.awaitAll(at, "first upload")
	awaitBoth(t, first, second)

	field.order(stormCut)
	at = time.Now()
	field.order(stormUpload)
	field.awaitAll(at, "after all connections were reset")
	first.settle(t)
	second.settle(t)

	field.order(stormUpload)
	field.awaitAcked(stormDevices/10, "a tenth")
	first.p.kill()
	at = time.Now()
	field.order(stormUpload) // those that were acknowledged before the kill find out, too
	eventually(t, time.Minute, "the survivor is full", func() bool { return second.metrics(t).refused("max_connections") > 0 })
	third := serve("gw3")
	field.awaitAll(at, "after kill -9 of one")
	second.settle(t)
	third.settle(t)
	awaitBoth(t, second, third)

	c := broker.DefaultConfig()
	c.Brokers, c.TopicPrefix, c.Partitions, c.ReplicationFactor = []string{kafka}, prefix, 4, 1
	checkStorm(t, field, broker.Remote(c), first, second, third)
	second.p.stop()
	third.p.stop()
	t.Logf("took %v", time.Since(begin).Round(time.Second))
}

// awaitBoth waits until two processes have every logger between them, each some and none too many.
func awaitBoth(t *testing.T, x, y *stormGateway) {
	t.Helper()
	var a, b float64
	eventually(t, 30*time.Second, "both processes have every logger between them", func() bool {
		a, b = x.metrics(t)["outfall_ingest_connections"], y.metrics(t)["outfall_ingest_connections"]
		return a+b == stormDevices
	})
	t.Logf("%s has %.0f connections, %s has %.0f", x.name, a, y.name, b)
	if min(a, b) == 0 || max(a, b) > stormHeld {
		t.Errorf("%.0f and %.0f connections, want some of each and at most %d", a, b, stormHeld)
	}
}

// startStormProcess starts the program with stormFiles open files at most.
func startStormProcess(t *testing.T, args ...string) *process {
	t.Helper()
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil || files.Max < stormFiles {
		t.Fatalf("the limit of open files is %d (%v), the test needs %d", files.Max, err, stormFiles)
	}
	bin, err := outfallBinary()
	if err != nil {
		t.Fatal(err)
	}
	limited := []string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, stormFiles), bin}
	return launch(t, "outfall "+strings.Join(args, " "), exec.Command("sh", append(limited, args...)...))
}

// stormRegistry is a file of the loggers.
func stormRegistry(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "storm.csv")
	fleet := newSoakFleet("", soakConfig{devices: stormDevices, period: time.Minute})
	if err := os.WriteFile(file, registryfile.Format(fleet.registry()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A stormGateway is a process that loggers connect to.
type stormGateway struct {
	name, listen, admin, socket string
	p                           *process
	settled                     soakMetrics // when nothing was under way; nil: never
}

// awaitDevices waits until the process takes connections and knows the loggers.
func (g *stormGateway) awaitDevices(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, g.name+" knows the devices", func() bool {
		m, err := readSoakMetrics(g.admin)
		return err == nil && m["outfall_ingest_registry_devices"] == stormDevices
	})
}

func (g *stormGateway) metrics(t *testing.T) soakMetrics {
	t.Helper()
	m, err := readSoakMetrics(g.admin)
	if err != nil {
		t.Fatalf("%s: %v", g.name, err)
	}
	return m
}

func (m soakMetrics) refused(reason string) float64 {
	return m[fmt.Sprintf("outfall_ingest_refused_connections_total{reason=%q}", reason)]
}

func (m soakMetrics) frames(result string) float64 {
	return m[fmt.Sprintf("outfall_ingest_frames_total{result=%q}", result)]
}

// settle waits until everything that came in is counted as kept or refused, notes the counters, and checks that the process turned nobody away but
// for want of room and refused nothing but halves.
func (g *stormGateway) settle(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, g.name+": received = journaled + rejected, nothing under way", func() bool {
		m := g.metrics(t)
		g.settled = m
		return m["outfall_ingest_inflight_records"] == 0 && m["outfall_ingest_received_total"] == m.frames("journaled")+m.frames("rejected")
	})
	for name, v := range g.settled {
		why, refusal := strings.CutPrefix(name, "outfall_ingest_refused_connections_total{")
		reason, reject := strings.CutPrefix(name, "outfall_ingest_rejects_total{")
		if v > 0 && (refusal && why != `reason="max_connections"}` || reject && reason != `reason="half"}`) {
			t.Errorf("%s: %s is %.0f", g.name, name, v)
		}
	}
	rss, err := residentBytes(g.p.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	m := g.settled
	t.Logf("%s: %.0f connections, %.0f received, %.0f journaled, %.0f acknowledged, %.0f halves, %.0f turned away, %.0f failed accepts, RSS %d MiB", g.name,
		m["outfall_ingest_connections"], m["outfall_ingest_received_total"], m.frames("journaled"), m[`outfall_ingest_acked_total{kind="data"}`], m.frames("rejected"),
		m.refused("max_connections"), m["outfall_ingest_accept_errors_total"], rss>>20)
}

// checkStorm ends the field and compares its books with the journal: every acknowledged frame is there, and of each process as many frames as it
// has counted. A process that was killed may have written more than it had counted when it settled.
func checkStorm(t *testing.T, field *stormField, cluster *broker.Cluster, gateways ...*stormGateway) {
	t.Helper()
	stats := field.finish()
	for _, fault := range stats.Faults {
		t.Error(fault)
	}
	acked := map[bench.Digest]struct{}{}
	for _, path := range field.ledgers {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		part, err := bench.ReadLedger(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for d := range part {
			acked[d] = struct{}{}
		}
	}
	n := len(acked)
	if int64(n) != stats.Acked || stats.Acked != field.rounds*stormDevices {
		t.Errorf("%d different frames acknowledged in %d acks, want %d uploads of %d loggers", n, stats.Acked, field.rounds, stormDevices)
	}
	frames, halves := map[string]int{}, 0
	err := cluster.ReadAll(t.Context(), telemetry.TopicJournal, func(r *kgo.Record) error {
		switch header(r, telemetry.HeaderKind) {
		case telemetry.KindFrame.String():
			frames[header(r, telemetry.HeaderGateway)]++
			delete(acked, bench.DigestOf(r.Value))
		case telemetry.KindReject.String():
			halves++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d frames acknowledged, %d of them not in the journal; frames in the journal by gateway: %v; %d of %d halves", n, len(acked), frames, halves, stats.Halves)
	if len(acked) > 0 {
		t.Errorf("%d of %d acknowledged frames are not in the journal", len(acked), n)
	}
	if int64(halves) > stats.Halves { // a reset may overtake what was sent before it
		t.Errorf("%d halves in the journal, %d were sent", halves, stats.Halves)
	}
	for _, g := range gateways {
		kept, counted := frames[g.name], int(g.settled.frames("journaled"))
		select {
		case <-g.p.done:
			if kept < counted {
				t.Errorf("%s had counted %d frames before it was killed, the journal has %d of it", g.name, counted, kept)
			}
		default:
			if kept != counted {
				t.Errorf("%s has counted %d frames, the journal has %d of it", g.name, counted, kept)
			}
		}
	}
}
