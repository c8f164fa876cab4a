package tcp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"time"
)

// Config sets the listeners. Start from DefaultConfig: the zero value is not valid.
type Config struct {
	// Listen is where data loggers connect, host:port; port 0 lets the system choose, see Server.Addr.
	Listen string `yaml:"listen"`
	// EventLoops is the number of gnet event loops, 1..256. Leave the Kafka client about a quarter of the cores.
	EventLoops int `yaml:"event_loops"`
	// MaxConnections closes further connections at once, 1..1,000,000; TLS ones count. The limit of open files lowers it further, with a
	// warning: each connection takes one, and the accept a second for a moment.
	MaxConnections int `yaml:"max_connections"`
	// MaxConnectionsPerAddress closes further connections of one IPv4 address, or of one /64 of IPv6, at once; 0..1,000,000, 0 is no
	// limit. A site's or a mobile operator's address translation puts many devices behind one address.
	MaxConnectionsPerAddress int `yaml:"max_connections_per_address"`
	// AddressRate closes connections of one address that come faster than so many per second, 0..1,000,000, 0 is no limit; AddressBurst,
	// 1..1,000,000, may come at once, which is what a site's devices do when its line is back.
	AddressRate  int `yaml:"address_rate"`
	AddressBurst int `yaml:"address_burst"`
	// UnlimitedFrom lists addresses and networks (CIDR) to which the three limits above do not apply: the translation of a whole fleet,
	// or a TLS terminator that speaks no PROXY protocol.
	UnlimitedFrom []string `yaml:"unlimited_from"`
	// AcceptRate is how many connections per second are accepted during AcceptRamp after a start; the others wait in the kernel's queue
	// (net.core.somaxconn when the listener is bound), and beyond that try again in the kernel's time: after 1, 3, 7, 15 seconds. It
	// spreads the reconnects of a whole fleet. 0..1,000,000, 0 is no limit; the ramp is 1s..1h.
	AcceptRate int           `yaml:"accept_rate"`
	AcceptRamp time.Duration `yaml:"accept_ramp"`
	// ProxyFrom lists the addresses and networks (CIDR) of load balancers. A connection from there must begin with a PROXY protocol
	// header, version 1 or 2, within ProxyTimeout, 100ms..1m, and counts as coming from the address in it. A header from elsewhere is
	// junk like any other.
	ProxyFrom    []string      `yaml:"proxy_from"`
	ProxyTimeout time.Duration `yaml:"proxy_timeout"`
	// ReusePort lets another process of the same user listen on the same port, so that a new version takes over without refusing a
	// connection: start the new one, then stop the old one, which serves on for HandoverTime, 100ms..1m. Take more than the longest
	// round trip of the fleet. Two processes may also share the port for good, for more connections than one has files.
	ReusePort    bool          `yaml:"reuse_port"`
	HandoverTime time.Duration `yaml:"handover_time"`
	// IdleTimeout closes a connection that sent nothing for so long, 10s..24h; any byte counts as life. Keep it above twice the
	// longest reporting interval in the fleet (RtdInterval: 30 s to 3600 s, HJ 212-2017 table 4).
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// LoginTimeout closes a connection that has sent no frame of a known device for so long after it began, 1s..24h.
	LoginTimeout time.Duration `yaml:"login_timeout"`
	// PartialTimeout is how long the beginning of a frame, or junk, waits for the rest before it is refused, 100ms..10m. It must
	// outlast the pauses of a slow mobile line, not of a device.
	PartialTimeout time.Duration `yaml:"partial_timeout"`
	// KeepAlive is the idle time after which the kernel probes the peer, three probes a third of it apart; 10s..2h. Acks that the peer's
	// kernel does not confirm for twice as long end the connection, too.
	KeepAlive time.Duration `yaml:"keep_alive"`
	// MaxBacklogBytes bounds what one connection has sent and the journal has no room for, 64 KiB..64 MiB.
	MaxBacklogBytes int `yaml:"max_backlog_bytes"`
	// MaxBacklogTotalBytes bounds the same for all connections, begun frames included; 1 MiB..64 GiB.
	MaxBacklogTotalBytes int64 `yaml:"max_backlog_total_bytes"`
	// MaxOutboundBytes closes a connection that leaves so many bytes of acks and commands unread beyond what the kernel holds, 4 KiB..1 MiB.
	MaxOutboundBytes int `yaml:"max_outbound_bytes"`
	// DrainTimeout bounds how long a stop waits for records under way, and their acks; 0..10m.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// TLS is the second, encrypted listener.
	TLS TLSConfig `yaml:"tls"`
}

