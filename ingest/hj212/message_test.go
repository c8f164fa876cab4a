package hj212

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// parse is Parse of a segment that must not be refused.
func parse(tb testing.TB, data string) *Message {
	tb.Helper()
	m := new(Message)
	if err := m.Parse([]byte(data)); err != nil {
		tb.Fatalf("%q: %v", data, err)
	}
	return m
}

// groups writes a message's groups as "code[@DataTime](Rtd=1 … flag=N time=…)".
func groups(m *Message) string {
	var s []string
	for i := range m.Groups {
		g := &m.Groups[i]
		var v []string
		for k := range g.Values {
			if g.Values[k].Text != nil {
				v = append(v, fmt.Sprintf("%v=%s", Suffix(k), g.Values[k].Text))
			}
		}
		if g.Flag != nil {
			v = append(v, "flag="+string(g.Flag))
		}
		if g.SampleTime != nil {
			v = append(v, "time="+string(g.SampleTime))
		}
		s = append(s, fmt.Sprintf("%s@%s(%s)", g.Code, g.DataTime, strings.Join(v, " ")))
	}
	return strings.Join(s, " ")
}

func TestParseHeader(t *testing.T) {
	const h17 = "QN=20160801085857223;ST=32;CN=2011;PW=123456;" + mn2017
	tests := []struct {
		name, data, want, quality string // want: QN ST CN PW MN flag PNUM PNO CP
	}{
		{"2017", h17 + ";Flag=5;CP=&&&&", "20160801085857223 32 2011 123456 010000A8900016F000169DC0 5 0 0 []", ""},
		{"2017, glued as printed in C.19", h17 + ";Flag=5CP=&&SB1-RT=1.1&&", "20160801085857223 32 2011 123456 010000A8900016F000169DC0 5 0 0 [SB1-RT=1.1]", ""},
		{"comma behind QN as in C.22, blank before Flag as in C.42", "QN=20160801085857223,ST=32;CN=1; Flag=4;CP=&& &&", "20160801085857223 32 1   4 0 0 [ ]", ""},
		{"keys in any case and order", "cn=2011;st=32;Qn=20160801085857223;pw=1;mn=a;FLAG=4;cp=&&&&", "20160801085857223 32 2011 1 a 4 0 0 []", ""},
		{"repeated separators", ";;ST=32;;CN=2011;Flag=4;,CP=&&;&&", " 32 2011   4 0 0 [;]", "no_qn"},
		{"2005 upload", "ST=32;CN=2011;PW=123456;MN=8;CP=&&a=1&&", " 32 2011 123456 8 0 0 0 [a=1]", "no_qn no_flag"},
		{"QN in milliseconds of Unix time", "QN=1617936069734;ST=21;CN=1011;Flag=5;CP=&&&&", "1617936069734 21 1011   5 0 0 []", "qn_not_timestamp"},
		{"QN empty", "QN=;ST=23;CN=1012;CP=&&&&", " 23 1012   0 0 0 []", "no_qn no_flag"},
		{"packets", h17 + ";Flag=7;PNUM=2;PNO=1;CP=&&&&", "20160801085857223 32 2011 123456 010000A8900016F000169DC0 7 2 1 []", ""},
		{"PNO first, no Flag", "ST=31;CN=2051;PNO=0002;PNUM=0002;CP=&&&&", " 31 2051   0 2 2 []", "no_qn no_flag pno_before_pnum"},
		{"Flag 7 without packets", "ST=31;CN=2051;Flag=7;CP=&&&&", " 31 2051   7 0 0 []", "no_qn packets_missing"},
		{"PNUM of five digits without bit 1", "ST=31;CN=2051;Flag=4;PNUM=12345;CP=&&&&", " 31 2051   4 0 0 []", "no_qn odd_packets"},
		{"PNUM without bit 1", "ST=31;CN=2051;Flag=4;PNUM=2;PNO=1;CP=&&&&", " 31 2051   4 2 1 []", "no_qn odd_packets"},
		{"Flag 255", "ST=31;CN=2051;Flag=255;PNUM=1;PNO=1;CP=&&&&", " 31 2051   255 1 1 []", "no_qn unknown_version"},
		{"Flag 256", "ST=31;CN=2051;Flag=256;CP=&&&&", " 31 2051   0 0 0 []", "no_qn odd_flag"},
		{"Flag behind the CP", "ST=31;CN=2051;CP=&&a=1&&;Flag=4", " 31 2051   4 0 0 [a=1]", "no_qn flag_after_cp"},
		{"no CP", "ST=91;CN=9013;Flag=4", " 91 9013   4 0 0 []", "no_qn no_cp"},
		{"CP not closed", "ST=39;CN=2051;Flag=4;CP=&&a34001-Avg=92;Flag=N", " 39 2051   4 0 0 [a34001-Avg=92;Flag=N]", "no_qn cp_not_closed flag_without_factor"},
		{"CP without &&", "ST=39;CN=2051;Flag=4;CP=a=1;b=2", " 39 2051   4 0 0 [a=1;b=2]", "no_qn cp_not_closed"},
		{"blanks around CP", "ST=39;Flag=4; CP = &&a=1&&", " 39    4 0 0 [a=1]", "no_qn"},
		{"2025 backfill", "ST=31;Flag=9;RF=1;CP=&&&&", " 31    9 0 0 []", "no_qn"},
		{"RF 0", "ST=31;Flag=9;RF=0;CP=&&&&", " 31    9 0 0 []", "no_qn odd_rf"},
		{"RF twice", "ST=31;Flag=9;RF=1;rf=0;CP=&&&&", " 31    9 0 0 []", "no_qn repeated_field"},
		{"unknown field", "ST=31;Flag=9;AB=1;CP=&&&&", " 31    9 0 0 []", "no_qn unknown_field"},
		{"field twice", "ST=31;ST=32;Flag=4;CP=&&&&", " 31    4 0 0 []", "no_qn repeated_field"},
		{"key alone", "ST;Flag=4;CP=&&&&", "     4 0 0 []", "no_qn bare_field"},
		{"&& without CP", "ST&&ST1=1&&", "     0 0 0 [ST1=1]", "no_qn no_flag no_cp bare_field"},
		{"symbol in a key", "ST&=31;Flag=4", "     4 0 0 []", "no_qn no_cp unknown_field"},
	}
	for _, tt := range tests {
		m := parse(t, tt.data)
		got := fmt.Sprintf("%s %s %s %s %s %d %d %d [%s]", m.QN, m.ST, m.CN, m.PW, m.MN, m.Flag, m.PNUM, m.PNO, m.CP)
		if got != tt.want {
			t.Errorf("%s: %q\n got  %s\n want %s", tt.name, tt.data, got, tt.want)
		}
		if q := strings.Join(m.Quality.Names(), " "); q != tt.quality {
			t.Errorf("%s: qualities %q, want %q", tt.name, q, tt.quality)
		}
	}
}

