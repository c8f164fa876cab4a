package main

import (
	"bytes"
	"testing"

	"outfall/ingest/hj212"
)

// The load is what the tables say: 600 bytes, 39 fields, sixteen of them numbers, every logger's own.
func TestDeviceFrame(t *testing.T) {
	seen := map[string]bool{}
	for _, i := range []int{0, 1, 7, 999, 1000, idleConns - 1} {
		wire := deviceFrame(i)
		if len(wire) != frameBytes {
			t.Errorf("logger %d: %d bytes: %q", i, len(wire), wire)
		}
		fr, size, err := hj212.Framer{}.Next(wire, true)
		if err != nil || size != len(wire) {
			t.Fatalf("logger %d: %d bytes of %q, %v", i, size, wire, err)
		}
		var m hj212.Message
		if err := m.Parse(fr.Data); err != nil || m.Quality != 0 {
			t.Fatalf("logger %d: %v, quality %v", i, err, m.Quality.Names())
		}
		numbers := 0
		for _, g := range m.Groups {
			if g.Values[hj212.Rtd].Numeric {
				numbers++
			}
		}
		if n := bytes.Count(fr.Data, []byte("=")) - len("="); n != 39 || numbers != 16 {
			t.Errorf("logger %d: %d fields, %d numbers: %q", i, n, numbers, wire)
		}
		if string(m.MN) != deviceMN(i) || len(m.MN) != 24 || seen[string(m.MN)] || string(m.PW) != password || !m.Flag.WantAck() {
			t.Errorf("logger %d: MN %q, PW %q, flag %d", i, m.MN, m.PW, m.Flag)
		}
		seen[string(m.MN)] = true
	}
}

func TestFrameSize(t *testing.T) {
	whole := deviceFrame(1)
	for n := range whole {
		if size, err := frameSize(whole[:n]); size != 0 || err != nil {
			t.Fatalf("%d bytes of a frame: size %d, %v", n, size, err)
		}
	}
	if size, err := frameSize(append(whole, whole...)); size != len(whole) || err != nil {
		t.Errorf("two frames: size %d, %v", size, err)
	}
	if size, err := frameSize([]byte(fixedAck)); size != 110 || err != nil {
		t.Errorf("the fixed answer: size %d, %v", size, err)
	}
	for _, junk := range []string{"#x0001", "##00x1"} {
		if _, err := frameSize([]byte(junk)); err == nil {
			t.Errorf("%q is taken for a frame", junk)
		}
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{{[]float64{3}, spread{3, 3, 3}}, {[]float64{4, 1}, spread{2.5, 1, 4}}, {[]float64{9, 1, 2}, spread{2, 1, 9}}} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("spread of %v is %v, want %v", c.values, got, c.want)
		}
	}
	r := newReport(2)
	r.add(serverC, single.name, result{Frames: 100, Seconds: 1})
	r.add(serverGnet, single.name, result{Frames: 50, Seconds: 1})
	r.add(serverC, single.name, result{Frames: 100, Seconds: 2})
	r.add(serverGnet, single.name, result{Frames: 75, Seconds: 2})
	if q, ok := r.ratio(serverGnet, serverC, single.name, (*result).rate); !ok || q != (spread{0.625, 0.5, 0.75}) {
		t.Errorf("ratio %v, %v", q, ok)
	}
	if _, ok := r.ratio(serverGnet, serverNet, single.name, (*result).rate); ok {
		t.Error("a ratio to a server that was not measured")
	}
}
