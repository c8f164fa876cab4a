package ingest

import (
	"fmt"
	"strings"
	"testing"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// The quirks that a gateway has to survive, by their number in the project's list; those of the codec are tested in package hj212.

// TestQuirkQ02: a device computes CRC-16/MODBUS and swaps its bytes (22 of 53 frames of one captured line).
func TestQuirkQ02(t *testing.T) {
	swapped := hj212.DialectModbusSwapped
	up := seal(swapped, data("X1", "", 5))
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "X1"})
	l := f.from(1)
	l.send(up)
	l.send(seal(0, data("X1", "", 5)) + up)
	f.want("reject gw1/1 crc_modbus_swapped", "open X1 1", "frame X1 1", "reject X1 crc_modbus_swapped") // the name of what to set
	f.reg.put(telemetry.Device{MN: "X1", CRC: "modbus-swapped"})
	replies := l.send(up + up)
	if len(replies) != 2 || !strings.Contains(unseal(t, swapped, replies[0]), "CN=9014") {
		t.Errorf("replies %q, want two 9014 in the device's dialect", replies)
	}
	l.send(seal(0, data("X1", "", 5)))
	f.want("frame X1 1", "frame X1 1", "reject X1 crc_hj")
	// Unknown to the connection, it introduces itself in its dialect; so does a second device behind a first one of the standard's.
	f.reg.put(telemetry.Device{MN: "X2"})
	both := f.from(2)
	both.send(seal(0, data("X2", "", 5)))
	f.want("open X2 2", "frame X2 2")
	for _, b := range []byte(up) { // however TCP cuts it
		replies = both.send(string(b))
	}
	if unseal(t, swapped, replies[0]) == "" {
		t.Error("no ack")
	}
	f.want("second X1 2 replaced 192.0.2.1:1", "close X1 1 replaced", "open X1 2", "frame X1 2")
	// The MN of bytes that do not verify in its dialect either is no introduction.
	f.from(3).send(seal(hj212.DialectModbus, data("X1", "", 5)))
	f.want("reject gw1/3 crc_modbus")
}

// TestQuirkQ03: a device whose CRC is wrong altogether.
func TestQuirkQ03(t *testing.T) {
	bad := strings.Replace(seal(0, data("X1", "", 5)), "40.1", "41.1", 1)
	letters := []byte(bad)
	copy(letters[len(letters)-6:], "zz!?")
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "X1"}, telemetry.Device{MN: "X2", CRC: "none"})
	l := f.from(1)
	l.send(seal(0, data("X1", "", 5)) + bad + string(letters))
	f.want("open X1 1", "frame X1 1", "reject X1 crc", "reject X1 crc")
	f.reg.put(telemetry.Device{MN: "X1", CRC: "none"})
	replies := l.send(bad + string(letters))
	f.want("frame X1 1", "frame X1 1")
	if len(replies) != 2 || !strings.Contains(unseal(t, 0, replies[1]), "CN=9014") {
		t.Errorf("replies %q, want two 9014 in the standard's dialect", replies)
	}
	f.from(2).send(string(letters)) // the first frame of a connection
	f.want("second X1 2 replaced 192.0.2.1:1", "close X1 1 replaced", "open X1 2", "frame X1 2")
}

// TestQuirkQ16: QN empty, absent, or twice the same.
func TestQuirkQ16(t *testing.T) {
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "X1"})
	l := f.from(1)
	for _, tt := range []struct{ head, want string }{
		{"QN=;ST=32;CN=2011;PW=1;MN=X1;Flag=5", "QN=;ST=91;CN=9014;PW=1;MN=X1;Flag=4;CP=&&&&"},
		{"ST=32;CN=2011;PW=1;MN=X1;Flag=5", "ST=91;CN=9014;PW=1;MN=X1;Flag=4;CP=&&&&"},
		{"ST=32;CN=2011;PW=1;MN=X1;Flag=1", "ST=91;CN=9014;CP=&&CN=2011&&"},
		{"QN=20260301080000001;ST=32;CN=2011;PW=1;MN=X1;Flag=5", "QN=20260301080000001;ST=91;CN=9014;PW=1;MN=X1;Flag=4;CP=&&&&"},
		{"QN=20260301080000001;ST=32;CN=2011;PW=1;MN=X1;Flag=5", "QN=20260301080000001;ST=91;CN=9014;PW=1;MN=X1;Flag=4;CP=&&&&"}, // sent again: acked again
	} {
		replies := l.send(seal(0, tt.head+";CP=&&DataTime=20260301080000;w01018-Rtd=1&&"))
		if len(replies) != 1 || unseal(t, 0, replies[0]) != tt.want {
			t.Errorf("%s: %q, want %q", tt.head, replies, tt.want)
		}
	}
	f.want("open X1 1", "frame X1 1", "frame X1 1", "frame X1 1", "frame X1 1", "frame X1 1")
}

