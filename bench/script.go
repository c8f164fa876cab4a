package bench

import (
	"math/rand/v2"
	"time"

	"outfall/ingest/hj212"
)

// An upload is one thing for a logger to send.
type upload struct {
	frame    []byte
	qn       string // 17 digits; the 9014 that is waited for. Empty: sent once, nothing is waited for
	backfill bool
	hangUp   bool // the connection is closed after these bytes
}

// A stream is one command code's periods, in order.
type stream struct {
	cn     string
	length time.Duration
	next   time.Time // start of the next period
	delay  time.Duration
}

// due is when the stream's next period is sent while the logger is live: some time after its end.
func (s *stream) due() time.Time { return s.next.Add(s.length + s.delay) }

const (
	// Backfilled frames have QNs of their own, one millisecond apart, within the minute before the start. 60,000 of them are more than
	// maxBackfillHours of minute data with every bad frame among them.
	backfillQN       = -time.Minute
	maxBackfillHours = 720

	overHours     = 4 // an exceeding outlet exceeds since the hour that began so long before the start
	badEvery      = 8 // a bad logger's minute records between two bad frames
	phaseUnit     = 10 * time.Millisecond
	maxPhase      = 4 * time.Second // jitter of minute, hour and day records after their period's end
	badAfter      = 5 * time.Millisecond
	defaultSilent = 10 * time.Second // of a silent logger that sends no real-time data
)

// A script yields what one logger sends, in order, and when. Live QNs are the moments of sending by schedule; to keep them apart, phases
// are whole phaseUnits to which each stream adds its own milliseconds, and a bad frame badAfter more.
type script struct {
	encoder
	start    time.Time
	periods  [3]stream // minute, hour, day: the order in which a backfill sends them
	rtd      stream    // length is the interval, 0: none; next is the moment of sending
	gap      time.Duration
	paced    time.Time // no backfill before it
	silentAt time.Time // nothing is due from then on; zero: never

	poweredOn bool
	sequence  int // frames of the backfill so far: their QNs
	sent      int // minute and real-time uploads so far: places of bad frames
	badKinds  int // bad frames so far
	pending   *upload
}

func newScript(p *Profile, cfg *Config, start time.Time) *script {
	start = start.Truncate(time.Millisecond)
	interval := cfg.RealtimeInterval
	if interval == 0 {
		interval = time.Duration(p.Device.RealtimeInterval) * time.Second
	}
	overFrom := time.Time{}
	if p.Behaviour == Exceeding {
		overFrom = start.Truncate(time.Hour).Add(-overHours * time.Hour)
	}
	s := &script{start: start, paced: start, poweredOn: p.Version == 2005,
		encoder: encoder{profile: p, model: newModel(&p.Device, p.Signals, cfg.Seed, overFrom)}}
	if cfg.BackfillRate > 0 {
		s.gap = time.Second / time.Duration(cfg.BackfillRate)
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, hash(p.Device.MN)))
	jitter := func(limit time.Duration) time.Duration {
		return phaseUnit * time.Duration(rng.Int64N(int64(limit/phaseUnit)))
	}
	phase := jitter(maxPhase)
	minutes := s.model.minutes
	from := start.Truncate(minutes)
	if cfg.BackfillHours > 0 {
		from = start.Add(-time.Duration(cfg.BackfillHours) * time.Hour).Truncate(time.Hour)
	}
	const day = 24 * time.Hour
	dayStart := from.Add(8 * time.Hour).Truncate(day).Add(-8 * time.Hour) // natural day of UTC+8
	s.periods = [3]stream{
		{cnMinute, minutes, from, phase + time.Millisecond},
		{cnHour, time.Hour, from.Truncate(time.Hour), phase + 2*time.Millisecond},
		{cnDay, day, dayStart, phase + 3*time.Millisecond},
	}
	if interval > 0 {
		s.rtd = stream{cn: cnRealtime, length: interval, next: start.Truncate(phaseUnit).Add(phaseUnit + jitter(interval))}
	}
	if p.Behaviour == Silent {
		s.silentAt = start.Add(max(interval, defaultSilent))
	}
	return s
}

