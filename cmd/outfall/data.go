package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// defaultData is the data directory of every command that is not told another.
const defaultData = "data"

// dataOptions say where a command finds the topics: in a data directory, or on the brokers of a configuration.
type dataOptions struct {
	dir    string
	config configOptions
	create bool // the command writes: a directory without a log is made, not refused
}

func (o *dataOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.dir, "data", defaultData, "data directory of \"outfall run\"")
	o.config.flags(cmd)
}

// A dataAccess is an open way to the topics.
type dataAccess struct {
	cluster *broker.Cluster
	cfg     *Config
	live    *runInfo // the process that runs on the directory; nil: none, or real brokers
	idle    string   // the directory that no process runs on; empty: one does, or real brokers
	close   func()
}

// open finds the topics: the brokers of the configuration if it names some, else the process that runs on the data directory, else
// the directory's own log, which it then holds until close.
func (o *dataOptions) open(ctx context.Context, a *app) (*dataAccess, error) {
	cfg, _, err := o.config.load(a, o.dir)
	if err != nil {
		return nil, err
	}
	if len(cfg.Kafka.Brokers) > 0 {
		access := &dataAccess{cluster: broker.Remote(cfg.Kafka), cfg: cfg, close: func() {}}
		return access, ping(ctx, access.cluster)
	}
	live, err := readRunInfo(o.dir)
	if err != nil {
		return nil, err
	}
	if live != nil {
		return &dataAccess{cluster: broker.Dial(cfg.Kafka, live.socket()), cfg: cfg, live: live, close: func() {}}, nil
	}
	if _, err := os.Stat(filepath.Join(o.dir, "kafka")); err != nil && !o.create {
		return nil, unreachable(fmt.Errorf("%s holds no data and no process runs on it: start \"outfall run --data %s\", or name the brokers with --config", o.dir, o.dir))
	}
	embedded, err := broker.StartEmbedded(o.dir, cfg.Kafka)
	if err != nil {
		return nil, unreachable(fmt.Errorf("open the data directory: %w", err))
	}
	return &dataAccess{cluster: embedded.Cluster(), cfg: cfg, idle: o.dir, close: func() {
		if err := embedded.Close(); err != nil {
			fmt.Fprintf(a.stderr, "outfall: %v\n", err)
		}
	}}, nil
}

// ping asks the brokers whether they are there, so that a wrong address ends with the code for it, whatever the command does.
func ping(ctx context.Context, cluster *broker.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	client, err := cluster.Client()
	if err != nil {
		return unreachable(fmt.Errorf("reach %s: %w", cluster, err))
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return unreachable(fmt.Errorf("reach %s: %w", cluster, err))
	}
	return nil
}

// lister completes a command that reads topics and prints rows: its flags say where the topics are and in which form the rows go out.
// newRows refuses what is wrong with the other flags before anything is opened.
func lister(a *app, cmd *cobra.Command, newRows func(form string) (*printer, error), run func(context.Context, *dataAccess, *printer) error) *cobra.Command {
	var form string
	var data dataOptions
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := newRows(form)
		if err != nil {
			return err
		}
		access, err := data.open(cmd.Context(), a)
		if err != nil {
			return err
		}
		defer access.close()
		if err := run(cmd.Context(), access, p); err != nil {
			return err
		}
		return p.flush()
	}
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

// A follower prints a topic as it grows.
type follower struct {
	access    *dataAccess
	topic     telemetry.Topic
	fromStart bool
	out       *printer
}

// run calls print with every record and shows what it printed at once. It ends with the context: being interrupted is how a
// follower is meant to end.
func (f follower) run(ctx context.Context, print func(*kgo.Record) error) error {
	from := broker.FromEnd
	if f.fromStart {
		from = broker.FromStart
	}
	err := f.access.cluster.Follow(ctx, f.topic, from, func(rec *kgo.Record) error {
		return errors.Join(print(rec), f.out.flush())
	})
	if err != nil {
		return fmt.Errorf("follow %s: %w", f.topic, err)
	}
	return ctx.Err()
}

// followOutput follows an output topic, each output once.
func followOutput[T any](ctx context.Context, access *dataAccess, topic telemetry.Topic, fromStart bool, p *printer, print func(*T) error) error {
	seen := positions{}
	return follower{access, topic, fromStart, p}.run(ctx, func(rec *kgo.Record) error {
		v, fresh, err := decodeOutput[T](seen, rec)
		if err != nil || !fresh {
			return err
		}
		return print(&v)
	})
}
