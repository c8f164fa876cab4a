package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// A findingFilter selects findings; empty fields select all.
type findingFilter struct{ mn, outlet, kind, detector string }

func (f findingFilter) match(x *telemetry.Finding) bool {
	return (f.mn == "" || f.mn == x.MN) && (f.outlet == "" || f.outlet == x.Outlet) && (f.kind == "" || f.kind == string(x.Kind)) &&
		(f.detector == "" || x.Anomaly != nil && f.detector == string(x.Anomaly.Detector))
}

func (f *findingFilter) flags(cmd *cobra.Command) {
	var kinds []string
	for _, k := range telemetry.FindingKinds() {
		kinds = append(kinds, string(k))
	}
	cmd.Flags().StringVar(&f.mn, "mn", "", "only this device")
	cmd.Flags().StringVar(&f.outlet, "outlet", "", "only this outlet")
	cmd.Flags().StringVar(&f.kind, "kind", "", "only this kind: "+strings.Join(kinds, ", "))
	mustComplete(cmd, "kind", kinds...)
	var detectors []string
	for _, d := range telemetry.Detectors() {
		detectors = append(detectors, string(d))
	}
	cmd.Flags().StringVar(&f.detector, "detector", "", "only anomalies of this detector: "+strings.Join(detectors, ", "))
	mustComplete(cmd, "detector", detectors...)
}

func (f *findingFilter) validate() error {
	if f.kind != "" && !slices.Contains(telemetry.FindingKinds(), telemetry.FindingKind(f.kind)) {
		return usagef("--kind: %q is no kind of finding", f.kind)
	}
	if f.detector != "" && !slices.Contains(telemetry.Detectors(), telemetry.Detector(f.detector)) {
		return usagef("--detector: %q is no detector", f.detector)
	}
	return nil
}

func newFinding(a *app) *cobra.Command {
	return parent("finding", "List and follow data-integrity findings",
		"List the findings of the findings topic (gaps, offline devices, refused frames, late and conflicting data, anomalies), or follow them.",
		newFindingLs(a), newFindingTail(a))
}

func newFindingLs(a *app) *cobra.Command {
	var filter findingFilter
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List findings",
		Long:    "List the findings that are kept, per partition in the order they were made. The jsonl form is the topic's own.",
		Example: "  outfall finding ls --kind offline",
	}
	filter.flags(cmd)
	return lister(a, cmd, func(form string) (*printer, error) { return newFindingPrinter(a, form, &filter) }, func(ctx context.Context, access *dataAccess, p *printer) error {
		seen := positions{}
		err := access.cluster.ReadAll(ctx, telemetry.TopicFindings, func(rec *kgo.Record) error {
			f, fresh, err := decodeOutput[telemetry.Finding](seen, rec)
			if err != nil || !fresh || !filter.match(&f) {
				return err
			}
			return printFinding(p, &f)
		})
		if err != nil {
			return fmt.Errorf("read findings: %w", err)
		}
		return nil
	})
}

func newFindingTail(a *app) *cobra.Command {
	var filter findingFilter
	var fromStart bool
	cmd := &cobra.Command{
		Use:     "tail",
		Short:   "Follow findings as they come",
		Long:    "Print every finding as it comes, until interrupted.",
		Example: "  outfall finding tail --mn 520181A00170C67EF96ED8C5",
	}
	filter.flags(cmd)
	cmd.Flags().BoolVar(&fromStart, "from-start", false, "begin with the oldest finding that is kept, not with the next one")
	return lister(a, cmd, func(form string) (*printer, error) { return newFindingPrinter(a, form, &filter) }, func(ctx context.Context, access *dataAccess, p *printer) error {
		return followOutput(ctx, access, telemetry.TopicFindings, fromStart, p, func(f *telemetry.Finding) error {
			if !filter.match(f) {
				return nil
			}
			return printFinding(p, f)
		})
	})
}

func newFindingPrinter(a *app, form string, filter *findingFilter) (*printer, error) {
	if err := filter.validate(); err != nil {
		return nil, err
	}
	return newPrinter(a.stdout, form, "AT", "KIND", "OUTLET", "MN", "FACTOR", "CN", "ABOUT", "COUNT", "DETAIL")
}

func printFinding(p *printer, f *telemetry.Finding) error {
	about := "-"
	switch {
	case f.Start != nil && f.End != nil:
		about = windowText(*f.Start, *f.End)
	case f.Start != nil:
		about = localTime(*f.Start)
	}
	detail := f.Detail
	if a := f.Anomaly; a != nil {
		detail = fmt.Sprintf("%s %s: %s", a.Detector, a.State, detail)
	}
	return p.row(f, localTime(f.At), string(f.Kind), f.Outlet, f.MN, orDash(f.Factor), orDash(f.CN), about, fmt.Sprint(f.Count), detail)
}
