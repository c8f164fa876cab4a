package tcp

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"outfall/ingest"
)

// streams is what the server knows of its TLS connections. Its methods are for any goroutine.
type streams struct {
	waiters *atomic.Int64 // Server.waiters

	mu       sync.Mutex // guards the three below; a stream's mu may be taken under it
	all      map[*stream]net.Conn
	waiting  map[*stream]struct{} // for room in the journal
	stopping bool
}

func (ss *streams) add(st *stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.all[st] = st.c.NetConn()
	if ss.stopping {
		st.Hangup(ingest.CauseShutdown)
	}
}

func (ss *streams) remove(st *stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.all, st)
}

// noteWait says whether st waits for room.
func (ss *streams) noteWait(st *stream, waits bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if _, known := ss.waiting[st]; known == waits {
		return
	}
	if waits {
		ss.waiting[st] = struct{}{}
		ss.waiters.Add(1)
	} else {
		delete(ss.waiting, st)
		ss.waiters.Add(-1)
	}
}

// roomMade lets one of the waiting streams try again; it calls the next one if that went well.
func (ss *streams) roomMade() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for st := range ss.waiting {
		st.kick()
		return
	}
}

// finish hangs up all streams and waits until they have ended; from the end of ctx on by force.
func (ss *streams) finish(ctx context.Context, running *sync.WaitGroup) {
	ss.mu.Lock()
	ss.stopping = true
	for st := range ss.all {
		st.Hangup(ingest.CauseShutdown)
	}
	ss.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		ss.mu.Lock()
		defer ss.mu.Unlock()
		for _, c := range ss.all {
			_ = c.Close()
		}
	})
	running.Wait()
	stop()
}
