package stream

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"outfall/telemetry"
)

// A Comparison is how the replayed outputs of a range relate to those published. Duplicates of a position, which readers drop, do
// not count.
type Comparison struct {
	Equal   int64
	Missing int64 // replayed, but not published
	Extra   int64 // published, but not replayed
	Changed int64 // the same position with another key or value
	// Gone counts replayed outputs that cannot be compared: retention, or the compaction of status, may have removed them.
	Gone int64
	// Pending counts replayed outputs of entries that the workers have not committed yet.
	Pending int64
	First   *Difference // nil if there is none
}

// Same reports whether nothing differs.
func (c *Comparison) Same() bool { return c.Missing+c.Extra+c.Changed == 0 }

// A Difference is one output that is not the same in both.
type Difference struct {
	Topic     telemetry.Topic
	Partition int32
	Pos       telemetry.Position
	Published *telemetry.Output // nil: missing
	Replayed  *telemetry.Output // nil: extra
}

// String names the place and both sides on three lines.
func (d *Difference) String() string {
	side := func(o *telemetry.Output) string {
		if o == nil {
			return "nothing"
		}
		return fmt.Sprintf("%s %.1000s", o.MN, o.Value)
	}
	return fmt.Sprintf("%s partition %d, journal offset %d, output %d:\n  published: %s\n  replayed:  %s",
		d.Topic, d.Partition, d.Pos.Source, d.Pos.Ordinal, side(d.Published), side(d.Replayed))
}

// compare reads the published outputs of the range beside the parts.
func (r *replay) compare(ctx context.Context) (*Comparison, error) {
	c := &Comparison{}
	for _, t := range telemetry.OutputTopics() {
		for p := range r.cluster.Partitions() {
			if err := r.comparePart(ctx, c, t, p); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// comparePart merges two lists that are ordered by position.
func (r *replay) comparePart(ctx context.Context, c *Comparison, t telemetry.Topic, partition int32) (err error) {
	horizon, ok := r.survey.published[partition]
	if !ok {
		horizon = r.survey.end[partition]
	}
	horizon = min(horizon, r.survey.end[partition])
	bounds := r.survey.outputs[t]
	start, end := bounds.start[partition], bounds.end[partition]

	part, err := openPart(r.parts, t, partition)
	if err != nil {
		return err
	}
	defer func() {
		if err2 := part.close(); err == nil {
			err = err2
		}
	}()
	// While trimmed, what lies before the first published output may have been published and removed since.
	trimmed := start > 0
	have, more := part.next()
	missing := func() {
		switch {
		case have.Pos.Source >= horizon:
			c.Pending++
		case trimmed || t == telemetry.TopicStatus:
			c.Gone++
		default:
			c.Missing++
			c.note(partition, nil, &have)
		}
		have, more = part.next()
	}
	err = readOutputs(ctx, r.cluster, t, partition, start, end, func(received time.Time, o *telemetry.Output) error {
		for more && o.Pos.After(have.Pos) {
			missing()
		}
		trimmed = false
		switch {
		case o.Pos.Source >= horizon || !r.within(received):
		case !more || have.Pos != o.Pos:
			c.Extra++
			c.note(partition, o, nil)
		case have.MN == o.MN && bytes.Equal(have.Value, o.Value):
			c.Equal++
			have, more = part.next()
		default:
			c.Changed++
			replayed := have
			c.note(partition, o, &replayed)
			have, more = part.next()
		}
		return nil
	})
	for err == nil && more {
		missing()
	}
	return err
}

// note keeps the first difference.
func (c *Comparison) note(partition int32, published, replayed *telemetry.Output) {
	if c.First != nil {
		return
	}
	o := published
	if o == nil {
		o = replayed
	}
	d := &Difference{Topic: o.Topic, Partition: partition, Pos: o.Pos}
	if published != nil {
		copied := *published
		d.Published = &copied
	}
	if replayed != nil {
		copied := *replayed
		d.Replayed = &copied
	}
	c.First = d
}
