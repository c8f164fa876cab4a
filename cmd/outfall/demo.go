package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"outfall/bench"
	"outfall/internal/broker"
	"outfall/telemetry"
	"outfall/testdata"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	dir           string
	duration      time.Duration
	backfillHours int
	ledger        string
}

func newDemo(a *app) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play simulated data loggers and real captured frames against a running outfall",
		Long: `Play the field against the "outfall run" of the data directory, from a second terminal.

The loggers of the registry (50 in the sample: water and gas outlets) connect, send the data of the last hours as a real logger does after an
outage, so that hour and day means exist at once, and go on with real-time, minute and hour data. One outlet exceeds its limits, one
falls silent, one sends damaged frames. 116 real frames from public captures are played beside them, over a connection that the
registry does not know.

Alarms and findings are printed as they come, with a summary at the end. It goes on past the summary when --duration says so.`,
		Example: `  outfall demo
  outfall demo --duration 10m --backfill-hours 48`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), a, o) },
	}
	cmd.Flags().StringVar(&o.dir, "data", defaultData, "data directory of the running outfall")
	cmd.Flags().DurationVar(&o.duration, "duration", 100*time.Second, "how long to play, 30 s to 24 h")
	cmd.Flags().IntVar(&o.backfillHours, "backfill-hours", 26, "hours of data that each logger sends first, 0 to 720")
	cmd.Flags().StringVar(&o.ledger, "ledger", "", "write the SHA-256 of every acknowledged frame to this file, one a line")
	return cmd
}

func runDemo(ctx context.Context, a *app, o demoOptions) (err error) {
	if o.duration < 30*time.Second || o.duration > 24*time.Hour {
		return usagef("--duration: %v is not in 30s..24h", o.duration)
	}
	live, err := readRunInfo(o.dir)
	if err != nil {
		return err
	}
	if live == nil {
		return unreachable(fmt.Errorf("no outfall runs on %s: start \"outfall run --data %s\" in another terminal first", o.dir, o.dir))
	}
	cluster := broker.Dial(broker.DefaultConfig(), live.socket())
	byMN, err := readRegistry(ctx, cluster)
	if err != nil {
		return err
	}
	cfg := bench.DefaultConfig()
	cfg.Addr, cfg.Devices, cfg.BackfillHours = live.Ingest, sortedDevices(byMN), o.backfillHours
	if o.ledger != "" {
		ledger, closeLedger, err := openLedger(o.ledger)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closeLedger()) }()
		cfg.OnAcked = ledger.Add
	}
	fleet, err := bench.NewFleet(cfg)
	if err != nil {
		return usagef("demo: %w", err)
	}
	frames, err := corpusFrames()
	if err != nil {
		return err
	}
	d := &demo{app: a, fleet: fleet, seen: map[string]bool{}, shown: map[telemetry.FindingKind]int{}}
	d.say("%d loggers of the registry send to %s: %d hours of backfill, then on schedule. %d captured frames beside them.",
		fleet.Size(), live.Ingest, o.backfillHours, len(frames))
	err = d.play(ctx, cluster, live, frames, o.duration)
	d.summary(live, o.dir)
	return errors.Join(err, ctx.Err())
}

// openLedger starts the ledger file; the returned function completes it.
func openLedger(path string) (*bench.Ledger, func() error, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, nil, usagef("--ledger: %w", err)
	}
	ledger := bench.NewLedger(f)
	return ledger, func() error {
		if err := errors.Join(ledger.Flush(), f.Close()); err != nil {
			return fmt.Errorf("write the ledger %s: %w", path, err)
		}
		return nil
	}, nil
}

// corpusFrames is the captured frames as loggers send them.
func corpusFrames() ([][]byte, error) {
	corpus, err := testdata.Frames()
	if err != nil {
		return nil, err
	}
	frames := make([][]byte, len(corpus))
	for i, f := range corpus {
		frames[i] = f.Wire()
	}
	return frames, nil
}

// shownPerKind is how many findings of one kind are printed; the summary counts all.
const shownPerKind = 10

// A demo is one playing and what has been seen of its results.
type demo struct {
	*app
	fleet  *bench.Fleet
	played bench.Played

	mu       sync.Mutex // guards the following and the order of printed lines
	seen     map[string]bool
	shown    map[telemetry.FindingKind]int
	alarms   map[telemetry.AlarmState]int
	findings map[telemetry.FindingKind]int
}

