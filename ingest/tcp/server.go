package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
)

// A Server is its listeners and the connections that came through them. It implements gnet.EventHandler.
type Server struct {
	gnet.BuiltinEventEngine
	cfg      Config
	intake   *ingest.Intake
	log      zerolog.Logger
	sampled  zerolog.Logger // for what a flood can cause, ten lines a second
	ln       *net.TCPListener
	tlsLn    *net.TCPListener // nil: no TLS
	identity *identity        // nil: no TLS
	client   *gnet.Client     // set by Run
	limit    int64            // connections
	epoch    time.Time        // what the loops' times are measured from
	door     *door
	proxies  []netip.Prefix
	pace     *pacer         // of accepts after a start; nil: no limit. Set by Run
	awaited  chan struct{}  // a place for each connection whose PROXY header is being read
	guests   sync.WaitGroup // goroutines of connections: PROXY headers and TLS
	streams  streams

	live         atomic.Int64 // connections, those in the making included
	encrypted    atomic.Int64 // those of live that came to the TLS listener
	backlog      atomic.Int64 // inbound bytes not taken
	waiters      atomic.Int64 // connections that wait for room
	refused      [refusalEnd]atomic.Int64
	acceptErrors atomic.Int64
	lag          atomic.Int64 // nanoseconds, the worst since the last scrape
	stopping     atomic.Bool

	mu    sync.RWMutex // guards loops; a loop's mu may be taken under it
	loops map[gnet.EventLoop]*loop
}

// Listen binds the addresses of cfg, which must be valid, and reads the certificates; nothing is accepted before Run. r gets the metrics.
func Listen(cfg Config, intake *ingest.Intake, r prometheus.Registerer, log zerolog.Logger) (*Server, error) {
	s := &Server{
		cfg: cfg, intake: intake, log: log, sampled: log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),
		limit: int64(cfg.MaxConnections), epoch: time.Now(), awaited: make(chan struct{}, maxAwaited), loops: map[gnet.EventLoop]*loop{},
	}
	s.streams = streams{waiters: &s.waiters, all: map[*stream]net.Conn{}, waiting: map[*stream]struct{}{}}
	s.door = newDoor(&cfg, s.epoch)
	var err error
	if s.proxies, err = parseNetworks(cfg.ProxyFrom); err != nil {
		return nil, fmt.Errorf("tcp.proxy_from: %w", err)
	}
	if s.ln, err = listen(&cfg, cfg.Listen); err != nil {
		return nil, fmt.Errorf("listen for data loggers: %w", err)
	}
	if cfg.TLS.Listen != "" {
		if s.identity, err = loadIdentity(cfg.TLS, log); err == nil {
			s.tlsLn, err = listen(&cfg, cfg.TLS.Listen)
		}
		if err != nil {
			s.ln.Close()
			return nil, fmt.Errorf("listen for encrypted data loggers: %w", err)
		}
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && int64(files.Cur)*9/10-64 < s.limit {
		s.limit = max(1, int64(files.Cur)*9/10-64) // a tenth and 64 are left to Kafka, snapshots and the admin page
		log.Warn().Int64("connections", s.limit).Uint64("open_files", files.Cur).Msg("the limit of open files lowers max_connections")
	}
	s.register(r)
	return s, nil
}

// Addr is the address that is listened on, with its real port.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// TLSAddr is the same of the TLS listener; nil when there is none.
func (s *Server) TLSAddr() net.Addr {
	if s.tlsLn == nil {
		return nil
	}
	return s.tlsLn.Addr()
}

