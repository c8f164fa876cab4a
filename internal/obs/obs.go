// Package obs is what every process shows of itself: its log, its metrics, and an HTTP server for metrics, health and
// profiles. Stages get a zerolog.Logger and a prometheus.Registerer from it, and give it their health checks.
package obs

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"golang.org/x/term"
)

var levels = []string{"debug", "info", "warn", "error"}

// Logger writes to w what is at least of level (debug, info, warn or error): coloured lines if w is a terminal, else one JSON
// object a line. w must be safe for concurrent writes of one line each, as a file is.
func Logger(w io.Writer, level string) (zerolog.Logger, error) {
	if !slices.Contains(levels, level) {
		return zerolog.Nop(), fmt.Errorf("log level %q is not one of %v", level, levels)
	}
	l, err := zerolog.ParseLevel(level)
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("log level %q: %w", level, err)
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		w = zerolog.ConsoleWriter{Out: f, TimeFormat: "15:04:05", NoColor: os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).Level(l).With().Timestamp().Logger(), nil
}

// Registry makes a metrics registry with the Go runtime's, the process's and outfall_build_info.
func Registry(version string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "outfall_build_info",
		Help:        "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	reg.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}
