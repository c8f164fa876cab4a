package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// A tailRow is one journal entry of a device, decoded.
type tailRow struct {
	Received  time.Time `json:"received"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Kind      string    `json:"kind"`
	Reason    string    `json:"reason,omitempty"` // kind reject
	Event     string    `json:"event,omitempty"`  // kinds session and registry: the entry's own JSON
	*frameRow           // kind frame; the outer offset, the journal's, hides its own
}

func newDeviceTail(a *app) *cobra.Command {
	var form string
	var fromStart bool
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "tail MN",
		Short: "Follow what one device sends, decoded",
		Long: `Follow the journal entries of one device as they are written: its frames decoded, its refused bytes with the reason, its
connections and changes of its registry entry. Runs until interrupted.`,
		Example: "  outfall device tail 520181A00170C67EF96ED8C5\n  outfall device tail 520181A00170C67EF96ED8C5 --from-start --output jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mn := args[0]
			if !telemetry.ValidMN(mn) {
				return usagef("%q cannot be an MN", mn)
			}
			p, err := newPrinter(a.stdout, form, "RECEIVED", "KIND", "CN", "QN", "CONTENT")
			if err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			byMN, err := readRegistry(cmd.Context(), access.cluster)
			if err != nil {
				return err
			}
			if _, known := byMN[mn]; !known {
				fmt.Fprintf(a.stderr, "outfall: the registry does not name %s; frames of unknown devices are in \"outfall journal cat --rejects\"\n", mn)
			}
			return follower{access, telemetry.TopicJournal, fromStart, p}.run(cmd.Context(), func(rec *kgo.Record) error {
				if string(rec.Key) != mn {
					return nil
				}
				return printTail(p, rec)
			})
		},
	}
	cmd.Flags().BoolVar(&fromStart, "from-start", false, "begin with the oldest entry that is kept, not with the next one")
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

func printTail(p *printer, rec *kgo.Record) error {
	row := tailRow{Received: rec.Timestamp.UTC(), Partition: rec.Partition, Offset: rec.Offset, Kind: header(rec, telemetry.HeaderKind)}
	at := localTime(rec.Timestamp)
	switch kind, _ := telemetry.ParseKind(row.Kind); kind {
	case telemetry.KindFrame:
		// What ingest has accepted is shown, whatever tail and CRC the device's registry entry allowed.
		fr, _, err := hj212.Framer{Tolerant: true, CRC: hj212.DialectNone, MaxData: maxSegment}.Next(rec.Value, true)
		var msg hj212.Message
		if err == nil {
			err = msg.Parse(fr.Data)
		}
		if err != nil {
			return fmt.Errorf("journal[%d]@%d: decode the frame: %w", rec.Partition, rec.Offset, err)
		}
		decoded := newFrameRow(&msg)
		decoded.Length = len(rec.Value)
		row.frameRow = &decoded
		return p.row(row, at, row.Kind, decoded.CN, orDash(decoded.QN), tailText(&msg))
	case telemetry.KindReject:
		row.Reason = header(rec, telemetry.HeaderReason)
		return p.row(row, at, row.Kind, "-", "-", row.Reason+": "+maskPasswords(string(rec.Value)))
	default:
		row.Event = maskPasswords(string(rec.Value))
		return p.row(row, at, row.Kind, "-", "-", row.Event)
	}
}

// maskPasswords hides the passwords of a registry entry's JSON, and of a data segment.
func maskPasswords(text string) string {
	return passwords.ReplaceAllString(text, "$1$2***")
}

var passwords = regexp.MustCompile(`("pw(?:Next)?":")(?:[^"\\]|\\.)+|(?i:(\b(?:New)?PW=)[^;,&]+)`)

// tailText is the fields of a message on one line.
func tailText(m *hj212.Message) string {
	parts := make([]string, len(m.Pairs))
	for i, pair := range m.Pairs {
		parts[i] = maskPasswords(string(pair.Key) + "=" + string(pair.Value))
	}
	return strings.Join(parts, " ")
}
