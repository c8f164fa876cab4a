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
	entries     [telemetry.KindOutcome + 1]prometheus.Counter // by kind
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
		outputs:     map[telemetry.Topic]prometheus.Counter{},
	}
	entries := vector("entries_total", "Journal entries folded, by kind; kind=\"skipped\": of a kind that is not known.", "kind")
	m.entries[skipped] = entries.WithLabelValues("skipped")
	for k := telemetry.KindFrame; k <= telemetry.KindOutcome; k++ {
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
		m.suppressed, m.restarts, m.ticksFailed, entries, outputs, snapshots, newLagCollector(w),
		gauge("partitions", "Journal partitions assigned to this worker.", func() float64 { return float64(w.Stats().Partitions) }),
		gauge("devices", "Devices registered in the assigned partitions.", func() float64 { return float64(w.Stats().Devices) }),
		gauge("open_alarms", "Alarms raised and not cleared in the assigned partitions.", func() float64 { return float64(w.Stats().OpenAlarms) }),
		gauge("snapshot_age_seconds", "Age of the oldest among the assigned partitions' newest snapshots.", func() float64 { return w.Stats().SnapshotAge.Seconds() }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register stream metrics: %w", err)
		}
	}
	return m, nil
}

// lagCollector shows, for every partition of the journal, how many entries this worker has yet to fold; 0 for those that are not its own.
type lagCollector struct {
	w    *Worker
	desc *prometheus.Desc
}

func newLagCollector(w *Worker) lagCollector {
	return lagCollector{w, prometheus.NewDesc("outfall_stream_lag_records",
		"Journal entries not folded yet; 0 for partitions of other workers.", []string{"partition"}, nil)}
}

func (c lagCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c lagCollector) Collect(ch chan<- prometheus.Metric) {
	lags := c.w.lags()
	for p := range c.w.cluster.Partitions() {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(lags[p]), strconv.Itoa(int(p)))
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
	now := time.Now().UnixMilli()
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
		if ms := p.saved.Load(); ms != 0 {
			st.SnapshotAge = max(st.SnapshotAge, time.Duration(now-ms)*time.Millisecond)
		}
	}
	return st
}

func (w *Worker) lags() map[int32]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	lags := map[int32]int64{}
	for id, p := range w.partitions {
		lags[id] = p.lag()
	}
	return lags
}

func (p *progress) lag() int64 {
	next := p.published.Load()
	if next < 0 {
		return 0 // not recovered; the fault or the lack of catching up says so
	}
	return max(0, p.end.Load()-next)
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
