package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"outfall/rules"
	"outfall/rules/library"
	"outfall/telemetry"
)

// activeSet names the rule set in force where a file or a hash is asked for.
const activeSet = "active"

// findRuleSet finds a rule set by what a person calls it: a file, "active", or the first digits of a hash in the journal. access is asked for
// only when it is no file.
func findRuleSet(ctx context.Context, name string, access func() (*dataAccess, error)) (*rules.RuleSet, error) {
	if _, err := os.Stat(name); err == nil {
		file, err := readRuleFile(name)
		if err != nil {
			return nil, err
		}
		return file.Set, nil
	}
	open, err := access()
	if err != nil {
		return nil, err
	}
	list, err := readActivations(ctx, open.cluster)
	if err != nil {
		return nil, err
	}
	var found *rules.RuleSet
	for _, one := range list {
		if name == activeSet && one.Active || name != activeSet && len(name) >= 4 && strings.HasPrefix(one.Hash, name) {
			found = one.set
		}
	}
	if found == nil {
		return nil, usagef("rules: %q is no file, and the journal has no rule set of that name: see \"outfall rules ls\"", name)
	}
	return found, nil
}

func newRulesShow(a *app) *cobra.Command {
	var form, mn string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "show [FILE|HASH|active]",
		Short: "Show the rules of a set, or those that a device is judged by",
		Long: `Show the rules of a file, or of a set of the journal by the first digits of its hash; the set in force without either. With --mn only those that
apply to the device, as they count there: with its permit's limits where they are stricter, and the verdict of the mean that it is judged by.`,
		Example: "  outfall rules show\n  outfall rules show rules.yaml\n  outfall rules show --mn 520181A00170C67EF96ED8C5",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(a.stdout, form, "RULE", "FACTOR", "STATISTIC", "LIMIT", "UNIT", "VERDICT", "VALUE", "WHERE", "WHEN", "BASIS")
			if err != nil {
				return err
			}
			access := lazyAccess(cmd.Context(), a, &data)
			defer access.close()
			set, err := findRuleSet(cmd.Context(), append(args, activeSet)[0], access.open)
			if err != nil {
				return err
			}
			device, err := deviceNamed(cmd.Context(), mn, access.open)
			if err != nil {
				return err
			}
			for i := range set.Rules {
				r := &set.Rules[i]
				if device != nil {
					if !r.Applies(device) {
						continue
					}
					r = r.At(device)
				}
				if err := printRule(p, r); err != nil {
					return err
				}
			}
			return p.flush()
		},
	}
	cmd.Flags().StringVar(&mn, "mn", "", "only what this device is judged by")
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

// deviceNamed is the registry's entry of an MN; nil without one.
func deviceNamed(ctx context.Context, mn string, access func() (*dataAccess, error)) (*telemetry.Device, error) {
	if mn == "" {
		return nil, nil
	}
	open, err := access()
	if err != nil {
		return nil, err
	}
	byMN, err := readRegistry(ctx, open.cluster)
	if err != nil {
		return nil, err
	}
	d, ok := byMN[mn]
	if !ok {
		return nil, usagef("--mn: the registry has no %q", mn)
	}
	return &d, nil
}

// A lazy opens the data when something of it is needed.
type lazy struct {
	open  func() (*dataAccess, error)
	close func()
}

func lazyAccess(ctx context.Context, a *app, data *dataOptions) *lazy {
	var have *dataAccess
	return &lazy{
		open: func() (*dataAccess, error) {
			if have != nil {
				return have, nil
			}
			var err error
			have, err = data.open(ctx, a)
			return have, err
		},
		close: func() {
			if have != nil {
				have.close()
			}
		},
	}
}

func printRule(p *printer, r *rules.Rule) error {
	verdict, value, when := rules.VerdictExceed, rules.ValueMeasured, ""
	if r.Verdict != "" {
		verdict = r.Verdict
	}
	if r.Value != "" {
		value = r.Value
	}
	if r.When != nil {
		when = r.When.Text
	}
	return p.row(r, r.ID, r.Factor, string(r.Statistic), limitsText(r.Low, r.High), r.Unit, verdict, value, whereText(r), when, r.Basis)
}

func limitsText(low, high *telemetry.Fixed) string {
	switch {
	case low == nil && high == nil:
		return ""
	case low == nil:
		return "<= " + high.String()
	case high == nil:
		return ">= " + low.String()
	}
	return low.String() + ".." + high.String()
}

