package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/bench/machine"
)

// figures are what one round of one contestant gave.
type figures struct {
	Rate      float64 // frames/s while 30 % to 90 % of the minute means came out
	WholeRate float64 // frames/s from the start of the process to 90 %
	CPU       float64 // µs a frame, the whole drain, start-up included
	BrokerCPU float64 // µs a frame that the broker used meanwhile
	RSS       float64 // MiB at the drain's end
	RSSEnd    float64 // MiB at the end of all

	P50, P90, P99, Max float64 // ms from due to result

	Kept, KeptCaughtUp   float64 // s from the start after kill -9, state kept, to the first new result and to results less than a second old
	Wiped, WipedCaughtUp float64

	Missing, Duplicate, Wrong, Revised int // results, over all parts
	Load                               float64
	Bad                                string // the first wrong result
}

// Bounds of waiting, and the lengths of the parts under load.
const (
	drainTimeout   = 10 * time.Minute
	recoverTimeout = 4 * time.Minute
	restTimeout    = time.Minute
	warmUp         = 6 * time.Second
	measured       = 15 * time.Second
	betweenKills   = 3 * time.Second
	young          = time.Second // age of results of a contestant that has caught up
)

// A round is one contestant at work.
type round struct {
	*bench
	c      *contestant
	prefix string
	dir    string // of its state
	topics topics
	feeder *feeder
	base   time.Time
	ledger *ledger
	proc   *machine.Process
	args   []string
	out    figures
}

// one measures one contestant once.
func (b *bench) one(ctx context.Context, c *contestant, prefix string) (_ *figures, err error) {
	r := &round{bench: b, c: c, prefix: prefix, dir: filepath.Join(b.dir, prefix+"state")}
	// Whole hours, and so far back that the minute records of maxTurns are not ahead of their receipt.
	r.base = time.Now().Add(-(loadAfter + maxTurns) * time.Minute).Truncate(time.Hour)
	r.ledger = newLedger(r.base, b.devices, c.ours)
	if r.topics, err = b.makeTopics(ctx, c, prefix); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.dropTopics(context.WithoutCancel(ctx), prefix), os.RemoveAll(r.dir)) }()
	if r.feeder, err = newFeeder(b.brokers, r.topics.input, b.devices); err != nil {
		return nil, err
	}
	defer r.feeder.client.Close()
	if c.ours {
		r.feeder.registry(r.base)
	}
	r.feeder.backlog(r.base, c.ours)
	if err := r.feeder.flush(ctx); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, err
	}
	r.args = c.command(b, prefix, r.dir)
	defer func() {
		if r.proc != nil {
			r.proc.Kill()
		}
	}()
	if err := r.drain(ctx); err != nil {
		return nil, fmt.Errorf("drain: %w", err)
	}
	r.say("%.0f frames/s, %.0f from the start, %.1f µs CPU, broker %.1f µs, %.0f MiB", r.out.Rate, r.out.WholeRate, r.out.CPU, r.out.BrokerCPU, r.out.RSS)
	if err := r.underLoad(ctx); err != nil {
		return nil, fmt.Errorf("under load: %w", err)
	}
	r.say("missing %d, twice %d, wrong %d, corrected %d %s", r.out.Missing, r.out.Duplicate, r.out.Wrong, r.out.Revised, r.out.Bad)
	r.out.Load = machine.Load()
	return &r.out, nil
}

// say tells what a part gave while the rest goes on.
func (r *round) say(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "%s %-22s %s\n", time.Now().Format(time.TimeOnly), r.prefix, fmt.Sprintf(format, a...))
}

func (r *round) startContestant() (err error) {
	r.proc, err = r.start(r.args, filepath.Join(r.bench.dir, r.prefix+"log"))
	return err
}

