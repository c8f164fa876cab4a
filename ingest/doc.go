// Package ingest is the state machine between a data logger's connection and the journal: it cuts frames (package hj212),
// checks who sent them, hands every byte to the journal or to the rejects topic, and owes the device its 9014 or 9013 only once
// the journal holds the frame. It knows no sockets; package ingest/tcp drives it.
//
// # Who runs what
//
// A Session belongs to one goroutine, the event loop of its connection. Publisher callbacks come on other goroutines; they touch
// only atomic counters and hand a Completion to the session's owner. A Registry is read without locks by every loop.
//
// # Where every byte goes
//
// received = journaled + rejected (by Reason) + under way. What a session refuses to take while the journal has no room stays in the
// connection's buffer, is not counted as received, and is either taken later or counted as unread when the connection ends.
//
// # Memory
//
// Under way (records that are not durable yet), of all connections together, the worst case is
//
//	MaxInflightBytes × 2   (the copy made here, and the produce request built from it)
//
// where each record counts with recordOverhead bytes more than its value and key. A connection costs about 1 KiB here; see
// package ingest/tcp for buffers of sockets.
package ingest
