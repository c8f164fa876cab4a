//go:build integration

package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEndToEndInfluxKilled: an influxd that is killed under a running process comes back at its address, and the process goes on.
func TestEndToEndInfluxKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	p := start(t, "run", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--no-sample")
	info := p.waitRun(dir)
	pid := func() int { return influxdPID(dir) }
	first := pid()
	if first == 0 {
		t.Fatal("no pid file of influxd")
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 4*time.Minute, "influxd is back", func() bool {
		resp, err := http.Get(info.Influx + "/ping")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusNoContent && pid() != first && pid() != 0
	})
	p.stop()
}

// TestEndToEndInfluxKilledWhileStarting: an influxd that dies again and again before it answers does not keep the process from taking frames.
func TestEndToEndInfluxKilledWhileStarting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	listen := lowPorts(t, 1)[0]
	p := start(t, "run", "--data", dir, "--listen", listen, "--admin", "127.0.0.1:0", "--no-sample")
	for killed, last := 0, 0; killed < 4; killed++ { // three are one failed start
		eventually(t, 4*time.Minute, "influxd starts", func() bool { return influxdPID(dir) != 0 && influxdPID(dir) != last })
		last = influxdPID(dir)
		if err := syscall.Kill(last, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	c, err := net.Dial("tcp4", listen)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	p.waitRun(dir)
	p.stop()
}

// influxdPID is the process id of the influxd of a process on dir, 0 if there is none.
func influxdPID(dir string) int {
	text, _ := os.ReadFile(filepath.Join(dir, "influx", "influxd.pid"))
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}
