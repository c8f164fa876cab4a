package ingest

// A Line is a session's way to its connection. Its methods are for any goroutine and never block.
type Line interface {
	// Completed hands the Completion of a record to the session's goroutine, which calls Settle with it.
	Completed(c *Completion)
	// Send writes frame, which belongs to the line from now on, unless the connection has ended; nothing tells. It keeps the order of the
	// calls, and is bounded as acks are: a peer that does not read is closed.
	Send(frame []byte)
	// Hangup closes the connection under the given cause, soon.
	Hangup(cause Cause)
}
