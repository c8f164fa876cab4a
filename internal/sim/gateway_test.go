package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"outfall/ingest"
	"outfall/internal/broker"
	"outfall/telemetry"
)

// A gateway is one ingest process without its sockets: what package ingest/tcp does with an event loop, a goroutine for each connection
// does here.
type gateway struct {
	w         *world
	name      string
	net       *network
	intake    *ingest.Intake
	publisher *ingest.KafkaPublisher
	meter     *meter
	stop      context.CancelFunc // ends what follows
	ended     sync.WaitGroup     // barrier, registry
	links     sync.WaitGroup     // connections
	dead      atomic.Bool        // it has crashed
	hung      atomic.Bool        // its connections are closed

	mu   sync.Mutex // guards what follows
	open map[*link]bool
	shut bool

	consumed atomic.Int64 // bytes that sessions took
}

// A meter is the Publisher between the intake and the real one: it holds both to their word.
type meter struct {
	ingest.Publisher
	w               *world
	records, bytes  atomic.Int64
	maxRec, maxByte int64
	lost            atomic.Int64 // bytes of frames and rejects that the brokers refused for good
}

// Publish implements ingest.Publisher.
func (m *meter) Publish(rec ingest.Record, done func(error)) error {
	cost := int64(len(rec.Value) + len(rec.Key))
	var once atomic.Bool
	n, b := m.records.Add(1), m.bytes.Add(cost)
	size := int64(len(rec.Value))
	err := m.Publisher.Publish(rec, func(err error) {
		if once.Swap(true) {
			m.w.fail("a record's outcome was told twice")
		}
		m.records.Add(-1)
		m.bytes.Add(-cost)
		if err != nil && rec.Kind != telemetry.KindSession {
			m.lost.Add(size)
		}
		done(err)
	})
	if err != nil {
		m.records.Add(-1)
		m.bytes.Add(-cost)
		return err
	}
	if n > m.maxRec+1 || b > m.maxByte {
		m.w.fail("%d records, %d bytes under way, bounds %d and %d", n, b, m.maxRec, m.maxByte)
	}
	return nil
}

func (w *world) startGateway() {
	w.gateways++
	g := &gateway{w: w, name: fmt.Sprintf("gw%d", w.gateways), net: w.fabric.network(w.plan.seed + uint64(w.gateways)), open: map[*link]bool{}}
	cluster := broker.Virtual(w.brokerConfig(), g.net.dial, w.sync)
	ctx, cancel := context.WithCancel(context.Background())
	g.stop = cancel
	barrier, reg := cluster.NewBarrier(), prometheus.NewRegistry()
	g.ended.Go(func() { _ = barrier.Run(ctx) })
	cfg := ingest.DefaultConfig()
	cfg.Gateway, cfg.OneSession, cfg.MaxInflightRecords, cfg.MaxUnackedBytes = g.name, w.plan.policy, w.plan.maxInflight, 16<<10
	if err := cfg.Validate(); err != nil {
		w.fail("gateway: %v", err)
	}
	devices := ingest.NewRegistry(cluster, reg, w.log)
	g.ended.Go(func() {
		if err := devices.Run(ctx); err != nil {
			w.fail("registry of %s: %v", g.name, err)
		}
	})
	var err error
	if g.publisher, err = ingest.NewKafkaPublisher(cfg, cluster, barrier, reg); err != nil {
		w.fail("gateway: %v", err)
		return
	}
	g.meter = &meter{Publisher: g.publisher, w: w, maxRec: cfg.MaxInflightRecords, maxByte: cfg.MaxInflightBytes}
	g.intake = ingest.NewIntake(cfg, devices, g.meter, nil, reg, w.log)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gateway = g
	w.allGateways = append(w.allGateways, g)
}

// crash takes the process away at once; another one starts after a while.
func (g *gateway) crash(pause time.Duration) {
	if !g.w.takeGateway(g) {
		return
	}
	g.w.count("gateway crash")
	g.dead.Store(true)
	g.net.die()
	g.hangUp()
	g.w.background.Go(func() {
		g.end()
		time.Sleep(pause)
		g.w.startGateway()
	})
}

// hangUp ends every connection and lets none in.
func (g *gateway) hangUp() {
	g.hung.Store(true)
	g.mu.Lock()
	g.shut = true
	links := make([]*link, 0, len(g.open))
	for l := range g.open {
		links = append(links, l)
	}
	g.mu.Unlock()
	for _, l := range links {
		l.conn.Close()
	}
}

// end stops what is left, and must come to an end itself.
func (g *gateway) end() {
	g.links.Wait()
	g.publisher.Close()
	g.stop()
	g.ended.Wait()
}

// close is the shutdown in order: nothing more is read, what is under way is waited for, then the connections end.
func (g *gateway) close() {
	g.intake.StopReading()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := g.intake.Flush(ctx); err != nil {
		g.w.fail("gateway not flushed: %v", err)
	}
	g.hangUp()
	g.links.Wait()
	if err := g.intake.Flush(ctx); err != nil { // the close entries
		g.w.fail("gateway not flushed: %v", err)
	}
	g.end()
}

