package main

import "time"

// Names of the servers.
const (
	serverC         = "c"
	serverNet       = "net"
	serverGnet      = "gnet"
	serverInline    = "inline"
	serverPerRecord = "perrecord"
	serverGateway   = "gateway"
	serverKafka     = "kafka"
	serverEmbedded  = "embedded"
)

// linger is how long the journal holds a record for others to join it, as the product does on its embedded broker.
const linger = 2 * time.Millisecond

// A server is one thing that is measured.
type server struct {
	name, what string
	closed     bool // measured at saturation
	open       bool // measured at a fixed rate
	idle       bool // measured with idle connections
}

var servers = []server{
	{serverC, "C epoll: cut by length, fixed answer", true, true, true},
	{serverNet, "net, a goroutine per connection: cut by length, fixed answer", true, false, true},
	{serverGnet, "gnet: cut by length, fixed answer", true, false, true},
	{serverInline, "gnet: full decode, 9014 at once, nothing stored", true, true, false},
	{serverPerRecord, "gnet: full decode, stand-in journal, a write per record", true, false, false},
	{serverGateway, "the gateway on a stand-in journal, linger 2 ms", true, true, true},
	{serverKafka, "the gateway with its Kafka client, broker on the client's core", true, true, false},
	{serverEmbedded, "the gateway with the embedded broker in its process", true, true, false},
}

// onDisk tells whether a server's journal is on disk. The kernel threads that write it work for the measurement, but nobody can tell them from other work.
func onDisk(name string) bool { return name == serverKafka || name == serverEmbedded }

// A load is how the client sends.
type load struct {
	name   string
	conns  int
	window int // closed loop: frames of a connection that wait for their answer
	rate   int // open loop: frames/s
}

var (
	single   = load{name: "10k x 1", conns: 10_000, window: 1}
	backfill = load{name: "1k x 8", conns: 1_000, window: 8}
	steady   = load{name: "10k connections at 10k frames per second", conns: 10_000, rate: 10_000}
)

const idleConns = 15_000

// A target is a ratio of frames/s that the design promises.
type target struct {
	what    string
	of, to  string // servers
	load    load
	atLeast float64
}

var targets = []target{
	{"framing only / C", serverGnet, serverC, single, 0.70},
	{"full decode, 9014 inline / C", serverInline, serverC, single, 0.55},
	{"durable ack, stand-in journal / inline", serverGateway, serverInline, single, 0.60},
	{"durable ack, Kafka client / inline", serverKafka, serverInline, single, 0.60},
	{"back-filling, joined writes / a write per record", serverGateway, serverPerRecord, backfill, 2.0},
}

// ackBudget is what an answer may take at the 99th percentile at the steady rate, beyond the broker's own time.
const ackBudget = linger + 2*time.Millisecond
