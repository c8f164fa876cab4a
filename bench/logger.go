package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"outfall/ingest/hj212"
)

// Stats counts what one logger or a fleet did.
type Stats struct {
	Connections  int64 // open now
	Backfilled   int64 // loggers whose whole backfill is acknowledged
	Sent         int64 // uploads, each once however often it was sent again
	Acked        int64 // uploads whose 9014 came
	Resent       int64 // frames sent again: after OverTime or on a new connection
	Reconnects   int64 // connects after the first
	Unacked      int64 // uploads that wait for their 9014 now
	Unmatched    int64 // 9014 that nothing waited for: late ones, and those to frames that deserve none
	DialFailures int64
	Requests     int64 // requests of the host, each QN once
	Executed     int64 // those that were carried out with ExeRtn 1 or a 9013
}

func (s *Stats) add(o Stats) {
	s.Connections += o.Connections
	s.Backfilled += o.Backfilled
	s.Sent += o.Sent
	s.Acked += o.Acked
	s.Resent += o.Resent
	s.Reconnects += o.Reconnects
	s.Unacked += o.Unacked
	s.Unmatched += o.Unmatched
	s.DialFailures += o.DialFailures
	s.Requests += o.Requests
	s.Executed += o.Executed
}

// counters is Stats as the logger's goroutine writes it.
type counters struct {
	connections, backfilled, sent, acked, resent, reconnects, unacked, unmatched, dialFailures, requests, executed atomic.Int64
}

func (c *counters) stats() Stats {
	return Stats{c.connections.Load(), c.backfilled.Load(), c.sent.Load(), c.acked.Load(), c.resent.Load(), c.reconnects.Load(),
		c.unacked.Load(), c.unmatched.Load(), c.dialFailures.Load(), c.requests.Load(), c.executed.Load()}
}

// A waiting upload has been sent and not acknowledged.
type waiting struct {
	upload
	sentAt time.Time
	resent int // times on this connection
}

// A Logger is one virtual data logger. It keeps at most Config.Window frames; everything else it makes when it sends it.
type Logger struct {
	profile Profile
	cfg     Config
	count   counters
	fault   atomic.Pointer[error]

	// Owned by Run.
	script *script
	panel  panel
	window []waiting // unacknowledged, in the order of the first sending
	rng    *rand.Rand
	dialed bool
	heard  bool // the current connection brought an ack
}

// NewLogger makes the logger of p. cfg must be valid; its Devices and Behaviours are not looked at.
func NewLogger(p Profile, cfg Config) *Logger {
	return &Logger{profile: p, cfg: cfg, panel: newPanel(&p.Device, &cfg), rng: rand.New(rand.NewPCG(^cfg.Seed, hash(p.Device.MN)))}
}

// Stats is a snapshot; any goroutine may ask.
func (l *Logger) Stats() Stats { return l.count.stats() }

// Fault says why the logger's last connect or connection ended; nil before the first has. Any goroutine may ask.
func (l *Logger) Fault() error {
	if err := l.fault.Load(); err != nil {
		return *err
	}
	return nil
}

var (
	errUnanswered = errors.New("no 9014 after every retry")
	errHangUp     = errors.New("closed by the script")
	errClosed     = errors.New("closed by the host")
)

// Run sends what is due from start on until ctx ends, then returns nil; what is unacknowledged then stays so. When the connection ends, or
// a frame stays unanswered after ReCount retries, it connects again after a jittered back-off and goes on from the first unacknowledged
// frame. Per connection it owns one goroutine, which reads.
func (l *Logger) Run(ctx context.Context, start time.Time) error {
	l.script = newScript(&l.profile, &l.cfg, start)
	backoff := l.cfg.BackoffMax / 16
	for ctx.Err() == nil {
		if len(l.window) == 0 && l.script.due().IsZero() {
			<-ctx.Done() // a silent logger whose connection the host closed has nothing to say on another
			return nil
		}
		l.heard = false
		if conn, err := l.cfg.Dial(ctx, l.cfg.Addr); err != nil {
			l.count.dialFailures.Add(1)
			l.fault.Store(&err)
		} else {
			if l.dialed {
				l.count.reconnects.Add(1)
			}
			l.dialed = true
			err := l.serve(ctx, conn)
			l.fault.Store(&err)
		}
		if l.heard {
			backoff = l.cfg.BackoffMax / 16
		}
		sleep(ctx, backoff/2+time.Duration(l.rng.Int64N(int64(backoff/2)+1)))
		backoff = min(2*backoff, l.cfg.BackoffMax)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// serve runs one connection to its end, closes it and says why it ended. The window says what is missing.
func (l *Logger) serve(ctx context.Context, conn net.Conn) error {
	l.count.connections.Add(1)
	defer l.count.connections.Add(-1)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	// Every frame may be answered as often as it was sent, so a host that answers no more than that never waits for us to read.
	acks := make(chan string, l.cfg.Window*(l.cfg.ReCount+2))
	requests := make(chan request, maxRequests)
	done := make(chan struct{})
	go func() {
		defer close(acks)
		readHost(conn, acks, requests, done)
	}()
	defer func() {
		close(done)
		conn.Close()
		for qn := range acks { // what came before the end counts; closed when the reader has ended
			l.acked(qn)
		}
	}()
	return l.talk(ctx, conn, acks, requests)
}

// talk resends the window and then sends what is due, until the connection fails, the host stays silent or ctx ends.
func (l *Logger) talk(ctx context.Context, conn net.Conn, acks <-chan string, requests <-chan request) error {
	l.panel.hangUp() // nobody waits for the rest of an answer on another connection
	for i := range l.window {
		l.window[i].resent = 0
		if err := l.resend(conn, &l.window[i]); err != nil {
			return err
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := l.sendDue(conn); err != nil {
			return err
		}
		if err := l.sendRecall(conn); err != nil {
			return err
		}
		if err := l.resendLate(conn); err != nil {
			return err
		}
		timer.Reset(time.Until(l.wake()))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case qn, ok := <-acks:
			if !ok {
				return errClosed
			}
			l.acked(qn)
		case r := <-requests:
			if err := l.answer(conn, &r); err != nil {
				return err
			}
		}
	}
}

// sendDue sends uploads until none is due or the window is full.
func (l *Logger) sendDue(conn net.Conn) error {
	for len(l.window) < l.cfg.Window {
		u, ok := l.script.next(time.Now())
		if !ok {
			return nil
		}
		l.count.sent.Add(1)
		if u.qn != "" { // before the write: a frame that fails half way is one to send again
			l.window = append(l.window, waiting{upload: u, sentAt: time.Now()})
			l.count.unacked.Add(1)
		}
		if err := l.write(conn, u.frame); err != nil {
			return err
		}
		if u.hangUp {
			return errHangUp
		}
	}
	return nil
}

// resendLate sends again, with the same QN as the same bytes, what has waited for OverTime.
func (l *Logger) resendLate(conn net.Conn) error {
	now := time.Now()
	for i := range l.window {
		w := &l.window[i]
		if now.Sub(w.sentAt) < l.cfg.OverTime {
			continue
		}
		if w.resent == l.cfg.ReCount {
			return errUnanswered
		}
		w.resent++
		if err := l.resend(conn, w); err != nil {
			return err
		}
	}
	return nil
}

func (l *Logger) resend(conn net.Conn, w *waiting) error {
	w.sentAt = time.Now()
	l.count.resent.Add(1)
	return l.write(conn, w.frame)
}

// write gives up after as long as an unanswered frame takes to: a gateway that cannot store stops reading, and its peers must bear that.
func (l *Logger) write(conn net.Conn, b []byte) error {
	limit := l.cfg.OverTime * time.Duration(l.cfg.ReCount+1)
	if err := conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return fmt.Errorf("write to %s: %w", l.cfg.Addr, err)
	}
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("write to %s: %w", l.cfg.Addr, err)
	}
	return nil
}

