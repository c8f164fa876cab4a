package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/sinks/alert"
	"outfall/telemetry"
)

func newAlert(a *app) *cobra.Command {
	return parent("alert", "See and test how people are told of alarms, and silence alarms",
		`Alarms go to the channels of the configuration (alert.channels) by the role alert, which "outfall run" has too. These commands show what a message
looks like, send a test message, and keep alarms silent for a time.`, newAlertPreview(a), newAlertTest(a), newAlertSilence(a))
}

// A previewRow is a message as a channel would get it.
type previewRow struct {
	Channel string `json:"channel"`
	Type    string `json:"type"`
	Routed  bool   `json:"routed"` // the routes send the alarm to this channel
	Title   string `json:"title,omitempty"`
	Body    string `json:"body"`
	Bytes   int    `json:"bytes"` // of the body
}

func newAlertPreview(a *app) *cobra.Command {
	var alarmID, channel, form, output string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Show the message about an alarm, on each channel",
		Long: `Show what each channel would be sent about an alarm, as it stands now, or about an invented one. Nothing is sent. "*" marks the channels that
the routes of the configuration give the alarm to at this moment. Without a channel in the configuration each type is shown with the built-in templates.`,
		Example: "  outfall alert preview\n  outfall alert preview --alarm 3f1c0a5be2d94c77 --channel duty --config outfall.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(a.stdout, output)
			if err != nil {
				return err
			}
			m := alert.SampleMessage(form, "", time.Now())
			cfg, _, err := data.config.load(a, data.dir)
			if err != nil {
				return err
			}
			if alarmID != "" {
				access, err := data.open(cmd.Context(), a)
				if err != nil {
					return err
				}
				defer access.close()
				if m.Events, err = eventOfAlarm(cmd.Context(), access.cluster, alarmID); err != nil {
					return err
				}
			}
			channels := cfg.Alert.Channels
			if !cfg.Alert.On() {
				for _, typ := range alert.Types() {
					channels = append(channels, alert.Channel{Name: typ, Type: typ})
				}
			}
			return previewAll(p, cfg.Alert, channels, channel, m)
		},
	}
	cmd.Flags().StringVar(&alarmID, "alarm", "", "the id of an alarm (default: an invented one)")
	cmd.Flags().StringVar(&channel, "channel", "", "only this channel")
	cmd.Flags().StringVar(&form, "form", alert.FormAlarm, "alarm, group, digest or test")
	mustComplete(cmd, "form", alert.FormAlarm, alert.FormGroup, alert.FormDigest, alert.FormTest)
	outputFlag(cmd, &output)
	data.flags(cmd)
	return cmd
}

