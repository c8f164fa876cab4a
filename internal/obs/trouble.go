package obs

import (
	"fmt"
	"sync"
	"time"
)

// Reminder is the time between two log lines about a trouble that lasts.
const Reminder = 30 * time.Second

// A Trouble remembers why one side holds up what flows through a process. The zero value is none. It may be used from any goroutine.
type Trouble struct {
	mu                   sync.Mutex // guards all below
	why                  error      // nil: well
	since, again, logged time.Time
}

// Note keeps why, and reports whether it is time to log it: when the trouble begins, and now and then while it lasts.
func (t *Trouble) Note(why error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.why == nil {
		t.since, t.logged = now, time.Time{}
	}
	t.why, t.again = why, now
	if now.Sub(t.logged) < Reminder {
		return false
	}
	t.logged = now
	return true
}

// Clear ends the trouble. ok is false if there was none.
func (t *Trouble) Clear() (since time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ok = t.why != nil
	t.why = nil
	return t.since, ok
}

// ClearAfter ends the trouble if it was not noted again for quiet.
func (t *Trouble) ClearAfter(quiet time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.again) >= quiet {
		t.why = nil
	}
}

// Err is nil while there is none; otherwise it says what waits for which side, since when and why.
func (t *Trouble) Err(what, side string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why == nil {
		return nil
	}
	return fmt.Errorf("%s wait for %s since %s: %w", what, side, t.since.UTC().Format(time.RFC3339), t.why)
}
