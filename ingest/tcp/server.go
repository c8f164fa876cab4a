package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"outfall/ingest"
)

const (
	readBuffer  = 64 << 10 // of an event loop: what one read takes from a socket
	writeBuffer = 4 << 10  // of a connection, before gnet's list takes over; acks have about 100 bytes
	maxSweep    = time.Second
	// stuckAfter is how long an event loop may be busy with something else before it counts as dead.
	stuckAfter = time.Minute
	// Back-off of the accept loop: EMFILE passes when connections end.
	minAcceptPause, maxAcceptPause = 5 * time.Millisecond, time.Second
)

// A Server is a listener and the connections that came through it. It implements gnet.EventHandler.
type Server struct {
	gnet.BuiltinEventEngine
	cfg    Config
	intake *ingest.Intake
	log    zerolog.Logger
	ln     net.Listener
	limit  int64 // connections

	live         atomic.Int64 // connections, those in the making included
	backlog      atomic.Int64 // inbound bytes not taken
	waiters      atomic.Int64 // connections that wait for room, over all loops
	refused      atomic.Int64
	acceptErrors atomic.Int64
	lag          atomic.Int64 // nanoseconds, the worst since the last scrape
	stopping     atomic.Bool

	mu    sync.RWMutex // guards loops; a loop's mu may be taken under it
	loops map[gnet.EventLoop]*loop
}

// Listen binds cfg.Listen; nothing is accepted before Run. cfg must be valid. r gets the metrics.
func Listen(cfg Config, intake *ingest.Intake, r prometheus.Registerer, log zerolog.Logger) (*Server, error) {
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: cfg.KeepAlive, Interval: cfg.KeepAlive / 3, Count: 3}}
	ln, err := lc.Listen(context.Background(), "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for data loggers: %w", err)
	}
	s := &Server{cfg: cfg, intake: intake, log: log, ln: ln, limit: int64(cfg.MaxConnections), loops: map[gnet.EventLoop]*loop{}}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && int64(files.Cur)*9/10-64 < s.limit {
		s.limit = max(1, int64(files.Cur)*9/10-64) // a tenth and 64 are left to Kafka, snapshots and the admin page
		log.Warn().Int64("connections", s.limit).Uint64("open_files", files.Cur).Msg("the limit of open files lowers max_connections")
	}
	s.register(r)
	return s, nil
}

func (s *Server) register(r prometheus.Registerer) {
	counter := func(name, help string, v *atomic.Int64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "outfall_ingest_" + name, Help: help},
			func() float64 { return float64(v.Load()) }))
	}
	gauge := func(name, help string, read func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "outfall_ingest_" + name, Help: help}, read))
	}
	counter("refused_connections_total", "Connections closed at once: above max_connections, or out of files.", &s.refused)
	counter("accept_errors_total", "Accepts that failed; the accept loop backs off and goes on.", &s.acceptErrors)
	gauge("backlog_bytes", "Bytes in inbound buffers that were not taken: begun frames, and what the journal has no room for.",
		func() float64 { return float64(s.backlog.Load()) })
	gauge("waiting_connections", "Connections whose bytes wait for room in the journal.", func() float64 { return float64(s.waiters.Load()) })
	gauge("loop_lag_seconds", "Worst delay of a task in an event loop since the last scrape.",
		func() float64 { return time.Duration(s.lag.Swap(0)).Seconds() })
}

