package hj212

import (
	"fmt"
	"strings"
	"testing"
)

// contentQuirks are those of what stands in the fields.
var contentQuirks = []quirk{
	{"Q21_pw_and_mn_of_any_form", func(t *testing.T) {
		for _, pw := range []string{"", "PW=;", "PW=000000;", "PW=BF470F88957588DE902D1A52;"} {
			for _, mn := range []string{"60436377", "JLYP01_AIR01_0001", "aqms-1100-2020110011", "NJGDKYYC202101q0001w0001"} {
				m := parse(t, strings.Replace(bend("PW=123456;", pw), "010000A8900016F000169DC0", mn, 1))
				if string(m.MN) != mn || m.Quality != 0 || "PW="+string(m.PW)+";" != pw && pw != "" {
					t.Errorf("%q %q: %+v", pw, mn, m)
				}
			}
		}
	}},
	{"Q22_java_numbers", func(t *testing.T) {
		wantValues(t, map[string]string{"null": "text", "NaN": "text", "Infinity": "text", "1.0E-4": "10e-5", "2.5E7": "25e6"})
	}},
	{"Q22b_other_numbers", func(t *testing.T) {
		wantValues(t, map[string]string{"-": "text", "--": "text", "": "text", "+5": "5e0", ".5": "5e-1", "5.": "5e0", "St": "text",
			"123456789012345.67": "12345678901234567e-2", "-0.10": "-10e-2", "0x10": "text"})
		wantGroups(t, bend("12.34", "12,34"), "a21026@20260105080130(Rtd=12 flag=N)", BareField) // a decimal comma is a separator: the rest is a field without "="
	}},
	{"Q23_more_decimals", func(t *testing.T) {
		wantValues(t, map[string]string{"119.90287": "11990287e-5", "2.69700": "269700e-5", "10.9890": "109890e-4"})
	}},
	{"Q24_mark_without_factor", func(t *testing.T) {
		wantGroups(t, bend(",a21026-Flag=N", ";Flag=D;a34004-Rtd=1"), "a21026@20260105080130(Rtd=12.34 flag=D) a34004@20260105080130(Rtd=1)", FactorlessFlag)
	}},
	{"Q25_mark_before_value", func(t *testing.T) {
		wantGroups(t, bend("a21026-Rtd=12.34,a21026-Flag=N", "a21026-Flag=N,a21026-Rtd=12.34"), "a21026@20260105080130(Rtd=12.34 flag=N)", 0)
	}},
	{"Q26_private_suffixes_and_codes", func(t *testing.T) {
		segment := bend("a21026-Flag=N", "a21026-Ori=1,a21026-ValidNum=10;ele01-Rtd=1;aqms-x-Rtd=2")
		wantGroups(t, segment, "a21026@20260105080130(Rtd=12.34) ele01@20260105080130(Rtd=1) aqms-x@20260105080130(Rtd=2)", UnknownSuffix)
		if v, ok := parse(t, segment).Param("a21026-ValidNum"); !ok || string(v) != "10" {
			t.Errorf("a21026-ValidNum=%q", v)
		}
	}},
	{"Q27_codes_of_another_edition", func(t *testing.T) {
		wantGroups(t, strings.Replace(bend("Flag=5", "Flag=0"), "a21026-Flag", "011-Rtd=2,a21026-Flag", 1), "a21026@20260105080130(Rtd=12.34 flag=N) 011@20260105080130(Rtd=2)", 0)
	}},
	{"Q28_packet_numbers", func(t *testing.T) {
		m := parse(t, bend("Flag=5", "PNUM=0002;PNO=0001;Flag=7"))
		if m.PNUM != 2 || m.PNO != 1 || m.Quality != 0 {
			t.Errorf("zero padded: %d of %d, %v", m.PNO, m.PNUM, m.Quality.Names())
		}
		if m := parse(t, bend("Flag=5", "Flag=5;PNUM=2;PNO=000")); m.PNO != 0 || m.Quality&OddPackets == 0 || len(m.Groups) != 1 {
			t.Errorf("PNO=000: %d of %d, %v", m.PNO, m.PNUM, m.Quality.Names())
		}
	}},
	{"Q29_begin_and_end", func(t *testing.T) {
		for _, id := range []string{"S033", "S039", "S088"} {
			m := parse(t, printed(t, id))
			begin, _ := m.Param("BeginTime")
			end, ok := m.Param("EndTime")
			if !ok || len(begin) != 14 || len(end) != 14 {
				t.Errorf("%s: %q to %q", id, begin, end)
			}
		}
		c, _ := LookupCommand("2051", Version2017)
		if err := c.CheckRequest([]byte("BeginTime=20260105080000;EndTime=20260105070000"), Version2017); err == nil {
			t.Error("a request for a period that ends before it begins")
		}
	}},
	{"Q30_sloppy_answers", func(t *testing.T) {
		for segment, qn := range map[string]string{"QN=1;ST=21;CN=9014;Flag=5;CP=&&&&": "1", "QN=2;ST=91;CN=9014;Flag=4;CP=&&QnRtn=1&&": "2", "ST=91;CN=9014;CP=&&&&": ""} {
			if r, ok := parse(t, segment).Reply(); !ok || r.CN != "9014" || string(r.QN) != qn || r.Code != 0 {
				t.Errorf("%q: %+v", segment, r)
			}
		}
	}},
	{"Q31_host_answers_9011", func(t *testing.T) {
		r, ok := parse(t, "QN=1;ST=91;CN=9011;PW=123456;MN=a;Flag=4;CP=&&QnRtn=4&&").Reply()
		if !ok || QnRtn(r.Code).String() != "wrong MN" {
			t.Errorf("%+v", r)
		}
	}},
	{"Q32_private_heartbeats", func(t *testing.T) {
		for _, segment := range []string{"QN=20260105080130123;ST=31;CN=9015;PW=1;MN=a;Flag=1;CP=&&&&", "ST=31;CN=9021;PW=1;MN=a;CP=&&&&",
			"QN=20260105080130123;ST=31;CN=9013;PW=1;MN=a;Flag=4"} {
			if m := parse(t, segment); len(m.Groups) != 0 || string(m.MN) != "a" || len(m.CN) != 4 {
				t.Errorf("%q: %+v", segment, m)
			}
		}
	}},
	{"Q34_st_is_text", func(t *testing.T) {
		for _, st := range []string{"101", "A0", "9"} {
			if m := parse(t, bend("ST=31", "ST="+st)); string(m.ST) != st || m.Quality != 0 {
				t.Errorf("ST=%s: %+v", st, m)
			}
		}
	}},
	{"Q37_version_bits_are_a_hint", func(t *testing.T) {
		for _, flag := range []string{"0", "1", "8", "9"} {
			wantGroups(t, bend("Flag=5", "Flag="+flag), "a21026@20260105080130(Rtd=12.34 flag=N)", 0)
		}
	}},
	{"Q38_gbk_text", func(t *testing.T) {
		segment := "QN=20160801085857223;ST=32;CN=3020;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&DataTime=20160801085857;PolId=w01018;i11001-Info=//清洗管路//&&"
		for text, crc := range map[string]uint16{segment: 0x9481, gbk(t, segment): 0xE2C1} {
			if got := CRC([]byte(text)); got != crc {
				t.Errorf("CRC %04X, want %04X", got, crc)
			}
			for it := range parse(t, text).Items() {
				if log, ok := it.Log(); ok {
					if s, _ := Text(log); s != "清洗管路" {
						t.Errorf("%q is read as %q", log, s)
					}
				}
			}
		}
	}},
	{"Q40_flag_printed_wrongly", func(t *testing.T) {
		for _, flag := range []string{"-1", "0x5", "5.0", "True", ""} {
			if m := parse(t, bend("Flag=5", "Flag="+flag)); m.HasFlag || m.Quality != OddFlag || len(m.Groups) != 1 {
				t.Errorf("Flag=%s: %v", flag, m.Quality.Names())
			}
		}
	}},
	{"Q41_calibration_marks", func(t *testing.T) {
		for _, mark := range []string{"sc", "cz", "cs", "Td"} {
			wantGroups(t, strings.Replace(bend("CN=2011", "CN=2061"), "Flag=N", "Flag="+mark, 1), "a21026@20260105080130(Rtd=12.34 flag="+mark+")", 0)
		}
	}},
	{"Q42_bent_semantics", func(t *testing.T) {
		if v, ok := parse(t, "ST=32;CN=1061;MN=a;Flag=4;CP=&&RtdInterval=1&&").Param("RtdInterval"); !ok || string(v) != "1" {
			t.Errorf("RtdInterval %q", v)
		}
		if m := parse(t, "ST=32;CN=2081;MN=a;Flag=5;CP=&&DataTime=20260105080130&&"); string(m.DataTime) != "20260105080130" {
			t.Errorf("2081 without RestartTime: %+v", m)
		}
	}},
	{"Q43_private_cn", func(t *testing.T) {
		for _, cn := range []string{"3040", "2063", "9021"} {
			m := parse(t, bend("CN=2011", "CN="+cn))
			if string(m.CN) != cn || len(m.Pairs) != 3 || m.Quality != 0 {
				t.Errorf("CN %s: %+v", cn, m)
			}
			if _, ok := LookupCommand(cn, Version2017); ok {
				t.Errorf("CN %s is in the table", cn)
			}
		}
	}},
	{"Q44_frames_of_one_datagram", func(t *testing.T) {
		wantFeed(t, Framer{}, wire(quirkSegment)+wire(quirkSegment), []string{quirkSegment, quirkSegment}, 0)
	}},
}

// wantValues fails unless each text, sent as a value, is kept as it is and read as the number "MantEexp", or as no number.
func wantValues(t *testing.T, texts map[string]string) {
	t.Helper()
	for text, want := range texts {
		m := parse(t, bend("12.34", text))
		v := m.Groups[0].Values[Rtd]
		got := "text"
		if v.Numeric {
			got = fmt.Sprintf("%de%d", v.Num.Mant, v.Num.Exp)
		}
		if string(v.Text) != text || got != want || m.Quality != 0 {
			t.Errorf("%q: text %q, number %s, want %s; %v", text, v.Text, got, want, m.Quality.Names())
		}
	}
}
