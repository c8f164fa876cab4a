package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// A checkRow is one thing that doctor looked at.
type checkRow struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`

	unreachable bool // the fault is a service that does not answer
}

func passed(check, format string, a ...any) checkRow {
	return checkRow{Check: check, OK: true, Detail: fmt.Sprintf(format, a...)}
}

func newDoctor(a *app) *cobra.Command {
	var form string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the environment and say how to mend it",
		Long: `Check the limit on open files, the clock, the data directory, the memory for the embedded broker, Kafka with its topics, InfluxDB,
and the channels of alert delivery, which get no message, and print a fix for what is wrong.

Exit code 0 when all is well, 4 when a service does not answer, 3 for any other fault.`,
		Example: "  outfall doctor\n  outfall doctor --config outfall.yaml --output jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, loaded, err := data.config.load(a, data.dir)
			if err != nil {
				return err
			}
			p, err := newPrinter(a.stdout, form, "CHECK", "RESULT", "DETAIL", "FIX")
			if err != nil {
				return err
			}
			live, err := readRunInfo(data.dir)
			if err != nil {
				return err
			}
			rows := []checkRow{checkFiles(cfg, loaded.isDefault("tcp.max_connections")), checkClock(time.Now()), checkDirectory(cfg, data.dir)}
			if len(cfg.Kafka.Brokers) == 0 {
				rows = append(rows, checkMemory(cfg, memoryLimit()))
			}
			rows = append(rows, checkKafka(cmd.Context(), cfg, live)...)
			rows = append(rows, checkInflux(cmd.Context(), cfg, live))
			rows = append(rows, checkAlert(cmd.Context(), cfg)...)
			return printChecks(p, rows)
		},
	}
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

func printChecks(p *printer, rows []checkRow) error {
	code := exitOK
	for _, r := range rows {
		result := "ok"
		if !r.OK {
			result = "FAULT"
			if code = max(code, exitCheck); r.unreachable {
				code = exitUnreachable
			}
		}
		if err := p.row(r, r.Check, result, r.Detail, r.Fix); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil || code == exitOK {
		return err
	}
	return &codedError{code: code}
}

const (
	spareFiles = 512  // what a process opens beside its device connections: log segments, Kafka, InfluxDB, snapshots
	fewFiles   = 4096 // below this a limit is a fault even when nobody asked for many connections
)

// checkFiles compares the limit on open files with tcp.max_connections. Ingest lowers the latter to what the limit allows, so a limit
// that is only below the default is told and no fault.
func checkFiles(cfg *Config, isDefault bool) checkRow {
	const name = "open files"
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return checkRow{Check: name, Detail: err.Error()}
	}
	want := uint64(cfg.TCP.MaxConnections) + spareFiles
	// The Go runtime raises the soft limit to the hard one at start, so the hard limit decides.
	switch {
	case limit.Max >= want:
		return passed(name, "limit %d, %d needed", limit.Max, want)
	case isDefault && limit.Max >= fewFiles:
		return passed(name, "limit %d: enough for %d connections, not for the default of %d", limit.Max, limit.Max-spareFiles, cfg.TCP.MaxConnections)
	}
	return checkRow{Check: name, Detail: fmt.Sprintf("limit %d, %d needed for tcp.max_connections %d", limit.Max, want, cfg.TCP.MaxConnections),
		Fix: fmt.Sprintf("ulimit -Hn %d, LimitNOFILE=%d in the systemd unit, or a lower tcp.max_connections", want, want)}
}

// checkClock compares the clock with the newest thing that is certainly in the past: this binary.
func checkClock(now time.Time) checkRow {
	const name = "clock"
	const fix = "set the clock and keep it with chrony or ntpd: receipt times decide lateness and offline alarms"
	path, err := os.Executable()
	if err != nil {
		return checkRow{Check: name, Detail: err.Error(), Fix: fix}
	}
	info, err := os.Stat(path)
	if err != nil {
		return checkRow{Check: name, Detail: err.Error(), Fix: fix}
	}
	if now.Before(info.ModTime()) {
		return checkRow{Check: name, Detail: fmt.Sprintf("%s is before the time this program was built, %s", localTime(now), localTime(info.ModTime())), Fix: fix}
	}
	return passed(name, "%s (UTC+8)", localTime(now))
}

func checkDirectory(cfg *Config, dir string) checkRow {
	const name = "data directory"
	there := dir
	for {
		if _, err := os.Stat(there); !errors.Is(err, fs.ErrNotExist) || there == filepath.Dir(there) {
			break
		}
		there = filepath.Dir(there) // it is made at the first start: its parent decides
	}
	if err := unix.Access(there, unix.W_OK|unix.X_OK); err != nil {
		return checkRow{Check: name, Detail: fmt.Sprintf("%s: not writable: %v", there, err), Fix: "chown it to the user that runs outfall, or choose another --data"}
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(there, &disk); err != nil {
		return checkRow{Check: name, Detail: fmt.Sprintf("%s: %v", there, err)}
	}
	free := disk.Bavail * uint64(disk.Bsize)
	want := uint64(1 << 30) // snapshots and logs
	if len(cfg.Kafka.Brokers) == 0 {
		want += uint64(cfg.Kafka.LogBytes())
		if cfg.Kafka.Archive.Location == "" {
			want += uint64(max(cfg.Kafka.ArchiveBytes, 0))
		}
	}
	want -= min(want, used(filepath.Join(dir, "kafka"))+used(filepath.Join(dir, "archive"))) // what is there already needs no room
	if free < want {
		return checkRow{Check: name, Detail: fmt.Sprintf("%s: %d MiB free, %d MiB may be needed", there, free>>20, want>>20),
			Fix: "free space, choose another --data, or lower kafka.archive_bytes or kafka.retention_bytes"}
	}
	return passed(name, "%s: writable, %d MiB free, up to %d MiB needed", there, free>>20, want>>20)
}

// used is the size in bytes of the files in a folder, as far as they can be seen.
func used(dir string) (bytes uint64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error { // what comes and goes meanwhile matters little
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		if info, err := e.Info(); err == nil {
			bytes += uint64(info.Size())
		}
		return nil
	})
	return bytes
}

// memoryLimit is what the machine, or the control group, allows this process, in bytes; 0: unknown.
func memoryLimit() uint64 {
	var limit uint64
	var machine unix.Sysinfo_t
	if unix.Sysinfo(&machine) == nil {
		limit = uint64(machine.Totalram) * uint64(machine.Unit)
	}
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && (limit == 0 || n < limit) {
			limit = n // else "max"
		}
	}
	return limit
}

// checkMemory compares what the embedded broker may need to open its log with the limit.
func checkMemory(cfg *Config, limit uint64) checkRow {
	const name = "memory"
	want := uint64(cfg.Kafka.OpenBytes())
	switch {
	case limit == 0:
		return passed(name, "limit unknown; opening a full log after a kill may need %d MiB", want>>20)
	case want > limit:
		return checkRow{Check: name, Detail: fmt.Sprintf("%d MiB; opening a full log after a kill may need %d MiB: %d partitions of kafka.retention_bytes %d",
			limit>>20, want>>20, cfg.Kafka.Partitions, cfg.Kafka.RetentionBytes),
			Fix: fmt.Sprintf("lower kafka.retention_bytes to %d: what the journal drops is archived", max(1<<20, cfg.Kafka.RetentionBytes*int64(limit)/int64(want)/2))}
	}
	return passed(name, "%d MiB; opening a full log after a kill may need %d MiB", limit>>20, want>>20)
}

func checkKafka(ctx context.Context, cfg *Config, live *runInfo) []checkRow {
	cluster := broker.Remote(cfg.Kafka)
	switch {
	case len(cfg.Kafka.Brokers) > 0:
	case live != nil:
		cluster = broker.Dial(cfg.Kafka, live.socket())
	default:
		return []checkRow{passed("kafka", "embedded, in the data directory; no process runs on it")}
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	changes, err := cluster.Plan(ctx)
	if err != nil {
		return []checkRow{{Check: "kafka", Detail: fmt.Sprintf("%s: %v", cluster, err), unreachable: true,
			Fix: "start the brokers; check kafka.brokers, kafka.tls and kafka.sasl, and that the client may describe and alter topics"}}
	}
	rows := []checkRow{passed("kafka", "%s answers", cluster)}
	if len(changes) == 0 {
		return append(rows, passed("topics", "all %d as they must be", len(telemetry.Topics())))
	}
	list := make([]string, len(changes))
	for i, c := range changes {
		list[i] = c.String()
	}
	return append(rows, checkRow{Check: "topics", Detail: strings.Join(list, "; "), Fix: "outfall topics apply"})
}

func checkInflux(ctx context.Context, cfg *Config, live *runInfo) checkRow {
	const name = "influxdb"
	url := cfg.Influx.URL
	if url == "" && live != nil {
		url = live.Influx
	}
	if url == "" {
		return passed(name, "embedded, a child of \"outfall run\"; no process runs on the data directory")
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	fault := func(err error) checkRow {
		return checkRow{Check: name, Detail: fmt.Sprintf("%s: %v", url, err), unreachable: true, Fix: "start InfluxDB; check influx.url, influx.token_file and the network"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/ping", nil)
	if err != nil {
		return fault(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fault(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fault(fmt.Errorf("GET /ping: %s", resp.Status))
	}
	version := resp.Header.Get("X-Influxdb-Version")
	if version == "" || version == "unknown" { // the embedded one is built without a version stamp
		return passed(name, "%s answers", url)
	}
	return passed(name, "%s answers, version %s", url, version)
}
