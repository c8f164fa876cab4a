package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"outfall/stream/fold"
)

// version is set by the linker (-X main.version=...); empty: the toolchain's own, from the revision.
var version string

// A versionRow is what this binary was built from.
type versionRow struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"` // built from a tree with uncommitted changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Algorithms is the newest arithmetic of the fold; all from 1 on are there.
	Algorithms int `json:"algorithms"`
}

func newVersion(a *app) *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print what this binary was built from",
		Long:    "Print the version, revision and toolchain that this binary was built from, and the algorithms of the fold that it has.",
		Example: "  outfall version --output jsonl",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := newPrinter(a.stdout, form)
			if err != nil {
				return err
			}
			v := buildVersion()
			text := fmt.Sprintf("outfall %s, %s, %s, algorithms 1..%d", v.Version, v.Go, v.Platform, v.Algorithms)
			if v.Revision != "" {
				text += ", revision " + v.Revision
			}
			if v.Modified {
				text += ", modified"
			}
			if err := p.row(v, text); err != nil {
				return err
			}
			return p.flush()
		},
	}
	outputFlag(cmd, &form)
	return cmd
}

func buildVersion() versionRow {
	v := versionRow{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Algorithms: fold.Algorithms}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Version = version; version == "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
