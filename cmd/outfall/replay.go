package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"outfall/internal/store"
	"outfall/stream"
)

type replayOptions struct {
	from, to, out string
	compare       bool
	snapshots     bool
	form          string
	data          dataOptions
}

func newReplay(a *app) *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Fold a range of the journal again and compare it with what was published",
		Long: `Fold the journal's entries received in [--from, --to) again, with the registry and the rules of the day, into points.lp, alarms.jsonl and
findings.jsonl in --out, and print their SHA-256. The same range gives the same bytes, on any machine.

With --compare each result is checked against what was published; the first difference is printed and the exit code is 3. Everything is
computed from the journal's first entry, trusting nothing else; --from-snapshots begins at the worker's own snapshots, which is faster and
the only way when the journal no longer reaches back far enough. When the range depends on entries that are gone, that is said, and the
exit code is 5.

A running "outfall run" on the data directory is asked for its journal; without one the directory's own log is opened.`,
		Example: `  outfall replay --from 2026-07-01 --to 2026-07-02 --out day1 --compare
  outfall replay --config outfall.yaml --from 2026-07-01T00:00:00Z --to 2026-07-01T06:00:00Z --out out`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runReplay(cmd, a, o) },
	}
	cmd.Flags().StringVar(&o.from, "from", "", "received at or after: RFC 3339 or \"2006-01-02 15:04:05\" of UTC+8 (default: the journal's beginning)")
	cmd.Flags().StringVar(&o.to, "to", "", "received before (default: the journal's end)")
	cmd.Flags().StringVar(&o.out, "out", "", "directory for the results; made if it is missing")
	cmd.Flags().BoolVar(&o.compare, "compare", false, "check the results against what was published; exit 3 on a difference")
	cmd.Flags().BoolVar(&o.snapshots, "from-snapshots", false, "begin at the snapshots of stream.snapshots instead of the journal's first entry")
	outputFlag(cmd, &o.form)
	o.data.flags(cmd)
	return cmd
}

func (o *replayOptions) parse() (opts stream.ReplayOptions, err error) {
	if o.out == "" {
		return opts, usagef("--out: want a directory for the results")
	}
	opts.Out, opts.Compare = o.out, o.compare
	if o.from != "" {
		if opts.From, err = parseInstant("--from", o.from); err != nil {
			return opts, err
		}
	}
	if o.to != "" {
		if opts.To, err = parseInstant("--to", o.to); err != nil {
			return opts, err
		}
	}
	if !opts.From.IsZero() && !opts.To.IsZero() && !opts.From.Before(opts.To) {
		return opts, usagef("--from %s is not before --to %s", localTime(opts.From), localTime(opts.To))
	}
	return opts, nil
}

func runReplay(cmd *cobra.Command, a *app, o replayOptions) error {
	opts, err := o.parse()
	if err != nil {
		return err
	}
	p, err := newPrinter(a.stdout, o.form, "FILE", "SHA-256", "RECORDS", "BYTES")
	if err != nil {
		return err
	}
	access, err := o.data.open(cmd.Context(), a)
	if err != nil {
		return err
	}
	defer access.close()
	opts.Group = access.cfg.Stream.Group
	if o.snapshots {
		if opts.Snapshots, err = store.Open(access.cfg.Stream.Snapshots); err != nil {
			return err
		}
	}
	if _, terminal := terminalWidth(a.stderr); terminal {
		opts.Progress = func(done, total int64) { fmt.Fprintf(a.stderr, "\r%d of %d journal entries\x1b[K", done, total) }
		defer fmt.Fprintln(a.stderr)
	}
	begin := time.Now()
	res, err := stream.Replay(cmd.Context(), access.cluster, opts)
	if err != nil {
		return err
	}
	return printReplay(p, a, &res, time.Since(begin))
}

// A replayRow is one file of results.
type replayRow struct {
	File    string `json:"file"`
	SHA256  string `json:"sha256"`
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`
}

// printReplay prints the files on standard output, the comparison and what limits it on standard error, and decides the exit code.
func printReplay(p *printer, a *app, res *stream.ReplayResult, took time.Duration) error {
	for _, f := range res.Files {
		if err := p.row(replayRow{f.Name, f.SHA256, f.Records, f.Bytes}, f.Name, f.SHA256, fmt.Sprint(f.Records), fmt.Sprint(f.Bytes)); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%d journal entries in %v\n", res.Entries, took.Round(time.Millisecond))
	for _, note := range res.Notes {
		fmt.Fprintln(a.stderr, note)
	}
	if c := res.Comparison; c != nil {
		fmt.Fprintf(a.stderr, "compared with what was published: %d equal, %d missing, %d extra, %d changed; not comparable: %d expired, %d not published yet\n",
			c.Equal, c.Missing, c.Extra, c.Changed, c.Gone, c.Pending)
		if !c.Same() {
			fmt.Fprintf(a.stderr, "first difference: %s\n", c.First)
			return checkFailed()
		}
	}
	if len(res.Notes) > 0 {
		return &codedError{code: exitPartial}
	}
	return nil
}
