package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// A supervisor starts the parts of a process one after the other and ends them in the opposite order, each within its own time, so
// that whatever a part still hands over finds its receiver running.
type supervisor struct {
	log    zerolog.Logger
	failed chan error // the first part that ended by itself; capacity 1
	once   sync.Once
	parts  []*part
}

// A part is one goroutine with a name, or a thing to close.
type part struct {
	name    string
	timeout time.Duration
	stop    context.CancelFunc
	done    chan struct{}
	err     error // valid once done is closed
}

func newSupervisor(log zerolog.Logger) *supervisor {
	return &supervisor{log: log, failed: make(chan error, 1)}
}

// run starts a part: run blocks until its context ends, which happens in drain and not with any other context; it then has timeout to
// return. Returning earlier is a failure of the whole process.
func (s *supervisor) run(name string, timeout time.Duration, run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	p := &part{name: name, timeout: timeout, stop: stop, done: make(chan struct{})}
	s.parts = append(s.parts, p)
	go func() {
		defer close(p.done)
		p.err = run(ctx)
		if ctx.Err() == nil {
			if p.err == nil {
				p.err = errors.New("ended by itself")
			}
			s.once.Do(func() { s.failed <- fmt.Errorf("%s: %w", name, p.err) })
		}
	}()
}

// closeLast registers a thing that drain closes when everything started later has ended.
func (s *supervisor) closeLast(name string, timeout time.Duration, closeIt func() error) {
	s.run(name, timeout, func(ctx context.Context) error {
		<-ctx.Done()
		return closeIt()
	})
}

// drain ends the parts, the last started first, and reports those that failed or did not end in time.
func (s *supervisor) drain() error {
	var errs []error
	for i := len(s.parts) - 1; i >= 0; i-- {
		p := s.parts[i]
		begin := time.Now()
		p.stop()
		select {
		case <-p.done:
			if p.err != nil && !errors.Is(p.err, context.Canceled) {
				errs = append(errs, fmt.Errorf("stop %s: %w", p.name, p.err))
			}
			s.log.Info().Str("part", p.name).Dur("took", time.Since(begin)).Msg("stopped")
		case <-time.After(p.timeout):
			errs = append(errs, fmt.Errorf("stop %s: not done within %v", p.name, p.timeout))
		}
	}
	return errors.Join(errs...)
}
