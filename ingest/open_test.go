package ingest

import (
	"testing"

	"outfall/telemetry"
)

// A newer connection takes the device at the moment when the older one's "open" is given to the journal. Before, its "close" for the older one
// could come in front of that "open", which then nothing closed.
func TestOpenIsWrittenBeforeItsClose(t *testing.T) {
	f := newFront(t, PolicyNewest, three()...)
	j := &interrupted{journal: f.j}
	f.in.pub = j
	old, newer := f.from(1), f.from(2)
	take := func() { newer.s.Feed([]byte(seal(0, data("A", "", 5))), f.now, false) }
	j.before = func(rec Record) {
		if rec.Kind != telemetry.KindSession {
			return
		}
		j.before = nil
		if at := &f.in.live.shard[shardOf("A")]; at.mu.TryLock() { // else the newer one waits, and is let in below
			at.mu.Unlock()
			take()
			take = func() {}
		}
	}
	old.send(seal(0, data("A", "", 5)))
	take()
	f.j.settle(nil)
	f.want("open A 1", "frame A 1", "second A 2 replaced 192.0.2.1:1", "close A 1 replaced", "open A 2", "frame A 2")
}

// interrupted is a journal that lets something happen before it takes a record.
type interrupted struct {
	*journal
	before func(Record)
}

func (j *interrupted) Publish(rec Record, done func(error)) error {
	if j.before != nil {
		j.before(rec)
	}
	return j.journal.Publish(rec, done)
}