func TestParseRefusesOnlyWhatHasNoField(t *testing.T) {
	var m Message
	for _, data := range []string{"", "hello", ";;,", "&&&&"} {
		if err := m.Parse([]byte(data)); reasonOf(err) != ReasonSegment {
			t.Errorf("%q: %v", data, err)
		}
	}
	if err := m.Parse([]byte("x=1")); err != nil {
		t.Error(err)
	}
}

func TestGroups(t *testing.T) {
	tests := []struct{ name, cp, want, quality string }{
		{"2017 realtime, C.15", "DataTime=20160801085857;w01001-Rtd=7.1,w01001-Flag=N;w01018-SampleTime=20160801070000,01018-Rtd=2.2,w01018-Flag=N,w01018-EFlag=A01;",
			"w01001@20160801085857(Rtd=7.1 flag=N) w01018@20160801085857(flag=N time=20160801070000) 01018@20160801085857(Rtd=2.2)", ""},
		{"statistics", "DataTime=1;a-Cou=1,a-Min=2,a-Avg=3,a-Max=4,a-ZsMin=5,a-ZsAvg=6,a-ZsMax=7,a-Rtd=8,a-ZsRtd=9,a-Flag=N",
			"a@1(Rtd=8 Avg=3 Min=2 Max=4 Cou=1 ZsRtd=9 ZsAvg=6 ZsMin=5 ZsMax=7 flag=N)", ""},
		{"one factor across items and around another", "DataTime=1;a-Rtd=1;b-Rtd=2;a-Flag=N;b-Flag=D", "a@1(Rtd=1 flag=N) b@1(Rtd=2 flag=D)", ""},
		{"mark before value", "DataTime=1;a-Flag=N,a-Rtd=1", "a@1(Rtd=1 flag=N)", ""},
		{"DataTime last", "a-Rtd=1,b-Rtd=2;DataTime=3", "a@3(Rtd=1) b@3(Rtd=2)", ""},
		{"no DataTime", "a-Rtd=1", "a@(Rtd=1)", ""},
		{"mark without factor", "DataTime=1;a34001-Rtd=92;Flag=N", "a34001@1(Rtd=92 flag=N)", "flag_without_factor"},
		{"mark without factor behind a value that makes no group", "DataTime=1;a-Rtd=1,a-Flag=D;SB1-RS=1;Flag=N", "a@1(Rtd=1 flag=D)", "flag_without_factor"},
		{"two records", "DataTime=1;a-Avg=1;DataTime=2;a-Avg=3,a-Flag=N", "a@1(Avg=1) a@2(Avg=3 flag=N)", "several_records"},
		{"private code with hyphens", "aqms-1-x-Rtd=1", "aqms-1-x@(Rtd=1)", ""},
		{"double hyphen, C.16", "w01018--Avg=1,w01018-Max=2", "w01018@(Avg=1 Max=2)", ""},
		{"blanks", " LA-Rtd = 50.1 , LA -Flag= N ", "LA@(Rtd=50.1 flag=N)", ""},
		{"unknown suffix", "a01006-Avg=101.85,a01006-ValidNum=10", "a01006@(Avg=101.85)", "unknown_suffix"},
		{"suffix in another case", "a-rtd=1,a-FLAG=N", "a@(Rtd=1 flag=N)", ""},
		{"one factor of two instruments", "DataTime=1;006-Rtd=1,006-ID=0;006-Rtd=2,006-ID=1", "006@1(Rtd=1) 006@1(Rtd=2)", "unknown_suffix repeated_factor"},
		{"text mark, empty value", "a-Rtd=,a-Flag=sc;b-Rtd=null", "a@(Rtd= flag=sc) b@(Rtd=null)", ""},
		{"misprint of 2005", "102-Rtd=2.2,102-Flag=N...", "102@(Rtd=2.2 flag=N...)", ""},
		{"noise, facilities, limits make no group", "LA-Data=1;SB1-RS=1;SB1-RT=1;101-UpValue=9;QnRtn=1", "", ""},
		{"value without =", "a-Rtd;b-Rtd=1", "b@(Rtd=1)", "bare_field"},
	}
	const ignore = NoQN | NoFlag
	for _, tt := range tests {
		m := parse(t, "ST=32;CN=2011;CP=&&"+tt.cp+"&&")
		if got := groups(m); got != tt.want {
			t.Errorf("%s: %q\n got  %s\n want %s", tt.name, tt.cp, got, tt.want)
		}
		if q := strings.Join((m.Quality &^ ignore).Names(), " "); q != tt.quality {
			t.Errorf("%s: qualities %q, want %q", tt.name, q, tt.quality)
		}
	}
	m := parse(t, "CP=&&a-Rtd=231.0,b-Rtd=--&&")
	if v := m.Groups[0].Values[Rtd]; !v.Numeric || v.Num != (Decimal{2310, -1}) {
		t.Errorf("231.0: %+v", v)
	}
	if v := m.Groups[1].Values[Rtd]; v.Numeric {
		t.Errorf("--: %+v", v)
	}
}

