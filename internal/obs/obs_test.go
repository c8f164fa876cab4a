package obs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server on a free port; stop ends it and returns Run's error.
func serve(t *testing.T) (s *Server, stop func() error) {
	t.Helper()
	conf := DefaultConfig()
	conf.Listen = "127.0.0.1:0"
	s, err := Listen(conf, "v1.2<3>", Registry("v1.2<3>"), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return s, func() error {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		return <-ended
	}
}

func get(t *testing.T, s *Server, path string) (status int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestPages(t *testing.T) {
	s, stop := serve(t)
	for path, want := range map[string]string{
		"/":                     "outfall v1.2&lt;3&gt;",
		"/metrics":              `outfall_build_info{go="go`,
		"/debug/pprof/":         "goroutine",
		"/debug/pprof/heap":     "",
		"/debug/pprof/cmdline":  "obs.test",
		"/livez":                `"live":true`,
		"/readyz":               `"ready":true`,
		"/metrics?x=process":    "process_open_fds",
		"/metrics?x=go_runtime": "go_goroutines",
	} {
		if status, body := get(t, s, path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET %s: %d, %q; want 200 and %q", path, status, body, want)
		}
	}
	if status, _ := get(t, s, "/nothing"); status != http.StatusNotFound {
		t.Errorf("GET /nothing: %d, want 404", status)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestReadiness(t *testing.T) {
	s, stop := serve(t)
	var away atomic.Bool
	s.Ready("kafka", func() error {
		if away.Load() {
			return errors.New(`no "broker" answers`)
		}
		return nil
	})
	s.Ready("registry", func() error { return nil })
	for _, step := range []struct {
		away   bool
		status int
		body   string
	}{
		{false, 200, `{"ready":true,"checks":[{"name":"kafka","ok":true,"reason":""},{"name":"registry","ok":true,"reason":""}]}`},
		{true, 503, `{"ready":false,"checks":[{"name":"kafka","ok":false,"reason":"no \"broker\" answers"},{"name":"registry","ok":true,"reason":""}]}`},
	} {
		away.Store(step.away)
		if status, body := get(t, s, "/readyz"); status != step.status || strings.TrimSpace(body) != step.body {
			t.Errorf("kafka away %v: %d %s; want %d %s", step.away, status, body, step.status, step.body)
		}
	}
	if status, _ := get(t, s, "/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d, want 200: being unready is no reason to restart", status)
	}
	s.Live("worker", func() error { return errors.New("stuck") })
	if status, body := get(t, s, "/livez"); status != 503 || !strings.Contains(body, "stuck") {
		t.Errorf("/livez: %d %s; want 503 and the reason", status, body)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestShutdownWaits: a request under way when Run is told to end gets its answer.
func TestShutdownWaits(t *testing.T) {
	s, stop := serve(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	s.Ready("slow", func() error { close(entered); <-leave; return nil })
	status := make(chan int, 1)
	go func() {
		resp, err := http.Get("http://" + s.Addr().String() + "/readyz")
		if err != nil {
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	select {
	case err := <-ended:
		t.Errorf("Run ended with a request under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	if got := <-status; got != http.StatusOK {
		t.Errorf("status %d, want 200", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestListenReportsTheAddress(t *testing.T) {
	s, stop := serve(t)
	_, err := Listen(Config{Listen: s.Addr().String(), LogLevel: "info"}, "", Registry(""), zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), s.Addr().String()) {
		t.Errorf("err = %v, want it to name the address in use", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log, err := Logger(&out, "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("quiet")
	log.Warn().Str("mn", "x").Msg("loud")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, `{"level":"warn","mn":"x","time":"`) {
		t.Errorf("logged %q, want one line of JSON", got)
	}
	if _, err := Logger(&out, "loud"); err == nil {
		t.Error("level loud was accepted")
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	err := Config{Listen: "x", LogLevel: "y"}.Validate()
	if err == nil || !strings.Contains(err.Error(), "admin.listen: ") || !strings.Contains(err.Error(), "admin.log_level: ") {
		t.Errorf("err = %v, want both keys", err)
	}
}
