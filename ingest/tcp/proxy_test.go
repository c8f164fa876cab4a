package tcp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"outfall/ingest"
)

// proxy2 builds a header of version 2.
func proxy2(command, family byte, body string) string {
	head := append([]byte(proxySignature), 0x20|command, family)
	return string(binary.BigEndian.AppendUint16(head, uint16(len(body)))) + body
}

const (
	body4 = "\xc0\x00\x02\x07\x7f\x00\x00\x01\x12\x34\x23\xfc" // 192.0.2.7:4660
	tlvs  = "\x03\x00\x04\x01\x02\x03\x04\x04\x00\x01\x00"
)

var body6 = "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x05" + strings.Repeat("\x00", 15) + "\x01" + "\x12\x34\x23\xfc"

func TestProxyHeader(t *testing.T) {
	for _, tt := range []struct{ name, header, want, fault string }{
		{"v1, IPv4", "PROXY TCP4 192.0.2.7 198.51.100.1 56324 9212\r\n", "192.0.2.7:56324", ""},
		{"v1, IPv6", "PROXY TCP6 2001:db8::5 2001:db8::1 56324 9212\r\n", "[2001:db8::5]:56324", ""},
		{"v1, IPv4 in IPv6", "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:127.0.0.1 1 2\r\n", "192.0.2.7:1", ""},
		{"v1, longest", "PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n", "invalid AddrPort", ""},
		{"v1, unknown", "PROXY UNKNOWN\r\n", "invalid AddrPort", ""},
		{"v1, too long", "PROXY UNKNOWN " + strings.Repeat("f", 92) + "\r\n", "", "more than 107"},
		{"v1, LF alone", "PROXY TCP4 192.0.2.7 198.51.100.1 56324 9212\n.", "", "without CR"},
		{"v1, LF alone, other parity", "PROXY TCP4 192.0.2.7 198.51.100.1 56324 92122\n.", "", "without CR"},
		{"v1, kind and address differ", "PROXY TCP4 2001:db8::5 2001:db8::1 1 2\r\n", "", "no address of its kind"},
		{"v1, zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", "", "no address of its kind"},
		{"v1, port", "PROXY TCP4 192.0.2.7 198.51.100.1 65536 9212\r\n", "", "0..65535"},
		{"v1, a field missing", "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n", "", "is not TCP4"},
		{"v1, UDP", "PROXY UDP4 192.0.2.7 198.51.100.1 56324 9212\r\n", "", "is not TCP4"},
		{"v2, IPv4", proxy2(1, 0x11, body4), "192.0.2.7:4660", ""},
		{"v2, IPv4 and TLVs", proxy2(1, 0x11, body4+tlvs), "192.0.2.7:4660", ""},
		{"v2, IPv6", proxy2(1, 0x21, body6), "[2001:db8::5]:4660", ""},
		{"v2, local", proxy2(0, 0x11, body4), "invalid AddrPort", ""},
		{"v2, local, empty", proxy2(0, 0, ""), "invalid AddrPort", ""},
		{"v2, unspecified", proxy2(1, 0, tlvs), "invalid AddrPort", ""},
		{"v2, longest", proxy2(1, 0x11, body4+strings.Repeat("\x00", longestProxy2-12)), "192.0.2.7:4660", ""},
		{"v2, too long", proxy2(1, 0x11, body4+strings.Repeat("\x00", longestProxy2)), "", "limit 4096"},
		{"v2, short", proxy2(1, 0x21, body4), "", "family 0x21 with 12 bytes"},
		{"v2, UDP", proxy2(1, 0x12, body4), "", "family 0x12"},
		{"v2, unix", proxy2(1, 0x31, strings.Repeat("\x00", 216)), "", "family 0x31"},
		{"v2, version 3", strings.Replace(proxy2(1, 0x11, body4), "\x21", "\x31", 1), "", "version 3"},
		{"v2, command 2", proxy2(2, 0x11, body4), "", "command 2"},
		{"v2, cut", proxy2(1, 0x11, body4)[:20], "", "unexpected EOF"},
		{"none", upload(mn1, "123456", 1), "", "no PROXY protocol header"},
		{"nothing", "", "", "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := strings.NewReader(tt.header + "##")
			source, err := readProxyHeader(r)
			if tt.fault != "" {
				if tt.name == "nothing" || tt.name == "v2, cut" {
					_, err = readProxyHeader(strings.NewReader(tt.header))
				}
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Fatalf("%v, %v: want an error with %q", source, err, tt.fault)
				}
				return
			}
			if err != nil || source.String() != tt.want || r.Len() != 2 {
				t.Errorf("%v, %v and %d bytes left, want %s and 2", source, err, r.Len(), tt.want)
			}
		})
	}
}

