package ingest

import (
	"slices"
	"strings"
	"testing"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

func TestDeviceRefuses(t *testing.T) {
	plain := func(addr string) Peer { return Peer{Addr: addr} }
	shown := func(names ...string) Peer { return Peer{Addr: "10.1.2.3:9", TLS: true, Certs: names} }
	nets := telemetry.Device{Networks: []string{"10.1.0.0/16", "2001:db8::/32", "::ffff:172.16.0.0/108"}}
	cert := telemetry.Device{CertName: "logger-7.example"}
	rotated := telemetry.Device{PW: "old", PWNext: "new"}
	for _, tt := range []struct {
		name   string
		device telemetry.Device
		peer   Peer
		pw     string
		want   Reason
	}{
		{"nothing asked", telemetry.Device{}, plain("198.51.100.1:9"), "whatever", 0},
		{"no address known", telemetry.Device{}, plain("@"), "", 0},
		{"within the network", nets, plain("10.1.2.3:9"), "", 0},
		{"an IPv4 address that came over IPv6", nets, plain("[::ffff:10.1.2.3]:9"), "", 0},
		{"a network of mapped addresses", nets, plain("172.16.9.9:9"), "", 0},
		{"IPv6", nets, plain("[2001:db8::1]:9"), "", 0},
		{"IPv6 with a zone", nets, plain("[2001:db8::1%eth0]:9"), "", 0},
		{"another network", nets, plain("10.2.0.1:9"), "", ReasonWrongNetwork},
		{"another IPv6 network", nets, plain("[2001:db9::1]:9"), "", ReasonWrongNetwork},
		{"no address where one is asked", nets, plain("pipe"), "", ReasonWrongNetwork},
		{"the certificate", cert, shown("logger-7.example"), "", 0},
		{"one of its names, in another case", cert, shown("CN of it", "Logger-7.Example"), "", 0},
		{"another certificate", cert, shown("logger-8.example"), "", ReasonWrongCertificate},
		{"no certificate", cert, Peer{Addr: "10.1.2.3:9", TLS: true}, "", ReasonWrongCertificate},
		{"not encrypted", cert, plain("10.1.2.3:9"), "", ReasonWrongCertificate},
		{"the old password", rotated, plain("10.1.2.3:9"), "old", 0},
		{"the new password", rotated, plain("10.1.2.3:9"), "new", 0},
		{"neither", rotated, plain("10.1.2.3:9"), "olden", ReasonWrongPW},
		{"no password sent", rotated, plain("10.1.2.3:9"), "", ReasonWrongPW},
		{"no second password", telemetry.Device{PW: "old"}, plain("10.1.2.3:9"), "", ReasonWrongPW},
		{"network before password", telemetry.Device{PW: "x", Networks: nets.Networks}, plain("10.2.0.1:9"), "", ReasonWrongNetwork},
	} {
		d := NewDevice(tt.device)
		if got := d.refusal([]byte(tt.pw), &tt.peer, tt.peer.ip()); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		addr, pw := tt.peer.ip(), []byte(tt.pw)
		if n := testing.AllocsPerRun(100, func() { d.refusal(pw, &tt.peer, addr) }); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

// The registry's edition decides the form of acks, whatever version bits Flag has.
func TestDeviceAnswersInItsEdition(t *testing.T) {
	form2017 := func(flag string) string {
		return "QN=20260301080000000;ST=91;CN=9014;PW=123456;MN=X1;Flag=" + flag + ";CP=&&&&"
	}
	const form2005 = "ST=91;CN=9014;CP=&&QN=20260301080000000;CN=2011&&"
	for _, tt := range []struct {
		edition string
		flag    int
		want    string
	}{
		{"", 1, form2005}, {"", 5, form2017("4")}, {"", 9, form2017("8")},
		{"2005", 5, form2005}, {"2005", 9, form2005},
		{"2017", 1, form2017("4")}, {"2017", 9, form2017("4")},
		{"2025", 1, form2017("8")}, {"2025", 5, form2017("8")},
		{"surface-water", 1, form2017("8")}, {"surface-water", 9, form2017("8")}, {"surface-water", 5, form2017("8")},
	} {
		f := newFront(t, PolicyNewest, telemetry.Device{MN: "X1", PW: "123456", Edition: tt.edition, CRC: "modbus"})
		replies := f.from(1).send(seal(hj212.DialectModbus, data("X1", "123456", tt.flag)))
		if len(replies) != 1 || unseal(t, hj212.DialectModbus, replies[0]) != tt.want {
			t.Errorf("edition %q, Flag=%d: %q, want %q", tt.edition, tt.flag, replies, tt.want)
		}
	}
}

// The message is as it was sent when the ack is built: the downlink reads it next.
func TestAckLeavesTheMessageAlone(t *testing.T) {
	var m hj212.Message
	if err := m.Parse([]byte(data("X1", "", 1))); err != nil {
		t.Fatal(err)
	}
	d := NewDevice(telemetry.Device{MN: "X1", Edition: "2017"})
	d.appendAck(nil, ackData, &m)
	if m.Flag != 1 || !m.HasFlag || m.Version() != hj212.Version2005 {
		t.Errorf("Flag=%d, version %d after the ack", m.Flag, m.Version())
	}
}

// On a connection whose first device computes no CRC, the others' is checked all the same: it is a property of each device.
func TestUncheckedDeviceVouchesForNoOther(t *testing.T) {
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "NONE", CRC: "none", TolerantTail: true}, telemetry.Device{MN: "ALSO", CRC: "none"},
		telemetry.Device{MN: "HJ"}, telemetry.Device{MN: "MOD", CRC: "modbus"})
	f.in.cfg.UnknownDevices = PolicyAdmit
	l := f.from(1)
	broken := func(mn string) string { return strings.Replace(seal(0, data(mn, "", 5)), "Rtd=40", "Rtd=41", 1) }
	l.send(broken("NONE") + broken("ALSO"))
	f.want("open NONE 1", "frame NONE 1", "open ALSO 1", "frame ALSO 1")
	for _, mn := range []string{"HJ", "MOD", "UNKNOWN"} {
		if got := l.send(broken(mn)); got[0] != "" {
			t.Errorf("%s: %q for a frame whose CRC is wrong", mn, got)
		}
	}
	l.send(seal(hj212.DialectModbus, data("HJ", "", 5)))
	f.want("reject gw1/1 crc", "reject gw1/1 crc", "reject gw1/1 crc", "reject gw1/1 crc_modbus")
	l.send(seal(0, data("HJ", "", 5)) + seal(hj212.DialectModbus, data("MOD", "", 5)) + strings.TrimRight(seal(0, data("UNKNOWN", "", 5)), "\r\n") + "\n")
	f.want("open HJ 1", "frame HJ 1", "open MOD 1", "frame MOD 1", "open UNKNOWN 1", "frame UNKNOWN 1")
}

// A device is held to its own dialect from its first frame on, whoever was on the connection before.
func TestFirstFrameInAnothersDialect(t *testing.T) {
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "MOD", CRC: "modbus"}, telemetry.Device{MN: "HJ"})
	alone := f.from(1)
	alone.send(seal(hj212.DialectHJ, data("MOD", "", 5)))
	f.want("reject gw1/1 crc_hj")
	alone.send(seal(hj212.DialectModbus, data("MOD", "", 5)))
	f.want("open MOD 1", "frame MOD 1")
	alone.send(seal(hj212.DialectModbus, data("HJ", "", 5)))
	f.want("reject MOD crc_modbus")
	alone.send(seal(hj212.DialectHJ, data("HJ", "", 5)))
	f.want("open HJ 1", "frame HJ 1")
}

