package ingest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"outfall/telemetry"
)

func three() []telemetry.Device {
	return []telemetry.Device{{MN: "A"}, {MN: "B"}, {MN: "C"}}
}

func TestNewestSessionWins(t *testing.T) {
	f := newFront(t, PolicyNewest, three()...)
	old := f.from(1)
	old.send(seal(0, data("A", "", 5)))
	f.want("open A 1", "frame A 1")
	newer := f.from(2)
	newer.send("no frame yet")
	if old.hungup != 0 {
		t.Error("hung up before the newer connection has shown a valid frame")
	}
	if got := newer.send(seal(0, data("A", "", 5))); len(got) != 1 || got[0] == "" {
		t.Errorf("replies %q, want one", got)
	}
	f.want("reject gw1/2 garbage", "second A 2 replaced 192.0.2.1:1", "close A 1 replaced", "open A 2", "frame A 2")
	if old.hungup != CauseReplaced {
		t.Errorf("the older connection is hung up with %q, want replaced", old.hungup)
	}
	old.send(seal(0, data("A", "", 5))) // on its way when the connection is closed
	if len(old.buf) == 0 || newer.hungup != 0 {
		t.Error("a replaced connection goes on: its device would flap")
	}
	old.close(old.hungup)
	newer.send(seal(0, data("A", "", 5)))
	f.want("frame A 2")
	newer.close(CausePeer)
	f.want("close A 2 peer")
}

func TestOlderSessionStays(t *testing.T) {
	f := newFront(t, PolicyRefuse, three()...)
	old, newer := f.from(1), f.from(2)
	old.send(seal(0, data("A", "", 5)))
	for range 2 {
		if got := newer.send(seal(0, data("A", "", 5))); got[0] != "" {
			t.Errorf("replies %q to a refused session", got)
		}
	}
	f.want("open A 1", "frame A 1", "second A 2 second_session 192.0.2.1:1", "reject A second_session", "reject A second_session")
	if newer.s.Accepted() || newer.hungup != 0 || old.hungup != 0 {
		t.Error("the refused connection counts as logged in, or one was hung up")
	}
	old.close(CauseIdle)
	newer.send(seal(0, data("A", "", 5)))
	f.want("close A 1 idle", "open A 2", "frame A 2")
	third := f.from(3)
	third.send(seal(0, data("A", "", 5)))
	third.close(CauseLogin)
	if n := f.in.counters.closed[CauseRefusedSecond].Load(); n != 1 {
		t.Errorf("%d connections closed as second sessions, want 1", n)
	}
}

func TestSessionsWithoutPolicy(t *testing.T) {
	f := newFront(t, PolicyOff, three()...)
	links := []*link{f.from(1), f.from(2), f.from(3)}
	for _, l := range links {
		l.send(seal(0, data("A", "", 5)))
	}
	f.want("open A 1", "frame A 1", "open A 2", "frame A 2", "open A 3", "frame A 3")
	links[1].close(CausePeer)
	links[2].close(CausePeer)
	if got := f.in.live.list(int(shardOf("A")), "A"); len(got) != 1 || got[0].p.session != links[0].s {
		t.Errorf("%d sessions are left, want that of connection 1", len(got))
	}
	links[0].close(CausePeer)
	f.want("close A 2 peer", "close A 3 peer", "close A 1 peer")
}

// Taking one device from a dispatcher leaves the others where they are; a connection that has lost its last device is hung up.
func TestDispatcherLosesDevices(t *testing.T) {
	f := newFront(t, PolicyNewest, three()...)
	dispatcher := f.from(1)
	dispatcher.send(seal(0, data("A", "", 5)) + seal(0, data("B", "", 5)))
	f.want("open A 1", "frame A 1", "open B 1", "frame B 1")
	direct := f.from(2)
	direct.send(seal(0, data("A", "", 5)))
	f.want("second A 2 replaced 192.0.2.1:1", "close A 1 replaced", "open A 2", "frame A 2")
	if dispatcher.hungup != 0 {
		t.Fatal("the dispatcher was hung up: B has lost its connection")
	}
	dispatcher.send(seal(0, data("B", "", 5)))
	f.want("frame B 1")
	// The device's frames on the dispatcher's connection are a second session again, noted once a minute.
	dispatcher.send(seal(0, data("A", "", 5)))
	f.want("close A 2 replaced", "open A 1", "frame A 1")
	if direct.hungup != CauseReplaced {
		t.Error("the direct connection, which has no other device, stays")
	}
	f.now = f.now.Add(time.Minute)
	direct = f.from(3)
	direct.send(seal(0, data("A", "", 5)))
	f.want("second A 3 replaced 192.0.2.1:1", "close A 1 replaced", "open A 3", "frame A 3")
	f.from(4).send(seal(0, data("B", "", 5)))
	if dispatcher.hungup != CauseReplaced {
		t.Error("the dispatcher's connection stays without any device")
	}
	f.want("second B 4 replaced 192.0.2.1:1", "close B 1 replaced", "open B 4", "frame B 4")
	dispatcher.close(dispatcher.hungup)
	f.want()
}

