package ingest

import (
	"errors"
	"fmt"
	"time"
)

// DownlinkConfig sets how devices are asked. Start from DefaultDownlinkConfig: the zero value is not valid.
type DownlinkConfig struct {
	// OverTime is how long an answer may take before the request is sent again, and ReCount how often that happens (HJ 212-2017 table 1:
	// 10 s on mobile networks, 5 s on wires, 3 times), for devices whose registry row has no values of its own. 1 s..99 s, 1..99: devices
	// are told both (CN 1000), in two digits each.
	OverTime time.Duration `yaml:"over_time"`
	ReCount  int           `yaml:"re_count"`
	// ExecTime is how long a device that has accepted a command may stay silent before it counts as failed; a calibration takes minutes.
	// 1 s..6 h; OverTime where that is longer.
	ExecTime time.Duration `yaml:"exec_time"`
	// MaxQueue bounds the commands that wait for one device, 1..1024, and MaxOpen those of all devices together, 1..1,000,000; about 1 KiB
	// of memory each. A command beyond ends as failed.
	MaxQueue int `yaml:"max_queue"`
	MaxOpen  int `yaml:"max_open"`
	// SetUp checks the clock and sets timeout, retries and intervals of every device when it connects (HJ 212-2017 6.7); else only of those
	// whose registry row says so. At most once an hour after it succeeded.
	SetUp bool `yaml:"set_up"`
	// SetClock lets the set-up set a clock that is off by more than ClockTolerance, 2 s..24 h; else it is only read.
	SetClock       bool          `yaml:"set_clock"`
	ClockTolerance time.Duration `yaml:"clock_tolerance"`
}

// DefaultDownlinkConfig is for devices on mobile networks. Nothing is changed on a device without being asked for.
func DefaultDownlinkConfig() DownlinkConfig {
	return DownlinkConfig{
		OverTime: 10 * time.Second, ReCount: 3, ExecTime: 2 * time.Minute,
		MaxQueue: 32, MaxOpen: 20_000, ClockTolerance: 30 * time.Second,
	}
}

// Validate reports every fault at once, each under its key in the file.
func (c DownlinkConfig) Validate() error {
	var errs []error
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("ingest.downlink.%s: %v is not in %s", key, value, want))
		}
	}
	check(c.OverTime >= time.Second && c.OverTime <= 99*time.Second, "over_time", c.OverTime, "1s..99s")
	check(c.ReCount >= 1 && c.ReCount <= 99, "re_count", c.ReCount, "1..99")
	check(c.ExecTime >= time.Second && c.ExecTime <= 6*time.Hour, "exec_time", c.ExecTime, "1s..6h")
	check(c.MaxQueue >= 1 && c.MaxQueue <= 1024, "max_queue", c.MaxQueue, "1..1024")
	check(c.MaxOpen >= 1 && c.MaxOpen <= 1_000_000, "max_open", c.MaxOpen, "1..1000000")
	check(c.ClockTolerance >= 2*time.Second && c.ClockTolerance <= 24*time.Hour, "clock_tolerance", c.ClockTolerance, "2s..24h")
	return errors.Join(errs...)
}
