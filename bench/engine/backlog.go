package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/bench/machine"
	"outfall/internal/broker"
	"outfall/stream"
	"outfall/telemetry"
)

// outlets are those of a province.
const outlets = 2048

// A journal is written in the order of its time by this program.
type journal struct {
	client *kgo.Client
	topic  string

	mu  sync.Mutex // guards err
	err error      // the first
}

func (j *journal) put(kind telemetry.Kind, partition int32, mn string, at time.Time, value []byte) {
	j.client.Produce(context.Background(), &kgo.Record{Topic: j.topic, Partition: partition, Key: []byte(mn), Value: value, Timestamp: at,
		Headers: []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(kind.String())}}}, func(_ *kgo.Record, err error) {
		if err != nil {
			j.mu.Lock()
			j.err = cmp.Or(j.err, err)
			j.mu.Unlock()
		}
	})
}

// fill writes the journal of a province: registry, rules, and then minutes of every outlet until end. It returns the number of frames.
func fill(ctx context.Context, cluster *broker.Cluster, minutes int, end time.Time) (frames int, err error) {
	set, err := ruleSet()
	if err != nil {
		return 0, err
	}
	cl, err := cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(100_000),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(5*time.Millisecond), kgo.UnknownTopicRetries(100))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	j := &journal{client: cl, topic: cluster.Topic(telemetry.TopicJournal)}
	begin := end.Add(-time.Duration(minutes) * time.Minute)
	for p := range int32(partitions) {
		j.put(telemetry.KindTick, p, "", begin, tickValue(begin))
		j.put(telemetry.KindRules, p, "", begin, set.AppendJSON(nil))
	}
	mns, at := make([]string, outlets), make([]int32, outlets)
	for i := range mns {
		d := registration(i)
		mns[i], at[i] = d.MN, telemetry.PartitionOf(d.MN, partitions)
		j.put(telemetry.KindRegistry, at[i], d.MN, begin, telemetry.AppendJSON(nil, &d))
	}
	for m := range minutes {
		minuteOf(begin.Add(time.Duration(m)*time.Minute), outlets, func(now time.Time) {
			tick := tickValue(now)
			for p := range int32(partitions) {
				j.put(telemetry.KindTick, p, "", now, tick)
			}
		}, func(i int, now time.Time, record bool) {
			j.put(telemetry.KindFrame, at[i], mns[i], now, appendFrame(make([]byte, 0, 896), i, mns[i], now, record))
			frames++
		})
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return frames, j.err
}

// fillEmbedded writes the journal of an installation whose process does not run.
func (in *installation) fillEmbedded(ctx context.Context, minutes int, end time.Time) (frames int, err error) {
	cfg := broker.DefaultConfig()
	cfg.TopicPrefix, cfg.Partitions = in.prefix, partitions
	e, err := broker.StartEmbedded(in.dir, cfg)
	if err != nil {
		return 0, err
	}
	frames, err = fill(ctx, e.Cluster(), minutes, end)
	if err == nil {
		err = e.Trim(ctx)
	}
	return frames, errors.Join(err, e.Close())
}

// nowhere is an InfluxDB that is away, so that the sink is no part of what is measured.
const nowhere = "http://127.0.0.1:9"

// A drained is what a backlog took.
type drained struct {
	frames      int
	rate, whole float64 // frames/s from 20 % to 90 %, and from the start to the end
	cpu, broker float64 // µs a frame, start-up included; the second of another process's broker
	most        float64 // MiB
}

// drain measures the embedded installation.
func (b *bench) drain(ctx context.Context) (err error) {
	in, err := b.install("drain", "", stream.EOSPosition, nowhere, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.stop()) }()
	frames, err := in.fillEmbedded(ctx, b.backlog, time.Now().Truncate(time.Minute))
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	d, err := in.drainAll(ctx, frames, 0)
	if err != nil {
		return err
	}
	b.report.drained("embedded", d, 250_000)
	return nil
}

const samplePause = 50 * time.Millisecond