// A peer without a name gets little for its bytes: spans of a few bytes that claim to be long frames cost most, and count so.
func TestShortSpansCountMore(t *testing.T) {
	f := newFront(t, PolicyNewest)
	l := f.from(1)
	for i := 0; i < 1<<12 && !l.closed; i++ {
		l.send("##4000#")
	}
	n := f.in.Stats().Rejected
	if most := int64(f.in.cfg.MaxGarbageBytes/leastRefused + 1); !l.closed || n > most {
		t.Errorf("closed %v after %d refused spans, want at most %d", l.closed, n, most)
	}
	if l = f.from(2); l.send(strings.Repeat("\xfe##", 200)) == nil || l.closed {
		t.Error("closed for the heartbeats of a modem")
	}
}

func TestEveryReasonIsReached(t *testing.T) {
	f := newFront(t, PolicyRefuse,
		telemetry.Device{MN: "X1", PW: "1"}, telemetry.Device{MN: "NET", Networks: []string{"10.0.0.0/8"}},
		telemetry.Device{MN: "CERT", CertName: "a"}, telemetry.Device{MN: "MOD", CRC: "modbus"})
	f.in.cfg.MaxDevices = 2
	first := f.from(1)
	first.send(seal(0, data("X1", "1", 5)))
	second := f.from(2)
	hj := hj212.DialectHJ
	second.send("junk" + "##00x0\r\n" + seal(hj, "x") + seal(hj, "ST=32;CN=2011;CP=&&&&") + seal(hj, data("NOBODY", "", 5)) +
		seal(hj, data("X1", "2", 5)) + seal(hj, data("X1", "1", 5)) + seal(hj, data("NET", "", 5)) + seal(hj, data("CERT", "", 5)) +
		seal(hj212.DialectModbusSwapped, data("X1", "1", 5)) + seal(hj212.DialectCCITT, data("X1", "1", 5)) +
		seal(hj212.DialectModbus, data("X1", "1", 5)) + strings.Replace(seal(hj, data("X1", "1", 5)), "Rtd=40", "Rtd=41", 1) +
		strings.TrimRight(seal(hj, data("X1", "1", 5)), "\r\n") + seal(hj212.DialectModbus, data("MOD", "", 5)) + seal(hj, data("MOD", "", 5)))
	f.reg.put(telemetry.Device{MN: "P"})
	f.reg.put(telemetry.Device{MN: "Q"})
	second.send(seal(hj212.DialectModbus, data("P", "", 5)) + seal(hj, data("P", "", 5)) + seal(hj, data("Q", "", 5)))
	second.buf = append(second.buf, seal(hj, data("Q", "", 5))[:50]...)
	n, _ := second.s.Feed(second.buf, f.now, true)
	second.buf = second.buf[n:]
	f.j.settle(nil)
	first.send(seal(hj, data("X1", "1", 5)))
	first.buf = nil
	if _, state := first.s.Feed([]byte(seal(hj, data("X1", "1", 5))), f.now, false); state != StateReady {
		t.Fatal(state)
	}
	for _, done := range f.j.done {
		done(ErrFull) // lost for good
	}
	by := f.in.Stats().RejectedBy
	for _, r := range Reasons() {
		if by[r] == 0 {
			t.Errorf("%s is not reached", r)
		}
	}
	if !slices.Contains(f.story(), "frame MOD 2") {
		t.Errorf("the MODBUS device is not let in: %q", f.story())
	}
}
