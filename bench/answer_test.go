package bench

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// An asker is a host that sends one request and takes down what comes back.
type asker struct {
	t    *testing.T
	d    telemetry.Device
	conn net.Conn
	got  chan hj212.Message
}

// ask runs a logger of d and lets fn be its host, within virtual time.
func ask(t *testing.T, d telemetry.Device, b Behaviour, fn func(a *asker)) *Logger {
	t.Helper()
	var l *Logger
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		dialled := false
		cfg := DefaultConfig()
		d.RealtimeInterval = 3600 // out of the way
		cfg.Addr, cfg.Devices, cfg.BackfillHours = "memory", []telemetry.Device{d}, 0
		cfg.Dial = func(context.Context, string) (net.Conn, error) {
			if dialled {
				return nil, net.ErrClosed
			}
			dialled = true
			return near, nil
		}
		a := &asker{t, d, far, make(chan hj212.Message, 1000)}
		go func() {
			defer close(a.got)
			_ = readFrames(far, func(m *hj212.Message) bool {
				var c hj212.Message
				if err := c.Parse(hj212.AppendSegment(nil, m)); err != nil {
					t.Errorf("parse: %v", err)
				}
				if ack := c.Flag.WantAck() && c.HasFlag; ack {
					if _, err := far.Write(hj212.AppendDataAck(nil, &c, hj212.DialectHJ)); err != nil {
						return false
					}
				}
				a.got <- c
				return true
			})
		}()
		l = NewLogger(NewProfile(d, b), cfg)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx, time.Now()) }()
		synctest.Wait()
		fn(a)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
		far.Close()
		synctest.Wait()
	})
	return l
}

func (a *asker) request(qn, cn, cp string) hj212.Request {
	v := uint8(hj212.Version2017)
	if len(a.d.MN) == 14 {
		v = hj212.Version2005
	}
	return hj212.Request{QN: qn, ST: "32", CN: cn, PW: a.d.PW, MN: a.d.MN, Version: v, WantAck: true, CP: []byte(cp)}
}

// send asks and returns the answers as "CN CP", uploads of other CN than the request's left out.
func (a *asker) send(r hj212.Request) (answers []string) {
	a.t.Helper()
	if _, err := a.conn.Write(hj212.AppendRequest(nil, r)); err != nil {
		a.t.Fatal(err)
	}
	time.Sleep(time.Second) // virtual: everything is said by then
	synctest.Wait()
	for len(a.got) > 0 {
		m := <-a.got
		if cn := string(m.CN); cn[0] == '9' || cn == r.CN {
			answers = append(answers, strings.TrimSpace(cn+" "+string(m.CP)))
		}
	}
	return answers
}

func TestAnswers(t *testing.T) {
	const qn = "20000101080000001"
	for _, tt := range []struct {
		name, cn, cp string
		b            Behaviour
		want         []string
	}{
		{"get the interval", "1061", "", Normal, []string{"9011 QnRtn=1", "1061 RtdInterval=3600", "9012 ExeRtn=1"}},
		{"get the clock", "1011", "", Normal, []string{"9011 QnRtn=1", "1011 SystemTime=20000101080000", "9012 ExeRtn=1"}},
		{"sample", "3012", "PolId=w01018", Normal, []string{"9011 QnRtn=1", "9012 ExeRtn=1"}},
		{"bottle", "3015", "", Normal, []string{"9011 QnRtn=1", "3015 DataTime=20000101080000;VaseNo=1", "9012 ExeRtn=1"}},
		{"stop", "2012", "", Normal, []string{"9013"}},
		{"parameter out of range", "1062", "RtdInterval=1", Normal, []string{"9011 QnRtn=1", "9012 ExeRtn=3"}},
		{"unknown command", "1099", "", Normal, []string{"9011 QnRtn=8"}},
		{"never 9011", "1061", "", NoReceipt, []string{"1061 RtdInterval=3600", "9012 ExeRtn=1"}},
		{"never 9012", "1061", "", NoResult, []string{"9011 QnRtn=1", "1061 RtdInterval=3600"}},
		{"9012 first", "1061", "", ResultFirst, []string{"9012 ExeRtn=1", "9011 QnRtn=1", "1061 RtdInterval=3600"}},
		{"refuses", "1061", "", Refusing, []string{"9011 QnRtn=2"}},
		{"deaf", "1061", "", Deaf, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask(t, waterDevice(), tt.b, func(a *asker) {
				r := a.request(qn, tt.cn, tt.cp)
				if got := a.send(r); !slices.Equal(got, tt.want) {
					t.Errorf("answers %q, want %q", got, tt.want)
				}
				if got := a.send(r); tt.b != Deaf && !slices.Equal(got, tt.want) { // a retry
					t.Errorf("answers to a retry %q, want the same", got)
				}
			})
		})
	}
}

