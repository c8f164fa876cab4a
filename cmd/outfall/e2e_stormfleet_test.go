//go:build integration

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outfall/bench"
)

// Orders to the loggers of a storm, one a line on a client process's standard input.
const (
	stormUpload = "upload" // every logger sends one new frame, again and again over new connections until it is acknowledged
	stormCut    = "cut"    // every connection is reset, some in the middle of a frame
	stormLeave  = "leave"  // from now on one logger in stormLeavers hangs up when its frame is acknowledged
)

const (
	stormEnv     = "OUTFALL_TEST_STORM_CLIENT" // settings of a client process, a stormShare
	stormMark    = "storm: "                   // begins a line that a client process prints for the test
	stormLeavers = 8
	stormHalves  = 10 // one logger in so many is cut in the middle of a frame
	stormPerIP   = 50 // loggers behind one address
)

// A stormShare is the part of the field that one client process plays.
type stormShare struct {
	Addr   string `json:"addr"`
	First  int    `json:"first"`
	Count  int    `json:"count"`
	Ledger string `json:"ledger"`
}

// stormStats are what a client process has done so far.
type stormStats struct {
	Acked      int64    `json:"acked"`
	Live       int64    `json:"live"`    // connections that the loggers believe to have
	Dials      int64    `json:"dials"`   // that were answered
	Nobody     int64    `json:"nobody"`  // that were not
	Ended      int64    `json:"ended"`   // connections that ended before the answer
	Halves     int64    `json:"halves"`  // frames cut in the middle
	Cuts       int64    `json:"cuts"`    // loggers that have carried out a cut
	Faults     []string `json:"faults"`  // what must not happen
	Unanswered int64    `json:"silence"` // answers that did not come in time over a connection that stood
}

// TestStormClient is a part of the end-to-end storms: the loggers that one process plays, for a process has 20,000 open files at most.
// It ends with its standard input. Without its settings in the environment it has nothing to do.
func TestStormClient(t *testing.T) {
	text := os.Getenv(stormEnv)
	if text == "" {
		return
	}
	var share stormShare
	if err := json.Unmarshal([]byte(text), &share); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(share.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := &stormClient{soakFleet: &soakFleet{addr: share.Addr}, ledger: bench.NewLedger(f)}
	ctx, cancel := context.WithCancel(t.Context())
	var loggers sync.WaitGroup
	for i := share.First; i < share.First+share.Count; i++ {
		l := &stormLogger{client: c, orders: make(chan string, 4), soakDevice: soakDevice{fleet: c.soakFleet, index: i, mn: soakMN(i),
			rng: rand.New(rand.NewPCG(2, uint64(i)))}}
		c.loggers = append(c.loggers, l)
		loggers.Go(func() { l.run(ctx) })
	}
	loggers.Go(func() {
		for pause(ctx, 100*time.Millisecond) {
			c.report()
		}
	})
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		if orders.Text() == stormLeave {
			c.leaving.Store(true)
		}
		for _, l := range c.loggers {
			l.orders <- orders.Text()
		}
	}
	cancel()
	loggers.Wait()
	if err := errors.Join(orders.Err(), c.ledger.Flush()); err != nil {
		t.Error(err)
	}
	c.report()
}

// A stormClient is the loggers of one process. Of soakFleet it uses what a device needs, and its counters.
type stormClient struct {
	*soakFleet
	ledger  *bench.Ledger
	loggers []*stormLogger
	leaving atomic.Bool

	nobody, ended, halves, cuts atomic.Int64
}

func (c *stormClient) report() {
	c.mu.Lock()
	faults := c.faults
	c.mu.Unlock()
	line, err := json.Marshal(stormStats{Acked: c.ledger.Len(), Live: c.live.Load(), Dials: c.connects.Load(), Nobody: c.nobody.Load(), Ended: c.ended.Load(),
		Halves: c.halves.Load(), Cuts: c.cuts.Load(), Unanswered: c.unanswered.Load(), Faults: faults})
	if err != nil {
		panic(err) // numbers and strings
	}
	fmt.Printf("%s%s\n", stormMark, line)
}

// A stormLogger is a data logger that lives through a storm.
type stormLogger struct {
	soakDevice
	client *stormClient
	orders chan string
}

func (l *stormLogger) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			l.hangUp()
			return
		case order := <-l.orders:
			switch order {
			case stormUpload:
				l.deliver(ctx)
			case stormCut:
				l.cut()
			}
			if l.client.leaving.Load() && l.index%stormLeavers == 0 {
				l.hangUp()
			}
		}
	}
}

// cut resets the connection.
func (l *stormLogger) cut() {
	if l.conn != nil {
		if l.index%stormHalves == 0 {
			frame := l.frame()
			if err := l.write(frame[:len(frame)/2]); err == nil {
				l.client.halves.Add(1)
			}
		}
		if err := l.conn.SetLinger(0); err != nil {
			l.fleet.fault("%s: %v", l.mn, err)
		}
		l.hangUp()
	}
	l.client.cuts.Add(1)
}

