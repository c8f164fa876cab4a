package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"outfall/sinks/alert"
	"outfall/telemetry"
)

func newAlertSilence(a *app) *cobra.Command {
	return parent("silence", "Keep alarms silent for a time",
		`A silence keeps people from being told of the alarms that it selects: maintenance, a test, a device that is known to be broken. The alarms themselves are
raised and listed as ever, and the journal has the silence and every event that it kept back. When it ends, alarms that are still open are told.`,
		newSilenceAdd(a), newSilenceLs(a), newSilenceExpire(a))
}

// A silenceFlags is what silence add selects.
type silenceFlags struct {
	match            telemetry.AlarmMatch
	level, statistic []string
	from, to         string
	length           time.Duration
	operator, reason string
}

func newSilenceAdd(a *app) *cobra.Command {
	var o silenceFlags
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Add a silence",
		Long: `Add a silence. Of each flag given the alarm must have one of the values; at least one flag is needed. A region is PROVINCE, PROVINCE/CITY or
PROVINCE/CITY/COUNTY and selects what lies in it. A silence holds for 31 days at most. The command prints its id.`,
		Example: `  outfall alert silence add --outlet W01 --for 4h --operator li --reason "maintenance of the COD analyser"
  outfall alert silence add --region 贵州省/贵阳市 --factor w01018 --from "2026-07-01 08:00" --to "2026-07-01 18:00" --operator li --reason drill`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			action, err := o.action(time.Now())
			if err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			if err := writeAction(cmd.Context(), access.cluster, action); err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, action.ID)
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.match.Region, "region", nil, "province/city/county, or a part of it from the left")
	f.StringSliceVar(&o.match.Enterprise, "enterprise", nil, "whole name")
	f.StringSliceVar(&o.match.Outlet, "outlet", nil, "outlet id")
	f.StringSliceVar(&o.match.MN, "mn", nil, "device")
	f.StringSliceVar(&o.level, "level", nil, "warning, exceed")
	f.StringSliceVar(&o.match.Factor, "factor", nil, "factor code")
	f.StringSliceVar(&o.statistic, "statistic", nil, "instant, minute, hour, day, rolling_1h, rolling_24h")
	f.StringSliceVar(&o.match.Rule, "rule", nil, "rule id")
	f.StringSliceVar(&o.match.Alarm, "alarm", nil, "alarm id")
	f.StringVar(&o.from, "from", "", "beginning, RFC 3339 or \"2006-01-02 15:04\" of UTC+8 (default: now)")
	f.StringVar(&o.to, "to", "", "end, not included")
	f.DurationVar(&o.length, "for", 0, "how long, instead of --to")
	f.StringVar(&o.operator, "operator", "", "who asks")
	f.StringVar(&o.reason, "reason", "", "why, for the journal")
	data.flags(cmd)
	return cmd
}

// action is the silence that the flags ask for.
func (o *silenceFlags) action(now time.Time) (telemetry.Action, error) {
	from := now
	if o.from != "" {
		at, err := parseInstant("--from", o.from)
		if err != nil {
			return telemetry.Action{}, err
		}
		from = at
	}
	to := from.Add(o.length)
	switch {
	case (o.to == "") == (o.length == 0):
		return telemetry.Action{}, usagef("want --for or --to")
	case o.to != "":
		at, err := parseInstant("--to", o.to)
		if err != nil {
			return telemetry.Action{}, err
		}
		to = at
	}
	if o.operator == "" || o.operator == telemetry.ActionOperator {
		return telemetry.Action{}, usagef("say who asks with --operator")
	}
	m := o.match
	for _, l := range o.level {
		if l != string(telemetry.LevelWarning) && l != string(telemetry.LevelExceed) {
			return telemetry.Action{}, usagef("--level: %q is neither warning nor exceed", l)
		}
		m.Level = append(m.Level, telemetry.AlarmLevel(l))
	}
	for _, s := range o.statistic {
		if !slices.Contains(telemetry.Statistics(), telemetry.Statistic(s)) {
			return telemetry.Action{}, usagef("--statistic: %q is none of %v", s, telemetry.Statistics())
		}
		m.Statistic = append(m.Statistic, telemetry.Statistic(s))
	}
	from, to, now = from.UTC().Truncate(time.Second), to.UTC().Truncate(time.Second), now.UTC().Truncate(time.Millisecond)
	action := telemetry.Action{V: telemetry.ActionVersion, ID: alert.NewActionID(now), Verb: telemetry.VerbSilence, Match: &m, From: &from, To: &to,
		Who: o.operator, When: now, Text: o.reason}
	if err := action.Validate(); err != nil {
		return telemetry.Action{}, usagef("%w", err)
	}
	if !to.After(now) {
		return telemetry.Action{}, usagef("the silence would be over already")
	}
	return action, nil
}

