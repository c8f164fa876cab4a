package ingest

import (
	"errors"
	"fmt"
	"time"

	"outfall/telemetry"
)

// Policy says what becomes of frames whose MN is not in the registry.
type Policy string

const (
	// PolicyQuarantine keeps the frame in the rejects topic and does not acknowledge it.
	PolicyQuarantine Policy = "quarantine"
	// PolicyAdmit journals and acknowledges the frame as if the device were known; no password is checked.
	PolicyAdmit Policy = "admit"
)

// SessionPolicy says what becomes of a device that shows itself on a second connection.
type SessionPolicy string

const (
	// PolicyNewest moves the device to the newer connection. The older one is closed, unless it carries other devices.
	PolicyNewest SessionPolicy = "newest"
	// PolicyRefuse leaves the device to the older connection until that ends or has been silent for Config.SilentAfter: what the newer one
	// sends is kept as rejects, not acknowledged.
	PolicyRefuse SessionPolicy = "refuse"
	// PolicyOff lets a device have any number of connections.
	PolicyOff SessionPolicy = "off"
)

// Config sets how sessions judge frames and how much may be under way. Start from DefaultConfig: the zero value is not valid.
type Config struct {
	// Gateway names this process in the headers of every record it writes; 1..64 printable characters without separators.
	Gateway string `yaml:"gateway"`
	// MaxFrame is the largest data segment accepted, in bytes: 1024 by HJ 212-2017 6.3.1, up to 9999 for the surface-water
	// dialect. A longer one is refused with the reason "length".
	MaxFrame int `yaml:"max_frame"`
	// TolerantTail accepts LF, CR or nothing in place of CR LF from devices that the registry does not name; a device of the
	// registry has its own setting.
	TolerantTail bool `yaml:"tolerant_tail"`
	// UnknownDevices is the policy for an MN that is not in the registry: quarantine or admit.
	UnknownDevices Policy `yaml:"unknown_devices"`
	// OneSession is the policy for a device on a second connection to this gateway: newest, refuse or off. A device whose older connection
	// broke unnoticed is let in at once by newest; by refuse when tcp.keep_alive has ended that connection, or after SilentAfter.
	OneSession SessionPolicy `yaml:"one_session"`
	// SilentAfter is how long the older connection may bring no frame of the device before refuse moves it to the newer one as newest does:
	// a load balancer keeps a connection whose device has gone. Keep it above the longest reporting interval, for then a clone gets in
	// as well; 1m..24h.
	SilentAfter time.Duration `yaml:"silent_after"`
	// MaxDevices bounds the devices of one connection (dispatchers carry many), 1..65536; the frames of one more are refused.
	MaxDevices int `yaml:"max_devices"`
	// MaxGarbageBytes closes a connection that sent so many refused bytes since its last good frame; a span that begins like a
	// frame counts as 256 bytes at least. 1 KiB..16 MiB.
	MaxGarbageBytes int `yaml:"max_garbage_bytes"`
	// MaxUnackedBytes bounds what one connection has under way to the journal; at the bound its frames wait in its socket's
	// buffer. 16 KiB..64 MiB.
	MaxUnackedBytes int `yaml:"max_unacked_bytes"`
	// MaxInflightBytes and MaxInflightRecords bound what all connections together have under way; at the bound nothing more is
	// taken from any connection. 1 MiB..4 GiB and 64..10,000,000.
	MaxInflightBytes   int64 `yaml:"max_inflight_bytes"`
	MaxInflightRecords int64 `yaml:"max_inflight_records"`
	// Linger is how long a record may wait for others to share its produce request: every ack is later by up to so much, and
	// requests are fewer. 0..1s; 20 ms suits a cluster, 2 ms the embedded broker.
	Linger time.Duration `yaml:"linger"`
	// Downlink sets how devices are asked.
	Downlink DownlinkConfig `yaml:"downlink"`
}

// DefaultConfig is a gateway for a cluster of brokers.
func DefaultConfig() Config {
	return Config{
		Gateway:            "gw1",
		MaxFrame:           4096,
		UnknownDevices:     PolicyQuarantine,
		OneSession:         PolicyNewest,
		SilentAfter:        15 * time.Minute,
		MaxDevices:         1024,
		MaxGarbageBytes:    64 << 10,
		MaxUnackedBytes:    256 << 10,
		MaxInflightBytes:   64 << 20,
		MaxInflightRecords: 100_000,
		Linger:             20 * time.Millisecond,
		Downlink:           DefaultDownlinkConfig(),
	}
}

// Validate reports every fault at once, each under its key in the file.
func (c Config) Validate() error {
	var errs []error
	between := func(key string, v, low, high int64) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("ingest.%s: %d is not in %d..%d", key, v, low, high))
		}
	}
	if !telemetry.ValidMN(c.Gateway) {
		errs = append(errs, fmt.Errorf("ingest.gateway: %q is not 1..64 printable characters without ';', ',', '=' and '&'", c.Gateway))
	}
	between("max_frame", int64(c.MaxFrame), 1024, 9999)
	if c.UnknownDevices != PolicyQuarantine && c.UnknownDevices != PolicyAdmit {
		errs = append(errs, fmt.Errorf("ingest.unknown_devices: %q is neither %s nor %s", c.UnknownDevices, PolicyQuarantine, PolicyAdmit))
	}
	if c.OneSession != PolicyNewest && c.OneSession != PolicyRefuse && c.OneSession != PolicyOff {
		errs = append(errs, fmt.Errorf("ingest.one_session: %q is none of %s, %s, %s", c.OneSession, PolicyNewest, PolicyRefuse, PolicyOff))
	}
	if c.SilentAfter < time.Minute || c.SilentAfter > 24*time.Hour {
		errs = append(errs, fmt.Errorf("ingest.silent_after: %v is not in 1m..24h", c.SilentAfter))
	}
	between("max_devices", int64(c.MaxDevices), 1, 65536)
	between("max_garbage_bytes", int64(c.MaxGarbageBytes), 1<<10, 16<<20)
	between("max_unacked_bytes", int64(c.MaxUnackedBytes), 16<<10, 64<<20)
	between("max_inflight_bytes", c.MaxInflightBytes, 1<<20, 4<<30)
	between("max_inflight_records", c.MaxInflightRecords, 64, 10_000_000)
	if c.Linger < 0 || c.Linger > time.Second {
		errs = append(errs, fmt.Errorf("ingest.linger: %v is not in 0s..1s", c.Linger))
	}
	errs = append(errs, c.Downlink.Validate())
	return errors.Join(errs...)
}
