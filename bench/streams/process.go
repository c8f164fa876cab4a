package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stayOn binds every thread of this program to a core; threads to come inherit it.
func stayOn(core int) error {
	var one unix.CPUSet
	one.Set(core)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &one); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("bind thread %d to core %d: %w", tid, core, err)
		}
	}
	return nil
}

// A process is a contestant's. Its output goes to a file.
type process struct {
	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{}
	began time.Time
}

func (b *bench) start(args []string, log string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command("taskset", append([]string{"-c", strconv.Itoa(b.core)}, args...)...), log: f, ended: make(chan struct{}), began: time.Now()}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
		_ = f.Close()
	}()
	return p, nil
}

// alive is an error with the end of its log when the process has ended by itself.
func (p *process) alive() error {
	select {
	case <-p.ended:
		text, _ := os.ReadFile(p.log.Name())
		return fmt.Errorf("the contestant ended (%v): %s", p.cmd.ProcessState, text[max(0, len(text)-2000):])
	default:
		return nil
	}
}

// kill ends it as a crash would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// rss is its resident memory in MiB.
func (p *process) rss() float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for l := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(l, "VmRSS:"); ok {
			n, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 64)
			return n / 1024
		}
	}
	return 0
}

// cpuOf is the processor time that a process has used.
func cpuOf(pid int) time.Duration {
	const perSecond = 100 // USER_HZ, the same on every architecture that Go runs on
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / perSecond
}

// loadAverage is that of the last minute.
func loadAverage() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.ParseFloat(one, 64)
	return n
}
