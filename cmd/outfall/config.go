package main

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"outfall/ingest"
	"outfall/ingest/tcp"
	"outfall/internal/broker"
	"outfall/internal/obs"
	"outfall/sinks/alert"
	"outfall/sinks/influx"
	"outfall/stream"
)

// Config is the sum of the stages' configurations: one YAML file, one section a stage.
type Config struct {
	Kafka  broker.Config `yaml:"kafka"`
	TCP    tcp.Config    `yaml:"tcp"`
	Ingest ingest.Config `yaml:"ingest"`
	Stream stream.Config `yaml:"stream"`
	Influx influx.Config `yaml:"influx"`
	Alert  alert.Config  `yaml:"alert"`
	Admin  obs.Config    `yaml:"admin"`
}

// embeddedLinger replaces the default of ingest.linger on the embedded broker, where a produce request costs no network round trip.
const embeddedLinger = 2 * time.Millisecond

// reachTimeout bounds how long a command waits to find out that a service cannot be reached.
const reachTimeout = 10 * time.Second

// defaultConfig is what holds without a file: the embedded broker and InfluxDB in dataDir.
func defaultConfig(dataDir string) *Config {
	cfg := &Config{
		Kafka:  broker.DefaultConfig(),
		TCP:    tcp.DefaultConfig(),
		Ingest: ingest.DefaultConfig(),
		Stream: stream.DefaultConfig(),
		Influx: influx.DefaultConfig(),
		Alert:  alert.DefaultConfig(),
		Admin:  obs.DefaultConfig(),
	}
	cfg.Stream.Snapshots.Location = filepath.Join(dataDir, "snapshots")
	return cfg
}

// Validate reports every fault at once, each under its key in the file.
func (c *Config) Validate() error {
	return errors.Join(c.Kafka.Validate(), c.TCP.Validate(), c.Ingest.Validate(), c.Stream.Validate(), c.Influx.Validate(), c.Alert.Validate(), c.Admin.Validate(),
		validPort("tcp.listen", c.TCP.Listen), validPort("tcp.tls.listen", c.TCP.TLS.Listen), validPort("admin.listen", c.Admin.Listen), c.validEOS())
}

// validEOS refuses transactions where they would lose what they are for.
func (c *Config) validEOS() error {
	if c.Stream.EOS == stream.EOSFenced && len(c.Kafka.Brokers) == 0 {
		return errors.New("stream.eos: fenced needs Apache Kafka (kafka.brokers): the transactions of the embedded broker do not survive a kill. " +
			"With position each output stands once there too")
	}
	return nil
}

// validPort refuses a port that no listener can have. That an address is no HOST:PORT at all is its stage's to say.
func validPort(key, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return nil
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%s: port %q is neither 0..65535 nor the name of a service", key, port)
	}
	return nil
}

// loadConfig reads all sources and validates the result. The error is a usage error that lists every fault; values that were not
// readable keep their default in the validation, so that one fault is not reported twice.
func loadConfig(file, dataDir string, environ []string, overrides []override) (*Config, *loader, error) {
	cfg := defaultConfig(dataDir)
	l := newLoader(cfg)
	if err := l.load(file, environ, overrides); err != nil && len(l.faults.faults) == 0 {
		return nil, nil, err // the file cannot be read at all
	}
	if len(cfg.Kafka.Brokers) == 0 && l.isDefault("ingest.linger") {
		cfg.Ingest.Linger = embeddedLinger
	}
	if l.isDefault("stream.group") {
		cfg.Stream.Group = cfg.Kafka.TopicPrefix + "stream" // two installations on one Kafka must not share a group
	}
	if err := cfg.Validate(); err != nil {
		l.place(err)
	}
	if err := l.err(); err != nil {
		return nil, nil, err
	}
	return cfg, l, nil
}