// drain measures how fast the backlog goes.
func (r *round) drain(ctx context.Context) error {
	ends, err := r.admin.ListEndOffsets(ctx, r.topics.input)
	if err != nil {
		return err
	}
	brokerBefore := machine.CPU(r.pid)
	if err := r.startContestant(); err != nil {
		return err
	}
	deadline := time.Now().Add(drainTimeout)
	for {
		if err := r.proc.Alive(); err != nil {
			return err
		}
		taken, err := r.admin.FetchOffsets(ctx, r.c.group(r.prefix))
		done := err == nil
		for p := range int32(partitions) {
			end, _ := ends.Lookup(r.topics.input, p)
			at, ok := taken.Lookup(r.topics.input, p)
			done = done && ok && at.At >= end.Offset
		}
		if done {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not done in %v", drainTimeout)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	frames := float64(backlogFrames * r.devices)
	r.out.CPU = float64(machine.CPU(r.proc.PID()).Microseconds()) / frames
	r.out.BrokerCPU = float64((machine.CPU(r.pid) - brokerBefore).Microseconds()) / frames
	r.out.RSS, _ = machine.Resident(r.proc.PID())
	// Kafka Streams publishes closed windows at most once a second, and only while frames come.
	if err := sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	r.feeder.last(r.base)
	if err := errors.Join(r.feeder.flush(ctx), sleep(ctx, 3*time.Second)); err != nil {
		return err
	}
	stamps, err := r.readDrained(ctx)
	if err != nil {
		return err
	}
	r.count(minuteMean, minutesOut-minutesFrom)
	r.count(hourMean, 1)
	if len(stamps) == 0 {
		return errors.New("no result")
	}
	slices.Sort(stamps)
	from, to := len(stamps)*3/10, len(stamps)*9/10
	took := time.Duration(stamps[to] - stamps[from]).Seconds()
	r.out.Rate = float64((to-from)*samples) / took
	r.out.WholeRate = float64(to*samples) / time.Unix(0, stamps[to]).Sub(r.proc.Began).Seconds()
	return nil
}

// readDrained reads what is in the output topic, and returns when each whole minute mean of a device was appended, in ns.
func (r *round) readDrained(ctx context.Context) ([]int64, error) {
	ends, err := r.admin.ListCommittedOffsets(ctx, r.topics.output)
	if err != nil {
		return nil, err
	}
	cl, err := r.consumer(kgo.NewOffset().AtStart())
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	left := map[int32]int64{}
	for p := range int32(partitions) {
		if end, _ := ends.Lookup(r.topics.output, p); end.Offset > 0 {
			left[p] = end.Offset
		}
	}
	var stamps []int64
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return nil, err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			rec := it.Next()
			if rec.Offset+1 >= left[rec.Partition] {
				delete(left, rec.Partition)
			}
			if rec.Attrs.IsControl() {
				continue
			}
			if err := r.parse(rec, func(x *result) {
				if r.ledger.add(x) && x.window == minuteMean {
					stamps = append(stamps, rec.Timestamp.UnixNano())
				}
			}); err != nil {
				return nil, err
			}
		}
	}
	return stamps, nil
}

func (r *round) parse(rec *kgo.Record, each func(*result)) error {
	if r.c.ours {
		return parseOurs(rec.Key, rec.Value, each)
	}
	return parsePeer(rec.Key, rec.Value, each)
}

// consumer reads the results as one who wants committed ones only. Control records come too, so that the end can be told.
func (r *round) consumer(at kgo.Offset) (*kgo.Client, error) {
	from := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		from[p] = at
	}
	return kgo.NewClient(kgo.SeedBrokers(r.brokers), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topics.output: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second))
}

// count adds the books of the first n windows of a kind to the figures.
func (r *round) count(w window, n int) {
	l := r.ledger
	r.out.Missing += l.missing(w, n)
	r.out.Duplicate += l.duplicate[w]
	r.out.Wrong += l.wrong[w]
	r.out.Revised += l.revisions[w]
	r.out.Bad = l.firstBad
	l.duplicate[w], l.wrong[w], l.revisions[w] = 0, 0, 0
}