// TLSConfig sets the listener for encrypted connections: TLS 1.2 or 1.3 with Go's choice of cipher suites, no session resumption. A
// connection costs up to 64 KiB, and its handshake half a millisecond of a core: it is for thousands of devices. For more, let a proxy
// end the encryption and list it in Config.ProxyFrom.
type TLSConfig struct {
	// Listen is host:port; empty turns the listener off, and the rest is not looked at.
	Listen string `yaml:"listen"`
	// CertFile and KeyFile are PEM: the chain, the host's own certificate first, and its private key. They are read again when they change.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ClientCAFile holds the authorities of client certificates, PEM; empty: none are asked for. A certificate that is shown must be
	// valid; RequireClientCert refuses a device without one. Which certificate a device must show is the registry's (CertName).
	ClientCAFile      string `yaml:"client_ca_file"`
	RequireClientCert bool   `yaml:"require_client_cert"`
	// MaxConnections closes further ones at once, those in their handshake included; 1..100,000.
	MaxConnections int `yaml:"max_connections"`
	// HandshakeRate is how many handshakes may begin per second, 1..100,000; other connections wait in the kernel's queue. Two thousand
	// use up a core.
	HandshakeRate int `yaml:"handshake_rate"`
	// HandshakeTimeout closes a connection that is not encrypted by then, 1s..1m.
	HandshakeTimeout time.Duration `yaml:"handshake_timeout"`
	// WriteTimeout closes a connection that takes no acks for so long, 1s..10m.
	WriteTimeout time.Duration `yaml:"write_timeout"`
}

// DefaultConfig listens on port 9212 of every address, with three event loops for four cores, and without TLS.
func DefaultConfig() Config {
	return Config{
		Listen:                   ":9212",
		EventLoops:               max(1, runtime.NumCPU()*3/4),
		MaxConnections:           100_000,
		MaxConnectionsPerAddress: 1000,
		AddressRate:              100,
		AddressBurst:             1000,
		UnlimitedFrom:            []string{"127.0.0.0/8", "::1/128"},
		AcceptRate:               5000,
		AcceptRamp:               time.Minute,
		ProxyTimeout:             5 * time.Second,
		HandoverTime:             2 * time.Second,
		IdleTimeout:              2*time.Hour + 5*time.Minute,
		LoginTimeout:             2 * time.Minute,
		PartialTimeout:           10 * time.Second,
		KeepAlive:                90 * time.Second,
		MaxBacklogBytes:          256 << 10,
		MaxBacklogTotalBytes:     64 << 20,
		MaxOutboundBytes:         64 << 10,
		DrainTimeout:             10 * time.Second,
		TLS: TLSConfig{
			MaxConnections:   5000,
			HandshakeRate:    500,
			HandshakeTimeout: 10 * time.Second,
			WriteTimeout:     30 * time.Second,
		},
	}
}

// faults collects what is wrong with a configuration, each under its key in the file.
type faults []error

func (f *faults) check(ok bool, format string, args ...any) {
	if !ok {
		*f = append(*f, fmt.Errorf("tcp."+format, args...))
	}
}

func (f *faults) between(key string, v, low, high int64) {
	f.check(v >= low && v <= high, "%s: %d is not in %d..%d", key, v, low, high)
}

