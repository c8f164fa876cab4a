package tcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt: a load balancer says at the beginning of a connection
// whose it is. The parser reads the header's bytes and not one more, for what follows belongs to the session or to the TLS handshake.

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	shortestProxy1 = len("PROXY UNKNOWN\r\n")
	longestProxy1  = 107 // section 2.1, CR LF included
	// longestProxy2 bounds addresses and TLVs of version 2, in bytes; the format has room for 65,535.
	longestProxy2 = 4096
)

var errNoProxyHeader = errors.New("no PROXY protocol header")

// readProxyHeader reads a header of version 1 or 2 and returns the source address it names, unmapped. It is not valid where the header
// names none: a health check of the load balancer (LOCAL), or UNKNOWN.
func readProxyHeader(r io.Reader) (netip.AddrPort, error) {
	head := make([]byte, shortestProxy1, longestProxy1) // shorter than both versions' fixed part
	if _, err := io.ReadFull(r, head); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read a PROXY protocol header: %w", err)
	}
	switch {
	case string(head[:len(proxySignature)]) == proxySignature:
		return readProxy2(r, head)
	case string(head[:6]) == "PROXY ":
		return readProxy1(r, head)
	}
	return netip.AddrPort{}, errNoProxyHeader
}

// readProxy1 goes on with a line of text (section 2.1) whose beginning is head. It reads at most as much as the line must still have.
func readProxy1(r io.Reader, head []byte) (netip.AddrPort, error) {
	for head[len(head)-1] != '\n' {
		missing := 2
		if head[len(head)-1] == '\r' {
			missing = 1
		}
		n := len(head)
		if n+missing > longestProxy1 {
			return netip.AddrPort{}, fmt.Errorf("PROXY line of more than %d bytes", longestProxy1)
		}
		head = head[:n+missing]
		if _, err := io.ReadFull(r, head[n:]); err != nil {
			return netip.AddrPort{}, fmt.Errorf("read a PROXY line: %w", err)
		}
		if missing == 2 && head[n] == '\n' { // one byte too many was read, and the line is broken anyway
			return netip.AddrPort{}, errors.New("PROXY line without CR before LF")
		}
	}
	line, ok := strings.CutSuffix(string(head), "\r\n")
	if !ok {
		return netip.AddrPort{}, errors.New("PROXY line without CR before LF")
	}
	fields := strings.Split(line, " ")
	if fields[1] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	if len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6" {
		return netip.AddrPort{}, fmt.Errorf("PROXY line %q is not TCP4 or TCP6 with two addresses and two ports", line)
	}
	source, err := netip.ParseAddr(fields[2])
	if err != nil || source.Zone() != "" || source.Is4() != (fields[1] == "TCP4") {
		return netip.AddrPort{}, fmt.Errorf("PROXY line %q: the source is no address of its kind", line)
	}
	port, err := strconv.ParseUint(fields[4], 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("PROXY line %q: the source's port is not in 0..65535", line)
	}
	return netip.AddrPortFrom(source.Unmap(), uint16(port)), nil
}

// readProxy2 goes on with the binary form (section 2.2); TLVs are skipped.
func readProxy2(r io.Reader, head []byte) (netip.AddrPort, error) {
	head = head[:16]
	if _, err := io.ReadFull(r, head[shortestProxy1:]); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read a PROXY protocol header: %w", err)
	}
	version, command, family, size := head[12]>>4, head[12]&15, head[13], int(binary.BigEndian.Uint16(head[14:]))
	if version != 2 || command > 1 {
		return netip.AddrPort{}, fmt.Errorf("PROXY protocol header of version %d, command %d", version, command)
	}
	if size > longestProxy2 {
		return netip.AddrPort{}, fmt.Errorf("PROXY protocol header with %d bytes of addresses and TLVs, limit %d", size, longestProxy2)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read a PROXY protocol header: %w", err)
	}
	switch {
	case command == 0: // LOCAL
		return netip.AddrPort{}, nil
	case family == 0x11 && size >= 12: // TCP over IPv4: two addresses, two ports
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), binary.BigEndian.Uint16(body[8:])), nil
	case family == 0x21 && size >= 36: // TCP over IPv6
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), binary.BigEndian.Uint16(body[32:])), nil
	case family == 0: // unspecified
		return netip.AddrPort{}, nil
	}
	return netip.AddrPort{}, fmt.Errorf("PROXY protocol header of family %#02x with %d bytes", family, size)
}
