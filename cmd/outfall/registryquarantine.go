package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest"
	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// maxQuarantined bounds the devices that the listing holds: who wants can send any number of names.
const maxQuarantined = 100_000

// A quarantineRow is one MN that tried to get in and is not in the registry.
type quarantineRow struct {
	MN     string    `json:"mn"`
	Frames int       `json:"frames"`     // refused, as far as they are kept
	First  time.Time `json:"first_seen"` // receipt
	Last   time.Time `json:"last_seen"`  // the same
	Peer   string    `json:"peer"`       // of the last frame, as the three below
	ST     string    `json:"st"`
	CN     string    `json:"cn"`
	Flag   *int      `json:"flag"` // null: the frame has none
}

func newRegistryQuarantine(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "List the devices that tried to get in and are not in the registry",
		Long: `List the MNs of the frames that were refused because the registry does not name them, the newest first. "registry admit" lets one in; those
that are in by now are not listed. The frames are kept as long as the topic rejects keeps them.`,
		Example: "  outfall registry quarantine\n  outfall registry quarantine --output jsonl | jq -r 'select(.frames > 10) | .mn'",
	}
	return lister(a, cmd, func(form string) (*printer, error) {
		return newPrinter(a.stdout, form, "MN", "FRAMES", "FIRST SEEN", "LAST SEEN", "PEER", "ST", "LAST CN", "FLAG")
	}, func(ctx context.Context, access *dataAccess, p *printer) error {
		rows, more, err := quarantined(ctx, access)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := p.row(r, r.MN, fmt.Sprint(r.Frames), localTime(r.First), localTime(r.Last), r.Peer, orDash(r.ST), orDash(r.CN), flagText(r.Flag)); err != nil {
				return err
			}
		}
		if more > 0 {
			fmt.Fprintf(a.stderr, "outfall: %d frames of further MNs are not listed: %d MNs are\n", more, maxQuarantined)
		}
		return nil
	})
}

// quarantined reads the rejects topic; more counts the frames of devices beyond the bound.
func quarantined(ctx context.Context, access *dataAccess) (rows []*quarantineRow, more int, err error) {
	registry, err := readRegistry(ctx, access.cluster)
	if err != nil {
		return nil, 0, err
	}
	byMN := map[string]*quarantineRow{}
	var msg hj212.Message
	err = access.cluster.ReadAll(ctx, telemetry.TopicRejects, func(rec *kgo.Record) error {
		if header(rec, telemetry.HeaderReason) != ingest.ReasonUnknownMN.String() {
			return nil
		}
		// The gateway has judged the frame, whose dialect may have been any.
		fr, _, err := hj212.Framer{Tolerant: true, CRC: hj212.DialectNone, MaxData: maxSegment}.Next(rec.Value, true)
		if err != nil || msg.Parse(fr.Data) != nil {
			return fmt.Errorf("rejects[%d]@%d: no frame in a record of the reason %s", rec.Partition, rec.Offset, ingest.ReasonUnknownMN)
		}
		if _, in := registry[string(msg.MN)]; in {
			return nil
		}
		row := byMN[string(msg.MN)]
		if row == nil {
			if len(byMN) == maxQuarantined {
				more++
				return nil
			}
			row = &quarantineRow{MN: string(msg.MN), First: rec.Timestamp.UTC()}
			byMN[row.MN] = row
			rows = append(rows, row)
		}
		row.see(rec, &msg)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read rejects: %w", err)
	}
	slices.SortFunc(rows, func(x, y *quarantineRow) int {
		if c := y.Last.Compare(x.Last); c != 0 {
			return c
		}
		return strings.Compare(x.MN, y.MN)
	})
	return rows, more, nil
}

// see notes one more frame; those of other connections may be in other partitions, so they come in no order.
func (r *quarantineRow) see(rec *kgo.Record, m *hj212.Message) {
	at := rec.Timestamp.UTC()
	r.Frames++
	if at.Before(r.First) {
		r.First = at
	}
	if at.Before(r.Last) {
		return
	}
	r.Last, r.Peer, r.ST, r.CN, r.Flag = at, header(rec, telemetry.HeaderPeer), string(m.ST), string(m.CN), nil
	if m.HasFlag {
		flag := int(m.Flag)
		r.Flag = &flag
	}
}
