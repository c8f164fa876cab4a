package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"time"

	"outfall/ingest"
	"outfall/ingest/tcp"
	"outfall/internal/broker"
	"outfall/internal/obs"
	"outfall/telemetry"
)

// A standIn is a journal in name: a record is durable when it has lingered. It stores nothing, so that what is measured is the gateway.
type standIn struct {
	mu    sync.Mutex // guards the two below
	queue []func(error)
	spare []func(error)
}

// maxStandIn is how many records it takes at a time, as many as the gateway's default for all journals.
const maxStandIn = 100_000

// Publish implements ingest.Publisher.
func (s *standIn) Publish(_ ingest.Record, done func(error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == maxStandIn {
		return ingest.ErrFull
	}
	s.queue = append(s.queue, done)
	if len(s.queue) == 1 {
		time.AfterFunc(linger, s.release)
	}
	return nil
}

func (s *standIn) release() {
	s.mu.Lock()
	queue := s.queue
	s.queue, s.spare = s.spare, nil
	s.mu.Unlock()
	for i, done := range queue {
		done(nil)
		queue[i] = nil
	}
	s.mu.Lock()
	s.spare = queue[:0]
	s.mu.Unlock()
}

// Flush implements ingest.Publisher.
func (s *standIn) Flush(context.Context) error {
	s.release()
	return nil
}

// devices is the registry: all that the load client plays.
type devices map[string]*ingest.Device

// Lookup implements ingest.Devices.
func (d devices) Lookup(mn []byte) *ingest.Device { return d[string(mn)] }

// Loaded implements ingest.Devices.
func (d devices) Loaded() bool { return true }

// newGateway is the product's intake on one of three journals: the stand-in, the broker that another process runs on dir, or one in this process.
func newGateway(name string, conns int, dir string) (addr string, run func(context.Context) error, err error) {
	known := devices{}
	for i := range conns {
		mn := deviceMN(i)
		known[mn] = ingest.NewDevice(telemetry.Device{MN: mn, PW: password, Outlet: mn, Medium: "gas", MinuteInterval: 1, OfflineAfter: 600})
	}
	log, err := obs.Logger(io.Discard, "error")
	if err != nil {
		return "", nil, err
	}
	metrics := obs.Registry("bench")
	icfg, tcfg := ingest.DefaultConfig(), tcp.DefaultConfig()
	icfg.Linger = linger
	tcfg.Listen, tcfg.EventLoops = "127.0.0.1:0", 1
	tcfg.AcceptRate = 0 // the ramp after a start is not what is measured
	var j journal
	if j, err = newJournal(name, dir, icfg); err != nil {
		return "", nil, err
	}
	srv, err := tcp.Listen(tcfg, ingest.NewIntake(icfg, known, j.pub, nil, metrics, log), metrics, log)
	if err != nil {
		return "", nil, errors.Join(err, j.close())
	}
	return srv.Addr().String(), func(ctx context.Context) error {
		rest, stopRest := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- j.run(rest) }()
		err := srv.Run(ctx)
		j.closePublisher()
		stopRest()
		return errors.Join(err, <-ended, j.close())
	}, nil
}

// A journal is what a gateway publishes to, and how that is run and closed.
type journal struct {
	pub            ingest.Publisher
	closePublisher func()
	run            func(context.Context) error // what must run until the publisher is closed
	close          func() error
}

func newJournal(name, dir string, cfg ingest.Config) (journal, error) {
	j := journal{pub: &standIn{}, closePublisher: func() {}, run: func(context.Context) error { return nil }, close: func() error { return nil }}
	if name == serverGateway {
		return j, nil
	}
	cluster := broker.Dial(broker.DefaultConfig(), filepath.Join(dir, "kafka.sock"))
	if name == serverEmbedded {
		b, err := broker.StartEmbedded(dir, broker.DefaultConfig())
		if err != nil {
			return j, err
		}
		cluster, j.close = b.Cluster(), b.Close
	}
	barrier := cluster.NewBarrier()
	kafka, err := ingest.NewKafkaPublisher(cfg, cluster, barrier, obs.Registry("bench"))
	if err != nil {
		return j, errors.Join(err, j.close())
	}
	j.pub, j.closePublisher, j.run = kafka, kafka.Close, barrier.Run
	return j, nil
}
