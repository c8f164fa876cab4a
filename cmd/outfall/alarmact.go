package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/sinks/alert"
	"outfall/telemetry"
)

func newAlarmShow(a *app) *cobra.Command {
	var form string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show the life of an alarm, event by event",
		Long: `List every event of an alarm that the topic holds, in order: how it was raised, updated, cleared or withdrawn, by which mark, and who acknowledged, explained
and closed it. "outfall trace ID" shows the frames behind it.`,
		Example: "  outfall alarm show 3f1c0a5be2d94c77",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(a.stdout, form, "AT", "STATE", "LEVEL", "WINDOW", "VALUE", "LIMIT", "WHO", "MARK", "WHY")
			if err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			events, err := eventsOf(cmd.Context(), access.cluster, args)
			if err != nil {
				return err
			}
			for i := range events[args[0]] {
				e := &events[args[0]][i]
				why := e.Reason
				if e.Text != "" {
					why = e.Text
				}
				err := p.row(e, localTime(e.At), string(e.State), string(e.Level), windowText(e.WindowStart, e.WindowEnd), e.Value.String()+" "+e.Unit, limitText(e),
					orDash(e.Who), orDash(e.Mark), orDash(why))
				if err != nil {
					return err
				}
			}
			return p.flush()
		},
	}
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

// eventsOf reads the events of alarms, by id. An id without any is a usage error.
func eventsOf(ctx context.Context, cluster *broker.Cluster, ids []string) (map[string][]telemetry.Alarm, error) {
	events := map[string][]telemetry.Alarm{}
	for _, id := range ids {
		events[id] = nil
	}
	seen := positions{}
	err := cluster.ReadAll(ctx, telemetry.TopicAlarms, func(rec *kgo.Record) error {
		event, fresh, err := decodeOutput[telemetry.Alarm](seen, rec)
		if _, wanted := events[event.ID]; err == nil && fresh && wanted {
			events[event.ID] = append(events[event.ID], event)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read alarms: %w", err)
	}
	for _, id := range ids {
		if len(events[id]) == 0 {
			return nil, usagef("there is no alarm %q; \"outfall alarm ls\" lists them", id)
		}
	}
	return events, nil
}

// newAlarmAct makes a command for what people do about alarms: it writes an action, of which the workers make events.
func newAlarmAct(a *app, verb telemetry.Verb, short, long string, needText bool) *cobra.Command {
	var who, text string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   string(verb) + " ID...",
		Short: short,
		Long: long + ` It is an entry of the journal, with who and when, and makes an event of the alarm. Alarms that ended more than 35 days ago, or of which their
device has had more than 64 since, can no longer be acted on. Nothing is written unless all of them can be.`,
		Example: fmt.Sprintf("  outfall alarm %s 3f1c0a5be2d94c77 --who li --text \"pump failed, repaired at 10:20\"", verb),
		Args:    cobra.RangeArgs(1, telemetry.MaxActionAlarms),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case who == "" || who == telemetry.ActionOperator:
				return usagef("say who does it with --who")
			case needText && text == "":
				return usagef("say why with --text")
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			events, err := eventsOf(cmd.Context(), access.cluster, args)
			if err != nil {
				return err
			}
			byMN, err := groupActed(args, events, verb)
			if err != nil {
				return err
			}
			return writeActs(cmd.Context(), a, access.cluster, verb, byMN, who, text)
		},
	}
	cmd.Flags().StringVar(&who, "who", "", "who does it")
	cmd.Flags().StringVar(&text, "text", "", "in words")
	data.flags(cmd)
	return cmd
}

// An actedGroup is the alarms of one device that are acted on.
type actedGroup struct {
	mn  string
	ids []string
}

// groupActed groups alarms by their device, in the order given, and refuses those that the verb does not fit.
func groupActed(ids []string, events map[string][]telemetry.Alarm, verb telemetry.Verb) ([]actedGroup, error) {
	var groups []actedGroup
	done := map[string]bool{}
	for _, id := range ids {
		if done[id] {
			continue
		}
		done[id] = true
		last := events[id][len(events[id])-1]
		switch {
		case last.State == telemetry.AlarmClosed:
			return nil, usagef("alarm %s is closed, by %s", id, last.Who)
		case verb == telemetry.VerbClose && last.ClearedAt == nil:
			return nil, usagef("alarm %s is still open: it can be closed when its condition has ended", id)
		}
		at := -1
		for i := range groups {
			if groups[i].mn == last.MN {
				at = i
			}
		}
		if at < 0 {
			groups, at = append(groups, actedGroup{mn: last.MN}), len(groups)
		}
		groups[at].ids = append(groups[at].ids, id)
	}
	return groups, nil
}

func writeActs(ctx context.Context, a *app, cluster *broker.Cluster, verb telemetry.Verb, groups []actedGroup, who, text string) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i, g := range groups {
		action := telemetry.Action{V: telemetry.ActionVersion, ID: alert.NewActionID(now), Verb: verb, MN: g.mn, Alarms: g.ids, Who: who, When: now, Text: text}
		if err := action.Validate(); err != nil {
			return usagef("%w", err)
		}
		if err := writeAction(ctx, cluster, action); err != nil {
			if i > 0 {
				return &codedError{exitPartial, fmt.Errorf("written for %d of %d devices: %w", i, len(groups), err)}
			}
			return err
		}
		fmt.Fprintf(a.stderr, "%s: %s\n", verb, strings.Join(g.ids, ", "))
	}
	return nil
}