// A silenceRow is a silence and how it is now.
type silenceRow struct {
	telemetry.Action
	State string     `json:"state"` // waiting, holds, over
	Ended *time.Time `json:"ended,omitempty"`
}

func newSilenceLs(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List silences",
		Long:    "List the silences that hold or are going to, the oldest first; with --all those that are over too.",
		Example: "  outfall alert silence ls\n  outfall alert silence ls --all --output jsonl",
	}
	cmd.Flags().BoolVar(&all, "all", false, "also those that are over")
	return lister(a, cmd, func(form string) (*printer, error) {
		return newPrinter(a.stdout, form, "ID", "STATE", "FROM", "TO", "WHO", "SELECTS", "REASON")
	}, func(ctx context.Context, access *dataAccess, p *printer) error {
		rows, err := readSilences(ctx, access, time.Now())
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.State == stateOver && !all {
				continue
			}
			end := *r.To
			if r.Ended != nil {
				end = *r.Ended
			}
			if err := p.row(r, r.ID, r.State, localTime(*r.From), localTime(end), r.Who, matchText(r.Match), orDash(r.Text)); err != nil {
				return err
			}
		}
		return nil
	})
}

// States of a silence.
const (
	stateWaiting = "waiting"
	stateHolds   = "holds"
	stateOver    = "over"
)

// readSilences lists the silences of the topic by their beginning.
func readSilences(ctx context.Context, access *dataAccess, now time.Time) ([]*silenceRow, error) {
	byID := map[string]*silenceRow{}
	err := readActions(ctx, access.cluster, func(a *telemetry.Action) {
		switch a.Verb {
		case telemetry.VerbSilence:
			if byID[a.ID] == nil {
				byID[a.ID] = &silenceRow{Action: *a}
			}
		case telemetry.VerbUnsilence:
			if r := byID[a.Silence]; r != nil && r.Ended == nil {
				r.Ended = &a.When
			}
		}
	})
	if err != nil {
		return nil, err
	}
	rows := make([]*silenceRow, 0, len(byID))
	for _, r := range byID {
		switch {
		case r.Ended != nil && !now.Before(*r.Ended), !now.Before(*r.To):
			r.State = stateOver
		case now.Before(*r.From):
			r.State = stateWaiting
		default:
			r.State = stateHolds
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(x, y *silenceRow) int { return cmp.Or(x.From.Compare(*y.From), cmp.Compare(x.ID, y.ID)) })
	return rows, nil
}

// matchText is what a silence selects, for people.
func matchText(m *telemetry.AlarmMatch) string {
	var parts []string
	add := func(name string, list []string) {
		if len(list) > 0 {
			parts = append(parts, name+"="+strings.Join(list, ","))
		}
	}
	text := func(n int, at func(int) string) (list []string) {
		for i := range n {
			list = append(list, at(i))
		}
		return list
	}
	add("region", m.Region)
	add("enterprise", m.Enterprise)
	add("outlet", m.Outlet)
	add("mn", m.MN)
	add("level", text(len(m.Level), func(i int) string { return string(m.Level[i]) }))
	add("factor", m.Factor)
	add("statistic", text(len(m.Statistic), func(i int) string { return string(m.Statistic[i]) }))
	add("rule", m.Rule)
	add("alarm", m.Alarm)
	return strings.Join(parts, " ")
}

func newSilenceExpire(a *app) *cobra.Command {
	var operator, reason string
	var data dataOptions
	cmd := &cobra.Command{
		Use:     "expire ID",
		Short:   "End a silence now",
		Long:    "End a silence before its time. Alarms that it kept back and that are still open are told.",
		Example: "  outfall alert silence expire 20260701-080000-ABCDEFGH --operator li",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if operator == "" || operator == telemetry.ActionOperator {
				return usagef("say who asks with --operator")
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			now := time.Now().UTC().Truncate(time.Millisecond)
			rows, err := readSilences(cmd.Context(), access, now)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(rows, func(r *silenceRow) bool { return r.ID == args[0] })
			switch {
			case i < 0:
				return usagef("there is no silence %q", args[0])
			case rows[i].State == stateOver:
				return usagef("silence %s is over", args[0])
			}
			return writeAction(cmd.Context(), access.cluster, telemetry.Action{V: telemetry.ActionVersion, ID: alert.NewActionID(now),
				Verb: telemetry.VerbUnsilence, Silence: args[0], Who: operator, When: now, Text: reason})
		},
	}
	cmd.Flags().StringVar(&operator, "operator", "", "who asks")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal")
	data.flags(cmd)
	return cmd
}
