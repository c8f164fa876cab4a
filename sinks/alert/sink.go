package alert

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/internal/obs"
	"outfall/telemetry"
)

const (
	pollInterval     = time.Second     // between two looks at the membership
	leaveTime        = 5 * time.Second // to leave the group, beyond the requests in flight
	maxRetryInterval = 10 * time.Second
)

// A Sink delivers the alarms of the topic.
type Sink struct {
	cfg       Config
	cluster   *broker.Cluster
	actions   *Actions
	log       zerolog.Logger
	badLog    zerolog.Logger // at most ten lines a second
	metrics   *metrics
	notifiers []Notifier // of the channels, in their order
	renderers []*renderer

	running, standby, ready atomic.Bool
	pending                 atomic.Int64
	kafka                   obs.Trouble
	channels                []obs.Trouble // by channel
}

// New prepares a sink and registers its metrics. It starts nothing; Kafka and the channels may be away. The barrier must run until Run has ended.
func New(cfg Config, cluster *broker.Cluster, barrier *broker.Barrier, logger zerolog.Logger, reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if !cfg.On() {
		return nil, errors.New("alert.channels: there is none")
	}
	s := &Sink{cfg: cfg, cluster: cluster, log: logger, badLog: logger.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),
		channels: make([]obs.Trouble, len(cfg.Channels))}
	for _, ch := range cfg.Channels {
		n, err := NewNotifier(ch, cfg.Transport)
		if err != nil {
			return nil, err
		}
		r, err := newRenderer(ch)
		if err != nil {
			return nil, fmt.Errorf("channel %s: template: %w", ch.Name, err)
		}
		s.notifiers, s.renderers = append(s.notifiers, n), append(s.renderers, r)
	}
	var err error
	if s.metrics, err = newMetrics(reg, cfg.Channels); err != nil {
		return nil, fmt.Errorf("register the metrics of alert delivery: %w", err)
	}
	if s.actions, err = NewActions(cluster, barrier); err != nil {
		return nil, err
	}
	return s, nil
}

