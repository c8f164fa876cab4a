package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

const (
	mn1 = "010000A8900016F000169DC0"
	mn2 = "88888880000001" // need not end its frames with CR LF
	mn3 = "LD130133000015" // has no password
)

// journal records what is published; it is full when room is 0.
type journal struct {
	room int
	recs []Record
	done []func(error)
}

func (j *journal) Publish(rec Record, done func(error)) error {
	if j.room == 0 {
		return ErrFull
	}
	j.room--
	rec.Value = bytes.Clone(rec.Value) // ours until done only
	j.recs = append(j.recs, rec)
	j.done = append(j.done, done)
	return nil
}

func (j *journal) Flush(context.Context) error { return nil }

// settle completes everything published so far.
func (j *journal) settle(err error) {
	for _, done := range j.done {
		done(err)
	}
	j.done = nil
}

// lines renders records as "topic kind key reason value".
func (j *journal) lines() (lines []string) {
	for _, r := range j.recs {
		v := string(r.Value)
		if len(v) > 24 {
			v = fmt.Sprintf("%d bytes", len(v))
		}
		line := []string{r.Topic.String(), r.Kind.String(), r.Key, r.Reason.String(), v}
		if r.Kind == telemetry.KindSession {
			line[4] = "close"
			if strings.Contains(string(r.Value), `"event":"open"`) {
				line[4] = "open"
			}
		}
		lines = append(lines, strings.Join(strings.Fields(strings.Join(line, " ")), " "))
	}
	return lines
}

type registry map[string]*Device

func (r registry) Lookup(mn []byte) *Device { return r[string(mn)] }
func (r registry) Loaded() bool             { return r != nil }

func (r registry) put(d telemetry.Device) { r[d.MN] = NewDevice(d) }

func devices() registry {
	r := registry{}
	r.put(telemetry.Device{MN: mn1, PW: "123456"})
	r.put(telemetry.Device{MN: mn2, TolerantTail: true})
	r.put(telemetry.Device{MN: mn3})
	return r
}

type rig struct {
	t    *testing.T
	in   *Intake
	j    *journal
	s    *Session
	acks bytes.Buffer
	buf  []byte

	hungup Cause
}

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func newRig(t *testing.T, cfg Config, reg registry) *rig {
	r := &rig{t: t, j: &journal{room: 1000}}
	r.in = NewIntake(cfg, reg, r.j, nil, prometheus.NewRegistry(), zerolog.Nop())
	r.s = r.in.Open(Peer{Addr: "192.0.2.1:4000"}, start, r)
	return r
}

// Completed implements Line: the test's goroutine is the session's.
func (r *rig) Completed(c *Completion) { r.s.Settle(c) }

// Send implements Line.
func (r *rig) Send(frame []byte) { r.s.Queue(frame) }

// Hangup implements Line.
func (r *rig) Hangup(cause Cause) { r.hungup = cause }

// feed appends to the buffer and drops what the session takes, as a connection does.
func (r *rig) feed(data string, eof bool) State {
	r.buf = append(r.buf, data...)
	n, state := r.s.Feed(r.buf, start, eof)
	r.buf = r.buf[n:]
	return state
}

// settle completes all records and returns the CN of the acks that were written for it.
func (r *rig) settle(err error) (cns []string) {
	r.t.Helper()
	r.j.settle(err)
	if err := r.s.FlushAcks(&r.acks); err != nil {
		r.t.Fatal(err)
	}
	out := r.acks.Bytes()
	for len(out) > 0 {
		f, n, err := hj212.Framer{}.Next(out, true)
		var m hj212.Message
		if err != nil || m.Parse(f.Data) != nil {
			r.t.Fatalf("ack %q: %v", out, err)
		}
		cns = append(cns, string(m.CN))
		out = out[n:]
	}
	r.acks.Reset()
	return cns
}

func frame(seg string) string { return string(hj212.AppendFrame(nil, []byte(seg))) }

