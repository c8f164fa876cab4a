package tcp

import (
	"net"
	"testing"

	"outfall/ingest"
)

// A flood of TLS connections from one address, which the door turns away, does not use up the handshakes of the others.
func TestTLSFloodTakesNoHandshakes(t *testing.T) {
	a := newAuthority(t)
	_, config := withTLS(t, a, func(_ *ingest.Config, c *Config) {
		c.UnlimitedFrom, c.MaxConnectionsPerAddress, c.AddressRate = nil, 1, 0
		c.TLS.HandshakeRate = 1 // a flood of 60 would hold up the next one for a minute
	})
	r := startLight(t, config)
	flood := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}, Timeout: patience}
	for range 60 {
		c, err := flood.Dial("tcp", r.srv.TLSAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	l := r.dialTLS(a)
	l.send(upload(mn1, "123456", 1))
	l.wantAcks(qn(1))
	if n := r.srv.refused[refusedAddress].Load(); n != 59 {
		t.Errorf("%d connections of the flood were refused, want 59", n)
	}
}
