package stream

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"outfall/telemetry"
)

// What became of a snapshot: the values of the label result.
const (
	snapshotWritten = iota
	snapshotFailed  // could not be written
	snapshotDamaged // could not be read
	snapshotAhead   // lies beyond the journal's end
)

// skipped is the index and the kind label of journal records that decodeEntry refuses; no Kind is 0.
const skipped = 0

type metrics struct {
	entries     map[telemetry.Kind]prometheus.Counter
	outputs     map[telemetry.Topic]prometheus.Counter
	suppressed  prometheus.Counter
	restarts    prometheus.Counter
	ticksFailed prometheus.Counter
	snapshots   [snapshotAhead + 1]prometheus.Counter
}

// newMetrics registers the worker's metrics, every series present from the start.
func newMetrics(w *Worker, reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "outfall", Subsystem: "stream", Name: name, Help: help})
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "outfall", Subsystem: "stream", Name: name, Help: help}, []string{label})
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "outfall", Subsystem: "stream", Name: name, Help: help}, value)
	}
	m := &metrics{
		suppressed:  counter("suppressed_total", "Outputs that were made again after a restart and were out already."),
		restarts:    counter("partition_restarts_total", "Partitions begun anew from a snapshot because of a fault."),
		ticksFailed: counter("ticks_failed_total", "Ticks of the clock that the journal did not take."),
		entries:     map[telemetry.Kind]prometheus.Counter{},
		outputs:     map[telemetry.Topic]prometheus.Counter{},
	}
	entries := vector("entries_total", "Journal entries folded, by kind; kind=\"skipped\": of a kind that is not known.", "kind")
	m.entries[skipped] = entries.WithLabelValues("skipped")
	for _, k := range telemetry.Kinds() {
		m.entries[k] = entries.WithLabelValues(k.String())
	}
	outputs := vector("outputs_total", "Outputs that the brokers have acknowledged.", "topic")
	for _, t := range telemetry.OutputTopics() {
		m.outputs[t] = outputs.WithLabelValues(t.String())
	}
	snapshots := vector("snapshots_total", "Snapshots: written, failed to be written, passed over because damaged or ahead of the journal.", "result")
	for i, result := range [...]string{"written", "failed", "damaged", "ahead"} {
		m.snapshots[i] = snapshots.WithLabelValues(result)
	}
	for _, c := range []prometheus.Collector{
		m.suppressed, m.restarts, m.ticksFailed, entries, outputs, snapshots, newPartitionCollector(w),
		gauge("partitions", "Journal partitions assigned to this worker.", func() float64 { return float64(w.Stats().Partitions) }),
		gauge("devices", "Devices registered in the assigned partitions.", func() float64 { return float64(w.Stats().Devices) }),
		gauge("open_alarms", "Alarms raised and not cleared in the assigned partitions.", func() float64 { return float64(w.Stats().OpenAlarms) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register stream metrics: %w", err)
		}
	}
	return m, nil
}

// partitionCollector shows gauges of every partition of the journal; 0 for those that are not this worker's own.
type partitionCollector struct {
	w                     *Worker
	lag, age, bytes, took *prometheus.Desc
}

func newPartitionCollector(w *Worker) partitionCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("outfall_stream_"+name, help+" 0 for partitions of other workers.", []string{"partition"}, nil)
	}
	return partitionCollector{w,
		desc("lag_records", "Journal entries not folded yet."),
		desc("snapshot_age_seconds", "Age of the newest snapshot; without one, time since the partition was recovered."),
		desc("snapshot_bytes", "Size of the newest snapshot that this worker wrote."),
		desc("snapshot_duration_seconds", "Time that it took from its beginning until it was there."),
	}
}

func (c partitionCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{c.lag, c.age, c.bytes, c.took} {
		ch <- d
	}
}

func (c partitionCollector) Collect(ch chan<- prometheus.Metric) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	now := time.Now()
	for id := range c.w.cluster.Partitions() {
		var lag, age, bytes, took float64
		if p := c.w.partitions[id]; p != nil {
			lag, age = float64(p.lag()), p.snapshotAge(now).Seconds()
			bytes, took = float64(p.savedBytes.Load()), time.Duration(p.saveTook.Load()).Seconds()
		}
		label := strconv.Itoa(int(id))
		for d, v := range map[*prometheus.Desc]float64{c.lag: lag, c.age: age, c.bytes: bytes, c.took: took} {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, label)
		}
	}
}

// Stats is a summary for the status line.
type Stats struct {
	Partitions  int           // assigned
	CaughtUp    int           // of them: have reached the journal's end as it was when they were assigned
	Lag         int64         // journal entries not folded yet
	Devices     int           // registered
	OpenAlarms  int           // raised and not cleared
	Clock       time.Time     // the oldest log clock; zero before the first tick
	SnapshotAge time.Duration // of the oldest among the newest snapshots
}

// Stats may be called at any time, from any goroutine.
func (w *Worker) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	var st Stats
	now := time.Now()
	for _, p := range w.partitions {
		st.Partitions++
		if p.caughtUp.Load() {
			st.CaughtUp++
		}
		st.Lag += p.lag()
		st.Devices += int(p.devices.Load())
		st.OpenAlarms += int(p.alarms.Load())
		if ms := p.clock.Load(); ms != 0 && (st.Clock.IsZero() || ms < st.Clock.UnixMilli()) {
			st.Clock = time.UnixMilli(ms).UTC()
		}
		st.SnapshotAge = max(st.SnapshotAge, p.snapshotAge(now))
	}
	return st
}

func (p *progress) lag() int64 {
	next := p.published.Load()
	if next < 0 {
		return 0 // not recovered; the fault or the lack of catching up says so
	}
	return max(0, p.end.Load()-next)
}

// snapshotAge is 0 before the partition has recovered.
func (p *progress) snapshotAge(now time.Time) time.Duration {
	if ms := p.saved.Load(); ms != 0 {
		return max(0, now.Sub(time.UnixMilli(ms)))
	}
	return 0
}

// Ready returns nil once the worker is in its group and each of its partitions has caught up since it was assigned, and none has a
// fault. The error says what is amiss.
func (w *Worker) Ready() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.joined {
		return fmt.Errorf("not in group %s yet", w.cfg.Group)
	}
	for id, p := range w.partitions {
		if fault := p.fault.Load(); fault != nil {
			return fmt.Errorf("partition %d: %s", id, *fault)
		}
		if !p.caughtUp.Load() {
			return fmt.Errorf("partition %d is catching up: %d entries to go", id, p.lag())
		}
	}
	return nil
}
