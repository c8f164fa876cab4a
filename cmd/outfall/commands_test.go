package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest"
	"outfall/internal/broker"
	"outfall/telemetry"
)

func TestCommandCP(t *testing.T) {
	for _, tt := range []struct {
		word, from, to, params string
		cn, cp                 string
	}{
		{"1061", "", "", "", "1061", ""},
		{"clock-set", "", "", "", "1012", "SystemTime=now"},
		{"clock-set", "", "", "PolId=w01018", "1012", "SystemTime=now;PolId=w01018"},
		{"clock-set", "", "", "SystemTime=2026-03-01T08:00:00", "1012", "SystemTime=20260301080000"},
		{"clock-set", "", "", "SystemTime=20260301080000", "1012", "SystemTime=20260301080000"},
		{"recall-hours", "2026-03-01 08:00", "2026-03-01T02:00:00Z", "", "2061", "BeginTime=20260301080000;EndTime=20260301100000"},
		{"2051", "", "", "BeginTime=2026-03-01 EndTime=20260301120000", "2051", "BeginTime=20260301000000;EndTime=20260301120000"},
		{"info-set", "", "", "PolId=w01018 InfoId=i13004 i13004-Info=168.0", "3021", "PolId=w01018;InfoId=i13004;i13004-Info=168.0"},
	} {
		cn, preset, err := commandCN(tt.word)
		if err != nil {
			t.Errorf("%s: %v", tt.word, err)
			continue
		}
		if cp, err := commandCP(preset, strings.Fields(tt.params), tt.from, tt.to); err != nil || cn != tt.cn || cp != tt.cp {
			t.Errorf("%s %s: CN %s, CP %q, %v; want %s, %q", tt.word, tt.params, cn, cp, err, tt.cn, tt.cp)
		}
	}
}

