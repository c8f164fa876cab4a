package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"outfall/bench/machine"
)

func main() {
	err := benchMain(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

// A bench is a run of this program.
type bench struct {
	senders  int           // devices that send, one frame a second each
	devices  int           // of the worker that is killed
	measured time.Duration // of a latency
	kills    int
	backlog  int // minutes of the drain
	day      int // minutes of the replay

	dir     string // removed at the end
	outfall string // the program
	influx  string // URL of what stands for InfluxDB
	profile string // folder for CPU profiles, or empty
	report  report
}

// parts are what can be measured, in this order.
var parts = []struct {
	name string
	run  func(*bench, context.Context) error
}{{"alarm", (*bench).embeddedAlarm}, {"many", (*bench).many}, {"drain", (*bench).drain}, {"replay", (*bench).replay}, {"kafka", (*bench).kafka}}

func partNames() []string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

func benchMain(args []string) (err error) {
	fs := flag.NewFlagSet("engine", flag.ContinueOnError)
	quick := fs.Bool("quick", false, "fewer devices, shorter: rough figures")
	devices := fs.Int("devices", 0, "devices of the worker that is killed (default 100000, 10000 with -quick)")
	only := fs.String("only", "", "measure only these, comma separated: "+strings.Join(partNames(), ", "))
	b := &bench{senders: 2000, devices: 100_000, measured: 60 * time.Second, kills: 3, backlog: 240, day: 24 * 60}
	fs.StringVar(&b.profile, "profile", "", "write profiles of the processes into this folder")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *quick {
		b.devices, b.measured, b.kills, b.backlog, b.day = 10_000, 12*time.Second, 1, 40, 60
	}
	if b.devices = cmp.Or(*devices, b.devices); b.devices < b.senders || b.devices > 1_000_000 {
		return fmt.Errorf("-devices: %d is not in %d..1000000", b.devices, b.senders)
	}
	wanted := partNames()
	if *only != "" {
		wanted = strings.Split(*only, ",")
		for _, name := range wanted {
			if !slices.Contains(partNames(), name) {
				return fmt.Errorf("-only: %q is not of %s", name, strings.Join(partNames(), ", "))
			}
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if b.dir, err = os.MkdirTemp("", "engine"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.outfall = filepath.Join(b.dir, "outfall")
	if err := machine.Run(exec.Command("go", "build", "-trimpath", "-o", b.outfall, "./cmd/outfall")); err != nil {
		return err
	}
	sink := httptest.NewServer(http.HandlerFunc(takeAll))
	defer sink.Close()
	b.influx = sink.URL
	defer func() { b.report.print(os.Stdout) }() // also of an interrupted run, as far as it got
	for _, p := range parts {
		if !slices.Contains(wanted, p.name) {
			continue
		}
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// say tells what a part gave while the rest goes on.
func say(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, a...))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
