package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"outfall/ingest"
	"outfall/ingest/tcp"
	"outfall/internal/broker"
	"outfall/internal/obs"
	"outfall/internal/store"
	"outfall/sinks/alert"
	"outfall/sinks/influx"
	"outfall/stream"
)

// Drain times beyond the stages' own: what a stage needs after its own deadline to close its clients.
const (
	stopSlack   = 5 * time.Second
	stopBarrier = 15 * time.Second // one last sync of a slow disk
)

// Roles of a process, in the order in which frames pass them.
const (
	roleIngest = "ingest"
	roleStream = "stream"
	roleSink   = "sink"
	roleAlert  = "alert"
)

// Stages are the running parts of one process: the one place where the stages meet. Fields of roles that it does not have are nil.
type stages struct {
	admin   *obs.Server
	server  *tcp.Server
	devices *ingest.Registry
	intake  *ingest.Intake
	worker  *stream.Worker
	sink    *influx.Sink
	alert   *alert.Sink // nil also without a channel
}

// startStages wires the roles to the cluster and starts them under sup: the admin listener first, then from the end of the path to its
// beginning, so that draining them the other way round stops the intake first and loses nothing on the way.
//
//	admin    metrics, health and profiles
//	barrier  group commit of what the embedded broker acknowledged
//	alert    alarms -> channels
//	sink     points -> InfluxDB
//	stream   journal -> points, alarms, findings, status
//	devices  the registry topic, for ingest
//	downlink commands -> devices
//	ingest   connections -> journal
//
// embedded is the broker of this process; nil on real ones.
func startStages(sup *supervisor, cfg *Config, cluster *broker.Cluster, embedded *broker.Embedded, roles map[string]bool, log zerolog.Logger) (*stages, error) {
	s := &stages{}
	built := buildVersion().Version
	metrics := obs.Registry(built)
	var err error
	if s.admin, err = obs.Listen(cfg.Admin, built, metrics, log); err != nil {
		return nil, err
	}
	sup.run("admin", stopSlack, s.admin.Run)

	if embedded != nil {
		if err := embedded.Observe(log.With().Str("stage", "broker").Logger(), metrics); err != nil {
			return nil, err
		}
		s.admin.Ready("archive", embedded.Ready)
	}
	barrier := cluster.NewBarrier()
	sup.run("barrier", stopBarrier, barrier.Run)

	if roles[roleAlert] && cfg.Alert.On() {
		if s.alert, err = alert.New(cfg.Alert, cluster, barrier, log.With().Str("stage", roleAlert).Logger(), metrics); err != nil {
			return nil, err
		}
		s.admin.Ready(roleAlert, s.alert.Ready)
		sup.run(roleAlert, 2*cfg.Alert.Timeout+2*stopSlack, s.alert.Run)
	}
	if roles[roleSink] {
		if s.sink, err = influx.New(cfg.Influx, cluster, log.With().Str("stage", roleSink).Logger(), metrics); err != nil {
			return nil, err
		}
		s.admin.Ready(roleSink, s.sink.Ready)
		sup.run(roleSink, cfg.Influx.Timeout+stopSlack, s.sink.Run)
	}
	if roles[roleStream] {
		snapshots, err := store.Open(cfg.Stream.Snapshots)
		if err != nil {
			return nil, err
		}
		if s.worker, err = stream.New(cfg.Stream, cluster, barrier, snapshots, log.With().Str("stage", roleStream).Logger(), metrics); err != nil {
			return nil, err
		}
		s.admin.Ready(roleStream, s.worker.Ready)
		sup.run(roleStream, cfg.Stream.DrainTimeout+stopSlack, s.worker.Run)
	}
	if roles[roleIngest] {
		log := log.With().Str("stage", roleIngest).Logger()
		s.devices = ingest.NewRegistry(cluster, metrics, log)
		s.admin.Ready("devices", s.devices.Ready)
		sup.run("devices", stopSlack, s.devices.Run)
		publisher, err := ingest.NewKafkaPublisher(cfg.Ingest, cluster, barrier, metrics)
		if err != nil {
			return nil, err
		}
		sup.closeLast("publisher", stopSlack, func() error { publisher.Close(); return nil })
		commands, err := ingest.NewKafkaCommands(cluster, barrier, log)
		if err != nil {
			return nil, err
		}
		sup.closeLast("commands", stopSlack, func() error { commands.Close(); return nil })
		downlink := ingest.NewDownlink(cfg.Ingest.Downlink, cfg.Ingest.Gateway, s.devices, publisher, commands, metrics, log)
		sup.run("downlink", 2*stopSlack, downlink.Run)
		s.intake = ingest.NewIntake(cfg.Ingest, s.devices, publisher, downlink, metrics, log)
		s.admin.Handle("GET /sessions", http.HandlerFunc(s.intake.ServeSessions))
		if s.server, err = tcp.Listen(cfg.TCP, s.intake, metrics, log); err != nil {
			return nil, err
		}
		sup.run(roleIngest, cfg.TCP.StopTime()+stopSlack, s.server.Run)
	}
	return s, nil
}

// awaitReady returns when every role that results depend on can work: devices are known, partitions are caught up. InfluxDB may be
// away: nothing but its own points waits for it. say is told, when it changes, what is waited for.
func (s *stages) awaitReady(ctx context.Context, failed <-chan error, say func(string)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		err := s.ready()
		if err == nil {
			return nil
		}
		if err.Error() != last {
			last = err.Error()
			say(last)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case <-tick.C:
		}
	}
}

func (s *stages) ready() error {
	if s.worker != nil {
		if err := s.worker.Ready(); err != nil {
			return fmt.Errorf("stream: %w", err)
		}
	}
	if s.devices != nil {
		if err := s.devices.Ready(); err != nil {
			return fmt.Errorf("devices: %w", err)
		}
	}
	return nil
}
