package ingest

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are the numbers of an Intake: plain atomics on the hot path, read by Prometheus when it scrapes.
type counters struct {
	connections    atomic.Int64
	opened         atomic.Int64
	closed         [causeEnd]atomic.Int64
	received       atomic.Int64
	receivedBytes  atomic.Int64
	journaled      atomic.Int64
	rejected       [reasonEnd]atomic.Int64
	acked          [ackEnd]atomic.Int64
	acksDropped    atomic.Int64
	unread         atomic.Int64
	sessionsKept   atomic.Int64
	sessionsLost   atomic.Int64
	publishSeconds prometheus.Histogram
}

// rejectedSum is the number of refused spans, over all reasons.
func (c *counters) rejectedSum() (n int64) {
	for i := range c.rejected {
		n += c.rejected[i].Load()
	}
	return n
}

func (c *counters) register(r prometheus.Registerer) {
	counter := func(name, help, label, value string, read func() int64) {
		opts := prometheus.CounterOpts{Name: "outfall_ingest_" + name, Help: help}
		if label != "" {
			opts.ConstLabels = prometheus.Labels{label: value}
		}
		r.MustRegister(prometheus.NewCounterFunc(opts, func() float64 { return float64(read()) }))
	}
	counter("received_total", "Frames and refused spans of bytes taken from connections; journaled + rejected + under way.", "", "", c.received.Load)
	counter("received_bytes_total", "Bytes taken from connections.", "", "", c.receivedBytes.Load)
	counter("unread_bytes_total", "Bytes never taken: left in the buffer of a connection that ended.", "", "", c.unread.Load)
	const frames = "What became of the frames and refused spans taken from connections."
	counter("frames_total", frames, "result", "journaled", c.journaled.Load)
	counter("frames_total", frames, "result", "rejected", c.rejectedSum)
	for _, reason := range Reasons() {
		counter("rejects_total", "Refused frames and spans of bytes, by reason.", "reason", reason.String(), c.rejected[reason].Load)
	}
	for kind := ackData; kind < ackEnd; kind++ {
		counter("acked_total", "Acks written to sockets: data 9014, notice 9013.", "kind", ackNames[kind], c.acked[kind].Load)
	}
	counter("acks_dropped_total", "Acks owed to a connection that had gone when its frame became durable.", "", "", c.acksDropped.Load)
	const sessions = "Session entries (a device's connection opened or closed)."
	counter("session_entries_total", sessions, "result", "journaled", c.sessionsKept.Load)
	counter("session_entries_total", sessions, "result", "lost", c.sessionsLost.Load)
	counter("connections_total", "Connections that began.", "", "", c.opened.Load)
	for cause := CausePeer; cause < causeEnd; cause++ {
		counter("closed_total", "Connections that ended, by cause.", "cause", cause.String(), c.closed[cause].Load)
	}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "outfall_ingest_connections", Help: "Open connections."},
		func() float64 { return float64(c.connections.Load()) }))
	c.publishSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "outfall_ingest_publish_seconds",
		Help:    "From receipt of a frame to its durability in the journal.",
		Buckets: []float64{.001, .002, .004, .008, .016, .032, .064, .125, .25, .5, 1, 2, 4, 8, 16, 32}})
	r.MustRegister(c.publishSeconds)
}

// register adds the numbers of live sessions.
func (l *live) register(r prometheus.Registerer) {
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "outfall_ingest_live_devices", Help: "Devices that have a session now; one that has several counts as often."},
			func() float64 { return float64(l.devices.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "outfall_ingest_moved_devices_total",
			Help: "Devices that showed themselves on a second connection and were moved to it; the refused are rejects of reason second_session."},
			func() float64 { return float64(l.moves.Load()) }))
}