// play runs for the given time. It owns four goroutines:
//
//	fleet     the loggers
//	corpus    the captured frames, once
//	alarms    prints alarm events
//	findings  prints the first findings of each kind, one a device, and counts all
func (d *demo) play(ctx context.Context, cluster *broker.Cluster, live *runInfo, frames [][]byte, duration time.Duration) error {
	start := time.Now()
	d.alarms, d.findings = map[telemetry.AlarmState]int{}, map[telemetry.FindingKind]int{}
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	access := &dataAccess{cluster: cluster}
	quiet, err := newPrinter(d.stdout, outputTable)
	if err != nil {
		return err
	}
	g.Go(func() error {
		return ended(ctx, followOutput(ctx, access, telemetry.TopicAlarms, false, quiet, d.alarm))
	})
	g.Go(func() error {
		return ended(ctx, followOutput(ctx, access, telemetry.TopicFindings, false, quiet, d.finding))
	})
	g.Go(func() error { return ended(ctx, d.fleet.Run(ctx, start)) })
	g.Go(func() error {
		played, err := bench.PlayCorpus(ctx, live.Ingest, frames)
		d.mu.Lock()
		d.played = played
		d.mu.Unlock()
		return ended(ctx, err)
	})
	return g.Wait()
}

// ended drops the error of a goroutine that was told to end.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.stdout, "%s  %s\n", time.Now().In(telemetry.China).Format("15:04:05"), fmt.Sprintf(format, args...))
}

func (d *demo) alarm(e *telemetry.Alarm) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.alarms[e.State]++
	if e.State == telemetry.AlarmUpdated {
		return nil
	}
	over := ""
	if e.TimesOver > 0 {
		over = fmt.Sprintf(", %s times over", e.TimesOver)
	}
	d.say("ALARM %s %s: outlet %s (%s %s) %s %s %s = %s %s, limit %s%s. %s", e.State, e.Level, e.Outlet, e.Enterprise, e.OutletName,
		factorLabel(e.Factor), e.Statistic, windowText(e.WindowStart, e.WindowEnd), e.Value, e.Unit, limitText(e), over, e.Basis)
	return nil
}

func (d *demo) finding(f *telemetry.Finding) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.findings[f.Kind]++
	key := f.MN + "/" + string(f.Kind)
	if f.Kind == telemetry.FindingReject {
		key += "/" + f.Detail
	}
	if d.seen[key] || d.shown[f.Kind] == shownPerKind {
		return nil
	}
	d.seen[key] = true
	d.shown[f.Kind]++
	subject := "outlet " + f.Outlet
	if f.Factor != "" {
		subject += " " + factorLabel(f.Factor)
	}
	d.say("FINDING %s: %s: %s", f.Kind, subject, f.Detail)
	return nil
}

// factorLabel is a factor's code with the name that people know.
func factorLabel(code string) string {
	if f, ok := telemetry.LookupFactor(code); ok {
		return code + " " + f.NameZH
	}
	return code
}

func (d *demo) summary(live *runInfo, dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.fleet.Stats()
	fmt.Fprintf(d.stdout, "\nLoggers: %d of %d backfilled, %d uploads sent, %d acknowledged, %d frames sent again, %d reconnects\n", s.Backfilled, d.fleet.Size(),
		s.Sent, s.Acked, s.Resent, s.Reconnects)
	fmt.Fprintf(d.stdout, "Captured frames: %d sent, %d answered (their devices are in no registry)\n", d.played.Sent, d.played.Replies)
	fmt.Fprintf(d.stdout, "Alarms: %d raised, %d updates, %d cleared\n", d.alarms[telemetry.AlarmRaised], d.alarms[telemetry.AlarmUpdated], d.alarms[telemetry.AlarmCleared])
	fmt.Fprint(d.stdout, "Findings:")
	for _, kind := range telemetry.FindingKinds() {
		if n := d.findings[kind]; n > 0 {
			fmt.Fprintf(d.stdout, " %s %d", kind, n)
		}
	}
	fmt.Fprintf(d.stdout, `

Where to look next:
  outfall alarm ls --open --data %[1]s
  outfall finding ls --kind offline --data %[1]s
  outfall device tail MN --data %[1]s          (an MN of: outfall registry ls --data %[1]s)
  outfall journal cat --rejects --data %[1]s   (the bytes that belong to no known device)
  curl -s http://%[2]s/metrics | grep ^outfall_
  %[3]s
`, dir, live.Admin, influxExample(live.Influx))
}
