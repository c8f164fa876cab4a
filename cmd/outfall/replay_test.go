package main

import (
	"testing"
	"time"

	"outfall/stream"
	"outfall/telemetry"
)

func TestProgressText(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		took        time.Duration
		want        string
	}{
		{0, 0, 0, "0 of 0 records"},
		{0, 500, 2 * time.Second, "0 of 500 records, 0 %"},
		{100, 500, 2 * time.Second, "100 of 500 records, 20 %, 50/s, about 8s left"},
		{600, 500, 2 * time.Second, "600 of 500 records, 100 %, 300/s"}, // others wrote meanwhile
		{1_000_000, 240_000_000, 5 * time.Second, "1000000 of 240000000 records, 0 %, 200000/s, about 19m55s left"},
	} {
		if got := progressText(c.done, c.total, c.took); got != c.want {
			t.Errorf("%d of %d after %v: %q, want %q", c.done, c.total, c.took, got, c.want)
		}
	}
}

// The three ways to name a point give the same.
func TestTraceNames(t *testing.T) {
	at := time.Date(2026, 7, 1, 2, 0, 0, 0, time.UTC)
	want := stream.TraceOptions{MN: "A1", Factor: "w01018", Stat: telemetry.StatHour, Time: at, Rev: -1}
	for _, args := range [][]string{
		{"A1", "w01018", "hour", "2026-07-01 10:00"},
		{"A1", "w01018", "hour", "2026-07-01T02:00:00Z"},
		{`mean,factor=w01018,mn=A1,outlet=W\ 01,stat=hour avg=30.5,rev=0i 1782871200000000000`},
		{`mean,factor=w01018,mn=A1,outlet=W\ 01,stat=hour 1782871200000000000`},
	} {
		o := traceOptions{form: traceText, rev: -1}
		got, err := o.parse(args)
		if err != nil || got != want {
			t.Errorf("%q: %+v (%v), want %+v", args, got, err, want)
		}
	}
	o := traceOptions{form: traceText, rev: -1, event: "cleared"}
	if got, err := o.parse([]string{"0123456789abcdef"}); err != nil || got.Alarm != "0123456789abcdef" || got.Event != telemetry.AlarmCleared {
		t.Errorf("an alarm: %+v (%v)", got, err)
	}
	if _, err := o.parse([]string{"A1", "w01018", "hour", "2026-07-01"}); err == nil {
		t.Error("a point's event was taken")
	}
}
