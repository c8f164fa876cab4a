package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// An app is what every command shares: the process's streams and environment.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string // NAME=TEXT
	started        bool     // a command's action began: its errors are no usage errors
}

// Command groups of the help page.
const (
	groupRun   = "run"
	groupData  = "data"
	groupCheck = "check"
)

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "outfall",
		Short: "HJ 212 telemetry: every frame in the journal before its acknowledgement, then means, alarms and integrity",
		Long: `outfall (排口) terminates the TCP connections of HJ 212 data loggers (数采仪), keeps every frame in a Kafka journal before
it acknowledges it, and computes means, exceedance alarms and data-integrity findings from that journal alone.

Start with "outfall run" and, in a second terminal, "outfall demo".`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(*cobra.Command, []string) error { a.started = true; return nil },
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupData, Title: "Look at and change data:"},
		&cobra.Group{ID: groupCheck, Title: "Check and set up:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupRun, newRun(a), newServe(a), newDemo(a))
	add(groupData, newRegistry(a), newRules(a), newDevice(a), newJournal(a), newAlarm(a), newMark(a), newAlert(a), newFinding(a), newReplay(a), newTrace(a), newArchive(a), newStream(a))
	add(groupCheck, newTopics(a), newConfig(a), newDoctor(a), newVersion(a))
	root.AddCommand(newExitCodesTopic())
	return root
}

// parent makes a command that only holds others. Without one of them it is a usage error, not a silent success.
func parent(use, short, long string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			names := make([]string, len(children))
			for i, child := range children {
				names[i] = child.Name()
			}
			if len(args) == 0 {
				return usagef("%s: want one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
			}
			return usagef("%s: unknown command %q; want one of: %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
		},
	}
	c.AddCommand(children...)
	return c
}
