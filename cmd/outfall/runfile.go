package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// runFile is the name in the data directory of what a running process offers.
const runFile = "run.json"

// A runInfo is the content of run.json: addresses that can be connected to, present exactly while the process is ready.
type runInfo struct {
	PID    int    `json:"pid"`
	Ingest string `json:"ingest"`        // host:port
	TLS    string `json:"tls,omitempty"` // host:port; empty: no TLS listener
	Admin  string `json:"admin"`         // host:port
	Influx string `json:"influx"`        // URL
	Broker string `json:"broker"`        // unix:PATH
}

// socket is the path of the embedded broker's socket.
func (r *runInfo) socket() string { return strings.TrimPrefix(r.Broker, "unix:") }

// writeRunInfo puts run.json in place in one step, so that a reader never sees half of it.
func writeRunInfo(dir string, info runInfo) error {
	b, err := json.Marshal(info)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, runFile)
	if err := os.WriteFile(path+".tmp", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// removeRunInfo takes run.json away; that it is not there is no error.
func removeRunInfo(dir string) error {
	if err := os.Remove(filepath.Join(dir, runFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readRunInfo reads run.json of a live process. It returns nil, nil when no process runs on the directory: the file is not there, or a
// killed process left it behind.
func readRunInfo(dir string) (*runInfo, error) {
	path := filepath.Join(dir, runFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var info runInfo
	if err := json.Unmarshal(b, &info); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if err := syscall.Kill(info.PID, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return nil, nil
	}
	// The pid may belong to another program by now: only the broker's socket answers for the process.
	conn, err := net.DialTimeout("unix", info.socket(), time.Second)
	if err != nil {
		return nil, nil
	}
	return &info, conn.Close()
}

// connectable turns a listening address into one that a client of the same machine can dial: a wildcard becomes loopback.
func connectable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// newRunInfo is what this process offers.
func newRunInfo(s *stages, influxURL, socket string) runInfo {
	info := runInfo{
		PID: os.Getpid(), Ingest: connectable(s.server.Addr().String()), Admin: connectable(s.admin.Addr().String()), Influx: influxURL, Broker: "unix:" + socket,
	}
	if addr := s.server.TLSAddr(); addr != nil {
		info.TLS = connectable(addr.String())
	}
	return info
}
