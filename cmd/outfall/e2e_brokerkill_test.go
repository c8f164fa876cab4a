//go:build integration

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"outfall/stream"
)

// ownKafka is an Apache Kafka that the test alone uses: one to kill.
type ownKafka struct {
	t         *testing.T
	dir, addr string
	env       []string
}

func newOwnKafka(t *testing.T) *ownKafka {
	t.Helper()
	k := &ownKafka{t: t, dir: t.TempDir(), env: append(os.Environ(), "OUTFALL_KAFKA_HEAP=512m")}
	k.addr = k.run("start")
	t.Cleanup(func() { k.run("stop") })
	conf, err := os.ReadFile(filepath.Join(k.dir, "server.properties"))
	if err != nil {
		t.Fatal(err)
	}
	_, controller, _ := strings.Cut(string(conf), "CONTROLLER://127.0.0.1:")
	controller, _, _ = strings.Cut(controller, "\n")
	// It starts again where its clients and its own quorum look for it.
	k.env = append(k.env, "OUTFALL_KAFKA_PORT="+k.addr[strings.LastIndexByte(k.addr, ':')+1:], "OUTFALL_KAFKA_CONTROLLER_PORT="+controller)
	return k
}

func (k *ownKafka) run(verb string) string {
	k.t.Helper()
	cmd := exec.Command("../../deploy/local/kafka.sh", verb, k.dir)
	cmd.Env, cmd.Stderr = k.env, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		k.t.Fatalf("kafka.sh %s: %v", verb, err)
	}
	return strings.TrimSpace(string(out))
}

// killAndRestart ends the broker as a crash does and starts it again where it was.
func (k *ownKafka) killAndRestart() {
	k.t.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, "pid"))
	if err != nil {
		k.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	for proc := fmt.Sprintf("/proc/%d/stat", pid); ; time.Sleep(20 * time.Millisecond) {
		if stat, err := os.ReadFile(proc); err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
	}
	k.run("start")
}

// TestEndToEndKafkaKilled: the broker is killed under workers of both modes and comes back; they go on by themselves, and nothing is lost or
// there twice.
func TestEndToEndKafkaKilled(t *testing.T) {
	kafka := newOwnKafka(t)
	var beds []*scaleBed
	var workers []*process
	for _, eos := range []string{stream.EOSPosition, stream.EOSFenced} {
		b := newScaleBed(t, kafka.addr, eos, nil)
		b.feed()
		beds, workers = append(beds, b), append(workers, b.serve("stream"))
	}
	for _, b := range beds {
		b.waitSplit(1)
	}
	began := time.Now()
	kafka.killAndRestart()
	t.Logf("the broker is back after %v", time.Since(began).Round(10*time.Millisecond))
	for _, b := range beds {
		b.waitOutputs()
	}
	for i, b := range beds {
		b.settle(workers[i])
		if again := b.check(); again != 0 {
			t.Errorf("%d outputs stand twice", again)
		}
	}
}
