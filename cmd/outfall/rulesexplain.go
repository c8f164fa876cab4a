package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/rules"
	"outfall/telemetry"
)

func newRulesExplain(a *app) *cobra.Command {
	var form, lang string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "explain ALARM-ID",
		Short: "Say why an alarm was raised, condition by condition",
		Long: `Say why an alarm was raised: one sentence for each condition of its rule, with the real numbers and the clause, by the rule set that judged it.
"outfall trace ALARM-ID" shows the frames behind the numbers.`,
		Example: "  outfall rules explain 3f1c0a9be2d47855\n  outfall rules explain --lang en 3f1c0a9be2d47855",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lang != rules.LangZH && lang != rules.LangEN {
				return usagef("--lang: %q is neither zh nor en", lang)
			}
			p, err := newPrinter(a.stdout, form)
			if err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			lines, err := explainAlarm(cmd.Context(), access, lang, args[0])
			if err != nil {
				return err
			}
			for _, line := range lines {
				row := struct {
					Alarm    string `json:"alarm"`
					Sentence string `json:"sentence"`
				}{args[0], line}
				if err := p.row(row, line); err != nil {
					return err
				}
			}
			return p.flush()
		},
	}
	cmd.Flags().StringVar(&lang, "lang", rules.LangZH, "zh or en")
	mustComplete(cmd, "lang", rules.LangZH, rules.LangEN)
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

func explainAlarm(ctx context.Context, access *dataAccess, lang, id string) ([]string, error) {
	event, err := readAlarm(ctx, access, id)
	if err != nil {
		return nil, err
	}
	list, err := readActivations(ctx, access.cluster)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(one activation) bool { return one.Hash == event.RuleSet })
	if i < 0 {
		return nil, fmt.Errorf("the rule set %s of alarm %s is not in the journal any more", event.RuleSet, id)
	}
	set := list[i].set
	k := slices.IndexFunc(set.Rules, func(r rules.Rule) bool { return r.ID == event.Rule })
	if k < 0 {
		return nil, fmt.Errorf("rule set %s has no rule %s", event.RuleSet, event.Rule)
	}
	byMN, err := readRegistry(ctx, access.cluster)
	if err != nil {
		return nil, err
	}
	var device *telemetry.Device
	if d, ok := byMN[event.MN]; ok {
		device = &d
	}
	return rules.Explain(lang, event, set, &set.Rules[k], device), nil
}

// readAlarm is the newest event of an alarm, with the judgement of the newest event that has one and shows the same window.
func readAlarm(ctx context.Context, access *dataAccess, id string) (*telemetry.Alarm, error) {
	var newest *telemetry.Alarm
	var judged *telemetry.Alarm
	seen := positions{}
	err := access.cluster.ReadAll(ctx, telemetry.TopicAlarms, func(rec *kgo.Record) error {
		event, fresh, err := decodeOutput[telemetry.Alarm](seen, rec)
		if err != nil || !fresh || event.ID != id {
			return err
		}
		newest = &event
		if event.Judgement != nil {
			judged = &event
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read alarms: %w", err)
	}
	if newest == nil {
		return nil, usagef("the alarms topic has no alarm %q: see \"outfall alarm ls\"", id)
	}
	if newest.Judgement == nil && judged != nil && judged.WindowStart.Equal(newest.WindowStart) && judged.Value == newest.Value {
		newest.Judgement = judged.Judgement
	}
	return newest, nil
}
