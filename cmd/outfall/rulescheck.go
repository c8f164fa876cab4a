package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"outfall/rules"
	"outfall/stream/ruletest"
)

func newRulesLint(a *app) *cobra.Command {
	var form, replaces string
	var strict bool
	cmd := &cobra.Command{
		Use:   "lint FILE",
		Short: "Check a rule file",
		Long: `Check a rule file and list every fault with file, line and column. Exit code 2 when there is one.

A file that is right can still be odd: rules that overlap, that no test names, that can never fire, that wait for something this version does not
give. With --replaces also limits that are looser than those of the set that it is to replace. These are warnings; --strict makes them exit
code 3.`,
		Example: "  outfall rules lint rules.yaml\n  outfall rules lint --strict --replaces rules-2025.yaml rules.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := readRuleFile(args[0])
			if err != nil {
				return err
			}
			var before *rules.RuleSet
			if replaces != "" {
				old, err := readRuleFile(replaces)
				if err != nil {
					return err
				}
				before = old.Set
			}
			var warnings []string
			for _, w := range file.Warnings(args[0], before) {
				warnings = append(warnings, w.String())
			}
			if form == outputTable {
				for _, w := range warnings {
					fmt.Fprintf(a.stdout, "warning: %s\n", printable(w))
				}
			}
			if err := printRuleSet(a, form, file.Set, warnings, false, "is right"); err != nil {
				return err
			}
			if strict && len(warnings) > 0 {
				return checkFailed()
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&replaces, "replaces", "", "the rule file that this one is to replace")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 3 when there is a warning")
	outputFlag(cmd, &form)
	return cmd
}

// A ruleTestRow is one test as `rules test` prints it in jsonl; a coverageRow one rule of the file.
type ruleTestRow struct {
	Test     string   `json:"test"`
	Line     int      `json:"line"`
	Passed   bool     `json:"passed"`
	Failures []string `json:"failures,omitempty"`
}

type coverageRow struct {
	Rule    string   `json:"rule"`
	Missing []string `json:"missing"` // not shown by any test
}

func newRulesTest(a *app) *cobra.Command {
	var form string
	var all bool
	cmd := &cobra.Command{
		Use:   "test FILE",
		Short: "Run the tests of a rule file",
		Long: `Run the tests that a rule file holds, through the fold that judges in production, and show what they cover of each rule: that it fires, that it
does not, a value that equals its limit, invalid data, late data. Exit code 3 when a test fails, or when there is none.

Rules of the built-in library are listed with --all only.`,
		Example: "  outfall rules test rules.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := readRuleFile(args[0])
			if err != nil {
				return err
			}
			results, coverage := ruletest.Run(file)
			p, err := newPrinter(a.stdout, form, "RESULT", "TEST OR RULE", "DETAIL")
			if err != nil {
				return err
			}
			failed := len(results) == 0
			for _, r := range results {
				state := "ok"
				if len(r.Failures) > 0 {
					state, failed = "FAILED", true
				}
				row := ruleTestRow{r.Name, r.Line, len(r.Failures) == 0, r.Failures}
				if err := p.row(row, state, r.Name, strings.Join(r.Failures, "; ")); err != nil {
					return err
				}
			}
			for i := range coverage {
				if file.Rules[i].Library && !all {
					continue
				}
				missing := coverage[i].Missing()
				detail := "everything is covered"
				if len(missing) > 0 {
					detail = "not covered: " + strings.Join(missing, ", ")
				}
				if err := p.row(coverageRow{coverage[i].Rule, missing}, "coverage", coverage[i].Rule, detail); err != nil {
					return err
				}
			}
			if err := p.flush(); err != nil {
				return err
			}
			if len(results) == 0 {
				fmt.Fprintf(a.stderr, "%s has no tests: write them under tests:\n", args[0])
			}
			if failed {
				return checkFailed()
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "coverage of the library's rules too")
	outputFlag(cmd, &form)
	return cmd
}
