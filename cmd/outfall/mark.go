package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest"
	"outfall/internal/broker"
	"outfall/telemetry"
)

func newMark(a *app) *cobra.Command {
	return parent("mark", "Declare states of plants and monitors (标记)",
		`A mark says that a plant, a unit of it, or its monitoring was in a state for a time: stopped, starting up, under maintenance. It comes after the data, or
before; from its place in the journal on, windows that it touches are worked out again, and alarms that stood on them are withdrawn. Raw values stay.`,
		newMarkAdd(a), newMarkImport(a), newMarkLs(a))
}

// kindList is the table of kinds for help.
func kindList() string {
	var b strings.Builder
	for _, k := range telemetry.MarkKinds() {
		effect := [...]string{"kept", "windows are not judged", "data enter no mean"}[k.Effect()]
		fmt.Fprintf(&b, "  %-13s %s: %s", k, k.Name(), effect)
		if subs := k.Subs(); len(subs) > 0 {
			fmt.Fprintf(&b, "; --sub %s", strings.Join(subs, ", "))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// markFlags are what `mark add` is told.
type markFlags struct {
	mark           telemetry.Mark
	outlet         string
	kind, from, to string
}

func newMarkAdd(a *app) *cobra.Command {
	var o markFlags
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Declare a state, replace or revoke a mark",
		Long: `Write a mark to the journal, of one device (--mn) or of the devices of an outlet (--outlet). It prints the id.

A mark is never changed: --replaces ID declares the state anew in the place of an earlier mark, --revoke ID says that it was wrong and nothing comes in its
place. Without --to the state still lasts; it ends when a mark with an end replaces it. Kinds, by id or by name:

` + kindList() + `
An automatic mark (--auto) of a state shorter than 15 minutes is not kept. Marks more than 10 days after their data, without --proof by the 10th of the next
month, and the exempt hours of a furnace that run out are findings, see docs/marks.md.`,
		Example: `  outfall mark add --mn 520181A00170C67EF96ED8C5 --kind 停运 --from "2026-07-01 08:00" --to "2026-07-01 12:00" --who li --proof P-17
  outfall mark add --outlet W01 --kind maintenance --sub calibration --factor w01018 --from "2026-07-01 08:00" --to "2026-07-01 08:40" --who li
  outfall mark add --mn 520181A00170C67EF96ED8C5 --revoke 20260701-081502-ABCDEFGH --who wang --text "wrong outlet"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.parse(time.Now()); err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			marks, err := o.spread(cmd.Context(), access.cluster)
			if err != nil {
				return err
			}
			if err := writeMarks(cmd.Context(), access.cluster, marks); err != nil {
				return err
			}
			for i := range marks {
				fmt.Fprintln(a.stdout, marks[i].ID)
			}
			return nil
		},
	}
	f, m := cmd.Flags(), &o.mark
	f.StringVar(&m.MN, "mn", "", "the device")
	f.StringVar(&o.outlet, "outlet", "", "the outlet, by the registry, instead of --mn")
	f.StringVar(&o.kind, "kind", "", "what state, by id or Chinese name")
	f.StringVar(&m.Sub, "sub", "", "its sub-type")
	f.StringVar(&m.Unit, "unit", "", "production or treatment unit whose state it is")
	f.StringSliceVar(&m.Factors, "factor", nil, "only these factor codes (default: all)")
	f.StringVar(&o.from, "from", "", "beginning, RFC 3339 or \"2006-01-02 15:04\" of UTC+8")
	f.StringVar(&o.to, "to", "", "end, not included (default: it still lasts)")
	f.BoolVar(&m.Auto, "auto", false, "made by the monitoring itself")
	f.StringVar(&m.Proof, "proof", "", "id of the documents that show it")
	f.StringVar(&m.Replaces, "replaces", "", "id of the mark that this one takes the place of")
	f.StringVar(&o.mark.Text, "text", "", "in words")
	f.StringVar(&m.Code, "code", "", "what the declarer's system calls the kind: its code")
	f.StringVar(&m.Name, "name", "", "and its name")
	f.StringVar(&m.SubCode, "sub-code", "", "the same of the sub-type: its code")
	f.StringVar(&m.SubName, "sub-name", "", "and its name")
	f.StringVar(&m.Who, "who", "", "who declares it")
	f.StringVar(&o.mark.ID, "id", "", "id of the mark, unique (default: one is made)")
	f.String("revoke", "", "id of a mark that was wrong; nothing else but --mn, --who and --text goes with it")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return o.revoke(cmd) }
	mustComplete(cmd, "kind", markKindNames()...)
	data.flags(cmd)
	return cmd
}

func markKindNames() []string {
	var names []string
	for _, k := range telemetry.MarkKinds() {
		names = append(names, string(k))
	}
	return names
}

// revoke takes --revoke, which no state goes with.
func (o *markFlags) revoke(cmd *cobra.Command) error {
	id, _ := cmd.Flags().GetString("revoke")
	if id == "" {
		return nil
	}
	for _, name := range []string{"kind", "sub", "unit", "factor", "from", "to", "auto", "proof", "replaces", "outlet", "code", "name", "sub-code", "sub-name"} {
		if cmd.Flags().Changed(name) {
			return usagef("--%s does not go with --revoke", name)
		}
	}
	o.mark.Replaces, o.mark.Revoked = id, true
	return nil
}

// parse checks the flags and makes the mark of them, without the kind and time of one that is revoked.
func (o *markFlags) parse(now time.Time) (err error) {
	m := &o.mark
	m.V, m.When = telemetry.MarkVersion, now.UTC().Truncate(time.Millisecond)
	if m.ID == "" {
		m.ID = ingest.NewCommandID(now)
	}
	if (m.MN == "") == (o.outlet == "") {
		return usagef("want --mn or --outlet")
	}
	if m.Who == "" {
		return usagef("say who declares it with --who")
	}
	if m.Revoked {
		return nil
	}
	var ok bool
	if m.Kind, ok = telemetry.ParseMarkKind(o.kind); !ok {
		return usagef("--kind: %q is none of %s, nor one of their names", o.kind, strings.Join(markKindNames(), ", "))
	}
	if m.From, err = parseInstant("--from", o.from); err != nil {
		return err
	}
	if o.to != "" {
		to, err := parseInstant("--to", o.to)
		if err != nil {
			return err
		}
		m.To = &to
	}
	return nil
}

// spread makes the marks of the devices that are meant, and checks them against what the journal has.
func (o *markFlags) spread(ctx context.Context, cluster *broker.Cluster) ([]telemetry.Mark, error) {
	registry, err := readRegistry(ctx, cluster)
	if err != nil {
		return nil, err
	}
	var marks []telemetry.Mark
	for _, d := range sortedDevices(registry) {
		if d.MN == o.mark.MN || o.outlet != "" && d.Outlet == o.outlet {
			m := o.mark
			m.MN = d.MN
			if o.outlet != "" && len(marks) > 0 {
				m.ID = fmt.Sprintf("%s-%d", m.ID, len(marks)+1)
			}
			marks = append(marks, m)
		}
	}
	if len(marks) == 0 {
		return nil, usagef("the registry has no device %s%s", o.mark.MN, o.outlet)
	}
	for i := range marks {
		if err := checkNewMark(ctx, cluster, &marks[i]); err != nil {
			return nil, err
		}
	}
	return marks, nil
}

// checkNewMark checks a mark, whose device is known, against those that the journal has of the device.
func checkNewMark(ctx context.Context, cluster *broker.Cluster, m *telemetry.Mark) error {
	have, err := readMarks(ctx, cluster, m.MN)
	if err != nil {
		return err
	}
	if m.Replaces != "" {
		old := findMark(have, m.Replaces)
		switch {
		case old == nil:
			return usagef("device %s has no mark %s", m.MN, m.Replaces)
		case old.By != "":
			return usagef("mark %s is replaced or revoked already, by %s", m.Replaces, old.By)
		case m.Revoked:
			m.Kind, m.Sub, m.Unit, m.Factors, m.From, m.To = old.Kind, old.Sub, old.Unit, old.Factors, old.From, old.To
		}
	}
	if findMark(have, m.ID) != nil {
		return usagef("device %s has a mark %s already", m.MN, m.ID)
	}
	if err := m.Validate(); err != nil {
		return usagef("%w", err)
	}
	return nil
}

// writeMarks writes marks to the journal, each to its device's partition.
func writeMarks(ctx context.Context, cluster *broker.Cluster, marks []telemetry.Mark) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	recs := make([]*kgo.Record, len(marks))
	for i := range marks {
		m := &marks[i]
		recs[i] = journalRecord(cluster, telemetry.PartitionOf(m.MN, cluster.Partitions()), m.MN, telemetry.KindMark, telemetry.AppendJSON(nil, m), now)
	}
	if err := publish(ctx, cluster, recs); err != nil {
		return fmt.Errorf("write the marks to the journal: %w", err)
	}
	return nil
}

// A markRow is a mark as the journal has it. Scripts rely on the field order.
type markRow struct {
	telemetry.Mark
	Received time.Time `json:"received"`     // when the journal got it
	By       string    `json:"by,omitempty"` // id of the mark that replaced or revoked it
	Revoker  bool      `json:"-"`            // By revoked it
}

// state says for people whether the mark holds.
func (r *markRow) state() string {
	switch {
	case r.Revoked:
		return "revokes " + r.Replaces
	case r.By != "" && r.Revoker:
		return "revoked by " + r.By
	case r.By != "":
		return "replaced by " + r.By
	}
	return "holds"
}

func findMark(rows []*markRow, id string) *markRow {
	for _, r := range rows {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// readMarks reads the marks of a device, or of all (mn empty), in the order of the journal. Of two with one id the first counts, as in the fold.
func readMarks(ctx context.Context, cluster *broker.Cluster, mn string) ([]*markRow, error) {
	var rows []*markRow
	byID := map[string]*markRow{}
	filter := journalFilter{partition: -1, mn: mn, kind: telemetry.KindMark.String()}
	err := filter.read(ctx, cluster, telemetry.TopicJournal, func(rec *kgo.Record) error {
		var m telemetry.Mark
		if !filter.match(rec) || json.Unmarshal(rec.Value, &m) != nil || m.MN != string(rec.Key) || m.Validate() != nil || byID[m.MN+" "+m.ID] != nil {
			return nil // what the fold passes over
		}
		r := &markRow{Mark: m, Received: rec.Timestamp.UTC()}
		if old := byID[m.MN+" "+m.Replaces]; old != nil && old.By == "" {
			old.By, old.Revoker = m.ID, m.Revoked
		}
		byID[m.MN+" "+m.ID] = r
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal's marks: %w", err)
	}
	return rows, nil
}

func newMarkLs(a *app) *cobra.Command {
	var mn string
	var all bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List marks",
		Long:    "List the marks that hold, by device and beginning; with --all those too that were replaced or revoked, and the revocations.",
		Example: "  outfall mark ls --mn 520181A00170C67EF96ED8C5 --all",
	}
	cmd.Flags().StringVar(&mn, "mn", "", "only this device")
	cmd.Flags().BoolVar(&all, "all", false, "those too that do not hold any more")
	return lister(a, cmd, func(form string) (*printer, error) {
		return newPrinter(a.stdout, form, "MN", "UNIT", "KIND", "FROM", "TO", "FACTORS", "WHO", "DECLARED", "RECEIVED", "PROOF", "STATE", "ID")
	}, func(ctx context.Context, access *dataAccess, p *printer) error {
		rows, err := readMarks(ctx, access.cluster, mn)
		if err != nil {
			return err
		}
		slices.SortStableFunc(rows, func(x, y *markRow) int { return cmp.Or(cmp.Compare(x.MN, y.MN), x.From.Compare(y.From)) })
		for _, r := range rows {
			if !all && r.state() != "holds" {
				continue
			}
			if err := printMark(p, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func printMark(p *printer, r *markRow) error {
	kind, to := r.Kind.Name(), "-"
	if r.Sub != "" {
		kind += " (" + r.Sub + ")"
	}
	if r.To != nil {
		to = localTime(*r.To)
	}
	return p.row(r, r.MN, orDash(r.Unit), kind, localTime(r.From), to, orDash(strings.Join(r.Factors, ",")), r.Who, localTime(r.When), localTime(r.Received),
		orDash(r.Proof), r.state(), r.ID)
}
