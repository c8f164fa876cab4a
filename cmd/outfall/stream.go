package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"outfall/stream"
)

// A streamRow is one partition of the journal and its worker. Fields that are not known are absent.
type streamRow struct {
	Partition int32      `json:"partition"`
	State     string     `json:"state"`
	Fault     string     `json:"fault,omitempty"`
	Member    string     `json:"member,omitempty"`
	Instance  string     `json:"instance,omitempty"`
	Host      string     `json:"host,omitempty"`
	Start     int64      `json:"start"`
	End       int64      `json:"end"`
	Published *int64     `json:"published,omitempty"`
	Lag       int64      `json:"lag"`
	BehindMs  *int64     `json:"behind_ms,omitempty"`
	Snapshot  *int64     `json:"snapshot,omitempty"`
	SavedAt   *time.Time `json:"snapshot_at,omitempty"`
}

func newStream(a *app) *cobra.Command {
	return parent("stream", "Look at the workers and switch their arithmetic", "Look at the workers that fold the journal, and switch their arithmetic.",
		newStreamLs(a), newStreamSwitch(a))
}

func newStreamLs(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the journal's partitions: owner, lag, snapshot, state",
		Long: `List every partition of the journal as its consumer group and the brokers tell it, from any host:

  OWNER      stream.instance_id or the member's id, and the host from which it talks to the brokers
  START END  the journal's first offset and its next
  PUBLISHED  the offset after the last entry whose outputs are all out
  LAG        entries not folded yet, and BEHIND, how long ago the oldest of them was received
  SNAPSHOT   the offset up to which the newest snapshot reaches, and its AGE
  STATE      folding, catching up, recovering, faulty, or no owner; and what failed

Workers say how far they are every 2 seconds: a lag of a few seconds is none. The metrics of a worker say it to the moment.`,
		Example: `  outfall stream ls
  outfall stream ls --config outfall.yaml --output jsonl | jq 'select(.state != "folding")'`,
	}
	return lister(a, cmd, func(form string) (*printer, error) {
		return newPrinter(a.stdout, form, "PARTITION", "OWNER", "START", "END", "PUBLISHED", "LAG", "BEHIND", "SNAPSHOT", "AGE", "STATE")
	}, listStream)
}

func listStream(ctx context.Context, access *dataAccess, p *printer) error {
	infos, err := stream.Inspect(ctx, access.cluster, access.cfg.Stream.Group)
	if err != nil {
		return fmt.Errorf("ask %s: %w", access.cluster, err)
	}
	now := time.Now()
	for _, i := range infos {
		row := streamRow{Partition: i.Partition, State: string(i.State), Fault: i.Fault, Member: i.Owner.Member, Instance: i.Owner.Instance,
			Host: i.Owner.Host, Start: i.Start, End: i.End, Lag: i.Lag}
		published, behind, snapshot, age, state := "-", "-", "-", "-", string(i.State)
		if i.Published >= 0 {
			row.Published, published = &i.Published, strconv.FormatInt(i.Published, 10)
		}
		if i.Behind >= 0 {
			ms := i.Behind.Milliseconds()
			row.BehindMs, behind = &ms, i.Behind.Round(100*time.Millisecond).String()
		}
		if !i.SavedAt.IsZero() {
			row.Snapshot, snapshot = &i.Snapshot, strconv.FormatInt(i.Snapshot, 10)
			row.SavedAt, age = &i.SavedAt, max(0, now.Sub(i.SavedAt)).Round(time.Second).String()
		}
		if i.Fault != "" {
			state += ": " + i.Fault
		}
		err := p.row(row, strconv.Itoa(int(i.Partition)), ownerName(i.Owner), strconv.FormatInt(i.Start, 10), strconv.FormatInt(i.End, 10), published,
			strconv.FormatInt(i.Lag, 10), behind, snapshot, age, state)
		if err != nil {
			return err
		}
	}
	return nil
}

// ownerName is short: of a member without a lasting name, the beginning of what tells it from others.
func ownerName(o stream.Owner) string {
	name := o.Instance
	if name == "" {
		name = strings.TrimPrefix(o.Member, "outfall-")
		name = name[:min(len(name), 8)]
	}
	if name == "" {
		return "-"
	}
	if o.Host != "" {
		name += "@" + o.Host
	}
	return name
}