// Run serves until ctx ends, then stops in this order: hand over the port if it is shared, no more accepts, no more bytes taken, wait
// for records under way, write their acks, close the connections, write their session entries; all within DrainTimeout, after
// HandoverTime. What is not durable by then was not acknowledged, and its device sends it again: that is logged, not an error. Run
// returns an error only when the engine cannot start or an event loop died; connections may then still be open, and the process should end.
//
// It owns the accept goroutines, the sweeper, gnet's event loops, and two goroutines for each TLS connection; all end before it returns.
func (s *Server) Run(ctx context.Context) error {
	defer s.closeListeners()
	var err error
	s.client, err = gnet.NewClient(s,
		gnet.WithNumEventLoop(s.cfg.EventLoops),
		gnet.WithReadBufferCap(readBuffer),
		gnet.WithWriteBufferCap(writeBuffer),
		gnet.WithTCPNoDelay(gnet.TCPDelay), // "leave it": net has set TCP_NODELAY at the accept
		gnet.WithLogger(gnetLog{s.log}),
	)
	if err == nil {
		err = s.client.Start()
	}
	if err != nil {
		return fmt.Errorf("start %d event loops: %w", s.cfg.EventLoops, err)
	}
	if s.cfg.AcceptRate > 0 {
		s.pace = newPacer(s.cfg.AcceptRate, time.Now().Add(s.cfg.AcceptRamp))
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	paced, unpace := context.WithCancel(serving)
	defer unpace()
	var accepting sync.WaitGroup
	accepting.Go(func() { s.accept(serving, paced, s.ln, nil) })
	if s.tlsLn != nil {
		accepting.Go(func() { s.accept(serving, paced, s.tlsLn, newPacer(s.cfg.TLS.HandshakeRate, time.Time{})) })
		s.log.Info().Stringer("address", s.tlsLn.Addr()).Msg("data loggers may connect by TLS")
	}
	s.log.Info().Stringer("address", s.ln.Addr()).Int("event_loops", s.cfg.EventLoops).Msg("data loggers may connect")
	died := make(chan error, 1)
	go func() { died <- s.sweep(serving) }()
	select {
	case err := <-died:
		return err
	case <-ctx.Done():
	}
	if s.cfg.ReusePort {
		unpace() // what is in the queues has HandoverTime
		s.handOver(&accepting)
	}
	cancel() // also what waits for a PROXY header or a handshake
	s.closeListeners()
	accepting.Wait()
	<-died
	s.stop(context.WithoutCancel(ctx))
	return nil
}

// handOver serves on while new connections go to the newer process on the port, and returns when the queue of the listeners is empty.
func (s *Server) handOver(accepting *sync.WaitGroup) {
	s.log.Info().Stringer("time", s.cfg.HandoverTime).Msg("handing over the port")
	for _, ln := range s.listeners() {
		if err := steerAway(ln); err != nil {
			s.log.Warn().Err(err).Msg("new connections cannot be kept away from this process: some may be reset")
		}
	}
	until := time.Now().Add(s.cfg.HandoverTime)
	for _, ln := range s.listeners() {
		_ = ln.SetDeadline(until) // it fails for closed ones only, whose accept loop has ended
	}
	accepting.Wait()
}

func (s *Server) listeners() []*net.TCPListener {
	if s.tlsLn == nil {
		return []*net.TCPListener{s.ln}
	}
	return []*net.TCPListener{s.ln, s.tlsLn}
}

func (s *Server) closeListeners() {
	for _, ln := range s.listeners() {
		ln.Close()
	}
}

// since and now measure time from the server's begin: half the size of a time.Time, in each connection.
func (s *Server) since(t time.Time) time.Duration { return t.Sub(s.epoch) }
func (s *Server) now() time.Duration              { return time.Since(s.epoch) }

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

func (s *Server) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DrainTimeout)
	defer cancel()
	s.intake.StopReading()
	err := s.intake.Flush(ctx)
	s.stopping.Store(true)
	s.streams.finish(ctx, &s.guests)
	for _, l := range s.allLoops() {
		done := make(chan struct{})
		l.finish(done)
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	err = errors.Join(err, s.client.Stop())
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
	s.streams.roomMade()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.loops {
		if l.waiters.Load() > 0 {
			l.kick()
		}
	}
}