func TestAnswersChecks(t *testing.T) {
	ask(t, waterDevice(), Normal, func(a *asker) {
		for i, tt := range []struct {
			change func(*hj212.Request)
			want   string
		}{
			{func(r *hj212.Request) { r.PW = "000000" }, "QnRtn=3"},
			{func(r *hj212.Request) { r.MN = "88888880000001" }, "QnRtn=4"},
			{func(r *hj212.Request) { r.ST = "31" }, "QnRtn=5"},
			{func(r *hj212.Request) { r.QN = "2000010108000000" }, "QnRtn=7"},
		} {
			r := a.request(fmt.Sprintf("2000010108000%04d", i), "1061", "")
			tt.change(&r)
			if got := a.send(r); len(got) != 1 || got[0] != "9011 "+tt.want {
				t.Errorf("%+v: answers %q, want %s", r, got, tt.want)
			}
		}
	})
}

// What a host sets holds.
func TestAnswersSet(t *testing.T) {
	l := ask(t, waterDevice(), Normal, func(a *asker) {
		n := 0
		do := func(cn, cp string) []string {
			n++
			return a.send(a.request(fmt.Sprintf("2000010108%07d", n), cn, cp))
		}
		do("1012", "SystemTime=20000101090001")
		if got := do("1011", ""); len(got) != 3 || got[1] != "1011 SystemTime=20000101090002" {
			t.Errorf("clock %q", got)
		}
		do("1062", "RtdInterval=60")
		if got := do("1061", ""); len(got) != 3 || got[1] != "1061 RtdInterval=60" {
			t.Errorf("interval %q", got)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(a.got); n < 5 {
			t.Errorf("%d uploads in five minutes at one a minute", n)
		}
		do("2012", "")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for len(a.got) > 0 {
			if m := <-a.got; string(m.CN) == cnRealtime {
				t.Errorf("real-time data after 2012: %s", m.CP)
			}
		}
		if got := do("1072", "NewPW=abcdef"); len(got) != 2 || got[1] != "9012 ExeRtn=1" {
			t.Errorf("password %q", got)
		}
		if got := do("1061", ""); len(got) != 1 || got[0] != "9011 QnRtn=3" {
			t.Errorf("the old password after 1072: %q", got)
		}
		a.d.PW = "abcdef"
		if got := do("1061", ""); len(got) != 3 {
			t.Errorf("the new password after 1072: %q", got)
		}
	})
	if s := l.Stats(); s.Requests != 8 || s.Executed != 7 {
		t.Errorf("stats %+v", s)
	}
}

// A recall brings the closed range, in records of the same bytes but for QN as the schedule's own, and ends when all are acknowledged.
func TestAnswersRecall(t *testing.T) {
	for _, d := range []telemetry.Device{waterDevice(), oldDevice()} {
		ask(t, d, Normal, func(a *asker) {
			got := a.send(a.request("20000101080000001", "2061", "BeginTime=20000101000000;EndTime=20000101050000"))
			if len(got) != 8 || !strings.HasSuffix(got[0], "QnRtn=1") || !strings.HasSuffix(got[7], "ExeRtn=1") {
				t.Fatalf("%s: answers %q, want 9011, six hours, 9012", d.MN, got)
			}
			for i, up := range got[1:7] {
				if want := fmt.Sprintf("2061 DataTime=20000101%02d0000;", i); !strings.HasPrefix(up, want) {
					t.Errorf("%s: record %d is %.40q, want %s", d.MN, i, up, want)
				}
			}
			got = a.send(a.request("20000101080001001", "2061", "BeginTime=19990101000000;EndTime=19990101050000"))
			if len(got) != 2 || !strings.HasSuffix(got[1], "ExeRtn=100") {
				t.Errorf("%s: %q, want no data of a year ago", d.MN, got)
			}
		})
	}
}