// whereText is the rule's selectors.
func whereText(r *rules.Rule) string {
	var parts []string
	add := func(name, text string) {
		if text != "" {
			parts = append(parts, name+" "+text)
		}
	}
	add("mn", r.MN)
	add("outlet", r.Outlet)
	add("medium", r.Medium)
	add("standard", r.Standard)
	add("class", r.Class)
	add("in", strings.Join(r.Regions, " "))
	add("not in", strings.Join(r.ExceptRegions, " "))
	add("built", spanText(r.BuiltFrom, r.BuiltTo))
	add("valid", spanText(r.ValidFrom, r.ValidTo))
	return strings.Join(parts, ", ")
}

func spanText(from, to telemetry.Date) string {
	if from == 0 && to == 0 {
		return ""
	}
	return from.String() + ".." + to.String()
}

// A libraryRow is one row of the built-in library.
type libraryRow struct {
	ID         string `json:"id"`
	Standard   string `json:"standard"`
	Clause     string `json:"clause"`
	Class      string `json:"class"`
	Pollutant  string `json:"pollutant"`
	Factor     string `json:"factor"`
	Statistic  string `json:"statistic"`
	Low        string `json:"low,omitempty"`
	High       string `json:"high,omitempty"`
	Unit       string `json:"unit"`
	RefO2      string `json:"ref_o2,omitempty"`
	When       string `json:"when,omitempty"`
	Verdict    string `json:"verdict"`
	Confidence string `json:"confidence"`
	Enabled    bool   `json:"enabled"`
	Note       string `json:"note"`
}

func newRulesLibrary(a *app) *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use:   "library [STANDARD]",
		Short: "List the built-in limits of standards",
		Long: `List the standards of the built-in library with their classes, as a registry and a rule file name them; or the limits of one standard, each with its
clause and how sure it is. A limit that is off (enabled no) counts only where a rule file names its id under enable.`,
		Example: "  outfall rules library\n  outfall rules library \"GB 18918-2002\"",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listStandards(a, form)
			}
			p, err := newPrinter(a.stdout, form, "ID", "CLASS", "POLLUTANT", "FACTOR", "STATISTIC", "LIMIT", "UNIT", "O2 REF", "WHEN", "VERDICT", "CONFIDENCE", "ENABLED", "CLAUSE")
			if err != nil {
				return err
			}
			found := false
			for _, l := range library.Limits() {
				r := &l.Rule
				if r.Standard != args[0] {
					continue
				}
				found = true
				row := libraryRow{ID: r.ID, Standard: r.Standard, Clause: r.Clause, Class: l.Category, Pollutant: l.Pollutant, Factor: r.Factor,
					Statistic: string(r.Statistic), Low: l.Low, High: l.High, Unit: l.Unit, RefO2: l.RefO2, Verdict: r.Verdict, Confidence: r.Confidence,
					Enabled: l.Enabled, Note: l.Note}
				if r.When != nil {
					row.When = r.When.Text
				}
				limit, enabled := l.Low+".."+l.High, "no"
				if l.Enabled {
					enabled = "yes"
				}
				err := p.row(row, r.ID, l.Category, l.Pollutant, r.Factor, string(r.Statistic), limit, l.Unit, l.RefO2, row.When, r.Verdict, r.Confidence, enabled, r.Clause)
				if err != nil {
					return err
				}
			}
			if !found {
				return usagef("%q is no standard of the library: see \"outfall rules library\"", args[0])
			}
			return p.flush()
		},
	}
	outputFlag(cmd, &form)
	return cmd
}

func listStandards(a *app, form string) error {
	p, err := newPrinter(a.stdout, form, "STANDARD", "CLASS", "LIMITS", "ENABLED")
	if err != nil {
		return err
	}
	for _, standard := range library.Standards() {
		for _, class := range append(library.Classes(standard), "") {
			all, on := 0, 0
			for _, l := range library.Limits() {
				if l.Rule.Standard == standard && l.Category == class {
					all++
					if l.Enabled {
						on++
					}
				}
			}
			if all == 0 {
				continue
			}
			row := struct {
				Standard string `json:"standard"`
				Class    string `json:"class"` // empty: of every class
				Limits   int    `json:"limits"`
				Enabled  int    `json:"enabled"`
			}{standard, class, all, on}
			if err := p.row(row, standard, class, fmt.Sprint(all), fmt.Sprint(on)); err != nil {
				return err
			}
		}
	}
	return p.flush()
}
