package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"outfall/ingest/hj212"
	"outfall/internal/broker"
	"outfall/rules/registryfile"
	"outfall/rules/rulefile"
	"outfall/sinks/alert"
	"outfall/telemetry"
)

const (
	latencyDevices = 100
	latencyPace    = 20 * time.Millisecond // between two frames, each of which changes an alarm
)

// BenchmarkAlertLatency measures from a frame's departure at the device to the acceptance of its message by a channel's server, through every stage
// in one process, at 50 frames a second of which each raises or clears an alarm. alert.group_wait is its default, and part of every figure.
// OUTFALL_TEST_KAFKA names a broker for the second half.
func BenchmarkAlertLatency(b *testing.B) {
	b.Run("broker=embedded", func(b *testing.B) {
		dir, err := os.MkdirTemp("", "lat") // a socket's path must be short
		if err != nil {
			b.Fatal(err)
		}
		defer os.RemoveAll(dir)
		cfg := defaultConfig(dir)
		cfg.Ingest.Linger = embeddedLinger
		embedded, err := broker.StartEmbedded(dir, cfg.Kafka)
		if err != nil {
			b.Fatal(err)
		}
		defer embedded.Close()
		benchmarkAlertLatency(b, cfg, embedded.Cluster(), embedded)
	})
	if address := os.Getenv("OUTFALL_TEST_KAFKA"); address != "" {
		b.Run("broker=kafka", func(b *testing.B) {
			cfg := defaultConfig(b.TempDir())
			cfg.Kafka.Brokers, cfg.Kafka.ReplicationFactor = []string{address}, 1
			cfg.Kafka.TopicPrefix = fmt.Sprintf("latency%d.", time.Now().UnixNano())
			cfg.Stream.Group = cfg.Kafka.TopicPrefix + "stream"
			cluster := broker.Remote(cfg.Kafka)
			if _, err := cluster.Apply(b.Context()); err != nil {
				b.Fatal(err)
			}
			benchmarkAlertLatency(b, cfg, cluster, nil)
		})
	}
}

// A stopwatch is a webhook's receiver that knows when each device's frame departed.
type stopwatch struct {
	mu       sync.Mutex // guards the rest
	departed map[string]time.Time
	took     []time.Duration
}

func (s *stopwatch) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var body alert.WebhookBody
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range body.Events {
		if at, ok := s.departed[e.Alarm.MN]; ok {
			s.took = append(s.took, now.Sub(at))
			delete(s.departed, e.Alarm.MN)
		}
	}
}

func (s *stopwatch) depart(mn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.departed[mn] = time.Now()
}

// waiting is how many frames nobody was told of yet.
func (s *stopwatch) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.departed)
}

func benchmarkAlertLatency(b *testing.B, cfg *Config, cluster *broker.Cluster, embedded *broker.Embedded) {
	watch := &stopwatch{departed: map[string]time.Time{}}
	hook := httptest.NewServer(watch)
	defer hook.Close()
	secret := filepath.Join(b.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg.TCP.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Alert.Channels, cfg.Alert.Default = []alert.Channel{{Name: "hook", Type: alert.TypeWebhook, URL: hook.URL, SecretFile: secret}}, []string{"hook"}
	latencySetUp(b, cluster)
	sup := newSupervisor(zerolog.Nop())
	s, err := startStages(sup, cfg, cluster, embedded, map[string]bool{roleIngest: true, roleStream: true, roleAlert: true}, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := sup.drain(); err != nil {
			b.Error(err)
		}
	}()
	for end := time.Now().Add(time.Minute); s.ready() != nil || !s.alert.Stats().Working; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("not ready: %v", s.ready())
		}
	}
	conns := make([]net.Conn, latencyDevices)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", s.server.Addr().String()); err != nil {
			b.Fatal(err)
		}
		defer conns[i].Close()
		go io.Copy(io.Discard, conns[i])
	}
	b.ResetTimer()
	begin := time.Now()
	for i := range b.N {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * latencyPace))) // open loop: when it is due
		mn := fmt.Sprintf("LATENCY%d", i%latencyDevices)
		value := [...]string{"100.0", "10.0"}[i/latencyDevices%2]
		now := time.Now()
		segment := fmt.Sprintf("QN=%s;ST=32;CN=2011;PW=123456;MN=%s;Flag=4;CP=&&DataTime=%s;w01018-Rtd=%s,w01018-Flag=N&&",
			now.In(telemetry.China).Format("20060102150405")+fmt.Sprintf("%03d", now.Nanosecond()/1e6), mn, hj212.AppendTime(nil, now), value)
		watch.depart(mn)
		if _, err := conns[i%latencyDevices].Write(hj212.AppendFrame(nil, []byte(segment))); err != nil {
			b.Fatal(err)
		}
	}
	for end := time.Now().Add(30 * time.Second); watch.waiting() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("nobody heard of %d of %d frames", watch.waiting(), b.N)
		}
	}
	b.StopTimer()
	slices.Sort(watch.took)
	at := func(q int) float64 { return watch.took[(len(watch.took)-1)*q/100].Seconds() * 1000 }
	b.ReportMetric(at(50), "p50-ms")
	b.ReportMetric(at(99), "p99-ms")
	b.ReportMetric(at(100), "max-ms")
	b.ReportMetric(0, "ns/op") // it is the pace
}

// latencySetUp registers the devices, and a rule that each single value decides.
func latencySetUp(b *testing.B, cluster *broker.Cluster) {
	b.Helper()
	var csv strings.Builder
	csv.WriteString("mn,pw,outlet,outlet_name,enterprise,region,medium,minute_interval_min,realtime_interval_s,offline_after_s,tail\n")
	for i := range latencyDevices {
		fmt.Fprintf(&csv, "LATENCY%d,123456,W%d,总排口,某某水务,贵州省/贵阳市/第%d区,water,1,30,600,strict\n", i, i, i%10)
	}
	file, err := registryfile.Parse("devices.csv", []byte(csv.String()))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := importDevices(b.Context(), cluster, file); err != nil {
		b.Fatal(err)
	}
	set, err := rulefile.Parse("rules.yaml", []byte(`
ruleset: latency
version: 1
rules:
  - id: cod
    title: COD
    basis: none
    medium: water
    factor: w01018
    statistic: instant
    limit: {high: 50, unit: mg/L}
    alarm: {after: 1, clear_after: 1}
`))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := activateRules(b.Context(), cluster, set); err != nil {
		b.Fatal(err)
	}
}
