package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"outfall/bench/machine"
	"outfall/stream"
)

const (
	warmUp = 5 * time.Second
	// A snapshot is written every 30 s, and the partitions take turns within them: so long, each has one.
	snapshotRound = 40 * time.Second
	restTime      = 2 * time.Second // after the load, for what is on its way
	betweenKills  = 8 * time.Second
)

// A live is what a latency measurement gave.
type live struct {
	answer, alarm      latency
	quiet, own         latency // alarms while no snapshot is written, and while that of the partition is
	spans              []span
	cpu, seconds, sent float64
}

// measure loads an installation that is ready and knows the senders.
func (in *installation) measure(ctx context.Context, length time.Duration) (*live, error) {
	answered := &ages{}
	l, err := connect(in.ingest, in.b.senders, answered)
	if err != nil {
		return nil, err
	}
	answered.from, answered.to = l.start.Add(warmUp), l.start.Add(warmUp+length)
	w, snaps := &watch{load: l}, &snapshotWatch{dir: in.snapshots(), began: map[uint64]time.Time{}, whole: map[uint64]bool{}}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var watchers sync.WaitGroup
	var failed [2]error
	watchers.Go(func() { failed[0] = w.follow(watching, in.cluster()) })
	watchers.Go(func() { failed[1] = snaps.run(watching) })
	out := &live{}
	err = l.under(ctx, func(ctx context.Context) error {
		if err := sleep(ctx, warmUp); err != nil {
			return err
		}
		profiled := in.profile()
		began, cpu, sent := time.Now(), machine.CPU(in.proc.PID()), l.sent.Load()
		err := errors.Join(sleep(ctx, length), in.proc.Alive(), <-profiled)
		out.cpu, out.seconds, out.sent = (machine.CPU(in.proc.PID()) - cpu).Seconds(), time.Since(began).Seconds(), float64(l.sent.Load()-sent)
		return err
	})
	err = errors.Join(err, sleep(ctx, restTime))
	stop()
	watchers.Wait()
	if err := errors.Join(err, failed[0], failed[1]); err != nil {
		return nil, err
	}
	out.answer = answered.summary()
	out.alarm = w.summary(answered.from, answered.to, every)
	out.quiet, out.own = w.summary(answered.from, answered.to, snaps.none), w.summary(answered.from, answered.to, snaps.own)
	out.spans = snaps.spans
	if want := in.b.alarmsOf(length); out.alarm.n < want*9/10 || out.answer.n < in.b.senders*int(length.Seconds())*9/10 {
		return nil, fmt.Errorf("%d alarms of about %d came, %d answers", out.alarm.n, want, out.answer.n)
	}
	return out, nil
}

// alarmsOf is how many alarms so long a load raises.
func (b *bench) alarmsOf(length time.Duration) int {
	return (b.senders + alarming - 1) / alarming * int(length.Seconds()) / 2
}

func (o *live) cpuPerFrame() float64 { return o.cpu / o.sent * 1e6 }

func (b *bench) embeddedAlarm(ctx context.Context) error {
	return b.alarm(ctx, "alarm", "", stream.EOSPosition, b.influx, "", "embedded, with the durability barrier", 25)
}

// alarm measures an installation with the senders alone, and reports it under a title beside the wanted p99 of an alarm in ms.
func (b *bench) alarm(ctx context.Context, name, brokers, eos, influx, roles, title string, wanted float64) (err error) {
	in, err := b.install(name, brokers, eos, influx, roles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.stop()) }()
	if err := in.start(); err != nil {
		return err
	}
	if _, err := in.ready(ctx); err != nil {
		return err
	}
	if err := in.populate(ctx); err != nil {
		return err
	}
	o, err := in.measure(ctx, b.measured)
	if err != nil {
		return err
	}
	b.report.live(title, o, wanted)
	return nil
}

// many measures the worker with many devices: latency while snapshots are written, then how soon it is ready again.
func (b *bench) many(ctx context.Context) (err error) {
	in, err := b.install("many", "", stream.EOSPosition, b.influx, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.stop()) }()
	// Garbage doubles what the devices take, 60 KB each.
	if need, free := float64(b.devices)*0.14, machine.Available(); free > 0 && free < need {
		return fmt.Errorf("%d devices need %.0f MiB of memory, %.0f are free: take less with -devices", b.devices, need, free)
	}
	began := time.Now()
	if err := b.seed(ctx, in.snapshots()); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	say("%d devices seeded in %.0f s", b.devices, time.Since(began).Seconds())
	if err := in.start(); err != nil {
		return err
	}
	if _, err := in.ready(ctx); err != nil {
		return err
	}
	if err := in.populate(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, 2*time.Second); err != nil { // the gauge moves once a second
		return err
	}
	if n, _ := in.metric("outfall_stream_devices"); int(n) != b.devices {
		return fmt.Errorf("the worker has %.0f devices, want %d", n, b.devices)
	}
	o, err := in.measure(ctx, max(b.measured, snapshotRound))
	if err != nil {
		return err
	}
	size, _ := in.metric("outfall_stream_snapshot_bytes")
	now, _ := machine.Resident(in.proc.PID())
	b.report.many(b.devices, o, size, now)
	var rs []restart
	for range b.kills {
		r, err := in.crash(ctx)
		if err != nil {
			return err
		}
		rs = append(rs, r)
	}
	b.report.restarts(b.devices, rs)
	return nil
}

// A restart is what it took from the start after a kill until ready.
type restart struct {
	seconds, cpu, most float64 // s, s, MiB
	behind             float64 // entries between the snapshots and the journal's end
}

// crash loads the installation, kills it and starts it again.
func (in *installation) crash(ctx context.Context) (restart, error) {
	l, err := connect(in.ingest, in.b.senders, &ages{})
	if err != nil {
		return restart{}, err
	}
	err = l.under(ctx, func(ctx context.Context) error {
		err := sleep(ctx, betweenKills)
		in.proc.Kill()
		if err != nil {
			return err
		}
		return errKilled
	})
	if err != nil {
		return restart{}, err
	}
	if err := in.start(); err != nil {
		return restart{}, err
	}
	profiled := in.profile()
	at, err := in.ready(ctx)
	if err != nil {
		return restart{}, err
	}
	r := restart{seconds: at.Sub(in.proc.Began).Seconds(), cpu: machine.CPU(in.proc.PID()).Seconds()}
	_, r.most = machine.Resident(in.proc.PID())
	r.behind, _ = in.metric(`outfall_stream_entries_total`)
	say("ready %.2f s after kill -9, %.1f s of CPU, %.0f MiB, %.0f entries folded again", r.seconds, r.cpu, r.most, r.behind)
	return r, <-profiled
}