// eventOfAlarm is the newest event of an alarm.
func eventOfAlarm(ctx context.Context, cluster *broker.Cluster, id string) ([]alert.Event, error) {
	var found []alert.Event
	seen := positions{}
	err := cluster.ReadAll(ctx, telemetry.TopicAlarms, func(rec *kgo.Record) error {
		event, fresh, err := decodeOutput[telemetry.Alarm](seen, rec)
		if err == nil && fresh && event.ID == id {
			found = []alert.Event{alert.EventOf(event, seen[rec.Partition])}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read alarms: %w", err)
	}
	if found == nil {
		return nil, usagef("there is no alarm %q; \"outfall alarm ls\" lists them", id)
	}
	return found, nil
}

func previewAll(p *printer, cfg alert.Config, channels []alert.Channel, only string, m alert.Message) error {
	routed := cfg.ChannelsOf(m.First(), m)
	shown := 0
	for _, ch := range channels {
		if only != "" && only != ch.Name {
			continue
		}
		shown++
		title, body, _, err := alert.Preview(ch, alert.MessageOf(ch.Name, m.Form, m, m.Events...))
		if err != nil {
			return fmt.Errorf("channel %s: %w", ch.Name, err)
		}
		row := previewRow{ch.Name, ch.Type, slices.Contains(routed, ch.Name), title, body, len(body)}
		if p.jsonl {
			if err := p.row(row); err != nil {
				return err
			}
			continue
		}
		mark := " "
		if row.Routed {
			mark = "*"
		}
		fmt.Fprintf(p.buf, "%s %s (%s), %d bytes\n", mark, ch.Name, ch.Type, row.Bytes)
		if title != "" {
			fmt.Fprintf(p.buf, "  %s\n", title)
		}
		fmt.Fprintf(p.buf, "  | %s\n\n", strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n  | "))
	}
	if shown == 0 {
		return usagef("--channel: there is no channel %q", only)
	}
	return p.flush()
}

// A testRow is what came of a test message.
type testRow struct {
	Channel string `json:"channel"`
	Class   string `json:"class"` // accepted, later, refused, broken
	Status  int    `json:"status,omitempty"`
	Code    int    `json:"code,omitempty"`
	Receipt string `json:"receipt,omitempty"`
	Why     string `json:"why,omitempty"`
	Millis  int64  `json:"ms"`
}

func newAlertTest(a *app) *cobra.Command {
	var output string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "test CHANNEL",
		Short: "Send one test message to a channel",
		Long: `Send one message, which says that it is a test, to a channel of the configuration, and show what its server answered. It goes from here, beside the
budget of the process that delivers alarms: do not send many. No entry of the journal is made.`,
		Example: "  outfall alert test duty --config outfall.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(a.stdout, output, "CHANNEL", "RESULT", "STATUS", "CODE", "TOOK", "ANSWER")
			if err != nil {
				return err
			}
			cfg, _, err := data.config.load(a, data.dir)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(cfg.Alert.Channels, func(ch alert.Channel) bool { return ch.Name == args[0] })
			if i < 0 {
				return usagef("alert.channels has no channel %q", args[0])
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), cfg.Alert.Timeout)
			defer cancel()
			began := time.Now()
			o, err := alert.SendTest(ctx, cfg.Alert.Channels[i], alert.SampleMessage(alert.FormTest, args[0], began))
			if err != nil {
				return err
			}
			row := testRow{args[0], o.Class.String(), o.Status, o.Code, o.Receipt, o.Why, time.Since(began).Milliseconds()}
			answer := o.Receipt
			if o.Why != "" {
				answer = o.Why
			}
			err = errors.Join(p.row(row, row.Channel, row.Class, codeCell(row.Status), codeCell(row.Code), fmt.Sprintf("%d ms", row.Millis), orDash(answer)), p.flush())
			switch {
			case err != nil:
				return err
			case o.Class == alert.ClassLater && o.Status == 0:
				return &codedError{code: exitUnreachable}
			case o.Class != alert.ClassAccepted:
				return &codedError{code: exitRuntime}
			}
			return nil
		},
	}
	outputFlag(cmd, &output)
	data.flags(cmd)
	return cmd
}

// checkAlert looks whether the channels' servers answer. None configured is no fault.
func checkAlert(ctx context.Context, cfg *Config) []checkRow {
	var rows []checkRow
	for _, ch := range cfg.Alert.Channels {
		name := "alert channel " + ch.Name
		reach, cancel := context.WithTimeout(ctx, reachTimeout)
		err := alert.Reach(reach, ch)
		cancel()
		if err != nil {
			rows = append(rows, checkRow{Check: name, Detail: err.Error(), unreachable: true,
				Fix: fmt.Sprintf("check the channel's address, proxy, ca_file and secrets; then \"outfall alert test %s\"", ch.Name)})
			continue
		}
		rows = append(rows, passed(name, "%s answers", ch.Type))
	}
	return rows
}

// readActions calls fn with every action of the topic.
func readActions(ctx context.Context, cluster *broker.Cluster, fn func(*telemetry.Action)) error {
	err := cluster.ReadAll(ctx, telemetry.TopicActions, func(rec *kgo.Record) error {
		var a telemetry.Action
		if json.Unmarshal(rec.Value, &a) == nil && a.Validate() == nil {
			fn(&a)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read actions: %w", err)
	}
	return nil
}

// writeAction writes an action to the journal and to the topic, durably.
func writeAction(ctx context.Context, cluster *broker.Cluster, action telemetry.Action) error {
	barrier := cluster.NewBarrier()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- barrier.Run(running) }()
	defer func() { stop(); <-ended }()
	w, err := alert.NewActions(cluster, barrier)
	if err != nil {
		return err
	}
	defer w.Close()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return w.Write(limited, action)
}
