package ingest

import (
	"testing"
	"time"
)

// A balancer keeps the older connection open although its device has gone: the device gets in on the newer one once the older has brought
// nothing for a while, and a clone does not while the device reports.
func TestSilentSessionGivesWay(t *testing.T) {
	f := newFront(t, PolicyRefuse, three()...)
	old, newer := f.from(1), f.from(2)
	old.send(seal(0, data("A", "", 5)) + seal(0, data("B", "", 5)))
	f.want("open A 1", "frame A 1", "open B 1", "frame B 1")
	f.now = f.now.Add(14 * time.Minute)
	old.send(seal(0, data("A", "", 5)))
	f.now = f.now.Add(14 * time.Minute)
	newer.send(seal(0, data("A", "", 5)))
	f.want("frame A 1", "second A 2 second_session 192.0.2.1:1", "reject A second_session")
	f.now = f.now.Add(time.Minute)
	if got := newer.send(seal(0, data("A", "", 5))); got[0] == "" {
		t.Error("no ack: the device is locked out for as long as its dead connection stays")
	}
	f.want("second A 2 replaced 192.0.2.1:1", "close A 1 replaced", "open A 2", "frame A 2")
	old.send(seal(0, data("A", "", 5)))
	f.want("reject A second_session") // the second entry of that minute is spared
	if old.hungup != 0 {
		t.Error("the connection that carries B was hung up")
	}
	old.close(CauseIdle)
	newer.close(CausePeer)
	f.want("close B 1 idle", "close A 2 peer")
}
