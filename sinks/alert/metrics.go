package alert

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"outfall/telemetry"
)

// What became of an event of the topic; the label of outfall_alert_events_total.
const (
	resultRouted    = "routed"    // it went to channels
	resultSilenced  = "silenced"  // a silence held
	resultDiscarded = "discarded" // a route dropped it
	resultUnchanged = "unchanged" // an update that no channel of its route wants
	resultDuplicate = "duplicate" // its position was passed before
	resultBad       = "bad"       // no alarm, or no position: it stays in Kafka
)

// metrics are the sink's; every series exists from the start.
type metrics struct {
	events   *prometheus.CounterVec
	messages *prometheus.CounterVec
	requests *prometheus.CounterVec
	lost     prometheus.Counter
	seconds  *prometheus.HistogramVec
	delay    *prometheus.HistogramVec
	pending  prometheus.Gauge
	oldest   prometheus.Gauge
	working  prometheus.Gauge
	tokens   *prometheus.GaugeVec
	waiting  *prometheus.GaugeVec
	silences prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, channels []Channel) (*metrics, error) {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "outfall_alert_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "outfall_alert_" + name, Help: help})
	}
	gauges := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "outfall_alert_" + name, Help: help}, []string{"channel"})
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "outfall_alert_" + name, Help: help, Buckets: buckets}, []string{"channel"})
	}
	m := &metrics{
		events:   counters("events_total", "Events of the topic alarms, by what became of them.", "result"),
		messages: counters("messages_total", "Messages that have come to their end, by channel and what is noted of them.", "channel", "result"),
		requests: counters("requests_total", "Requests to channels, by channel and what the answer means.", "channel", "class"),
		lost: prometheus.NewCounter(prometheus.CounterOpts{Name: "outfall_alert_lost_records_total",
			Help: "Records of the topic alarms that Kafka's retention deleted before they were delivered."}),
		seconds: histogram("request_seconds", "Duration of one request to a channel, whatever its outcome.",
			[]float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30}),
		delay: histogram("delay_seconds", "From the receipt of what caused an event to the acceptance of its message by the channel's server.",
			[]float64{.05, .1, .2, .3, .5, .75, 1, 2, 5, 10, 30, 60, 300, 3600}),
		pending:  gauge("pending_events", "Events that wait for delivery."),
		oldest:   gauge("oldest_pending_seconds", "Age of the oldest event that waits for delivery; 0 without one."),
		working:  gauge("working", "1 in the process that delivers, 0 in one that stands by."),
		silences: gauge("silences", "Silences that hold now."),
		tokens:   gauges("budget_messages", "Messages that the channel's budget lets go now; -1 for a channel without a limit."),
		waiting:  gauges("waiting_events", "Events that wait for the channel."),
	}
	for _, r := range []string{resultRouted, resultSilenced, resultDiscarded, resultUnchanged, resultDuplicate, resultBad} {
		m.events.WithLabelValues(r)
	}
	for _, ch := range channels {
		for _, r := range telemetry.NoticeResults() {
			m.messages.WithLabelValues(ch.Name, string(r))
		}
		for c := range classNames {
			m.requests.WithLabelValues(ch.Name, Class(c).String())
		}
		m.seconds.WithLabelValues(ch.Name)
		m.delay.WithLabelValues(ch.Name)
		m.tokens.WithLabelValues(ch.Name)
		m.waiting.WithLabelValues(ch.Name)
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.events, m.messages, m.requests, m.lost, m.seconds, m.delay, m.pending, m.oldest, m.working, m.silences, m.tokens, m.waiting} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// count moves the counters of events on to what the desk has counted.
func (m *metrics) count(now, before tally) {
	for result, n := range map[string]int64{
		resultRouted: now.routed - before.routed, resultSilenced: now.silenced - before.silenced,
		resultDiscarded: now.discarded - before.discarded, resultUnchanged: now.unchanged - before.unchanged,
	} {
		m.events.WithLabelValues(result).Add(float64(n))
	}
}
