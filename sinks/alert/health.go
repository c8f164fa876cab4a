package alert

import (
	"fmt"
	"sync"
	"time"
)

// reminder is the time between two log lines about a trouble that lasts.
const reminder = 30 * time.Second

// A health remembers why something does not work. The zero value is well.
type health struct {
	mu                   sync.Mutex // guards all below
	why                  error      // nil: well
	since, again, logged time.Time
}

// note keeps why, and reports whether it is time to log it: when the trouble begins, and now and then while it lasts.
func (h *health) note(why error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.why == nil {
		h.since, h.logged = now, time.Time{}
	}
	h.why, h.again = why, now
	if now.Sub(h.logged) < reminder {
		return false
	}
	h.logged = now
	return true
}

// clear ends the trouble. ok is false if there was none.
func (h *health) clear() (since time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ok = h.why != nil
	h.why = nil
	return h.since, ok
}

// clearAfter ends the trouble if it was not noted again for quiet.
func (h *health) clearAfter(quiet time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.again) >= quiet {
		h.why = nil
	}
}

// err is nil while all is well.
func (h *health) err(side string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why == nil {
		return nil
	}
	return fmt.Errorf("alarms wait for %s since %s: %w", side, h.since.UTC().Format(time.RFC3339), h.why)
}
