package influx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"
	ihttp "github.com/influxdata/influxdb-client-go/v2/api/http"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"outfall/internal/obs"
)

const (
	commitInterval = time.Second            // between two commits of offsets; a crash writes what lies between again
	watchInterval  = time.Second            // between two looks at the ends of the partitions, for the lag
	firstRetry     = 100 * time.Millisecond // doubled with each attempt, up to Config.MaxRetryInterval
)

// A Sink writes the points topic into InfluxDB.
type Sink struct {
	cfg     Config
	cluster Cluster
	log     zerolog.Logger
	badLog  zerolog.Logger // at most ten lines a second: a whole fleet's points may be bad
	metrics *metrics
	client  influxdb2.Client
	writes  api.WriteAPIBlocking

	// writing is held during a write attempt, so that a revoke waits for it and no write of a partition begins once it is
	// revoked. It comes before mu where both are held.
	writing chan struct{} // a token: who waits may wait as long as a write takes

	mu    sync.Mutex      // guards parts, and mutable fields of each part as said there
	parts map[int32]*part // the partitions assigned

	running                        atomic.Bool
	kafka, influx                  obs.Trouble
	written, duplicates, bad, lost atomic.Int64
}

// A part is one assigned partition.
type part struct {
	id        int32
	cut       mark  // of what was taken into batches; the pump's alone
	done      mark  // of what InfluxDB accepted or will never accept; guarded by Sink.mu
	committed int64 // the offset committed last; guarded by Sink.mu
	end       int64 // the partition's end as last seen; guarded by Sink.mu
	gone      bool  // revoked: nothing more may be written; guarded by Sink.writing
}

// lag is the records not written yet.
func (p *part) lag() int64 { return max(p.end-p.done.next, 0) }

// Stats is a snapshot of the sink. Counts are since the start.
type Stats struct {
	Points     int64  // lines that InfluxDB took
	Duplicates int64  // lines dropped because their position was passed
	Bad        int64  // lines that InfluxDB will never take
	Lost       int64  // records that retention deleted before they were written
	Lag        int64  // records of the assigned partitions not yet written
	Trouble    string // why nothing goes forward; empty while all is well
}

// New prepares a sink and registers its metrics. It starts nothing; InfluxDB and Kafka may be away.
func New(cfg Config, cluster Cluster, logger zerolog.Logger, reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(reg, cluster.Partitions())
	if err != nil {
		return nil, fmt.Errorf("register the metrics of the InfluxDB sink: %w", err)
	}
	client, err := cfg.client()
	if err != nil {
		return nil, err
	}
	return &Sink{
		cfg: cfg, cluster: cluster, log: logger, metrics: m, client: client,
		badLog:  logger.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),
		writes:  client.WriteAPIBlocking(cfg.Org, cfg.Bucket),
		writing: make(chan struct{}, 1), parts: map[int32]*part{},
	}, nil
}

// Run writes points until ctx ends, then finishes the write in flight, commits and leaves the group. Trouble with Kafka or
// InfluxDB is waited out, not returned. Run may be called once. It owns two goroutines at a time:
//
//	pump   Kafka -> batch -> InfluxDB -> commit; ends on ctx or an error of Kafka that a new membership may cure
//	watch  the ends of the partitions, for the lag; ends with pump
func (s *Sink) Run(ctx context.Context) error {
	s.running.Store(true)
	defer s.running.Store(false)
	defer s.client.Close()
	for wait := firstRetry; ; wait = min(2*wait, s.cfg.MaxRetryInterval) {
		began := time.Now()
		err := s.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > s.cfg.MaxRetryInterval {
			wait = firstRetry
		}
		s.waitsForKafka(fmt.Errorf("consume %s: %w", s.topic(), err))
		if pause(ctx, wait) != nil {
			return nil
		}
	}
}

// session is one membership in the consumer group.
func (s *Sink) session(ctx context.Context) error {
	c, err := s.join()
	if err != nil {
		return err
	}
	defer c.leave()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.watch(ctx) })
	g.Go(func() error { return s.pump(ctx, c) })
	return g.Wait()
}

// pump moves records until ctx ends or Kafka refuses to give more. One batch is in flight at a time, over all partitions,
// which keeps the order of each.
func (s *Sink) pump(ctx context.Context, c *consumer) error {
	var queue []record
	b := batch{maxLines: s.cfg.BatchLines, maxBytes: s.cfg.BatchBytes}
	commitAt := time.Now().Add(commitInterval)
	for {
		taken := 0
		for taken < len(queue) && b.fits(queue[taken]) {
			s.take(&b, queue[taken])
			taken++
		}
		queue = queue[taken:]
		if b.records > 0 && (len(queue) > 0 || b.full() || time.Since(b.began) >= s.cfg.FlushInterval) {
			if err := s.deliver(ctx, b.lines, true); err != nil {
				return err
			}
			b.reset()
		}
		wait := time.Until(commitAt)
		if wait <= 0 {
			c.commit(ctx, c.client, s.assigned())
			commitAt = time.Now().Add(commitInterval)
			wait = commitInterval
		}
		if len(queue) > 0 {
			continue
		}
		if b.records > 0 {
			wait = min(wait, s.cfg.FlushInterval-time.Since(b.began))
		}
		var err error
		if queue, err = c.poll(ctx, wait, s.cfg.BatchLines); err != nil {
			return err
		}
	}
}

