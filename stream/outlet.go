package stream

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"outfall/telemetry"
)

// An outlet writes a session's outputs while the session folds on. Before outputs go, the entries that they come from must be durable in the
// journal: an output whose cause a power loss could still take away would stand in the way of other entries at the same offset later. So an
// output waits for the barrier that was asked for when it was made, and for the writing of those before it, and not for anything that comes
// after it. What has become durable meanwhile goes out together.
//
// It holds what is being written and what waits, each of Config.MaxBufferedOutputs and maxGroupBytes at most, and one batch's beyond.
type outlet struct {
	barrier Barrier
	link    *link
	metrics *metrics
	limit   int           // outputs of a group
	gather  time.Duration // of a fenced link: the time between the beginnings of transactions, unless they hold alarms
	report  func(next, end int64)
	failed  func(error)       // told of the first error
	free    chan *outputPiece // for the groups

	mu      sync.Mutex // guards what follows
	moved   *sync.Cond // any of it has changed
	waiting []handed
	spare   []outputGroup // empty
	end     int64         // the journal's end as last heard, -1 before
	asked   int64         // a barrier is asked for all entries below
	durable int64         // and has passed for those below
	out     int64         // outputs of all entries below are out
	err     error         // the first; nothing is written any more
}

// A handed group is the outputs of the entries below next that were not handed over before, and perhaps some of the entry at next.
type handed struct {
	group outputGroup
	next  int64
}

func newOutlet(s *session, failed func(error)) *outlet {
	o := &outlet{barrier: s.w.barrier, link: s.link, metrics: s.w.metrics, limit: s.w.cfg.MaxBufferedOutputs, report: s.report, failed: failed,
		free: make(chan *outputPiece, maxFreePieces), end: -1, out: s.next}
	if s.link.fenced {
		o.gather = s.w.cfg.TransactionInterval
	}
	o.moved = sync.NewCond(&o.mu)
	return o
}

// put hands over g, see handed, and empties it; end is the journal's end, -1 if unknown. It waits while there is no room.
func (o *outlet) put(g *outputGroup, next, end int64) error {
	ask, err := o.take(g, next, end)
	if err == nil && ask > 0 {
		// What the journal held when the barrier was asked for is durable behind it, so that a backlog asks once.
		o.barrier.Notify(func(err error) { o.passed(ask, err) })
	}
	return err
}

// take puts g into waiting. A barrier is to be asked for the entries below ask, if that is not 0.
func (o *outlet) take(g *outputGroup, next, end int64) (ask int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && !o.room(g) {
		o.moved.Wait()
	}
	if o.err != nil {
		return 0, o.err
	}
	o.end = max(o.end, end)
	last := len(o.waiting) - 1
	if g.len() == 0 && last >= 0 {
		o.waiting[last].next = next
		return 0, nil
	}
	if g.len() > 0 && g.last >= o.asked {
		o.asked = max(g.last+1, o.end)
		ask = o.asked
	}
	o.waiting = append(o.waiting, handed{*g, next})
	if n := len(o.spare); n > 0 {
		*g, o.spare = o.spare[n-1], o.spare[:n-1]
	} else {
		*g = newOutputGroup(g.topics, o.free)
	}
	o.moved.Broadcast()
	return ask, nil
}

// room tells whether g can wait with what waits. mu is held.
func (o *outlet) room(g *outputGroup) bool {
	outputs, _, bytes := o.amount()
	return outputs == 0 || outputs+g.len() <= o.limit && bytes+g.bytes <= maxGroupBytes
}

// amount counts the outputs that wait, those of them that are alarms, and their bytes. mu is held.
func (o *outlet) amount() (outputs, alarms, bytes int) {
	for i := range o.waiting {
		g := &o.waiting[i].group
		outputs, alarms, bytes = outputs+g.len(), alarms+g.counts[telemetry.TopicAlarms], bytes+g.bytes
	}
	return outputs, alarms, bytes
}

// passed is told by the barrier.
func (o *outlet) passed(below int64, err error) {
	if err != nil {
		o.fail(fmt.Errorf("journal partition %d to stable storage: %w", o.link.partition, err))
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.durable = max(o.durable, below)
	o.moved.Broadcast()
}

// await returns when the outputs of all entries below next are out, or with an error when ctx ends or they will not be.
func (o *outlet) await(ctx context.Context, next int64) error {
	defer context.AfterFunc(ctx, o.wake)()
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && ctx.Err() == nil && o.out < next {
		o.moved.Wait()
	}
	return cmp.Or(o.err, ctx.Err())
}

// wake makes everyone look again. It takes mu, so that nobody is between looking and waiting.
func (o *outlet) wake() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.moved.Broadcast()
}

// run writes until an error or the end of ctx.
func (o *outlet) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { o.fail(ctx.Err()) })()
	g := newOutputGroup(nil, o.free)
	var began, ended time.Time // the last writing
	for {
		// An alarm waits as long as that took: brokers that are slow are left half of the time.
		next, end, err := o.collect(&g, min(o.gather, ended.Sub(began))-time.Since(ended), o.gather-time.Since(began))
		if err != nil {
			return
		}
		began = time.Now()
		if g.len() > 0 {
			if err := o.link.publish(ctx, g.records); err != nil {
				o.fail(err)
				return
			}
			for _, t := range telemetry.OutputTopics() {
				o.metrics.outputs[t].Add(float64(g.counts[t]))
			}
			g.reset()
		}
		ended = time.Now()
		o.report(next, end)
		o.mu.Lock()
		o.out = next
		o.moved.Broadcast()
		o.mu.Unlock()
	}
}

// collect waits until something may go out, then lingers, and moves it into g.
func (o *outlet) collect(g *outputGroup, soon, late time.Duration) (next, end int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && o.ready() == 0 {
		o.moved.Wait()
	}
	if late > 0 {
		o.linger(soon, late)
	}
	if o.err != nil {
		return 0, 0, o.err
	}
	n := o.ready()
	next = o.waiting[n-1].next
	for i := range n {
		g.take(&o.waiting[i].group)
		o.spare = append(o.spare, o.waiting[i].group)
	}
	o.waiting = append(o.waiting[:0], o.waiting[n:]...)
	o.moved.Broadcast() // there is room
	return next, o.end, nil
}

// ready counts the groups that may go out. mu is held.
func (o *outlet) ready() int {
	for i := range o.waiting {
		if g := &o.waiting[i].group; g.len() > 0 && g.last >= o.durable {
			return i
		}
	}
	return len(o.waiting)
}

// linger waits for so long as late says, with an alarm as soon says, and not longer than until much waits. mu is held, but not meanwhile.
func (o *outlet) linger(soon, late time.Duration) {
	began := time.Now()
	for _, d := range [...]time.Duration{soon, late} {
		defer time.AfterFunc(d, o.wake).Stop()
	}
	for passed := time.Duration(0); o.err == nil && passed < late; passed = time.Since(began) {
		if outputs, alarms, bytes := o.amount(); alarms > 0 && passed >= soon || outputs >= o.limit/2 || bytes >= maxGroupBytes/2 {
			return
		}
		o.moved.Wait()
	}
}

func (o *outlet) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
		o.failed(err)
	}
	o.moved.Broadcast()
}
