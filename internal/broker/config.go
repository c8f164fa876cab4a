package broker

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"outfall/internal/store"
	"outfall/telemetry"
)

// Config says which Kafka holds the topics and what the topics are like. Start from DefaultConfig: the zero value is not
// valid.
type Config struct {
	// Brokers are the host:port addresses of some brokers of an Apache Kafka cluster, 4.0 or later; the client learns the
	// others from them. Empty: the embedded broker, in the data directory.
	Brokers []string `yaml:"brokers"`
	// TopicPrefix precedes every topic name: letters, digits, '.', '_', '-'; 0..100 bytes. Two installations on one cluster
	// need two prefixes.
	TopicPrefix string `yaml:"topic_prefix"`
	// Partitions is the number of partitions of every topic, 1..1024. It is fixed for the life of the topics: a device's
	// partition follows from it.
	Partitions int32 `yaml:"partitions"`
	// ReplicationFactor is the number of copies that Apache Kafka keeps, 1..7; from 3 on, two must hold a record before it is
	// acknowledged. The embedded broker has one.
	ReplicationFactor int16 `yaml:"replication_factor"`
	// RetentionBytes bounds one partition of the embedded broker's journal, 1 MiB..1 GiB; the points topic gets half of it,
	// rejects, status, commands and findings an eighth each, and alarms, actions and registry are kept whole. The embedded broker
	// reads its log at start: Partitions x RetentionBytes must not exceed 4 GiB, and a start after a kill needs up to 4 times
	// that in memory (docs/embedded.md). What the journal drops goes to the archive.
	RetentionBytes int64 `yaml:"retention_bytes"`
	// Archive is where the embedded broker's journal is archived; an empty location is the folder "archive" of the data directory. A bucket
	// may serve several installations with different prefixes, not two with one.
	Archive store.Config `yaml:"archive"`
	// ArchiveBytes bounds the archive of the embedded broker's journal, all partitions together, at least 64 MiB; -1: no bound. At the
	// bound the oldest frames are deleted for good.
	ArchiveBytes int64 `yaml:"archive_bytes"`
	// JournalRetention is how long Apache Kafka keeps the journal, at least 24 h: how far back results can be replayed.
	JournalRetention time.Duration `yaml:"journal_retention"`
	// JournalBytes bounds one partition of the journal on Apache Kafka as well; -1: no bound but JournalRetention.
	JournalBytes int64 `yaml:"journal_bytes"`
	// AlarmRetention is how long Apache Kafka keeps alarms, findings and actions, at least 24 h; actions 32 days at least. Monitoring records must be kept for
	// five years or more.
	AlarmRetention time.Duration `yaml:"alarm_retention"`
	// TLS encrypts the connections to Apache Kafka; the brokers' certificates are checked.
	TLS bool `yaml:"tls"`
	// TLSCA is a PEM file of the authorities that sign the brokers' certificates; empty: the system's.
	TLSCA string `yaml:"tls_ca"`
	// SASL authenticates to Apache Kafka.
	SASL SASL `yaml:"sasl"`
}

// SASL authenticates a client to Apache Kafka. The zero value is no authentication.
type SASL struct {
	// Mechanism is "", "PLAIN" (with TLS only: it sends the password as it is), "SCRAM-SHA-256" or "SCRAM-SHA-512".
	Mechanism string `yaml:"mechanism"`
	User      string `yaml:"user"`
	// PasswordFile holds the password; white space around it is dropped. It is read at each connection, so that the
	// password can be changed while the program runs.
	PasswordFile string `yaml:"password_file"`
}

const day = 24 * time.Hour

const (
	maxJournalBytes = 4 << 30  // of the embedded broker's log: Partitions x RetentionBytes
	minArchiveBytes = 64 << 20 // some files of every partition, at the usual number of them
)

// LogBytes is what the embedded broker's log may hold when retention has been applied, in bytes: the journal, half of it points, four
// topics of an eighth. Alarms, actions and registry, which are kept whole, come on top; they are small.
func (c Config) LogBytes() int64 { return 2 * int64(c.Partitions) * c.RetentionBytes }

