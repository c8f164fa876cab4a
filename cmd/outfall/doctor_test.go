package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"outfall/internal/broker"
)

// TestDoctorInfluxVersion: a server that does not know its version is not said to have one.
func TestDoctorInfluxVersion(t *testing.T) {
	for version, want := range map[string]string{"1.8.10": " answers, version 1.8.10", "unknown": " answers", "": " answers"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Influxdb-Version", version)
			w.WriteHeader(http.StatusNoContent)
		}))
		defer server.Close()
		cfg := defaultConfig(t.TempDir())
		cfg.Influx.URL = server.URL
		if row := checkInflux(t.Context(), cfg, nil); !row.OK || row.Detail != server.URL+want {
			t.Errorf("version %q: %+v, want %q", version, row, want)
		}
	}
}

func TestCheckMemory(t *testing.T) {
	cfg := &Config{Kafka: broker.DefaultConfig()}
	if row := checkMemory(cfg, 8<<30); !row.OK || row.Detail != "8192 MiB; opening a full log after a kill may need 4096 MiB" {
		t.Errorf("8 GiB: %+v", row)
	}
	row := checkMemory(cfg, 1<<30)
	if row.OK || row.Fix != "lower kafka.retention_bytes to 16777216: what the journal drops is archived" {
		t.Errorf("1 GiB: %+v", row)
	}
	cfg.Kafka.RetentionBytes = 16 << 20
	if row := checkMemory(cfg, 1<<30); !row.OK {
		t.Errorf("as the fix says: %+v", row)
	}
	if memoryLimit() < 64<<20 {
		t.Errorf("the limit here: %d", memoryLimit())
	}
}
