package stream

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"outfall/internal/store"
	"outfall/telemetry"
)

// TraceOptions name one published output: an event of an alarm, or a point.
type TraceOptions struct {
	Alarm string               // id; empty: a point is meant
	Event telemetry.AlarmState // which of the alarm's events, the last of its kind; empty: the first that is kept

	MN     string // of the point
	Factor string
	Stat   telemetry.Statistic
	Time   time.Time // of the point: the window's start, for a rolling mean its end
	Rev    int       // revision of a mean; below 0: the newest

	// Snapshots, if not nil, holds snapshots to fold on from; see ReplayOptions.
	Snapshots store.Store
}

// A Trace is the way from a published output back to the frames.
type Trace struct {
	Topic      string    `json:"topic"`
	Partition  int32     `json:"partition"`
	Source     int64     `json:"src"` // journal offset of the entry that made the output
	Ordinal    int32     `json:"ord"`
	EntryKind  string    `json:"entry"` // kind of that entry
	Received   time.Time `json:"received"`
	MN         string    `json:"mn"`
	Published  string    `json:"published"`        // the record, or the line of it
	Reproduced bool      `json:"reproduced"`       // folding the journal again gives the same bytes
	Events     []string  `json:"events,omitempty"` // of an alarm: all that are kept, as STATE src/ord
	Windows    []Traced  `json:"windows"`
	Notes      []string  `json:"notes,omitempty"` // what limits the trace
}

// A Traced is one window of a trace with everything that frames carried for it.
type Traced struct {
	Factor    string              `json:"factor"`
	Statistic telemetry.Statistic `json:"statistic"`
	Start     time.Time           `json:"start"` // UTC, [Start, End); equal for an instant
	End       time.Time           `json:"end"`
	Published string              `json:"published"` // the mean as published; of an instant its value
	Computed  string              `json:"computed"`  // the same from the frames below that counted; empty: none did
	Minutes   int                 `json:"minutes"`   // minute values in it
	Explained bool                `json:"explained"` // both are equal, and so are all minutes that were made of real-time values
	Frames    []*Use              `json:"frames"`
}

// ErrNotPublished is an alarm or point that its topic does not hold, never did or does not any more.
var ErrNotPublished = errors.New("nothing published matches")

// published is an output as its topic holds it.
type published struct {
	madeOutput
	partition int32
	line      string // of points: the one that is meant
}

// TraceOutput walks back from a published output to the frames that it rests on, by folding its device again. It writes nothing to the
// cluster.
func TraceOutput(ctx context.Context, cluster Cluster, opts TraceOptions) (*Trace, error) {
	find := findPoint
	if opts.Alarm != "" {
		find = findAlarm
	}
	out, events, err := find(ctx, cluster, &opts)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	t := &Trace{Topic: out.Topic.String(), Partition: out.partition, Source: out.Pos.Source, Ordinal: out.Pos.Ordinal, Received: out.received, MN: out.MN,
		Published: out.line, Events: events, Windows: []Traced{}}
	windows := []judgedWindow{}
	if opts.Alarm != "" {
		windows, err = t.windowsOfAlarm(ctx, cluster, &opts, out)
	} else if p, ok := parsePoint(out.line); ok {
		windows = append(windows, judgedWindow{p.about(), p.field("avg") + p.field("value")})
	}
	if err == nil {
		err = t.followWindows(ctx, cluster, &opts, out, windows)
	}
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return t, nil
}

// findAlarm finds the event of an alarm that is meant.
func findAlarm(ctx context.Context, cluster Cluster, opts *TraceOptions) (found *published, events []string, err error) {
	mark := []byte(`"id":"` + opts.Alarm + `"`)
	err = eachPublished(ctx, cluster, telemetry.TopicAlarms, nil, time.Time{}, func(p published) {
		if !bytes.Contains(p.Value, mark) {
			return
		}
		fields := jsonFields(p.Value)
		if valueOf(fields, "id") != opts.Alarm {
			return
		}
		state := telemetry.AlarmState(valueOf(fields, "state"))
		events = append(events, fmt.Sprintf("%s %d/%d", state, p.Pos.Source, p.Pos.Ordinal))
		if opts.Event == "" && found == nil || opts.Event == state {
			p.line = string(p.Value)
			found = &p
		}
	})
	if err == nil && found == nil {
		err = fmt.Errorf("alarm %s: %w", strings.TrimSpace(opts.Alarm+" "+string(opts.Event)), ErrNotPublished)
	}
	return found, events, err
}

