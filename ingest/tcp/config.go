// Package tcp carries data loggers' connections to sessions of package ingest: a listener and an accept loop of its own, gnet's event
// loops for everything after the accept. It is the only home of gnet.
//
// # Why not gnet's listener
//
// gnet ends its engine on the first accept error that it does not know, EMFILE among them, and with it every connection. So this
// package accepts by itself, backs off on errors, and enrols each connection into a gnet client, which is an engine without a listener.
//
// # Acks
//
// A publisher's callback appends to the queue of the connection's event loop and, if it is the first since the last drain, schedules
// one task there. The drain settles the whole queue, joins the acks of a connection and writes them with one call.
//
// # Back-pressure
//
// gnet cannot stop reading a socket. A connection whose frames the journal has no room for is not taken from any more: its bytes
// collect in its inbound buffer, up to Config.MaxBacklogBytes, and all connections' up to Config.MaxBacklogTotalBytes; beyond that the
// connection is closed (cause "backlog") and its device sends again, for nothing of it was acknowledged.
//
// # Memory
//
//	MaxConnections × 2 KiB                  session, gnet's connection, addresses
//	+ MaxBacklogTotalBytes × 3              inbound rings (sizes are powers of two), and one copy when a ring wraps
//	+ slow readers × MaxOutboundBytes × 2   at most MaxConnections of them; each is closed at the bound
//	+ EventLoops × 128 KiB                  read buffers and queues
//	+ ingest.Config.MaxInflightBytes × 2    records under way
//
// The kernel's socket buffers (4 to 5 KiB for an idle connection) come on top.
package tcp

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"
)

// Config sets the listener. Start from DefaultConfig: the zero value is not valid.
type Config struct {
	// Listen is where data loggers connect, host:port; port 0 lets the system choose, see Server.Addr.
	Listen string `yaml:"listen"`
	// EventLoops is the number of gnet event loops, 1..256. Leave the Kafka client about a quarter of the cores.
	EventLoops int `yaml:"event_loops"`
	// MaxConnections closes further connections at once, 1..1,000,000. The limit of open files lowers it further, with a warning:
	// each connection takes one, and the accept a second for a moment.
	MaxConnections int `yaml:"max_connections"`
	// IdleTimeout closes a connection that sent nothing for so long, 10s..24h; any byte counts as life. Keep it above twice the
	// longest reporting interval in the fleet (RtdInterval: 30 s to 3600 s, HJ 212-2017 table 4).
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// LoginTimeout closes a connection that has sent no frame of a known device for so long after it began, 1s..24h.
	LoginTimeout time.Duration `yaml:"login_timeout"`
	// PartialTimeout is how long the beginning of a frame, or junk, waits for the rest before it is refused, 100ms..10m. It must
	// outlast the pauses of a slow mobile line, not of a device.
	PartialTimeout time.Duration `yaml:"partial_timeout"`
	// KeepAlive is the idle time after which the kernel probes the peer, three probes a third of it apart; 10s..2h.
	KeepAlive time.Duration `yaml:"keep_alive"`
	// MaxBacklogBytes bounds what one connection has sent and the journal has no room for, 64 KiB..64 MiB.
	MaxBacklogBytes int `yaml:"max_backlog_bytes"`
	// MaxBacklogTotalBytes bounds the same for all connections, begun frames included; 1 MiB..64 GiB.
	MaxBacklogTotalBytes int64 `yaml:"max_backlog_total_bytes"`
	// MaxOutboundBytes closes a connection that leaves so many bytes of acks unread beyond what the kernel holds, 4 KiB..1 MiB.
	MaxOutboundBytes int `yaml:"max_outbound_bytes"`
	// DrainTimeout bounds how long a stop waits for records under way, and their acks; 0..10m.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
}

// DefaultConfig listens on port 9212 of every address, with three event loops for four cores.
func DefaultConfig() Config {
	return Config{
		Listen:               ":9212",
		EventLoops:           max(1, runtime.NumCPU()*3/4),
		MaxConnections:       100_000,
		IdleTimeout:          2*time.Hour + 5*time.Minute,
		LoginTimeout:         2 * time.Minute,
		PartialTimeout:       10 * time.Second,
		KeepAlive:            90 * time.Second,
		MaxBacklogBytes:      256 << 10,
		MaxBacklogTotalBytes: 64 << 20,
		MaxOutboundBytes:     64 << 10,
		DrainTimeout:         10 * time.Second,
	}
}

// Validate reports every fault at once, each under its key in the file.
func (c Config) Validate() error {
	var errs []error
	fault := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("tcp."+format, args...))
		}
	}
	between := func(key string, v, low, high int64) {
		fault(v >= low && v <= high, "%s: %d is not in %d..%d", key, v, low, high)
	}
	within := func(key string, v, low, high time.Duration) {
		fault(v >= low && v <= high, "%s: %v is not in %v..%v", key, v, low, high)
	}
	_, port, err := net.SplitHostPort(c.Listen)
	fault(err == nil && port != "", "listen: %q is not host:port", c.Listen)
	between("event_loops", int64(c.EventLoops), 1, 256)
	between("max_connections", int64(c.MaxConnections), 1, 1_000_000)
	within("idle_timeout", c.IdleTimeout, 10*time.Second, 24*time.Hour)
	within("login_timeout", c.LoginTimeout, time.Second, 24*time.Hour)
	within("partial_timeout", c.PartialTimeout, 100*time.Millisecond, 10*time.Minute)
	within("keep_alive", c.KeepAlive, 10*time.Second, 2*time.Hour)
	between("max_backlog_bytes", int64(c.MaxBacklogBytes), 64<<10, 64<<20)
	between("max_backlog_total_bytes", c.MaxBacklogTotalBytes, 1<<20, 64<<30)
	between("max_outbound_bytes", int64(c.MaxOutboundBytes), 4<<10, 1<<20)
	within("drain_timeout", c.DrainTimeout, 0, 10*time.Minute)
	return errors.Join(errs...)
}
