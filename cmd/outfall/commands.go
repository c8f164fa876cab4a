package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// A commandRow is a command and its last step; the step is empty when there is none yet.
type commandRow struct {
	telemetry.Command
	Step   telemetry.Step `json:"step,omitempty"`
	Tries  int            `json:"tries,omitempty"`
	Code   int            `json:"code,omitempty"`
	Detail string         `json:"detail,omitempty"`
	At     *time.Time     `json:"at,omitempty"` // of the step
}

// follow takes a step. The first final one counts.
func (r *commandRow) follow(o *telemetry.Outcome) {
	if r.Step.Final() {
		return
	}
	r.Step, r.Code, r.Detail, r.At = o.Step, o.Code, o.Detail, &o.Time
	r.Tries = max(r.Tries, o.Try)
}

func newDeviceCommands(a *app) *cobra.Command {
	var form string
	var open bool
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "commands [MN]",
		Short: "List the commands to devices, with their last step",
		Long: `List the commands that the topic holds, of one device or of all, the oldest first, each with its last step. Those that the operator
"outfall" gave are the gateways' own: the set-up of a device that connects.`,
		Example: "  outfall device commands 520181A00170C67EF96ED8C5\n  outfall device commands --open",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mn := ""
			if len(args) == 1 {
				if mn = args[0]; !telemetry.ValidMN(mn) {
					return usagef("%q cannot be an MN", mn)
				}
			}
			p, err := newPrinter(a.stdout, form, "CREATED", "MN", "CN", "CP", "OPERATOR", "STEP", "AT", "CODE", "DETAIL", "ID")
			if err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			byID := map[string]*commandRow{}
			err = access.cluster.ReadAll(cmd.Context(), telemetry.TopicCommands, func(rec *kgo.Record) error {
				if mn == "" || mn == string(rec.Key) {
					collectCommand(byID, rec)
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("read commands: %w", err)
			}
			return printCommands(p, byID, open)
		},
	}
	cmd.Flags().BoolVar(&open, "open", false, "only those without a last step")
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

// collectCommand takes a record of the topic. Of a step whose command retention has removed nothing is shown, and nothing of a record that
// the gateways skip, too.
func collectCommand(byID map[string]*commandRow, rec *kgo.Record) {
	switch kind, _ := telemetry.ParseKind(header(rec, telemetry.HeaderKind)); kind {
	case telemetry.KindCommand:
		var c telemetry.Command
		if json.Unmarshal(rec.Value, &c) == nil && c.Validate() == nil && c.MN == string(rec.Key) && byID[c.ID] == nil {
			byID[c.ID] = &commandRow{Command: c}
		}
	case telemetry.KindOutcome:
		var o telemetry.Outcome
		if json.Unmarshal(rec.Value, &o) == nil && byID[o.ID] != nil {
			byID[o.ID].follow(&o)
		}
	}
}

func printCommands(p *printer, byID map[string]*commandRow, open bool) error {
	rows := make([]*commandRow, 0, len(byID))
	for _, r := range byID {
		if !open || !r.Step.Final() {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(x, y *commandRow) int { return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID)) })
	for _, r := range rows {
		at := "-"
		if r.At != nil {
			at = localTime(*r.At)
		}
		err := p.row(r, localTime(r.Created), r.MN, r.CN, orDash(r.CP), r.Operator, orDash(string(r.Step)), at, codeCell(r.Code), orDash(r.Detail), r.ID)
		if err != nil {
			return err
		}
	}
	return p.flush()
}
