package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest"
	"outfall/internal/broker"
	"outfall/telemetry"
)

// How long `device send` waits for the next step: beyond the command's own validity for the first, and for each after it. No gateway stays
// silent for longer unless its registry row says so.
const (
	firstStepGrace = 30 * time.Second
	nextStepLimit  = 15 * time.Minute
)

type sendOptions struct {
	from, to         string
	operator, reason string
	mayChange        bool
	validFor         time.Duration
	wait             bool
	form             string
	data             dataOptions
}

func newDeviceSend(a *app) *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:   "send MN COMMAND [KEY=VALUE ...]",
		Short: "Ask a device for something: clock, intervals, records, samples",
		Long: `Ask a device of the registry for something over its connection, by the host's commands of HJ 212 annex C. COMMAND is a CN of four digits,
or one of these names:

` + commandList() + `
Parameters are checked before anything is written. The command then stands in the journal and in the topic commands, and the gateway
that has the device's connection sends it: one command at a time per device, with retries. It waits for the device for --valid-for. Each
step is printed as it comes, until the last: done, refused (9011), failed (9012, no answer, or the connection ended) or expired (the
device did not connect in time). The records that a recall brings go the way of all uploads.

Commands that change what the device does need --operator and --yes-change-device. Passwords are not given here: password-set sends
the registry's next password. The period of --from and --to is that of DataTime, both included; "SystemTime=now" is the gateway's clock
when it sends.

Exit codes: 0 when the device did it, 1 when it did not, 4 when no gateway took the command. With --wait=false 0 says that the command
stands in the topic; --output jsonl prints it, with its id.`,
		Example: `  outfall device send 520181A00170C67EF96ED8C5 clock-get
  outfall device send 520181A00170C67EF96ED8C5 recall-hours --from "2026-07-01 00:00" --to "2026-07-01 23:00"
  outfall device send 520181A00170C67EF96ED8C5 realtime-interval-set RtdInterval=60 --operator li --yes-change-device
  outfall device send 520181A00170C67EF96ED8C5 3012 PolId=w01018 --operator li --reason "complaint 17" --yes-change-device --wait=false`,
		Args: cobra.MinimumNArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if len(args) == 1 {
				for _, c := range commandWords {
					names = append(names, c.name)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return deviceSend(cmd.Context(), a, &o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "beginning of the period asked for, RFC 3339 or \"2006-01-02 15:04:05\" of UTC+8")
	f.StringVar(&o.to, "to", "", "its end, included")
	f.StringVar(&o.operator, "operator", "", "who asks; needed for commands that change a device (default: the user's name)")
	f.StringVar(&o.reason, "reason", "", "why, for the journal")
	f.BoolVar(&o.mayChange, "yes-change-device", false, "allow a command that changes what the device does")
	f.DurationVar(&o.validFor, "valid-for", 10*time.Minute, "how long the command waits for the device to connect, up to 24h")
	f.BoolVar(&o.wait, "wait", true, "print each step and end with the last")
	outputFlag(cmd, &o.form)
	o.data.flags(cmd)
	return cmd
}

// deviceSend checks the command line, then the command against the registry, writes it and waits.
func deviceSend(ctx context.Context, a *app, o *sendOptions, args []string) error {
	cn, preset, err := commandCN(args[1])
	if err != nil {
		return err
	}
	cp, err := commandCP(preset, args[2:], o.from, o.to)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	c := telemetry.Command{ID: ingest.NewCommandID(now), MN: args[0], CN: cn, CP: cp, Operator: o.operator, Reason: o.reason, Created: now, NotAfter: now.Add(o.validFor)}
	if c.Operator == "" {
		c.Operator = userName(a.environ)
	}
	switch err := c.Validate(); {
	case o.operator == telemetry.SetUpOperator:
		return usagef("--operator: %q is the gateway's own name", o.operator)
	case o.validFor <= 0 || o.validFor > telemetry.MaxValidity:
		return usagef("--valid-for: %v is not above 0 and up to %v", o.validFor, telemetry.MaxValidity)
	case err != nil:
		return usagef("%w", err)
	}
	p, err := newPrinter(a.stdout, o.form, "AT", "STEP    ", "CODE", "DETAIL")
	if err != nil {
		return err
	}
	access, err := o.data.open(ctx, a)
	if err != nil {
		return err
	}
	defer access.close()
	d, err := deviceOf(ctx, access.cluster, c.MN)
	if err != nil {
		return err
	}
	if err := o.allowed(&c, d); err != nil {
		return err
	}
	if access.idle != "" {
		return unreachable(fmt.Errorf("no process runs on %s: a command needs one to be sent", access.idle))
	}
	next, err := access.cluster.Offsets(ctx, telemetry.TopicCommands, broker.FromEnd)
	if err != nil {
		return err
	}
	if err := writeCommand(ctx, access.cluster, &c); err != nil {
		return err
	}
	if !o.wait {
		fmt.Fprintf(a.stderr, "command %s stands in the topic; see \"outfall device commands %s\"\n", c.ID, c.MN)
		if !p.jsonl {
			return nil
		}
		return errors.Join(p.row(&commandRow{Command: c}), p.flush())
	}
	last, err := awaitCommand(ctx, access.cluster, &c, next, p)
	if err != nil {
		return err
	}
	if last.Step != telemetry.StepDone {
		return fmt.Errorf("CN %s to %s: %s", c.CN, c.MN, outcomeText(last))
	}
	if c.CN == "1072" {
		fmt.Fprintf(a.stderr, "the device has its next password now: \"outfall registry set-password %s --commit\" makes it the only one\n", c.MN)
	}
	return nil
}

// userName is the user of the process; "unknown" without one.
func userName(environ []string) string {
	for _, entry := range environ {
		if name, ok := strings.CutPrefix(entry, "USER="); ok && name != "" && name != telemetry.SetUpOperator && len(name) <= 64 {
			return name
		}
	}
	return "unknown"
}

// deviceOf is a device of the registry.
func deviceOf(ctx context.Context, cluster *broker.Cluster, mn string) (*telemetry.Device, error) {
	byMN, err := readRegistry(ctx, cluster)
	if err != nil {
		return nil, err
	}
	d, ok := byMN[mn]
	if !ok {
		return nil, usagef("the registry does not name %s", mn)
	}
	return &d, nil
}

// allowed refuses what is no request for the device, and what changes it without being asked to.
func (o *sendOptions) allowed(c *telemetry.Command, d *telemetry.Device) error {
	changes, err := checkCommand(c, d)
	switch {
	case err != nil:
		return usagef("%w", err)
	case changes && o.operator == "":
		return usagef("CN %s changes the device: say who asks with --operator", c.CN)
	case changes && !o.mayChange:
		return usagef("CN %s changes the device: if that is meant, add --yes-change-device", c.CN)
	}
	return nil
}

// writeCommand writes c to the journal and then to the topic.
func writeCommand(ctx context.Context, cluster *broker.Cluster, c *telemetry.Command) error {
	value := telemetry.AppendJSON(nil, c)
	journal := journalRecord(cluster, telemetry.PartitionOf(c.MN, cluster.Partitions()), c.MN, telemetry.KindCommand, value, c.Created)
	if err := publish(ctx, cluster, []*kgo.Record{journal}); err != nil {
		return fmt.Errorf("write the command to the journal: %w", err)
	}
	rec := ingest.CommandRecord(cluster, telemetry.KindCommand, c.MN, value, c.Created)
	if err := publish(ctx, cluster, []*kgo.Record{rec}); err != nil {
		return &codedError{exitPartial, fmt.Errorf("the journal has the command, the topic commands does not: it will not be sent: %w", err)}
	}
	return nil
}

var errLastStep = errors.New("last step")

// awaitCommand prints the steps of c from the given offsets on and returns the last.
func awaitCommand(ctx context.Context, cluster *broker.Cluster, c *telemetry.Command, next []int64, p *printer) (*telemetry.Outcome, error) {
	limited, stop := context.WithCancel(ctx)
	defer stop()
	patience := time.AfterFunc(time.Until(c.NotAfter)+firstStepGrace, stop)
	defer patience.Stop()
	var last *telemetry.Outcome
	err := cluster.FollowFrom(limited, telemetry.TopicCommands, next, func(rec *kgo.Record) error {
		var o telemetry.Outcome
		if string(rec.Key) != c.MN || header(rec, telemetry.HeaderKind) != telemetry.KindOutcome.String() || json.Unmarshal(rec.Value, &o) != nil || o.ID != c.ID {
			return nil
		}
		last = &o
		patience.Reset(nextStepLimit)
		if err := errors.Join(p.row(o, localTime(o.Time), fmt.Sprintf("%-8s", o.Step), fmt.Sprintf("%-4s", codeCell(o.Code)), orDash(stepDetail(&o))), p.flush()); err != nil {
			return err
		}
		if o.Step.Final() {
			return errLastStep
		}
		return nil
	})
	switch {
	case errors.Is(err, errLastStep):
		return last, nil
	case err != nil:
		return nil, fmt.Errorf("follow the command: %w", err)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case last == nil:
		return nil, unreachable(fmt.Errorf("no gateway took command %s: is one running?", c.ID))
	}
	return nil, unreachable(fmt.Errorf("nothing was heard of command %s for %v; see \"outfall device commands %s\"", c.ID, nextStepLimit, c.MN))
}

func codeCell(code int) string {
	if code == 0 {
		return "-"
	}
	return fmt.Sprint(code)
}

// stepDetail is the detail of a step for people.
func stepDetail(o *telemetry.Outcome) string {
	if o.Step == telemetry.StepSending {
		return fmt.Sprintf("try %d, QN %s, to %s by %s", o.Try, o.QN, o.Peer, o.Gateway)
	}
	return o.Detail
}

// outcomeText is a step in words.
func outcomeText(o *telemetry.Outcome) string {
	text := string(o.Step)
	if o.Code != 0 {
		text += fmt.Sprintf(" with code %d", o.Code)
	}
	if o.Detail != "" {
		text += ": " + o.Detail
	}
	return text
}