// Every name is a command of some edition that a host sends.
func TestCommandWords(t *testing.T) {
	d := &telemetry.Device{MN: "010000A8900016F000169DC0", PWNext: "654321"}
	for _, w := range commandWords {
		cp, err := commandCP(w.preset, nil, "", "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = checkCommand(&telemetry.Command{MN: d.MN, CN: w.cn, CP: cp}, d)
		if err != nil && !strings.Contains(err.Error(), "is missing") && !strings.Contains(err.Error(), "go together") {
			t.Errorf("%s: %v", w.name, err)
		}
	}
}

func TestCommandChanges(t *testing.T) {
	d := &telemetry.Device{MN: "010000A8900016F000169DC0", PWNext: "654321"}
	for _, tt := range []struct {
		cn, cp  string
		changes bool
	}{
		{"1011", "", false},
		{"1012", "SystemTime=now", true},
		{"1072", "", true},
		{"2061", "BeginTime=20260301000000;EndTime=20260301080000", false},
		{"2011", "", true},
		{"2012", "", true},
		{"3011", "PolId=w01018", true},
		{"3019", "PolId=w01018", false},
	} {
		if changes, err := checkCommand(&telemetry.Command{MN: d.MN, CN: tt.cn, CP: tt.cp}, d); err != nil || changes != tt.changes {
			t.Errorf("CN %s: changes %v, %v; want %v", tt.cn, changes, err, tt.changes)
		}
	}
}

// The command is written, its steps are printed as they come, and both are listed.
func TestSendAndList(t *testing.T) {
	dir, err := os.MkdirTemp("", "of")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cluster, stop := embedded(t, dir)
	defer stop()
	now := time.Now().UTC().Truncate(time.Millisecond)
	c := telemetry.Command{ID: "x1", MN: "A1", CN: "1061", Operator: "li", Created: now, NotAfter: now.Add(time.Minute)}
	next, err := cluster.Offsets(t.Context(), telemetry.TopicCommands, broker.FromEnd)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeCommand(t.Context(), cluster, &c); err != nil {
		t.Fatal(err)
	}
	var recs []*kgo.Record
	for _, o := range []telemetry.Outcome{
		{ID: "x0", Step: telemetry.StepDone}, // of another
		{ID: "x1", Step: telemetry.StepSending, Try: 1, QN: "20260301080000000", Peer: "192.0.2.1:4000", Gateway: "gw1"},
		{ID: "x1", Step: telemetry.StepData, Detail: "RtdInterval=30"},
		{ID: "x1", Step: telemetry.StepDone, Code: 1},
		{ID: "x1", Step: telemetry.StepFailed, Detail: "too late to count"},
	} {
		o.MN, o.CN, o.Time = "A1", "1061", now
		recs = append(recs, ingest.CommandRecord(cluster, telemetry.KindOutcome, "A1", telemetry.AppendJSON(nil, &o), now))
	}
	if err := publish(t.Context(), cluster, recs); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p, err := newPrinter(&out, outputTable, "AT", "STEP", "CODE", "DETAIL")
	if err != nil {
		t.Fatal(err)
	}
	last, err := awaitCommand(t.Context(), cluster, &c, next, p)
	if err != nil || last.Step != telemetry.StepDone {
		t.Fatalf("last step %+v, %v", last, err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"sending - try 1, QN 20260301080000000, to 192.0.2.1:4000 by gw1", "data - RtdInterval=30", "done 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("printed %q, want %q in it", text, want)
		}
	}
	byID := map[string]*commandRow{}
	collect := func(rec *kgo.Record) error { collectCommand(byID, rec); return nil }
	if err := cluster.ReadAll(t.Context(), telemetry.TopicCommands, collect); err != nil {
		t.Fatal(err)
	}
	if r := byID["x1"]; len(byID) != 1 || r.Step != telemetry.StepDone || r.Tries != 1 {
		t.Errorf("listed %+v", byID)
	}
	journal := 0
	err = cluster.ReadAll(t.Context(), telemetry.TopicJournal, func(rec *kgo.Record) error {
		if header(rec, telemetry.HeaderKind) == "command" && string(rec.Key) == "A1" {
			journal++
		}
		return nil
	})
	if err != nil || journal != 1 {
		t.Errorf("%d commands in the journal, %v", journal, err)
	}
}

// No gateway takes it.
func TestSendWithoutGateway(t *testing.T) {
	dir, err := os.MkdirTemp("", "of")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cluster, stop := embedded(t, dir)
	defer stop()
	past := time.Now().Add(-time.Minute)
	next, err := cluster.Offsets(t.Context(), telemetry.TopicCommands, broker.FromEnd)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPrinter(&bytes.Buffer{}, outputJSONL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = awaitCommand(t.Context(), cluster, &telemetry.Command{ID: "x1", MN: "A1", NotAfter: past}, next, p)
	if exitCode(err, true) != exitUnreachable || !strings.Contains(err.Error(), "no gateway took command x1") {
		t.Errorf("error %v", err)
	}
}

// What is no command is not listed, and does not keep the others from being.
func TestCommandsSkipBadRecords(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	good := telemetry.Command{ID: "x1", MN: "A1", CN: "1061", Operator: "li", Created: now, NotAfter: now.Add(time.Minute)}
	other := good
	other.ID, other.MN = "x2", "A2"
	byID := map[string]*commandRow{}
	for _, r := range []struct {
		kind  telemetry.Kind
		value []byte
	}{
		{telemetry.KindCommand, []byte("{")},
		{telemetry.KindCommand, []byte("{}")},
		{telemetry.KindCommand, telemetry.AppendJSON(nil, &other)}, // under the key of A1
		{telemetry.KindCommand, telemetry.AppendJSON(nil, &good)},
		{telemetry.KindOutcome, []byte("nothing")},
		{telemetry.KindOutcome, telemetry.AppendJSON(nil, &telemetry.Outcome{ID: "x1", Step: telemetry.StepExpired})},
	} {
		headers := []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(r.kind.String())}}
		collectCommand(byID, &kgo.Record{Key: []byte("A1"), Value: r.value, Headers: headers})
	}
	if r := byID["x1"]; len(byID) != 1 || r == nil || r.Step != telemetry.StepExpired {
		t.Errorf("listed %+v", byID)
	}
}
