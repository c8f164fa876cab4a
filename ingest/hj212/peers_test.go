package hj212

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// annexA is the frame that annex A of 2017 prints.
const annexA = "QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&"

// TestPeers: what other HJ 212 parsers test, with the result that is right here; where theirs is wrong by the standard or unsafe, the row
// says "not theirs". The letters stand for the peers: J hj-t212-parser and its like, G guocay and others, T teafull, R RuleGo, E and P
// two Python platforms, L a Python client, U a Rust crate, O others. What only sessions show (R8, L6, L7) is here as far as
// bytes go, and in ingest/tcp as far as connections do.
func TestPeers(t *testing.T) {
	for _, p := range slices.Concat(javaPeers, otherPeers) {
		t.Run(p.name, p.test)
	}
}

// captured is the message of a frame of the corpus that a tolerant framer takes.
func captured(t *testing.T, id string) (*Message, Frame) {
	t.Helper()
	fr, _, err := Framer{Tolerant: true}.Next(capture(t, id), true)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return parse(t, string(fr.Data)), fr
}

// capture is a frame of the corpus.
func capture(t *testing.T, id string) []byte {
	t.Helper()
	for _, c := range corpus(t) {
		if c.id == id {
			return c.raw
		}
	}
	t.Fatalf("no frame %s", id)
	return nil
}

// wantRefused fails unless the stream is refused for that reason alone.
func wantRefused(t *testing.T, f Framer, stream string, want Reason) {
	t.Helper()
	wantFeed(t, f, stream, nil, 0, want)
}

// wantQuality fails unless a segment is delivered with these qualities.
func wantQuality(t *testing.T, segment string, want Quality) *Message {
	t.Helper()
	m := parse(t, segment)
	if m.Quality != want {
		t.Errorf("%q: %v, want %v", segment, m.Quality.Names(), want.Names())
	}
	return m
}