// Addr is the address that is listened on, with its real port.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run serves until ctx ends, then stops in this order: no more accepts, no more bytes taken, wait for records under way, write their
// acks, close the connections, write their session entries; all within DrainTimeout. What is not durable by then was not
// acknowledged, and its device sends it again: that is logged, not an error. Run returns an error only when the engine cannot start or
// an event loop died; connections may then still be open, and the process should end.
//
// It owns the accept goroutine, the sweeper and gnet's event loops; the first two end with ctx, the loops at the end of the stop.
func (s *Server) Run(ctx context.Context) error {
	defer s.ln.Close()
	client, err := gnet.NewClient(s,
		gnet.WithNumEventLoop(s.cfg.EventLoops),
		gnet.WithReadBufferCap(readBuffer),
		gnet.WithWriteBufferCap(writeBuffer),
		gnet.WithTCPNoDelay(gnet.TCPDelay), // "leave it": net has set TCP_NODELAY at the accept
		gnet.WithLogger(gnetLog{s.log}),
	)
	if err == nil {
		err = client.Start()
	}
	if err != nil {
		return fmt.Errorf("start %d event loops: %w", s.cfg.EventLoops, err)
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		s.accept(running, client)
	}()
	s.log.Info().Stringer("address", s.ln.Addr()).Int("event_loops", s.cfg.EventLoops).Msg("data loggers may connect")
	if err := s.sweep(running); err != nil {
		return err
	}
	s.ln.Close()
	<-accepted
	s.stop(context.WithoutCancel(ctx), client)
	return nil
}

// sweep drives the timers of all loops until ctx ends or a loop is dead.
func (s *Server) sweep(ctx context.Context) error {
	interval := min(maxSweep, max(10*time.Millisecond, min(s.cfg.PartialTimeout, s.cfg.LoginTimeout, s.cfg.IdleTimeout)/4))
	stuck := int(stuckAfter / interval)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, l := range s.allLoops() {
			if l.sweep() > stuck {
				return fmt.Errorf("an event loop did no work for %v", stuckAfter)
			}
		}
	}
}

func (s *Server) stop(ctx context.Context, client *gnet.Client) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DrainTimeout)
	defer cancel()
	s.intake.StopReading()
	err := s.intake.Flush(ctx)
	s.stopping.Store(true)
	for _, l := range s.allLoops() {
		done := make(chan struct{})
		l.finish(done)
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	err = errors.Join(err, client.Stop())
	err = errors.Join(err, s.intake.Flush(ctx)) // the close entries of the sessions
	for _, l := range s.allLoops() {
		l.settleRest()
	}
	if err != nil {
		s.log.Warn().Err(err).Msg("stopped before everything was durable; unacknowledged frames will be sent again")
		return
	}
	s.log.Info().Msg("connections drained and closed")
}

// accept enrols connections until the listener is closed.
func (s *Server) accept(ctx context.Context, client *gnet.Client) {
	var pause time.Duration
	for {
		c, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			err = s.enrol(client, c)
		}
		if err == nil {
			pause = 0
			continue
		}
		s.acceptErrors.Add(1)
		if pause == 0 {
			s.log.Error().Err(err).Msg("accept: backing off")
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		select {
		case <-ctx.Done(): // the listener is about to be closed
		case <-time.After(pause):
		}
	}
}

// enrol hands c to the event loop with the fewest connections. It waits until the loop has it, which limits the rate of accepts to
// what the loops bear.
func (s *Server) enrol(client *gnet.Client, c net.Conn) error {
	if s.live.Add(1) > s.limit {
		s.live.Add(-1)
		s.refused.Add(1)
		return c.Close()
	}
	cn := &conn{peer: c.RemoteAddr().String()}
	_, err := client.EnrollContext(c, cn)
	if !cn.opened { // gnet swallows an error of epoll_ctl
		s.live.Add(-1)
		s.refused.Add(1)
		if err == nil {
			err = errors.New("the event loop did not take the connection")
		}
	}
	return err
}

// allLoops lists the loops that had a connection so far.
func (s *Server) allLoops() []*loop {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*loop, 0, len(s.loops))
	for _, l := range s.loops {
		all = append(all, l)
	}
	return all
}

// roomMade lets connections that wait for room try again; for any goroutine.
func (s *Server) roomMade() {
	if s.waiters.Load() == 0 {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.loops {
		if l.waiters.Load() > 0 {
			l.kick()
		}
	}
}

func (s *Server) noteLag(d time.Duration) {
	for {
		worst := s.lag.Load()
		if int64(d) <= worst || s.lag.CompareAndSwap(worst, int64(d)) {
			return
		}
	}
}
