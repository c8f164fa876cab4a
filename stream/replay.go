package stream

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"outfall/internal/store"
	"outfall/telemetry"
)

// ReplayOptions say what to fold again. Nothing is ever written to the cluster.
type ReplayOptions struct {
	// From and To bound the entries whose outputs count, by receipt: [From, To). A zero From is the journal's beginning, a zero To
	// its end as it is when Replay begins. Not together with AsOf.
	From, To time.Time
	// AsOf, if not zero, asks for what was known then: of the journal before the first entry received at AsOf or later, by partition, the
	// newest value of every point, the newest event of every alarm and every finding whose own time lies in [EventFrom, EventTo). A zero
	// EventTo is without end. Not together with Compare and Rules.
	AsOf, EventFrom, EventTo time.Time
	// MNs and Region, if not empty, select devices: those of MNs, of them those whose region in the registry of the day begins with
	// Region. Everything is folded all the same; outputs of others do not count.
	MNs    []string
	Region string
	// Rules, if not nil, is the canonical JSON of a rule set that takes the place of those of the day: it comes into force before the
	// first entry of the range, and rules entries in the range change nothing.
	Rules []byte
	// KnownNow takes the marks that hold at the journal's end as known before the first data of their time, and those that do not as never
	// made, whenever they came. Not together with AsOf and Snapshots.
	KnownNow bool
	// Out is the directory for the results; it is created. Files of the same names are replaced.
	Out string
	// Snapshots, if not nil, holds snapshots from which to fold on. Without it each partition is folded from the journal's first entry,
	// which trusts nothing but the journal.
	Snapshots store.Store
	// Compare checks the results against what was published.
	Compare bool
	// Limit bounds the differences that the Comparison holds; all of them are written to DifferencesFile.
	Limit int
	// Group is the workers' group, for Compare: entries that it has not committed yet may lack their outputs and are left out. Empty,
	// or a group that never committed: everything must have been published.
	Group string
	// Progress, if not nil, is called about once a second and at the end with the records read and to be read, the journal's and with
	// Compare the outputs'.
	Progress func(done, total int64)
}

// DifferencesFile is the file of Out with every difference, one JSON object a line; it is written with Compare.
const DifferencesFile = "differences.jsonl"

// A ReplayFile is one file of results.
type ReplayFile struct {
	Name    string // points.lp, alarms.jsonl or findings.jsonl
	SHA256  string // 64 hex digits
	Records int64
	Bytes   int64
}

// A ReplayResult says what Replay found.
type ReplayResult struct {
	Files      []ReplayFile
	Entries    int64       // journal entries in the range
	Notes      []string    // what limits the result: a journal that does not reach back far enough
	Comparison *Comparison // nil without Compare
}

// replayFiles are the outputs that become files, in the order of the result.
var replayFiles = [...]struct {
	topic telemetry.Topic
	name  string
}{{telemetry.TopicPoints, "points.lp"}, {telemetry.TopicAlarms, "alarms.jsonl"}, {telemetry.TopicFindings, "findings.jsonl"}}

type replay struct {
	cluster    Cluster
	opts       ReplayOptions
	parts      string  // directory of the parts
	partitions []int32 // those that can hold selected devices
	survey     *survey
	total      int64
	done       atomic.Int64
	entries    atomic.Int64
}

// Replay folds a range of the journal again and writes points.lp, alarms.jsonl and findings.jsonl, one record a line (points: one or
// more), ordered by partition, journal offset and ordinal. The same range gives the same bytes, on any machine, as long as the journal
// or a snapshot reaches back to the beginning of what the range depends on; Notes say when it does not. Disk: Out takes the results
// twice while it runs; memory: one state for each CPU.
func Replay(ctx context.Context, cluster Cluster, opts ReplayOptions) (result ReplayResult, err error) {
	if err := os.MkdirAll(opts.Out, 0o755); err != nil {
		return result, fmt.Errorf("replay: %w", err)
	}
	parts, err := os.MkdirTemp(opts.Out, ".parts-")
	if err != nil {
		return result, fmt.Errorf("replay: %w", err)
	}
	defer func() {
		if err2 := os.RemoveAll(parts); err == nil && err2 != nil {
			err = fmt.Errorf("replay: %w", err2)
		}
	}()
	r := &replay{cluster: cluster, opts: opts, parts: parts, partitions: opts.partitions(cluster.Partitions())}
	if r.survey, err = lookAround(ctx, cluster, &opts); err != nil {
		return result, fmt.Errorf("replay: %w", err)
	}
	var comparisons []Comparison
	if result.Notes, comparisons, err = r.foldAll(ctx); err != nil {
		return result, fmt.Errorf("replay: %w", err)
	}
	result.Entries = r.entries.Load()
	for _, f := range replayFiles {
		file, err := r.assemble(f.topic, f.name)
		if err != nil {
			return result, fmt.Errorf("replay: write %s: %w", f.name, err)
		}
		result.Files = append(result.Files, file)
	}
	if opts.Compare {
		if result.Comparison, err = r.conclude(comparisons); err != nil {
			return result, fmt.Errorf("compare: %w", err)
		}
	}
	return result, nil
}

