package alert

import (
	"sync"
	"time"

	"outfall/telemetry"
)

// Marks are how far each partition got: the offsets before which every event has come to its end. Many goroutines.
type marks struct {
	mu    sync.Mutex // guards the rest
	parts []part
}

// A part is one partition of the topic.
type part struct {
	queue     []*slot // events in the order of their offsets; the first is not ended
	done      mark
	committed int64
}

// A mark is an offset, and the greatest position before it.
type mark struct {
	next int64
	pos  telemetry.Position
}

// A slot is a record of a partition.
type slot struct {
	after mark // when it has its end
	at    time.Time
	ended bool
}

func newMarks(begin []mark) *marks {
	m := &marks{parts: make([]part, len(begin))}
	for p := range begin {
		m.parts[p].done, m.parts[p].committed = begin[p], begin[p].next
	}
	return m
}

// add takes the next record of a partition and gives what is to be called when it has come to its end.
func (m *marks) add(partition int32, after mark, at time.Time) (end func()) {
	s := &slot{after: after, at: at}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &m.parts[partition]
	p.queue = append(p.queue, s)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		s.ended = true
		for len(p.queue) > 0 && p.queue[0].ended {
			p.done = p.queue[0].after
			p.queue[0] = nil
			p.queue = p.queue[1:]
		}
	}
}

// moved are the marks of the partitions that got further than what is committed.
func (m *marks) moved() map[int32]mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[int32]mark{}
	for i := range m.parts {
		if p := &m.parts[i]; p.done.next != p.committed {
			all[int32(i)] = p.done
		}
	}
	return all
}

// commit notes what Kafka has.
func (m *marks) commit(partition int32, next int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parts[partition].committed = next
}

// waiting is how many records wait for their end, and the time of the oldest.
func (m *marks) waiting() (n int, oldest time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.parts {
		for _, s := range m.parts[i].queue {
			if !s.ended {
				n++
				if oldest.IsZero() || s.at.Before(oldest) {
					oldest = s.at
				}
			}
		}
	}
	return n, oldest
}
