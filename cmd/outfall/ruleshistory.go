package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"outfall/rules"
)

// A historyRow is one activation as `rules history` prints it.
type historyRow struct {
	ActivatedAt time.Time       `json:"activated_at"`
	RuleSet     string          `json:"ruleset"`
	Version     int             `json:"version"`
	Hash        string          `json:"hash"`
	Changes     []ruleChangeRow `json:"changes"` // against the activation before it
}

type ruleChangeRow struct {
	Rule   string   `json:"rule"`
	Change string   `json:"change"`
	Fields []string `json:"fields,omitempty"`
}

func ruleChangeRows(list []rules.Change, only string) []ruleChangeRow {
	rows := []ruleChangeRow{}
	for _, c := range list {
		if only == "" || c.Rule == only {
			rows = append(rows, ruleChangeRow{c.Rule, c.Kind, c.Fields})
		}
	}
	return rows
}

func newRulesHistory(a *app) *cobra.Command {
	var form string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "history [RULE]",
		Short: "List what each activation changed",
		Long: `List the activations in the journal, oldest first, and what each changed against the one before it: rules added, removed, and the fields of those
that changed. With a rule's id only the activations that touched it.`,
		Example: "  outfall rules history\n  outfall rules history w-cod-day",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			only := append(args, "")[0]
			p, err := newPrinter(a.stdout, form, "ACTIVATED", "RULE SET", "VERSION", "HASH", "CHANGE", "RULE", "FIELDS")
			if err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			list, err := readActivations(cmd.Context(), access.cluster)
			if err != nil {
				return err
			}
			var before *rules.RuleSet
			for _, one := range list {
				changes := ruleChangeRows(rules.Diff(before, one.set), only)
				before = one.set
				if only != "" && len(changes) == 0 {
					continue
				}
				if err := printHistory(p, &one, changes); err != nil {
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

// printHistory prints an activation: one object in jsonl, a line for each change in the table.
func printHistory(p *printer, one *activation, changes []ruleChangeRow) error {
	row := historyRow{one.ActivatedAt, one.RuleSet, one.Version, one.Hash, changes}
	if p.jsonl {
		return p.row(row)
	}
	if len(changes) == 0 {
		changes = []ruleChangeRow{{Change: "none"}}
	}
	for _, c := range changes {
		err := p.row(nil, localTime(one.ActivatedAt), one.RuleSet, fmt.Sprint(one.Version), one.Hash, c.Change, c.Rule, strings.Join(c.Fields, "; "))
		if err != nil {
			return err
		}
	}
	return nil
}

func newRulesDiff(a *app) *cobra.Command {
	var form string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show what differs between two rule sets",
		Long: `Show the rules that B adds to A, takes away, and changes, field by field. A and B are files, hashes of the journal (the first digits suffice), or
active for the set in force. Exit code 3 when they differ.`,
		Example: "  outfall rules diff rules-2025.yaml rules-2026.yaml\n  outfall rules diff active rules.yaml",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(a.stdout, form, "CHANGE", "RULE", "FIELDS")
			if err != nil {
				return err
			}
			changes, err := diffOf(cmd.Context(), a, &data, args)
			if err != nil {
				return err
			}
			for _, c := range changes {
				if err := p.row(c, c.Change, c.Rule, strings.Join(c.Fields, "; ")); err != nil {
					return err
				}
			}
			if err := p.flush(); err != nil {
				return err
			}
			if len(changes) > 0 {
				return checkFailed()
			}
			return nil
		},
	}
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

func diffOf(ctx context.Context, a *app, data *dataOptions, names []string) ([]ruleChangeRow, error) {
	access := lazyAccess(ctx, a, data)
	defer access.close()
	var sets [2]*rules.RuleSet
	for i, name := range names {
		var err error
		if sets[i], err = findRuleSet(ctx, name, access.open); err != nil {
			return nil, err
		}
	}
	return ruleChangeRows(rules.Diff(sets[0], sets[1]), ""), nil
}
