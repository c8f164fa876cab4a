package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Process is one that a measuring program started. It ends with that program at the latest, and its output goes to a file.
type Process struct {
	Began time.Time
	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{}
}

// Start starts a program with env added to this one's environment; what it prints is appended to the file log.
func Start(log string, env []string, args ...string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: exec.Command(args[0], args[1:]...), log: f, ended: make(chan struct{}), Began: time.Now()}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.Env = append(os.Environ(), env...)
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

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Alive is an error with the end of its output when the process has ended by itself.
func (p *Process) Alive() error {
	select {
	case <-p.ended:
		text, _ := os.ReadFile(p.log.Name())
		return fmt.Errorf("%s ended (%v): %s", p.cmd.Path, p.cmd.ProcessState, text[max(0, len(text)-2000):])
	default:
		return nil
	}
}

// Kill ends it as a crash would, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Resident is the resident memory of a process in MiB, and the most that it has been; 0 of one that is gone.
func Resident(pid int) (now, most float64) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	return statusValue(file, "VmRSS:"), statusValue(file, "VmHWM:")
}

// statusValue reads a line of a file of /proc that says so many kB, as MiB.
func statusValue(file, name string) float64 {
	text, _ := os.ReadFile(file)
	for l := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(l, name); ok {
			n, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 64)
			return n / 1024
		}
	}
	return 0
}

// CPU is the processor time that a process has used; 0 of one that is gone.
func CPU(pid int) time.Duration {
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

// Load is the load average of the last minute.
func Load() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.ParseFloat(one, 64)
	return n
}

// Run runs a command whose output belongs to this program's, on standard error.
func Run(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args[:min(2, len(cmd.Args))], " "), err)
	}
	return nil
}

// Children is the processor time of the children of this process that have ended and been waited for.
func Children() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
