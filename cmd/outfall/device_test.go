package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest"
	"outfall/internal/broker"
	"outfall/telemetry"
)

func TestDeviceStates(t *testing.T) {
	dir, err := os.MkdirTemp("", "of") // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cluster, stop := embedded(t, dir)
	defer stop()
	devices := []telemetry.Device{
		{MN: "A", PW: "topsecret", Outlet: "W1", OutletName: "main", Enterprise: "plant", Medium: "water", MinuteInterval: 10, OfflineAfter: 600},
		{MN: "B", Outlet: "W2", Enterprise: "plant", Medium: "gas", MinuteInterval: 10, OfflineAfter: 600},
	}
	if _, err := writeDevices(t.Context(), cluster, nil, devices); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	never := telemetry.Status{MN: "B", LastFrame: time.UnixMilli(0).UTC()} // as the stream stage says it
	status := &kgo.Record{Topic: cluster.Topic(telemetry.TopicStatus), Key: []byte("B"), Value: telemetry.AppendJSON(nil, &never),
		Headers: []kgo.RecordHeader{{Key: telemetry.HeaderSource, Value: []byte("1")}, {Key: telemetry.HeaderOrdinal, Value: []byte("0")}}}
	if err := publish(t.Context(), cluster, []*kgo.Record{status}); err != nil {
		t.Fatal(err)
	}
	ahead := int64(1500)
	gateways := []string{
		gateway(t, ingest.LiveSession{MN: "A", Gateway: "gw2", Conn: 7, Peer: "192.0.2.1:5", Via: "10.0.0.1:4", TLS: true, Edition: "2017", CRC: "hj", Devices: 2,
			Since: at, LastFrame: &at, LastCN: "2011", Frames: 3, Rejects: map[string]uint32{"crc": 2, "tail": 1}, QNOffsetMS: &ahead}),
		gateway(t, ingest.LiveSession{MN: "A", Gateway: "gw1", Conn: 9, Peer: "192.0.2.1:6", Since: at}, ingest.LiveSession{MN: "C", Gateway: "gw1", Conn: 8, Since: at}),
	}
	access := &dataAccess{cluster: cluster, cfg: &Config{}}
	states, err := deviceStates(t.Context(), access, gateways, "")
	if err != nil {
		t.Fatal(err)
	}
	var ls, show bytes.Buffer
	p, err := newPrinter(&ls, outputTable, "MN")
	if err != nil {
		t.Fatal(err)
	}
	for i := range states {
		if err := printState(p, &states[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"MN",
		"A W1 live 192.0.2.1:6 gw1/9 2026-03-01 08:00:00 - - 0 0 -",
		"A W1 live 192.0.2.1:5 gw2/7 2026-03-01 08:00:00 2026-03-01 08:00:00 2011 3 crc 2, tail 1 +1.5 s",
		"B W2 offline - - - - - - - -",
		"C - live gw1/8 2026-03-01 08:00:00 - - 0 0 -",
	}
	if got := squeezed(ls.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("ls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if p, err = newPrinter(&show, outputTable); err != nil {
		t.Fatal(err)
	}
	if err := showState(p, &states[0]); err != nil {
		t.Fatal(err)
	}
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"outlet W1 main, plant", "session gw2/7, live since 2026-03-01 08:00:00",
		"peer 192.0.2.1:5, TLS, by way of 10.0.0.1:4, 2 devices on this connection", "speaks 2017, CRC hj", "rejects crc 2, tail 1", "clock by QN +1.500 s"} {
		if !strings.Contains(strings.Join(squeezed(show.String()), "\n"), line) {
			t.Errorf("show has no line %q:\n%s", line, show.String())
		}
	}
}

// squeezed is the lines of a table with single blanks.
func squeezed(table string) (lines []string) {
	for line := range strings.Lines(table) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

// gateway is an admin server that has some sessions.
func gateway(t *testing.T, sessions ...ingest.LiveSession) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range sessions {
			if mn := r.URL.Query().Get("mn"); r.URL.Path == "/sessions" && (mn == "" || mn == sessions[i].MN) {
				_, _ = w.Write(append(telemetry.AppendJSON(nil, &sessions[i]), '\n')) // the test sees what is missing
			}
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestGatewayOutOfReach(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	addr := strings.TrimPrefix(gone.URL, "http://")
	access := &dataAccess{cfg: &Config{}}
	_, err := liveSessions(t.Context(), access, []string{addr}, "A")
	if exitCode(err, true) != exitUnreachable || !strings.Contains(err.Error(), "404 Not Found") || !strings.Contains(err.Error(), "--admin") {
		t.Errorf("no such page: %v", err)
	}
	gone.Close()
	if _, err := liveSessions(t.Context(), access, []string{addr}, "A"); exitCode(err, true) != exitUnreachable {
		t.Errorf("nobody there: %v", err)
	}
}

func TestMaskPasswords(t *testing.T) {
	for in, want := range map[string]string{
		`{"mn":"A","pw":"to\"p","outlet":"W","pwNext":"\\n"}`: `{"mn":"A","pw":"***","outlet":"W","pwNext":"***"}`,
		`{"mn":"A","pw":""}`: `{"mn":"A","pw":""}`,
		"##0101QN=1;ST=32;CN=2011;PW=top;MN=A;CP=&&NewPW=t1&&": "##0101QN=1;ST=32;CN=2011;PW=***;MN=A;CP=&&NewPW=***&&",
		"a01001-Rtd=3;pw=x": "a01001-Rtd=3;pw=***",
	} {
		if got := maskPasswords(in); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
		}
	}
}

func embedded(t *testing.T, dir string) (*broker.Cluster, func()) {
	t.Helper()
	b, err := broker.StartEmbedded(dir, broker.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return b.Cluster(), func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
