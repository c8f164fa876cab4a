package tcp

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"outfall/ingest"
	"outfall/ingest/hj212"
	"outfall/telemetry"
)

func TestFrontEnd(t *testing.T) {
	b := startBroker(t)
	register(t, b.Cluster(), testDevices()...)
	r := start(t, b, func(i *ingest.Config, _ *Config) { i.MaxFrame = 9999 })

	t.Run("acknowledged only when durable", func(t *testing.T) {
		r.gate.set(true)
		l := r.dial()
		l.send(upload(mn1, "123456", 1))
		waitFor(t, "the frame to be taken", func() bool { return r.in.Stats().Received == 1 })
		l.wantSilence()
		if _, values := r.entries(telemetry.TopicJournal); values[upload(mn1, "123456", 1)] > 1 {
			t.Error("journaled twice")
		}
		r.gate.set(false)
		l.wantAcks(qn(1))
		if _, values := r.entries(telemetry.TopicJournal); values[upload(mn1, "123456", 1)] != 1 {
			t.Error("acknowledged, but not in the journal byte for byte")
		}
	})
	t.Run("refused ones beside good ones", func(t *testing.T) {
		l := r.dial()
		bad := []byte(upload(mn1, "123456", 2))
		bad[len(bad)-3] ^= 1
		l.send(upload("NOBODY", "123456", 2) + upload(mn1, "000000", 2) + string(bad) + upload(mn1, "123456", 2))
		l.wantAcks(qn(2))
		rejects, kept := r.entries(telemetry.TopicRejects)
		journal, _ := r.entries(telemetry.TopicJournal)
		if count(rejects, "reject gw1/2 unknown_mn") != 1 || kept[upload("NOBODY", "123456", 2)] != 1 || count(rejects, "reject gw1/2 crc") != 1 ||
			count(journal, "reject "+mn1+" wrong_pw") != 1 {
			t.Errorf("rejects %v, journal %v", rejects, journal)
		}
	})
	t.Run("split and glued", func(t *testing.T) {
		l := r.dial()
		stream := upload(mn1, "123456", 10) + upload(mn1, "123456", 11) + upload(mn2, "", 12)
		for i := 0; i < len(stream); i += 7 {
			l.send(stream[i:min(i+7, len(stream))])
		}
		l.wantAcks(qn(10), qn(11), qn(12))
	})
	t.Run("9,999 bytes", func(t *testing.T) {
		l := r.dial()
		head := "QN=" + qn(20) + ";ST=32;CN=3020;PW=123456;MN=" + mn1 + ";Flag=5;CP=&&i11001-Info=//"
		l.send(string(hj212.AppendFrame(nil, []byte(head+strings.Repeat("x", 9999-len(head)-4)+"//&&"))))
		l.wantAcks(qn(20))
	})
	t.Run("many at once", func(t *testing.T) {
		const conns, frames = 50, 40
		var wg sync.WaitGroup
		for c := range conns {
			l := r.dial()
			wg.Go(func() {
				var all bytes.Buffer
				var qns []string
				for f := range frames {
					i := 1000 + c*frames + f
					all.WriteString(upload(mn1, "123456", i))
					qns = append(qns, qn(i))
				}
				l.send(all.String())
				l.wantAcks(qns...)
			})
		}
		wg.Wait()
		_, values := r.entries(telemetry.TopicJournal)
		for i := range conns * frames {
			if n := values[upload(mn1, "123456", 1000+i)]; n != 1 {
				t.Fatalf("acknowledged frame %d is %d times in the journal", i, n)
			}
		}
	})
	t.Run("half a frame, then the end", func(t *testing.T) {
		l := r.dial()
		l.send(upload(mn1, "123456", 30))
		l.wantAcks(qn(30))
		l.send(upload(mn1, "123456", 31)[:40])
		l.c.Close()
		waitFor(t, "the reject", func() bool { return r.in.Stats().RejectedBy[ingest.ReasonHalf] == 1 })
	})
	t.Run("drain", func(t *testing.T) {
		l := r.dial()
		r.gate.set(true)
		l.send(upload(mn1, "123456", 40))
		received := r.in.Stats().Received
		waitFor(t, "the frame to be taken", func() bool { s := r.in.Stats(); return s.Received >= received && s.Received > s.Journaled+s.Rejected })
		stopped := make(chan struct{})
		go func() { defer close(stopped); r.stop() }()
		waitFor(t, "the listener to close", func() bool {
			c, err := net.Dial("tcp", r.srv.Addr().String())
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		r.gate.set(false)
		l.wantAcks(qn(40))
		l.wantClosed()
		<-stopped
		journal, _ := r.entries(telemetry.TopicJournal)
		if opens := count(journal, "session "+mn1); opens < 4 || opens%2 != 0 {
			t.Errorf("%d session entries, want a close for each open", opens)
		}
	})
}

func TestTimeoutsAndBounds(t *testing.T) {
	b := startBroker(t)
	register(t, b.Cluster(), testDevices()...)
	for _, tt := range []struct {
		name   string
		cause  ingest.Cause // why a connection must have been closed
		change func(*ingest.Config, *Config)
		play   func(*rig)
	}{
		{"never sends", ingest.CauseLogin, func(_ *ingest.Config, c *Config) { c.LoginTimeout = 60 * time.Millisecond }, func(r *rig) {
			r.dial().wantClosed()
		}},
		{"only refused frames", ingest.CauseLogin, func(_ *ingest.Config, c *Config) { c.LoginTimeout = 60 * time.Millisecond }, func(r *rig) {
			l := r.dial()
			l.send(upload("NOBODY", "", 1))
			l.wantClosed()
		}},
		{"falls silent", ingest.CauseIdle, func(_ *ingest.Config, c *Config) { c.IdleTimeout = time.Second }, func(r *rig) {
			l := r.dial()
			l.send(upload(mn1, "123456", 1))
			l.wantAcks(qn(1))
			l.wantClosed()
		}},
		{"half a frame, then a good one", ingest.CauseShutdown, func(_ *ingest.Config, c *Config) { c.PartialTimeout = 50 * time.Millisecond },
			func(r *rig) {
				l := r.dial()
				l.send("##0999QN=" + upload(mn1, "123456", 1)[:30])
				waitFor(r.t, "the half frame to be refused", func() bool { return r.in.Stats().RejectedBy[ingest.ReasonHalf] >= 1 })
				l.send(upload(mn1, "123456", 2))
				l.wantAcks(qn(2))
			}},
		{"garbage flood", ingest.CauseGarbage, nil, func(r *rig) {
			l, good := r.dial(), r.dial()
			go l.c.Write(bytes.Repeat([]byte("garbage "), 1<<18))
			good.send(upload(mn1, "123456", 1))
			good.wantAcks(qn(1))
			l.wantClosed()
		}},
		{"one connection too many", ingest.CausePeer, func(_ *ingest.Config, c *Config) { c.MaxConnections = 2 }, func(r *rig) {
			a, b := r.dial(), r.dial()
			for i, l := range []*logger{a, b} {
				l.send(upload(mn1, "123456", i))
				l.wantAcks(qn(i))
			}
			r.dial().wantClosed()
			a.c.Close()
			waitFor(r.t, "the place to be free", func() bool { return r.srv.live.Load() == 1 })
			c := r.dial()
			c.send(upload(mn1, "123456", 5))
			c.wantAcks(qn(5))
			if n := r.srv.refused[refusedLimit].Load(); n != 1 {
				r.t.Errorf("%d connections refused, want 1", n)
			}
		}},
		{"stays within the backlog bound", ingest.CauseBacklog, func(i *ingest.Config, c *Config) {
			i.MaxUnackedBytes, c.MaxBacklogBytes = 16<<10, 64<<10
		}, func(r *rig) {
			r.gate.set(true)
			l := r.dial()
			go l.c.Write(bytes.Repeat([]byte(upload(mn1, "123456", 1)), 2000))
			l.wantClosed()
			if s := r.in.Stats(); s.UnreadBytes == 0 {
				r.t.Errorf("stats %+v, want unread bytes", s)
			}
			r.gate.set(false)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, b, tt.change)
			tt.play(r)
			r.stop()
			if r.closed(tt.cause) == 0 {
				t.Errorf("no connection was closed by cause %s", tt.cause)
			}
		})
	}
}

// While the journal is away nothing is acknowledged and memory is bounded; when it is back everything flows again.
func TestJournalAway(t *testing.T) {
	b := startBroker(t)
	register(t, b.Cluster(), testDevices()...)
	r := start(t, b, func(i *ingest.Config, _ *Config) { i.MaxInflightRecords = 64 })
	r.gate.set(true)
	const conns, frames = 8, 40
	loggers := make([]*logger, conns)
	for c := range loggers {
		loggers[c] = r.dial()
		var all strings.Builder
		for f := range frames {
			all.WriteString(upload(mn1, "123456", c*frames+f))
		}
		loggers[c].send(all.String())
	}
	waitFor(t, "connections that wait", func() bool { return r.srv.waiters.Load() > 0 })
	for _, l := range loggers {
		l.wantSilence()
	}
	r.gate.set(false)
	for c, l := range loggers {
		var qns []string
		for f := range frames {
			qns = append(qns, qn(c*frames+f))
		}
		l.wantAcks(qns...)
	}
	r.stop()
	if _, values := r.entries(telemetry.TopicJournal); len(values) < conns*frames {
		t.Errorf("%d different values in the journal, want at least %d", len(values), conns*frames)
	}
}

// The same with a broker that really goes away and comes back.
func TestBrokerRestarts(t *testing.T) {
	b := startBroker(t)
	register(t, b.Cluster(), testDevices()...)
	r := start(t, b, nil)
	l := r.dial()
	l.send(upload(mn1, "123456", 1))
	l.wantAcks(qn(1))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	l.send(upload(mn1, "123456", 2) + upload(mn2, "", 3))
	l.wantSilence()
	startBrokerIn(t, filepath.Dir(b.Socket()))
	t.Cleanup(r.stop) // before the second broker's end
	l.wantAcks(qn(2), qn(3))
	if _, values := r.entries(telemetry.TopicJournal); values[upload(mn1, "123456", 1)] != 1 || values[upload(mn1, "123456", 2)] != 1 {
		t.Error("an acknowledged frame is not in the journal exactly once")
	}
}

func TestRegistryChangesWhileConnected(t *testing.T) {
	b := startBroker(t)
	r := start(t, b, nil)
	l := r.dial()
	l.send(upload(mn1, "123456", 1))
	waitFor(t, "quarantine", func() bool { return r.in.Stats().RejectedBy[ingest.ReasonUnknownMN] == 1 })
	register(t, b.Cluster(), telemetry.Device{MN: mn1, PW: "123456"})
	waitFor(t, "the device to be known", func() bool {
		l.send(upload(mn1, "123456", 2))
		return r.in.Stats().Journaled > 0
	})
	if cn, q := l.ack(); cn != "9014" || q != qn(2) {
		t.Errorf("got %s of %s", cn, q)
	}
}

func TestConfigReportsAllFaults(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	bad := Config{DrainTimeout: -1, MaxConnectionsPerAddress: -1, AddressRate: -1, UnlimitedFrom: []string{"::ffff:10.0.0.0/104"}, AcceptRate: -1,
		ProxyFrom: []string{"10.0.0.0/33"}, TLS: TLSConfig{Listen: "here", RequireClientCert: true}}
	err := bad.Validate()
	for _, key := range []string{"listen", "event_loops", "max_connections", "max_connections_per_address", "address_rate", "address_burst",
		"unlimited_from", "accept_rate", "accept_ramp", "proxy_from", "proxy_timeout", "handover_time", "idle_timeout", "login_timeout",
		"partial_timeout", "keep_alive", "max_backlog_bytes", "max_backlog_total_bytes", "max_outbound_bytes", "drain_timeout", "tls.listen",
		"tls.cert_file", "tls.key_file", "tls.require_client_cert", "tls.max_connections", "tls.handshake_rate", "tls.handshake_timeout",
		"tls.write_timeout"} {
		if err == nil || !strings.Contains(err.Error(), "tcp."+key+": ") {
			t.Errorf("%s is not reported in %v", key, err)
		}
	}
}
