package broker

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Observe makes the broker tell log and reg what becomes of the journal beyond its retention. Call it once; before, that is counted only.
func (e *Embedded) Observe(log zerolog.Logger, reg prometheus.Registerer) error {
	e.out.Store(&log)
	gauge := func(name, help string, value func(ArchiveStats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "outfall", Subsystem: "archive", Name: name, Help: help},
			func() float64 { return value(e.ArchiveStats()) })
	}
	counter := func(name, help string, value func(ArchiveStats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "outfall", Subsystem: "archive", Name: name, Help: help},
			func() float64 { return float64(value(e.ArchiveStats())) })
	}
	for _, c := range []prometheus.Collector{
		gauge("files", "Files of the journal's archive.", func(s ArchiveStats) float64 { return float64(s.Files) }),
		gauge("bytes", "Size of the journal's archive.", func(s ArchiveStats) float64 { return float64(s.Bytes) }),
		gauge("waiting_bytes", "Journal beyond its retention that cannot be archived and so stays in the log.", func(s ArchiveStats) float64 { return float64(s.Waiting) }),
		gauge("oldest_timestamp_seconds", "Receipt of the oldest archived entry; 0: none is archived.", func(s ArchiveStats) float64 {
			if s.Oldest.IsZero() {
				return 0
			}
			return float64(s.Oldest.UnixMilli()) / 1000
		}),
		counter("entries_total", "Journal entries archived.", func(s ArchiveStats) int64 { return s.Entries }),
		counter("deleted_files_total", "Archive files deleted because of kafka.archive_bytes.", func(s ArchiveStats) int64 { return s.Deleted }),
		counter("failures_total", "Attempts to archive that failed; they are repeated.", func(s ArchiveStats) int64 { return s.Failed }),
	} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register archive metrics: %w", err)
		}
	}
	return nil
}

// ArchiveStats tells what the archiving has come to. Safe for concurrent use.
func (e *Embedded) ArchiveStats() ArchiveStats { return e.archiver.read() }

// Ready is nil while the journal's retention works; else why its log grows.
func (e *Embedded) Ready() error {
	s := e.ArchiveStats()
	if s.Err == nil {
		return nil
	}
	return fmt.Errorf("%d bytes of journal beyond the retention are not archived: %w", s.Waiting, s.Err)
}
