package tcp

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"outfall/ingest"
)

// lines are the server's connections: every plain one is looked up in its event loop.
func (r *rig) lines() (all []ingest.Line) {
	for _, l := range r.srv.allLoops() {
		found := make(chan []*conn)
		_ = l.ev.Execute(context.Background(), gnet.RunnableFunc(func(context.Context) error {
			found <- append([]*conn(nil), l.conns...)
			return nil
		}))
		for _, cn := range <-found {
			all = append(all, cn)
		}
	}
	r.srv.streams.mu.Lock()
	defer r.srv.streams.mu.Unlock()
	for st := range r.srv.streams.all {
		all = append(all, st)
	}
	return all
}

// A command reaches the device in the order of the calls, a hang-up comes after what was owed, and what nobody drains is bounded.
func TestSendAndHangup(t *testing.T) {
	a := newAuthority(t)
	_, config := withTLS(t, a, nil)
	for _, kind := range []string{"plain", "TLS"} {
		t.Run(kind, func(t *testing.T) {
			r := startLight(t, config)
			dial := r.dial
			if kind == "TLS" {
				dial = func() *logger { return r.dialTLS(a) }
			}
			l := dial()
			l.send(upload(mn1, "123456", 1))
			l.wantAcks(qn(1))
			line := r.lines()[0]
			for i := range 3 {
				line.Send([]byte(upload(mn1, "123456", 10+i)))
			}
			for i := range 3 {
				if cn, q := l.ack(); cn != "2011" || q != qn(10+i) {
					t.Errorf("got %s of %s, want the command %s", cn, q, qn(10+i))
				}
			}
			line.Send([]byte(upload(mn1, "123456", 20)))
			line.Hangup(ingest.CauseReplaced)
			if _, q := l.ack(); q != qn(20) {
				t.Errorf("got %s, want the last command before the end", q)
			}
			l.wantClosed()
			line.Send([]byte("to nobody"))
			line.Hangup(ingest.CauseFlood)
			waitFor(t, "the connection's end", func() bool { return r.srv.live.Load() == 0 })

			flooded := dial()
			flooded.send(upload(mn1, "123456", 2))
			flooded.wantAcks(qn(2))
			line = r.lines()[0]
			for range 2000 { // 4 MB at once: more than anybody drains meanwhile
				line.Send([]byte(strings.Repeat("x", 2000)))
			}
			flooded.wantClosed()
			r.stop()
			if r.closed(ingest.CauseReplaced) != 1 || r.closed(ingest.CauseSlowReader) != 1 || r.closed(ingest.CauseFlood) != 0 {
				t.Error("want one connection closed as replaced and one as a slow reader")
			}
		})
	}
}

// lowestFree is the descriptor that the next open would get.
func lowestFree(t *testing.T) uint64 {
	t.Helper()
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	return uint64(fd)
}

// Out of files: accepts fail, or the copy of the descriptor does; the connections that are there do not notice, and when files are free
// again everybody gets in.
func TestOutOfFiles(t *testing.T) {
	r := startLight(t, nil)
	old := r.dial()
	old.send(upload(mn1, "123456", 1))
	old.wantAcks(qn(1))
	port := r.srv.Addr().(*net.TCPAddr).Port
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	restore := func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }
	defer restore()
	for free := range uint64(2) { // none for the accept; one for it, but none for the copy
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		failed := r.srv.acceptErrors.Load()
		low := limit
		low.Cur = lowestFree(t) + free
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "an accept to fail", func() bool { return r.srv.acceptErrors.Load() > failed })
		old.send(upload(mn1, "123456", 2))
		old.wantAcks(qn(2))
		restore()
		unix.Close(fd)
		l := r.dial()
		l.send(upload(mn1, "123456", 3))
		l.wantAcks(qn(3))
	}
}

