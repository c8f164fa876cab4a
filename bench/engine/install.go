package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"outfall/bench/machine"
	"outfall/internal/broker"
	"outfall/stream"
)

const (
	readyTimeout = 5 * time.Minute
	readyPoll    = 20 * time.Millisecond
)

// takeAll stands for InfluxDB: it takes every batch and keeps none.
func takeAll(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusNoContent)
}

// An installation is the program with a configuration of its own, on the embedded broker or on Apache Kafka.
type installation struct {
	b       *bench
	dir     string
	brokers string // empty: the embedded one
	prefix  string
	args    []string // of the process
	ingest  string   // host:port, where devices connect
	admin   string
	proc    *machine.Process
}

// install writes the configuration. roles are of a process on Apache Kafka.
func (b *bench) install(name, brokers, eos, influx, roles string) (*installation, error) {
	in := &installation{b: b, dir: filepath.Join(b.dir, name), brokers: brokers, prefix: name + "."}
	if err := os.MkdirAll(in.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if in.ingest, err = freeAddress(); err == nil {
		in.admin, err = freeAddress()
	}
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("kafka: {topic_prefix: %q, partitions: %d, replication_factor: 1", in.prefix, partitions)
	if brokers != "" {
		text += fmt.Sprintf(", brokers: [%q]", brokers)
	}
	text += fmt.Sprintf("}\ntcp: {listen: %q, accept_rate: 0}\nadmin: {listen: %q}\ninflux: {url: %q}\nstream: {eos: %s, instance_id: %q}\n", in.ingest, in.admin, influx, eos, "one")
	if err := os.WriteFile(in.config(), []byte(text), 0o600); err != nil {
		return nil, err
	}
	in.args = []string{b.outfall, "run", "--no-sample", "--data", in.dir, "--config", in.config()}
	if brokers != "" {
		in.args = []string{b.outfall, "serve", "--role", roles, "--data", in.dir, "--config", in.config()}
		return in, in.command(nil, "topics", "apply")
	}
	return in, nil
}

func (in *installation) config() string    { return filepath.Join(in.dir, "outfall.yaml") }
func (in *installation) snapshots() string { return filepath.Join(in.dir, "snapshots") }

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// command runs a command of the program on the installation. The error has what it printed.
func (in *installation) command(out io.Writer, args ...string) error {
	args = append(args, "--config", in.config())
	if in.brokers == "" {
		args = append(args, "--data", in.dir)
	}
	cmd := exec.Command(in.b.outfall, args...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if out != nil {
		cmd.Stdout = out
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("outfall %s: %w: %s", strings.Join(args[:2], " "), err, text.Bytes())
	}
	return nil
}

// start starts the process; env is added to its environment.
func (in *installation) start(env ...string) (err error) {
	in.proc, err = machine.Start(filepath.Join(in.dir, "output"), env, in.args...)
	return err
}

// stop ends the process and removes what it wrote.
func (in *installation) stop() error {
	if in.proc != nil {
		in.proc.Kill()
	}
	return os.RemoveAll(in.dir)
}

// ready waits until the process says that it is, and returns when that was.
func (in *installation) ready(ctx context.Context) (time.Time, error) {
	for deadline := time.Now().Add(readyTimeout); time.Now().Before(deadline); {
		if err := errors.Join(in.proc.Alive(), ctx.Err()); err != nil {
			return time.Time{}, err
		}
		resp, err := http.Get("http://" + in.admin + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Now(), nil
			}
		}
		if err := sleep(ctx, readyPoll); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, fmt.Errorf("not ready in %v", readyTimeout)
}

// metric is the sum of the series whose name and labels begin so; false while the process does not answer.
func (in *installation) metric(series string) (float64, bool) {
	resp, err := http.Get("http://" + in.admin + "/metrics")
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || !strings.HasPrefix(name, series) {
			continue
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			sum, found = sum+n, true
		}
	}
	return sum, found
}

// cluster is how this program reaches the installation's broker.
func (in *installation) cluster() *broker.Cluster {
	cfg := broker.DefaultConfig()
	cfg.TopicPrefix, cfg.Partitions, cfg.ReplicationFactor = in.prefix, partitions, 1
	if in.brokers == "" {
		return broker.Dial(cfg, filepath.Join(in.dir, "kafka.sock"))
	}
	cfg.Brokers = []string{in.brokers}
	return broker.Remote(cfg)
}

// populate makes the senders known and puts the rules in force.
func (in *installation) populate(ctx context.Context) error {
	for deadline := time.Now().Add(readyTimeout); in.brokers == "" && time.Now().Before(deadline); {
		if _, err := os.Stat(filepath.Join(in.dir, "run.json")); err == nil { // commands find the process by it
			break
		}
		if err := sleep(ctx, readyPoll); err != nil {
			return err
		}
	}
	src, err := ruleSource()
	if err != nil {
		return err
	}
	registry, rules := filepath.Join(in.dir, "registry.csv"), filepath.Join(in.dir, "rules.yaml")
	if err := errors.Join(os.WriteFile(registry, registryCSV(in.b.senders), 0o600), os.WriteFile(rules, src, 0o600)); err != nil {
		return err
	}
	return errors.Join(in.command(nil, "registry", "import", registry), in.command(nil, "rules", "activate", rules))
}

// eosModes are the values of stream.eos, the one that every cluster has first.
var eosModes = [...]string{stream.EOSPosition, stream.EOSFenced}
