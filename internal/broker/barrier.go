package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrBarrierStopped is what a Barrier answers after its Run has ended: whether the record survives a power cut is not known.
var ErrBarrierStopped = errors.New("durability barrier stopped")

// maxQueued bounds the functions that wait for one sync: at 50,000 records/s a sync may take more than a second.
const maxQueued = 1 << 16

// A Barrier makes acknowledged records durable against power loss. The embedded broker acknowledges what is in the page cache;
// the barrier syncs the data directory's file system and so commits everything acknowledged before, for all waiting
// callers at once. On Apache Kafka, where acks=all means enough replicas, it does nothing.
type Barrier struct {
	dir  string             // data directory; empty: Apache Kafka
	sync func(fd int) error // syncfs, which is replaced in tests
	wake chan struct{}      // holds one token while queue is not empty

	mu    sync.Mutex // guards the rest
	room  *sync.Cond // signalled when queue is emptied or err set
	queue []func(error)
	err   error // set for good when Run has ended or a sync failed
}

// NewBarrier makes a barrier; Run must run for anything to pass it.
func (c *Cluster) NewBarrier() *Barrier {
	b := &Barrier{sync: unix.Syncfs, wake: make(chan struct{}, 1)}
	b.room = sync.NewCond(&b.mu)
	if c.Embedded() {
		b.dir = c.dataDir()
	}
	if c.sync != nil {
		b.dir, b.sync = os.DevNull, func(int) error { return c.sync() }
	}
	return b
}

// Run syncs whenever someone waits, until ctx ends or a sync fails. It owns no other goroutine, and calls the functions of
// Notify on its own. When ctx ends, those already queued get one last sync. An error of a sync is final, for the kernel
// reports lost pages once: everyone waiting and everyone after gets it, and Run returns it.
func (b *Barrier) Run(ctx context.Context) error {
	if b.dir == "" {
		<-ctx.Done()
		return nil
	}
	// One descriptor for the whole life: a lost page is reported to descriptors that were open when it was lost.
	dir, err := os.Open(b.dir)
	if err != nil {
		err = fmt.Errorf("durability barrier: %w", err)
		b.stop(nil, err)
		return err
	}
	defer dir.Close()
	var batch []func(error)
	for {
		select {
		case <-ctx.Done():
			b.stop(func() error { return b.syncDir(dir) }, ErrBarrierStopped)
			return nil
		case <-b.wake:
		}
		b.mu.Lock()
		batch, b.queue = b.queue, batch[:0]
		b.room.Broadcast()
		b.mu.Unlock()
		err := b.syncDir(dir)
		release(batch, err)
		if err != nil {
			b.stop(nil, err)
			return err
		}
	}
}

// stop lets nobody queue any more, who gets err instead, and releases the queue: with the result of sync, or err if it is nil.
func (b *Barrier) stop(sync func() error, err error) {
	b.mu.Lock()
	b.err = err
	batch := b.queue
	b.queue = nil
	b.room.Broadcast()
	b.mu.Unlock()
	if sync != nil && len(batch) > 0 {
		err = sync()
	}
	release(batch, err)
}

func (b *Barrier) syncDir(dir *os.File) error {
	if err := b.sync(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync the file system of %s: %w", b.dir, err)
	}
	return nil
}

func release(batch []func(error), err error) {
	for i, fn := range batch {
		fn(err)
		batch[i] = nil // the slice is used again; what fn holds is not
	}
}

// Notify calls fn once, with nil when everything that the broker acknowledged before the call is durable: on Run's goroutine,
// in the order of the calls; on Apache Kafka at once, on the caller's. It is made for produce promises: it waits only
// while 65,536 functions are queued, no longer than a sync takes, and the producer's own buffer then fills and refuses.
// fn must not block, nor call Notify.
func (b *Barrier) Notify(fn func(error)) {
	if b.dir == "" {
		fn(nil)
		return
	}
	b.mu.Lock()
	for len(b.queue) >= maxQueued && b.err == nil {
		b.room.Wait()
	}
	if err := b.err; err != nil {
		b.mu.Unlock()
		fn(err)
		return
	}
	b.queue = append(b.queue, fn)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default: // the token is there already
	}
}

// Wait returns nil when everything that the broker acknowledged before the call is durable.
func (b *Barrier) Wait(ctx context.Context) error {
	done := make(chan error, 1)
	b.Notify(func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
