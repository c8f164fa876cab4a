package fold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/telemetry"
	"outfall/testdata"
)

// linePattern is a line that both InfluxDB 1.8 and 2 take: no empty tag, no backslash that could hide a separator, sorted by the caller.
var linePattern = regexp.MustCompile(`^[a-z_]+(,[a-z_]+=(\\[,= ]|[^\\,= "\x00-\x1f\x7f])+)* [a-z_]+=VALUE(,[a-z_]+=VALUE)* -?[0-9]+$`)

var fieldValue = regexp.MustCompile(`=("(\\["\\]|[^"\\\x00-\x1f\x7f])*"|true|false|-?[0-9]+i|-?[0-9]+(\.[0-9]+)?)`)

var (
	tagsEnd = regexp.MustCompile(`[^\\] `)
	tagKey  = regexp.MustCompile(`[^\\],([a-z_]+)=`)
)

func checkOutput(t testing.TB, o telemetry.Output) {
	t.Helper()
	if !utf8.Valid(o.Value) {
		t.Fatalf("%s: not UTF-8: %q", o.Topic, o.Value)
	}
	if len(o.Value) > 900_000 {
		t.Fatalf("%s: a record of %d bytes", o.Topic, len(o.Value))
	}
	if o.Topic != telemetry.TopicPoints {
		if !json.Valid(o.Value) {
			t.Fatalf("%s: not JSON: %s", o.Topic, o.Value)
		}
		return
	}
	for _, l := range strings.Split(string(o.Value), "\n") {
		end := tagsEnd.FindStringIndex(l) // of the tags
		if end == nil {
			t.Fatalf("no fields: %q", l)
		}
		if !linePattern.MatchString(l[:end[1]] + fieldValue.ReplaceAllString(l[end[1]:], "=VALUE")) {
			t.Fatalf("no line protocol: %q", l)
		}
		keys := []string{}
		for _, k := range tagKey.FindAllStringSubmatch(l[:end[0]+1], -1) {
			keys = append(keys, k[1])
		}
		for i := 1; i < len(keys); i++ {
			if keys[i] <= keys[i-1] {
				t.Fatalf("tags out of order: %q", l)
			}
		}
	}
}

