package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"outfall/internal/broker"
	"outfall/internal/obs"
)

type serveOptions struct {
	dir    string
	roles  []string
	config configOptions
}

func newServe(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run some roles on real Kafka brokers",
		Long: `Run one or more roles against the brokers and the InfluxDB of the configuration, as a service.

  ingest  connections of devices -> journal, acknowledgements
  stream  journal -> points, alarms, findings, status; any number of workers share the partitions
  sink    points -> InfluxDB
  alert   alarms -> robots, webhooks, mail, Alertmanager; of several processes one works, the others stand by

The topics must be there ("outfall topics apply"). The log goes to standard error. SIGTERM drains and exits 0.`,
		Example: `  outfall serve --role ingest --config outfall.yaml
  outfall serve --role stream,sink --config outfall.yaml --admin 127.0.0.1:9281`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), a, o) },
	}
	cmd.Flags().StringSliceVar(&o.roles, "role", nil, "ingest, stream, sink, alert: one or more, comma separated")
	mustComplete(cmd, "role", roleIngest, roleStream, roleSink, roleAlert)
	cmd.Flags().StringVar(&o.dir, "data", defaultData, "data directory, for snapshots unless stream.snapshots says otherwise")
	cmd.Flags().String("listen", "", "HOST:PORT where devices connect; port 0 takes a free one (default tcp.listen)")
	cmd.Flags().String("admin", "", "HOST:PORT of metrics and health; port 0 takes a free one (default admin.listen)")
	o.config.flags(cmd)
	o.config.bind("listen", "tcp.listen")
	o.config.bind("admin", "admin.listen")
	return cmd
}

func serve(ctx context.Context, a *app, o serveOptions) (err error) {
	roles, err := parseRoles(o.roles)
	if err != nil {
		return err
	}
	cfg, _, err := o.config.load(a, o.dir)
	if err != nil {
		return err
	}
	if len(cfg.Kafka.Brokers) == 0 {
		return usagef("kafka.brokers is empty: serve works on real brokers; use \"outfall run\" for the embedded one")
	}
	if roles[roleSink] && cfg.Influx.URL == "" {
		return usagef("influx.url is empty: the sink needs an InfluxDB; only \"outfall run\" has an embedded one")
	}
	if roles[roleAlert] && !cfg.Alert.On() {
		return usagef("alert.channels is empty: the role alert needs a channel to deliver to")
	}
	cluster := broker.Remote(cfg.Kafka)
	if err := checkTopics(ctx, cluster); err != nil {
		return err
	}
	log, err := obs.Logger(a.stderr, cfg.Admin.LogLevel)
	if err != nil {
		return err
	}
	sup := newSupervisor(log)
	defer func() {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = nil // only the signal that interrupted the start
		}
		if err != nil {
			log.Error().Err(err).Msg("stopping")
		}
		err = errors.Join(err, sup.drain())
	}()
	s, err := startStages(sup, cfg, cluster, nil, roles, log)
	if err != nil {
		return err
	}
	if err := s.awaitReady(ctx, sup.failed, func(why string) { log.Info().Str("why", why).Msg("not ready yet") }); err != nil {
		return err
	}
	event := log.Info().Strs("roles", o.roles).Str("admin", connectable(s.admin.Addr().String()))
	if s.server != nil {
		event = event.Str("ingest", connectable(s.server.Addr().String()))
	}
	event.Msg("ready")
	select {
	case <-ctx.Done():
		return nil
	case err := <-sup.failed:
		return err
	}
}

func parseRoles(list []string) (map[string]bool, error) {
	known := []string{roleIngest, roleStream, roleSink, roleAlert}
	roles := map[string]bool{}
	for _, r := range list {
		if !slices.Contains(known, r) {
			return nil, usagef("--role: %q is none of %s", r, strings.Join(known, ", "))
		}
		roles[r] = true
	}
	if len(roles) == 0 {
		return nil, usagef("--role: want one or more of %s", strings.Join(known, ", "))
	}
	return roles, nil
}

// checkTopics refuses to start on brokers that are away or whose topics are not as they must be: a service manager tries again.
func checkTopics(ctx context.Context, cluster *broker.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, 3*reachTimeout)
	defer cancel()
	changes, err := cluster.Plan(ctx)
	if err != nil {
		return unreachable(fmt.Errorf("compare the topics of %s: %w", cluster, err))
	}
	// Deviating settings are the operator's business; a topic that is missing or split otherwise would lose or misplace data.
	var faults []error
	for _, c := range changes {
		if c.What == broker.Missing || c.What == broker.Partitions {
			faults = append(faults, errors.New(c.String()))
		}
	}
	if len(faults) > 0 {
		return &codedError{exitCheck, fmt.Errorf("the topics are not ready, see \"outfall topics plan\" and \"apply\":\n%w", errors.Join(faults...))}
	}
	return nil
}
