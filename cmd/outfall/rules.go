package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/rules"
	"outfall/rules/rulefile"
	"outfall/telemetry"
)

// A ruleSetRow is a rule set as lint and activate report it.
type ruleSetRow struct {
	RuleSet string `json:"ruleset"`
	Version int    `json:"version"`
	Hash    string `json:"hash"`
	Rules   int    `json:"rules"`
	Written bool   `json:"written"` // activate: false when it was in force already; lint: always false
	// Warnings is what lint finds odd, each with its place.
	Warnings []string `json:"warnings,omitempty"`
}

// An activation is one rule set put in force, as the journal has it.
type activation struct {
	ActivatedAt time.Time `json:"activated_at"`
	RuleSet     string    `json:"ruleset"`
	Version     int       `json:"version"`
	Hash        string    `json:"hash"`
	Partitions  int       `json:"partitions"` // how many journal partitions have it
	Active      bool      `json:"active"`     // the newest of at least one partition
	Rules       []string  `json:"rules"`      // ids

	set *rules.RuleSet
}

func newRules(a *app) *cobra.Command {
	return parent("rules", "Check, test, activate and explain rule sets",
		"Check and test rule files, put a rule set in force, see what was in force when and what changed, and have an alarm explained.",
		newRulesLint(a), newRulesTest(a), newRulesActivate(a), newRulesLs(a), newRulesShow(a), newRulesHistory(a), newRulesDiff(a), newRulesExplain(a),
		newRulesLibrary(a))
}

func newRulesActivate(a *app) *cobra.Command {
	var form string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "activate FILE",
		Short: "Put a rule set in force",
		Long: `Check the file, then write the rule set to every partition of the journal. From that entry on it judges; what came before keeps the
rules of its day, in every replay. A set that is in force already is not written again.`,
		Example: "  outfall rules activate rules.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := readRuleFile(args[0])
			if err != nil {
				return err
			}
			set := file.Set
			data.create = true
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			written, err := activateRules(cmd.Context(), access.cluster, set)
			if err != nil {
				return err
			}
			if written {
				return printRuleSet(a, form, set, nil, true, "is in force")
			}
			return printRuleSet(a, form, set, nil, false, "was in force already")
		},
	}
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

func newRulesLs(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the rule sets that were put in force",
		Long:    "List the activations in the journal, oldest first. The active one judges now.",
		Example: "  outfall rules ls",
	}
	return lister(a, cmd, func(form string) (*printer, error) {
		return newPrinter(a.stdout, form, "ACTIVATED", "RULE SET", "VERSION", "HASH", "RULES", "PARTITIONS", "ACTIVE")
	}, func(ctx context.Context, access *dataAccess, p *printer) error {
		list, err := readActivations(ctx, access.cluster)
		if err != nil {
			return err
		}
		for _, one := range list {
			active := "no"
			if one.Active {
				active = "yes"
			}
			err := p.row(one, localTime(one.ActivatedAt), one.RuleSet, fmt.Sprint(one.Version), one.Hash, fmt.Sprint(len(one.Rules)),
				fmt.Sprint(one.Partitions), active)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func readRuleFile(name string) (*rulefile.File, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, usagef("rules: %w", err)
	}
	file, err := rulefile.Read(name, src)
	if err != nil {
		return nil, &codedError{exitUsage, err}
	}
	return file, nil
}

func printRuleSet(a *app, form string, set *rules.RuleSet, warnings []string, written bool, state string) error {
	p, err := newPrinter(a.stdout, form)
	if err != nil {
		return err
	}
	row := ruleSetRow{set.Name, set.Version, set.Hash, len(set.Rules), written, warnings}
	if err := p.row(row, fmt.Sprintf("rule set %s version %d (%s, %d rules) %s", set.Name, set.Version, set.Hash, len(set.Rules), state)); err != nil {
		return err
	}
	return p.flush()
}

// activateRules writes the set to every partition, all with the same timestamp, unless each has it in force already.
func activateRules(ctx context.Context, cluster *broker.Cluster, set *rules.RuleSet) (written bool, err error) {
	list, err := readActivations(ctx, cluster)
	if err != nil {
		return false, err
	}
	for _, one := range list {
		if one.Active && one.Hash == set.Hash && one.Partitions == int(cluster.Partitions()) {
			return false, nil
		}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	value := set.AppendJSON(nil)
	var recs []*kgo.Record
	for p := range cluster.Partitions() {
		recs = append(recs, journalRecord(cluster, p, "", telemetry.KindRules, value, now))
	}
	if err := publish(ctx, cluster, recs); err != nil {
		return false, fmt.Errorf("write the rules to the journal: %w", err)
	}
	return true, nil
}

// readActivations finds the rules entries of the journal. Entries of one set with one timestamp are one activation.
func readActivations(ctx context.Context, cluster *broker.Cluster) ([]activation, error) {
	type id struct {
		hash string
		at   int64
	}
	byID := map[id]*activation{}
	newest := map[int32]*activation{}
	err := cluster.ReadAll(ctx, telemetry.TopicJournal, func(rec *kgo.Record) error {
		if header(rec, telemetry.HeaderKind) != telemetry.KindRules.String() {
			return nil
		}
		set, err := rules.ParseRuleSet(rec.Value)
		if err != nil {
			return fmt.Errorf("journal[%d]@%d: %w", rec.Partition, rec.Offset, err)
		}
		key := id{set.Hash, rec.Timestamp.UnixMilli()}
		one := byID[key]
		if one == nil {
			one = &activation{ActivatedAt: rec.Timestamp.UTC(), RuleSet: set.Name, Version: set.Version, Hash: set.Hash, set: set}
			for _, r := range set.Rules {
				one.Rules = append(one.Rules, r.ID)
			}
			byID[key] = one
		}
		one.Partitions++
		newest[rec.Partition] = one
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal's rules: %w", err)
	}
	for _, one := range newest {
		one.Active = true
	}
	var list []activation
	for _, one := range byID {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(x, y activation) int { return x.ActivatedAt.Compare(y.ActivatedAt) })
	return list, nil
}