// deliver sends one frame until it is acknowledged, as a logger keeps a record until then. It dials again at once when its connection turns
// out to be dead, and after a pause that doubles up to a second when it is not let in.
func (l *stormLogger) deliver(ctx context.Context) {
	frame := l.frame()
	for wait := time.Duration(0); ; {
		old := l.conn != nil
		err := l.attempt(ctx, frame)
		if err == nil {
			l.client.ledger.Add(frame)
			return
		}
		l.hangUp()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.fleet.unanswered.Add(1)
			l.fleet.fault("%s: %v", l.mn, err)
		}
		if old {
			continue
		}
		wait = min(max(2*wait, 250*time.Millisecond), time.Second)
		if !pause(ctx, wait/2+time.Duration(l.rng.Int64N(int64(wait)))) {
			return
		}
	}
}

// attempt sends the frame over the connection that there is, or over a new one, and reads its answer.
func (l *stormLogger) attempt(ctx context.Context, frame []byte) error {
	if l.conn == nil {
		at := l.index / stormPerIP
		dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 3, byte(at/250), byte(1+at%250))}}
		c, err := dialer.DialContext(ctx, "tcp4", l.fleet.addr)
		if err != nil {
			l.client.nobody.Add(1)
			return fmt.Errorf("dial: %v", err) // its timeout is not an unanswered frame
		}
		l.conn, l.buf = c.(*net.TCPConn), l.buf[:0]
		l.fleet.connects.Add(1)
		l.fleet.live.Add(1)
	}
	err := l.write(frame)
	if err == nil {
		err = l.answers(time.Time{}, [][]byte{frame})
	}
	if err != nil {
		l.client.ended.Add(1)
	}
	return err
}

// A stormField is all client processes, as the test sees them.
type stormField struct {
	t       *testing.T
	count   int
	parts   []*process
	stdin   []io.WriteCloser
	ledgers []string
	rounds  int64 // uploads that were ordered
	cuts    int64
}

// startStorm starts the client processes for count loggers of the gateway at addr.
func startStorm(t *testing.T, addr string, count, processes int) *stormField {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &stormField{t: t, count: count}
	for i := range processes {
		share := stormShare{Addr: addr, First: count / processes * i, Count: count / processes, Ledger: filepath.Join(t.TempDir(), "ledger")}
		text, err := json.Marshal(share)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe, "-test.run=^TestStormClient$", "-test.timeout=10m")
		cmd.Env = append(os.Environ(), stormEnv+"="+string(text))
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		f.parts = append(f.parts, launch(t, fmt.Sprintf("storm client %d", i), cmd))
		f.stdin, f.ledgers = append(f.stdin, stdin), append(f.ledgers, share.Ledger)
	}
	return f
}

// order tells every process the same.
func (f *stormField) order(what string) {
	f.t.Helper()
	for _, w := range f.stdin {
		if _, err := io.WriteString(w, what+"\n"); err != nil {
			f.t.Fatalf("order %s: %v", what, err)
		}
	}
	switch what {
	case stormUpload:
		f.rounds++
	case stormCut:
		f.cuts++
		eventually(f.t, 20*time.Second, "every connection is cut", func() bool { return f.stats().Cuts == f.cuts*int64(f.count) })
	}
}

// stats are the sums over the processes' newest reports.
func (f *stormField) stats() (sum stormStats) {
	f.t.Helper()
	for _, p := range f.parts {
		lines := strings.Split(p.out.String(), "\n")
		for i := len(lines) - 2; i >= 0; i-- { // what follows the last line feed may be half a report
			report, ok := strings.CutPrefix(lines[i], stormMark)
			if !ok {
				continue
			}
			var s stormStats
			if err := json.Unmarshal([]byte(report), &s); err != nil {
				f.t.Fatalf("%s: %v: %q", p.name, err, lines[i])
			}
			sum.Acked, sum.Live, sum.Dials, sum.Nobody = sum.Acked+s.Acked, sum.Live+s.Live, sum.Dials+s.Dials, sum.Nobody+s.Nobody
			sum.Ended, sum.Halves, sum.Cuts, sum.Unanswered = sum.Ended+s.Ended, sum.Halves+s.Halves, sum.Cuts+s.Cuts, sum.Unanswered+s.Unanswered
			sum.Faults = append(sum.Faults, s.Faults...)
			break
		}
	}
	return sum
}

// awaitAcked waits until so many frames of the present upload are acknowledged.
func (f *stormField) awaitAcked(n int, what string) {
	f.t.Helper()
	want := (f.rounds-1)*int64(f.count) + int64(n)
	eventually(f.t, 2*time.Minute, fmt.Sprintf("%s: %d frames acknowledged", what, want), func() bool { return f.stats().Acked >= want })
}

// awaitAll waits until the present upload is acknowledged and says how long that took since begin.
func (f *stormField) awaitAll(begin time.Time, what string) {
	f.t.Helper()
	var took [3]time.Duration
	for i, n := range [...]int{f.count / 2, f.count * 99 / 100, f.count} {
		f.awaitAcked(n, what)
		took[i] = time.Since(begin).Round(100 * time.Millisecond)
	}
	s := f.stats()
	f.t.Logf("%s: half of %d loggers acknowledged after %v, 99 %% after %v, all after %v; so far %d connections, %d dials without an answer, %d ended before the ack",
		what, f.count, took[0], took[1], took[2], s.Dials, s.Nobody, s.Ended)
}

// finish ends the client processes; what they report is then final.
func (f *stormField) finish() stormStats {
	f.t.Helper()
	for i, p := range f.parts {
		f.stdin[i].Close()
		if code := p.wait(time.Minute); code != 0 {
			f.t.Errorf("%s: exit %d", p.name, code)
		}
	}
	return f.stats()
}