func (f *faults) within(key string, v, low, high time.Duration) {
	f.check(v >= low && v <= high, "%s: %v is not in %v..%v", key, v, low, high)
}

func (f *faults) hostPort(key, v string) {
	_, port, err := net.SplitHostPort(v)
	f.check(err == nil && port != "", "%s: %q is not host:port", key, v)
}

func (f *faults) networks(key string, list []string) {
	_, err := parseNetworks(list)
	f.check(err == nil, "%s: %v", key, err)
}

// StopTime is how long a stop may take: the hand-over of the port, where there is one, and the drain.
func (c Config) StopTime() time.Duration {
	if c.ReusePort {
		return c.HandoverTime + c.DrainTimeout
	}
	return c.DrainTimeout
}

// Validate reports every fault at once, each under its key in the file.
func (c Config) Validate() error {
	var f faults
	f.hostPort("listen", c.Listen)
	f.between("event_loops", int64(c.EventLoops), 1, 256)
	f.between("max_connections", int64(c.MaxConnections), 1, 1_000_000)
	f.between("max_connections_per_address", int64(c.MaxConnectionsPerAddress), 0, 1_000_000)
	f.between("address_rate", int64(c.AddressRate), 0, 1_000_000)
	f.between("address_burst", int64(c.AddressBurst), 1, 1_000_000)
	f.networks("unlimited_from", c.UnlimitedFrom)
	f.between("accept_rate", int64(c.AcceptRate), 0, 1_000_000)
	f.within("accept_ramp", c.AcceptRamp, time.Second, time.Hour)
	f.networks("proxy_from", c.ProxyFrom)
	f.within("proxy_timeout", c.ProxyTimeout, 100*time.Millisecond, time.Minute)
	f.within("handover_time", c.HandoverTime, 100*time.Millisecond, time.Minute)
	f.within("idle_timeout", c.IdleTimeout, 10*time.Second, 24*time.Hour)
	f.within("login_timeout", c.LoginTimeout, time.Second, 24*time.Hour)
	f.within("partial_timeout", c.PartialTimeout, 100*time.Millisecond, 10*time.Minute)
	f.within("keep_alive", c.KeepAlive, 10*time.Second, 2*time.Hour)
	f.between("max_backlog_bytes", int64(c.MaxBacklogBytes), 64<<10, 64<<20)
	f.between("max_backlog_total_bytes", c.MaxBacklogTotalBytes, 1<<20, 64<<30)
	f.between("max_outbound_bytes", int64(c.MaxOutboundBytes), 4<<10, 1<<20)
	f.within("drain_timeout", c.DrainTimeout, 0, 10*time.Minute)
	c.TLS.validate(&f)
	return errors.Join(f...)
}

func (c TLSConfig) validate(f *faults) {
	if c.Listen == "" {
		return
	}
	f.hostPort("tls.listen", c.Listen)
	f.check(c.CertFile != "", "tls.cert_file: name the PEM file of the host's certificate chain, or leave tls.listen empty")
	f.check(c.KeyFile != "", "tls.key_file: name the PEM file of the certificate's private key, or leave tls.listen empty")
	f.check(!c.RequireClientCert || c.ClientCAFile != "", "tls.require_client_cert: name the authorities in tls.client_ca_file")
	f.between("tls.max_connections", int64(c.MaxConnections), 1, 100_000)
	f.between("tls.handshake_rate", int64(c.HandshakeRate), 1, 100_000)
	f.within("tls.handshake_timeout", c.HandshakeTimeout, time.Second, time.Minute)
	f.within("tls.write_timeout", c.WriteTimeout, time.Second, 10*time.Minute)
}

// parseNetworks reads addresses and networks in CIDR notation. An IPv4 network in IPv6 form is refused: connections are matched by their
// IPv4 address.
func parseNetworks(list []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if !strings.Contains(text, "/") {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if err != nil || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			return nil, fmt.Errorf("%q is neither an address nor a network like 192.0.2.0/24", text)
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}
