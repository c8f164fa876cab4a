package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"outfall/internal/store"
	"outfall/stream"
	"outfall/telemetry"
)

type traceOptions struct {
	event     string
	rev       int
	snapshots bool
	form      string
	data      dataOptions
}

func newTrace(a *app) *cobra.Command {
	var o traceOptions
	cmd := &cobra.Command{
		Use:   "trace ALARM-ID | MN FACTOR STATISTIC TIME | POINT",
		Short: "Walk back from an alarm or a point to the exact frames",
		Long: `Show what a published alarm or point rests on: the journal entry that made it, its windows, and every frame that carried a value for
them: journal offset, receipt, peer, the value as sent, whether it counted and why not, and the exact bytes (PW included: they are
evidence). The device is folded again up to that entry, so the answer is computed, not remembered: "reproduced" says that the fold gave
the published bytes, "explained" that the mean of the frames shown is the mean that was published. Where either is not so, the exit
code is 3. Nothing is written to Kafka or InfluxDB.

An alarm is named by its id as "outfall alarm ls" shows it; --event selects raised, updated or cleared, else the first event that is
kept is taken. The windows are those that led to it, as many as its rule asks for.

A point is named by its device, factor, statistic (` + strings.Join(statistics(), ", ") + `) and time: the window's start, for a
rolling mean its end. Its newest revision is taken unless --rev names another. Instead of the four, a line of points.lp or of an
InfluxDB export may be given, in quotes.`,
		Example: `  outfall trace 3f1c0a9be2d47855
  outfall trace 520181A00170C67EF96ED8C5 w01018 hour "2026-07-01 10:00"
  outfall trace --output json 520181A00170C67EF96ED8C5 w01018 minute 2026-07-01T02:13:00Z | jq -r '.windows[].frames[].frame'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 4 {
				return usagef("trace: want an alarm's id, a point as MN FACTOR STATISTIC TIME, or a line of points.lp in quotes")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runTrace(cmd, a, o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.event, "event", "", "of an alarm: raised, updated or cleared (default: the first event that is kept)")
	f.IntVar(&o.rev, "rev", -1, "of a mean: this revision (default: the newest)")
	f.BoolVar(&o.snapshots, "from-snapshots", false, "begin at the snapshots of stream.snapshots instead of the journal's first entry")
	f.StringVarP(&o.form, "output", "o", traceText, "text (times of UTC+8) or json (one object, UTC)")
	mustComplete(cmd, "event", string(telemetry.AlarmRaised), string(telemetry.AlarmUpdated), string(telemetry.AlarmCleared),
		string(telemetry.AlarmWithdrawn))
	mustComplete(cmd, "output", traceText, traceJSON)
	o.data.flags(cmd)
	return cmd
}

const (
	traceText = "text"
	traceJSON = "json"
)

func statistics() (names []string) {
	for _, s := range telemetry.Statistics() {
		names = append(names, string(s))
	}
	return names
}

// parse reads what is to be traced.
func (o *traceOptions) parse(args []string) (opts stream.TraceOptions, err error) {
	if o.form != traceText && o.form != traceJSON {
		return opts, usagef("--output: %q is neither text nor json", o.form)
	}
	opts.Rev = o.rev
	if len(args) == 1 && strings.ContainsAny(args[0], ", ") {
		opts.MN, opts.Factor, opts.Stat, opts.Time, err = stream.ParsePoint(args[0])
		if err != nil {
			return opts, usagef("trace: %v", err)
		}
		return opts, o.refuseEvent()
	}
	if len(args) == 1 {
		if _, err := strconv.ParseUint(args[0], 16, 64); err != nil || len(args[0]) != 16 {
			return opts, usagef("trace: %q is no alarm id (16 hex digits, see outfall alarm ls)", args[0])
		}
		opts.Alarm, opts.Event = args[0], telemetry.AlarmState(o.event)
		switch opts.Event {
		case "", telemetry.AlarmRaised, telemetry.AlarmUpdated, telemetry.AlarmCleared, telemetry.AlarmWithdrawn:
			return opts, nil
		}
		return opts, usagef("--event: %q is none of raised, updated, cleared, withdrawn", o.event)
	}
	if !telemetry.ValidMN(args[0]) {
		return opts, usagef("trace: %q is no MN", args[0])
	}
	opts.MN, opts.Factor, opts.Stat = args[0], args[1], telemetry.Statistic(args[2])
	known := false
	for _, s := range telemetry.Statistics() {
		known = known || s == opts.Stat
	}
	if !known {
		return opts, usagef("trace: %q is none of %s", args[2], strings.Join(statistics(), ", "))
	}
	if opts.Time, err = parseInstant("TIME", args[3]); err != nil {
		return opts, err
	}
	return opts, o.refuseEvent()
}

func (o *traceOptions) refuseEvent() error {
	if o.event != "" {
		return usagef("--event: a point has no events")
	}
	return nil
}

func runTrace(cmd *cobra.Command, a *app, o traceOptions, args []string) error {
	opts, err := o.parse(args)
	if err != nil {
		return err
	}
	access, err := o.data.open(cmd.Context(), a)
	if err != nil {
		return err
	}
	defer access.close()
	if o.snapshots {
		if opts.Snapshots, err = store.Open(access.cfg.Stream.Snapshots); err != nil {
			return err
		}
	}
	t, err := stream.TraceOutput(cmd.Context(), access.cluster, opts)
	if err != nil {
		return err
	}
	if o.form == traceJSON {
		_, err = a.stdout.Write(append(telemetry.AppendJSON(nil, jsonTrace(t)), '\n'))
	} else {
		err = printTrace(a, t)
	}
	if err != nil {
		return err
	}
	sound := t.Reproduced
	for i := range t.Windows {
		sound = sound && t.Windows[i].Explained
	}
	switch {
	case len(t.Notes) > 0:
		return &codedError{code: exitPartial}
	case !sound:
		return checkFailed()
	}
	return nil
}

// A traceFrame is a frame of a trace with its bytes.
type traceFrame struct {
	*stream.Use
	Frame    *string `json:"frame,omitempty"`        // the bytes as text, when they are UTF-8
	FrameB64 []byte  `json:"frame_base64,omitempty"` // the bytes otherwise
}

type traceWindow struct {
	stream.Traced
	Frames []traceFrame `json:"frames"`
}

type traceRow struct {
	*stream.Trace
	Windows []traceWindow `json:"windows"`
}

func jsonTrace(t *stream.Trace) traceRow {
	row := traceRow{Trace: t, Windows: []traceWindow{}}
	for _, w := range t.Windows {
		window := traceWindow{Traced: w, Frames: []traceFrame{}}
		for _, u := range w.Frames {
			f := traceFrame{Use: u}
			if text := string(u.Frame); utf8.ValidString(text) {
				f.Frame = &text
			} else {
				f.FrameB64 = u.Frame
			}
			window.Frames = append(window.Frames, f)
		}
		row.Windows = append(row.Windows, window)
	}
	return row
}

func printTrace(a *app, t *stream.Trace) error {
	w := a.stdout
	fmt.Fprintf(w, "%s\n", printable(t.Published))
	fmt.Fprintf(w, "published in %s, partition %d, by the %s at journal offset %d (output %d), received %s\n", t.Topic, t.Partition, t.EntryKind, t.Source,
		t.Ordinal, localTime(t.Received))
	if len(t.Events) > 0 {
		fmt.Fprintf(w, "events of the alarm: %s\n", strings.Join(t.Events, ", "))
	}
	fmt.Fprintf(w, "reproduced from the journal: %s\n", yesNo(t.Reproduced, "the same bytes", "NO: folding the journal again does not give it"))
	for _, note := range t.Notes {
		fmt.Fprintln(w, note)
	}
	for i := range t.Windows {
		one := &t.Windows[i]
		fmt.Fprintf(w, "\n%s %s %s: published %s; from the frames below %s, of %d minutes: %s\n", one.Factor, one.Statistic, windowText(one.Start, one.End),
			orDash(one.Published), orDash(one.Computed), one.Minutes, yesNo(one.Explained, "explained", "NOT EXPLAINED"))
		p, err := newPrinter(w, outputTable, "OFFSET", "RECEIVED", "PEER", "CN", "TIME", "VALUE", "MARK", "COUNTED", "WHY", "FRAME")
		if err != nil {
			return err
		}
		for _, u := range one.Frames {
			err := p.row(nil, fmt.Sprint(u.Offset), localMillis(u.Received), orDash(u.Peer), orDash(u.CN), localTime(u.Time), orDash(u.Value), orDash(u.Mark),
				yesNo(u.Counted, "yes", "no"), orDash(u.Why), string(u.Frame))
			if err != nil {
				return err
			}
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
	return nil
}

func yesNo(v bool, yes, no string) string {
	if v {
		return yes
	}
	return no
}

// localMillis is localTime with milliseconds.
func localMillis(t time.Time) string { return t.In(telemetry.China).Format("2006-01-02 15:04:05.000") }
