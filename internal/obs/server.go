package obs

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	stdlog "log"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// Config sets the admin server. Start from DefaultConfig: the zero value is not valid.
type Config struct {
	// Listen is the host:port of the admin server; port 0 takes a free one. It has no authentication and shows profiles of the
	// process: keep it on loopback or a private network.
	Listen string `yaml:"listen"`
	// LogLevel is the least level that is logged: debug (every frame), info, warn or error.
	LogLevel string `yaml:"log_level"`
}

// DefaultConfig listens on loopback and logs from info on.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:9280", LogLevel: "info"} }

// Validate reports every fault at once, each under its key in the file.
func (c Config) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("admin.listen: %q is not host:port", c.Listen))
	}
	if _, err := Logger(nil, c.LogLevel); err != nil {
		errs = append(errs, fmt.Errorf("admin.log_level: %w", err))
	}
	return errors.Join(errs...)
}

// shutdownTime bounds how long Run waits for requests under way, profiles among them.
const shutdownTime = 3 * time.Second

// Server is the admin server: /metrics, /livez, /readyz, /debug/pprof/, an index of them, and what Handle adds.
type Server struct {
	listener net.Listener
	http     *http.Server
	mux      *http.ServeMux
	ready    checklist
	live     checklist
}

// Listen binds the address, so that it is known and its faults are seen at once; Run serves. reg is what /metrics shows,
// version stands on the index. The caller must Run or Close the server.
func Listen(c Config, version string, reg *prometheus.Registry, log zerolog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin server: %w", err)
	}
	errorLog := stdlog.New(log.With().Str("server", "admin").Logger(), "", 0)
	mux := http.NewServeMux()
	s := &Server{listener: l, mux: mux, live: checklist{live: true}}
	mux.Handle("GET /{$}", index(version))
	mux.Handle("GET /livez", &s.live)
	mux.Handle("GET /readyz", &s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg, MaxRequestsInFlight: 4, ErrorLog: errorLog}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // also the profiles that have no handler of their own
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol) // so does go tool pprof
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s.http = &http.Server{
		Handler:           mux,
		ErrorLog:          errorLog,
		ReadHeaderTimeout: 10 * time.Second, // no write timeout: a profile may take minutes
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	return s, nil
}

// Addr is the address that the server listens on, with the port that it got.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Ready adds a check to /readyz: while it fails, the process should get no new work. At any time, by any goroutine.
func (s *Server) Ready(name string, check Check) { s.ready.add(name, check) }

// Handle serves pattern, in the form of http.ServeMux, by h. It panics for a pattern that is taken. At any time, by any goroutine.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Live adds a check to /livez: when it fails, only a restart helps. At any time, by any goroutine.
func (s *Server) Live(name string, check Check) { s.live.add(name, check) }

// Run serves until ctx ends, then lets requests under way finish, within 3 s. It owns one goroutine, which accepts. The error is
// one of accepting.
func (s *Server) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(s.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("admin server: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close() // a profile that runs longer is cut off
	}
	<-ended
	return nil
}

// Close gives the address free when Run was never called.
func (s *Server) Close() error { return s.listener.Close() }

var indexPage = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>outfall</title>
<h1>outfall {{.}}</h1>
<ul>
<li><a href="/readyz">/readyz</a>: is it ready for work, and why not
<li><a href="/livez">/livez</a>: does it need a restart
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/sessions">/sessions</a>: the devices that are connected, a JSON line each (role ingest)
<li><a href="/debug/pprof/">/debug/pprof/</a>: profiles
</ul>
`))

func index(version string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = indexPage.Execute(w, version) // an error here is the client's: it has gone
	})
}
