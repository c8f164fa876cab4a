package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"outfall/bench/machine"
)

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		err = serveMain(os.Args[2:])
	} else {
		err = benchMain(os.Args[1:])
	}
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// A plan is what is measured and for how long.
type plan struct {
	rounds int
	only   []string // servers; empty: all
}

func (p *plan) has(name string) bool { return len(p.only) == 0 || slices.Contains(p.only, name) }

func benchMain(args []string) (err error) {
	fs := flag.NewFlagSet("peers", flag.ContinueOnError)
	quick := fs.Bool("quick", false, "every server once, for under a second: no ranges, rough figures")
	rounds := fs.Int("rounds", 5, "measurements of each server and load")
	only := fs.String("servers", "", "measure only these, comma separated: "+serverNames())
	profiles := fs.String("profile", "", "write CPU profiles of the Go servers into this folder; it costs them a few percent")
	if err := fs.Parse(args); err != nil {
		return err
	}
	p := plan{rounds: *rounds}
	b := bench{warm: 500 * time.Millisecond, run: 2 * time.Second, openRun: 3 * time.Second, repeats: maxRepeats, profiles: *profiles}
	if *quick {
		p.rounds, b.warm, b.run, b.openRun = 1, 300*time.Millisecond, 700*time.Millisecond, time.Second
	}
	if p.rounds < 1 || p.rounds > 100 {
		return fmt.Errorf("-rounds: %d is not in 1..100", p.rounds)
	}
	if *only != "" {
		p.only = strings.Split(*only, ",")
		for _, name := range p.only {
			if !slices.ContainsFunc(servers, func(s server) bool { return s.name == name }) {
				return fmt.Errorf("-servers: %q is none of %s", name, serverNames())
			}
		}
	}
	if b.serverCore, b.clientCore, err = machine.Cores(); err != nil {
		return err
	}
	if err := enoughFiles(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "peers"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.prepare(); err != nil {
		return err
	}
	return b.all(p)
}

func serverNames() string {
	names := make([]string, len(servers))
	for i, s := range servers {
		names[i] = s.name
	}
	return strings.Join(names, ", ")
}

// enoughFiles tells before minutes have passed that the limit of open files is too low for the idle connections.
func enoughFiles() error {
	const spare = 200
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	// The gateway itself leaves a tenth to others.
	if want := uint64(idleConns*10/9 + spare); files.Max < want {
		return fmt.Errorf("the limit of open files is %d, %d are needed (ulimit -Hn)", files.Max, want)
	}
	return nil
}

// all measures everything in turn and prints the tables.
func (b *bench) all(p plan) error {
	r := newReport(p.rounds)
	for round := range p.rounds {
		for i := range servers {
			s := &servers[(i+round)%len(servers)] // no server always follows the same one
			if !p.has(s.name) {
				continue
			}
			if err := b.one(r, s, round, p.rounds); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	r.repeated = maxRepeats - b.repeats
	r.print(os.Stdout)
	return nil
}

// idleRounds is enough for memory, which varies little.
const idleRounds = 2

// one is one round of one server.
func (b *bench) one(r *report, s *server, round, rounds int) error {
	var loads []load
	if s.closed {
		loads = append(loads, single, backfill)
	}
	if s.open {
		loads = append(loads, steady)
	}
	for _, l := range loads {
		res, err := b.measure(s.name, l)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		r.add(s.name, l.name, res)
		if l.rate > 0 {
			fmt.Fprintf(os.Stderr, "round %d/%d  %-9s %-40s p50 %.2f p99 %.2f max %.1f ms\n", round+1, rounds, s.name, l.name, res.P50, res.P99, res.Max)
		} else {
			fmt.Fprintf(os.Stderr, "round %d/%d  %-9s %-40s %8.0f frames/s %6.2f µs\n", round+1, rounds, s.name, l.name, res.rate(), res.microseconds())
		}
	}
	if !s.idle || round >= idleRounds {
		return nil
	}
	after, collected, err := b.idle(s.name, idleConns)
	if err != nil {
		return fmt.Errorf("%d idle connections: %w", idleConns, err)
	}
	r.idle[s.name] = append(r.idle[s.name], memory{after, collected})
	fmt.Fprintf(os.Stderr, "round %d/%d  %-9s %-40s %8.0f B each, %.0f collected\n", round+1, rounds, s.name, fmt.Sprintf("%d idle connections", idleConns), after, collected)
	return nil
}
