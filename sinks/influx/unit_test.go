package influx

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ihttp "github.com/influxdata/influxdb-client-go/v2/api/http"
)

func TestCutLine(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"one", `m v=1i 1`, []string{`m v=1i 1`}},
		{"two and a last newline", "m v=1i 1\nm v=2i 2\n", []string{`m v=1i 1`, `m v=2i 2`}},
		{"newline within a string", "m v=\"a\nb\" 1\nm v=2i 2", []string{"m v=\"a\nb\" 1", `m v=2i 2`}},
		{"escaped quote within a string", "m v=\"a\\\"\nb\" 1\nx v=1", []string{"m v=\"a\\\"\nb\" 1", "x v=1"}},
		{"quotes are letters in a tag", "m,t=\"a v=1\nm v=2", []string{`m,t="a v=1`, `m v=2`}},
		{"escaped space is no end of the tags", "m,t=a\\ =\"b v=1\nm v=2", []string{`m,t=a\ ="b v=1`, `m v=2`}},
		{"blank lines", "\n\nm v=1\n\n", []string{"m v=1"}},
		{"ends in a backslash", `m v=1 \`, []string{`m v=1 \`}},
		{"quote first", `"`, []string{`"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b batch
			b.add(record{value: []byte(tt.in)})
			var got []string
			for _, l := range b.lines {
				got = append(got, string(l.text))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q splits into %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestClassify(t *testing.T) {
	influx := http.Header{"X-Influxdb-Version": {"1.8.10"}}
	for _, tt := range []struct {
		name string
		err  error
		want fault
	}{
		{"taken", nil, faultNone},
		{"connection refused", errors.New("dial tcp: connection refused"), faultUnavailable},
		{"connection refused, by the client", &ihttp.Error{Err: errors.New("dial tcp")}, faultUnavailable},
		{"503", &ihttp.Error{StatusCode: 503}, faultUnavailable},
		{"500", &ihttp.Error{StatusCode: 500, Message: "engine is closed", Header: influx}, faultUnavailable},
		{"429", &ihttp.Error{StatusCode: 429}, faultUnavailable},
		{"400", &ihttp.Error{StatusCode: 400, Header: influx}, faultData},
		{"422 of 2.x", &ihttp.Error{StatusCode: 422, Header: influx}, faultData},
		{"500 of 2.0 for a type conflict", &ihttp.Error{StatusCode: 500, Message: "partial write: field type conflict", Header: influx}, faultData},
		{"400 of another server", &ihttp.Error{StatusCode: 400}, faultConfig},
		{"413 of a proxy", &ihttp.Error{StatusCode: 413}, faultData},
		{"401", &ihttp.Error{StatusCode: 401, Header: influx}, faultConfig},
		{"404", &ihttp.Error{StatusCode: 404, Header: influx}, faultConfig},
	} {
		if got := classify(tt.err); got != tt.want {
			t.Errorf("%s: fault %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
	c := Config{URL: "http://user:hunter2@host", Bucket: "a/", TokenFile: filepath.Join(t.TempDir(), "none")}
	err := c.Validate()
	for _, want := range []string{"influx.url: ", "influx.bucket: ", "influx.token_file: ", "influx.batch_lines: 0 is not in 1..100000",
		"influx.batch_bytes: ", "influx.flush_interval: 0s is not in 1ms..1m0s", "influx.timeout: ", "influx.max_retry_interval: ", "influx.fetch_bytes: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password is printed: %v", err)
	}
}

func TestTokenIsSentAndNotPrinted(t *testing.T) {
	in := newFakeInflux(t)
	var sent string
	inner := in.Config.Handler
	in.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header.Get("Authorization")
		inner.ServeHTTP(w, r)
	})
	c := testConfig(in.URL)
	c.TokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(c.TokenFile, []byte("user:secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureDatabase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sent != "Token user:secret" {
		t.Errorf("Authorization %q", sent)
	}
	c.Bucket = `db/keep "1"`
	if err := c.EnsureDatabase(t.Context()); err == nil || !strings.Contains(err.Error(), "no retention policy") || strings.Contains(err.Error(), "secret") {
		t.Errorf("EnsureDatabase = %v, want a missing retention policy and no secret", err)
	}
}
