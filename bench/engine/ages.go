package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// ages are times from when a frame was due to what became of it, of those that were due in [from, to).
type ages struct {
	from, to time.Time

	mu  sync.Mutex // guards all
	all []time.Duration
}

func (a *ages) add(due, now time.Time) {
	if due.Before(a.from) || !due.Before(a.to) {
		return
	}
	a.mu.Lock()
	a.all = append(a.all, now.Sub(due))
	a.mu.Unlock()
}

// A latency is the summary of ages.
type latency struct {
	n                  int
	p50, p90, p99, max float64 // ms
}

func (a *ages) summary() latency {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.Sort(a.all)
	at := func(q float64) float64 {
		if len(a.all) == 0 {
			return 0
		}
		return a.all[min(len(a.all)-1, int(q*float64(len(a.all))))].Seconds() * 1000
	}
	return latency{len(a.all), at(0.50), at(0.90), at(0.99), at(1)}
}

func (l latency) String() string {
	return fmt.Sprintf("p50 %.1f, p90 %.1f, p99 %.1f, longest %.0f ms of %d", l.p50, l.p90, l.p99, l.max, l.n)
}