// Whatever bytes the journal holds as a frame: no panic, and every output is UTF-8, JSON or line protocol.
func FuzzApply(f *testing.F) {
	frames, err := testdata.Frames()
	if err != nil {
		f.Fatal(err)
	}
	for _, fr := range frames {
		f.Add(fr.Wire(), uint32(60))
	}
	for _, cp := range []string{`a\-Rtd=\,a\-Flag=\"`, "w01018-Avg=9,w01018-Flag=\xff\xfe\x00;\xe4\xb8\xad\xff-Rtd=\xff", " -Rtd=1", "-- -Rtd=1", `w01018-Rtd=x\`, "w01018-Avg=-9223372036854775808"} {
		seg := "QN=\xff;ST=32;CN=2011;PW=1;MN=" + mn + ";Flag=5;CP=&&DataTime=20260301100000;" + cp + "&&"
		f.Add(hj212.AppendFrame(nil, []byte(seg)), uint32(100_000))
		f.Add(hj212.AppendFrame(nil, []byte(strings.Replace(seg, "2011", "2051", 1))), uint32(400_000))
	}
	for _, seg := range []string{
		"QN=1;ST=32;CN=2051;MN=" + mn + ";PNUM=2;PNO=2;CP=&&w01018-Avg=1&&",
		"ST=32;CN=2011;MN=" + mn + ";PNUM=2;PNO=1;CP=&&DataTime=20260301100000;w01018-Rtd=1;DataTime&&",
		"CN=2061;PNUM=64;PNO=64;CP=&&", "CN=2051;PNUM=65;PNO=3;CP=&&&&&;=&&",
	} {
		f.Add(hj212.AppendFrame(nil, []byte(seg)), uint32(700))
	}
	f.Fuzz(func(t *testing.T, frame []byte, seconds uint32) {
		b := newBed(t)
		b.rules(rules.Rule{ID: "i", Statistic: telemetry.StatInstant, High: high(1)}, rules.Rule{ID: "m", Statistic: telemetry.StatMinute, High: high(1), Low: high(-1)})
		apply := func() {
			b.apply(telemetry.KindFrame, mn, frame)
			// As the codec lets it in, whatever its checksum: the segment in an envelope of our own, of the test's own time.
			if fr, _, err := journalFramer.Next(frame, true); err == nil {
				var m hj212.Message
				if m.Parse(fr.Data) == nil && len(m.DataTime) == 14 {
					seg := strings.ReplaceAll(string(fr.Data), string(m.DataTime), "20260301100000")
					b.apply(telemetry.KindFrame, mn, hj212.AppendFrame(nil, []byte(seg)))
				}
			}
		}
		apply()
		b.packet("1", "2051", 2, 1, t0, "w01018-Avg=1")
		b.now = b.now.Add(time.Duration(seconds%1_000_000) * time.Second)
		apply()
		b.tick()
		b.now = b.now.Add(26 * time.Hour)
		b.tick()
		for _, o := range b.out {
			checkOutput(t, o)
		}
		if _, err := Read(b.s.AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever a gateway takes as a frame, in any dialect and with any tail or length, the fold reads as the same segment.
func TestTheFoldReadsWhatGatewaysTake(t *testing.T) {
	frames, err := testdata.Frames()
	if err != nil {
		t.Fatal(err)
	}
	var wires [][]byte
	for _, fr := range frames {
		wires = append(wires, fr.Wire(), fr.Captured)
		data := fr.Captured[min(6, len(fr.Captured)):]
		data = data[:max(0, len(data)-4)]
		for _, d := range []hj212.Dialect{hj212.DialectHJ, hj212.DialectModbus, hj212.DialectModbusSwapped, hj212.DialectCCITT} {
			for _, off := range []int{0, -9, 4} {
				wires = append(wires, fmt.Appendf(nil, "##%04d%s%04x\r\n", max(0, len(data)+off), data, d.Sum(data)))
			}
		}
	}
	taken := 0
	for _, wire := range wires {
		for d := range hj212.DialectNone + 1 {
			for _, tolerant := range []bool{false, true} {
				fr, _, err := hj212.Framer{Tolerant: tolerant, CRC: d, MaxData: 9999}.Next(wire, true)
				if err != nil || fr.Raw == nil {
					continue
				}
				taken++
				if back, _, err := journalFramer.Next(fr.Raw, true); err != nil || string(back.Data) != string(fr.Data) {
					t.Errorf("%s, tolerant %v, %q: read back %q, %v", d, tolerant, fr.Raw, back.Data, err)
				}
			}
		}
	}
	if taken < 1000 {
		t.Errorf("only %d frames were taken", taken)
	}
}

func TestOddOutletsMakeValidTags(t *testing.T) {
	for _, outlet := range []string{`W1\`, `a,b=c d`, "x\ny", "排口", "a\u0085b", "\ufffd"} {
		b := newBed(t)
		b.register(mn, func(d *telemetry.Device) { d.Outlet = outlet })
		b.minute(t0, "1")
		for _, o := range b.out {
			checkOutput(t, o)
		}
	}
}

// A tick after a long backfill publishes more than a Kafka record holds: it becomes several.
func TestPointsOfOneTickStayBelowARecord(t *testing.T) {
	b := newBed(t)
	var cp []string
	for i := range 120 {
		cp = append(cp, fmt.Sprintf("x%04d-Avg=%d", i, i))
	}
	for h := -70; h < 0; h++ {
		b.frame("2051", t0.Add(time.Duration(h)*time.Hour), strings.Join(cp, ";"))
	}
	b.out = nil
	b.wait(10 * time.Second)
	records, size := 0, 0
	for _, o := range b.out {
		checkOutput(t, o)
		if o.Topic == telemetry.TopicPoints {
			records, size = records+1, size+len(o.Value)
		}
	}
	if size < 900_000 || records < 2 {
		t.Errorf("%d bytes of points in %d records; the test wants more than a record holds", size, records)
	}
}

func TestDevicesOfNoRegistryAreBounded(t *testing.T) {
	b := newBed(t)
	for i := range maxStrangers + 10 {
		b.apply(telemetry.KindFrame, fmt.Sprintf("X%d", i), []byte("##"))
	}
	if n := len(b.s.devices); n != maxStrangers+1 {
		t.Errorf("%d devices are held, want %d", n, maxStrangers+1)
	}
	b.register("X999999", func(*telemetry.Device) {})
	back, err := Read(b.s.AppendTo(nil))
	if err != nil || back.strangers != b.s.strangers || !back.devices["X999999"].known {
		t.Errorf("after a snapshot %d strangers, %v; want %d and the registered device", back.strangers, err, b.s.strangers)
	}
}

func TestFactorsBeyondTheBoundAreReportedOnce(t *testing.T) {
	b := newBed(t)
	b.take(0)
	for i := range maxSeries + 5 {
		b.frame("2051", t0, fmt.Sprintf("x%d-Cou=1", i))
	}
	n := 0
	for _, f := range b.findings() {
		if f.Kind == telemetry.FindingQuality && strings.Contains(f.Detail, "beyond") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d findings about too many factors, want 1", n)
	}
}

// Whatever bytes stand in a snapshot: Read refuses them or gives a state that works, and makes no more memory of them than a few times
// their size.
func TestReadTakesDamagedStates(t *testing.T) {
	j := newRandomJournal(3)
	s := New(0)
	for range 400 {
		for _, e := range j.next() {
			s.Apply(&e, func(telemetry.Output) {})
		}
	}
	good := s.AppendTo(nil)
	refused := 0
	for i := range 4000 {
		bad := bytes.Clone(good)
		for range 1 + j.r.IntN(3) {
			at := j.r.IntN(len(bad))
			switch j.r.IntN(4) {
			case 0:
				bad[at] ^= 1 << j.r.IntN(8)
			case 1:
				bad[at] = byte(j.r.IntN(256))
			case 2:
				bad = append(bad[:at], bad[min(len(bad), at+1+j.r.IntN(9)):]...)
			case 3:
				bad = slices.Insert(bad, at, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)
			}
		}
		if i%16 == 0 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = Read(bad)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
				t.Fatalf("%d bytes were made of a state of %d", got, len(bad))
			}
		}
		if _, err := Read(bad); err != nil {
			refused++
		}
	}
	if refused < 1000 {
		t.Errorf("%d of 4000 damaged states were refused", refused)
	}
}