// A device that sends one byte now and then gets nowhere and costs nothing: its bytes are refused one after the other, and it is closed
// as one that never logged in, although it is never idle.
func TestOneByteNowAndThen(t *testing.T) {
	r := startLight(t, func(_ *ingest.Config, c *Config) {
		c.PartialTimeout, c.LoginTimeout = 20*time.Millisecond, 400*time.Millisecond
	})
	l := r.dial()
	waitFor(t, "the session", func() bool { return r.in.Stats().Connections == 1 })
	for i := 0; ; i++ {
		if _, err := l.c.Write([]byte("#")); err != nil {
			break
		}
		want := int64(i + 1)
		waitFor(t, "the byte to be refused", func() bool {
			return r.in.Stats().RejectedBy[ingest.ReasonHalf]+r.in.Stats().RejectedBy[ingest.ReasonGarbage] >= want || r.srv.live.Load() == 0
		})
		if r.srv.live.Load() == 0 {
			break
		}
		if n := r.srv.backlog.Load(); n > 1 {
			t.Fatalf("%d bytes are kept of a device that sends one", n)
		}
	}
	r.stop()
	if r.closed(ingest.CauseLogin) != 1 {
		t.Error("the connection was not closed by cause login")
	}
}

// A reset in the middle of a frame: the half is refused, the device's session ends, nobody else notices.
func TestResetInMidFrame(t *testing.T) {
	r := startLight(t, nil)
	bystander := r.dial()
	for i := range 50 {
		l := r.dial()
		l.send(upload(mn1, "123456", i))
		l.wantAcks(qn(i))
		l.send(upload(mn1, "123456", i)[:60])
		waitFor(t, "the half frame", func() bool { return r.srv.backlog.Load() == 60 })
		if err := l.c.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		l.c.Close()
		waitFor(t, "the reject", func() bool { return r.in.Stats().RejectedBy[ingest.ReasonHalf] == int64(i+1) })
	}
	bystander.send(upload(mn1, "123456", 99))
	bystander.wantAcks(qn(99))
}

// A flood of connections from one address is closed at once beyond what an address may have and open per second; others get in.
func TestFloodFromOneAddress(t *testing.T) {
	r := startLight(t, func(_ *ingest.Config, c *Config) {
		c.UnlimitedFrom, c.MaxConnectionsPerAddress, c.AddressRate, c.AddressBurst = nil, 20, 1, 50
	})
	var flood []*logger
	for range 30 {
		flood = append(flood, r.dialFrom("127.0.0.66"))
	}
	waitFor(t, "ten to be refused for their number", func() bool { return r.srv.refused[refusedAddress].Load() == 10 })
	for _, l := range flood {
		l.c.Close()
	}
	waitFor(t, "the others' end", func() bool { return r.srv.live.Load() == 0 })
	for range 40 {
		r.dialFrom("127.0.0.66").c.Close()
	}
	waitFor(t, "refusals for the rate", func() bool { return r.srv.refused[refusedRate].Load() >= 5 })
	other := r.dialFrom("127.0.0.67")
	other.send(upload(mn1, "123456", 1))
	other.wantAcks(qn(1))
}

// Half-open connections: a peer that vanished is found by the kernel's probes, whose times each connection has from its listener, and by
// silence.
func TestHalfOpen(t *testing.T) {
	r := startLight(t, func(_ *ingest.Config, c *Config) { c.KeepAlive, c.IdleTimeout = 30*time.Second, 2*time.Second })
	l := r.dial()
	l.send(upload(mn1, "123456", 1))
	l.wantAcks(qn(1))
	fd := r.lines()[0].(*conn).gc.Fd()
	for _, o := range []struct{ level, name, want int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 30}, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3}, {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 60_000}, {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		if got, err := unix.GetsockoptInt(fd, o.level, o.name); err != nil || got != o.want {
			t.Errorf("option %d/%d is %d, %v; want %d", o.level, o.name, got, err, o.want)
		}
	}
	l.wantClosed()
	waitFor(t, "the cause", func() bool { return r.closed(ingest.CauseIdle) == 1 })
}

