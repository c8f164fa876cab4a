// Package ingest is the state machine between a data logger's connection and the journal: it cuts frames (package hj212),
// checks who sent them, hands every byte to the journal or to the rejects topic, and owes the device its 9014 or 9013 only once
// the journal holds the frame. It knows no sockets; package ingest/tcp drives it.
//
// # Who runs what
//
// A Session belongs to one goroutine, the event loop of its connection. Publisher callbacks come on other goroutines; they touch
// only atomic counters and hand a Completion to the session's owner. A Registry is read without locks by every loop.
//
// Which connection a device is live on stands in a table that all sessions share, in shards of one lock each. A session takes it when a
// device shows itself on the connection for the first time and when the connection ends, not for every frame. A device that comes up on
// a second connection is moved there or refused, see SessionPolicy; either is told to the journal at most once a minute.
// Locks are taken in this order: a shard of that table, Downlink, the queue of a Line. What a listing of the sessions shows of a presence
// has a lock of its own, under which nothing is locked.
//
// # How a device is told
//
// A frame is the device's whose MN it names, if it comes from an address and over a certificate that the registry allows, with one of the
// device's passwords. How it is framed (CRC dialect, tail) is a property of the device as well; a connection is read as its first device
// frames, and what does not verify so is looked at once more as the device frames whose MN stands in the bytes.
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
