package ingest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// front is an intake with any number of connections, all on the test's goroutine.
type front struct {
	t   testing.TB
	in  *Intake
	j   *journal
	reg registry
	now time.Time
}

func newFront(t testing.TB, policy SessionPolicy, devices ...telemetry.Device) *front {
	f := &front{t: t, j: &journal{room: 1 << 20}, reg: registry{}, now: start}
	for _, d := range devices {
		f.reg.put(d)
	}
	cfg := DefaultConfig()
	cfg.OneSession, cfg.MaxFrame = policy, 9999
	f.in = NewIntake(cfg, f.reg, f.j, nil, prometheus.NewRegistry(), zerolog.Nop())
	return f
}

// link is one connection of a front. It implements Line.
type link struct {
	f      *front
	s      *Session
	buf    []byte
	hungup Cause
	closed bool
}

func (f *front) dial(peer Peer) *link {
	l := &link{f: f}
	l.s = f.in.Open(peer, f.now, l)
	return l
}

// from is dial from a port of 192.0.2.1.
func (f *front) from(port int) *link { return f.dial(Peer{Addr: fmt.Sprintf("192.0.2.1:%d", port)}) }

func (l *link) Completed(c *Completion) { l.s.Settle(c) }
func (l *link) Send(frame []byte)       { l.s.Queue(frame) }
func (l *link) Hangup(cause Cause)      { l.hungup = cause }

// send offers data, closes the connection as an event loop would when it is full of garbage, and returns the frames that come back; one
// empty string for none.
func (l *link) send(data string) (replies []string) {
	l.f.t.Helper()
	l.buf = append(l.buf, data...)
	n, state := l.s.Feed(l.buf, l.f.now, false)
	l.buf = l.buf[n:]
	if state == StateGarbage {
		l.close(CauseGarbage)
		return nil
	}
	l.f.j.settle(nil)
	var out strings.Builder
	if err := l.s.FlushAcks(&out); err != nil {
		l.f.t.Fatal(err)
	}
	replies = strings.SplitAfter(out.String(), "\n")
	return replies[:max(1, len(replies)-1)]
}

func (l *link) close(cause Cause) {
	if !l.closed {
		l.closed = true
		l.s.Close(cause, len(l.buf), l.f.now)
	}
}

// story renders the journal's and the rejects topic's records: "frame MN conn", "reject KEY reason", "open MN conn", "close MN conn cause",
// "second MN conn cause other".
func (f *front) story() (lines []string) {
	for _, rec := range f.j.recs {
		switch rec.Kind {
		case telemetry.KindFrame:
			lines = append(lines, fmt.Sprintf("frame %s %s", rec.Key, rec.Origin.Conn))
		case telemetry.KindReject:
			lines = append(lines, fmt.Sprintf("reject %s %s", rec.Key, rec.Reason))
		default:
			var s telemetry.Session
			if err := json.Unmarshal(rec.Value, &s); err != nil {
				f.t.Fatal(err)
			}
			if s.MN != rec.Key || fmt.Sprint(s.Conn) != rec.Origin.Conn || s.Peer != rec.Origin.Peer {
				f.t.Errorf("entry %s under key %s, connection %s", rec.Value, rec.Key, rec.Origin.Conn)
			}
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %d %s %s", s.Event, s.MN, s.Conn, s.Cause, s.Other)))
		}
	}
	return lines
}

// want compares the story with lines, and forgets it.
func (f *front) want(lines ...string) {
	f.t.Helper()
	if got := f.story(); strings.Join(got, "\n") != strings.Join(lines, "\n") {
		f.t.Errorf("records\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(lines, "\n "))
	}
	f.j.recs = nil
	if s := f.in.Stats(); s.Received != s.Journaled+s.Rejected {
		f.t.Errorf("received %d, journaled %d, rejected %d: a frame is lost or doubled", s.Received, s.Journaled, s.Rejected)
	}
}

// seal puts a segment into its envelope, with the CRC of a dialect.
func seal(d hj212.Dialect, segment string) string {
	return fmt.Sprintf("##%04d%s%04X\r\n", len(segment), segment, d.Sum([]byte(segment)))
}

// unseal checks the envelope of a reply and returns its segment.
func unseal(t testing.TB, d hj212.Dialect, reply string) string {
	t.Helper()
	fr, n, err := hj212.Framer{CRC: d}.Next([]byte(reply), true)
	if err != nil || n != len(reply) {
		t.Fatalf("reply %q in dialect %v: %v", reply, d, err)
	}
	return string(fr.Data)
}

func data(mn, pw string, flag int) string {
	return fmt.Sprintf("QN=20260301080000000;ST=32;CN=2011;PW=%s;MN=%s;Flag=%d;CP=&&DataTime=20260301080000;w01018-Rtd=40.1,w01018-Flag=N&&", pw, mn, flag)
}
