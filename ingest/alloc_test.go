//go:build !race

// The race detector empties pools at random.

package ingest

import (
	"io"
	"testing"
)

// A frame's record, its ack and its Completion are used again.
func TestFeedDoesNotAllocate(t *testing.T) {
	s := feeder()
	wire := []byte(minuteFrame(mn1, 11))
	n := testing.AllocsPerRun(1000, func() {
		s.Feed(wire, start, false)
		if err := s.FlushAcks(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
	if n >= 1 { // a pool may be emptied meanwhile
		t.Errorf("%v allocations a frame", n)
	}
}
