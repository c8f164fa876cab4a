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

	Handling telemetry.AlarmState `json:"handling,omitempty"` // acknowledged, explained or closed, the last of them
	Who      string               `json:"who,omitempty"`      // did that
	When     *time.Time           `json:"when,omitempty"`
	Text     string               `json:"text,omitempty"`
	Mark     string               `json:"mark,omitempty"`   // id of the mark that withdrew or brought it back
	Reason   string               `json:"reason,omitempty"` // what the mark is
}

// An alarmNow is an alarm as its events so far leave it.
type alarmNow struct {
	telemetry.Alarm                  // the last event of its condition
	acted           *telemetry.Alarm // the last of what people did; nil: nothing, since it was raised
}

// follow takes the next event.
func (n *alarmNow) follow(e *telemetry.Alarm) {
	if e.State.ByPeople() {
		n.acted = e
		if n.ID == "" { // retention has removed what came before
			n.Alarm = *e
			n.State = telemetry.AlarmRaised
			if e.ClearedAt != nil {
				n.State = telemetry.AlarmCleared
			}
		}
		return
	}
	n.Alarm = *e
	if e.State == telemetry.AlarmRaised {
		n.acted = nil
	}
}

// An alarmFilter selects alarms; empty fields select all.
type alarmFilter struct {
	mn, outlet string
	open       bool
}

func (f alarmFilter) match(a *telemetry.Alarm) bool {
	return (f.mn == "" || f.mn == a.MN) && (f.outlet == "" || f.outlet == a.Outlet) && (!f.open || a.ClearedAt == nil)
}

func (f *alarmFilter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.mn, "mn", "", "only this device")
	cmd.Flags().StringVar(&f.outlet, "outlet", "", "only this outlet")
	cmd.Flags().BoolVar(&f.open, "open", false, "only what is not over")
}

func newAlarm(a *app) *cobra.Command {
	return parent("alarm", "List, follow and handle exceedance alarms",
		"List the alarms of the alarms topic, follow their events as they come, and say what was done about them.", newAlarmLs(a), newAlarmTail(a), newAlarmShow(a),
		newAlarmAct(a, telemetry.VerbAck, "Say that somebody takes care of alarms", "Acknowledge alarms: somebody takes care of them.", false),
		newAlarmAct(a, telemetry.VerbExplain, "Say why alarms came", "Explain alarms: --text says why they came.", true),
		newAlarmAct(a, telemetry.VerbClose, "Say that alarms need nothing more", "Close alarms that are over: they need nothing more.", false))
}

func newAlarmLs(a *app) *cobra.Command {
	var filter alarmFilter
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List alarms, each as it stands now",
		Long: `Fold the alarms topic to the latest event of each alarm and list them by the time they were raised.

The jsonl fields are id, mn, outlet, factor, statistic, window_start, window_end, value, limit, unit, basis, state (raised, updated,
cleared or withdrawn), raised_at and cleared_at (null while open); and, where there is any, handling (acknowledged, explained or closed) with who, when and text,
and mark with reason. Times are UTC, numbers are exact decimals in strings.`,
		Example: `  outfall alarm ls --open
  outfall alarm ls --output jsonl --mn 520181A00170C67EF96ED8C5 | jq -r .basis`,
	}
	filter.flags(cmd)
	return lister(a, cmd, func(form string) (*printer, error) { return newAlarmPrinter(a, form) }, func(ctx context.Context, access *dataAccess, p *printer) error {
		latest := map[string]*alarmNow{}
		seen := positions{}
		err := access.cluster.ReadAll(ctx, telemetry.TopicAlarms, func(rec *kgo.Record) error {
			event, fresh, err := decodeOutput[telemetry.Alarm](seen, rec)
			if err == nil && fresh {
				if latest[event.ID] == nil {
					latest[event.ID] = &alarmNow{}
				}
				latest[event.ID].follow(&event)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("read alarms: %w", err)
		}
		for _, one := range sortedAlarms(latest) {
			if filter.match(&one.Alarm) {
				if err := printAlarm(p, one); err != nil {
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
		Long:    "Print every event of an alarm's life (raised, updated, cleared, withdrawn, acknowledged, explained, closed) as it comes, until interrupted.",
		Example: "  outfall alarm tail --outlet W01 --output jsonl",
	}
	filter.flags(cmd)
	cmd.Flags().BoolVar(&fromStart, "from-start", false, "begin with the oldest event that is kept, not with the next one")
	return lister(a, cmd, func(form string) (*printer, error) { return newAlarmPrinter(a, form) }, func(ctx context.Context, access *dataAccess, p *printer) error {
		return followOutput(ctx, access, telemetry.TopicAlarms, fromStart, p, func(event *telemetry.Alarm) error {
			if !filter.match(event) {
				return nil
			}
			return printAlarm(p, &alarmNow{Alarm: *event})
		})
	})
}

func newAlarmPrinter(a *app, form string) (*printer, error) {
	return newPrinter(a.stdout, form, "RAISED", "STATE", "LEVEL", "OUTLET", "MN", "FACTOR", "STATISTIC", "WINDOW", "VALUE", "LIMIT", "UNIT",
		"TIMES OVER", "BASIS", "ID")
}

func printAlarm(p *printer, e *alarmNow) error {
	row := alarmRow{e.ID, e.MN, e.Outlet, e.Factor, e.Statistic, e.WindowStart, e.WindowEnd, e.Value, e.Limit, e.Unit, e.Basis, e.State,
		e.RaisedAt, e.ClearedAt, "", e.Who, e.When, e.Text, e.Mark, e.Reason}
	state := string(e.State)
	if e.acted != nil {
		row.Handling, row.Who, row.When, row.Text = e.acted.State, e.acted.Who, e.acted.When, e.acted.Text
		state += ", " + string(e.acted.State)
	}
	return p.row(row, localTime(e.RaisedAt), state, string(e.Level), e.Outlet, e.MN, e.Factor, string(e.Statistic),
		windowText(e.WindowStart, e.WindowEnd), e.Value.String(), limitText(&e.Alarm), e.Unit, e.TimesOver.String(), e.Basis, e.ID)
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

func sortedAlarms(byID map[string]*alarmNow) []*alarmNow {
	all := make([]*alarmNow, 0, len(byID))
	for _, a := range byID {
		all = append(all, a)
	}
	slices.SortFunc(all, func(x, y *alarmNow) int {
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
