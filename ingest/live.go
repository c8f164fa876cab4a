package ingest

import (
	"sync"
	"sync/atomic"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// secondEvery is how often the journal is told at most that a device has a second connection.
const secondEvery = time.Minute

// live is the devices that have a session now, by MN, in shards. A device has one presence, or with PolicyOff one for each connection.
//
// A shard's lock is held while the downlink is told of a change, so that it hears of a device's changes in their order, and while a session
// gives the entry of an opened one to the publisher. What the two lock may be locked under it, and the queue of a Line; none may call back.
type live struct {
	policy   SessionPolicy
	silent   time.Duration // Config.SilentAfter
	downlink *Downlink
	shard    [shards]struct {
		mu sync.Mutex // guards by, and since, older and noted of the presences in it
		by map[string]*presence
	}
	devices atomic.Int64 // presences
	moves   atomic.Int64 // devices that went over to another connection
}

func newLive(cfg *Config, downlink *Downlink) *live {
	l := &live{policy: cfg.OneSession, silent: cfg.SilentAfter, downlink: downlink}
	for i := range l.shard {
		l.shard[i].by = map[string]*presence{}
	}
	return l
}

// A presence is one device on one connection, from the first frame that shows it there.
type presence struct {
	mn      string
	key     []byte // mn, for lookups
	session *Session
	version uint8       // of its first frame
	lost    atomic.Bool // another connection has the device; set under the shard's lock
	since   time.Time   // when the connection got the device
	older   *presence   // PolicyOff: the device's connection before this one
	noted   time.Time   // when the journal was told last of a second connection

	mu sync.Mutex // guards the rest; written by the session's goroutine, read by whoever looks
	seen
}

// seen is what the frames of a presence have shown.
type seen struct {
	frames       uint64
	last         time.Time // receipt of the last frame
	cn           [8]byte   // of it, cut
	edition      uint8     // its Version
	surfaceWater bool      // its ST is 21
	clockAt      time.Time // receipt of the last 2011; zero: none
	qn, dataTime [17]byte  // of it; zeros where it had none
}

// A claim is the outcome of live.claim.
type claim struct {
	other  *presence // the device's presence on another connection; nil: none
	note   bool      // the journal has to be told of it
	bereft bool      // other's connection has no device left
	denied bool      // the policy leaves the device to other
}

// claim makes p the presence of its device, as far as the policy lets it: the presence before it is lost, except with PolicyOff.
func (l *live) claim(p *presence, now time.Time) claim {
	at := &l.shard[shardOf(p.mn)]
	at.mu.Lock()
	defer at.mu.Unlock()
	var c claim
	have := at.by[p.mn]
	switch {
	case have == nil:
		p.noted = time.Time{}
	case l.policy == PolicyOff:
		p.older = have
	default:
		c.other, c.note = have, now.Sub(have.noted) >= secondEvery
		c.denied = l.policy == PolicyRefuse && now.Sub(have.lastHeard()) < l.silent
		if c.note {
			have.noted = now
		}
		if c.denied {
			return c
		}
		p.noted = have.noted
		have.lost.Store(true)
		l.moves.Add(1)
		c.bereft = have.session.devices.Add(-1) == 0
		l.devices.Add(-1)
	}
	p.lost.Store(false)
	p.since = now
	at.by[p.mn] = p
	p.session.devices.Add(1)
	l.devices.Add(1)
	l.online(p, now)
	if c.other != nil {
		l.downlink.offline(p.mn, c.other.session.line, now) // after: a command under way goes on where the device is now
	}
	return c
}

// leave takes p out, whose connection has ended. It returns false when another connection had taken the device from it.
func (l *live) leave(p *presence, now time.Time) bool {
	at := &l.shard[shardOf(p.mn)]
	at.mu.Lock()
	defer at.mu.Unlock()
	if p.lost.Load() {
		return false
	}
	l.devices.Add(-1)
	switch head := at.by[p.mn]; {
	case head != p:
		for head.older != p {
			head = head.older
		}
		head.older = p.older
	case p.older != nil:
		at.by[p.mn] = p.older
		l.online(p.older, now)
	default:
		delete(at.by, p.mn)
	}
	l.downlink.offline(p.mn, p.session.line, now)
	return true
}

// online tells the downlink where the device is.
func (l *live) online(p *presence, now time.Time) {
	l.downlink.online(p.mn, p.session.line, p.session.peer.Addr, p.version, now)
}

// lastHeard is when the connection last brought a frame of the device, or got it. It is called with the shard's lock held.
func (p *presence) lastHeard() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.After(p.since) {
		return p.last
	}
	return p.since
}