// drainAll starts the process and waits until it has folded so many frames. pid is of the broker, if it is a process of its own.
func (in *installation) drainAll(ctx context.Context, frames, pid int) (*drained, error) {
	before := machine.CPU(pid)
	if err := in.start(); err != nil {
		return nil, err
	}
	profiled := in.profile()
	var from, to struct {
		at time.Time
		n  float64
	}
	for deadline := time.Now().Add(readyTimeout); ; {
		if err := errors.Join(in.proc.Alive(), ctx.Err()); err != nil {
			return nil, err
		}
		n, _ := in.metric(`outfall_stream_entries_total{kind="frame"}`)
		now := time.Now()
		if n >= 0.2*float64(frames) && from.n == 0 {
			from.at, from.n = now, n
		}
		if n >= 0.9*float64(frames) && to.n == 0 {
			to.at, to.n = now, n
		}
		if n >= float64(frames) {
			break
		}
		if now.After(deadline) {
			return nil, fmt.Errorf("%.0f of %d frames in %v", n, frames, readyTimeout)
		}
		if err := sleep(ctx, samplePause); err != nil {
			return nil, err
		}
	}
	if to.at.Equal(from.at) {
		return nil, errors.New("too few frames for a rate")
	}
	d := &drained{frames: frames, rate: (to.n - from.n) / to.at.Sub(from.at).Seconds(), whole: float64(frames) / time.Since(in.proc.Began).Seconds(),
		cpu: float64(machine.CPU(in.proc.PID()).Microseconds()) / float64(frames), broker: float64((machine.CPU(pid) - before).Microseconds()) / float64(frames)}
	_, d.most = machine.Resident(in.proc.PID())
	return d, <-profiled
}

// profile takes profiles of the process, if they are asked for.
func (in *installation) profile() <-chan error {
	done := make(chan error, 1)
	if in.b.profile == "" {
		done <- nil
		return done
	}
	go func() {
		var err error
		for _, path := range [...]string{"profile?seconds=4", "heap", "allocs"} {
			var resp *http.Response
			for range 100 { // it is starting
				if resp, err = http.Get("http://" + in.admin + "/debug/pprof/" + path); err == nil {
					break
				}
				time.Sleep(samplePause)
			}
			if err != nil {
				break
			}
			var b []byte
			if b, err = io.ReadAll(resp.Body); err == nil {
				name, _, _ := strings.Cut(path, "?")
				err = os.WriteFile(filepath.Join(in.b.profile, filepath.Base(in.dir)+"."+name), b, 0o600)
			}
			_ = resp.Body.Close()
		}
		done <- err
	}()
	return done
}

// replay measures "outfall replay" of the whole range for the devices of one city: everything is folded and encoded, and a part is written.
func (b *bench) replay(ctx context.Context) (err error) {
	in, err := b.install("replay", "", stream.EOSPosition, nowhere, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.stop()) }()
	began := time.Now()
	frames, err := in.fillEmbedded(ctx, b.day, time.Now().Truncate(time.Minute))
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	say("%d frames journaled in %.0f s", frames, time.Since(began).Seconds())
	var out bytes.Buffer
	began = time.Now()
	before := machine.Children()
	if err := in.command(&out, "replay", "--region", region(3), "--out", filepath.Join(in.dir, "out")); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	b.report.replayed(frames, took, (machine.Children() - before).Seconds())
	return nil
}

// kafka measures the same on a real broker.
func (b *bench) kafka(ctx context.Context) (err error) {
	k, err := machine.StartKafka(filepath.Join(b.dir, "kafka"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Stop()) }()
	for _, eos := range eosModes {
		if err := b.alarm(ctx, "alarm-"+eos, k.Brokers, eos, nowhere, "ingest,stream", "Kafka, "+eos, 100); err != nil {
			return fmt.Errorf("%s: %w", eos, err)
		}
	}
	for _, eos := range eosModes {
		if err := b.kafkaDrain(ctx, k, eos); err != nil {
			return fmt.Errorf("%s: %w", eos, err)
		}
	}
	return nil
}

func (b *bench) kafkaDrain(ctx context.Context, k *machine.Kafka, eos string) (err error) {
	in, err := b.install("drain-"+eos, k.Brokers, eos, nowhere, "stream")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.stop()) }()
	frames, err := fill(ctx, in.cluster(), b.backlog, time.Now().Truncate(time.Minute))
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	d, err := in.drainAll(ctx, frames, k.PID)
	if err != nil {
		return err
	}
	b.report.drained("Kafka, "+eos, d, 0)
	return nil
}
