//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/bench"
	"outfall/internal/broker"
	"outfall/telemetry"
)

// outfallBinary builds the program once: these tests use it as a person would, as processes that can be killed.
var outfallBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "outfall-bin")
	if err != nil {
		return "", err
	}
	atEnd = append(atEnd, func() { os.RemoveAll(dir) })
	bin := filepath.Join(dir, "outfall")
	out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, nil
})

// A process is one outfall process and what it printed.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  syncBuffer
	done chan struct{} // closed when it has ended
}

type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	bin, err := outfallBinary()
	if err != nil {
		t.Fatal(err)
	}
	return launch(t, "outfall "+strings.Join(args, " "), exec.Command(bin, args...))
}

// launch starts cmd, whose output is kept.
func launch(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("--- %s\n%s", p.name, tail(p.out.String(), 8000))
		}
	})
	return p
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// wait gives the exit code within the deadline.
func (p *process) wait(d time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(d):
		p.t.Fatalf("%s did not end within %v", p.name, d)
		return -1
	}
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// stop asks the process to drain and checks that it ends well.
func (p *process) stop() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(60 * time.Second); code != 0 {
		p.t.Errorf("%s: exit %d after SIGTERM, want 0", p.name, code)
	}
}

// outfall runs a command to its end and gives its standard output.
func outfall(t *testing.T, wantExit int, args ...string) string {
	t.Helper()
	bin, err := outfallBinary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != wantExit {
		t.Fatalf("outfall %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, wantExit, tail(stdout.String(), 3000), tail(stderr.String(), 3000))
	}
	return stdout.String()
}

// eventually polls until ok, for at most d.
func eventually(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); ; {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// waitRun waits for run.json of a live process.
func (p *process) waitRun(dir string) *runInfo {
	p.t.Helper()
	var info *runInfo
	eventually(p.t, 4*time.Minute, "run.json of the process", func() bool {
		select {
		case <-p.done:
			p.t.Fatalf("%s ended before it was ready", p.name)
		default:
		}
		live, err := readRunInfo(dir)
		info = live
		return err == nil && live != nil && live.PID == p.cmd.Process.Pid
	})
	return info
}

// waitJournal waits until the journal holds n entries: what happens next happens under load, however fast the machine is.
func waitJournal(t *testing.T, cluster *broker.Cluster, n int64) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("%d entries in the journal", n), func() bool {
		ends, err := cluster.Offsets(t.Context(), telemetry.TopicJournal, broker.FromEnd)
		var sum int64
		for _, end := range ends {
			sum += end
		}
		return err == nil && sum >= n
	})
}

// checkLedger reports acknowledged frames that the journal does not hold.
func checkLedger(t *testing.T, cluster *broker.Cluster, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	acked, err := bench.ReadLedger(f)
	if err != nil {
		t.Fatal(err)
	}
	n := len(acked)
	if n < 10_000 {
		t.Errorf("only %d frames were acknowledged", n)
	}
	if err := cluster.ReadAll(t.Context(), telemetry.TopicJournal, func(r *kgo.Record) error {
		delete(acked, bench.DigestOf(r.Value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d frames acknowledged, %d of them not in the journal", n, len(acked))
	if len(acked) > 0 {
		t.Errorf("%d of %d acknowledged frames are not in the journal", len(acked), n)
	}
}

// checkOnce wants every output record beyond the one before it, and gives the number of distinct means (tags and time) published.
func checkOnce(t *testing.T, cluster *broker.Cluster) int {
	t.Helper()
	distinct := map[string]struct{}{}
	for _, topic := range telemetry.OutputTopics() {
		last := map[int32]telemetry.Position{}
		err := cluster.ReadAll(t.Context(), topic, func(r *kgo.Record) error {
			pos, err := telemetry.ParsePosition(header(r, telemetry.HeaderSource), header(r, telemetry.HeaderOrdinal))
			if err != nil {
				return err
			}
			if before, ok := last[r.Partition]; ok && !pos.After(before) {
				t.Errorf("%s/%d offset %d: position %+v after %+v", topic, r.Partition, r.Offset, pos, before)
			}
			last[r.Partition] = pos
			if topic == telemetry.TopicPoints {
				for line := range strings.SplitSeq(string(r.Value), "\n") {
					if strings.HasPrefix(line, "mean,") {
						distinct[line[:strings.IndexByte(line, ' ')]+line[strings.LastIndexByte(line, ' '):]] = struct{}{}
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return len(distinct)
}

// countInflux1 counts the points of a measurement by InfluxQL.
func countInflux1(t *testing.T, base string) int {
	t.Helper()
	resp, err := http.Get(base + "/query?db=outfall&q=" + url.QueryEscape(`SELECT COUNT("avg") FROM "mean"`))
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var answer struct {
		Results []struct {
			Series []struct {
				Values [][]any `json:"values"`
			} `json:"series"`
		} `json:"results"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Results) == 0 || len(answer.Results[0].Series) == 0 {
		return 0
	}
	return int(answer.Results[0].Series[0].Values[0][1].(float64))
}

// checkAlarms wants the demo's exceeding outlet, and no other, among the exceedances.
func checkAlarms(t *testing.T, jsonl string) {
	t.Helper()
	found := false
	for _, line := range strings.Split(strings.TrimSpace(jsonl), "\n") {
		var a struct{ ID, Outlet, Level, State, Statistic, Basis string }
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if a.Outlet != "W01" {
			t.Errorf("false alarm: %s", line)
		}
		found = found || a.Outlet == "W01" && a.Basis != ""
	}
	if !found {
		t.Errorf("no alarm for the exceeding outlet W01:\n%s", jsonl)
	}
}
