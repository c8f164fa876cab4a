package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

const (
	commitInterval = time.Second     // between two commits of offsets; a restart reads what lies between again, and finds its receipts
	kafkaRetry     = time.Second     // before Kafka is asked again
	inFlight       = 256             // events read and not at the desk yet
	maxBatch       = 1000            // events that the desk takes before it looks what is to be sent
	writeTime      = 5 * time.Second // for the last receipts of a shift
)

// A shift is one time of working: from getting the partitions to losing them. It owns, besides the goroutine that loads and then is the desk:
//
//	read     topic alarms -> desk
//	listen   topic actions -> desk
//	commit   offsets, once a second
//	work     one a channel: requests, and their receipts
type shift struct {
	sink   *Sink
	marks  *marks // nil until loaded
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing of it runs any more

	in      chan *event
	acts    chan *telemetry.Action
	results chan result
}

// A result is what a job came to.
type result struct {
	job  *job
	done Outcome
	lost bool // its receipts could not be written
}

// begin starts a shift. cl is the membership's client, for offsets.
func (s *Sink) begin(cl *kgo.Client) *shift {
	ctx, cancel := context.WithCancel(context.Background())
	sh := &shift{sink: s, cancel: cancel, done: make(chan struct{}), in: make(chan *event, inFlight), acts: make(chan *telemetry.Action, inFlight),
		results: make(chan result, len(s.cfg.Channels)+1)}
	go func() {
		defer close(sh.done)
		defer cancel()
		sh.run(ctx, cl)
	}()
	return sh
}

// end stops reading and sending, and returns when the requests in flight have their receipts, or their time is up.
func (sh *shift) end() {
	sh.cancel()
	<-sh.done
}

// run loads, then works until ctx ends.
func (sh *shift) run(ctx context.Context, cl *kgo.Client) {
	s := sh.sink
	var from *beginning
	for {
		var err error
		if from, err = s.load(ctx, cl); err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		s.waitsForKafka(fmt.Errorf("load: %w", err))
		if pause(ctx, kafkaRetry) != nil {
			return
		}
	}
	sh.marks = newMarks(from.marks)
	s.log.Info().Int("open_alarms", len(from.desk.alarms)).Int("silences", len(from.desk.silences)).Msg("alarms are delivered by this process")
	s.metrics.working.Set(1)
	defer s.metrics.working.Set(0)
	s.ready.Store(true)
	defer s.ready.Store(false)

	var wg sync.WaitGroup
	wg.Go(func() { sh.read(ctx, from) })
	wg.Go(func() { sh.listen(ctx, from.actions) })
	wg.Go(func() { sh.keepCommitted(ctx, cl) })
	hard, stop := context.WithCancel(context.Background())
	defer stop()
	jobs := map[*line]chan *job{}
	for _, l := range append(from.desk.lines, from.desk.quiet) {
		c := make(chan *job, 1) // a line has one job at a time
		jobs[l] = c
		wg.Go(func() {
			for j := range c {
				done, lost := sh.do(hard, j)
				sh.results <- result{j, done, lost}
			}
		})
	}
	sh.loop(ctx, stop, from.desk, jobs)
	for _, c := range jobs {
		close(c)
	}
	wg.Wait()
}

// loop is the desk's goroutine. When ctx ends it waits for the jobs that are out, and calls stop when their time is up.
func (sh *shift) loop(ctx context.Context, stop func(), d *desk, jobs map[*line]chan *job) {
	s := sh.sink
	timer := time.NewTimer(0)
	defer timer.Stop()
	out, stopping, counted := 0, ctx.Done(), tally{}
	for {
		if ctx.Err() == nil {
			now := time.Now()
			some, next := d.poll(now)
			for _, j := range some {
				jobs[j.line] <- j
			}
			out += len(some)
			timer.Reset(max(next.Sub(now), time.Millisecond))
			s.show(d, now)
		} else if out == 0 {
			return
		}
		in := sh.in
		if d.pending >= s.cfg.MaxPending {
			in = nil // the rest waits in Kafka
		}
		select {
		case ev := <-in:
			for n := 1; ev != nil; n++ {
				d.add(ev, time.Now())
				ev = nil
				if n < maxBatch && d.pending < s.cfg.MaxPending {
					select {
					case ev = <-in:
					default:
					}
				}
			}
		case a := <-sh.acts:
			d.act(a)
		case r := <-sh.results:
			out--
			d.finish(r.job, r.done, time.Now(), r.lost)
		case <-timer.C:
		case <-stopping:
			stopping = nil
			end := time.AfterFunc(s.cfg.Timeout+writeTime, stop)
			defer end.Stop()
		}
		s.metrics.count(d.tally, counted)
		counted = d.tally
	}
}

