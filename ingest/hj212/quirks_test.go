package hj212

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// feed takes a whole stream, ended, to pieces: the data segments and the qualities of their envelopes, and the reasons of what was refused.
func feed(f Framer, stream string) (segments []string, envelope Quality, refused []Reason) {
	buf := []byte(stream)
	for len(buf) > 0 {
		fr, size, err := f.Next(buf, true)
		if size == 0 {
			panic(fmt.Sprintf("no progress at the end of a stream, %q", buf))
		}
		switch {
		case err != nil:
			refused = append(refused, reasonOf(err))
		case fr.Raw != nil:
			segments = append(segments, string(fr.Data))
			envelope |= fr.Quality()
		}
		buf = buf[size:]
	}
	return segments, envelope, refused
}

// wantFeed fails unless the stream gives these segments, with these qualities of the envelope, and these refusals.
func wantFeed(t *testing.T, f Framer, stream string, segments []string, envelope Quality, refused ...Reason) {
	t.Helper()
	s, e, r := feed(f, stream)
	if fmt.Sprintf("%q", s) != fmt.Sprintf("%q", segments) || e != envelope || fmt.Sprint(r) != fmt.Sprint(refused) {
		t.Errorf("%+v of %q:\n got  %q %v %v\n want %q %v %v", f, stream, s, e.Names(), r, segments, envelope.Names(), refused)
	}
}

// quirkSegment is an ordinary upload to bend.
const quirkSegment = "QN=20260105080130123;ST=31;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&DataTime=20260105080130;a21026-Rtd=12.34,a21026-Flag=N&&"

func wire(segment string) string { return string(AppendFrame(nil, []byte(segment))) }

// wireAs is the frame of a device with another CRC dialect.
func wireAs(d Dialect, segment string) string {
	return fmt.Sprintf("##%04d%s%04X\r\n", len(segment), segment, d.Sum([]byte(segment)))
}

var one = []string{quirkSegment}

// TestQuirk: what devices in the field do against the standards, by the numbers of docs/protocol.md, as far as the codec sees it. The
// sessions' part is in ingest, the devices' history in stream/fold, the listener's in ingest/tcp: tests of the name TestQuirkQnn there.
func TestQuirk(t *testing.T) {
	for _, q := range slices.Concat(framingQuirks, contentQuirks) {
		t.Run(q.name, q.test)
	}
}

type quirk struct {
	name string
	test func(t *testing.T)
}

