package stream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"outfall/telemetry"
)

// comparison compares one partition and writes its differences into two parts: those whose inputs are looked up, and what is beyond.
func (r *replay) comparison(ctx context.Context, partition int32, selected *selection) (c Comparison, err error) {
	rest, err := os.Create(r.differencesPath(partition, 1))
	if err != nil {
		return c, err
	}
	w := bufio.NewWriterSize(rest, 1<<16)
	var traced []Difference
	c, err = r.comparePart(ctx, partition, selected, func(d *Difference) error {
		if len(traced) < maxTraced {
			traced = append(traced, *d)
			return nil
		}
		return writeDifference(w, d)
	})
	if err = errors.Join(err, w.Flush(), rest.Close()); err != nil || len(traced) == 0 {
		return c, err
	}
	if err := r.addInputs(ctx, partition, traced); err != nil {
		return c, err
	}
	c.First = traced[:min(len(traced), r.opts.Limit)]
	f, err := os.Create(r.differencesPath(partition, 0))
	if err != nil {
		return c, err
	}
	w.Reset(f)
	for i := range traced {
		err = errors.Join(err, writeDifference(w, &traced[i]))
	}
	return c, errors.Join(err, w.Flush(), f.Close())
}

func (r *replay) differencesPath(partition int32, part int) string {
	return filepath.Join(r.parts, fmt.Sprintf("differences-%05d-%d", partition, part))
}

func writeDifference(w io.Writer, d *Difference) error {
	_, err := w.Write(append(telemetry.AppendJSON(nil, d), '\n'))
	return err
}

// addInputs folds the partition once more, as far as the devices that have differences go, and follows what their frames bring.
func (r *replay) addInputs(ctx context.Context, partition int32, differences []Difference) error {
	tr := &tracer{}
	targets := make([]*target, len(differences))
	earliest := differences[0].Received
	for i := range differences {
		d := &differences[i]
		targets[i] = newTarget(d.MN, d.about, d.Source)
		tr.follow(targets[i])
		if at := targets[i].earliest(d.Received); at.Before(earliest) {
			earliest = at
		}
	}
	if err := tr.run(ctx, r.cluster, partition, r.opts.Snapshots, earliest); err != nil {
		return fmt.Errorf("look up the inputs of differences: %w", err)
	}
	for i, t := range targets {
		in := &Inputs{Offsets: []int64{}}
		seen := map[int64]bool{}
		for _, use := range t.result() {
			switch {
			case seen[use.Offset]:
			case use.Counted:
				in.Counted++
				if len(in.Offsets) < maxInputs {
					in.Offsets = append(in.Offsets, use.Offset)
				}
			case len(in.NotCounted) < maxInputs:
				in.NotCounted = append(in.NotCounted, use.Offset)
			}
			seen[use.Offset] = true
		}
		differences[i].Inputs = in
	}
	return nil
}

// conclude adds the partitions' comparisons up and joins their differences into one file.
func (r *replay) conclude(comparisons []Comparison) (sum *Comparison, err error) {
	out, err := os.Create(filepath.Join(r.opts.Out, DifferencesFile))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum = &Comparison{}
	for i, p := range r.partitions {
		sum.add(&comparisons[i])
		sum.First = append(sum.First, comparisons[i].First[:min(len(comparisons[i].First), r.opts.Limit-len(sum.First))]...)
		for part := range 2 {
			f, err := os.Open(r.differencesPath(p, part))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			_, err = io.Copy(out, f)
			if err = errors.Join(err, f.Close()); err != nil {
				return nil, err
			}
		}
	}
	return sum, nil
}