// findPoint finds the newest publication of a point, or the revision that is asked for.
func findPoint(ctx context.Context, cluster Cluster, opts *TraceOptions) (found *published, _ []string, err error) {
	partition := telemetry.PartitionOf(opts.MN, cluster.Partitions())
	mark := "factor=" + opts.Factor + ","
	err = eachPublished(ctx, cluster, telemetry.TopicPoints, []int32{partition}, opts.Time.Add(-receiptJitter), func(p published) {
		if p.MN != opts.MN {
			return
		}
		for line := range strings.Lines(string(p.Value)) {
			line = strings.TrimSuffix(line, "\n")
			if !strings.Contains(line, mark) || !opts.names(line) {
				continue
			}
			p.line = line
			found = &p
		}
	})
	if err == nil && found == nil {
		err = fmt.Errorf("%s %s %s of %s: %w", opts.MN, opts.Factor, opts.Stat, opts.Time.In(telemetry.China).Format("2006-01-02 15:04:05"), ErrNotPublished)
	}
	return found, nil, err
}

// names reports whether a line is the point that is meant.
func (o *TraceOptions) names(line string) bool {
	p, ok := parsePoint(line)
	if !ok || p.tag("factor") != o.Factor || p.tag("mn") != o.MN || p.nano != o.Time.UnixNano() {
		return false
	}
	if o.Stat == telemetry.StatInstant {
		return p.measurement == "instant"
	}
	return p.measurement == "mean" && p.tag("stat") == string(o.Stat) && (o.Rev < 0 || p.field("rev") == fmt.Sprint(o.Rev))
}

