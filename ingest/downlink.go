package ingest

import (
	"container/heap"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// A Downlink asks devices for what the commands topic holds (HJ 212-2017 annex C, host to field), each over the connection that it has with
// this gateway. Its methods are for any goroutine and never block; a nil *Downlink asks nothing.
//
// Every step of a command is written to the journal and then to the topic; a request leaves only when its StepSending is durable in both
// and was read back from the topic, where the first one counts. So no crash makes a command be sent again unseen, and of two gateways
// that both have a connection of the device one asks.
type Downlink struct {
	cfg     DownlinkConfig
	gateway string
	devices Devices
	pub     Publisher
	topic   CommandTopic
	log     zerolog.Logger
	metrics downlinkMetrics

	writing chan struct{} // a place for each letter under way

	seed    maphash.Seed
	talking [4096]atomic.Int32 // devices with an open dialogue here, by hash of their MN: what heard looks at

	mu         sync.Mutex // guards the rest; nothing that it covers waits
	seats      map[string]*seat
	due        seatHeap
	commands   int                  // queued, open or lent, of all seats
	loaded     bool                 // the topic was read up to the end that it had at the start
	configured map[string]time.Time // when the set-up of a device last succeeded
	outbox     []letter             // to be written, in order
	changed    chan struct{}        // a token when due changed
	mail       chan struct{}        // a token when outbox is not empty
}

// A seat is a station and what it needs of the world.
type seat struct {
	station
	line   Line // nil: not connected
	talks  bool // counted in talking
	counts int  // of its commands in Downlink.commands
	at     time.Time
	index  int // in the heap, -1: not there
}

// NewDownlink makes the downlink of the gateway with that name, which no other gateway may have; cfg must be valid. Run drives it. r gets
// its metrics.
func NewDownlink(cfg DownlinkConfig, gateway string, devices Devices, pub Publisher, topic CommandTopic, r prometheus.Registerer, log zerolog.Logger) *Downlink {
	d := &Downlink{
		cfg: cfg, gateway: gateway, devices: devices, pub: pub, topic: topic, seed: maphash.MakeSeed(),
		log:   log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),
		seats: map[string]*seat{}, configured: map[string]time.Time{}, changed: make(chan struct{}, 1), mail: make(chan struct{}, 1),
		writing: make(chan struct{}, maxWriting),
	}
	d.metrics.register(r, d)
	return d
}

// drainTime bounds how long Run goes on writing when its context has ended.
const drainTime = 5 * time.Second

// Run reads the topic, writes the steps and keeps the time, until ctx ends; it then writes what is left for at most five seconds. It returns
// an error when commands that were to come next are gone from the topic. It owns three goroutines:
//
//	follow  the topic -> stations
//	write   outbox -> journal -> topic; ends when ctx has ended and all is written
//	clock   what is due
func (d *Downlink) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.topic.Follow(ctx, time.Now().Add(-telemetry.MaxValidity), d.take, d.start) })
	g.Go(func() error { d.write(ctx); return nil })
	g.Go(func() error { d.clock(ctx); return nil })
	return g.Wait()
}

// clock ticks the stations that something is due of.
func (d *Downlink) clock(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(d.tick(time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-d.changed:
		}
	}
}

// tick does what is due and returns how long nothing more is.
func (d *Downlink) tick(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.due) > 0 && !d.due[0].at.After(now) {
		s := d.due[0]
		d.refresh(s)
		s.tick(now)
		d.settle(s, now)
	}
	if len(d.due) == 0 {
		for mn, at := range d.configured {
			if now.Sub(at) >= setUpEvery {
				delete(d.configured, mn)
			}
		}
		return time.Hour
	}
	return d.due[0].at.Sub(now)
}

// online says that the device mn was recognised on line, whose other end is peer; version is the Version of what it sent.
func (d *Downlink) online(mn string, line Line, peer string, version uint8, now time.Time) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.seat(mn)
	s.line = line
	s.connect(peer, version, now)
	if d.loaded {
		d.setUp(s, now)
	}
	d.settle(s, now)
}

// offline says that line carries the device mn no more.
func (d *Downlink) offline(mn string, line Line, now time.Time) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.seats[mn]
	if s == nil || s.line != line {
		return // a newer connection has taken over
	}
	s.line = nil
	s.disconnect(now)
	d.settle(s, now)
}

// heard says that m of the device mn was accepted. It costs nothing while the device has no open command. m is not kept.
func (d *Downlink) heard(mn string, m *hj212.Message, now time.Time) {
	if d == nil || d.talkers(mn).Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.seats[mn]
	if s == nil || s.open == nil {
		return // another device has the same hash
	}
	a := answerOf(m)
	s.hear(&a, now)
	d.settle(s, now)
}

func (d *Downlink) talkers(mn string) *atomic.Int32 {
	return &d.talking[maphash.String(d.seed, mn)%uint64(len(d.talking))]
}

