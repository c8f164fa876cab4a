package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"outfall/internal/store"
	"outfall/stream"
	"outfall/telemetry"
)

type replayOptions struct {
	from, to          string
	asOf              string
	eventFrom         string
	eventTo           string
	out, region       string
	mns               []string
	rules             string
	knownNow          bool
	compare           bool
	limit             int
	snapshots         bool
	form              string
	data              dataOptions
	ruleSet, ruleHash string // of the file
}

func newReplay(a *app) *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Fold a range of the journal again and compare it with what was published",
		Long: `Fold the journal's entries received in [--from, --to) again, with the registry and the rules of the day, into points.lp, alarms.jsonl and
findings.jsonl in --out, and print their SHA-256. The same range gives the same bytes, on any machine. Nothing is written to Kafka or
InfluxDB, and nobody is notified.

--mn and --region select devices; a region is the one that the registry had for a device when the output was made. Everything is folded
all the same, so each selected output is the one that the whole range gives.

With --compare each result is checked against what was published: points line by line, the rest record by record. What differs is
missing (replayed, but not published), extra (published, but not replayed) or changed, field by field, with the journal offsets of the
frames that went into it. --limit differences are printed, all are in differences.jsonl in --out, and the exit code is 3.

--rules asks what would have been: the rule file comes into force before the first entry of the range, and rules activated in the range
change nothing. --compare then shows what would have been published otherwise; the ids of alarms and the hash of the rule set, which
follow from the file's bytes, do not count as differences.

--as-of T asks what was known at T, by event time: of all that the journal held before the first entry received at T or later, the newest
value of every point, the newest event of every alarm, and every finding, whose own time (of a window, its start; of a rolling mean, its
end) lies in [--event-from, --event-to). A correction that came after T is not in it. --from and --to, which go by receipt, do not go
with it.

--known-now asks what is known now: marks ("outfall mark") that hold at the journal's end are taken as known before the first data of their time, and
those that were replaced or revoked as never made. So even windows that a worker no longer held when their mark came are worked out with it; with --compare the
differences are what the marks change beyond what was published with their coming.

Everything is computed from the journal's first entry, trusting nothing else; --from-snapshots begins at the worker's own snapshots, which
is faster and the only way when the journal no longer reaches back far enough. When the range depends on entries that are gone, that is
said, and the exit code is 5.

A running "outfall run" on the data directory is asked for its journal; without one the directory's own log is opened.`,
		Example: `  outfall replay --from 2026-07-01 --to 2026-07-02 --out day1 --compare
  outfall replay --from 2026-07-01 --to 2026-07-02 --out region --region 贵州省/贵阳市 --compare
  outfall replay --from 2026-07-01 --out stricter --rules stricter.yaml --compare
  outfall replay --as-of "2026-07-02 08:00" --event-from 2026-07-01 --event-to 2026-07-02 --out known
  outfall replay --config outfall.yaml --from 2026-07-01T00:00:00Z --to 2026-07-01T06:00:00Z --out out`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runReplay(cmd, a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "received at or after: RFC 3339 or \"2006-01-02 15:04:05\" of UTC+8 (default: the journal's beginning)")
	f.StringVar(&o.to, "to", "", "received before (default: the journal's end)")
	f.StringVar(&o.asOf, "as-of", "", "what was known then, of the event times [--event-from, --event-to)")
	f.StringVar(&o.eventFrom, "event-from", "", "with --as-of: of this event time or later (default: any)")
	f.StringVar(&o.eventTo, "event-to", "", "with --as-of: of an event time before (default: any)")
	f.StringArrayVar(&o.mns, "mn", nil, "only this device; may be given again")
	f.StringVar(&o.region, "region", "", "only devices whose region begins so, by the registry of the day")
	f.StringVar(&o.rules, "rules", "", "a rule file to judge by, instead of the rules of the day")
	f.StringVar(&o.out, "out", "", "directory for the results; made if it is missing")
	f.BoolVar(&o.knownNow, "known-now", false, "by the marks that hold now, whenever they came")
	f.BoolVar(&o.compare, "compare", false, "check the results against what was published; exit 3 on a difference")
	f.IntVar(&o.limit, "limit", 20, "with --compare: how many differences to print")
	f.BoolVar(&o.snapshots, "from-snapshots", false, "begin at the snapshots of stream.snapshots instead of the journal's first entry")
	outputFlag(cmd, &o.form)
	o.data.flags(cmd)
	return cmd
}

