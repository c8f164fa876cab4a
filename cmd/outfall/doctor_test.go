package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
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
