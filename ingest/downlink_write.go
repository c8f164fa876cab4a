package ingest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"outfall/telemetry"
)

// A letter is a record on its way to the journal and then to the topic.
type letter struct {
	kind  telemetry.Kind
	mn    string
	peer  string
	value []byte
	at    time.Time
	qn    string // StepSending: of the request, and the try, which is cleared when the letter is durable
	try   int
	final bool // the last step of a command: without it the command would stay open for whoever lists commands
	lost  int  // times that it was lost and given another try
}

// maxWriting bounds the letters given to the journal that are not on the topic yet, so that they leave it to the frames.
const maxWriting = 4096

// roomRetry is the pause before a full journal is offered a step again.
const roomRetry = 20 * time.Millisecond

// A final step that is lost is written again finalRetries times at most, after finalRetry and then twice as long each time: 15 s in all.
const (
	finalRetries = 4
	finalRetry   = time.Second
)

// step writes a step of a command and counts it.
func (d *Downlink) step(s *seat, a *action, now time.Time) {
	o := a.outcome
	l := letter{kind: telemetry.KindOutcome, mn: s.mn, peer: o.Peer, value: telemetry.AppendJSON(nil, o), at: o.Time}
	l.final = o.Step.Final()
	if o.Step == telemetry.StepSending {
		l.qn, l.try = o.QN, o.Try
	}
	d.post(l)
	d.metrics.steps[o.Step].Add(1)
	if o.Step.Final() {
		d.log.Info().Str("mn", s.mn).Str("cn", o.CN).Str("command", o.ID).Str("step", string(o.Step)).Int("code", o.Code).
			Str("detail", o.Detail).Str("operator", a.command.Operator).Msg("command ended")
	}
	if a.offset != nil {
		d.correct(s, a.command, *a.offset, now)
	}
}

// post puts a letter in the outbox, which holds a few of each of at most MaxOpen commands.
func (d *Downlink) post(l letter) {
	d.outbox = append(d.outbox, l)
	token(d.mail)
}

// write empties the outbox until ctx has ended and all is written, or its time is up.
func (d *Downlink) write(ctx context.Context) {
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		t := time.AfterFunc(drainTime, stop)
		context.AfterFunc(hard, func() { t.Stop() })
	})()
	for {
		for _, l := range d.collect() {
			if !d.deliver(hard, l) {
				return
			}
		}
		select {
		case <-d.mail:
			continue
		case <-ctx.Done():
		}
		if len(d.mail) > 0 {
			continue
		}
		for range maxWriting { // all places taken: nothing is under way any more
			select {
			case d.writing <- struct{}{}:
			case <-hard.Done():
				return
			}
		}
		return
	}
}

// collect takes what is in the outbox.
func (d *Downlink) collect() []letter {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.outbox
	d.outbox = nil
	return out
}

// deliver gives a letter to the journal as soon as that has room; the rest runs in callbacks. It returns false when ctx has ended.
func (d *Downlink) deliver(ctx context.Context, l letter) bool {
	select {
	case d.writing <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	for !d.offer(ctx, l) {
		select {
		case <-time.After(roomRetry):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// offer gives a letter to the journal, and from there to the topic. It returns false when the journal has no room.
func (d *Downlink) offer(ctx context.Context, l letter) bool {
	origin := &Origin{Gateway: d.gateway, Peer: l.peer}
	rec := Record{Topic: telemetry.TopicJournal, Kind: l.kind, Key: l.mn, Value: l.value, Received: l.at, Origin: origin}
	return d.pub.Publish(rec, func(err error) {
		if err != nil {
			d.missed(ctx, l, err, d.offer)
			return
		}
		d.announce(ctx, l)
	}) == nil
}

// announce gives a letter that the journal has to the topic, which always has room.
func (d *Downlink) announce(ctx context.Context, l letter) bool {
	d.topic.Write(l.kind, l.mn, l.value, l.at, func(err error) {
		if err != nil {
			d.missed(ctx, l, err, d.announce)
			return
		}
		d.written(l, nil)
	})
	return true
}

// missed goes on with a letter that was lost on its way: a final step goes that way again, and keeps its place among those under way.
func (d *Downlink) missed(ctx context.Context, l letter, err error, way func(context.Context, letter) bool) {
	if !l.final || l.lost == finalRetries {
		d.written(l, err)
		return
	}
	pause := finalRetry << l.lost
	l.lost++
	var again func()
	again = func() {
		switch {
		case ctx.Err() != nil:
			d.written(l, err)
		case !way(ctx, l): // no room: that is no loss
			time.AfterFunc(roomRetry, again)
		}
	}
	time.AfterFunc(pause, again)
}

// written ends the way of a letter.
func (d *Downlink) written(l letter, err error) {
	if err != nil {
		d.metrics.lost.Add(1)
		d.log.Error().Err(err).Str("mn", l.mn).Stringer("kind", l.kind).Msg("step of a command lost")
	}
	if l.qn != "" {
		d.cleared(l.mn, l.qn, l.try, err)
	}
	<-d.writing
}

// downlinkMetrics are the numbers of a Downlink.
type downlinkMetrics struct {
	steps map[telemetry.Step]*atomic.Int64 // the map is never changed
	lost  atomic.Int64
	bad   atomic.Int64
}

func (m *downlinkMetrics) register(r prometheus.Registerer, d *Downlink) {
	m.steps = map[telemetry.Step]*atomic.Int64{}
	for _, step := range telemetry.Steps() {
		n := new(atomic.Int64)
		m.steps[step] = n
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "outfall_ingest_command_steps_total",
			Help: "Steps of commands to devices that this gateway wrote.", ConstLabels: prometheus.Labels{"step": string(step)}},
			func() float64 { return float64(n.Load()) }))
	}
	counter := func(name, help string, n *atomic.Int64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "outfall_ingest_" + name, Help: help},
			func() float64 { return float64(n.Load()) }))
	}
	counter("command_steps_lost_total", "Steps of commands that the journal or the commands topic did not take.", &m.lost)
	counter("command_bad_records_total", "Records of the commands topic that are neither a command nor a step of one.", &m.bad)
	gauge := func(name, help string, read func() int) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "outfall_ingest_" + name, Help: help},
			func() float64 { return float64(read()) }))
	}
	gauge("commands_open", "Commands to devices that have no final step, of all devices.", func() int { d.mu.Lock(); defer d.mu.Unlock(); return d.commands })
	gauge("commands_asking", "Devices that this gateway is asking.", d.asking)
	gauge("command_steps_waiting", "Steps of commands that the commands topic does not have yet.", func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.outbox) + len(d.writing)
	})
}

// asking is the number of open dialogues.
func (d *Downlink) asking() (n int) {
	for i := range d.talking {
		n += int(d.talking[i].Load())
	}
	return n
}
