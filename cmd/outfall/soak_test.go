//go:build soak && integration

package main

import (
	"os"
	"testing"
	"time"
)

// TestSoak is the long form of TestEndToEndSoakShort: 15,000 connections for OUTFALL_TEST_SOAK, 30 minutes by default. It needs 20,000 open
// files and two cores; `make soak` runs it.
func TestSoak(t *testing.T) {
	duration := 30 * time.Minute
	if text := os.Getenv("OUTFALL_TEST_SOAK"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil || duration < 5*time.Minute {
			t.Fatalf("OUTFALL_TEST_SOAK=%q: want a duration of at least 5m", text)
		}
	}
	soak(t, soakConfig{devices: 15_000, period: 9 * time.Second, ramp: 30 * time.Second, duration: duration, sample: 10 * time.Second})
}
