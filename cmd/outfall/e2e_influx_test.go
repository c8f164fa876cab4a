//go:build integration

package main

import (
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
	pid := func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "influx", "influxd.pid"))
		n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return n
	}
	first := pid()
	if first == 0 {
		t.Fatal("no pid file of influxd")
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "influxd is back", func() bool {
		resp, err := http.Get(info.Influx + "/ping")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusNoContent && pid() != first && pid() != 0
	})
	p.stop()
}
