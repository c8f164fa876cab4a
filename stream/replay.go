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
	"outfall/stream/fold"
	"outfall/telemetry"
)

// ReplayOptions say what to fold again.
type ReplayOptions struct {
	// From and To bound the entries whose outputs count, by receipt: [From, To). A zero From is the journal's beginning, a zero To
	// its end as it is when Replay begins.
	From, To time.Time
	// Out is the directory for the results; it is created. Files of the same names are replaced.
	Out string
	// Snapshots, if not nil, holds snapshots from which to fold on. Without it each partition is folded from the journal's first entry,
	// which trusts nothing but the journal.
	Snapshots store.Store
	// Compare checks the results against what was published.
	Compare bool
	// Group is the workers' group, for Compare: entries that it has not committed yet may lack their outputs and are left out. Empty,
	// or a group that never committed: everything must have been published.
	Group string
	// Progress, if not nil, is called about once a second and at the end with the journal entries read and to be read.
	Progress func(done, total int64)
}

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
	cluster Cluster
	opts    ReplayOptions
	parts   string // directory of the parts
	survey  *survey
	total   int64
	done    atomic.Int64
	entries atomic.Int64
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
	r := &replay{cluster: cluster, opts: opts, parts: parts}
	if r.survey, err = lookAround(ctx, cluster, opts.From, opts.Compare, opts.Group); err != nil {
		return result, fmt.Errorf("replay: %w", err)
	}
	if result.Notes, err = r.foldAll(ctx); err != nil {
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
		if result.Comparison, err = r.compare(ctx); err != nil {
			return result, fmt.Errorf("compare: %w", err)
		}
	}
	return result, nil
}

// foldAll folds every partition into its parts. It owns one goroutine for each CPU, and one for the progress.
func (r *replay) foldAll(ctx context.Context) ([]string, error) {
	n := r.cluster.Partitions()
	starts := make([]startPoint, n)
	var notes []string
	for p := range n {
		at, note, err := r.startOf(ctx, p)
		if err != nil {
			return nil, err
		}
		starts[p] = at
		if note != "" {
			notes = append(notes, note)
		}
		r.total += max(0, r.survey.end[p]-at.next)
	}
	reporting, cancel := context.WithCancel(ctx)
	reported := make(chan struct{})
	go func() { defer close(reported); r.report(reporting) }()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for p := range n {
		g.Go(func() error { return r.fold(gctx, p, starts[p]) })
	}
	err := g.Wait()
	cancel()
	<-reported
	return notes, err
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

// A startPoint is where the fold of a partition begins: before the journal offset next, with the state of a snapshot or, body nil, a
// new one.
type startPoint struct {
	next int64
	body []byte
}

// startOf finds the newest snapshot that lies before the range; else the journal's first entry.
func (r *replay) startOf(ctx context.Context, partition int32) (at startPoint, note string, err error) {
	start, first := r.survey.start[partition], r.survey.first[partition]
	if r.opts.Snapshots != nil {
		snap, err := SnapshotBefore(ctx, r.opts.Snapshots, partition, first)
		if err != nil {
			return at, "", err
		}
		if snap != nil && snap.Next >= start {
			return startPoint{snap.Next, snap.Body}, "", nil
		}
	}
	if start > 0 {
		note = fmt.Sprintf("partition %d: the journal begins at offset %d; what came before is unknown, so results may differ from those published", partition, start)
	}
	return startPoint{next: start}, note, nil
}

// fold writes the outputs of one partition's entries in the range into its parts.
func (r *replay) fold(ctx context.Context, partition int32, at startPoint) (err error) {
	st := fold.New(partition)
	if at.body != nil {
		if st, err = fold.Read(at.body); err != nil {
			return err
		}
	}
	w, err := createParts(r.parts, partition, r.topics())
	if err != nil {
		return err
	}
	within := false // the entry at hand is in the range
	emit := func(o telemetry.Output) {
		if within {
			w.write(&o)
		}
	}
	err = readEntries(ctx, r.cluster, partition, at.next, r.survey.end[partition], func(e *telemetry.Entry) error {
		within = r.within(e.Received)
		if within {
			r.entries.Add(1)
		}
		st.Apply(e, emit)
		r.done.Add(1)
		return w.err
	})
	return errors.Join(err, w.close())
}

func (r *replay) within(received time.Time) bool {
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
	for p := range r.cluster.Partitions() {
		part, err := openPart(r.parts, t, p)
		if err != nil {
			return file, err
		}
		for o, ok := part.next(); ok; o, ok = part.next() {
			value := o.Value
			if n := len(value); n > 0 && value[n-1] == '\n' {
				value = value[:n-1]
			}
			n, _ := w.Write(value) // the writer keeps its first error for Flush
			_ = w.WriteByte('\n')
			file.Records++
			file.Bytes += int64(n) + 1
		}
		if err := part.close(); err != nil {
			return file, err
		}
	}
	if err := w.Flush(); err != nil {
		return file, err
	}
	file.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return file, nil
}