func TestPairs(t *testing.T) {
	tests := []struct {
		cp   string
		want []string
	}{
		{"DataTime=1;PolId=w01018;i11001-Info=//清洗管路//", []string{"DataTime=1", "PolId=w01018", "i11001-Info=//清洗管路//"}},
		{"i11001-Info=//a;b,c=d//e// ;i12001-Info=1", []string{"i11001-Info=//a;b,c=d//e//", "i12001-Info=1"}},
		{"i11001-Info=// a;b//,PolId=1,i11001-Info=//c//", []string{"i11001-Info=// a;b//", "PolId=1", "i11001-Info=//c//"}},
		{"i11001-Info=//not closed;PolId=1", []string{"i11001-Info=//not closed", "PolId=1"}},
		{"i11001-Info=//&&//", []string{"i11001-Info=//&&//"}},
		{"i12003-Info =0,PolId = w01018", []string{"i12003-Info=0", "PolId=w01018"}},
		{"PolId=101;PolId=102", []string{"PolId=101", "PolId=102"}},
		{"a=b=c;;d", []string{"a=b=c", "d="}},
		{"", nil},
	}
	for _, tt := range tests {
		m := parse(t, "CN=3020;CP=&&"+tt.cp+"&&")
		var got []string
		for _, p := range m.Pairs {
			got = append(got, string(p.Key)+"="+string(p.Value))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.cp, got, tt.want)
		}
	}
}

