package stream

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

func TestDecodeEntry(t *testing.T) {
	at := time.Date(2026, 3, 1, 2, 0, 0, 123_456_789, time.FixedZone("x", 3600))
	tests := []struct {
		name, kind, key, why string
		want                 telemetry.Kind // 0: refused
	}{
		{"frame", "frame", "MN1", "", telemetry.KindFrame},
		{"reject carries its reason", "reject", "MN1", "crc", telemetry.KindReject},
		{"tick has no device", "tick", "", "", telemetry.KindTick},
		{"rules have no device", "rules", "", "", telemetry.KindRules},
		{"command", "command", "MN1", "", telemetry.KindCommand},
		{"outcome", "outcome", "MN1", "", telemetry.KindOutcome},
		{"command without a device", "command", "", "", 0},
		{"frame without a device", "frame", "", "", 0},
		{"session without a device", "session", "", "", 0},
		{"mark", "mark", "MN1", "", telemetry.KindMark},
		{"mark without a device", "mark", "", "", 0},
		{"kind of a later version", "unheard-of", "MN1", "", 0},
		{"no kind", "", "MN1", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := &kgo.Record{Partition: 3, Offset: 9, Key: []byte(tt.key), Value: []byte("v"), Timestamp: at}
			if tt.kind != "" {
				rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: telemetry.HeaderKind, Value: []byte(tt.kind)})
			}
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: telemetry.HeaderReason, Value: []byte(tt.why)})
			e, err := decodeEntry(rec)
			if (err != nil) != (tt.want == 0) || e.Kind != tt.want {
				t.Fatalf("decodeEntry = %v, %v, want kind %v", e, err, tt.want)
			}
			if err != nil {
				return
			}
			if e.Partition != 3 || e.Offset != 9 || e.MN != tt.key || e.Reason != tt.why || !e.Received.Equal(at.Truncate(time.Millisecond)) || e.Received.Location() != time.UTC {
				t.Errorf("decodeEntry = %+v", e)
			}
		})
	}
}

func TestTickRecordIsAnEntry(t *testing.T) {
	now := time.Date(2026, 3, 1, 2, 0, 0, 123_456_789, time.UTC)
	e, err := decodeEntry(tickRecord("journal", 2, now))
	if err != nil || e.Kind != telemetry.KindTick || string(e.Value) != `{"t":"2026-03-01T02:00:00.123Z"}` {
		t.Errorf("tick is %+v %q, %v", e, e.Value, err)
	}
}

func TestOutputRecordKeepsItsPosition(t *testing.T) {
	want := telemetry.Position{Source: 1 << 40, Ordinal: 17}
	rec := outputRecord("points", 1, time.UnixMilli(5), &telemetry.Output{MN: "M", Value: []byte("x"), Pos: want})
	if got, err := recordPosition(rec); err != nil || got != want {
		t.Errorf("position %v, %v, want %v", got, err, want)
	}
	if _, err := recordPosition(&kgo.Record{}); err == nil {
		t.Error("a record without position headers has a position")
	}
}

func TestConfigValidate(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Snapshots.Location = "d"
	if err := cfg.Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	if err := (Config{}).Validate(); err == nil || len(err.(interface{ Unwrap() []error }).Unwrap()) != 8 {
		t.Errorf("zero value: %v, want all 8 faults", err)
	}
}