// modelSilence is Config.SilentAfter in the model's test.
const modelSilence = 2 * time.Minute

// oneSession is the policies, as a model that is easy to check.
type oneSession struct {
	policy  SessionPolicy
	has     map[string]int          // MN -> its connection; refuse and newest
	shown   map[int]map[string]bool // connection -> its devices; off: those that are open
	dead    map[int]bool            // hung up
	noted   map[string]time.Time
	heard   map[string]time.Time
	records []string
}

func (m *oneSession) add(format string, a ...any) {
	m.records = append(m.records, fmt.Sprintf(format, a...))
}

func (m *oneSession) frame(conn int, mn string, now time.Time) {
	if m.dead[conn] {
		return
	}
	if m.policy == PolicyOff {
		if !m.shown[conn][mn] {
			m.add("open %s %d", mn, conn)
		}
	} else if other, ok := m.has[mn]; !ok || other != conn {
		if ok {
			denied := m.policy == PolicyRefuse && now.Sub(m.heard[mn]) < modelSilence
			m.other(conn, other, mn, denied, now)
			if denied {
				m.add("reject %s second_session", mn)
				return
			}
			m.add("close %s %d replaced", mn, other)
		}
		m.add("open %s %d", mn, conn)
		m.has[mn] = conn
		if ok && !slices.ContainsFunc(slices.Collect(keys(m.has)), func(mn string) bool { return m.has[mn] == other }) {
			m.dead[other] = true
		}
	}
	m.shown[conn][mn], m.heard[mn] = true, now
	m.add("frame %s %d", mn, conn)
}

func (m *oneSession) other(conn, other int, mn string, denied bool, now time.Time) {
	if at, ok := m.noted[mn]; ok && now.Sub(at) < time.Minute {
		return
	}
	m.noted[mn] = now
	cause := "replaced"
	if denied {
		cause = "second_session"
	}
	m.add("second %s %d %s 192.0.2.1:%d", mn, conn, cause, other)
}

func (m *oneSession) close(conn int) {
	var mns []string
	for mn := range m.shown[conn] {
		if m.policy == PolicyOff || m.has[mn] == conn {
			mns = append(mns, mn)
			delete(m.has, mn)
			delete(m.noted, mn)
		}
	}
	slices.Sort(mns)
	for _, mn := range mns {
		m.add("close %s %d peer", mn, conn)
	}
	delete(m.shown, conn)
}

func keys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestOneSessionModel drives connections at random, with a journal that is full now and then, and compares the records with the model's.
func TestOneSessionModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		policy := rapid.SampledFrom([]SessionPolicy{PolicyNewest, PolicyRefuse, PolicyOff}).Draw(rt, "policy")
		f := newFront(t, policy, three()...)
		m := &oneSession{policy: policy, has: map[string]int{}, shown: map[int]map[string]bool{}, dead: map[int]bool{}, noted: map[string]time.Time{}, heard: map[string]time.Time{}}
		f.in.live.silent = modelSilence
		links := map[int]*link{}
		conns := 0
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			f.now = f.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(rt, "seconds")) * time.Second)
			conn := rapid.IntRange(1, conns+1).Draw(rt, "connection")
			if conn > conns {
				conns++
				links[conn] = f.from(conn)
				m.shown[conn] = map[string]bool{}
			}
			l := links[conn]
			if l == nil {
				continue
			}
			if rapid.IntRange(0, 5).Draw(rt, "close") == 0 {
				l.close(CausePeer)
				m.close(conn)
				delete(links, conn)
				continue
			}
			mn := rapid.SampledFrom([]string{"A", "B", "C"}).Draw(rt, "mn")
			f.j.room = rapid.IntRange(0, 4).Draw(rt, "room") // short of room in the middle of what one frame takes
			l.send(seal(0, data(mn, "", 5)))
			f.j.room = 1 << 20
			l.send("")
			m.frame(conn, mn, f.now)
			if (l.hungup == CauseReplaced) != m.dead[conn] {
				rt.Fatalf("connection %d hung up: %v, want %v", conn, l.hungup == CauseReplaced, m.dead[conn])
			}
		}
		for conn, l := range links {
			l.close(CausePeer)
			m.close(conn)
		}
		got := f.story()
		sortCloses(got)
		sortCloses(m.records)
		if !slices.Equal(got, m.records) {
			rt.Fatalf("%s: records\n %s\nwant\n %s", policy, strings.Join(got, "\n "), strings.Join(m.records, "\n "))
		}
		if n := f.in.live.devices.Load(); n != 0 {
			rt.Fatalf("%d devices are left", n)
		}
	})
}