// eachPublished calls fn with the outputs of a topic, of partitions (nil: all), whose entries were received at from or later.
func eachPublished(ctx context.Context, cluster Cluster, t telemetry.Topic, partitions []int32, from time.Time, fn func(published)) error {
	start, end, err := cluster.Bounds(ctx, t)
	if err == nil && !from.IsZero() {
		start, err = cluster.OffsetsSince(ctx, t, from)
	}
	if err != nil {
		return err
	}
	for p := range cluster.Partitions() {
		if partitions != nil && !slices.Contains(partitions, p) {
			continue
		}
		err := readOutputs(ctx, cluster, t, p, start[p], end[p], func(received time.Time, o *telemetry.Output) error {
			fn(published{madeOutput{*o, received}, p, ""})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// A judgedWindow is a window and its value as it was published.
type judgedWindow struct {
	about
	value string
}

// alarmHistory bounds how far before an alarm's window the windows that led to it are remembered.
const alarmHistory = 31 * 24 * time.Hour

// windowsOfAlarm folds the device up to the event and finds the windows that led to it: as many as the rule asks for, and the one that
// the event shows.
func (t *Trace) windowsOfAlarm(ctx context.Context, cluster Cluster, opts *TraceOptions, out *published) ([]judgedWindow, error) {
	shown := recordItem(&out.Output)
	fields := shown.fields
	windows := map[int64]judgedWindow{shown.about.end: {shown.about, valueOf(fields, "value")}} // by their end: rolling ones may begin together
	latest := int64(0)                                                                          // end of the newest window that the event's own entry published
	tr := &tracer{}
	tr.follow(newTarget(out.MN, about{}, out.Pos.Source))
	tr.onOutput = func(e *telemetry.Entry, o *telemetry.Output) {
		if o.Topic != telemetry.TopicPoints {
			return
		}
		for line := range strings.Lines(string(o.Value)) {
			p, ok := parsePoint(strings.TrimSuffix(line, "\n"))
			if !ok || p.measurement != "mean" && p.measurement != "instant" || p.tag("factor") != shown.about.factor || p.field("valid") == "false" {
				continue
			}
			if a := p.about(); a.stat == shown.about.stat && a.start >= shown.about.start-alarmHistory.Milliseconds() {
				if a.stat == telemetry.StatMinute {
					a.end = a.start + shown.about.end - shown.about.start
				}
				windows[a.end] = judgedWindow{a, p.field("avg") + p.field("value")}
				if e.Offset == out.Pos.Source {
					latest = max(latest, a.end)
				}
			}
		}
	}
	earliest := time.UnixMilli(shown.about.start).Add(-alarmHistory)
	if err := tr.run(ctx, cluster, out.partition, opts.Snapshots, earliest); err != nil {
		return nil, err
	}
	need, until := 1, shown.about.end
	if rule := tr.st.Rule(valueOf(fields, "rule")); rule != nil {
		switch telemetry.AlarmState(valueOf(fields, "state")) {
		case telemetry.AlarmRaised:
			need = rule.RaiseAfter
		case telemetry.AlarmCleared:
			need, until = rule.ClearAfter, latest
		}
	}
	list := slices.SortedFunc(maps.Values(windows), func(a, b judgedWindow) int { return cmp.Compare(a.end, b.end) })
	list = slices.DeleteFunc(list, func(w judgedWindow) bool { return w.end > max(until, shown.about.end) })
	kept := list[max(0, len(list)-need):]
	if !slices.ContainsFunc(kept, func(w judgedWindow) bool { return w.end == shown.about.end }) {
		kept = append([]judgedWindow{windows[shown.about.end]}, kept...)
	}
	return kept, nil
}

// followWindows folds the device up to the output's entry and lists what its frames carried for the windows.
func (t *Trace) followWindows(ctx context.Context, cluster Cluster, opts *TraceOptions, out *published, windows []judgedWindow) error {
	tr := &tracer{}
	targets := make([]*target, len(windows))
	earliest := out.received
	for i, w := range windows {
		targets[i] = newTarget(out.MN, w.about, out.Pos.Source)
		tr.follow(targets[i])
		if out.Topic == telemetry.TopicAlarms && valueOf(jsonFields(out.Value), "state") == string(telemetry.AlarmWithdrawn) {
			targets[i].source-- // what the alarm stood on, before the mark
		}
		if at := targets[i].earliest(out.received); at.Before(earliest) {
			earliest = at
		}
	}
	tr.onOutput = func(e *telemetry.Entry, o *telemetry.Output) {
		if e.Offset != out.Pos.Source {
			return
		}
		t.EntryKind = e.Kind.String()
		if o.Topic == out.Topic && o.MN == out.MN {
			t.Reproduced = t.Reproduced || slices.Contains(strings.Split(string(o.Value), "\n"), out.line)
		}
	}
	if err := tr.run(ctx, cluster, out.partition, opts.Snapshots, earliest); err != nil {
		return err
	}
	t.Notes = tr.notes
	for i, w := range windows {
		frames := targets[i].result()
		traced := Traced{Factor: w.factor, Statistic: w.stat, Start: time.UnixMilli(w.start).UTC(), End: time.UnixMilli(w.end).UTC(), Published: w.value,
			Frames: frames}
		switch {
		case frames == nil:
			traced.Frames = []*Use{}
		case w.stat == telemetry.StatMinute:
			traced.End = time.UnixMilli(frames[0].carried.End).UTC()
		}
		if mean, minutes, explained := targets[i].mean(); minutes > 0 {
			traced.Computed, traced.Minutes = mean.String(), minutes
			traced.Explained = explained && traced.Computed == w.value
		} else if w.value == "" {
			traced.Explained = targets[i].emptied()
		}
		t.Windows = append(t.Windows, traced)
	}
	return nil
}

// ParsePoint reads what a line of points.lp, or of an InfluxDB export, names: a mean or a value as sent. Its fields may be left out.
func ParsePoint(line string) (mn, factor string, stat telemetry.Statistic, at time.Time, err error) {
	p, ok := parsePoint(strings.TrimSpace(line))
	if !ok { // without fields
		if i := strings.LastIndexByte(line, ' '); i > 0 {
			p, ok = parsePoint(line[:i] + " x=0" + line[i:])
		}
	}
	a := p.about()
	if !ok || p.tag("mn") == "" || a.factor == "" || p.measurement != "mean" && p.measurement != "instant" {
		return "", "", "", at, fmt.Errorf("%.100q is no line of measurement mean or instant with mn, factor and time", line)
	}
	return p.tag("mn"), a.factor, a.stat, time.Unix(0, p.nano).UTC(), nil
}