// never is how long a logger sleeps that waits for nothing but its connection's end.
const never = 24 * time.Hour

// wake is when something is to be done next if no ack comes.
func (l *Logger) wake() time.Time {
	at := time.Now().Add(never)
	if due := l.script.due(); !due.IsZero() && len(l.window) < l.cfg.Window {
		at = due
	}
	for i := range l.window {
		if late := l.window[i].sentAt.Add(l.cfg.OverTime); late.Before(at) {
			at = late
		}
	}
	return at
}

// acked takes the upload with that QN out of the window.
func (l *Logger) acked(qn string) {
	l.heard = true
	l.panel.acked(qn)
	for i := range l.window {
		if l.window[i].qn != qn {
			continue
		}
		f := l.window[i].frame
		l.window = append(l.window[:i], l.window[i+1:]...)
		l.count.unacked.Add(-1)
		l.count.acked.Add(1)
		if l.cfg.OnAcked != nil {
			l.cfg.OnAcked(f)
		}
		l.noteBackfilled()
		return
	}
	l.count.unmatched.Add(1)
}

// noteBackfilled counts the logger once its whole backfill is acknowledged.
func (l *Logger) noteBackfilled() {
	if l.count.backfilled.Load() != 0 || l.script.backfill() != nil {
		return
	}
	for i := range l.window {
		if l.window[i].backfill {
			return
		}
	}
	l.count.backfilled.Store(1)
}

// readHost sends the QN of every 9014 on acks, and requests on requests, until the connection ends or done is closed. Requests beyond
// maxRequests that wait are dropped, as a logger with a small buffer does.
func readHost(conn net.Conn, acks chan<- string, requests chan<- request, done <-chan struct{}) {
	_ = readFrames(conn, func(m *hj212.Message) bool {
		if string(m.CN) != "9014" {
			if r, ok := requestOf(m); ok {
				select {
				case requests <- r:
				default:
				}
			}
			return true
		}
		qn := ackedQN(m)
		select {
		case acks <- qn: // with room even after the end: an ack that has come counts
			return true
		default:
		}
		select {
		case acks <- qn:
			return true
		case <-done:
			return false
		}
	})
}

// ackedQN is the QN that a 9014 answers: in its header, in 2005 in its CP (HJ/T 212-2005 C.3).
func ackedQN(m *hj212.Message) string {
	if len(m.QN) > 0 {
		return string(m.QN)
	}
	for _, p := range m.Pairs {
		if string(p.Key) == "QN" {
			return string(p.Value)
		}
	}
	return ""
}

// readFrames calls fn for every sound frame until fn refuses or the connection ends. It keeps at most 8 KiB.
func readFrames(conn net.Conn, fn func(m *hj212.Message) bool) error {
	var (
		framer = hj212.Framer{Tolerant: true}
		m      hj212.Message
		buf    = make([]byte, 0, 8192) // above any frame within the framer's limit of 4,096 bytes of data
	)
	for {
		if len(buf) == cap(buf) {
			return fmt.Errorf("read from %s: no frame in %d bytes", conn.RemoteAddr(), len(buf))
		}
		n, err := conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		rest := buf
		for len(rest) > 0 {
			fr, size, bad := framer.Next(rest, false)
			if size == 0 {
				break
			}
			rest = rest[size:]
			if bad == nil && m.Parse(fr.Data) == nil && !fn(&m) {
				return nil
			}
		}
		buf = buf[:copy(buf, rest)]
		if err != nil {
			return fmt.Errorf("read from %s: %w", conn.RemoteAddr(), err)
		}
	}
}