// sortCloses orders what one connection's end wrote: its devices have no order.
func sortCloses(lines []string) {
	ended := func(s string) bool { return strings.HasPrefix(s, "close ") && strings.HasSuffix(s, " peer") }
	for i := 0; i < len(lines); {
		j := i
		for j < len(lines) && ended(lines[j]) {
			j++
		}
		slices.Sort(lines[i:j])
		i = max(j, i+1)
	}
}

// busyLine is a connection whose Completions come on another goroutine, as an event loop's do.
type busyLine struct {
	mu     sync.Mutex // guards done
	done   []*Completion
	hungup atomic.Bool
}

func (l *busyLine) Completed(c *Completion) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = append(l.done, c)
}

func (l *busyLine) Send([]byte)  {}
func (l *busyLine) Hangup(Cause) { l.hungup.Store(true) }

func (l *busyLine) settle(s *Session) {
	l.mu.Lock()
	done := l.done
	l.done = nil
	l.mu.Unlock()
	for _, c := range done {
		s.Settle(c)
	}
}

// busyJournal completes records on a goroutine of its own.
type busyJournal struct {
	journal
	mu    sync.Mutex // guards journal
	queue chan func(error)
}

func (j *busyJournal) Publish(rec Record, done func(error)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.journal.Publish(rec, func(error) {}); err != nil {
		return err
	}
	j.queue <- done
	return nil
}

// Devices hop between the connections of many event loops, which open and close all the time.
func TestSessionsOnManyLoops(t *testing.T) {
	for _, policy := range []SessionPolicy{PolicyNewest, PolicyRefuse, PolicyOff} {
		t.Run(string(policy), func(t *testing.T) { hop(t, policy) })
	}
}

func hop(t *testing.T, policy SessionPolicy) {
	const loops, rounds = 8, 400
	j := &busyJournal{journal: journal{room: 1 << 30}, queue: make(chan func(error), loops*rounds*8)}
	reg := registry{}
	for i := range 5 {
		reg.put(telemetry.Device{MN: fmt.Sprintf("M%d", i)})
	}
	cfg := DefaultConfig()
	cfg.OneSession = policy
	in := NewIntake(cfg, reg, j, nil, prometheus.NewRegistry(), zerolog.Nop())
	var completer, loop sync.WaitGroup
	completer.Go(func() {
		for done := range j.queue {
			done(nil)
		}
	})
	for i := range loops {
		loop.Go(func() {
			line := &busyLine{}
			s := in.Open(Peer{Addr: fmt.Sprintf("192.0.2.%d:1", i)}, start, line)
			for n := range rounds {
				s.Feed([]byte(seal(0, data(fmt.Sprintf("M%d", (n*n+i)%5), "", 5))), start, false)
				line.settle(s)
				if line.hungup.Load() || n%7 == i%7 {
					s.Close(CausePeer, 0, start)
					line = &busyLine{}
					s = in.Open(Peer{Addr: fmt.Sprintf("192.0.2.%d:%d", i, n)}, start, line)
				}
			}
			s.Close(CausePeer, 0, start)
		})
	}
	listing := make(chan struct{})
	go func() {
		defer close(listing)
		for range 50 {
			for shard := range shards {
				for _, l := range in.live.list(shard, "") {
					in.describe(&l.LiveSession, l.p)
				}
			}
		}
	}()
	loop.Wait()
	<-listing
	close(j.queue)
	completer.Wait()
	if n := in.live.devices.Load(); n != 0 {
		t.Errorf("%d devices are left", n)
	}
	open := map[string]int{}
	f := front{t: t, in: in, j: &j.journal}
	for _, line := range f.story() {
		event, of, _ := strings.Cut(line, " ")
		who := strings.Join(strings.Fields(of)[:min(2, len(strings.Fields(of)))], " ")
		switch event {
		case "open":
			open[who] = 1
		case "close": // that of an "open" which is void has none in front
			open[who] = 0
		}
	}
	for who, n := range open {
		if n > 0 {
			t.Errorf("%s was opened and never closed", who)
		}
	}
}
