package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"outfall/telemetry"
)

// A Class is how an output relates to what was published.
type Class string

const (
	Missing Class = "missing" // replayed, but not published
	Extra   Class = "extra"   // published, but not replayed
	Changed Class = "changed" // both, with other content
)

// A Comparison is how the replayed outputs of a range relate to those published. It counts points line by line, and the other topics by
// record. Duplicates of a position, which readers drop, do not count.
type Comparison struct {
	Identical int64
	Missing   int64
	Extra     int64
	Changed   int64
	// Gone counts replayed outputs that cannot be compared: retention, or the compaction of status, may have removed them.
	Gone int64
	// Pending counts replayed outputs of entries that the workers have not committed yet.
	Pending int64
	First   []Difference // as many as ReplayOptions.Limit; all are in DifferencesFile
}

// Same reports whether nothing differs.
func (c *Comparison) Same() bool { return c.Missing+c.Extra+c.Changed == 0 }

// Differences is how many there are.
func (c *Comparison) Differences() int64 { return c.Missing + c.Extra + c.Changed }

func (c *Comparison) add(o *Comparison) {
	c.Identical += o.Identical
	c.Missing += o.Missing
	c.Extra += o.Extra
	c.Changed += o.Changed
	c.Gone += o.Gone
	c.Pending += o.Pending
}

// A Difference is one output, or one line of points, that is not the same in both. Field order is the form of DifferencesFile.
type Difference struct {
	Class     Class         `json:"class"`
	Topic     string        `json:"topic"`
	Partition int32         `json:"partition"`
	Source    int64         `json:"src"`      // journal offset of the entry that made it
	Received  time.Time     `json:"received"` // receipt of that entry
	MN        string        `json:"mn"`
	Key       string        `json:"key"` // what it is about
	Fields    []FieldChange `json:"fields,omitempty"`
	Published string        `json:"published,omitempty"` // as it stands in the topic
	Replayed  string        `json:"replayed,omitempty"`
	Inputs    *Inputs       `json:"inputs,omitempty"` // nil: looked up for the first maxTraced differences of a partition only
	about     about
}

// A FieldChange is one field of a changed output, both values as they are written; empty: the field is not there.
type FieldChange struct {
	Name      string `json:"field"`
	Published string `json:"published"`
	Replayed  string `json:"replayed"`
}

// Inputs are the journal offsets of the frames that an output rests on.
type Inputs struct {
	Counted    int     `json:"counted"`               // frames whose values went into the output
	Offsets    []int64 `json:"offsets"`               // of those, at most maxInputs
	NotCounted []int64 `json:"not_counted,omitempty"` // frames with values for the same time that did not, at most maxInputs
}

// Bounds of what a comparison says of each partition and each difference.
const (
	maxTraced = 1000
	maxInputs = 100
)

