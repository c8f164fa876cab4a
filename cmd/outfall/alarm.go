package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// An alarmRow is one alarm as `alarm ls` and `alarm tail` print it in jsonl. Scripts rely on the field order.
type alarmRow struct {
	ID          string               `json:"id"`
	MN          string               `json:"mn"`
	Outlet      string               `json:"outlet"`
	Factor      string               `json:"factor"`
	Statistic   telemetry.Statistic  `json:"statistic"`
	WindowStart time.Time            `json:"window_start"`
	WindowEnd   time.Time            `json:"window_end"`
	Value       telemetry.Fixed      `json:"value"`
	Limit       telemetry.Fixed      `json:"limit"`
	Unit        string               `json:"unit"`
	Basis       string               `json:"basis"`
	State       telemetry.AlarmState `json:"state"`
	RaisedAt    time.Time            `json:"raised_at"`
	ClearedAt   *time.Time           `json:"cleared_at"`
}

// An alarmFilter selects alarms; empty fields select all.
type alarmFilter struct {
	mn, outlet string
	open       bool
}

func (f alarmFilter) match(a *telemetry.Alarm) bool {
	return (f.mn == "" || f.mn == a.MN) && (f.outlet == "" || f.outlet == a.Outlet) && (!f.open || a.State != telemetry.AlarmCleared)
}

func (f *alarmFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.mn, "mn", "", "only this device")
	cmd.Flags().StringVar(&f.outlet, "outlet", "", "only this outlet")
	cmd.Flags().BoolVar(&f.open, "open", false, "only what is not cleared")
}

func newAlarm(a *app) *cobra.Command {
	return parent("alarm", "List and follow exceedance alarms",
		"List the alarms of the alarms topic, or follow their events as they come.", newAlarmLs(a), newAlarmTail(a))
}

func newAlarmLs(a *app) *cobra.Command {
	var filter alarmFilter
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List alarms, each as it stands now",
		Long: `Fold the alarms topic to the latest event of each alarm and list them by the time they were raised.

The jsonl fields are id, mn, outlet, factor, statistic, window_start, window_end, value, limit, unit, basis, state (raised, updated or
cleared), raised_at and cleared_at (null while open). Times are UTC, numbers are exact decimals in strings.`,
		Example: `  outfall alarm ls --open
  outfall alarm ls --output jsonl --mn 520181A00170C67EF96ED8C5 | jq -r .basis`,
	}
	filter.flags(cmd)
	return lister(a, cmd, func(form string) (*printer, error) { return newAlarmPrinter(a, form) }, func(ctx context.Context, access *dataAccess, p *printer) error {
		latest := map[string]telemetry.Alarm{}
		seen := positions{}
		err := access.cluster.ReadAll(ctx, telemetry.TopicAlarms, func(rec *kgo.Record) error {
			event, fresh, err := decodeOutput[telemetry.Alarm](seen, rec)
			if err == nil && fresh {
				latest[event.ID] = event
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("read alarms: %w", err)
		}
		for _, one := range sortedAlarms(latest) {
			if filter.match(&one) {
				if err := printAlarm(p, &one); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func newAlarmTail(a *app) *cobra.Command {
	var filter alarmFilter
	var fromStart bool
	cmd := &cobra.Command{
		Use:     "tail",
		Short:   "Follow alarm events as they come",
		Long:    "Print every event of an alarm's life (raised, updated, cleared) as it comes, until interrupted.",
		Example: "  outfall alarm tail --outlet W01 --output jsonl",
	}
	filter.flags(cmd)
	cmd.Flags().BoolVar(&fromStart, "from-start", false, "begin with the oldest event that is kept, not with the next one")
	return lister(a, cmd, func(form string) (*printer, error) { return newAlarmPrinter(a, form) }, func(ctx context.Context, access *dataAccess, p *printer) error {
		return followOutput(ctx, access, telemetry.TopicAlarms, fromStart, p, func(event *telemetry.Alarm) error {
			if !filter.match(event) {
				return nil
			}
			return printAlarm(p, event)
		})
	})
}

func newAlarmPrinter(a *app, form string) (*printer, error) {
	return newPrinter(a.stdout, form, "RAISED", "STATE", "LEVEL", "OUTLET", "MN", "FACTOR", "STATISTIC", "WINDOW", "VALUE", "LIMIT", "UNIT",
		"TIMES OVER", "BASIS", "ID")
}

func printAlarm(p *printer, e *telemetry.Alarm) error {
	row := alarmRow{e.ID, e.MN, e.Outlet, e.Factor, e.Statistic, e.WindowStart, e.WindowEnd, e.Value, e.Limit, e.Unit, e.Basis, e.State,
		e.RaisedAt, e.ClearedAt}
	return p.row(row, localTime(e.RaisedAt), string(e.State), string(e.Level), e.Outlet, e.MN, e.Factor, string(e.Statistic),
		windowText(e.WindowStart, e.WindowEnd), e.Value.String(), limitText(e), e.Unit, e.TimesOver.String(), e.Basis, e.ID)
}

// windowText is a window for people: its start, and its end when that is not the same instant.
func windowText(start, end time.Time) string {
	if end.Equal(start) {
		return localTime(start)
	}
	layout := "15:04"
	if end.Sub(start) >= 24*time.Hour {
		layout = "01-02 15:04"
	}
	return start.In(telemetry.China).Format("2006-01-02 15:04") + "~" + end.In(telemetry.China).Format(layout)
}

func limitText(e *telemetry.Alarm) string {
	if e.LimitKind == "low" {
		return ">= " + e.Limit.String()
	}
	return "<= " + e.Limit.String()
}

func sortedAlarms(byID map[string]telemetry.Alarm) []telemetry.Alarm {
	all := make([]telemetry.Alarm, 0, len(byID))
	for _, a := range byID {
		all = append(all, a)
	}
	slices.SortFunc(all, func(x, y telemetry.Alarm) int {
		if c := x.RaisedAt.Compare(y.RaisedAt); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return all
}

// positions is the last position seen of each partition of an output topic: what is not beyond it is a repetition, which a restarted
// worker may write and a reader drops.
type positions map[int32]telemetry.Position

// fresh reports whether rec is beyond everything seen of its partition, and remembers it.
func (p positions) fresh(rec *kgo.Record) (bool, error) {
	pos, err := telemetry.ParsePosition(header(rec, telemetry.HeaderSource), header(rec, telemetry.HeaderOrdinal))
	if err != nil {
		return false, fmt.Errorf("%s[%d]@%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
	}
	last, ok := p[rec.Partition]
	if ok && !pos.After(last) {
		return false, nil
	}
	p[rec.Partition] = pos
	return true, nil
}

// header is the value of a record's header, empty when it has none of the name.
func header(rec *kgo.Record, name string) string {
	for _, h := range rec.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// decodeOutput decodes a record of an output topic; fresh is false for a repetition.
func decodeOutput[T any](seen positions, rec *kgo.Record) (v T, fresh bool, err error) {
	if fresh, err = seen.fresh(rec); err != nil || !fresh {
		return v, false, err
	}
	if err := json.Unmarshal(rec.Value, &v); err != nil {
		return v, false, fmt.Errorf("%s[%d]@%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
	}
	return v, true, nil
}
