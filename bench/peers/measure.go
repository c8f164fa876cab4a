package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

//go:embed c/server.c c/load.c
var cSources embed.FS

// A result is what the load client says of one measurement. Times are seconds, latencies milliseconds.
type result struct {
	Frames    float64 `json:"frames"`
	Seconds   float64 `json:"seconds"`
	ServerCPU float64 `json:"server_cpu"`
	ClientCPU float64 `json:"client_cpu"`
	OthersCPU float64 `json:"others_cpu"` // taken by other programs and the hypervisor, of all cores
	P50       float64 `json:"p50"`
	P90       float64 `json:"p90"`
	P99       float64 `json:"p99"`
	P999      float64 `json:"p999"`
	Max       float64 `json:"max"`
	Late      float64 `json:"late"`       // frames that the client sent more than a millisecond late
	WorstLate float64 `json:"worst_late"` // by how much
	Skipped   float64 `json:"skipped"`    // frames that it did not send: the connection had 32 without an answer
}

func (r *result) rate() float64         { return r.Frames / r.Seconds }
func (r *result) microseconds() float64 { return r.ServerCPU / r.Frames * 1e6 }

// disturbance is the share of the machine that went to what is not measured.
func (r *result) disturbance() float64 { return r.OthersCPU / r.Seconds / float64(runtime.NumCPU()) }

func (r *result) busy() float64 { return r.ClientCPU / r.Seconds }

// A bench holds what all measurements share.
type bench struct {
	dir                    string // temporary
	serverCore, clientCore int
	warm, run              time.Duration
	openRun                time.Duration
	repeats                int    // measurements that may still be repeated because they were disturbed
	profiles               string // folder for CPU profiles of the Go servers; empty: none
}

// prepare compiles the C programs and writes the frames.
func (b *bench) prepare() error {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return errors.New("no C compiler (cc) on the PATH: the yardstick and the load client are C programs; install gcc or clang")
	}
	for _, name := range []string{"server", "load"} {
		src, err := cSources.ReadFile("c/" + name + ".c")
		if err != nil {
			return err
		}
		file := b.file(name + ".c")
		if err := os.WriteFile(file, src, 0o600); err != nil {
			return err
		}
		if out, err := exec.Command(cc, "-O2", "-Wall", "-Wextra", "-o", b.file(name), file).CombinedOutput(); err != nil {
			return fmt.Errorf("compile %s.c: %w\n%s", name, err, out)
		}
	}
	return writeFrames(b.file("frames"), idleConns)
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

// A running server, its broker if that is a process of its own, and its folder.
type running struct {
	*process
	addr   string
	broker *process
	dir    string
}

// start starts a server afresh for so many connections.
func (b *bench) start(name string, l load) (r *running, err error) {
	if name == serverC {
		r = &running{}
		if r.process, err = startOn(b.serverCore, b.file("server")); err != nil {
			return nil, err
		}
		r.addr, err = r.ready()
		return r, r.orStop(err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r = &running{}
	if r.dir, err = os.MkdirTemp(b.dir, "d"); err != nil {
		return nil, err
	}
	if name == serverKafka {
		if r.broker, err = startOn(b.clientCore, self, "serve", "-dir", r.dir, "broker"); err == nil {
			_, err = r.broker.ready()
		}
		if err != nil {
			return nil, r.orStop(err)
		}
	}
	args := []string{"serve", "-conns", strconv.Itoa(l.conns), "-dir", r.dir}
	if b.profiles != "" {
		args = append(args, "-profile", filepath.Join(b.profiles, name+"-"+strings.ReplaceAll(l.name, " ", "-")+".pprof"))
	}
	if r.process, err = startOn(b.serverCore, self, append(args, name)...); err == nil {
		r.addr, err = r.ready()
	}
	if err != nil {
		return nil, r.orStop(err)
	}
	return r, nil
}

// orStop ends everything when err is not nil, and returns err.
func (r *running) orStop(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, r.end())
}

// end stops the processes and removes the folder.
func (r *running) end() error {
	var errs []error
	for _, p := range []*process{r.process, r.broker} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	if r.dir != "" {
		errs = append(errs, os.RemoveAll(r.dir))
	}
	return errors.Join(errs...)
}

// client starts the load client against r.
func (b *bench) client(r *running, conns int, mode ...string) (*process, error) {
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		return nil, err
	}
	brokerPID := 0
	if r.broker != nil {
		brokerPID = r.broker.cmd.Process.Pid
	}
	args := []string{host, port, strconv.Itoa(r.cmd.Process.Pid), strconv.Itoa(brokerPID), b.file("frames"), strconv.Itoa(frameBytes), strconv.Itoa(conns)}
	return startOn(b.clientCore, b.file("load"), append(args, mode...)...)
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// A measurement during which the machine did something else is repeated: its rate is not the server's doing.
const (
	maxDisturbance = 0.04
	maxRepeats     = 20 // of a whole run, about a minute
	maxTries       = 3
)

// measure puts a load on a fresh server, again when that was disturbed, and returns the least disturbed result.
func (b *bench) measure(name string, l load) (best result, err error) {
	for try := 1; ; try++ {
		res, err := b.measureOnce(name, l)
		if err != nil {
			return res, err
		}
		if try == 1 || res.disturbance() < best.disturbance() {
			best = res
		}
		if best.disturbance() <= maxDisturbance || onDisk(name) || try == maxTries || b.repeats == 0 {
			return best, nil
		}
		b.repeats--
	}
}

func (b *bench) measureOnce(name string, l load) (res result, err error) {
	r, err := b.start(name, l)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	mode := []string{"closed", strconv.Itoa(l.window), millis(b.warm), millis(b.run)}
	if l.rate > 0 {
		mode = []string{"open", strconv.Itoa(l.rate), millis(b.warm), millis(b.openRun)}
	}
	c, err := b.client(r, l.conns, mode...)
	if err != nil {
		return res, err
	}
	line, err := c.line(answerTimeout)
	if err == nil {
		err = json.Unmarshal([]byte(line), &res)
	}
	return res, errors.Join(err, c.stop())
}

// idle is the resident memory that n connections, which have sent one frame each, add to a server: as it is then, and when a Go server
// has given back what it does not use. Bytes per connection.
func (b *bench) idle(name string, n int) (after, collected float64, err error) {
	r, err := b.start(name, load{name: "idle", conns: n})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	if err := r.collect(name); err != nil {
		return 0, 0, err
	}
	before, err := r.rss()
	if err != nil {
		return 0, 0, err
	}
	c, err := b.client(r, n, "idle")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if _, err := c.line(answerTimeout); err != nil {
		return 0, 0, err
	}
	full, err := r.rss()
	if err != nil {
		return 0, 0, err
	}
	if err := r.collect(name); err != nil {
		return 0, 0, err
	}
	rest, err := r.rss()
	return float64(full-before) / float64(n), float64(rest-before) / float64(n), err
}

// collect makes a Go server give unused memory back.
func (r *running) collect(name string) error {
	if name == serverC {
		return nil
	}
	if _, err := io.WriteString(r.stdin, "gc\n"); err != nil {
		return err
	}
	_, err := r.line(answerTimeout)
	return err
}
