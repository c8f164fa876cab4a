package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/stream/fold"
	"outfall/telemetry"
)

func newStreamSwitch(a *app) *cobra.Command {
	var v telemetry.Version
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "switch ALGORITHM",
		Short: "Switch the fold to another algorithm, from here on",
		Long: `Write a version entry into every partition of the journal: from its offset on the fold computes by the algorithm of that number. What came
before keeps replaying by its own. "outfall version" says which algorithms a program has; a worker or a replay that lacks one stops at the
entry and says so. Install the program everywhere first, then switch.`,
		Example: `  outfall stream switch 1 --operator li --reason "back to the arithmetic of the last audit"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if v.Algorithm, err = strconv.Atoi(args[0]); err != nil || v.Algorithm < 1 || v.Algorithm > fold.Algorithms {
				return usagef("algorithm %q: this program has 1..%d", args[0], fold.Algorithms)
			}
			if v.Operator == "" || len(v.Operator) > 64 {
				return usagef("--operator: say who switches, in 1..64 bytes")
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			v.Time = time.Now().UTC().Truncate(time.Millisecond)
			value := telemetry.AppendJSON(nil, &v)
			var recs []*kgo.Record
			for p := range access.cluster.Partitions() {
				recs = append(recs, journalRecord(access.cluster, p, "", telemetry.KindVersion, value, v.Time))
			}
			if err := publish(cmd.Context(), access.cluster, recs); err != nil {
				return fmt.Errorf("write the version to the journal: %w", err)
			}
			fmt.Fprintf(a.stderr, "algorithm %d from here on, in %d partitions\n", v.Algorithm, len(recs))
			return nil
		},
	}
	cmd.Flags().StringVar(&v.Operator, "operator", "", "who switches")
	cmd.Flags().StringVar(&v.Reason, "reason", "", "why")
	data.flags(cmd)
	return cmd
}