// A link is one connection at the gateway's end. It implements ingest.Line.
type link struct {
	g    *gateway
	conn net.Conn
	sess *ingest.Session
	wake chan struct{}
	rng  *rand.Rand

	mu    sync.Mutex // guards what follows
	queue []*ingest.Completion
	bye   ingest.Cause
	ended bool
}

// Completed implements ingest.Line.
func (l *link) Completed(c *ingest.Completion) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		l.sess.Settle(c)
		return
	}
	l.queue = append(l.queue, c)
	l.kick()
}

// Send implements ingest.Line; nobody sends requests here.
func (l *link) Send([]byte) {}

// Hangup implements ingest.Line.
func (l *link) Hangup(cause ingest.Cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bye = cause
	l.kick()
}

func (l *link) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// dialGateway connects a logger to the gateway of the moment.
func (w *world) dialGateway(ctx context.Context, from string) (net.Conn, error) {
	w.mu.Lock()
	g := w.gateway
	w.links++
	n := w.links
	w.mu.Unlock()
	if g == nil || ctx.Err() != nil {
		return nil, errNoRoute
	}
	device, conn := net.Pipe()
	l := &link{g: g, conn: conn, wake: make(chan struct{}, 1), rng: rand.New(rand.NewPCG(w.plan.seed, n))}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, errNoRoute
	}
	l.sess = g.intake.Open(ingest.Peer{Addr: from}, w.receipt(), l)
	g.open[l] = true
	g.links.Go(l.run)
	return device, nil
}

const chunk = 4 << 10

// run drives the session until either side ends it.
func (l *link) run() {
	readings, grant := make(chan []byte), make(chan struct{}, 1)
	var reader sync.WaitGroup
	reader.Go(func() { l.read(grant, readings) })
	var buf []byte
	cause, waiting := ingest.Cause(0), false
	grant <- struct{}{}
	for cause == 0 {
		again := time.Hour
		if waiting {
			again = time.Second // there may be room
		}
		timer := time.NewTimer(again)
		select {
		case b, ok := <-readings:
			if !ok {
				cause = ingest.CausePeer
				break
			}
			buf = append(buf, b...)
			grant <- struct{}{}
		case <-l.wake:
			cause = l.settle()
		case <-timer.C:
		}
		timer.Stop()
		if cause == 0 {
			buf, cause, waiting = l.feed(buf, false)
		}
		for waiting && len(buf) > chunk && cause == 0 { // not read until there is room
			sleep(context.Background(), 100*time.Millisecond)
			if cause = l.settle(); cause == 0 {
				buf, cause, waiting = l.feed(buf, false)
			}
			if cause == 0 && l.g.hung.Load() {
				cause = ingest.CauseShutdown
			}
		}
	}
	close(grant)
	l.conn.Close()
	for range readings { // one may be on its way
	}
	reader.Wait()
	l.end(buf, cause)
}

// read brings one reading for each grant, in cuts of any size.
func (l *link) read(grant <-chan struct{}, readings chan<- []byte) {
	defer close(readings)
	for range grant {
		b := make([]byte, 1+l.rng.IntN(chunk))
		n, err := l.conn.Read(b)
		for n == 0 && err == nil { // a pipe carries empty writes
			n, err = l.conn.Read(b)
		}
		if n > 0 {
			readings <- b[:n]
		}
		if err != nil {
			return
		}
	}
}

func (l *link) feed(buf []byte, eof bool) (rest []byte, cause ingest.Cause, waiting bool) {
	if l.g.dead.Load() {
		return buf, ingest.CausePeer, false
	}
	n, state := l.sess.Feed(buf, l.g.w.receipt(), eof)
	l.g.consumed.Add(int64(n))
	rest = buf[n:]
	if state == ingest.StateReady && len(rest) > maxRest {
		l.g.w.fail("a session leaves %d bytes and waits for more", len(rest))
	}
	if state == ingest.StateGarbage {
		cause = ingest.CauseGarbage
	}
	return rest, cause, state == ingest.StateFull || state == ingest.StateUnacked
}

// maxRest bounds what a session waits for more behind: the longest frame, its envelope and blanks.
const maxRest = 4096 + 256

// settle hands completions to the session and writes the acks.
func (l *link) settle() ingest.Cause {
	l.mu.Lock()
	queue, bye := l.queue, l.bye
	l.queue = nil
	l.mu.Unlock()
	for _, c := range queue {
		l.sess.Settle(c)
	}
	if l.g.dead.Load() {
		return ingest.CausePeer
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if l.sess.FlushAcks(l.conn) != nil && bye == 0 {
		return ingest.CausePeer
	}
	return bye
}

// end closes the session as an event loop does, unless the process has crashed: then nobody does.
func (l *link) end(buf []byte, cause ingest.Cause) {
	if !l.g.dead.Load() {
		if len(buf) > 0 && cause != ingest.CauseGarbage {
			buf, _, _ = l.feed(buf, true)
		}
		l.sess.Close(cause, len(buf), l.g.w.receipt())
	}
	l.mu.Lock()
	l.ended = true
	for _, c := range l.queue {
		l.sess.Settle(c)
	}
	l.queue = nil
	l.mu.Unlock()
	l.g.mu.Lock()
	delete(l.g.open, l)
	l.g.mu.Unlock()
}
