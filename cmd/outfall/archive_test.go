package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// command runs outfall in this process and returns what it printed and its exit code.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, problems bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &problems}
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), problems.String(), exitCode(err, a.started)
}

// TestArchiveCommands: entries that have left the log are listed, read as one with the others, and a damaged or missing file is found.
func TestArchiveCommands(t *testing.T) {
	dir, err := os.MkdirTemp("", "of")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const mn = "520181A00170C67EF96ED8C5"
	conf := broker.DefaultConfig()
	conf.RetentionBytes = 1 << 20
	e, err := broker.StartEmbedded(dir, conf)
	if err != nil {
		t.Fatal(err)
	}
	part := telemetry.PartitionOf(mn, conf.Partitions)
	cl, err := e.Cluster().Client(kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(32<<10))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	var recs []*kgo.Record
	for i := range 3000 {
		value := fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", 1000))
		recs = append(recs, journalRecord(e.Cluster(), part, mn, telemetry.KindSession, value, begin.Add(time.Duration(i)*time.Minute)))
	}
	if err := cl.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	if err := e.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	out, _, code := command(t, "archive", "ls", "--data", dir, "-o", "jsonl")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitOK || len(lines) < 3 {
		t.Fatalf("ls: code %d, %s", code, out)
	}
	var rows []archiveRow
	for _, line := range lines {
		var row archiveRow
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if rows[0].First != 0 || rows[0].Partition != part || !rows[0].Oldest.Equal(begin) || rows[0].Bytes == 0 || rows[1].First != rows[0].Last+1 {
		t.Errorf("rows: %+v", rows[:2])
	}
	if out, _, code := command(t, "archive", "ls", "--data", dir); code != exitOK || !strings.Contains(out, "2026-07-01 08:00:00") {
		t.Errorf("table: code %d, %s", code, out)
	}
	if out, stderr, code := command(t, "archive", "verify", "--data", dir); code != exitOK || !strings.Contains(stderr, " 0 faults") {
		t.Errorf("verify: code %d, %s %s", code, out, stderr)
	}

	// The journal is one: from its beginning, and from a moment.
	small := []string{"--data", dir, "--set", "kafka.retention_bytes=1048576", "-o", "jsonl"}
	out, stderr, code := command(t, append([]string{"journal", "cat", "--mn", mn}, small...)...)
	if n := strings.Count(out, "\n"); code != exitOK || n != 3000 || !strings.Contains(out, `"value":"0 x`) {
		t.Errorf("journal cat: code %d, %d lines, %s", code, n, stderr)
	}
	out, _, code = command(t, append([]string{"journal", "cat", "--from", begin.Add(17 * time.Minute).Format(time.RFC3339), "--to", begin.Add(19 * time.Minute).Format(time.RFC3339)}, small...)...)
	if n := strings.Count(out, "\n"); code != exitOK || n != 2 || !strings.Contains(out, `"offset":17,`) {
		t.Errorf("journal cat from: code %d, %s", code, out)
	}

	// Damage, and a file that is missing.
	if err := os.Truncate(rows[1].File, rows[1].Bytes-10); err != nil {
		t.Fatal(err)
	}
	if out, _, code := command(t, "archive", "verify", "--data", dir); code != exitCheck || !strings.Contains(out, "DAMAGED: archive file "+rows[1].File) {
		t.Errorf("verify of a torn file: code %d, %s", code, out)
	}
	if _, stderr, code := command(t, append([]string{"journal", "cat"}, small...)...); code != exitRuntime {
		t.Errorf("journal cat through a torn file: code %d, %s", code, stderr)
	}
	if err := os.Remove(rows[1].File); err != nil {
		t.Fatal(err)
	}
	if out, _, code := command(t, "archive", "verify", "--data", dir, "-o", "jsonl"); code != exitCheck || !strings.Contains(out, fmt.Sprintf(`"first":%d,"last":%d,"fault":"MISSING`, rows[1].First, rows[1].Last)) {
		t.Errorf("verify of a missing file: code %d, %s", code, out)
	}
	if _, _, code := command(t, "archive", "ls", "--data", filepath.Join(dir, "nowhere")); code != exitUnreachable {
		t.Errorf("no data directory: code %d", code)
	}
	if _, _, code := command(t, "archive", "ls", "--set", "kafka.brokers=a:1"); code != exitUsage {
		t.Errorf("real brokers: code %d", code)
	}
}
