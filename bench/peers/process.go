package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// startTimeout bounds how long a server may take to be ready, and answerTimeout how long a process may take for anything it is asked.
const (
	startTimeout  = 20 * time.Second
	answerTimeout = 2 * time.Minute
)

// A process is a child on one core. It ends when its standard input does, so none outlives the run.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // of its standard output; closed at its end
}

// startOn starts a program on one core. The child inherits the core from the thread that starts it; the thread gets its cores back.
func startOn(core int, name string, arg ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(name, arg...), lines: make(chan string, 16)}
	p.cmd.Stderr = os.Stderr
	// gnet logs to standard output, which belongs to the parent: errors only.
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(serverProcs), "GNET_LOGGING_LEVEL=2")
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	one.Set(core)
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("ask for the cores of a thread: %w", err)
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, fmt.Errorf("bind a thread to core %d: %w", core, err)
	}
	err = p.cmd.Start()
	if back := unix.SchedSetaffinity(0, &before); back != nil {
		return nil, fmt.Errorf("give a thread its cores back: %w", back)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.lines)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			p.lines <- in.Text()
		}
	}()
	return p, nil
}

// line is the next line that the process prints.
func (p *process) line(timeout time.Duration) (string, error) {
	select {
	case s, ok := <-p.lines:
		if !ok {
			return "", fmt.Errorf("%s ended: %w", p.name, p.cmd.Wait())
		}
		return s, nil
	case <-time.After(timeout):
		return "", fmt.Errorf("%s printed nothing for %v", p.name, timeout)
	}
}

// ready waits for "ready ADDRESS" and returns the address.
func (p *process) ready() (string, error) {
	s, err := p.line(startTimeout)
	if err != nil {
		return "", err
	}
	address, ok := strings.CutPrefix(s, "ready ")
	if !ok {
		return "", fmt.Errorf("%s printed %q, want ready ADDRESS", p.name, s)
	}
	return address, nil
}

// stop ends the process: by the end of its input, and by a kill when it does not hear.
func (p *process) stop() error {
	p.stdin.Close()
	timer := time.AfterFunc(answerTimeout, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	for range p.lines { // until it has ended
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// rss is the resident memory of a process in bytes.
func (p *process) rss() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(l, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS of process %d", p.cmd.Process.Pid)
}