var javaPeers = []quirk{
	{"J01_flat", func(t *testing.T) {
		m, _ := captured(t, "F022")
		if got := fmt.Sprintf("%s %s %s %s %s", m.ST, m.CN, m.PW, m.MN, m.CP); got !=
			"32 2011 123456 LD130133000015 DataTime=20160824003817000;B01-Rtd=36.91;011-Rtd=231.0,011-Flag=N;060-Rtd=1.803,060-Flag=N" {
			t.Error(got)
		}
	}},
	{"J02_foreign_crc_not_theirs", func(t *testing.T) { wantRefused(t, Framer{}, string(capture(t, "F002")), ReasonCRC) }},
	{"J03_exact_decimals", func(t *testing.T) {
		m, _ := captured(t, "F022")
		if v := m.Groups[1].Values[Rtd]; string(v.Text) != "231.0" || v.Num != (Decimal{2310, -1}) {
			t.Errorf("%+v", v)
		}
	}},
	{"J04_write_upper_case_in_source_order_not_theirs", func(t *testing.T) {
		m, fr := captured(t, "F023")
		if !fr.LowerCRC || wire(string(AppendSegment(nil, m))) != strings.Replace(string(fr.Raw), "1dc0", "1DC0", 1) {
			t.Errorf("%q from %q", AppendSegment(nil, m), fr.Raw)
		}
	}},
	{"J05_one_factor_joined_by_comma_not_theirs", func(t *testing.T) {
		cp := AppendParam(nil, "DataTime", []byte("20160824003817"))
		for _, v := range [][3]string{{"B01", "Rtd", "36.91"}, {"011", "Rtd", "231.0"}, {"011", "Flag", "N"}, {"060", "Rtd", "1.803"}, {"060", "Flag", "N"}} {
			cp = AppendValue(cp, v[0], v[1], []byte(v[2]))
		}
		if got := string(cp); got != "DataTime=20160824003817;B01-Rtd=36.91;011-Rtd=231.0,011-Flag=N;060-Rtd=1.803,060-Flag=N" {
			t.Error(got)
		}
	}},
	{"J06_bad_crc", func(t *testing.T) { wantRefused(t, Framer{}, string(capture(t, "F025")), ReasonCRC) }},
	{"J07_1025_bytes_not_theirs", func(t *testing.T) {
		segment := annexA[:len(annexA)-2] + strings.Repeat("0", 1025-len(annexA)) + "&&"
		wantFeed(t, Framer{}, wire(segment), []string{segment}, 0)
		wantQuality(t, segment, Oversize)
	}},
	{"J08_tail_lf_lf", func(t *testing.T) {
		frame := strings.TrimSuffix(wire(annexA), "\r\n") + "\n\n"
		wantFeed(t, Framer{}, frame, nil, 0, ReasonTail)
		wantFeed(t, Framer{Tolerant: true}, frame, []string{annexA}, 0)
	}},
	{"J09_head_not_theirs", func(t *testing.T) {
		for _, tolerant := range []bool{false, true} {
			wantRefused(t, Framer{Tolerant: tolerant}, "0#"+wire(annexA)[2:], ReasonGarbage)
		}
	}},
	{"J10_symbol_in_key", func(t *testing.T) { wantQuality(t, "ST&=31;Flag=4;CP=&&&&", NoQN|UnknownField) }},
	{"J11_key_without_value", func(t *testing.T) { wantQuality(t, "ST;Flag=4;CP=&&&&", NoQN|BareField) }},
	{"J12_key_not_closed", func(t *testing.T) { wantQuality(t, "ST&&ST1=1&&", NoQN|NoFlag|NoCP|BareField) }},
	{"J13_flag_7", func(t *testing.T) {
		if f := FrameFlag(7); !f.WantAck() || !f.HasPackets() || f.Version() != Version2017 || f != NewFrameFlag(Version2017, true, true) {
			t.Errorf("%+v", f)
		}
	}},
	{"J14_flag_255_256", func(t *testing.T) {
		wantQuality(t, bend("Flag=5", "Flag=255;PNUM=1;PNO=1"), UnknownVersion)
		wantQuality(t, bend("Flag=5", "Flag=256"), OddFlag)
	}},
	{"J15_pnum_12345", func(t *testing.T) {
		wantQuality(t, bend("Flag=5", "Flag=5;PNUM=12345"), OddPackets)
		wantQuality(t, bend("Flag=5", "Flag=1;PNUM=12345"), OddPackets)
	}},
	{"J16_field_types_never_drop", func(t *testing.T) {
		for _, v := range []string{"1", "12-", "120.345", "1234", ""} {
			if m := wantQuality(t, bend("12.34", v), 0); string(m.Groups[0].Values[Rtd].Text) != v {
				t.Errorf("%q: %+v", v, m.Groups)
			}
		}
	}},
	{"J17_hour_25", func(t *testing.T) {
		if _, ok := ParseTime([]byte("202601052530")); ok {
			t.Error("25:30")
		}
	}},
	{"J18_17_digits_in_the_cp", func(t *testing.T) {
		for _, s := range []string{"20160801085857", "20160801085857223"} {
			v, _ := parse(t, "ST=32;CN=1011;CP=&&SystemTime="+s+"&&").Param("SystemTime")
			if _, ok := ParseTime(v); !ok {
				t.Error(s)
			}
		}
	}},
	{"J19_unknown_codes_pass", func(t *testing.T) {
		m := wantQuality(t, bend("ST=31", "ST=00"), 0)
		if string(m.ST) != "00" {
			t.Errorf("ST %s", m.ST)
		}
	}},
	{"J20_data_time_with_milliseconds", func(t *testing.T) {
		if m, _ := captured(t, "F022"); string(m.DataTime) != "20160824003817000" || m.Quality&^(NoQN|NoFlag) != 0 {
			t.Errorf("%s, %v", m.DataTime, m.Quality.Names())
		}
	}},
	{"J21_length_error_names_both", func(t *testing.T) {
		_, _, err := Framer{}.Next([]byte("##0099"+wire(annexA)[6:]), true)
		if reasonOf(err) != ReasonLength || !strings.Contains(err.Error(), "99 announced, 101 counted") {
			t.Error(err)
		}
	}},
	{"J22_flag_behind_cp", func(t *testing.T) {
		m := wantQuality(t, "QN=20260105080130123;ST=31;CN=2011;PW=1;MN=a;CP=&&a-Rtd=1&&;Flag=4", FlagAfterCP)
		m.Text = nil
		if got := string(AppendSegment(nil, m)); got != "QN=20260105080130123;ST=31;CN=2011;PW=1;MN=a;Flag=4;CP=&&a-Rtd=1&&" {
			t.Error(got)
		}
	}},
	{"G1_seven_factors", func(t *testing.T) {
		for _, id := range []string{"F003", "F006", "F007"} {
			if m, fr := captured(t, id); string(m.MN) != "Y80110010000010" || len(m.Groups) != 7 || fr.LowerCRC != strings.Contains("F003 F006", id) {
				t.Errorf("%s: %s, %d groups, lower case %t", id, m.MN, len(m.Groups), fr.LowerCRC)
			}
		}
	}},
	{"G2_unknown_suffixes", func(t *testing.T) {
		wantRefused(t, Framer{}, string(capture(t, "F029")), ReasonCRC)
		m, _ := captured(t, "F008")
		total, ok := m.Param("a01006-TotalNum")
		if m.Quality&(UnknownSuffix|PacketOrder) != UnknownSuffix|PacketOrder || !ok || string(total) != "10" {
			t.Errorf("%v, %q", m.Quality.Names(), total)
		}
	}},
	{"G3_electricity_st_80", func(t *testing.T) {
		m, _ := captured(t, "F026")
		numbers := 0
		for it := range m.Items() {
			if _, ok := it.Number(); ok && it.Suffix != nil {
				numbers++
			}
		}
		if string(m.ST) != "80" || numbers != 28 {
			t.Errorf("ST %s, %d numbers", m.ST, numbers)
		}
	}},
	{"G4_empty_cp", func(t *testing.T) {
		for _, id := range []string{"F027", "F028"} {
			if m, fr := captured(t, id); len(fr.Data) != 87 || m.CP == nil || len(m.CP) != 0 {
				t.Errorf("%s: %q", id, fr.Data)
			}
		}
	}},
	{"G5_surface_water_flag_8", func(t *testing.T) {
		m, _ := captured(t, "F010")
		if m.Version() != Version2025 || string(m.ST) != "21" || len(m.Groups) != 11 || string(m.Groups[10].Values[Rtd].Text) != "0" {
			t.Errorf("%+v", m)
		}
	}},
}
