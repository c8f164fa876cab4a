package sim

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// networkOf is the network of a process, nil while there is none.
func (w *world) networkOf(of who) *network {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case of == theGateway && w.gateway != nil:
		return w.gateway.net
	case of == theSink && w.sink != nil:
		return w.sink.net
	case w.workers[of] != nil:
		return w.workers[of].net
	}
	return nil
}

// apply lets a fault begin. It does not wait for its end.
func (w *world) apply(e event) {
	n := w.networkOf(e.who)
	switch e.what {
	case cutNet, holdNet, trapNet:
		if n == nil {
			return
		}
	}
	t := &trap{key: e.key, left: e.nth, bite: e.bite}
	switch e.what {
	case cutLine:
		select {
		case w.loggers[e.amount].cut <- struct{}{}:
		default:
		}
	case hostile:
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		r := w.random(e)
		sample := w.loggers[r.IntN(len(w.loggers))].sample
		w.background.Go(func() { defer cancel(); attack(ctx, w, r, sample) })
	case stepReceipt:
		w.step.Store(e.amount * int64(time.Second))
	case stepTick:
		w.tick(time.Now().Add(time.Duration(e.amount) * time.Second))
	case cutNet:
		n.cut()
	case holdNet:
		n.hold()
		w.later(e.lasts, n.release)
	case trapNet:
		t.sprung = func() { w.count("request lost " + e.bite.String()) }
		n.set(t)
		return // counted when it springs
	case brokerDown:
		w.downs(true)
		w.later(e.lasts, func() { w.downs(false) })
	case brokerHold:
		all := w.fabric.all()
		for _, n := range all {
			n.hold()
		}
		w.later(e.lasts, func() {
			for _, n := range all {
				n.release()
			}
		})
	case storeAway:
		for _, s := range w.shelves {
			s.away.Store(true)
			w.later(e.lasts, func() { s.away.Store(false) })
		}
	case brokerErrors:
		w.brokerErrors(e)
	case republ:
		if e.amount%2 == 0 {
			w.rules(2 + int(e.amount)%50)
		} else {
			w.register(int(e.amount)%w.plan.loggers, 60+int(e.amount))
		}
	case badInflux:
		w.db.mood.Store(int32(e.mood))
		w.later(e.lasts, func() { w.db.mood.Store(int32(moodWell)) })
	default:
		w.process(e, t)
		return
	}
	w.count(e.what.String())
}

// process applies faults of whole processes.
func (w *world) process(e event, t *trap) {
	w.mu.Lock()
	g, first, other, s := w.gateway, w.workers[theWorker], w.workers[otherWorker], w.sink
	w.mu.Unlock()
	switch {
	case e.what == crashGateway && g != nil:
		t.sprung = func() { g.crash(e.lasts) }
		g.net.set(t)
	case e.what == crashWorker && first != nil:
		t.sprung = func() { first.crash(e.lasts, e.amount) }
		first.net.set(t)
	case e.what == crashSink && s != nil:
		t.sprung = func() { s.crash(e.lasts) }
		s.net.set(t)
	case e.what == tear && first != nil:
		w.tear(first.store.shelf, e.amount)
	case e.what == join && other == nil:
		w.join()
		w.count(e.what.String())
	case e.what == zombie:
		if other == nil {
			w.join()
		}
		w.later(8*time.Second, func() {
			if n := w.networkOf(e.who); n != nil {
				n.set(&trap{key: e.key, left: e.nth, bite: biteHold, sprung: func() {
					w.count(e.what.String())
					n.hold()
					w.later(e.lasts, n.release)
				}})
			}
		})
	case e.what == leave && other != nil:
		w.background.Go(other.leave)
		w.count(e.what.String())
	}
}

// join starts the second worker.
func (w *world) join() {
	on := w.shelves[0]
	if !w.plan.shared {
		on = w.shelves[1]
	}
	w.startWorker(otherWorker, on)
}

func (w *world) later(after time.Duration, undo func()) {
	w.background.Go(func() {
		time.Sleep(after)
		undo()
	})
}

// downs takes the broker away or gives it back; two of these faults at a time end with the first.
func (w *world) downs(down bool) {
	w.fabric.down.Store(down)
	if down {
		for _, n := range w.fabric.all() {
			n.cut()
		}
	}
}

// brokerErrors lets the broker refuse requests. The simulation's own writes are none of them: it asks for what it wants in any case.
func (w *world) brokerErrors(e event) {
	f := kfake.Fault{Keys: []kmsg.Key{kmsg.Key(e.key)}, Err: e.err, Count: int(e.amount)}
	if e.topic != "" {
		f.Topic = "outfall." + e.topic
	}
	if e.key == int16(kmsg.Heartbeat) || e.key == int16(kmsg.JoinGroup) {
		f.TopLevel = true
	}
	h := w.kafka.Fault(f)
	w.later(30*time.Second, h.Remove)
}