// TestRealFrames: what other HJ 212 parsers test on the same frames.
func TestRealFrames(t *testing.T) {
	messages := map[string]*Message{}
	for _, c := range corpus(t) {
		if fr, _, err := (Framer{Tolerant: true}).Next(c.raw, true); err == nil {
			m := parse(t, string(fr.Data))
			messages[c.id] = m
			if len(fr.Data) > standardData != (m.Quality&Oversize != 0) {
				t.Errorf("%s: %d bytes, qualities %v", c.id, len(fr.Data), m.Quality.Names())
			}
		}
	}
	tests := []struct{ id, mn, groups string }{
		{"F022", "LD130133000015", "B01@20160824003817000(Rtd=36.91) 011@20160824003817000(Rtd=231.0 flag=N) 060@20160824003817000(Rtd=1.803 flag=N)"},
		{"F008", "14513567846884", "a01006@20191112090000(Avg=101.85 Min=101.84 Max=101.87)"},
		{"F011", "NJGDKYYC202101q0001w0001", "ele01@20210305003817000(Rtd=1) ele02@20210305003817000(Rtd=0)"},
		{"F027", "410183160889201000212505", ""},
		{"F038", "010000A8900016F000169DC0", "w01008@20231008123340(Rtd=123.456 time=20231008123340)"},
		{"F076", "0507A010003242", "a34001@20250131202809(Rtd=92 flag=N)"},
	}
	for _, tt := range tests {
		m := messages[tt.id]
		if m == nil || string(m.MN) != tt.mn || groups(m) != tt.groups {
			t.Errorf("%s: MN %s\n got  %s\n want %s", tt.id, m.MN, groups(m), tt.groups)
		}
	}
	if m := messages["F030"]; m.Quality&(PacketsMissing|UnknownSuffix) != PacketsMissing|UnknownSuffix || len(m.Pairs) != 20-1 {
		t.Errorf("F030: %d pairs, qualities %v", len(m.Pairs), m.Quality.Names())
	}
	if m := messages["F010"]; m.Flag.Version() != Version2025 || len(m.Groups) != 11 {
		t.Errorf("F010: version %d, %d groups", m.Flag.Version(), len(m.Groups))
	}
	if m := messages["F042"]; len(m.PW) != 24 || len(m.Groups) != 5 {
		t.Errorf("F042: PW %s, %d groups", m.PW, len(m.Groups))
	}
}

func TestFrameFlag(t *testing.T) {
	for _, tt := range []struct {
		flag         FrameFlag
		ack, packets bool
		version      uint8
	}{{0, false, false, 0}, {3, true, true, 0}, {4, false, false, 1}, {7, true, true, 1}, {9, true, false, 2}, {252, false, false, 63}} {
		if tt.flag.WantAck() != tt.ack || tt.flag.HasPackets() != tt.packets || tt.flag.Version() != tt.version {
			t.Errorf("%d: ack %t packets %t version %d", tt.flag, tt.flag.WantAck(), tt.flag.HasPackets(), tt.flag.Version())
		}
	}
}

func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if s := r.String(); s == "unknown" || seen[s] {
			t.Errorf("reason %d: %q", r, s)
		}
		seen[r.String()] = true
	}
	if len(seen) != len(reasonNames)-1 {
		t.Errorf("%d reasons, %d names", len(seen), len(reasonNames)-1)
	}
}

// decodeFrame is the hot path: one frame, one warm Message.
func decodeFrame(f Framer, raw []byte, m *Message) bool {
	fr, size, err := f.Next(raw, false)
	return err == nil && size == len(raw) && m.Parse(fr.Data) == nil
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	var m Message
	reply := make([]byte, 0, 256)
	for _, c := range corpus(t) {
		if c.expected != "valid" {
			continue
		}
		ok := true
		n := testing.AllocsPerRun(20, func() {
			ok = decodeFrame(Framer{}, c.raw, &m) && ok
			reply = AppendNoticeAck(AppendDataAck(reply[:0], &m, DialectHJ), &m, DialectHJ)
		})
		if n != 0 || !ok {
			t.Errorf("%s: %v allocations, decoded %t", c.id, n, ok)
		}
	}
}
