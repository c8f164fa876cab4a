package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// A journalRow is one entry of the journal as `journal cat` prints it in jsonl.
type journalRow struct {
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Received  time.Time `json:"received"`
	Kind      string    `json:"kind"`
	MN        string    `json:"mn"`
	Gateway   string    `json:"gateway,omitempty"`
	Peer      string    `json:"peer,omitempty"`
	Conn      string    `json:"conn,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Value     *string   `json:"value,omitempty"`        // the bytes as text, when they are UTF-8
	ValueB64  string    `json:"value_base64,omitempty"` // the bytes otherwise
}

// A journalFilter selects entries; zero fields select all.
type journalFilter struct {
	rejects   bool  // of the topic rejects, whose keys are connections, not of the journal
	partition int32 // -1: all
	mn, kind  string
	from, to  time.Time // of receipt, [from, to)
}

// topic is where the entries are, and columns the titles of its table.
func (f *journalFilter) topic() (topic telemetry.Topic, columns []string) {
	if f.rejects {
		return telemetry.TopicRejects, []string{"PART", "OFFSET", "RECEIVED", "PEER", "CONN", "REASON", "BYTES", "VALUE"}
	}
	return telemetry.TopicJournal, []string{"PART", "OFFSET", "RECEIVED", "KIND", "MN", "VALUE"}
}

func (f journalFilter) match(rec *kgo.Record) bool {
	return (f.partition < 0 || f.partition == rec.Partition) && (f.mn == "" || f.mn == string(rec.Key)) &&
		(f.kind == "" || f.kind == header(rec, telemetry.HeaderKind)) &&
		(f.from.IsZero() || !rec.Timestamp.Before(f.from)) && (f.to.IsZero() || rec.Timestamp.Before(f.to))
}

// read calls fn with the entries that can match, and no more than it must.
func (f *journalFilter) read(ctx context.Context, cluster *broker.Cluster, topic telemetry.Topic, fn func(*kgo.Record) error) error {
	first, end, err := cluster.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	if !f.from.IsZero() {
		if first, err = cluster.OffsetsSince(ctx, topic, f.from); err != nil {
			return err
		}
	}
	for p := range cluster.Partitions() {
		if f.partition >= 0 && p != f.partition || f.mn != "" && p != telemetry.PartitionOf(f.mn, cluster.Partitions()) {
			continue
		}
		if err := cluster.ReadPartition(ctx, topic, p, first[p], end[p], fn); err != nil {
			return err
		}
	}
	return nil
}

func newJournal(a *app) *cobra.Command {
	return parent("journal", "Read the journal", "Read the journal: every frame as it was received, and everything else that results come from.",
		newJournalCat(a))
}

func newJournalCat(a *app) *cobra.Command {
	var form, from, to string
	var follow bool
	var filter journalFilter
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "cat",
		Short: "Print journal entries",
		Long: `Print the journal's entries, archived ones too, per partition in offset order. Frames are the exact bytes received, PW included, other kinds
canonical JSON.

Kinds: ` + strings.Join(journalKinds(), ", ") + `. --from and --to select by the moment of receipt, --from included, --to not.

The entries of kind reject are refused bytes of connections that have shown a known device. Bytes that no device can be charged with,
an unknown MN among them, are kept in a topic of their own: --rejects prints that one instead.`,
		Example: `  outfall journal cat --mn 520181A00170C67EF96ED8C5 --kind frame
  outfall journal cat --rejects --output jsonl | jq -r .reason | sort | uniq -c
  outfall journal cat --follow --kind reject --output jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := filter.parse(from, to); err != nil {
				return err
			}
			topic, columns := filter.topic()
			p, err := newPrinter(a.stdout, form, columns...)
			if err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			print := func(rec *kgo.Record) error {
				if !filter.match(rec) {
					return nil
				}
				return printJournal(p, rec, filter.rejects)
			}
			if follow {
				return follower{access, topic, true, p}.run(cmd.Context(), print)
			}
			if err := filter.read(cmd.Context(), access.cluster, topic, print); err != nil {
				return fmt.Errorf("read %s: %w", topic, err)
			}
			return p.flush()
		},
	}
	cmd.Flags().Int32Var(&filter.partition, "partition", -1, "only this partition")
	cmd.Flags().StringVar(&from, "from", "", "received at or after, RFC 3339 or \"2006-01-02 15:04:05\" of UTC+8")
	cmd.Flags().StringVar(&to, "to", "", "received before")
	cmd.Flags().StringVar(&filter.mn, "mn", "", "only this device")
	cmd.Flags().StringVar(&filter.kind, "kind", "", "only this kind")
	mustComplete(cmd, "kind", journalKinds()...)
	cmd.Flags().BoolVar(&filter.rejects, "rejects", false, "the bytes that no device can be charged with, not the journal")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new entries until interrupted")
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

func journalKinds() []string {
	var kinds []string
	for _, k := range telemetry.Kinds() {
		kinds = append(kinds, k.String())
	}
	return kinds
}

func (f *journalFilter) parse(from, to string) (err error) {
	if f.rejects && (f.kind != "" || f.mn != "") {
		return usagef("--rejects: no device and no kind is known there; leave --mn and --kind out")
	}
	if f.kind != "" && !slices.Contains(journalKinds(), f.kind) {
		return usagef("--kind: %q is none of %s", f.kind, strings.Join(journalKinds(), ", "))
	}
	if from != "" {
		if f.from, err = parseInstant("--from", from); err != nil {
			return err
		}
	}
	if to != "" {
		f.to, err = parseInstant("--to", to)
	}
	return err
}

// printJournal prints an entry of the journal, or of the topic rejects, whose key is no MN.
func printJournal(p *printer, rec *kgo.Record, rejects bool) error {
	mn := string(rec.Key)
	if rejects {
		mn = ""
	}
	row := journalRow{
		Partition: rec.Partition, Offset: rec.Offset, Received: rec.Timestamp.UTC(), Kind: header(rec, telemetry.HeaderKind), MN: mn,
		Gateway: header(rec, telemetry.HeaderGateway), Peer: header(rec, telemetry.HeaderPeer), Conn: header(rec, telemetry.HeaderConn),
		Reason: header(rec, telemetry.HeaderReason),
	}
	if row.Kind == telemetry.KindRegistry.String() { // frames show PW as it came: they are evidence
		rec.Value = []byte(maskPasswords(string(rec.Value)))
	}
	if utf8.Valid(rec.Value) {
		text := string(rec.Value)
		row.Value = &text
	} else {
		row.ValueB64 = base64.StdEncoding.EncodeToString(rec.Value)
	}
	value := string(rec.Value)
	if rejects {
		return p.row(row, fmt.Sprint(row.Partition), fmt.Sprint(row.Offset), localTime(rec.Timestamp), row.Peer, row.Conn, row.Reason,
			fmt.Sprint(len(rec.Value)), value)
	}
	if row.Reason != "" {
		value = row.Reason + ": " + value
	}
	return p.row(row, fmt.Sprint(row.Partition), fmt.Sprint(row.Offset), localTime(rec.Timestamp), row.Kind, orDash(row.MN), value)
}
