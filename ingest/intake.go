package ingest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/ingest/hj212"
)

// An Intake is what all sessions of a gateway share: configuration, registry, publisher, counters. Its methods are for any goroutine.
type Intake struct {
	cfg      Config
	devices  Devices
	pub      Publisher
	downlink *Downlink      // nil: no commands are sent
	log      zerolog.Logger // sampled: at most ten lines a second, a hundred thousand devices can go wrong at once
	live     *live
	counters counters

	messages    sync.Pool // *hj212.Message, warm slices shared by the sessions
	completions sync.Pool // *Completion, each with the buffer of its record
	outs        sync.Pool // *outBuffer, for the acks of sessions that have some to write

	listings    chan struct{} // a token for each listing of sessions under way
	conns       atomic.Uint64 // number of the newest connection
	outstanding atomic.Int64  // records published whose Completion was not handed over yet
	idle        chan struct{} // a token when outstanding reached zero
	draining    atomic.Bool
}

// NewIntake registers its metrics with r, every series from the start. cfg must be valid; without a downlink no commands are sent.
func NewIntake(cfg Config, devices Devices, pub Publisher, downlink *Downlink, r prometheus.Registerer, log zerolog.Logger) *Intake {
	in := &Intake{
		cfg: cfg, devices: devices, pub: pub, downlink: downlink, idle: make(chan struct{}, 1), listings: make(chan struct{}, maxListings),
		log: log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),
	}
	in.live = newLive(&cfg, downlink)
	in.messages.New = func() any { return new(hj212.Message) }
	in.completions.New = newCompletion
	in.outs.New = func() any { return new(outBuffer) }
	in.counters.register(r)
	in.live.register(r)
	return in
}

// Open begins the session of a connection from peer, whose other end is reached by line.
func (in *Intake) Open(peer Peer, now time.Time, line Line) *Session {
	n := in.conns.Add(1)
	s := &Session{
		in: in, number: n, opened: now, line: line, peer: peer, addr: peer.ip(),
		origin: newOrigin(in.cfg.Gateway, peer.Addr, strconv.FormatUint(n, 10)),
	}
	s.connKey = s.origin.Gateway + "/" + s.origin.Conn
	in.counters.connections.Add(1)
	in.counters.opened.Add(1)
	return s
}

// StopReading makes every session refuse to take more bytes, for good: the first step of a shutdown.
func (in *Intake) StopReading() { in.draining.Store(true) }

// Flush returns when everything published so far is durable or lost and its Completions were handed over, or when ctx ends.
func (in *Intake) Flush(ctx context.Context) error {
	if err := in.pub.Flush(ctx); err != nil {
		return fmt.Errorf("flush %d records to the journal: %w", in.outstanding.Load(), err)
	}
	for in.outstanding.Load() > 0 {
		select {
		case <-in.idle:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d records to be durable: %w", in.outstanding.Load(), ctx.Err())
		}
	}
	return nil
}

// released notes that a Completion was handed over.
func (in *Intake) released() {
	if in.outstanding.Add(-1) == 0 {
		select {
		case in.idle <- struct{}{}:
		default:
		}
	}
}

// Stats is a snapshot of the counters since the start.
type Stats struct {
	Connections  int64 // open now
	Received     int64 // frames and refused spans taken from connections
	Journaled    int64 // frames durable in the journal
	Rejected     int64 // sum of RejectedBy
	RejectedBy   map[Reason]int64
	Acked        int64 // 9014 and 9013 written to sockets
	AcksDropped  int64 // owed to connections that had gone
	UnreadBytes  int64 // left in buffers when their connection ended
	SessionsLost int64 // session entries that the journal did not get
}

// Stats is for status lines; its numbers are read one after the other, so sums can be off by what happens meanwhile.
func (in *Intake) Stats() Stats {
	c := &in.counters
	s := Stats{
		Connections: c.connections.Load(), Received: c.received.Load(), Journaled: c.journaled.Load(),
		RejectedBy: make(map[Reason]int64), Acked: c.acked[ackData].Load() + c.acked[ackNotice].Load(),
		AcksDropped: c.acksDropped.Load(), UnreadBytes: c.unread.Load(), SessionsLost: c.sessionsLost.Load(),
	}
	for _, r := range Reasons() {
		if n := c.rejected[r].Load(); n > 0 {
			s.RejectedBy[r] = n
			s.Rejected += n
		}
	}
	return s
}
