package ingest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

func sessions(t *testing.T, in *Intake, query string) map[string]LiveSession {
	t.Helper()
	w := httptest.NewRecorder()
	in.ServeSessions(w, httptest.NewRequest(http.MethodGet, "/sessions"+query, nil))
	all := map[string]LiveSession{}
	for line := range strings.Lines(w.Body.String()) {
		var s LiveSession
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all[s.MN] = s
	}
	return all
}

func TestServeSessions(t *testing.T) {
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "A", CRC: "modbus"}, telemetry.Device{MN: "B", PW: "secret"}, telemetry.Device{MN: "W", Edition: "surface-water"})
	a := f.dial(Peer{Addr: "192.0.2.9:7", Via: "10.0.0.1:80", TLS: true, Certs: []string{"x"}})
	a.send("junk" + seal(hj212.DialectModbus, data("A", "", 5)))
	f.now = f.now.Add(90 * time.Second) // the QN and the DataTime of data are 2026-03-01 00:00:00 UTC, as start is
	a.send(seal(hj212.DialectModbus, data("A", "", 5)))
	a.send(seal(hj212.DialectModbus, strings.Replace(data("A", "", 9), "CN=2011", "CN=2051", 1)) + "##0001xA")
	b := f.from(2)
	b.send(seal(0, data("B", "wrong", 5)) + seal(0, strings.Replace(data("B", "secret", 1), "QN=20260301080000000", "QN=abc", 1)))
	b.send(seal(0, strings.Replace(data("W", "", 5), "CN=2011", "CN=2061", 1)))
	minute := int64(-90_000)
	at := f.now
	got := sessions(t, f.in, "?mn=A")
	want := map[string]LiveSession{"A": {
		MN: "A", Gateway: "gw1", Conn: 1, Peer: "192.0.2.9:7", Via: "10.0.0.1:80", TLS: true, Edition: "2025", CRC: "modbus", Devices: 1,
		Since: start, LastFrame: &at, LastCN: "2051", Frames: 3, Rejects: map[string]uint32{"garbage": 1},
		QNOffsetMS: &minute, DataTimeOffsetMS: &minute,
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("?mn=A\n%+v, want\n%+v", got, want)
	}
	all := sessions(t, f.in, "")
	if len(all) != 3 || all["B"].Edition != "2005" || all["W"].Edition != "surface-water" || all["B"].Devices != 2 ||
		!reflect.DeepEqual(all["B"].Rejects, map[string]uint32{"wrong_pw": 1}) || all["B"].QNOffsetMS != nil || *all["B"].DataTimeOffsetMS != minute {
		t.Errorf("all: %+v", all)
	}
	f.j.room = 1 << 20
	b.s.Feed([]byte(seal(0, data("B", "secret", 5))), f.now, false) // not durable yet
	if s := sessions(t, f.in, "?mn=B")["B"]; s.UnackedBytes < 150 || s.Frames != 2 {
		t.Errorf("%d bytes under way and %d frames", s.UnackedBytes, s.Frames)
	}
	f.j.settle(nil)
	if len(sessions(t, f.in, "?mn=NOBODY")) != 0 {
		t.Error("a device that is not there is listed")
	}
	b.close(CausePeer)
	if all = sessions(t, f.in, ""); len(all) != 1 {
		t.Errorf("after the end of a connection: %+v", all)
	}
}

func TestServeSessionsIsBounded(t *testing.T) {
	f := newFront(t, PolicyNewest)
	for range maxListings {
		f.in.listings <- struct{}{}
	}
	w := httptest.NewRecorder()
	f.in.ServeSessions(w, httptest.NewRequest(http.MethodGet, "/sessions", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d with %d listings under way", w.Code, maxListings)
	}
}

// The downlink hears of a device where it is, whatever connections come and go around it.
func TestDownlinkFollowsTheDevice(t *testing.T) {
	for _, policy := range []SessionPolicy{PolicyNewest, PolicyRefuse, PolicyOff} {
		f := newFront(t, policy, telemetry.Device{MN: "A"}, telemetry.Device{MN: "B"})
		d := NewDownlink(DefaultDownlinkConfig(), "gw1", f.reg, f.j, nil, prometheus.NewRegistry(), zerolog.Nop())
		f.in.downlink, f.in.live.downlink = d, d
		at := func(want Line) {
			t.Helper()
			if s := d.seats["A"]; want == nil && s != nil && s.line != nil || want != nil && (s == nil || s.line != want) {
				t.Errorf("%s: the downlink has not followed: %+v", policy, s)
			}
		}
		first, second := f.from(1), f.from(2)
		first.send(seal(0, data("A", "", 5)) + seal(0, data("B", "", 5)))
		at(first)
		second.send(seal(0, data("A", "", 5)))
		now, left := second, first
		if policy == PolicyRefuse {
			now, left = first, second
		}
		at(now)
		left.close(CausePeer)
		at(now)
		now.close(CausePeer)
		at(nil)
		third, fourth := f.from(3), f.from(4)
		third.send(seal(0, data("A", "", 5)))
		if policy == PolicyOff {
			fourth.send(seal(0, data("A", "", 5)))
			at(fourth)
			fourth.close(CausePeer)
		}
		at(third)
		d.seats["A"].open = &dialogue{cmd: telemetry.Command{CN: "1011", ID: "x7"}}
		d.talkers("A").Add(1)
		if got := sessions(t, f.in, "?mn=A")["A"].Command; got != "1011 x7" {
			t.Errorf("the open command is %q", got)
		}
	}
}