// take puts one record into the batch, unless its position was passed before.
func (s *Sink) take(b *batch, r record) {
	if b.records == 0 {
		b.began = time.Now()
	}
	b.records++
	p := r.part
	p.cut.next = r.offset + 1
	switch {
	case r.marker:
	case r.pos.Source < 0:
		s.refuse(line{p, r.offset, r.value}, errors.New("the record carries no position"))
	case !r.pos.After(p.cut.pos):
		n := (&batch{}).add(r)
		s.duplicates.Add(int64(n))
		s.metrics.points.WithLabelValues(resultDuplicate).Add(float64(n))
	default:
		p.cut.pos = r.pos
		b.add(r)
	}
}

// deliver writes lines, and returns only when InfluxDB took each or will never take it, or with ctx's error. last: they are the end
// of their batch. A batch with a bad line is halved until the bad lines are alone; the good ones are written in their order, some
// of them twice, which changes nothing.
func (s *Sink) deliver(ctx context.Context, lines []line, last bool) error {
	for wait := firstRetry; ; wait = min(2*wait, s.cfg.MaxRetryInterval) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := s.attempt(ctx, lines, last)
		f := classify(err)
		if f == faultNone {
			return nil
		}
		if f == faultData && len(lines) > 1 {
			half := len(lines) / 2
			if err := s.deliver(ctx, lines[:half], false); err != nil {
				return err
			}
			return s.deliver(ctx, lines[half:], last)
		}
		if f == faultData {
			s.refuse(lines[0], err)
			return s.attempt(ctx, nil, last)
		}
		s.waitsForInflux(err, f)
		if err := pause(ctx, min(max(wait, retryAfter(err)), s.cfg.MaxRetryInterval)); err != nil {
			return err
		}
	}
}

// attempt writes those of the lines whose partition is still ours, once. When that was the last of a batch the partitions' marks
// move, before a revoke can come between.
func (s *Sink) attempt(ctx context.Context, lines []line, last bool) error {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	var body strings.Builder
	n := 0
	for _, l := range lines {
		if !l.part.gone {
			body.Write(l.text)
			body.WriteByte('\n')
			n++
		}
	}
	if n > 0 {
		if err := s.write(ctx, body.String()); err != nil {
			return err
		}
		s.metrics.lastWrite.SetToCurrentTime()
		s.written.Add(int64(n))
		s.metrics.points.WithLabelValues(resultWritten).Add(float64(n))
		if since, ok := s.influx.Clear(); ok {
			s.log.Info().Dur("after", time.Since(since)).Msg("InfluxDB takes points again")
		}
	} else if len(lines) > 0 {
		s.influx.Clear() // another sink has these points now
	}
	if last {
		s.mu.Lock()
		for _, p := range s.parts {
			p.done = p.cut
		}
		s.mu.Unlock()
	}
	return nil
}

// write sends one body. A write in flight outlives ctx, up to the timeout. A database that is missing on InfluxDB 1.8 (at the
// first start, or after its disk was replaced) is made; a missing bucket of 2.x gets an error that says so.
func (s *Sink) write(ctx context.Context, body string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
	defer cancel()
	began := time.Now()
	defer func() { s.metrics.seconds.Observe(time.Since(began).Seconds()) }()
	err := s.writes.WriteRecord(ctx, body)
	if e, ok := errors.AsType[*ihttp.Error](err); !ok || e.StatusCode != http.StatusNotFound {
		return err
	}
	if err := s.cfg.EnsureDatabase(ctx); err != nil {
		return err
	}
	return s.writes.WriteRecord(ctx, body)
}

// refuse gives up one line (or a whole record without a position). It stays in Kafka.
func (s *Sink) refuse(l line, why error) {
	s.bad.Add(1)
	s.metrics.points.WithLabelValues(resultBad).Inc()
	const shown = 300 // bytes of the line in the log
	s.badLog.Error().Str("topic", s.topic()).Int32("partition", l.part.id).Int64("offset", l.offset).
		Bytes("line", l.text[:min(len(l.text), shown)]).Err(why).Msg("point refused")
}

// waitsForInflux notes that a write is to be tried again.
func (s *Sink) waitsForInflux(err error, f fault) {
	s.metrics.retries.WithLabelValues(f.String()).Inc()
	if s.influx.Note(err) {
		level := zerolog.WarnLevel
		if f == faultConfig {
			level = zerolog.ErrorLevel
		}
		s.log.WithLevel(level).Err(err).Stringer("reason", f).Msg("points wait for InfluxDB")
	}
}

// waitsForKafka notes that no points come in.
func (s *Sink) waitsForKafka(err error) {
	if s.kafka.Note(err) {
		s.log.Warn().Err(err).Msg("the InfluxDB sink waits for Kafka")
	}
}

// Ready is nil while the sink runs and neither Kafka nor InfluxDB holds it up.
func (s *Sink) Ready() error {
	if !s.running.Load() {
		return errors.New("the InfluxDB sink does not run")
	}
	return errors.Join(s.influx.Err("points", "InfluxDB"), s.kafka.Err("points", "Kafka"))
}

// Stats returns the counts so far. It never waits for a write.
func (s *Sink) Stats() Stats {
	st := Stats{Points: s.written.Load(), Duplicates: s.duplicates.Load(), Bad: s.bad.Load(), Lost: s.lost.Load()}
	if err := errors.Join(s.influx.Err("points", "InfluxDB"), s.kafka.Err("points", "Kafka")); err != nil {
		st.Trouble = err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.parts {
		st.Lag += p.lag()
	}
	return st
}

// assigned lists the partitions that are ours now.
func (s *Sink) assigned() []*part {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.parts))
}

// pause waits for wait, less up to half of it by chance so that many sinks do not come back at one moment, or for ctx.
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
