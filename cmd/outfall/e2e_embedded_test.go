//go:build integration

package main

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"outfall/internal/broker"
)

// TestEndToEndKillAndReplay is the main job on the embedded servers: run, demo, kill -9 in the middle of the backfill, run again, and then the
// books must balance: no acknowledged frame missing, every output once, InfluxDB holding each point once, and a replay of the whole journal
// identical to what was published.
func TestEndToEndKillAndReplay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	ledger := filepath.Join(t.TempDir(), "ledger")
	first := start(t, "run", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	info := first.waitRun(dir)
	secondRunFails(t, dir, info.PID)

	demo := start(t, "demo", "--data", dir, "--duration", "110s", "--ledger", ledger)
	waitJournal(t, broker.Dial(broker.DefaultConfig(), info.socket()), 10_000) // of about 78,000 frames of backfill
	first.kill()
	second := start(t, "run", "--data", dir, "--listen", info.Ingest, "--admin", "127.0.0.1:0")
	info = second.waitRun(dir)
	if code := demo.wait(3 * time.Minute); code != 0 {
		t.Fatalf("demo: exit %d", code)
	}
	for _, want := range []string{"W01", "offline"} {
		if !strings.Contains(demo.out.String(), want) {
			t.Errorf("the demo does not speak of %s", want)
		}
	}
	alarms := outfall(t, 0, "alarm", "ls", "--data", dir, "--output", "jsonl")
	checkAlarms(t, alarms)

	cluster := broker.Dial(broker.DefaultConfig(), info.socket())
	checkLedger(t, cluster, ledger)
	var want, got int
	eventually(t, time.Minute, "InfluxDB holds every mean once", func() bool {
		want, got = checkOnce(t, cluster), countInflux1(t, info.Influx)
		return want == got
	})
	t.Logf("%d means published, %d in InfluxDB", want, got)
	second.stop()
	if live, err := readRunInfo(dir); err != nil || live != nil {
		t.Errorf("run.json after a clean exit: %+v, %v", live, err)
	}
	from, to := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	t.Log(outfall(t, 0, "replay", "--data", dir, "--from", from, "--to", to, "--out", filepath.Join(t.TempDir(), "replay"), "--compare"))
	traceAlarms(t, alarms, "--data", dir)
}

// traceAlarms walks every alarm of a listing back to its frames; the command fails when they do not explain it.
func traceAlarms(t *testing.T, alarms string, where ...string) {
	t.Helper()
	for line := range strings.Lines(alarms) {
		var row alarmRow
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		outfall(t, 0, append([]string{"trace", row.ID}, where...)...)
	}
}

// secondRunFails checks that a second run on a held directory ends at once and says who holds it.
func secondRunFails(t *testing.T, dir string, holder int) {
	t.Helper()
	p := start(t, "run", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if code := p.wait(20 * time.Second); code == 0 || !strings.Contains(p.out.String(), strconv.Itoa(holder)) {
		t.Errorf("second run: exit %d, said %q", code, p.out.String())
	}
}