// String names the place and what differs on a few lines.
func (d *Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, journal partition %d offset %d: %s", d.Class, d.Topic, d.Partition, d.Source, d.Key)
	for _, f := range d.Fields {
		fmt.Fprintf(&b, "\n  %s: published %s, replayed %s", f.Name, orNothing(f.Published), orNothing(f.Replayed))
	}
	if len(d.Fields) == 0 {
		for _, side := range [...]struct{ name, value string }{{"published", d.Published}, {"replayed", d.Replayed}} {
			if side.value != "" {
				fmt.Fprintf(&b, "\n  %s: %.1000s", side.name, side.value)
			}
		}
	}
	if d.Inputs != nil && d.Inputs.Counted > 0 {
		offsets := strings.Trim(fmt.Sprint(d.Inputs.Offsets[:min(len(d.Inputs.Offsets), 10)]), "[]")
		if d.Inputs.Counted > 10 {
			offsets += " ..."
		}
		fmt.Fprintf(&b, "\n  inputs: %d frames, journal offsets %s", d.Inputs.Counted, offsets)
	}
	return b.String()
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// A comparer compares one partition.
type comparer struct {
	r         *replay
	partition int32
	selected  *selection
	horizon   int64 // entries from here on may lack their outputs
	found     func(*Difference) error
	count     Comparison
}

// comparePart reads the published outputs of the range beside the parts of a partition, entry by entry.
func (r *replay) comparePart(ctx context.Context, partition int32, selected *selection, found func(*Difference) error) (Comparison, error) {
	c := &comparer{r: r, partition: partition, selected: selected, found: found, horizon: r.survey.end[partition]}
	if published, ok := r.survey.published[partition]; ok {
		c.horizon = min(c.horizon, published)
	}
	// What people act on first.
	for _, t := range [...]telemetry.Topic{telemetry.TopicAlarms, telemetry.TopicFindings, telemetry.TopicPoints, telemetry.TopicStatus} {
		if err := c.topic(ctx, t); err != nil {
			return c.count, err
		}
	}
	return c.count, nil
}

// topic merges two lists that are ordered by position.
func (c *comparer) topic(ctx context.Context, t telemetry.Topic) (err error) {
	bounds := c.r.survey.outputs[t]
	start, end := bounds.from[c.partition], bounds.end[c.partition]
	part, err := openPart(c.r.parts, t, c.partition)
	if err != nil {
		return err
	}
	defer func() {
		if err2 := part.close(); err == nil {
			err = err2
		}
	}()
	// Compaction keeps the newest status of a device only.
	status := t == telemetry.TopicStatus
	var group []madeOutput
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		for part.more && part.head.Pos.Source < group[0].Pos.Source {
			if err := c.unpublished(takeGroup(part, group[0].Pos), status); err != nil {
				return err
			}
		}
		err := c.entry(group, takeGroup(part, telemetry.Position{Source: group[0].Pos.Source + 1}))
		group = group[:0]
		return err
	}
	// While trimmed, what lies before the first published output may have been published and removed since.
	trimmed := start > 0 && start == bounds.start[c.partition]
	err = readOutputs(ctx, c.r.cluster, t, c.partition, start, end, func(received time.Time, o *telemetry.Output) error {
		c.r.done.Add(1)
		for trimmed && part.more && o.Pos.After(part.head.Pos) {
			if err := c.unpublished(takeGroup(part, o.Pos), true); err != nil {
				return err
			}
		}
		trimmed = false
		if o.Pos.Source >= c.horizon {
			return errEnough
		}
		if !c.r.within(received) || !c.selected.has(o.MN, o.Pos.Source) {
			return nil
		}
		if len(group) > 0 && group[0].Pos.Source != o.Pos.Source {
			if err := flush(); err != nil {
				return err
			}
		}
		group = append(group, madeOutput{*o, received})
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil {
		err = flush()
	}
	for err == nil && part.more {
		err = c.unpublished(takeGroup(part, telemetry.Position{Source: part.head.Pos.Source + 1}), trimmed || status)
	}
	return err
}

// errEnough ends a reading that has seen all that it wants.
var errEnough = errors.New("enough")

// takeGroup takes the outputs of the next entry as far as they lie before a position.
func takeGroup(part *partReader, before telemetry.Position) (group []madeOutput) {
	for part.more && before.After(part.head.Pos) && (len(group) == 0 || group[0].Pos.Source == part.head.Pos.Source) {
		group = append(group, part.head)
		part.advance()
	}
	return group
}

// unpublished takes replayed outputs of one entry that the topic does not hold.
func (c *comparer) unpublished(replayed []madeOutput, gone bool) error {
	switch n := countItems(replayed); {
	case len(replayed) == 0:
	case replayed[0].Pos.Source >= c.horizon:
		c.count.Pending += n
	case gone:
		c.count.Gone += n
	default:
		return c.entry(nil, replayed)
	}
	return nil
}

func countItems(outputs []madeOutput) (n int64) {
	for i := range outputs {
		n += itemCount(&outputs[i].Output)
	}
	return n
}

// entry compares what one entry made, published and replayed. Either may be empty, not both.
func (c *comparer) entry(published, replayed []madeOutput) error {
	if len(published) > 0 && len(replayed) > 0 && replayed[0].Pos.Source >= c.horizon {
		c.count.Pending += countItems(replayed)
		return nil
	}
	same := func(a, b madeOutput) bool { return a.Pos == b.Pos && a.MN == b.MN && bytes.Equal(a.Value, b.Value) }
	if slices.EqualFunc(published, replayed, same) {
		c.count.Identical += countItems(replayed)
		return nil
	}
	before := c.count.Differences()
	if err := c.align(published, replayed); err != nil {
		return err
	}
	if c.count.Differences() > before || c.r.opts.Rules != nil {
		return nil
	}
	// The same lines in other records, or in another order.
	d := c.difference(Changed, &published[0], &item{topic: published[0].Topic, mn: published[0].MN, key: "records of the entry"})
	d.Fields = []FieldChange{{"order of records", places(published), places(replayed)}}
	c.count.Changed++
	c.count.Identical--
	return c.found(d)
}

// places lists the ordinals and devices of records.
func places(outputs []madeOutput) string {
	var list []string
	for i := range outputs {
		list = append(list, fmt.Sprintf("%d:%s (%d)", outputs[i].Pos.Ordinal, outputs[i].MN, itemCount(&outputs[i].Output)))
	}
	return strings.Join(list, " ")
}

// align finds for each published item the replayed one that is about the same.
func (c *comparer) align(published, replayed []madeOutput) error {
	var at *madeOutput // one of them, for their entry
	plain := func(made []madeOutput) (outputs []telemetry.Output) {
		for i := range made {
			outputs, at = append(outputs, made[i].Output), &made[i]
		}
		return outputs
	}
	was, is := itemsOf(plain(published)), itemsOf(plain(replayed))
	counterpart := make(map[string]*item, len(is))
	for i := range is {
		counterpart[is[i].key] = &is[i]
	}
	for i := range was {
		other := counterpart[was[i].key]
		delete(counterpart, was[i].key)
		if err := c.pair(at, &was[i], other); err != nil {
			return err
		}
	}
	for i := range is {
		if counterpart[is[i].key] != nil {
			if err := c.pair(at, nil, &is[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// pair takes the two sides of one item; nil: it is not there.
func (c *comparer) pair(at *madeOutput, was, is *item) error {
	switch {
	case was == nil && is.topic == telemetry.TopicStatus:
		c.count.Gone++ // compacted away
		return nil
	case was == nil:
		c.count.Missing++
		d := c.difference(Missing, at, is)
		d.Replayed = string(is.value)
		return c.found(d)
	case is == nil:
		c.count.Extra++
		d := c.difference(Extra, at, was)
		d.Published = string(was.value)
		return c.found(d)
	case bytes.Equal(was.value, is.value):
		c.count.Identical++
		return nil
	}
	fields := changedFields(was, is, c.r.opts.Rules != nil)
	if len(fields) == 0 {
		c.count.Identical++
		return nil
	}
	c.count.Changed++
	d := c.difference(Changed, at, is)
	d.Fields, d.Published, d.Replayed = fields, string(was.value), string(is.value)
	return c.found(d)
}

func (c *comparer) difference(class Class, at *madeOutput, it *item) *Difference {
	return &Difference{Class: class, Topic: it.topic.String(), Partition: c.partition, Source: at.Pos.Source, Received: at.received, MN: it.mn, Key: it.key,
		about: it.about}
}