// readUntil is when reading the journal ends, zero: at its end. A range by receipt needs a little more, AsOf not a single entry.
func (o *ReplayOptions) readUntil() time.Time {
	switch {
	case !o.AsOf.IsZero():
		return o.AsOf
	case !o.To.IsZero():
		return o.To.Add(receiptJitter)
	}
	return time.Time{}
}

// foldFrom is when the first entry may have been received whose outputs count, zero: at any time. No output speaks of a time that is
// further ahead of the receipt of its entry than the fold's clock guard lets through, which is less than receiptJitter.
func (o *ReplayOptions) foldFrom() time.Time {
	if !o.AsOf.IsZero() && !o.EventFrom.IsZero() {
		return o.EventFrom.Add(-receiptJitter)
	}
	return o.From
}

// partitions are those that can hold a selected device, ascending.
func (o *ReplayOptions) partitions(n int32) (list []int32) {
	wanted := map[int32]bool{}
	for _, mn := range o.MNs {
		wanted[telemetry.PartitionOf(mn, n)] = true
	}
	for p := range n {
		if len(o.MNs) == 0 || wanted[p] {
			list = append(list, p)
		}
	}
	return list
}

// foldAll folds every partition into its parts, and compares it. It owns one goroutine for each CPU, and one for the progress.
func (r *replay) foldAll(ctx context.Context) (notes []string, comparisons []Comparison, err error) {
	starts := make([]startPoint, len(r.partitions))
	for i, p := range r.partitions {
		at, note, err := r.startOf(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		starts[i] = at
		if note != "" {
			notes = append(notes, note)
		}
		r.total += max(0, r.survey.end[p]-at.next)
		for _, o := range r.survey.outputs {
			r.total += max(0, o.end[p]-o.from[p])
		}
	}
	reporting, cancel := context.WithCancel(ctx)
	reported := make(chan struct{})
	go func() { defer close(reported); r.report(reporting) }()
	comparisons = make([]Comparison, len(r.partitions))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range r.partitions {
		g.Go(func() (err error) {
			selected, err := r.fold(gctx, p, starts[i])
			if err == nil && r.opts.Compare {
				comparisons[i], err = r.comparison(gctx, p, selected)
			}
			return err
		})
	}
	err = g.Wait()
	cancel()
	<-reported
	return notes, comparisons, err
}

func (r *replay) report(ctx context.Context) {
	if r.opts.Progress == nil {
		return
	}
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			r.opts.Progress(r.done.Load(), r.total)
			return
		case <-every.C:
			r.opts.Progress(r.done.Load(), r.total)
		}
	}
}

func (r *replay) within(received time.Time) bool {
	if !r.opts.AsOf.IsZero() {
		return true // what was read is what counts
	}
	return !received.Before(r.opts.From) && (r.opts.To.IsZero() || received.Before(r.opts.To))
}

// topics are those whose outputs are kept: the files', and all if they are to be compared.
func (r *replay) topics() []telemetry.Topic {
	if r.opts.Compare {
		return telemetry.OutputTopics()
	}
	var topics []telemetry.Topic
	for _, f := range replayFiles {
		topics = append(topics, f.topic)
	}
	return topics
}

// assemble joins the parts of a topic into a file.
func (r *replay) assemble(t telemetry.Topic, name string) (file ReplayFile, err error) {
	file.Name = name
	f, err := os.Create(filepath.Join(r.opts.Out, name))
	if err != nil {
		return file, err
	}
	defer func() {
		if err2 := f.Close(); err == nil {
			err = err2
		}
	}()
	sum := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<16)
	write := func(value []byte) error {
		if n := len(value); n > 0 && value[n-1] == '\n' {
			value = value[:n-1]
		}
		n, _ := w.Write(value)
		file.Records++
		file.Bytes += int64(n) + 1
		return w.WriteByte('\n') // the writer keeps its first error
	}
	for _, p := range r.partitions {
		if err := r.each(t, p, write); err != nil {
			return file, err
		}
	}
	if err := w.Flush(); err != nil {
		return file, err
	}
	file.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return file, nil
}

// each calls fn with the values of a part that belong into the file: all, or with AsOf the newest.
func (r *replay) each(t telemetry.Topic, partition int32, fn func(value []byte) error) (err error) {
	part, err := openPart(r.parts, t, partition)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.close()) }()
	if !r.opts.AsOf.IsZero() && t != telemetry.TopicFindings {
		return newestOf(part, r.parts, sortBytes, fn)
	}
	for ; part.more; part.advance() {
		if err := fn(part.head.Value); err != nil {
			return err
		}
	}
	return nil
}