// FuzzProxyHeader: where TCP cuts the header must not change what is read, nor how much; and what is accepted says the same again.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{"PROXY TCP4 192.0.2.7 198.51.100.1 56324 9212\r\n##", "PROXY UNKNOWN\r\n", proxy2(1, 0x11, body4+tlvs), proxy2(1, 0x21, body6), proxy2(0, 0, "")} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, cut := bytes.NewReader(stream), bytes.NewReader(stream)
		source, err := readProxyHeader(whole)
		again, err2 := readProxyHeader(iotest.OneByteReader(cut))
		if source != again || (err == nil) != (err2 == nil) || whole.Len() != cut.Len() {
			t.Fatalf("whole: %v, %v, %d left; cut: %v, %v, %d left", source, err, whole.Len(), again, err2, cut.Len())
		}
		if err != nil || !source.IsValid() {
			return
		}
		kind := "TCP4"
		if source.Addr().Is6() {
			kind = "TCP6"
		}
		line := fmt.Sprintf("PROXY %s %s %s %d 1\r\n", kind, source.Addr(), source.Addr(), source.Port())
		if back, err := readProxyHeader(strings.NewReader(line)); err != nil || back != source {
			t.Fatalf("%q reads as %v, %v, want %v", line, back, err, source)
		}
	})
}

func TestProxyProtocol(t *testing.T) {
	balanced := func(_ *ingest.Config, c *Config) {
		c.ProxyFrom, c.ProxyTimeout = []string{"127.0.0.1"}, time.Minute
		c.MaxConnectionsPerAddress, c.AddressRate, c.UnlimitedFrom = 1, 0, nil
	}
	t.Run("the device's address counts", func(t *testing.T) {
		r := startLight(t, balanced)
		for i, header := range []string{
			"PROXY TCP4 192.0.2.7 127.0.0.1 56324 9212\r\n", proxy2(1, 0x21, body6+tlvs),
		} {
			l := r.dial()
			l.send(header + upload(mn1, "123456", i)) // header and frame in one segment
			l.wantAcks(qn(i))
		}
		if !r.shelf.saw("192.0.2.7:56324") || !r.shelf.saw("[2001:db8::5]:4660") {
			t.Errorf("peers %v, want the devices'", r.shelf.peers)
		}
		l := r.dial()
		l.send("PROXY TCP4 192.0.2.7 127.0.0.1 56325 9212\r\n" + upload(mn1, "123456", 3))
		l.wantClosed()
		if n := r.srv.refused[refusedAddress].Load(); n != 1 {
			t.Errorf("%d connections of the device's address were refused, want 1", n)
		}
		check := r.dial() // the balancer's own health check
		check.send(proxy2(0, 0, "") + upload(mn1, "123456", 4))
		check.wantAcks(qn(4))
	})
	t.Run("no header, a broken one, a late one", func(t *testing.T) {
		r := startLight(t, func(i *ingest.Config, c *Config) {
			balanced(i, c)
			c.ProxyTimeout = 50 * time.Millisecond
		})
		for _, text := range []string{upload(mn1, "123456", 1), "PROXY TCP4 nowhere 127.0.0.1 1 2\r\n", "PROXY TCP4 192.0.2."} {
			l := r.dial()
			l.send(text)
			l.wantClosed()
		}
		if n := r.srv.refused[refusedProxy].Load(); n != 3 || r.in.Stats().Received != 0 {
			t.Errorf("%d connections refused and %+v, want 3 and nothing received", n, r.in.Stats())
		}
	})
	t.Run("slow headers hold up nobody", func(t *testing.T) {
		r := startLight(t, balanced)
		for range 100 {
			r.dial().send("PRO")
		}
		l := r.dial()
		l.send("PROXY TCP4 192.0.2.7 127.0.0.1 56324 9212\r\n" + upload(mn1, "123456", 1))
		l.wantAcks(qn(1))
		began := time.Now()
		if r.stop(); time.Since(began) > patience {
			t.Error("the stop waited for headers")
		}
	})
	t.Run("not from a balancer", func(t *testing.T) {
		r := startLight(t, balanced)
		l := r.dialFrom("127.0.0.2")
		l.send("PROXY TCP4 192.0.2.7 127.0.0.1 56324 9212\r\n" + upload(mn1, "123456", 1))
		l.wantAcks(qn(1))
		if r.shelf.saw("192.0.2.7:56324") || !r.shelf.saw(l.c.LocalAddr().String()) || r.in.Stats().Rejected != 1 {
			t.Errorf("peers %v and %+v: want the header refused as junk", r.shelf.peers, r.in.Stats())
		}
	})
}
