package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"outfall/internal/broker"
)

// A changeRow is one difference between a topic as it must be and as it is.
type changeRow struct {
	Topic    string `json:"topic"`
	What     string `json:"what"` // missing, partitions, replication.factor or a configuration key
	Want     string `json:"want"`
	Have     string `json:"have"`
	Mendable bool   `json:"mendable"` // apply makes it
}

func newTopics(a *app) *cobra.Command {
	return parent("topics", "Compare and create the topics in Kafka",
		"Compare the topics of Kafka with what outfall needs, and make them so. Topics are never created by use.",
		newTopicsPlan(a), newTopicsApply(a), newTopicsCheck(a))
}

func newTopicsPlan(a *app) *cobra.Command {
	return topicsCommand(a, "plan", "Show what apply would change",
		"Compare the topics with what they must be and list the differences. Nothing is changed; the exit code is 0.",
		func(cmd *cobra.Command, access *dataAccess, p *printer) error {
			_, err := printPlan(cmd, access, p)
			return err
		})
}

func newTopicsCheck(a *app) *cobra.Command {
	return topicsCommand(a, "check", "Check the topics; exit 3 on a difference",
		"Compare the topics with what they must be and list the differences. Exit code 0 when there is none, 3 otherwise.",
		func(cmd *cobra.Command, access *dataAccess, p *printer) error {
			n, err := printPlan(cmd, access, p)
			if err == nil && n > 0 {
				return checkFailed()
			}
			return err
		})
}

func newTopicsApply(a *app) *cobra.Command {
	return topicsCommand(a, "apply", "Create and configure the topics",
		"Create missing topics and set their configuration. The number of partitions and of copies is never changed: a difference there\nis listed and nothing is done.",
		func(cmd *cobra.Command, access *dataAccess, p *printer) error {
			changes, err := access.cluster.Apply(cmd.Context())
			if perr := printChanges(p, changes); perr != nil {
				return perr
			}
			if err != nil {
				return fmt.Errorf("apply the topics to %s: %w", access.cluster, err)
			}
			return nil
		})
}

func topicsCommand(a *app, use, short, long string, action func(*cobra.Command, *dataAccess, *printer) error) *cobra.Command {
	var form string
	var data dataOptions
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.NoArgs,
		Example: "  outfall topics " + use + " --config outfall.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(a.stdout, form, "TOPIC", "WHAT", "WANT", "HAVE", "APPLY")
			if err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			return action(cmd, access, p)
		},
	}
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

func printPlan(cmd *cobra.Command, access *dataAccess, p *printer) (int, error) {
	changes, err := access.cluster.Plan(cmd.Context())
	if err != nil {
		return 0, fmt.Errorf("compare the topics of %s: %w", access.cluster, err)
	}
	return len(changes), printChanges(p, changes)
}

func printChanges(p *printer, changes []broker.Change) error {
	for _, c := range changes {
		mend := "yes"
		if !c.Mendable() {
			mend = "no"
		}
		if err := p.row(changeRow{c.Topic, c.What, c.Want, c.Have, c.Mendable()}, c.Topic, c.What, orDash(c.Want), orDash(c.Have), mend); err != nil {
			return err
		}
	}
	return p.flush()
}
