package main

import (
	"context"
	"errors"
	"net"

	"github.com/panjf2000/gnet/v2"

	"outfall/ingest"
	"outfall/ingest/hj212"
)

// fixedAck is the answer of the servers that only cut frames, of the same 110 bytes as the C server's.
const fixedAck = "##0098QN=20260301000000001;ST=91;CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&DataTime=20&&0000\r\n"

var errNoFrame = errors.New("not a frame")

// frameSize is the size of the frame at the head of buf by its length field, 0 while it is not whole.
func frameSize(buf []byte) (int, error) {
	const head, rest = 6, 6
	if len(buf) < head {
		return 0, nil
	}
	if buf[0] != '#' || buf[1] != '#' {
		return 0, errNoFrame
	}
	n := 0
	for _, c := range buf[2:head] {
		if c < '0' || c > '9' {
			return 0, errNoFrame
		}
		n = n*10 + int(c-'0')
	}
	if n += head + rest; n > len(buf) {
		return 0, nil
	}
	return n, nil
}

// serveNet has a goroutine for each connection.
func serveNet(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		c, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil // what is still open ends with the process
			}
			return err
		}
		go answerNet(c)
	}
}

func answerNet(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 16<<10)
	var acks []byte
	for have := 0; ; {
		n, err := c.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		at := 0
		acks = acks[:0]
		for {
			size, err := frameSize(buf[at:have])
			if err != nil {
				return
			}
			if size == 0 {
				break
			}
			at += size
			acks = append(acks, fixedAck...)
		}
		have = copy(buf, buf[at:have])
		if _, err := c.Write(acks); err != nil {
			return
		}
	}
}

// serveGnet has one event loop and an accept loop of its own, as the gateway does.
func serveGnet(ctx context.Context, ln net.Listener, h gnet.EventHandler) error {
	client, err := gnet.NewClient(h, gnet.WithNumEventLoop(1), gnet.WithReadBufferCap(64<<10), gnet.WithWriteBufferCap(4<<10),
		gnet.WithTCPNoDelay(gnet.TCPDelay))
	if err == nil {
		err = client.Start()
	}
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		c, err := ln.Accept()
		if err == nil {
			_, err = client.EnrollContext(c, nil)
		}
		if err != nil {
			if ctx.Err() != nil {
				return client.Stop()
			}
			return err
		}
	}
}

// framing cuts frames by their length and gives each the fixed answer.
type framing struct {
	gnet.BuiltinEventEngine
	acks []byte // of the one event loop
}

// OnTraffic implements gnet.EventHandler.
func (f *framing) OnTraffic(c gnet.Conn) gnet.Action {
	buf, err := c.Peek(-1)
	if err != nil {
		return gnet.None
	}
	at := 0
	f.acks = f.acks[:0]
	for {
		size, err := frameSize(buf[at:])
		if err != nil {
			return gnet.Close
		}
		if size == 0 {
			break
		}
		at += size
		f.acks = append(f.acks, fixedAck...)
	}
	return reply(c, at, f.acks)
}

// reply takes n bytes from c and writes acks in one call.
func reply(c gnet.Conn, n int, acks []byte) gnet.Action {
	if n == 0 {
		return gnet.None
	}
	if _, err := c.Discard(n); err != nil {
		return gnet.Close
	}
	if _, err := c.Write(acks); len(acks) > 0 && err != nil {
		return gnet.Close
	}
	return gnet.None
}

// decoding verifies and parses every frame and answers with its 9014: at once, or, with a journal, by a write of its own when the
// journal has the record.
type decoding struct {
	gnet.BuiltinEventEngine
	journal *standIn
	msg     hj212.Message // of the one event loop, like acks
	acks    []byte
}

// OnTraffic implements gnet.EventHandler.
func (d *decoding) OnTraffic(c gnet.Conn) gnet.Action {
	buf, err := c.Peek(-1)
	if err != nil {
		return gnet.None
	}
	at := 0
	d.acks = d.acks[:0]
	for {
		frame, size, err := hj212.Framer{}.Next(buf[at:], false)
		if err != nil {
			return gnet.Close
		}
		if size == 0 {
			break
		}
		if d.msg.Parse(frame.Data) != nil {
			return gnet.Close
		}
		if d.journal == nil {
			d.acks = appendAck(d.acks, &d.msg)
		} else if !d.publish(c, frame.Raw) {
			return gnet.Close
		}
		at += size
	}
	return reply(c, at, d.acks)
}

// publish stores the frame and lets the journal's answer write the 9014: one copy holds both, as in the gateway's session.
func (d *decoding) publish(c gnet.Conn, wire []byte) bool {
	buf := append(make([]byte, 0, len(wire)+160), wire...)
	rec := ingest.Record{Value: buf[:len(wire):len(wire)]}
	ack := appendAck(buf, &d.msg)[len(wire):]
	return d.journal.Publish(rec, func(error) { _ = c.AsyncWrite(ack, nil) }) == nil // a connection that has gone is of no concern here
}

func appendAck(dst []byte, m *hj212.Message) []byte {
	return hj212.AppendDataAck(dst, m, hj212.DialectHJ)
}