// storm connects count devices at once, from several addresses, and waits for the first ack of each.
func storm(tb testing.TB, r *rig, count int) []net.Conn {
	tb.Helper()
	conns := make([]net.Conn, count)
	var all sync.WaitGroup
	for i := range conns {
		all.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i%8))}, Timeout: 30 * time.Second}
			c, err := d.Dial("tcp", r.srv.Addr().String())
			if err == nil {
				conns[i], err = c, exchange(c, upload(fmt.Sprintf("fleet%05d", i), "", i))
			}
			if err != nil {
				tb.Errorf("device %d: %v", i, err)
			}
		})
	}
	all.Wait()
	return conns
}

// Many devices connect at once, lose their connections at once, and come back at once. BenchmarkStorm does it with 8,000.
func TestReconnectStorm(t *testing.T) {
	r := startLight(t, nil)
	const count = 1000
	for range 3 {
		for _, c := range storm(t, r, count) {
			if tc, ok := c.(*net.TCPConn); ok {
				_ = tc.SetLinger(0)
				tc.Close()
			}
		}
		waitFor(t, "the sessions' end", func() bool { return r.srv.live.Load() == 0 })
	}
	if s := r.in.Stats(); s.Journaled != 3*count {
		t.Errorf("%+v, want %d frames", s, 3*count)
	}
}

// The pace after a start: what is over it waits in the kernel's queue and is served, nothing is refused.
func TestAcceptsArePacedAfterAStart(t *testing.T) {
	r := startLight(t, func(_ *ingest.Config, c *Config) { c.AcceptRate = 100 })
	began := time.Now()
	storm(t, r, 150) // a hundred at once, fifty more at the rate
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("150 connections took %v at 100 a second", took)
	}
	for why := refusedLimit; why < refusalEnd; why++ {
		if n := r.srv.refused[why].Load(); n != 0 {
			t.Errorf("%d refused: %s", n, why)
		}
	}
}

// Peers that send and never read are closed when they have left MaxOutboundBytes of acks, and memory stays under what that says.
func TestPeersThatNeverRead(t *testing.T) {
	const slow = 2
	var tcfg Config
	r := startLight(t, func(i *ingest.Config, c *Config) {
		i.MaxInflightBytes = 1 << 20
		tcfg = *c
	})
	r.shelf.bound(1 << 20)
	base := heap()
	formula := uint64(slow*tcfg.MaxOutboundBytes*2 + slow*tcfg.MaxBacklogBytes*3 + tcfg.EventLoops*128<<10 + 2<<20 + 8<<20)
	frames := []byte(strings.Repeat(upload(mn1, "123456", 1), 500))
	for range slow {
		l := r.dial()
		if err := l.c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the session", func() bool { return r.in.Stats().Connections == 1 })
		closed := r.closed(ingest.CauseSlowReader)
		for r.closed(ingest.CauseSlowReader) == closed {
			sent := r.in.Stats().Journaled
			if _, err := l.c.Write(frames); err != nil {
				break
			}
			waitFor(t, "the batch", func() bool { return r.in.Stats().Journaled >= sent+500 || r.srv.live.Load() == 0 })
			if grown := int64(heap()) - int64(base); grown > int64(formula) {
				t.Fatalf("%d bytes of heap, formula %d", grown, formula)
			}
		}
		waitFor(t, "the peer to be closed", func() bool { return r.closed(ingest.CauseSlowReader) == closed+1 })
	}
}