// OpenBytes is the memory in bytes that a process may take to open such a log after a kill. Measured are 1.1 bytes a byte of log when
// producers write many records at once and 2 when each batch has one, as with few devices: BenchmarkOpen.
func (c Config) OpenBytes() int64 { return 2 * c.LogBytes() }

// DefaultConfig is the embedded broker; with Brokers set it suits a cluster of three brokers or more.
func DefaultConfig() Config {
	return Config{
		TopicPrefix:       telemetry.DefaultPrefix,
		Partitions:        8,
		ReplicationFactor: 3,
		RetentionBytes:    128 << 20,
		Archive:           store.DefaultConfig(),
		ArchiveBytes:      8 << 30,
		JournalRetention:  400 * day,
		JournalBytes:      -1,
		AlarmRetention:    1827 * day, // five years, with two leap days
	}
}

var prefixPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{0,100}$`)

// Validate reports every fault at once, each under its key in the file.
func (c Config) Validate() error {
	var errs []error
	fault := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("kafka."+format, args...))
		}
	}
	for _, b := range c.Brokers {
		_, port, err := net.SplitHostPort(b)
		fault(err == nil && port != "", "brokers: %q is not host:port", b)
	}
	fault(prefixPattern.MatchString(c.TopicPrefix), "topic_prefix: %q is not 0..100 letters, digits, '.', '_', '-'", c.TopicPrefix)
	fault(c.Partitions >= 1 && c.Partitions <= 1024, "partitions: %d is not in 1..1024", c.Partitions)
	fault(c.ReplicationFactor >= 1 && c.ReplicationFactor <= 7, "replication_factor: %d is not in 1..7", c.ReplicationFactor)
	fault(c.RetentionBytes >= 1<<20 && c.RetentionBytes <= 1<<30, "retention_bytes: %d is not in %d..%d", c.RetentionBytes, 1<<20, 1<<30)
	fault(len(c.Brokers) > 0 || int64(c.Partitions)*c.RetentionBytes <= maxJournalBytes,
		"retention_bytes: %d on %d partitions are %d MiB of journal, more than %d: the embedded broker reads it into memory at start",
		c.RetentionBytes, c.Partitions, int64(c.Partitions)*c.RetentionBytes>>20, int64(maxJournalBytes)>>20)
	kept := c.Archive
	if kept.Location == "" {
		kept.Location = "archive"
	}
	if err := kept.Validate("kafka.archive"); err != nil {
		errs = append(errs, err)
	}
	fault(len(c.Brokers) > 0 || !strings.HasPrefix(c.TopicPrefix, "."), "topic_prefix: %q begins with a dot: the archive cannot be named so", c.TopicPrefix)
	fault(c.ArchiveBytes == -1 || c.ArchiveBytes >= minArchiveBytes, "archive_bytes: %d is neither -1 nor at least %d", c.ArchiveBytes, minArchiveBytes)
	fault(c.JournalRetention >= day, "journal_retention: %v is below 24h", c.JournalRetention)
	fault(c.JournalBytes == -1 || c.JournalBytes >= 1<<20, "journal_bytes: %d is neither -1 nor at least %d", c.JournalBytes, 1<<20)
	fault(c.AlarmRetention >= day, "alarm_retention: %v is below 24h", c.AlarmRetention)
	fault(c.TLS || c.TLSCA == "", "tls_ca: set without tls")
	switch s := c.SASL; s.Mechanism {
	case "":
		fault(s == SASL{}, "sasl.mechanism: missing")
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		fault(s.Mechanism != "PLAIN" || c.TLS, "sasl.mechanism: PLAIN needs tls")
		fault(s.User != "", "sasl.user: missing")
		fault(s.PasswordFile != "", "sasl.password_file: missing")
	default:
		fault(false, "sasl.mechanism: %q is not PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
	}
	return errors.Join(errs...)
}