// TestQuirkQ17: a device that never reads an answer of the host's protocol, or sends its own in any order: the link stays.
func TestQuirkQ17(t *testing.T) {
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "X1"})
	l := f.from(1)
	for range 3 { // the same frame three times: it never reacts to a 9014
		l.send(seal(0, data("X1", "", 5)))
	}
	reply := func(cn, cp string) string {
		return seal(0, "QN=20260301080000000;ST=91;CN="+cn+";PW=1;MN=X1;Flag=4;CP=&&"+cp+"&&")
	}
	got := l.send(reply("9012", "ExeRtn=1") + reply("9011", "QnRtn=1") + reply("9014", ""))
	if got[0] != "" || l.hungup != 0 {
		t.Errorf("answers to answers: %q", got)
	}
	f.want("open X1 1", "frame X1 1", "frame X1 1", "frame X1 1", "frame X1 1", "frame X1 1", "frame X1 1")
	// 2005 acknowledges a 9012 where it acknowledges data (HJ/T 212-2005 6.4).
	got = l.send(seal(0, "ST=91;CN=9012;PW=1;MN=X1;Flag=1;CP=&&QN=20260301080000000;ExeRtn=1&&"))
	if want := "ST=91;CN=9014;CP=&&QN=20260301080000000;CN=9012&&"; unseal(t, 0, got[0]) != want {
		t.Errorf("ack of a 9012 of 2005 %q, want %q", got, want)
	}
}

// TestQuirkQ21: PW missing, wrong, or of 24 characters; MN of any length.
func TestQuirkQ21(t *testing.T) {
	long := strings.Repeat("7F", 12)
	mns := []string{"A", "7654321", "LD130133000015", "A110000_0001", "JLYP01_AIR01_0001", "NJGDKYYC202101q0001w0001", strings.Repeat("M", 64)}
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "X1", PW: long})
	for _, mn := range mns {
		f.reg.put(telemetry.Device{MN: mn})
	}
	f.from(1).send(seal(0, data("X1", "123456", 5)) + seal(0, "QN=1;ST=32;CN=2011;MN=X1;Flag=5;CP=&&&&") + seal(0, data("X1", long, 5)))
	f.want("reject X1 wrong_pw", "reject X1 wrong_pw", "open X1 1", "frame X1 1")
	for i, mn := range mns {
		f.from(i + 2).send(seal(0, data(mn, "any", 5)))
		f.want(fmt.Sprintf("open %s %d", mn, i+2), fmt.Sprintf("frame %s %d", mn, i+2))
	}
	f.from(99).send(seal(0, data(strings.Repeat("M", 65), "", 5)))
	f.want("reject gw1/9 bad_mn")
}

// TestQuirkQ30: sloppy answers: another ST, Flag=5 on a 9014, QnRtn within it, a QN of its own. None is answered, or the two would go
// on for ever.
func TestQuirkQ30(t *testing.T) {
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "X1"})
	l := f.from(1)
	for _, seg := range []string{
		"QN=20260301080000000;ST=21;CN=9014;PW=1;MN=X1;Flag=4;CP=&&&&",
		"QN=20260301080000000;ST=91;CN=9014;PW=1;MN=X1;Flag=5;CP=&&&&",
		"QN=20260301080000001;ST=91;CN=9014;PW=1;MN=X1;Flag=5;CP=&&QnRtn=1&&",
		"QN=20260301080000000;ST=32;CN=9011;PW=1;MN=X1;Flag=5;CP=&&QnRtn=1&&",
	} {
		if got := l.send(seal(0, seg)); got[0] != "" {
			t.Errorf("%s is answered with %q", seg, got)
		}
	}
	f.want("open X1 1", "frame X1 1", "frame X1 1", "frame X1 1", "frame X1 1")
}

