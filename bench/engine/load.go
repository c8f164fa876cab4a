package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A load is real-time frames of the senders, each over a connection of its own, one a second: frame k of all is due at start + k/senders seconds
// and belongs to device k mod senders. Every fourth device is over its limit in every second of its frames.
type load struct {
	start   time.Time
	senders int
	conns   []*conn
	sent    atomic.Int64
}

const alarming = 4 // one device in so many

// The time that a device's n-th frame says: a second each, the last one before it was due.
func (l *load) dataTime(n int) time.Time {
	return l.start.Truncate(time.Second).Add(time.Duration(n) * time.Second)
}

// number is the frame of which dataTime is at.
func (l *load) number(at time.Time) int {
	return int(at.Sub(l.start.Truncate(time.Second)) / time.Second)
}

func (l *load) due(device, n int) time.Time {
	return l.start.Add(time.Duration(n*l.senders+device) * time.Second / time.Duration(l.senders))
}

// high tells whether a device's n-th frame is over its limit.
func high(device, n int) bool { return device%alarming == 0 && n%2 == 1 }

// A conn is a device's connection.
type conn struct {
	net.Conn
	ages *ages

	mu      sync.Mutex  // guards waiting
	waiting []time.Time // when the frames that have no answer yet were due
}

// connect opens the connections of a load that begins at once.
func connect(address string, senders int, answered *ages) (*load, error) {
	l := &load{senders: senders}
	for range senders {
		c, err := net.Dial("tcp", address)
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, &conn{Conn: c, ages: answered})
	}
	l.start = time.Now().Add(50 * time.Millisecond)
	return l, nil
}

func (l *load) close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// run sends what is due every millisecond until ctx ends, and reads the answers. An error of a connection ends it: the other side was killed.
func (l *load) run(ctx context.Context) error {
	var readers sync.WaitGroup
	defer readers.Wait()
	defer l.close()
	for _, c := range l.conns {
		readers.Go(c.read)
	}
	every := time.NewTicker(time.Millisecond)
	defer every.Stop()
	var wire []byte
	for k := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		for due := int(time.Since(l.start) * time.Duration(l.senders) / time.Second); k < due; k++ {
			device, n := k%l.senders, k/l.senders
			wire = appendRealtime(wire[:0], device, deviceMN(device), time.Now(), l.dataTime(n), high(device, n))
			if err := l.conns[device].send(wire, l.due(device, n)); err != nil {
				return fmt.Errorf("send: %w", err)
			}
			l.sent.Add(1)
		}
	}
}

func (c *conn) send(wire []byte, due time.Time) error {
	c.mu.Lock()
	c.waiting = append(c.waiting, due)
	c.mu.Unlock()
	_, err := c.Write(wire)
	return err
}

// read counts the answers, which come in the frames' order, until the connection ends.
func (c *conn) read() {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		now := time.Now()
		for range bytes.Count(buf[:n], []byte("\r\n")) {
			c.mu.Lock()
			if len(c.waiting) > 0 {
				c.ages.add(c.waiting[0], now)
				c.waiting = c.waiting[1:]
			}
			c.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// under calls fn while the load goes on, and ends it then; fn's errKilled is none.
func (l *load) under(ctx context.Context, fn func(ctx context.Context) error) error {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- l.run(loading) }()
	err := fn(ctx)
	stop()
	lost := <-ended
	if errors.Is(err, errKilled) {
		return nil
	}
	return errors.Join(err, lost)
}

// errKilled says that the other side of the load was killed on purpose.
var errKilled = errors.New("killed")