// Run delivers until ctx ends, then waits for the requests in flight, commits and leaves the group. Trouble with Kafka or the channels is waited
// out, not returned. Run may be called once. It owns the membership's goroutine, which has the shift's.
func (s *Sink) Run(ctx context.Context) error {
	s.running.Store(true)
	defer s.running.Store(false)
	defer s.actions.Close()
	for wait := firstRetry; ; wait = min(2*wait, maxRetryInterval) {
		began := time.Now()
		err := s.membership(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > maxRetryInterval {
			wait = firstRetry
		}
		s.waitsForKafka(fmt.Errorf("consume %s: %w", s.topic(), err))
		if pause(ctx, wait) != nil {
			return nil
		}
	}
}

func (s *Sink) membership(ctx context.Context) error {
	m, err := s.join()
	if err != nil {
		return err
	}
	defer m.leave()
	return m.run(ctx)
}

// A beginning is where a shift begins.
type beginning struct {
	desk    *desk
	marks   []mark  // of the topic alarms
	actions []int64 // offsets of the topic actions
}

// load brings a desk to where the one before it ended: silences and receipts, and the alarms that are open. Of both topics the last
// telemetry.MaxSilence is read.
func (s *Sink) load(ctx context.Context, cl *kgo.Client) (*beginning, error) {
	marks, err := s.begins(ctx, cl)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	b := &beginning{desk: newDesk(s.cfg, s.renderers), marks: marks}
	committed := make([]telemetry.Position, len(marks))
	alarmsEnd := make([]int64, len(marks))
	for p, m := range marks {
		committed[p], alarmsEnd[p] = m.pos, m.next
	}
	r := newRecall(b.desk, committed, now)
	if _, b.actions, err = s.cluster.Bounds(ctx, telemetry.TopicActions); err != nil {
		return nil, err
	}
	since := now.Add(-telemetry.MaxSilence)
	err = s.past(ctx, telemetry.TopicActions, since, b.actions, func(rec *kgo.Record) {
		if a := actionOf(rec); a != nil {
			r.action(rec.Partition, a)
		}
	})
	if err != nil {
		return nil, err
	}
	err = s.past(ctx, telemetry.TopicAlarms, since, alarmsEnd, func(rec *kgo.Record) {
		if ev, err := eventOf(rec); err == nil {
			r.alarm(ev)
		}
	})
	if err != nil {
		return nil, err
	}
	r.end()
	return b, nil
}

// past calls fn with the records of a topic since a moment, up to the given offsets.
func (s *Sink) past(ctx context.Context, t telemetry.Topic, since time.Time, end []int64, fn func(*kgo.Record)) error {
	from, err := s.cluster.OffsetsSince(ctx, t, since)
	if err != nil {
		return err
	}
	for p := range end {
		if from[p] >= end[p] {
			continue
		}
		err := s.cluster.ReadPartition(ctx, t, int32(p), from[p], end[p], func(rec *kgo.Record) error {
			fn(rec)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hear follows how a channel is.
func (s *Sink) hear(j *job, done Outcome) {
	h, ch := &s.channels[j.line.index], j.line.ch
	if done.Class == ClassLater || done.Class == ClassBroken {
		if h.Note(errors.New(done.Why)) {
			level := zerolog.WarnLevel
			if done.Class == ClassBroken {
				level = zerolog.ErrorLevel
			}
			s.log.WithLevel(level).Str("channel", ch.Name).Str("reason", done.Why).Int("status", done.Status).Int("code", done.Code).
				Str("class", done.Class.String()).Msg("channel does not take messages")
		}
		return
	}
	if since, ok := h.Clear(); ok {
		s.log.Info().Str("channel", ch.Name).Dur("after", time.Since(since)).Msg("channel takes messages again")
	}
}

// tell logs the end of a message.
func (s *Sink) tell(j *job, done Outcome, result telemetry.NoticeResult, took time.Duration) {
	e := s.log.Debug()
	switch result {
	case telemetry.NoticeFailed:
		e = s.log.Warn().Str("next", j.next)
		if j.next == "" {
			e = s.log.Error()
		}
		e.Str("reason", j.why(done))
	case telemetry.NoticeExpired:
		e = s.log.Error().Str("reason", j.why(done))
	}
	e.Str("channel", j.line.ch.Name).Str("result", string(result)).Str("message", j.message.Key).Str("form", j.message.Form).Int("events", len(j.deliveries)).
		Int("tries", j.tries).Int("status", done.Status).Dur("took", took).Msg("message ended")
}

// show puts the desk's state into the metrics.
func (s *Sink) show(d *desk, now time.Time) {
	s.pending.Store(int64(d.pending))
	for _, l := range d.lines {
		tokens := -1
		if len(l.budget) > 0 {
			tokens = l.budget.available(now)
		}
		s.metrics.tokens.WithLabelValues(l.ch.Name).Set(float64(tokens))
		s.metrics.waiting.WithLabelValues(l.ch.Name).Set(float64(len(l.waiting)))
	}
	holding := 0
	for _, one := range d.silences {
		if one.holds(now) {
			holding++
		}
	}
	s.metrics.silences.Set(float64(holding))
}

// waited shows what waits.
func (s *Sink) waited(n int, oldest time.Time) {
	age := 0.0
	if n > 0 {
		age = time.Since(oldest).Seconds()
	}
	s.metrics.pending.Set(float64(n))
	s.metrics.oldest.Set(age)
}

// waitsForKafka notes that nothing goes forward.
func (s *Sink) waitsForKafka(err error) {
	if s.kafka.Note(err) {
		s.log.Warn().Err(err).Msg("alert delivery waits for Kafka")
	}
}

// Ready is nil while the sink runs, and either stands by or works without trouble.
func (s *Sink) Ready() error {
	if !s.running.Load() {
		return errors.New("alert delivery does not run")
	}
	return s.trouble()
}

func (s *Sink) trouble() error {
	errs := []error{s.kafka.Err("alarms", "Kafka")}
	for i := range s.channels {
		errs = append(errs, s.channels[i].Err("alarms", "channel "+s.cfg.Channels[i].Name))
	}
	return errors.Join(errs...)
}

// Stats is a snapshot of the sink.
type Stats struct {
	Working bool   // this process delivers; otherwise it stands by
	Pending int64  // events that wait
	Trouble string // empty while all is well
}

// Stats never waits.
func (s *Sink) Stats() Stats {
	st := Stats{Working: s.ready.Load(), Pending: s.pending.Load()}
	if err := s.trouble(); err != nil {
		st.Trouble = err.Error()
	}
	return st
}

// pause waits for wait, less up to half of it by chance, or for ctx.
func pause(ctx context.Context, wait time.Duration) error {
	t := time.NewTimer(wait - rand.N(wait/2+1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