// heard notes a frame.
func (p *presence) heard(m *hj212.Message, now time.Time) {
	p.mu.Lock()
	p.frames++
	p.last = now
	p.cn = [8]byte{}
	copy(p.cn[:], m.CN)
	p.edition, p.surfaceWater = m.Version(), string(m.ST) == "21"
	if string(m.CN) == "2011" {
		p.clockAt, p.qn, p.dataTime = now, [17]byte{}, [17]byte{}
		copy(p.qn[:], m.QN)
		dataTime, _ := m.Param("DataTime")
		copy(p.dataTime[:], dataTime)
	}
	p.mu.Unlock()
}

// A debt is a session entry that the journal has yet to get.
type debt struct {
	of     *Session  // whose entry it is
	opened *presence // event "open": the entry is void when this is lost
	entry  telemetry.Session
}

// enter makes p, which this connection shows for the first time or has lost, the presence of its device, unless the policy leaves the device
// to another connection. What the journal has to be told of that is then owed.
func (s *Session) enter(p *presence, now time.Time) (ok bool) {
	c := s.in.live.claim(p, now)
	cause := CauseReplaced
	if c.denied {
		cause = CauseRefusedSecond
	}
	if c.note {
		s.owe(debt{of: s, entry: telemetry.Session{MN: p.mn, Event: "second", Cause: cause.String(), Other: c.other.session.peer.Addr}})
	}
	if c.denied {
		s.denied = true
		return false
	}
	if other := c.other; other != nil {
		s.owe(debt{of: other.session, entry: telemetry.Session{MN: p.mn, Event: "close", Cause: cause.String()}})
		s.in.log.Warn().Str("mn", p.mn).Str("remote", s.origin.Peer).Str("other", other.session.origin.Peer).Msg("device moved to a newer connection")
		if c.bereft && other.session.replaced.CompareAndSwap(false, true) {
			other.session.line.Hangup(CauseReplaced)
		}
	}
	s.owe(debt{of: s, opened: p, entry: telemetry.Session{MN: p.mn, Event: "open"}})
	return true
}

func (s *Session) owe(d debt) {
	d.entry.Peer, d.entry.Conn = d.of.origin.Peer, d.of.number
	s.debts = append(s.debts, d)
}

// pay writes the session entries that are owed. It returns false while the journal has no room for one of them.
func (s *Session) pay(now time.Time) bool {
	for len(s.debts) > 0 {
		if !s.write(&s.debts[0], now) {
			return false
		}
		s.debts = s.debts[1:]
	}
	s.debts = nil
	return true
}

// write writes one entry, unless it is void. Whether an "open" is void is looked up, and it is given to the publisher, in one step: else a newer
// connection could take the device in between and its "close" for this one come first, and the journal would end with a connection that
// nothing ever closes.
func (s *Session) write(d *debt, now time.Time) bool {
	if d.opened != nil {
		at := &s.in.live.shard[shardOf(d.entry.MN)]
		at.mu.Lock()
		defer at.mu.Unlock()
		if d.opened.lost.Load() {
			return true
		}
	}
	rec := Record{Topic: telemetry.TopicJournal, Kind: telemetry.KindSession, Key: d.entry.MN, Received: now, Origin: &d.of.origin}
	return s.publish(rec, telemetry.AppendJSON(nil, &d.entry), nil, nil)
}
