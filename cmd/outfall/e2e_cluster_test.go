//go:build integration

package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"outfall/bench"
	"outfall/deploy/sample"
	"outfall/internal/broker"
	"outfall/rules/registryfile"
)

// env is a setting of the real servers; without it the test proves nothing, so it fails.
func env(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run \"make integration\"", name)
	}
	return v
}

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// influx2 is the real InfluxDB 2.x.
type influx2 struct{ url, org, bucket, token string }

// count counts the mean points of the last 30 days.
func (i influx2) count(t *testing.T) int {
	t.Helper()
	flux := fmt.Sprintf(`from(bucket:%q) |> range(start:-30d, stop:1d) |> filter(fn:(r)=>r._measurement=="mean" and r._field=="avg") |> group() |> count()`, i.bucket)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.url+"/api/v2/query?org="+i.org, strings.NewReader(flux))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+i.token)
	req.Header.Set("Content-Type", "application/vnd.flux")
	req.Header.Set("Accept", "application/csv")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	rows, err := csv.NewReader(strings.NewReader(strings.ReplaceAll(string(body), "\r\n", "\n"))).ReadAll()
	if err != nil || len(rows) < 2 {
		return 0
	}
	n, err := strconv.Atoi(rows[1][len(rows[1])-1])
	if err != nil {
		t.Fatalf("InfluxDB answered %q", body)
	}
	return n
}

// createBucket makes a bucket of the test's own.
func (i influx2) createBucket(t *testing.T) {
	t.Helper()
	do := func(method, path, body string) string {
		req, err := http.NewRequestWithContext(t.Context(), method, i.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Token "+i.token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode >= 300 {
			t.Fatalf("%s %s: %s %s", method, path, resp.Status, b)
		}
		return string(b)
	}
	orgs := do(http.MethodGet, "/api/v2/orgs?org="+i.org, "")
	_, rest, _ := strings.Cut(orgs, `"id":`)
	id := strings.Trim(strings.TrimSpace(rest)[:18], `"`)
	do(http.MethodPost, "/api/v2/buckets", fmt.Sprintf(`{"orgID":%q,"name":%q,"retentionRules":[]}`, id, i.bucket))
}

// TestEndToEndThreeProcesses is the main job on real servers: ingest, stream and sink as processes of their own on Apache Kafka and
// InfluxDB 2.7; the worker is killed in the middle and started again.
func TestEndToEndThreeProcesses(t *testing.T) {
	dir := t.TempDir()
	prefix := fmt.Sprintf("e2e%d.", time.Now().UnixNano())
	db := influx2{url: env(t, "OUTFALL_TEST_INFLUX2"), org: env(t, "OUTFALL_TEST_INFLUX2_ORG"), token: env(t, "OUTFALL_TEST_INFLUX2_TOKEN"),
		bucket: strings.Trim(prefix, ".")}
	db.createBucket(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kafka := env(t, "OUTFALL_TEST_KAFKA")
	listen := freePort(t)
	config := write("outfall.yaml", fmt.Sprintf(`kafka:
  brokers: [%q]
  topic_prefix: %q
  partitions: 4
  replication_factor: 1
tcp:
  listen: %q
stream:
  snapshots:
    location: %q
  snapshot_interval: 3s
  session_timeout: 6s
influx:
  url: %q
  org: %q
  bucket: %q
  token_file: %q
admin:
  listen: 127.0.0.1:0
`, kafka, prefix, listen, filepath.Join(dir, "snapshots"), db.url, db.org, db.bucket, write("token", db.token)))
	outfall(t, 3, "topics", "check", "--config", config)
	outfall(t, 0, "topics", "apply", "--config", config)
	outfall(t, 0, "topics", "check", "--config", config)
	outfall(t, 0, "registry", "import", write("devices.csv", string(sample.Registry)), "--config", config)
	outfall(t, 0, "rules", "activate", write("rules.yaml", string(sample.Rules)), "--config", config)

	ingest := start(t, "serve", "--role", "ingest", "--config", config)
	worker := start(t, "serve", "--role", "stream", "--config", config)
	sink := start(t, "serve", "--role", "sink", "--config", config)
	eventually(t, 30*time.Second, "ingest listens", func() bool {
		c, err := net.Dial("tcp4", listen)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	c := broker.DefaultConfig()
	c.Brokers, c.TopicPrefix, c.Partitions, c.ReplicationFactor = []string{kafka}, prefix, 4, 1
	cluster := broker.Remote(c)
	ledger := filepath.Join(dir, "ledger")
	runFleet(t, listen, ledger, 40*time.Second, func() {
		waitJournal(t, cluster, 4_000) // of about 17,000 frames of backfill
		worker.kill()
		worker = start(t, "serve", "--role", "stream", "--config", config)
	})

	checkLedger(t, cluster, ledger)
	var want, got int
	eventually(t, 2*time.Minute, "InfluxDB holds every mean once", func() bool {
		want, got = checkOnce(t, cluster), db.count(t)
		return want == got && want > 10_000
	})
	t.Logf("%d means published, %d in InfluxDB", want, got)
	alarms := outfall(t, 0, "alarm", "ls", "--config", config, "--output", "jsonl")
	checkAlarms(t, alarms)
	for _, p := range []*process{ingest, worker, sink} {
		p.stop()
	}
	from, to := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	t.Log(outfall(t, 0, "replay", "--config", config, "--from", from, "--to", to, "--out", filepath.Join(dir, "replay"), "--compare"))
	traceAlarms(t, alarms, "--config", config)
}

// runFleet plays the sample's loggers for a while, with something happening meanwhile, and writes the ledger.
func runFleet(t *testing.T, addr, ledgerPath string, d time.Duration, meanwhile func()) {
	t.Helper()
	file, err := registryfile.Parse("sample", sample.Registry)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(ledgerPath)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ledger := bench.NewLedger(f)
	cfg := bench.DefaultConfig()
	cfg.Addr, cfg.Devices, cfg.BackfillHours, cfg.OnAcked = addr, file.Devices, 6, ledger.Add
	fleet, err := bench.NewFleet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fleet.Run(ctx, time.Now()) }()
	meanwhile()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := ledger.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("fleet: %+v", fleet.Stats())
}
