package bench

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"outfall/ingest/hj212"
)

// Played is what came of a corpus.
type Played struct {
	Sent, Replies int // frames written, sound frames of the host read
	Connections   int // 1, and one more whenever the host had closed the last
}

const (
	playGap    = 10 * time.Millisecond  // between two frames, so that a host answers in between
	playTail   = time.Second            // for the last answers
	playRedial = 200 * time.Millisecond // between two dials
	playDials  = 150                    // dials in a row before a host counts as gone: 30 s, longer than a restart
)

// PlayCorpus sends frames one after the other to addr over TCP and counts the replies. Where the host closes the connection, as it may for such
// frames, the next frame goes over a new one. A host that takes no connection may be starting again, as it is for real loggers: it is dialled for
// half a minute before that is an error. It takes about len(frames)·10 ms and a second for the last replies.
func PlayCorpus(ctx context.Context, addr string, frames [][]byte) (Played, error) {
	var (
		p       Played
		replies atomic.Int64
		link    *playLink
		err     error
	)
	defer func() {
		if link != nil {
			link.close()
		}
	}()
	for i := 0; i < len(frames); {
		if link == nil {
			if link, err = openLink(ctx, addr, &replies); err != nil {
				return p, err
			}
			p.Connections++
		}
		if !link.send(frames[i]) {
			link.close()
			link = nil
			if p.Connections > len(frames) {
				return p, fmt.Errorf("play corpus to %s: closed %d times", addr, p.Connections)
			}
			continue
		}
		i++
		p.Sent++
		sleep(ctx, playGap)
		if ctx.Err() != nil {
			break
		}
	}
	sleep(ctx, playTail)
	p.Replies = int(replies.Load())
	return p, ctx.Err()
}

// A playLink is one connection of PlayCorpus and the goroutine that reads it.
type playLink struct {
	conn  net.Conn
	ended chan struct{} // closed when the host has closed
}

func openLink(ctx context.Context, addr string, replies *atomic.Int64) (*playLink, error) {
	conn, err := dialTCP(ctx, addr)
	for n := 1; err != nil; n++ {
		if n == playDials || ctx.Err() != nil {
			return nil, fmt.Errorf("play corpus to %s: %w", addr, err)
		}
		sleep(ctx, playRedial)
		conn, err = dialTCP(ctx, addr)
	}
	l := &playLink{conn: conn, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		_ = readFrames(conn, func(*hj212.Message) bool { replies.Add(1); return true })
	}()
	return l, nil
}

// send writes f within five seconds; false: the connection is of no use any more.
func (l *playLink) send(f []byte) bool {
	select {
	case <-l.ended:
		return false
	default:
	}
	if l.conn.SetWriteDeadline(time.Now().Add(5*time.Second)) != nil {
		return false
	}
	_, err := l.conn.Write(f)
	return err == nil
}

func (l *playLink) close() {
	l.conn.Close()
	<-l.ended
}