// parse checks the flags and reads the rule file.
func (o *replayOptions) parse() (opts stream.ReplayOptions, err error) {
	if o.out == "" {
		return opts, usagef("--out: want a directory for the results")
	}
	if o.limit < 0 {
		return opts, usagef("--limit: %d is below 0", o.limit)
	}
	opts = stream.ReplayOptions{Out: o.out, Compare: o.compare, Limit: o.limit, KnownNow: o.knownNow, MNs: o.mns, Region: o.region}
	for _, mn := range o.mns {
		if !telemetry.ValidMN(mn) {
			return opts, usagef("--mn: %q is no MN", mn)
		}
	}
	for _, f := range [...]struct {
		flag, text string
		to         *time.Time
	}{{"--from", o.from, &opts.From}, {"--to", o.to, &opts.To}, {"--as-of", o.asOf, &opts.AsOf}, {"--event-from", o.eventFrom, &opts.EventFrom},
		{"--event-to", o.eventTo, &opts.EventTo}} {
		if f.text == "" {
			continue
		}
		if *f.to, err = parseInstant(f.flag, f.text); err != nil {
			return opts, err
		}
	}
	switch {
	case o.asOf == "" && o.eventFrom+o.eventTo != "":
		return opts, usagef("--event-from and --event-to go with --as-of; a range by receipt is --from and --to")
	case o.knownNow && (o.asOf != "" || o.snapshots):
		return opts, usagef("--known-now goes neither with --as-of, which asks for what was known then, nor with --from-snapshots, which hold what was known")
	case o.asOf != "" && o.from+o.to != "":
		return opts, usagef("--as-of takes what was received before it: give the range by event time, --event-from and --event-to, instead of --from and --to")
	case o.asOf != "" && (o.compare || o.rules != ""):
		return opts, usagef("--as-of goes neither with --compare nor with --rules: replay --to the same moment with those")
	}
	for _, r := range [...]struct {
		names    string
		from, to time.Time
	}{{"--from %s is not before --to %s", opts.From, opts.To}, {"--event-from %s is not before --event-to %s", opts.EventFrom, opts.EventTo}} {
		if !r.from.IsZero() && !r.to.IsZero() && !r.from.Before(r.to) {
			return opts, usagef(r.names, localTime(r.from), localTime(r.to))
		}
	}
	if o.rules != "" {
		file, err := readRuleFile(o.rules)
		if err != nil {
			return opts, err
		}
		opts.Rules, o.ruleSet, o.ruleHash = file.Set.AppendJSON(nil), file.Set.Name, file.Set.Hash
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
	begin := time.Now()
	if _, terminal := terminalWidth(a.stderr); terminal {
		opts.Progress = func(done, total int64) {
			fmt.Fprintf(a.stderr, "\r%s\x1b[K", progressText(done, total, time.Since(begin)))
		}
	}
	res, err := stream.Replay(cmd.Context(), access.cluster, opts)
	if opts.Progress != nil {
		fmt.Fprintln(a.stderr)
	}
	if err != nil {
		return err
	}
	return o.print(p, a, &res, time.Since(begin))
}

// progressText says how far a replay is, how fast it goes and how long it will still take.
func progressText(done, total int64, took time.Duration) string {
	text := fmt.Sprintf("%d of %d records", done, total)
	if total > 0 {
		text += fmt.Sprintf(", %d %%", 100*min(done, total)/total)
	}
	seconds := took.Seconds()
	if done == 0 || seconds < 1 {
		return text
	}
	text += fmt.Sprintf(", %.0f/s", float64(done)/seconds)
	if left := total - done; left > 0 {
		text += fmt.Sprintf(", about %v left", time.Duration(float64(left)/float64(done)*float64(took)).Round(time.Second))
	}
	return text
}

// A replayRow is one file of results.
type replayRow struct {
	File    string `json:"file"`
	SHA256  string `json:"sha256"`
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`
}

// print prints the files on standard output, the comparison and what limits it on standard error, and decides the exit code.
func (o *replayOptions) print(p *printer, a *app, res *stream.ReplayResult, took time.Duration) error {
	for _, f := range res.Files {
		if err := p.row(replayRow{f.Name, f.SHA256, f.Records, f.Bytes}, f.Name, f.SHA256, fmt.Sprint(f.Records), fmt.Sprint(f.Bytes)); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%d journal entries in %v\n", res.Entries, took.Round(time.Millisecond))
	if o.rules != "" {
		fmt.Fprintf(a.stderr, "judged by %s, rule set %s (%s), not by the rules of the day\n", o.rules, o.ruleSet, o.ruleHash)
	}
	for _, note := range res.Notes {
		fmt.Fprintln(a.stderr, note)
	}
	if c := res.Comparison; c != nil {
		fmt.Fprintf(a.stderr, "compared with what was published: %d identical, %d missing, %d extra, %d changed; not comparable: %d expired, %d not published yet\n",
			c.Identical, c.Missing, c.Extra, c.Changed, c.Gone, c.Pending)
		for i := range c.First {
			fmt.Fprintln(a.stderr, printableLines(c.First[i].String()))
		}
		if !c.Same() {
			fmt.Fprintf(a.stderr, "%d of %d differences; all are in %s\n", len(c.First), c.Differences(), filepath.Join(o.out, stream.DifferencesFile))
			return checkFailed()
		}
	}
	if len(res.Notes) > 0 {
		return &codedError{code: exitPartial}
	}
	return nil
}

// printableLines is printable line by line.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}
