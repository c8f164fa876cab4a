package influx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	embeddedDatabase = "outfall"
	startTimeout     = 90 * time.Second // it compiles its Flux library first, some seconds of one core; a large index takes longer
	stopTimeout      = 20 * time.Second // from SIGTERM to SIGKILL; influxd writes its caches in between
)

// An Embedded is an influxd that is a child of this process and listens on the loopback interface only.
type Embedded struct {
	url   string
	cmd   *exec.Cmd
	ended chan struct{} // closed when the child has ended
	err   error         // how it ended; read after ended
}

// EmbeddedURL is where the influxd on dir, which is made, is going to listen: as before, if its port is free or an influxd that a killed process
// left there has it. Another program may still take the port before influxd does; StartEmbedded then chooses another one.
func EmbeddedURL(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find a port for InfluxDB: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("find a port for InfluxDB: %w", err)
	}
	file := filepath.Join(dir, "port")
	if strayPID(dir) != 0 {
		kept, _ := os.ReadFile(file)
		if port, err := strconv.Atoi(strings.TrimSpace(string(kept))); err == nil {
			return embeddedURL(port), nil
		}
	}
	port, err := choosePort(file)
	return embeddedURL(port), err
}

func embeddedURL(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) }

// StartEmbedded starts the influxd bin on dir, which it makes, and returns when it answers and has the database "outfall". An
// influxd that a killed process left on dir is ended first. The port is free at the first start and kept in dir/port, so that
// links to it survive a restart.
func StartEmbedded(ctx context.Context, bin, dir string) (*Embedded, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("start InfluxDB: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start InfluxDB: %w", err)
	}
	if err := endStray(ctx, dir); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		e, err := start(ctx, bin, dir)
		// Between our look at the port and influxd's bind somebody else may take it: then another one is chosen.
		if err == nil || ctx.Err() != nil || attempt == 3 {
			return e, err
		}
	}
}

func start(ctx context.Context, bin, dir string) (*Embedded, error) {
	port, err := choosePort(filepath.Join(dir, "port"))
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "influxd.conf")
	if err := os.WriteFile(conf, configFile(dir, port), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of InfluxDB: %w", err)
	}
	logPath := filepath.Join(dir, "influxd.log")
	if err := os.Rename(logPath, logPath+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("rotate the log of InfluxDB: %w", err)
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of InfluxDB: %w", err)
	}
	defer log.Close()
	e := &Embedded{url: embeddedURL(port), ended: make(chan struct{})}
	e.cmd = exec.Command(bin, "run", "-config", conf)
	e.cmd.Dir = dir
	e.cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")} // INFLUXDB_* would override the configuration
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGTERM, // a killed parent takes it along
		Setpgid:   true,            // Ctrl-C is for the parent, which drains into InfluxDB before it ends it
	}
	started := make(chan error)
	go e.run(filepath.Join(dir, "influxd.pid"), started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start InfluxDB %s: %w", bin, err)
	}
	if err := e.await(ctx); err != nil {
		e.Close()
		return nil, fmt.Errorf("start InfluxDB on %s (log: %s): %w", dir, logPath, err)
	}
	return e, nil
}

// run is the life of the child. The parent-death signal comes when the thread that started the child ends, not the process: so
// the goroutine keeps its thread until the child is gone.
func (e *Embedded) run(pidFile string, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := e.cmd.Start(); err != nil {
		started <- err
		return
	}
	err := os.WriteFile(pidFile, []byte(strconv.Itoa(e.cmd.Process.Pid)), 0o600)
	if err != nil {
		e.cmd.Process.Kill() // one that no later start could find would block dir
	}
	started <- err
	e.err = e.cmd.Wait()
	os.Remove(pidFile)
	close(e.ended)
}

// await waits until the server answers, and makes the database.
func (e *Embedded) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cfg := DefaultConfig()
	cfg.URL, cfg.Bucket = e.url, embeddedDatabase
	for {
		err := cfg.EnsureDatabase(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-e.ended:
			return fmt.Errorf("it ended while starting: %w", e.err)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// URL is where it listens, http://127.0.0.1:PORT.
func (e *Embedded) URL() string { return e.url }

// Ended is closed when influxd has ended, by Close or by itself.
func (e *Embedded) Ended() <-chan struct{} { return e.ended }

// Close ends influxd and waits for that, at most about 20 s, then kills it.
func (e *Embedded) Close() error {
	e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.ended:
		return nil
	case <-time.After(stopTimeout):
	}
	e.cmd.Process.Kill()
	<-e.ended
	return fmt.Errorf("stop InfluxDB: it did not end within %v and was killed", stopTimeout)
}

// configFile is influxd's: nothing is reported to its maker, nothing listens but on loopback, no limit drops points.
func configFile(dir string, port int) []byte {
	q := func(sub string) string { return strconv.Quote(filepath.Join(dir, sub)) }
	return fmt.Appendf(nil, `reporting-disabled = true
bind-address = "127.0.0.1:0"

[meta]
  dir = %s
[data]
  dir = %s
  wal-dir = %s
  index-version = "tsi1"
  query-log-enabled = false
  max-series-per-database = 0
  max-values-per-tag = 0
[http]
  bind-address = "127.0.0.1:%d"
  flux-enabled = true
  log-enabled = false
[monitor]
  store-enabled = false
[logging]
  level = "warn"
  suppress-logo = true
`, q("meta"), q("data"), q("wal"), port)
}

// choosePort returns the port kept in file if it is free, else another one, which it keeps there.
func choosePort(file string) (int, error) {
	kept, _ := os.ReadFile(file)
	for _, want := range []string{strings.TrimSpace(string(kept)), "0"} {
		if want == "" {
			continue
		}
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", want))
		if err != nil {
			continue
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if err := os.WriteFile(file, []byte(strconv.Itoa(port)), 0o600); err != nil {
			return 0, fmt.Errorf("keep the port of InfluxDB: %w", err)
		}
		return port, nil
	}
	return 0, errors.New("find a port for InfluxDB: none is free on 127.0.0.1")
}

// strayPID is the process id of the influxd that the pid file of dir names, if that process is one on dir's configuration: the pid may long
// be another program's. 0: there is none.
func strayPID(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, "influxd.pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty for a zombie
	args := strings.Split(string(b), "\x00")
	if err != nil || len(args) < 4 || args[1] != "run" || args[2] != "-config" || args[3] != filepath.Join(dir, "influxd.conf") {
		return 0
	}
	return pid
}

// endStray ends the influxd that was left on dir, if there is one. It may be ending already, by the death of its parent.
func endStray(ctx context.Context, dir string) error {
	pid := strayPID(dir)
	for began, sig := time.Now(), syscall.SIGTERM; pid != 0 && strayPID(dir) == pid; {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end the InfluxDB (pid %d) left on %s: %w", pid, dir, err)
		}
		sig = 0 // one signal each: influxd takes a second SIGTERM for impatience and drops its caches
		if time.Since(began) > stopTimeout {
			sig = syscall.SIGKILL
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
