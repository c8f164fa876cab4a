// Package tcp carries data loggers' connections to sessions of package ingest: listeners and accept loops of its own, gnet's event loops
// for everything after the accept of a plain connection, and goroutines for TLS ones. It is the only home of gnet.
//
// # Why not gnet's listener
//
// gnet ends its engine on the first accept error that it does not know, EMFILE among them, and with it every connection. So this
// package accepts by itself, backs off on errors, and enrols each connection into a gnet client, which is an engine without a listener.
// That is also where a connection is judged before it costs anything: see door.go for the limits and proxy.go for load balancers.
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
// connection is closed (cause "backlog") and its device sends again, for nothing of it was acknowledged. A TLS connection has a
// goroutine that reads, so it is simply not read any more, and the device's own kernel holds it back.
//
// # Hand-over of the port
//
// With Config.ReusePort a new process binds the port while the old one still serves: start the new one, wait until it is ready, then stop
// the old one. The old one tells the kernel to give new connections to the newer socket, serves on for Config.HandoverTime what was in
// the making, and only then closes its listener, whose queue is empty by then: nobody is refused or reset. Two processes at a time. A process
// that comes next takes that order back, so that two which stay share the port by the kernel's hash.
//
// # Memory
//
//	MaxConnections × 2 KiB                  session, gnet's connection, addresses
//	+ MaxBacklogTotalBytes × 3              inbound rings (sizes are powers of two), and one copy when a ring wraps
//	+ slow readers × MaxOutboundBytes × 2   at most MaxConnections of them; each is closed at the bound
//	+ TLS.MaxConnections × 64 KiB           goroutines, crypto/tls, one frame
//	+ EventLoops × 128 KiB                  read buffers and queues
//	+ ingest.Config.MaxInflightBytes × 2    records under way
//	+ 8 MiB                                 addresses that are remembered (see maxResting)
//
// Go's collector may let the heap grow to twice that before it cleans up, unless GOMEMLIMIT says otherwise. The kernel's socket buffers (4
// to 5 KiB for an idle connection) come on top.
package tcp
