package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

var errNoRoute = errors.New("sim: the network is down")

// A fabric joins the processes' networks to the broker.
type fabric struct {
	broker kfake.VirtualNetwork
	down   atomic.Bool // nobody reaches the broker

	mu       sync.Mutex // guards networks
	networks []*network
}

// A network is one process's way to the broker. Every request passes through it, so that it can bite between any two.
type network struct {
	fabric *fabric

	mu    sync.Mutex // guards what follows; never held while waiting
	rng   *rand.Rand
	pipes map[*pipe]bool
	dead  bool          // the process has crashed
	holds int           // reasons to let nothing pass
	gate  chan struct{} // closed while there is none
	traps []*trap
}

// A bite is what happens to the request that springs a trap.
type bite uint8

const (
	biteBefore bite = iota // the broker never sees it
	biteTorn               // half of it reaches the broker
	biteAfter              // the broker carries it out, and the answer is lost
	biteEnd
	biteHold // it waits, and all that comes behind it
)

var biteNames = [...]string{biteBefore: "before", biteTorn: "torn", biteAfter: "after", biteHold: "held"}

func (b bite) String() string { return biteNames[b] }

// A trap waits for the nth request of one kind.
type trap struct {
	key    int16 // of the Kafka request; -1: any
	left   int
	bite   bite
	sprung func() // nil: the connection is cut, and no more than that
}

func (f *fabric) network(seed uint64) *network {
	n := &network{fabric: f, rng: rand.New(rand.NewPCG(seed, 1)), pipes: map[*pipe]bool{}, gate: make(chan struct{})}
	close(n.gate)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.networks = append(f.networks, n)
	return n
}

// all are the networks of the processes that have not crashed.
func (f *fabric) all() (live []*network) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.networks {
		n.mu.Lock()
		if !n.dead {
			live = append(live, n)
		}
		n.mu.Unlock()
	}
	return live
}

// dial is a broker.Dialer.
func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	dead, gate := n.dead, n.gate
	n.mu.Unlock()
	if dead || n.fabric.down.Load() {
		return nil, errNoRoute
	}
	select {
	case <-gate:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	far, err := n.fabric.broker.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	client, near := net.Pipe()
	p := &pipe{n: n, near: near, far: far}
	n.mu.Lock()
	n.pipes[p] = true
	dead = n.dead
	n.mu.Unlock()
	if dead || n.fabric.down.Load() {
		p.close()
	}
	go p.up()
	go p.down()
	return client, nil
}

// cut ends every connection.
func (n *network) cut() {
	n.mu.Lock()
	var all []*pipe
	for p := range n.pipes {
		all = append(all, p)
	}
	n.mu.Unlock()
	for _, p := range all {
		p.close()
	}
}

// die ends every connection for good.
func (n *network) die() {
	n.mu.Lock()
	n.dead = true
	n.traps = nil
	if n.holds > 0 {
		n.holds = 0
		close(n.gate)
	}
	n.mu.Unlock()
	n.cut()
}

// hold lets nothing pass until release, without telling anybody.
func (n *network) hold() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		return
	}
	if n.holds == 0 {
		n.gate = make(chan struct{})
	}
	n.holds++
}

func (n *network) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.holds == 0 {
		return
	}
	if n.holds--; n.holds == 0 {
		close(n.gate)
	}
}

func (n *network) set(t *trap) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.traps = append(n.traps, t)
}

// disarm takes out every trap that has not sprung.
func (n *network) disarm() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.traps = nil
}

// springs is the trap that a request of a kind springs, nil if none.
func (n *network) springs(key int16) *trap {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, t := range n.traps {
		if t.key >= 0 && t.key != key {
			continue
		}
		if t.left--; t.left <= 0 {
			n.traps = append(n.traps[:i:i], n.traps[i+1:]...)
			return t
		}
	}
	return nil
}

// wait returns when the network lets something pass.
func (n *network) wait() {
	n.mu.Lock()
	gate, late := n.gate, time.Duration(n.rng.IntN(1500))*time.Microsecond
	n.mu.Unlock()
	time.Sleep(late)
	<-gate
}

// A pipe is one connection, of two halves and a goroutine for each direction.
type pipe struct {
	n         *network
	near, far net.Conn
	lose      atomic.Pointer[trap] // springs at the next answer
}

func (p *pipe) close() {
	p.near.Close()
	p.far.Close()
	p.n.mu.Lock()
	delete(p.n.pipes, p)
	p.n.mu.Unlock()
}

// spring ends what the trap is for; the pipe ends in any case.
func (p *pipe) spring(t *trap) {
	if t.sprung != nil {
		t.sprung()
	}
}

// up carries requests one by one: four bytes of length, two of the kind.
func (p *pipe) up() {
	defer p.close()
	var buf []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(p.near, head[:]); err != nil {
			return
		}
		buf = append(buf[:0], head[:]...)
		buf = append(buf, make([]byte, binary.BigEndian.Uint32(head[:]))...)
		if _, err := io.ReadFull(p.near, buf[4:]); err != nil {
			return
		}
		p.n.wait()
		t := p.n.springs(int16(binary.BigEndian.Uint16(buf[4:])))
		if t != nil && t.bite == biteHold {
			p.spring(t)
			p.n.wait()
			t = nil
		}
		if t != nil && t.bite == biteBefore {
			p.spring(t)
			return
		}
		if t != nil && t.bite == biteTorn {
			_, _ = p.far.Write(buf[:len(buf)/2]) // the connection ends in any case
			p.spring(t)
			return
		}
		if t != nil {
			p.lose.Store(t)
		}
		if _, err := p.far.Write(buf); err != nil {
			return
		}
	}
}

func (p *pipe) down() {
	defer p.close()
	buf := make([]byte, 64<<10)
	for {
		k, err := p.far.Read(buf)
		if t := p.lose.Load(); t != nil && k > 0 {
			p.spring(t)
			return
		}
		if k > 0 {
			p.n.wait()
			if _, err := p.near.Write(buf[:k]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
