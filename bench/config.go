package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"outfall/telemetry"
)

// Config sets a fleet. Start from DefaultConfig: the zero value is not valid.
type Config struct {
	// Addr is the gateway's host:port.
	Addr string
	// Devices are the data loggers to play, one connection each; at least one, each MN once.
	Devices []telemetry.Device
	// Behaviours names the outlets (Device.Outlet) whose loggers are not Normal.
	Behaviours map[string]Behaviour
	// BackfillHours is how many hours of minute, hour and day data each logger sends first. 0..720.
	BackfillHours int
	// BackfillRate bounds the backfill of one logger, frames/s; 0: as fast as acks come. 0..1000.
	BackfillRate int
	// RealtimeInterval replaces the devices' own interval of CN 2011; 0: their own. Otherwise 1 s..1 h.
	RealtimeInterval time.Duration
	// Seed makes the values, phases and jitter: the same seed and start time give the same bytes.
	Seed uint64
	// Ramp spreads the first connects evenly over so long. 0..10 min.
	Ramp time.Duration
	// Window bounds the frames of one logger that wait for their 9014. 1..1024.
	Window int
	// OverTime is how long a logger waits for a 9014 before it sends the same bytes again (HJ 212-2017 table 1: 5 s on wired lines). Above 0,
	// up to 99 s.
	OverTime time.Duration
	// ReCount is how often a frame is sent again before the line counts as unusable and the logger reconnects (table 1: 3). 0..99.
	ReCount int
	// BackoffMax bounds the wait between two connects, which doubles from a sixteenth of it and is jittered. Above 0, up to 10 min.
	BackoffMax time.Duration
	// Dial connects to Addr.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// OnAcked, unless nil, is told every frame whose 9014 has come, once, on the logger's goroutine; frame must not be changed.
	OnAcked func(frame []byte)
}

// DefaultConfig is the demo's fleet but for Addr and Devices: the behaviours are those of the sample registry's outlets.
func DefaultConfig() Config {
	return Config{
		Behaviours:    map[string]Behaviour{"W01": Exceeding, "W26": Silent, "W25": Bad},
		BackfillHours: 26,
		Seed:          1,
		Ramp:          2 * time.Second,
		Window:        16,
		OverTime:      5 * time.Second,
		ReCount:       3,
		BackoffMax:    4 * time.Second,
		Dial:          dialTCP,
	}
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	return d.DialContext(ctx, "tcp", addr)
}

// Validate reports every fault at once.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, a ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	check(c.Addr != "", "addr: is empty")
	check(c.Dial != nil, "dial: is nil")
	check(len(c.Devices) > 0, "devices: there are none")
	seen := map[string]bool{}
	for i := range c.Devices {
		d := &c.Devices[i]
		if err := d.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("devices[%d]: %w", i, err))
		}
		check(!seen[d.MN], "devices[%d]: mn %q stands twice", i, d.MN)
		seen[d.MN] = true
	}
	for _, outlet := range slices.Sorted(maps.Keys(c.Behaviours)) {
		check(c.Behaviours[outlet] < numBehaviours, "behaviours: outlet %s: no behaviour %d", outlet, c.Behaviours[outlet])
	}
	check(c.BackfillHours >= 0 && c.BackfillHours <= maxBackfillHours, "backfill_hours: %d is not in 0..%d", c.BackfillHours, maxBackfillHours)
	check(c.BackfillRate >= 0 && c.BackfillRate <= 1000, "backfill_rate: %d is not in 0..1000", c.BackfillRate)
	check(c.RealtimeInterval == 0 || c.RealtimeInterval >= time.Second && c.RealtimeInterval <= time.Hour,
		"realtime_interval: %v is not 0 or in 1s..1h", c.RealtimeInterval)
	check(c.Ramp >= 0 && c.Ramp <= 10*time.Minute, "ramp: %v is not in 0..10m", c.Ramp)
	check(c.Window >= 1 && c.Window <= 1024, "window: %d is not in 1..1024", c.Window)
	check(c.OverTime > 0 && c.OverTime <= 99*time.Second, "over_time: %v is not in (0, 99s]", c.OverTime)
	check(c.ReCount >= 0 && c.ReCount <= 99, "re_count: %d is not in 0..99", c.ReCount)
	check(c.BackoffMax > 0 && c.BackoffMax <= 10*time.Minute, "backoff_max: %v is not in (0, 10m]", c.BackoffMax)
	return errors.Join(errs...)
}
