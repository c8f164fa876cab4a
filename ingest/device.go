package ingest

import (
	"crypto/subtle"
	"net/netip"
	"slices"
	"strings"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// A Device is an entry of the registry, with all that frames are checked against worked out beforehand. It is read only and shared.
type Device struct {
	telemetry.Device

	pw, pwNext []byte
	networks   []netip.Prefix
	dialect    hj212.Dialect
	// version is that of the entry's edition; versioned is false when the entry leaves it to each frame's Flag.
	version   uint8
	versioned bool
}

// editionVersions gives the version bits that acks to a device of an edition carry. Surface water has those of 2025, years before it.
var editionVersions = map[string]uint8{
	"2005": hj212.Version2005, "2017": hj212.Version2017, "2025": hj212.Version2025, editionSurfaceWater: hj212.Version2025,
}

const editionSurfaceWater = "surface-water"

// NewDevice prepares an entry of the registry, which must be valid.
func NewDevice(entry telemetry.Device) *Device {
	d := &Device{Device: entry, pw: []byte(entry.PW), pwNext: []byte(entry.PWNext)}
	for _, n := range entry.Networks {
		d.networks = append(d.networks, unmapped(netip.MustParsePrefix(n)))
	}
	dialect, ok := hj212.ParseDialect(entry.CRC)
	if !ok {
		panic("ingest: device " + entry.MN + " has the CRC dialect " + entry.CRC)
	}
	d.dialect = dialect
	d.version, d.versioned = editionVersions[entry.Edition]
	return d
}

// unmapped is the IPv4 prefix that an IPv6 prefix of mapped addresses stands for, and p otherwise: peers are compared unmapped.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// refusal is why a frame with pw from peer, whose address is addr, is not taken for the device's; 0: it is.
func (d *Device) refusal(pw []byte, peer *Peer, addr netip.Addr) Reason {
	switch {
	case !d.allows(addr):
		return ReasonWrongNetwork
	case d.CertName != "" && !peer.shows(d.CertName):
		return ReasonWrongCertificate
	case !d.knows(pw):
		return ReasonWrongPW
	}
	return 0
}

func (d *Device) allows(addr netip.Addr) bool {
	if len(d.networks) == 0 {
		return true
	}
	for _, n := range d.networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// knows compares with both passwords in a time that does not tell how far they agree.
func (d *Device) knows(pw []byte) bool {
	if len(d.pw) == 0 {
		return true
	}
	ok := subtle.ConstantTimeCompare(d.pw, pw)
	if len(d.pwNext) > 0 {
		ok |= subtle.ConstantTimeCompare(d.pwNext, pw)
	}
	return ok == 1
}

// answers is the version under which the device is answered: that of the registry, else that of what it sent. d may be nil.
func (d *Device) answers(m *hj212.Message) uint8 {
	if d != nil && d.versioned {
		return d.version
	}
	return m.Version()
}

// appendAck appends the ack that m is owed, in the device's edition and CRC dialect. d is nil for a device that the registry does not name.
func (d *Device) appendAck(dst []byte, kind ackKind, m *hj212.Message) []byte {
	dialect := hj212.DialectHJ
	if d != nil {
		dialect = d.dialect
		if d.versioned {
			flag, has := m.Flag, m.HasFlag
			m.Flag, m.HasFlag = hj212.FrameFlag(d.version<<2)|flag&3, true
			defer func() { m.Flag, m.HasFlag = flag, has }()
		}
	}
	switch kind {
	case ackData:
		return hj212.AppendDataAck(dst, m, dialect)
	case ackNotice:
		return hj212.AppendNoticeAck(dst, m, dialect)
	}
	return dst
}

// A Peer is the other end of a connection.
type Peer struct {
	Addr  string   // host:port of the device
	Via   string   // address of the load balancer that named Addr by the PROXY protocol; empty: the device connected itself
	TLS   bool     // the connection is encrypted
	Certs []string // DNS names and common name of the verified client certificate; nil: none was shown
}

// ip is the peer's address without zone and port; the zero Addr, which no prefix contains, when Addr is no host:port.
func (p *Peer) ip() netip.Addr {
	ap, err := netip.ParseAddrPort(p.Addr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// shows reports whether the peer's certificate bears the name.
func (p *Peer) shows(name string) bool {
	return p.TLS && slices.ContainsFunc(p.Certs, func(have string) bool { return strings.EqualFold(have, name) })
}