// backfill is the stream whose past periods come next, nil when all that had ended at the start were yielded.
func (s *script) backfill() *stream {
	for i := range s.periods {
		if p := &s.periods[i]; !p.next.Add(p.length).After(s.start) {
			return p
		}
	}
	return nil
}

// live is the stream that is due first, nil when none ever is.
func (s *script) live() *stream {
	first := &s.periods[0]
	for i := range s.periods[1:] {
		if p := &s.periods[i+1]; p.due().Before(first.due()) {
			first = p
		}
	}
	if s.rtd.length > 0 && s.rtd.next.Before(first.due()) {
		first = &s.rtd
	}
	if !s.silentAt.IsZero() && !s.when(first).Before(s.silentAt) {
		return nil
	}
	return first
}

// when is the moment at which the stream's next upload is sent.
func (s *script) when(p *stream) time.Time {
	if p == &s.rtd {
		return p.next
	}
	return p.due()
}

// due is the moment from which next yields something; zero: never again.
func (s *script) due() time.Time {
	switch {
	case s.pending != nil || !s.poweredOn:
		return s.start
	case s.backfill() != nil:
		return s.paced
	}
	if p := s.live(); p != nil {
		return s.when(p)
	}
	return time.Time{}
}

// next yields the next upload if it is due at now. Minute, hour and day records that were missed all follow, oldest first;
// real-time data that were missed do not (only the newest is sent), as nothing asks for them again.
func (s *script) next(now time.Time) (u upload, ok bool) {
	if due := s.due(); due.IsZero() || due.After(now) {
		return upload{}, false
	}
	if s.pending != nil {
		u, s.pending = *s.pending, nil
		return u, true
	}
	if !s.poweredOn {
		s.poweredOn = true
		qn := s.backfillQN()
		return upload{frame: s.powerOn(qn, s.start), qn: qnText(qn), backfill: true}, true
	}
	if p := s.backfill(); p != nil {
		s.paced = now.Add(s.gap)
		return s.record(p, s.backfillQN(), true), true
	}
	p := s.live()
	if p != &s.rtd {
		return s.record(p, p.due(), false), true
	}
	if missed := now.Sub(p.next) / p.length; missed > 0 {
		p.next = p.next.Add(missed * p.length)
	}
	at := p.next
	p.next = at.Add(p.length)
	s.follow(2, at.Add(badAfter), at, false)
	return s.instant(at), true
}

func (s *script) backfillQN() time.Time {
	s.sequence++
	return s.start.Add(backfillQN + time.Duration(s.sequence)*time.Millisecond)
}

// record is the upload of p's next period.
func (s *script) record(p *stream, qn time.Time, backfill bool) upload {
	start := p.next
	p.next = start.Add(p.length)
	if p.cn == cnMinute {
		badQN := qn.Add(badAfter)
		if backfill && s.badIsNext(badEvery) {
			badQN = s.backfillQN()
		}
		s.follow(badEvery, badQN, start, backfill)
	}
	return upload{frame: s.period(p.cn, qn, start, p.length), qn: qnText(qn), backfill: backfill}
}

// instant is the real-time upload of at. Every other one of a 2005 device carries neither QN nor Flag, as such devices do: nothing is
// waited for.
func (s *script) instant(at time.Time) upload {
	h := header{cn: cnRealtime, qn: at, ack: true}
	second := at.Truncate(time.Second)
	if s.profile.Version == 2005 && at.Sub(s.start)/s.rtd.length%2 == 0 {
		h.qn = time.Time{}
		return upload{frame: s.realtime(h, second)}
	}
	return upload{frame: s.realtime(h, second), qn: qnText(at)}
}

func (s *script) badIsNext(every int) bool {
	return s.profile.Behaviour == Bad && (s.sent+1)%every == 0
}

// follow puts a bad frame after every every-th upload of a bad logger.
func (s *script) follow(every int, qn, at time.Time, backfill bool) {
	if s.badIsNext(every) {
		u := s.bad(BadKind(s.badKinds%int(badKinds)), qn, at.Truncate(time.Second))
		u.backfill = backfill
		s.pending = &u
		s.badKinds++
	}
	s.sent++
}

func qnText(t time.Time) string { return string(hj212.AppendQN(nil, t)) }
