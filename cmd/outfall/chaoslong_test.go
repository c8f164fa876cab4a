//go:build soak && integration

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"outfall/internal/broker"
)

// TestChaosEmbedded is the long form of TestEndToEndChaosShort/embedded: the process of `outfall run` dies OUTFALL_TEST_KILLS times, and a
// fifth as often its influxd alone. `make chaos` runs it.
func TestChaosEmbedded(t *testing.T) {
	cfg, kills := chaosSettings(t)
	chaosEmbedded(t, cfg, kills, kills/5, 3*time.Second)
}

// TestChaosThreeNodes kills ingest, two workers, the sink and single nodes of a three-node Apache Kafka, OUTFALL_TEST_KILLS times together.
func TestChaosThreeNodes(t *testing.T) {
	cfg, kills := chaosSettings(t)
	prefix := fmt.Sprintf("chaos%d.", time.Now().UnixNano())
	kafka := broker.DefaultConfig()
	kafka.Brokers, kafka.TopicPrefix = strings.Split(env(t, "OUTFALL_TEST_KAFKA3"), ","), prefix
	nodes := kills * 3 / 20
	each := (kills - nodes) / 4
	chaosCluster(t, cfg, chaosBed{kafka: kafka, influx: influxQL{url: env(t, "OUTFALL_TEST_INFLUX1"), db: strings.Trim(prefix, ".")},
		ingest: each, workers: [2]int{each, each}, sink: kills - nodes - 3*each, run: 8 * time.Second,
		nodes: env(t, "OUTFALL_TEST_KAFKA3_DIR"), nodeKills: nodes})
}

// chaosSettings are those of the long form, with what the environment says.
func chaosSettings(t *testing.T) (cfg chaosConfig, kills int) {
	t.Helper()
	cfg = chaosConfig{seed: uint64(time.Now().UnixNano()), devices: 240, backfill: 5, pause: 3 * time.Second, calm: 10 * time.Second, limit: 90 * time.Minute}
	kills = 200
	var err error
	if text := os.Getenv("OUTFALL_TEST_SEED"); text != "" {
		if cfg.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("OUTFALL_TEST_SEED: %v", err)
		}
	}
	if text := os.Getenv("OUTFALL_TEST_KILLS"); text != "" {
		if kills, err = strconv.Atoi(text); err != nil || kills < 20 || kills > 10_000 {
			t.Fatalf("OUTFALL_TEST_KILLS=%q: want 20..10000", text)
		}
	}
	return cfg, kills
}
