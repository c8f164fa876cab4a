package influx

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// What became of a point; the label of outfall_sink_points_total.
const (
	resultWritten   = "written"   // InfluxDB took it
	resultDuplicate = "duplicate" // its position was passed before: dropped
	resultBad       = "bad"       // InfluxDB will never take it, or it carries no position: dropped, it stays in Kafka
)

// metrics are the sink's; every series exists from the start.
type metrics struct {
	points    *prometheus.CounterVec
	retries   *prometheus.CounterVec
	lost      prometheus.Counter
	lag       *prometheus.GaugeVec
	seconds   prometheus.Histogram
	lastWrite prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, partitions int32) (*metrics, error) {
	m := &metrics{
		points: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "outfall_sink_points_total",
			Help: "Points (lines) taken from the points topic, by what became of them."}, []string{"result"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "outfall_sink_retries_total",
			Help: "Writes that InfluxDB did not take and that are tried again, by reason."}, []string{"reason"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{Name: "outfall_sink_lost_records_total",
			Help: "Records of the points topic that Kafka's retention deleted before they were written to InfluxDB."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "outfall_sink_write_seconds",
			Help:    "Duration of one write to InfluxDB, whatever its outcome.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30}}),
		lastWrite: prometheus.NewGauge(prometheus.GaugeOpts{Name: "outfall_sink_last_write_timestamp_seconds",
			Help: "When InfluxDB last took a write, Unix time; 0 before the first."}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "outfall_sink_lag_records",
			Help: "Records of the points topic not yet written to InfluxDB; 0 for a partition that another sink has."}, []string{"partition"}),
	}
	for _, r := range []string{resultWritten, resultDuplicate, resultBad} {
		m.points.WithLabelValues(r)
	}
	for _, f := range []fault{faultUnavailable, faultConfig} {
		m.retries.WithLabelValues(f.String())
	}
	for p := range partitions {
		m.setLag(p, 0)
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.points, m.retries, m.lost, m.seconds, m.lastWrite, m.lag} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) setLag(partition int32, records int64) {
	m.lag.WithLabelValues(strconv.Itoa(int(partition))).Set(float64(records))
}
