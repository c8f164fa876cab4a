package main

import (
	"bytes"
	"strings"
	"testing"
)

// Where devices connect by TLS is said beside the plain address: with port 0 nothing else tells it.
func TestGreetTLS(t *testing.T) {
	for _, tt := range []struct{ tls, want string }{
		{"127.0.0.1:9213", "devices connect to  127.0.0.1:9212  by TLS 127.0.0.1:9213\n"},
		{"", "devices connect to  127.0.0.1:9212\n"},
	} {
		var out bytes.Buffer
		greet(&out, runInfo{Ingest: "127.0.0.1:9212", TLS: tt.tls}, "data")
		if !strings.Contains(out.String(), tt.want) {
			t.Errorf("TLS %q: %q has no %q", tt.tls, out.String(), tt.want)
		}
	}
}
