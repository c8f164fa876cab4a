package tcp

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// register adds the server's metrics to r, every series from the start.
func (s *Server) register(r prometheus.Registerer) {
	counter := func(name, help string, labels prometheus.Labels, v *atomic.Int64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "outfall_ingest_" + name, Help: help, ConstLabels: labels},
			func() float64 { return float64(v.Load()) }))
	}
	gauge := func(name, help string, read func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "outfall_ingest_" + name, Help: help}, read))
	}
	for why := refusedLimit; why < refusalEnd; why++ {
		counter("refused_connections_total", "Connections closed before they had a session, by reason.",
			prometheus.Labels{"reason": why.String()}, &s.refused[why])
	}
	counter("accept_errors_total", "Accepts that failed; the accept loop backs off and goes on.", nil, &s.acceptErrors)
	gauge("addresses", "Addresses that have a connection, or had one lately.", func() float64 { return float64(s.door.known()) })
	gauge("backlog_bytes", "Bytes in inbound buffers that were not taken: begun frames, and what the journal has no room for.",
		func() float64 { return float64(s.backlog.Load()) })
	gauge("waiting_connections", "Connections whose bytes wait for room in the journal.", func() float64 { return float64(s.waiters.Load()) })
	gauge("loop_lag_seconds", "Worst delay of a task in an event loop since the last scrape.",
		func() float64 { return time.Duration(s.lag.Swap(0)).Seconds() })
	gauge("tls_connections", "Encrypted connections, those in their handshake included.", func() float64 { return float64(s.encrypted.Load()) })
	if s.identity != nil {
		counter("tls_reload_errors_total", "Changed certificate files that could not be used; the ones before stay.", nil, &s.identity.failed)
		gauge("tls_certificate_expiry_seconds", "When the host's certificate ends, seconds since 1970.",
			func() float64 { return float64(s.identity.expiry.Load()) })
	}
}

func (s *Server) noteLag(d time.Duration) {
	for {
		worst := s.lag.Load()
		if int64(d) <= worst || s.lag.CompareAndSwap(worst, int64(d)) {
			return
		}
	}
}