// The journal has stopped and everything is full: memory stays under the formula of the package comment. Then it comes back, and all that
// was not closed is acknowledged.
func TestMemoryIsBounded(t *testing.T) {
	const conns = 50
	var icfg ingest.Config
	var tcfg Config
	r := startLight(t, func(i *ingest.Config, c *Config) {
		i.MaxInflightBytes, c.MaxBacklogTotalBytes, c.MaxBacklogBytes = 1<<20, 2<<20, 64<<10
		icfg, tcfg = *i, *c
	})
	r.shelf.bound(icfg.MaxInflightBytes)
	r.shelf.set(true)
	base := heap()
	frames := []byte(strings.Repeat(upload(mn1, "123456", 7), 60<<10/len(upload(mn1, "123456", 7)))) // each connection stays under its own bound
	for range conns {
		if _, err := r.dial().c.Write(frames); err != nil {
			t.Fatal(err)
		}
	}
	// 3 MiB were sent: 2 fill the backlog, little is under way, and the rest belongs to connections that are closed for it.
	waitFor(t, "the backlog to be full", func() bool {
		return r.closed(ingest.CauseBacklog) > 0 && r.srv.backlog.Load() > tcfg.MaxBacklogTotalBytes*8/10
	})
	grown := int64(heap()) - int64(base)
	backlog := r.srv.backlog.Load()
	if most := tcfg.MaxBacklogTotalBytes + int64(tcfg.EventLoops*readBuffer); backlog > most {
		t.Errorf("%d bytes of backlog, limit %d", backlog, most)
	}
	formula := conns*2<<10 + tcfg.MaxBacklogTotalBytes*3 + int64(tcfg.EventLoops)*128<<10 + icfg.MaxInflightBytes*2 + 8<<20
	t.Logf("%.1f MiB of heap with %.1f MiB of backlog; formula %.1f MiB", float64(grown)/(1<<20), float64(backlog)/(1<<20), float64(formula)/(1<<20))
	if grown > formula {
		t.Errorf("%d bytes of heap, formula %d", grown, formula)
	}
	r.shelf.set(false)
	waitFor(t, "the queues to be empty", func() bool {
		s := r.in.Stats()
		return s.Received == s.Journaled+s.Rejected && r.srv.waiters.Load() == 0 && r.srv.backlog.Load() == 0
	})
}

// heap is what is live, in bytes.
func heap() uint64 {
	for range 3 { // pools survive two collections
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Q5: frames stuck together and cut anywhere. The stream of one connection is cut at every place once.
func TestQuirkQ05StickyAndHalfFrames(t *testing.T) {
	r := startLight(t, nil)
	l := r.dial()
	stream := upload(mn1, "123456", 1) + upload(mn1, "123456", 2)
	for cut := 1; cut < len(stream); cut++ {
		taken := r.in.Stats().Received
		l.send(stream[:cut])
		if whole := int64(cut / (len(stream) / 2)); whole > 0 {
			l.wantAcks(qn(1))
		}
		waitFor(t, "the first part", func() bool {
			return r.in.Stats().Received >= taken+int64(cut/(len(stream)/2)) && r.srv.backlog.Load() == int64(cut%(len(stream)/2))
		})
		l.send(stream[cut:])
		if cut < len(stream)/2 {
			l.wantAcks(qn(1))
		}
		l.wantAcks(qn(2))
	}
	if s := r.in.Stats(); s.Rejected != 0 || r.shelf.count(upload(mn1, "123456", 1)) != len(stream)-1 {
		t.Errorf("%+v, want each frame %d times and no rejects", s, len(stream)-1)
	}
}

// Q6: modem text, registration strings and NULs between frames are refused span by span and stop nobody.
func TestQuirkQ06JunkBetweenFrames(t *testing.T) {
	r := startLight(t, nil)
	l := r.dial()
	for i, junk := range []string{"\x00\x00\x00", "CONNECT 115200\r\n", "+++", "#", "\r\n\r\n", "REG:13900000000;"} {
		l.send(junk + upload(mn1, "123456", i) + upload(mn1, "123456", 100+i))
		l.wantAcks(qn(i), qn(100+i))
	}
	if s := r.in.Stats(); s.Journaled != 12 || s.Rejected == 0 {
		t.Errorf("%+v, want 12 frames and rejects", s)
	}
}
