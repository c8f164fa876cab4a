package stream

import (
	"errors"
	"fmt"
	"time"

	"outfall/internal/store"
	"outfall/telemetry"
)

// Config sets the worker. Start from DefaultConfig: the zero value is not valid.
type Config struct {
	// Group is the consumer group that shares the partitions out among workers. Its committed offsets serve the display of lag and
	// the horizon of Replay's comparison; where a worker goes on is decided by snapshots and output positions alone.
	Group string `yaml:"group"`
	// InstanceID is this worker's lasting name in the group, unique among its workers. With it a worker that was killed and is
	// started again takes its partitions back at once; they also wait for it for SessionTimeout when it is stopped. Empty: the
	// partitions move at once when the worker stops, and after SessionTimeout when it is killed.
	InstanceID string `yaml:"instance_id"`
	// SessionTimeout is how long a silent worker keeps its partitions, 6 s to 5 min (the brokers' default bounds are 6 s and 30 min).
	SessionTimeout time.Duration `yaml:"session_timeout"`
	// TickInterval is the step of the journal's clock, 100 ms to 10 s. Windows, offline timers and alarms are late by up to this
	// much; each tick is a record of about 100 bytes in every partition.
	TickInterval time.Duration `yaml:"tick_interval"`
	// SnapshotInterval bounds what a restart folds again, 1 s to 1 h.
	SnapshotInterval time.Duration `yaml:"snapshot_interval"`
	// Snapshots is where the snapshots are kept: of every partition three generations, and the first of every day for as long as the
	// journal reaches back. Workers on several machines share a bucket; with a directory each, a partition that moves is folded again from
	// the journal's start.
	Snapshots store.Config `yaml:"snapshots"`
	// MaxBufferedOutputs bounds a group of outputs of one partition, 1 to 100,000. Three are in memory at most, about 1 KB an output: one
	// that the brokers have not acknowledged yet, one that waits for it, one that is being made; then the partition's fold waits.
	MaxBufferedOutputs int `yaml:"max_buffered_outputs"`
	// AcceptLoss goes on where the worker would stop because journal entries that it needs are gone. Set it for one start, by an operator
	// who has read what is lost: replays of the range around it will differ from what was published.
	AcceptLoss bool `yaml:"accept_loss"`
	// EOS says how outputs stand once. "position": each carries its position, and readers drop what is not beyond the last. "fenced"
	// writes them in transactions on top of that, under one transactional id for each partition, so that consumers which know
	// nothing of positions see each output once with isolation.level=read_committed, and a worker that lost a partition without
	// knowing is refused. It needs Apache Kafka, and the right to write the transactional ids that begin with Group; outputs are later by
	// TransactionInterval and a commit. The outputs are the same bytes.
	EOS string `yaml:"eos"`
	// TransactionInterval is the least time between the beginnings of a partition's transactions, 0 to 10 s; with "fenced" only. Each costs
	// about ten small writes in Kafka. An alarm waits no longer than the transaction before took, and a backlog
	// not at all.
	TransactionInterval time.Duration `yaml:"transaction_interval"`
	// DrainTimeout bounds how long a partition that is taken away, or a shutdown, waits for the last outputs and the last
	// snapshot, 1 s to 1 min. What is not out by then is folded again by the next owner.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
}

// The values of Config.EOS.
const (
	EOSPosition = "position"
	EOSFenced   = "fenced"
)

// DefaultConfig is a Config that lacks only Snapshots.Location.
func DefaultConfig() Config {
	return Config{
		Group:               telemetry.DefaultPrefix + "stream",
		SessionTimeout:      10 * time.Second,
		TickInterval:        time.Second,
		SnapshotInterval:    30 * time.Second,
		Snapshots:           store.DefaultConfig(),
		MaxBufferedOutputs:  10_000,
		EOS:                 EOSPosition,
		TransactionInterval: 100 * time.Millisecond,
		DrainTimeout:        10 * time.Second,
	}
}

// Validate reports every fault at once, each under its key in the file.
func (c Config) Validate() error {
	var errs []error
	within := func(key string, d, low, high time.Duration) {
		if d < low || d > high {
			errs = append(errs, fmt.Errorf("stream.%s: %v is not in %v..%v", key, d, low, high))
		}
	}
	if c.Group == "" {
		errs = append(errs, errors.New("stream.group: is empty"))
	}
	within("session_timeout", c.SessionTimeout, 6*time.Second, 5*time.Minute)
	within("tick_interval", c.TickInterval, 100*time.Millisecond, 10*time.Second)
	within("snapshot_interval", c.SnapshotInterval, time.Second, time.Hour)
	errs = append(errs, c.Snapshots.Validate("stream.snapshots"))
	if n := c.MaxBufferedOutputs; n < 1 || n > 100_000 {
		errs = append(errs, fmt.Errorf("stream.max_buffered_outputs: %d is not in 1..100000", n))
	}
	if c.EOS != EOSPosition && c.EOS != EOSFenced {
		errs = append(errs, fmt.Errorf("stream.eos: %q is neither position nor fenced", c.EOS))
	}
	within("transaction_interval", c.TransactionInterval, 0, 10*time.Second)
	within("drain_timeout", c.DrainTimeout, time.Second, time.Minute)
	return errors.Join(errs...)
}