// TestQuirkQ32: private heartbeats before 2025: 9015 with Flag 1, 4 or 9 and with or without QN, 9021, and 9013.
func TestQuirkQ32(t *testing.T) {
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "X1"})
	l := f.from(1)
	for _, tt := range []struct{ seg, want string }{
		{"QN=20260301080000000;ST=31;CN=9015;PW=1;MN=X1;Flag=9;CP=&&&&", "QN=20260301080000000;ST=91;CN=9013;PW=1;MN=X1;Flag=8;CP=&&&&"},
		{"QN=20260301080000000;ST=31;CN=9015;PW=1;MN=X1;Flag=1;CP=&&&&", "ST=91;CN=9013;PW=1;MN=X1;Flag=0;CP=&&QN=20260301080000000&&"},
		{"ST=31;CN=9015;PW=1;MN=X1;Flag=9;CP=&&&&", "ST=91;CN=9013;PW=1;MN=X1;Flag=8;CP=&&&&"},
		{"ST=32;CN=9021;PW=1;MN=X1;Flag=1;CP=&&&&", "ST=91;CN=9013;PW=1;MN=X1;Flag=0;CP=&&&&"},
		{"QN=20260301080000000;ST=31;CN=9015;PW=1;MN=X1;Flag=4;CP=&&&&", ""},
		{"ST=32;CN=9013;PW=1;MN=X1;CP=&&&&", ""},
		{"ST=32;CN=9013;PW=1;MN=X1;Flag=5;CP=&&&&", ""},
	} {
		got := l.send(seal(0, tt.seg))[0]
		if got != "" {
			got = unseal(t, 0, got)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.seg, got, tt.want)
		}
	}
	if n := f.in.Stats().Journaled; n != 7 || l.hungup != 0 {
		t.Errorf("%d heartbeats journaled, want all seven", n)
	}
}

// TestQuirkQ33: one link carries many MN, one MN comes over many links, and the MN of a link changes.
func TestQuirkQ33(t *testing.T) {
	const many = 300
	var devices []telemetry.Device
	for i := range many {
		devices = append(devices, telemetry.Device{MN: fmt.Sprintf("M%d", i)})
	}
	f := newFront(t, PolicyNewest, devices...)
	dispatcher := f.from(1)
	var want []string
	for i := range many {
		mn := fmt.Sprintf("M%d", i)
		if got := dispatcher.send(seal(0, data(mn, "", 5))); !strings.Contains(got[0], "MN="+mn+";") {
			t.Fatalf("%s is answered with %q", mn, got)
		}
		want = append(want, "open "+mn+" 1", "frame "+mn+" 1")
	}
	f.want(want...)
	for conn := 2; conn < 10; conn++ { // over many links: the newest has it
		f.from(conn).send(seal(0, data("M7", "", 5)))
	}
	if live := f.in.live.list(int(shardOf("M7")), "M7"); len(live) != 1 || live[0].p.session.number != 9 {
		t.Errorf("M7 is live on %d connections, want the newest alone", len(live))
	}
	if got := strings.Count(strings.Join(f.story(), "\n"), "second M7"); got != 1 {
		t.Errorf("%d entries of second sessions within a minute, want 1", got)
	}
	if dispatcher.hungup != 0 || dispatcher.s.devices.Load() != many-1 {
		t.Errorf("the dispatcher has %d devices left, want %d", dispatcher.s.devices.Load(), many-1)
	}
}

// TestQuirkQ34: an ST that is no two digits.
func TestQuirkQ34(t *testing.T) {
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "X1"})
	for _, st := range []string{"101", "AB", "", "3"} {
		got := f.from(1).send(seal(0, "QN=20260301080000000;ST="+st+";CN=2011;PW=1;MN=X1;Flag=5;CP=&&&&"))
		if want := "QN=20260301080000000;ST=91;CN=9014;PW=1;MN=X1;Flag=4;CP=&&&&"; unseal(t, 0, got[0]) != want {
			t.Errorf("ST=%s: %q, want %q", st, got, want)
		}
	}
}

// TestQuirkQ43: CNs that no standard knows are stored as they are, acknowledged when that is asked for, and close nothing.
func TestQuirkQ43(t *testing.T) {
	f := newFront(t, PolicyNewest, telemetry.Device{MN: "X1"})
	l := f.from(1)
	for _, cn := range []string{"3040", "3041", "2063", "2064", "8888", "abcd", ""} {
		seg := "QN=20260301080000000;ST=32;CN=" + cn + ";PW=1;MN=X1;Flag=5;CP=&&x-Private=//?//&&"
		got := l.send(seal(0, seg))
		if want := "QN=20260301080000000;ST=91;CN=9014;PW=1;MN=X1;Flag=4;CP=&&&&"; unseal(t, 0, got[0]) != want {
			t.Errorf("CN=%s: %q, want %q", cn, got, want)
		}
		if last := f.j.recs[len(f.j.recs)-1]; string(last.Value) != seal(0, seg) {
			t.Errorf("CN=%s is stored as %q", cn, last.Value)
		}
		if got := l.send(seal(0, strings.Replace(seg, "Flag=5", "Flag=4", 1))); got[0] != "" {
			t.Errorf("CN=%s without the ack bit: %q", cn, got)
		}
	}
	if l.hungup != 0 || f.in.Stats().Rejected != 0 {
		t.Error("a private CN was refused, or closed the connection")
	}
}