// do runs a job to its end: the request, then the receipts. lost: they could not be written before ctx ended.
func (sh *shift) do(ctx context.Context, j *job) (done Outcome, lost bool) {
	s := sh.sink
	ch := j.line.ch
	var took time.Duration
	if j.noted == "" {
		began := time.Now()
		sending, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
		done = s.notifiers[j.line.index].Send(sending, j.message, j.title, j.body)
		cancel()
		took = time.Since(began)
		s.metrics.seconds.WithLabelValues(ch.Name).Observe(took.Seconds())
		s.metrics.requests.WithLabelValues(ch.Name, done.Class.String()).Inc()
		s.hear(j, done)
		if j.message.Form == FormKeep || done.Class == ClassLater || done.Class == ClassBroken {
			return done, false
		}
	}
	now := time.Now()
	notices := j.notices(done, took, now)
	for {
		err := s.actions.Write(ctx, notices...)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			s.log.Error().Err(err).Str("channel", ch.Name).Str("message", j.message.Key).Msg("receipt not written: the message may go out again")
			return done, true
		}
		s.waitsForKafka(fmt.Errorf("write receipts: %w", err))
		_ = pause(ctx, kafkaRetry) // the next attempt sees that ctx has ended
	}
	result := j.result(done)
	if result == telemetry.NoticeAccepted {
		for _, one := range j.deliveries {
			s.metrics.delay.WithLabelValues(ch.Name).Observe(now.Sub(one.ev.at).Seconds())
		}
	}
	if j.line.index != quietLine {
		s.metrics.messages.WithLabelValues(ch.Name, string(result)).Inc()
	}
	s.tell(j, done, result, took)
	return done, false
}

// read gives the topic's events to the desk, each position once.
func (sh *shift) read(ctx context.Context, from *beginning) {
	s := sh.sink
	next, seen := make([]int64, len(from.marks)), make([]telemetry.Position, len(from.marks))
	for p, m := range from.marks {
		next[p], seen[p] = m.next, m.pos
	}
	s.follow(ctx, telemetry.TopicAlarms, next, func(rec *kgo.Record) error {
		p := rec.Partition
		ev, err := eventOf(rec)
		fresh := err == nil && ev.pos.After(seen[p])
		if fresh {
			seen[p] = ev.pos
		}
		end := sh.marks.add(p, mark{rec.Offset + 1, seen[p]}, rec.Timestamp)
		switch {
		case err != nil:
			s.metrics.events.WithLabelValues(resultBad).Inc()
			s.badLog.Error().Err(err).Str("topic", rec.Topic).Int32("partition", p).Int64("offset", rec.Offset).Msg("event refused")
			end()
		case !fresh:
			s.metrics.events.WithLabelValues(resultDuplicate).Inc()
			end()
		default:
			ev.ended = end
			select {
			case sh.in <- ev:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
}

// eventOf reads a record of the topic alarms.
func eventOf(rec *kgo.Record) (*event, error) {
	pos, err := position(rec)
	if err != nil {
		return nil, err
	}
	ev := &event{partition: rec.Partition, pos: pos, offset: rec.Offset, at: rec.Timestamp}
	if err := json.Unmarshal(rec.Value, &ev.Alarm); err != nil {
		return nil, err
	}
	if ev.ID == "" || !telemetry.ValidMN(ev.MN) {
		return nil, errors.New("no id or no MN")
	}
	ev.Key = eventKey(ev.ID, pos)
	return ev, nil
}

func position(rec *kgo.Record) (telemetry.Position, error) {
	var source, ordinal string
	for _, h := range rec.Headers {
		switch h.Key {
		case telemetry.HeaderSource:
			source = string(h.Value)
		case telemetry.HeaderOrdinal:
			ordinal = string(h.Value)
		}
	}
	return telemetry.ParsePosition(source, ordinal)
}

// listen gives silences to the desk as they come.
func (sh *shift) listen(ctx context.Context, next []int64) {
	sh.sink.follow(ctx, telemetry.TopicActions, next, func(rec *kgo.Record) error {
		if a := actionOf(rec); a != nil && a.Verb != telemetry.VerbNotice {
			select {
			case sh.acts <- a:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
}

// actionOf reads a record of the topic actions; nil for what is none, or of a later version.
func actionOf(rec *kgo.Record) *telemetry.Action {
	a := &telemetry.Action{}
	if json.Unmarshal(rec.Value, a) != nil || a.Validate() != nil {
		return nil
	}
	return a
}

// follow calls fn with the records of a topic from next on, until ctx ends. Brokers that are away are asked again; records that are gone are
// counted and passed over.
func (s *Sink) follow(ctx context.Context, t telemetry.Topic, next []int64, fn func(*kgo.Record) error) {
	for {
		err := s.cluster.FollowFrom(ctx, t, next, func(rec *kgo.Record) error {
			if err := fn(rec); err != nil {
				return err
			}
			next[rec.Partition] = rec.Offset + 1
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, kerr.OffsetOutOfRange) {
			s.mend(ctx, t, next)
		}
		s.waitsForKafka(fmt.Errorf("read %s: %w", t, err))
		if pause(ctx, kafkaRetry) != nil {
			return
		}
	}
}

// mend moves offsets to where the topic has records.
func (s *Sink) mend(ctx context.Context, t telemetry.Topic, next []int64) {
	start, end, err := s.cluster.Bounds(ctx, t)
	if err != nil {
		return // asked again
	}
	for p := range next {
		if lost := start[p] - next[p]; lost > 0 && t == telemetry.TopicAlarms {
			s.metrics.lost.Add(float64(lost))
			s.log.Error().Stringer("topic", t).Int("partition", p).Int64("records", lost).Msg("alarms deleted by retention before they were delivered")
		}
		next[p] = min(max(next[p], start[p]), end[p])
	}
}

// keepCommitted commits once a second, until ctx ends.
func (sh *shift) keepCommitted(ctx context.Context, cl *kgo.Client) {
	tick := time.NewTicker(commitInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			sh.commit(ctx, cl)
			n, oldest := sh.marks.waiting()
			sh.sink.waited(n, oldest)
		}
	}
}