// framingQuirks are those of the envelope, the header and the CP's form.
var framingQuirks = []quirk{
	{"Q01_lower_case_crc", func(t *testing.T) {
		n := len(wire(quirkSegment))
		frame := wire(quirkSegment)[:n-6] + strings.ToLower(wire(quirkSegment)[n-6:])
		wantFeed(t, Framer{}, frame, one, LowerCRC)
	}},
	{"Q02_crc_dialect", func(t *testing.T) {
		for d, reason := range map[Dialect]Reason{DialectModbus: ReasonCRCModbus, DialectModbusSwapped: ReasonCRCModbusSwapped, DialectCCITT: ReasonCRCCCITT} {
			wantFeed(t, Framer{}, wireAs(d, quirkSegment), nil, 0, reason)
			wantFeed(t, Framer{CRC: d}, wireAs(d, quirkSegment), one, 0)
			wantFeed(t, Framer{CRC: d}, wire(quirkSegment), nil, 0, ReasonCRCHJ)
		}
	}},
	{"Q03_crc_wrong_altogether", func(t *testing.T) {
		frame := wire(quirkSegment)
		frame = frame[:len(frame)-6] + "1234\r\n"
		wantFeed(t, Framer{}, frame, nil, 0, ReasonCRC)
		wantFeed(t, Framer{CRC: DialectNone}, frame, one, 0)
	}},
	{"Q04_tail", func(t *testing.T) {
		frame := strings.TrimSuffix(wire(quirkSegment), "\r\n")
		for _, tail := range []string{"", "\n", "\r", "\r\n\r\n"} {
			wantFeed(t, Framer{Tolerant: true}, frame+tail+frame+tail, []string{quirkSegment, quirkSegment}, 0)
		}
		wantFeed(t, Framer{}, frame+"\n", nil, 0, ReasonTail)
	}},
	{"Q05_sticky_and_half", func(t *testing.T) {
		frame := wire(quirkSegment)
		wantFeed(t, Framer{}, frame+frame, []string{quirkSegment, quirkSegment}, 0)
		for n := range len(frame) {
			if _, size, err := (Framer{}).Next([]byte(frame[:n]), false); size != 0 || err != nil {
				t.Errorf("%d of %d bytes: size %d, %v", n, len(frame), size, err)
			}
		}
	}},
	{"Q06_junk_between", func(t *testing.T) {
		frame := wire(quirkSegment)
		wantFeed(t, Framer{}, "AT+CSQ\r\n\x00\x00"+frame+"REG:0042#"+frame, []string{quirkSegment, quirkSegment}, 0, ReasonGarbage, ReasonGarbage)
	}},
	{"Q07_unpadded_length", func(t *testing.T) {
		short := "ST=31;CN=9015;Flag=5;CP=&&&&"
		frame := "##" + strings.TrimLeft(wire(short)[2:], "0")
		wantFeed(t, Framer{Tolerant: true}, frame, []string{short}, UnpaddedLength)
		wantFeed(t, Framer{}, frame, nil, 0, ReasonLength)
	}},
	{"Q08_over_1024", func(t *testing.T) {
		for _, n := range []int{1025, 1623, 4096, 9999} {
			segment := quirkSegment[:len(quirkSegment)-2] + ";a-Rtd=" + strings.Repeat("1", n-len(quirkSegment)-7) + "&&"
			wantFeed(t, Framer{MaxData: 9999}, wire(segment), []string{segment}, 0)
			if m := parse(t, segment); len(segment) != n || m.Quality&Oversize == 0 {
				t.Errorf("%d bytes, want %d: qualities %v", len(segment), n, m.Quality.Names())
			}
		}
	}},
	{"Q09_wrong_length", func(t *testing.T) {
		text := "QN=20160801085857223;ST=32;CN=3020;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&DataTime=20160801085857;PolId=w01018;i11001-Info=//清洗管路//&&"
		for name, wrong := range map[string]int{"characters": len([]rune(text)), "with the CRC": len(text) + 4} {
			frame := fmt.Sprintf("##%04d%s", wrong, wire(text)[6:])
			t.Log(name)
			wantFeed(t, Framer{Tolerant: true}, frame, []string{text}, WrongLength)
			wantFeed(t, Framer{}, frame, nil, 0, ReasonLength)
		}
	}},
	{"Q10_cp_not_closed", func(t *testing.T) {
		segment := "QN=20250131202809340;ST=39;CN=2051;MN=0507A010003242;Flag=4;CP=&&DataTime=20250131202800;a34001-Avg=92;Flag=N"
		wantFeed(t, Framer{}, wire(segment), []string{segment}, 0)
		wantGroups(t, segment, "a34001@20250131202800(Avg=92 flag=N)", UnclosedCP|FactorlessFlag)
	}},
	{"Q11_empty_items", func(t *testing.T) {
		wantGroups(t, bend("a21026-Rtd=12.34,a21026-Flag=N", ";;a-Rtd=1,,a-Flag=N;"), "a@20260105080130(Rtd=1 flag=N)", 0)
		if r, ok := parse(t, printed(t, "S096")).Reply(); !ok || r.PNUM != 1 {
			t.Errorf("%+v", r)
		}
	}},
	{"Q12_blanks", func(t *testing.T) {
		wantGroups(t, bend("DataTime=20260105080130;a21026-Rtd=12.34", " DataTime = 20260105080130 ; a21026-Rtd =12.34 "), "a21026@20260105080130(Rtd=12.34 flag=N)", 0)
		if m := parse(t, printed(t, "S063")); m.Flag != 5 || m.Quality != 0 {
			t.Errorf("%+v", m)
		}
	}},
	{"Q13_empty_cp", func(t *testing.T) {
		m := parse(t, printed(t, "S018"))
		if m.CP == nil || len(m.CP) != 0 || m.Quality != 0 || len(m.Pairs) != 0 {
			t.Errorf("%+v", m)
		}
	}},
	{"Q14_several_records", func(t *testing.T) {
		wantGroups(t, bend("a21026-Flag=N", "a21026-Flag=N;DataTime=20260105080200;a21026-Rtd=13"),
			"a21026@20260105080130(Rtd=12.34 flag=N) a21026@20260105080200(Rtd=13)", LaterRecord)
		m := parse(t, "CN=3020;CP=&&DataTime=1;PolId=a,i21001-Info=//x//;PolId=b,i21001-Info=//y//&&")
		if got := items(m); got != "info@1/a(i21001=//x//) info@1/b(i21001=//y//)" {
			t.Error(got)
		}
	}},
	{"Q15_times", func(t *testing.T) {
		for text, ok := range map[string]bool{"20260105": true, "202601050801": true, "20260105080130": true, "20260105080130000": true,
			"19700101000000": true, "20990101000000": true, "2026010508": false, "20261301000000": false, "20260105250000": false} {
			if _, got := ParseTime([]byte(text)); got != ok {
				t.Errorf("%s: %t", text, got)
			}
		}
		wantGroups(t, bend("DataTime=20260105080130", "DataTime=20260105080130000"), "a21026@20260105080130000(Rtd=12.34 flag=N)", 0)
		if m := parse(t, bend("QN=20260105080130123", "QN=20260105080130")); m.Quality != OddQN {
			t.Errorf("QN of 14 digits: %v", m.Quality.Names())
		}
	}},
	{"Q16_no_qn", func(t *testing.T) {
		for _, segment := range []string{bend("QN=20260105080130123;", "QN=;"), bend("QN=20260105080130123;", "")} {
			if m := parse(t, segment); m.Quality != NoQN || len(m.ExchangeQN()) != 0 {
				t.Errorf("%q: %v", segment, m.Quality.Names())
			}
		}
		m := parse(t, "ST=32;CN=2011;PW=123456;MN=88888880000001;CP=&&&&")
		if got := string(AppendDataAck(nil, m, DialectHJ)); got != wire("ST=91;CN=9014;CP=&&CN=2011&&") {
			t.Errorf("9014 without QN: %q", got)
		}
	}},
	{"Q18_flag", func(t *testing.T) {
		for segment, want := range map[string]struct {
			version uint8
			odd     Quality
		}{
			bend("Flag=5;", ""):                              {Version2017, NoFlag},
			bend("Flag=5;", "Flag=300;"):                     {Version2017, OddFlag},
			bend("Flag=5;", "Flag=3;"):                       {Version2005, PacketsMissing},
			bend("Flag=5;", "Flag=5"):                        {Version2017, 0},
			"ST=32;CN=2011;MN=LD130133000015;CP=&&a-Rtd=1&&": {Version2005, NoQN | NoFlag},
		} {
			if m := parse(t, segment); m.Version() != want.version || m.Quality != want.odd {
				t.Errorf("%q: version %d, %v", segment, m.Version(), m.Quality.Names())
			}
		}
	}},
	{"Q19_header_order", func(t *testing.T) {
		want := parse(t, quirkSegment)
		cp := quirkSegment[strings.Index(quirkSegment, "CP="):]
		for _, header := range []string{
			"MN=010000A8900016F000169DC0;Flag=5;ST=31;CN=2011;QN=20260105080130123;PW=123456;",
			"QN=20260105080130123,ST=31,CN=2011;PW=123456,MN=010000A8900016F000169DC0;;Flag=5;",
		} {
			if m := parse(t, header+cp); !sameFields(m, want) || m.Quality != 0 {
				t.Errorf("%q: %+v", header, m)
			}
		}
		if m := parse(t, bend("Flag=5", "Flag=7;PNO=2;PNUM=3")); m.PNO != 2 || m.PNUM != 3 || m.Quality != PacketOrder {
			t.Errorf("PNO first: %d of %d, %v", m.PNO, m.PNUM, m.Quality.Names())
		}
	}},
	{"Q20_case_and_spelling", func(t *testing.T) {
		m := parse(t, "qn=20260105080130123;st=32;cn=3014;pw=1;mn=Ab;flag=5;cp=&&PolID=I33400,Ctime=4,Overtime=5&&")
		polID, _ := m.Param("PolId")
		hours, _ := m.Param("CTime")
		if string(polID) != "I33400" || string(hours) != "4" || string(m.MN) != "Ab" || m.Quality != 0 {
			t.Errorf("%+v: %q %q", m, polID, hours)
		}
		wantGroups(t, bend("a21026-Rtd=12.34,a21026-Flag=N", "LA-td=50.1;01018-Rtd=2,A21026-rtd=1"), "01018@20260105080130(Rtd=2) A21026@20260105080130(Rtd=1)", UnknownSuffix)
	}},
}

// bend replaces a part of quirkSegment.
func bend(part, by string) string {
	if !strings.Contains(quirkSegment, part) {
		panic(part)
	}
	return strings.Replace(quirkSegment, part, by, 1)
}

// wantGroups fails unless a segment is read as these groups, with these qualities.
func wantGroups(t *testing.T, segment, want string, odd Quality) {
	t.Helper()
	m := parse(t, segment)
	if got := groups(m); got != want || m.Quality != odd {
		t.Errorf("%q:\n got  %s %v\n want %s %v", segment, got, m.Quality.Names(), want, odd.Names())
	}
}

func gbk(t *testing.T, s string) string {
	t.Helper()
	b, err := simplifiedchinese.GBK.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