// take applies a record of the topic. One that is neither a command nor a step of one is skipped.
func (d *Downlink) take(kind telemetry.Kind, mn string, value []byte) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	switch kind {
	case telemetry.KindCommand:
		var c telemetry.Command
		if err = json.Unmarshal(value, &c); err == nil {
			err = c.Validate()
		}
		if err == nil && c.MN != mn {
			err = fmt.Errorf("mn %q under key %q", c.MN, mn)
		}
		if err == nil {
			d.command(c, now)
		}
	case telemetry.KindOutcome:
		var o telemetry.Outcome
		if err = json.Unmarshal(value, &o); err == nil {
			d.outcome(mn, &o, now)
		}
	default:
		err = fmt.Errorf("kind %q has no place here", kind)
	}
	if err != nil {
		d.metrics.bad.Add(1)
		d.log.Error().Err(err).Str("mn", mn).Msg("record of the commands topic skipped")
	}
}

// command takes a command of the topic.
func (d *Downlink) command(c telemetry.Command, now time.Time) {
	s := d.seat(c.MN)
	if d.loaded && d.commands >= d.cfg.MaxOpen { // before: the finals of some stand further down in the topic
		s.emit(&c, outcomeOf(telemetry.StepFailed, 0, fmt.Sprintf("not queued: %d commands wait already", d.commands)), now)
	} else {
		s.add(c, now)
	}
	d.settle(s, now)
}

// outcome takes a step of the topic. One that is about nothing known is of a command that has ended.
func (d *Downlink) outcome(mn string, o *telemetry.Outcome, now time.Time) {
	s := d.seats[mn]
	if s == nil {
		return
	}
	if c := s.find(o.ID); c != nil && c.Operator == telemetry.SetUpOperator {
		d.noteSetUp(mn, o)
	}
	d.refresh(s)
	s.saw(o, now)
	d.settle(s, now)
}

// start says that the topic was read up to the end that it had at the start.
func (d *Downlink) start() {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loaded = true
	for _, s := range d.seats {
		d.refresh(s)
		s.start(now)
		if s.online {
			d.setUp(s, now)
		}
		d.settle(s, now)
	}
	d.log.Info().Int("commands", d.commands).Msg("commands loaded")
}

// cleared says that StepSending of a try is durable, or by lost that it never will be.
func (d *Downlink) cleared(mn, qn string, try int, lost error) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.seats[mn]; s != nil {
		d.refresh(s)
		s.cleared(qn, try, lost, now)
		d.settle(s, now)
	}
}

// seat is the device's, made when there is none.
func (d *Downlink) seat(mn string) *seat {
	s := d.seats[mn]
	if s == nil {
		s = &seat{station: station{mn: mn, gateway: d.gateway, ask: asker{cfg: &d.cfg}, live: d.loaded}, index: -1}
		d.seats[mn] = s
	}
	d.refresh(s)
	return s
}

// refresh takes over what the registry says of the device now.
func (d *Downlink) refresh(s *seat) { s.ask.device = d.devices.Lookup([]byte(s.mn)) }

// settle carries out what the station wants, after every event.
func (d *Downlink) settle(s *seat, now time.Time) {
	for i := range s.out {
		a := &s.out[i]
		switch {
		case a.frame != nil:
			s.line.Send(a.frame) // connected: a station asks nothing without
		case a.outcome != nil:
			d.step(s, a, now)
		}
	}
	clear(s.out)
	s.out = s.out[:0]

	if talks := s.open != nil; talks != s.talks {
		s.talks = talks
		if talks {
			d.talkers(s.mn).Add(1)
		} else {
			d.talkers(s.mn).Add(-1)
		}
	}
	n := len(s.queue) + len(s.lent)
	if s.open != nil {
		n++
	}
	d.commands += n - s.counts
	s.counts = n
	d.schedule(s)
	if s.idle() {
		delete(d.seats, s.mn)
	}
}

// schedule brings the heap up to date.
func (d *Downlink) schedule(s *seat) {
	at := s.wake()
	if at.Equal(s.at) && (s.index >= 0) == !at.IsZero() {
		return
	}
	s.at = at
	switch {
	case at.IsZero():
		heap.Remove(&d.due, s.index)
	case s.index < 0:
		heap.Push(&d.due, s)
	default:
		heap.Fix(&d.due, s.index)
	}
	if len(d.due) > 0 && d.due[0] == s {
		token(d.changed)
	}
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// A seatHeap has the seat with the earliest at first.
type seatHeap []*seat

func (h seatHeap) Len() int           { return len(h) }
func (h seatHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h seatHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *seatHeap) Push(x any) {
	s := x.(*seat)
	s.index = len(*h)
	*h = append(*h, s)
}

func (h *seatHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.index = -1
	return s
}
