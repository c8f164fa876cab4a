//go:build integration

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"

	"outfall/internal/broker"
	"outfall/sinks/influx"
	"outfall/telemetry"
)

// A chaosProcess is an outfall process that is started again and again with the same arguments, its output in one file.
type chaosProcess struct {
	name, log string
	args      []string
	cmd       *exec.Cmd
	ended     chan struct{} // closed when cmd has ended
}

// newChaosProcess starts nothing. The process is killed at the end of the test, and its output shown if that failed.
func newChaosProcess(t *testing.T, dir, name string, args ...string) *chaosProcess {
	t.Helper()
	p := &chaosProcess{name: name, log: filepath.Join(dir, name+".log"), args: args}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.cmd.Process.Kill()
			<-p.ended
		}
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("--- %s\n%s", name, tail(string(text), 8000))
		}
	})
	return p
}

func (p *chaosProcess) start() error {
	bin, err := outfallBinary()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd, ended := exec.Command(bin, p.args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return errors.Join(err, out.Close())
	}
	go func() {
		defer close(ended)
		defer out.Close()
		fmt.Fprintf(out, "--- process %d: %v\n", cmd.Process.Pid, cmd.Wait())
	}()
	p.cmd, p.ended = cmd, ended
	return nil
}

func (p *chaosProcess) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	return nil
}

// stop asks the process to drain and wants it to end well.
func (p *chaosProcess) stop(t *testing.T) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatalf("%s did not end within a minute of SIGTERM", p.name)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s: exit %d after SIGTERM, want 0", p.name, code)
	}
}

// victim makes the process one. It serves when ready says so.
func (p *chaosProcess) victim(kills int, run time.Duration, ready func() bool) *chaosVictim {
	v := &chaosVictim{name: p.name, kills: kills, run: run, kill: p.kill, ready: ready, why: func() string {
		text, _ := os.ReadFile(p.log)
		return tail(string(text), 600)
	}}
	v.start = func() error {
		err := p.start()
		v.ended = p.ended
		return err
	}
	return v
}

// lowPorts are free ports below those that the kernel gives to clients, so that nobody takes one while its server is down.
func lowPorts(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for port := 20_000 + os.Getpid()%10_000; port < 32_000 && len(addresses) < n; port++ {
		if l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			l.Close()
			addresses = append(addresses, l.Addr().String())
		}
	}
	if len(addresses) < n {
		t.Fatalf("only %d ports below 32000 are free", len(addresses))
	}
	return addresses
}

func answersOK(url string) bool {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode/100 == 2
}

// chaosEmbedded kills the one process of `outfall run`, which is broker, ingest, worker and sink at once, and its influxd.
func chaosEmbedded(t *testing.T, cfg chaosConfig, kills, influxKills int, run time.Duration) {
	tmp := t.TempDir()
	dir := filepath.Join(tmp, "d")
	kafka := broker.DefaultConfig()
	kafka.RetentionBytes = 512 << 20 // everything is kept: all of it is compared
	t.Setenv("OUTFALL_KAFKA_RETENTION_BYTES", strconv.FormatInt(kafka.RetentionBytes, 10))
	t.Setenv("OUTFALL_STREAM_SNAPSHOT_INTERVAL", "3s")
	devices, err := chaosDevices(cfg.devices)
	if err != nil {
		t.Fatal(err)
	}
	registry, rules := writeChaosFiles(t, tmp, devices)
	ports := lowPorts(t, 2)
	influxDir := filepath.Join(dir, "influx")
	_, influxPort, _ := net.SplitHostPort(ports[1])
	if err := errors.Join(os.MkdirAll(influxDir, 0o700), os.WriteFile(filepath.Join(influxDir, "port"), []byte(influxPort), 0o600)); err != nil {
		t.Fatal(err)
	}

	p := newChaosProcess(t, tmp, "run", "run", "--data", dir, "--listen", ports[0], "--admin", "127.0.0.1:0", "--no-sample")
	ready := func() bool {
		info, err := readRunInfo(dir)
		return err == nil && info != nil && info.PID == p.cmd.Process.Pid
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 4*time.Minute, "the process is ready", func() bool {
		select {
		case <-p.ended:
			t.Fatal("the process ended before it was ready")
		default:
		}
		return ready()
	})
	outfall(t, 0, "registry", "import", registry, "--data", dir)
	outfall(t, 0, "rules", "activate", rules, "--data", dir)

	v := p.victim(kills, run, func() bool { return true })
	v.acks, v.whole, v.ended = true, ready, p.ended
	runChaos(t, cfg, ports[0], devices, []*chaosVictim{v, influxdVictim(influxDir, influxKills, 4*run)}).settleEmbedded(t, p, dir, kafka)
}

// influxdVictim is the influxd of a process that runs on dir and starts it again. It dies at any moment, while it starts too.
func influxdVictim(dir string, kills int, run time.Duration) *chaosVictim {
	living := func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "influxd.pid"))
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || pid <= 1 {
			return 0
		}
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if !strings.Contains(string(args), dir) { // the pid may be another program's by now
			return 0
		}
		return pid
	}
	return &chaosVictim{name: "influxd", kills: kills, run: run, start: func() error { return nil }, kill: func() error {
		for end := time.Now().Add(chaosPatience); ; time.Sleep(5 * time.Millisecond) {
			if pid := living(); pid != 0 {
				if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
					return err
				}
			}
			if time.Now().After(end) {
				return errors.New("there is no influxd to kill")
			}
		}
	}}
}

// settleEmbedded stops the process, lets a sink write what it had not written, and checks the books.
func (c *chaos) settleEmbedded(t *testing.T, p *chaosProcess, dir string, kafka broker.Config) {
	t.Helper()
	p.stop(t)
	embedded, err := broker.StartEmbedded(dir, kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer embedded.Close()
	bin, err := influx.Prepare(t.Context(), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	server, err := influx.StartEmbedded(t.Context(), bin, filepath.Join(dir, "influx"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	cfg := influx.DefaultConfig()
	cfg.URL = server.URL()
	sink, err := influx.New(cfg, embedded.Cluster(), zerolog.Nop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sink.Run(ctx) }()
	awaitGroup(t, embedded.Cluster(), "outfall.sink-influx", telemetry.TopicPoints)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c.checkTopics(t, embedded.Cluster())
	if err := embedded.Close(); err != nil {
		t.Fatal(err)
	}
	points := chaosReplay(t, "--data", dir)
	checkInfluxPoints(t, influxQL{url: server.URL(), db: "outfall"}, points)
}

// awaitGroup waits until the group has committed everything that the topic holds.
func awaitGroup(t *testing.T, cluster *broker.Cluster, group string, topic telemetry.Topic) {
	t.Helper()
	ends, err := cluster.Offsets(t.Context(), topic, broker.FromEnd)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := cluster.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	var committed kadm.OffsetResponses
	eventually(t, 5*time.Minute, fmt.Sprintf("group %s has committed the end of %s", group, topic), func() bool {
		if committed, err = adm.FetchOffsets(t.Context(), group); err != nil {
			return false
		}
		for p, end := range ends {
			if o, ok := committed.Lookup(cluster.Topic(topic), int32(p)); end > 0 && (!ok || o.At < end) {
				return false
			}
		}
		return true
	})
}
