package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// configOptions are the flags of every command that reads the configuration.
type configOptions struct {
	file string
	set  []string
	// bound maps a flag of the command to the key that it sets, when the user gave it.
	bound map[string]string
	cmd   *cobra.Command
}

func (o *configOptions) flags(cmd *cobra.Command) {
	o.cmd = cmd
	cmd.Flags().StringVarP(&o.file, "config", "c", "", "configuration file (YAML); OUTFALL_* variables and flags come after it")
	cmd.Flags().StringArrayVar(&o.set, "set", nil, "KEY=VALUE: set one key of the configuration, e.g. ingest.max_frame=4096 (repeatable)")
}

// bind makes a flag of the command set a key of the configuration.
func (o *configOptions) bind(flag, key string) {
	if o.bound == nil {
		o.bound = map[string]string{}
	}
	o.bound[flag] = key
}

// load reads and validates the configuration; the error lists every fault and ends with exit code 2.
func (o *configOptions) load(a *app, dataDir string) (*Config, *loader, error) {
	overrides, err := o.overrides()
	if err != nil {
		return nil, nil, err
	}
	return loadConfig(o.file, dataDir, a.environ, overrides)
}

// A configRow is one value of the configuration.
type configRow struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin,omitempty"`
}

func newConfig(a *app) *cobra.Command {
	return parent("config", "Check and show the configuration",
		`Check a configuration file, and show what holds and where each value came from.

Values are taken in this order, each over the one before: built-in default, --config file, OUTFALL_* environment variable (kafka.brokers is
OUTFALL_KAFKA_BROKERS; lists are comma separated), flag.`, newConfigValidate(a), newConfigShow(a))
}

func newConfigValidate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "validate FILE",
		Short:   "Check a configuration file",
		Long:    "Check a configuration file and list every fault with file, line and column. Exit code 2 when there is one.",
		Example: "  outfall config validate outfall.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, _, err := loadConfig(args[0], defaultData, nil, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, "%s is right\n", args[0])
			return err
		},
	}
}

func newConfigShow(a *app) *cobra.Command {
	var form string
	var withOrigin bool
	var options configOptions
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show every value that holds",
		Long:  "Show every value of the configuration as it holds for this file, environment and these flags. Secrets are masked.",
		Example: `  outfall config show --origin --config outfall.yaml
  OUTFALL_ADMIN_LOG_LEVEL=debug outfall config show --origin`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			columns := []string{"KEY", "VALUE"}
			if withOrigin {
				columns = append(columns, "ORIGIN")
			}
			p, err := newPrinter(a.stdout, form, columns...)
			if err != nil {
				return err
			}
			_, loaded, err := options.load(a, defaultData)
			if err != nil {
				return err
			}
			for _, s := range loaded.settings {
				row, cells := configRow{Key: s.key, Value: s.text()}, []string{s.key, s.text()}
				if withOrigin {
					row.Origin = s.origin.source
					cells = append(cells, row.Origin)
				}
				if err := p.row(row, cells...); err != nil {
					return err
				}
			}
			return p.flush()
		},
	}
	cmd.Flags().BoolVar(&withOrigin, "origin", false, "say where each value came from: default, FILE:LINE:COLUMN, env NAME or flag")
	options.flags(cmd)
	outputFlag(cmd, &form)
	return cmd
}

// overrides are the keys that the command line sets: --set, then the flags bound to keys.
func (o *configOptions) overrides() ([]override, error) {
	var list []override
	for _, one := range o.set {
		key, text, ok := strings.Cut(one, "=")
		if !ok {
			return nil, usagef("--set: %q is not KEY=VALUE", one)
		}
		list = append(list, override{"--set", key, text})
	}
	for flag, key := range o.bound {
		if f := o.cmd.Flags().Lookup(flag); f.Changed {
			list = append(list, override{"--" + flag, key, f.Value.String()})
		}
	}
	return list, nil
}