func upload(mn, pw, cn string, flag int) string {
	return frame(fmt.Sprintf("QN=20260301080000000;ST=32;CN=%s;PW=%s;MN=%s;Flag=%d;CP=&&DataTime=20260301080000;w01018-Rtd=40.1,w01018-Flag=N&&", cn, pw, mn, flag))
}

func badCRC(f string) string {
	b := []byte(f)
	b[len(b)-4] ^= 1
	return string(b)
}

func TestSessionJudges(t *testing.T) {
	good := upload(mn1, "123456", "2011", 5)
	long := frame("QN=20260301080000000;ST=32;CN=3020;PW=123456;MN=" + mn1 + ";Flag=5;CP=&&i11001-Info=//" + strings.Repeat("x", 9999-104) + "//&&")
	size := func(s string) string { return fmt.Sprintf("%d bytes", len(s)) }
	open := "journal session " + mn1 + " open"
	accepted := "journal frame " + mn1 + " " + size(good)
	for _, tt := range []struct {
		name, in string
		want     []string
		acks     []string
		change   func(*Config)
	}{
		{"upload", good, []string{open, accepted}, []string{"9014"}, nil},
		{"no answer wanted", upload(mn1, "123456", "2011", 4), []string{open, accepted}, nil, nil},
		{"notice", upload(mn1, "123456", "1013", 5), []string{open, accepted}, []string{"9013"}, nil},
		{"heartbeat of 2025", upload(mn1, "123456", "9015", 9), []string{open, accepted}, []string{"9013"}, nil},
		{"private command", upload(mn1, "123456", "3040", 5), []string{open, accepted}, []string{"9014"}, nil},
		{"reply of the device", upload(mn1, "123456", "9012", 5), []string{open, accepted}, nil, nil},
		{"two in one read", good + good, []string{open, accepted, accepted}, []string{"9014", "9014"}, nil},
		{"wrong password", upload(mn1, "000000", "2011", 5), []string{"journal reject " + mn1 + " wrong_pw " + size(good)}, nil, nil},
		{"no password in the registry", upload(mn3, "whatever", "2011", 1),
			[]string{"journal session " + mn3 + " open", "journal frame " + mn3 + " " + size(upload(mn3, "whatever", "2011", 1))}, []string{"9014"}, nil},
		{"unknown device", upload("NOBODY", "123456", "2011", 5),
			[]string{"rejects reject gw1/1 unknown_mn " + size(upload("NOBODY", "123456", "2011", 5))}, nil, nil},
		{"unknown device admitted", upload("NOBODY", "123456", "2011", 5),
			[]string{"journal session NOBODY open", "journal frame NOBODY " + size(upload("NOBODY", "123456", "2011", 5))}, []string{"9014"},
			func(c *Config) { c.UnknownDevices = PolicyAdmit }},
		{"no MN", frame("ST=32;CN=2011;CP=&&&&"), []string{"rejects reject gw1/1 bad_mn " + size(frame("ST=32;CN=2011;CP=&&&&"))}, nil, nil},
		{"no field", frame("x"), []string{"rejects reject gw1/1 segment ##0001x" + frame("x")[7:11]}, nil, nil},
		{"bad CRC before the device is known", badCRC(good) + good,
			[]string{"rejects reject gw1/1 crc " + size(good), open, accepted}, []string{"9014"}, nil},
		{"bad CRC after it", good + badCRC(good) + good,
			[]string{open, accepted, "journal reject " + mn1 + " crc " + size(good), accepted}, []string{"9014", "9014"}, nil},
		{"bad frame of a dispatcher", good + upload(mn3, "", "2011", 4) + "junk" + good,
			[]string{open, accepted, "journal session " + mn3 + " open", "journal frame " + mn3 + " " + size(upload(mn3, "", "2011", 4)),
				"rejects reject gw1/1 garbage junk", accepted}, []string{"9014", "9014"}, nil},
		{"tolerant device without a tail", strings.TrimRight(upload(mn2, "", "2011", 5), "\r\n"),
			[]string{"journal session " + mn2 + " open", "journal frame " + mn2 + " " + size(upload(mn2, "", "2011", 5)[2:])}, []string{"9014"}, nil},
		{"strict device without a tail", strings.TrimRight(good, "\r\n") + good,
			[]string{"rejects reject gw1/1 tail " + size(good[2:]), open, accepted}, []string{"9014"}, nil},
		{"9,999 bytes", long, []string{open, "journal frame " + mn1 + " " + size(long)}, []string{"9014"}, func(c *Config) { c.MaxFrame = 9999 }},
		{"one device too many", good + upload(mn3, "", "2011", 5),
			[]string{open, accepted, "rejects reject gw1/1 too_many_devices " + size(upload(mn3, "", "2011", 5))}, []string{"9014"},
			func(c *Config) { c.MaxDevices = 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig()
			if tt.change != nil {
				tt.change(&cfg)
			}
			whole := newRig(t, cfg, devices())
			if st := whole.feed(tt.in, false); st != StateReady || len(whole.buf) > 0 {
				t.Errorf("state %d with %d bytes left, want everything taken", st, len(whole.buf))
			}
			if whole.acks.Len() > 0 || whole.s.out != nil {
				t.Error("acknowledged before it was durable")
			}
			if got := whole.settle(nil); !reflect.DeepEqual(got, tt.acks) {
				t.Errorf("acks %v, want %v", got, tt.acks)
			}
			if got := whole.j.lines(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("records\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(tt.want, "\n "))
			}
			// Where TCP cuts the stream changes nothing.
			if len(tt.in) < 2000 {
				cut := newRig(t, cfg, devices())
				for i := range tt.in {
					cut.feed(tt.in[i:i+1], false)
				}
				if got := cut.j.lines(); !reflect.DeepEqual(got, tt.want) {
					t.Errorf("cut into bytes: records\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(tt.want, "\n "))
				}
			}
			checkSums(t, whole.in)
		})
	}
}

// checkSums is invariant 2: received = journaled + rejected.
func checkSums(t *testing.T, in *Intake) {
	t.Helper()
	if s := in.Stats(); s.Received != s.Journaled+s.Rejected {
		t.Errorf("received %d, journaled %d, rejected %d: a frame is lost or doubled", s.Received, s.Journaled, s.Rejected)
	}
}

func TestSessionFullJournal(t *testing.T) {
	good := upload(mn1, "123456", "2011", 5)
	for room := range 4 { // refused at the open entry, at the first frame, at the reject, at the second frame
		r := newRig(t, DefaultConfig(), devices())
		r.j.room = room
		in := good + badCRC(good) + good
		if st := r.feed(in, false); st != StateFull {
			t.Fatalf("room %d: state %d, want full", room, st)
		}
		if st := r.feed("", false); st != StateFull {
			t.Fatalf("room %d: asked again: state %d, want full", room, st)
		}
		r.j.room = 100
		if st := r.feed("", false); st != StateReady || len(r.buf) > 0 {
			t.Fatalf("room %d: state %d with %d bytes left after room was made", room, st, len(r.buf))
		}
		if got := r.settle(nil); len(got) != 2 {
			t.Errorf("room %d: acks %v, want two", room, got)
		}
		if got := len(r.j.recs); got != 4 {
			t.Errorf("room %d: %d records, want open, frame, reject, frame", room, got)
		}
		checkSums(t, r.in)
	}
}

func TestSessionUnackedBound(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxUnackedBytes = 1500
	r := newRig(t, cfg, devices())
	good := upload(mn1, "123456", "2011", 5)
	if st := r.feed(strings.Repeat(good, 5), false); st != StateUnacked {
		t.Fatalf("state %d, want unacked", st)
	}
	taken := 0
	for range 10 {
		taken += len(r.settle(nil))
		if r.feed("", false) == StateReady {
			break
		}
	}
	if taken += len(r.settle(nil)); taken != 5 {
		t.Errorf("%d acks, want 5", taken)
	}
}

func TestSessionWaitsForRegistry(t *testing.T) {
	r := newRig(t, DefaultConfig(), nil)
	if st := r.feed(upload(mn1, "123456", "2011", 5), false); st != StateFull || len(r.j.recs) > 0 {
		t.Errorf("state %d, %d records before the registry is loaded", st, len(r.j.recs))
	}
}

func TestSessionPublishError(t *testing.T) {
	r := newRig(t, DefaultConfig(), devices())
	r.feed(upload(mn1, "123456", "2011", 5), false)
	if got := r.settle(errors.New("no such topic")); got != nil {
		t.Errorf("acks %v for a lost record", got)
	}
	s := r.in.Stats()
	if s.RejectedBy[ReasonPublishError] != 1 || s.SessionsLost != 1 || s.Acked != 0 {
		t.Errorf("stats %+v, want one publish_error and one lost session entry", s)
	}
	checkSums(t, r.in)
}

func TestSessionGarbage(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxGarbageBytes = 20000
	r := newRig(t, cfg, devices())
	if st := r.feed(strings.Repeat("x", 100_000), false); st != StateGarbage {
		t.Errorf("state %d, want garbage", st)
	}
	kept := 0
	for _, rec := range r.j.recs {
		if len(rec.Value) > 16<<10 {
			t.Errorf("a record of %d bytes", len(rec.Value))
		}
		kept += len(rec.Value)
	}
	if kept+len(r.buf) != 100_000 {
		t.Errorf("%d bytes kept and %d left of 100000", kept, len(r.buf))
	}
}

func TestSessionHalfFrameAtTheEnd(t *testing.T) {
	r := newRig(t, DefaultConfig(), devices())
	good := upload(mn1, "123456", "2011", 5)
	r.feed(good+good[:50], false)
	r.feed("", true)
	r.s.Close(CausePeer, len(r.buf), start)
	want := []string{"journal session " + mn1 + " open", fmt.Sprintf("journal frame %s %d bytes", mn1, len(good)),
		"journal reject " + mn1 + " half 50 bytes", "journal session " + mn1 + " close"}
	if got := r.j.lines(); !reflect.DeepEqual(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
	if got := string(r.j.recs[3].Value); !strings.Contains(got, `"peer":"192.0.2.1:4000","conn":1,"cause":"peer"`) {
		t.Errorf("close entry %s", got)
	}
	if got := r.settle(nil); got != nil {
		t.Errorf("acks %v after the close", got)
	}
	if s := r.in.Stats(); s.AcksDropped != 1 || s.Connections != 0 {
		t.Errorf("stats %+v, want one dropped ack", s)
	}
}

// A device whose registry entry changes while it is connected is judged by the new one.
func TestSessionFollowsRegistry(t *testing.T) {
	reg := devices()
	r := newRig(t, DefaultConfig(), reg)
	good := upload(mn1, "123456", "2011", 5)
	r.feed(good, false)
	delete(reg, mn1)
	r.feed(good+"junk"+good, false)
	want := []string{"rejects reject gw1/1 unknown_mn", "rejects reject gw1/1 garbage junk", "rejects reject gw1/1 unknown_mn"}
	for i, got := range r.j.lines()[2:] {
		if !strings.HasPrefix(got, want[i]) {
			t.Errorf("record %d: %s, want %s", i, got, want[i])
		}
	}
}

func TestReasonsIncludeTheCodecs(t *testing.T) {
	for _, r := range hj212.Reasons() {
		if got := parseReason(r).String(); got != r.String() {
			t.Errorf("hj212 %s is %q here", r, got)
		}
	}
	seen := map[string]bool{"": true}
	for _, r := range Reasons() {
		if seen[r.String()] {
			t.Errorf("reason %d: name %q is empty or used twice", r, r.String())
		}
		seen[r.String()] = true
	}
}

func TestConfigReportsAllFaults(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	err := Config{Linger: -1}.Validate()
	for _, key := range []string{"gateway", "max_frame", "unknown_devices", "one_session", "silent_after", "max_devices", "max_garbage_bytes", "max_unacked_bytes",
		"max_inflight_bytes", "max_inflight_records", "linger"} {
		if err == nil || !strings.Contains(err.Error(), "ingest."+key+": ") {
			t.Errorf("%s is not reported in %v", key, err)
		}
	}
}
