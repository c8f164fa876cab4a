package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// A Fleet is many loggers that run at once.
type Fleet struct {
	cfg     Config
	loggers []*Logger
}

// NewFleet makes a logger for every device of cfg, or says everything that is wrong with cfg.
func NewFleet(cfg Config) (*Fleet, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("fleet of %d loggers: %w", len(cfg.Devices), err)
	}
	f := &Fleet{cfg: cfg}
	for _, d := range cfg.Devices {
		f.loggers = append(f.loggers, NewLogger(NewProfile(d, cfg.Behaviours[d.Outlet]), cfg))
	}
	return f, nil
}

// Run starts every logger, the whole of them spread over Config.Ramp, and returns when ctx has ended and they with it. It owns one
// goroutine per logger. start is the end of the backfill and the beginning of the schedule, usually now. A fleet runs once.
func (f *Fleet) Run(ctx context.Context, start time.Time) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, l := range f.loggers {
		g.Go(func() error {
			sleep(ctx, f.cfg.Ramp*time.Duration(i)/time.Duration(len(f.loggers)))
			return l.Run(ctx, start)
		})
	}
	return g.Wait()
}

// Size is the number of loggers.
func (f *Fleet) Size() int { return len(f.loggers) }

// Stats is the sum over all loggers; any goroutine may ask.
func (f *Fleet) Stats() Stats {
	var sum Stats
	for _, l := range f.loggers {
		sum.add(l.Stats())
	}
	return sum
}

// Fault is why a logger that has no connection lost it or could not make it; nil while every logger that tried has one.
func (f *Fleet) Fault() error {
	for _, l := range f.loggers {
		if err := l.Fault(); err != nil && l.Stats().Connections == 0 {
			return fmt.Errorf("logger %s: %w", l.profile.Device.MN, err)
		}
	}
	return nil
}
