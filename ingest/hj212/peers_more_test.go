package hj212

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var otherPeers = []quirk{
	{"T1_la_td", func(t *testing.T) {
		m, _ := captured(t, "F030")
		if v, _ := m.Param("LA-td"); string(v) != "50.1" || string(m.DataTime) != "20200814151600" || m.Quality != PacketsMissing|UnknownSuffix {
			t.Errorf("%q, %v", v, m.Quality.Names())
		}
	}},
	{"T2_crc_annex_a", func(t *testing.T) { wantCRC(t, annexA, 0x1C80) }},
	{"T3_crc_of_captures", func(t *testing.T) {
		for id, crc := range map[string]uint16{"F030": 0x5CC0, "F031": 0x5D80} {
			_, fr := captured(t, id)
			wantCRC(t, string(fr.Data), crc)
		}
		wantRefused(t, Framer{}, strings.Replace(string(capture(t, "F030")), "5CC0", "5CC1", 1), ReasonCRC)
	}},
	{"T4_parameters_in_order_not_theirs", func(t *testing.T) {
		cp := AppendParam(AppendParam(nil, "BeginTime", []byte("1")), "EndTime", []byte("2"))
		if got := string(cp); got != "BeginTime=1;EndTime=2" {
			t.Error(got)
		}
		if m := parse(t, string(AppendSegment(nil, &Message{CN: []byte("2011"), CP: []byte{}}))); string(m.Text) != "CN=2011;CP=&&&&" {
			t.Errorf("%q", m.Text)
		}
	}},
	{"T5_command_vector", func(t *testing.T) {
		for cp, want := range map[string]string{"BeginTime=20040506111000,EndTime=20040506151000": "6B80", "EndTime=20040506151000,BeginTime=20040506111000": "EF41"} {
			frame := string(AppendFrame(nil, []byte("QN=20040516010101001;ST=32;CN=2051;PW=123456;MN=88888880000001;Flag=3;CP=&&"+cp+"&&")))
			if !strings.HasPrefix(frame, "##0124") || !strings.HasSuffix(frame, want+"\r\n") {
				t.Errorf("%q, want %s", frame, want)
			}
		}
	}},
	{"R1_check_string_not_theirs", func(t *testing.T) {
		wantCRC(t, "123456789", 0x2F80)
		if got := DialectModbus.Sum([]byte("123456789")); got != 0x4B37 {
			t.Errorf("%04X", got)
		}
	}},
	{"R2_zone_is_utc_8_not_theirs", func(t *testing.T) {
		m := parse(t, "ST=31;CN=2011;Flag=4;CP=&&a34004-Rtd=2.3,a34004-Flag=N;a34002-Rtd=167.5;B01-Rtd=1.28;DataTime=20170818122101&&")
		at, ok := ParseTime(m.DataTime)
		if !ok || !at.Equal(time.Date(2017, 8, 18, 4, 21, 1, 0, time.UTC)) || groups(m) !=
			"a34004@20170818122101(Rtd=2.3 flag=N) a34002@20170818122101(Rtd=167.5) B01@20170818122101(Rtd=1.28)" {
			t.Errorf("%s, %s", at, groups(m))
		}
	}},
	{"R3_statistics", func(t *testing.T) {
		wantGroups(t, bend("a21026-Rtd=12.34,a21026-Flag=N", "a34004-Avg=2.1,a34004-Min=1.8,a34004-Max=2.5,a34004-Cou=10.5"), "a34004@20260105080130(Avg=2.1 Min=1.8 Max=2.5 Cou=10.5)", 0)
	}},
	{"R4_no_data_time_not_theirs", func(t *testing.T) {
		m := parse(t, bend("DataTime=20260105080130;", ""))
		if _, ok := ParseTime(m.QN); m.DataTime != nil || m.Groups[0].DataTime != nil || !ok {
			t.Errorf("%+v", m) // no time is made up: who uses it takes the QN, or the arrival
		}
	}},
	{"R5_broken_frames", func(t *testing.T) {
		frame := wire(annexA)
		wantRefused(t, Framer{}, frame[:len(frame)-3]+"1\r\n", ReasonCRC)
		wantRefused(t, Framer{}, frame[2:], ReasonGarbage)
		wantQuality(t, bend("&&DataTime=20260105080130;a21026-Rtd=12.34,a21026-Flag=N&&", "&&DataTime=1"), UnclosedCP)
		wantQuality(t, "QN=20260105080130123;ST=31;CN=2011;PW=1;MN=a;Flag=5", NoCP) // not theirs
	}},
	{"R6_good_frame_behind_a_bad_one", func(t *testing.T) {
		wantFeed(t, Framer{}, "##0300"+annexA+"0000\r\n"+wire(annexA), []string{annexA}, 0, ReasonLength)
	}},
	{"R7_streams", func(t *testing.T) {
		frame := wire(annexA)
		wantFeed(t, Framer{}, "noise"+frame, []string{annexA}, 0, ReasonGarbage)
		wantFeed(t, Framer{}, frame+frame, []string{annexA, annexA}, 0)
		if _, size, err := (Framer{}).Next([]byte(frame[:50]), false); size != 0 || err != nil {
			t.Errorf("half a frame: %d, %v", size, err)
		}
	}},
	{"R8_metadata", func(t *testing.T) {
		m := parse(t, quirkSegment)
		if got := fmt.Sprintf("%s %s %s %s", m.MN, m.ST, m.CN, m.DataTime); got != "010000A8900016F000169DC0 31 2011 20260105080130" {
			t.Error(got)
		}
	}},
	{"E1_three_factors", func(t *testing.T) {
		m := parse(t, bend("a21026-Rtd=12.34,a21026-Flag=N", "w01001-Rtd=7.5;w01018-Rtd=25.3;w21003-Rtd=1.2"))
		if m.Version() != Version2017 || !m.Flag.WantAck() || m.Flag.HasPackets() || len(m.Groups) != 3 {
			t.Errorf("%+v", m)
		}
	}},
	{"E2_2025_power", func(t *testing.T) {
		m := parse(t, "QN=20260105080130123;ST=44;CN=2051;PW=1;MN=a;Flag=9;CP=&&DataTime=20260105080100;d10001-Avg=150.5;d10007-Avg=10.2;p10001-Avg=8.5&&")
		if m.Version() != Version2025 || len(m.Groups) != 3 || m.Quality != 0 {
			t.Errorf("%+v", m)
		}
	}},
	{"E3_split", func(t *testing.T) {
		if m := wantQuality(t, bend("Flag=5", "Flag=7;PNUM=3;PNO=1"), 0); m.PNUM != 3 || m.PNO != 1 {
			t.Errorf("%d of %d", m.PNO, m.PNUM)
		}
	}},
	{"E4_vendor_heartbeat", func(t *testing.T) {
		if m := wantQuality(t, "QN=20260105080130123;ST=91;CN=9013;PW=1;MN=a;Flag=4", NoCP); string(m.CN) != "9013" {
			t.Errorf("%+v", m)
		}
	}},
	{"E5_all_of_one_factor", func(t *testing.T) {
		wantGroups(t, bend("a21026-Flag=N", "a21026-Min=1,a21026-Max=3,a21026-Avg=2,a21026-Flag=N"), "a21026@20260105080130(Rtd=12.34 Avg=2 Min=1 Max=3 flag=N)", 0)
	}},
	{"E6_crc_0000", func(t *testing.T) {
		frame := wire(annexA)
		_, _, err := Framer{}.Next([]byte(frame[:len(frame)-6]+"0000\r\n"), true)
		if reasonOf(err) != ReasonCRC || !strings.Contains(err.Error(), "CRC 0000 sent, 1C80 computed") {
			t.Error(err)
		}
	}},
	{"E7_no_tail", func(t *testing.T) {
		frame := strings.TrimSuffix(wire(annexA), "\r\n")
		wantRefused(t, Framer{}, frame, ReasonTail)
		wantFeed(t, Framer{Tolerant: true}, frame, []string{annexA}, 0)
		wantFeed(t, Framer{Tolerant: true}, frame+frame, []string{annexA, annexA}, 0)
	}},
	{"E8_9014_is_empty_not_theirs", func(t *testing.T) {
		want := wire("QN=20260105080130123;ST=91;CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&&&")
		if got := string(AppendDataAck(nil, parse(t, quirkSegment), DialectHJ)); got != want {
			t.Errorf("%q", got)
		}
	}},
	{"E9_versions_not_theirs", func(t *testing.T) {
		for flag, want := range map[string]Quality{"0": 0, "4": 0, "5": 0, "8": 0, "12": UnknownVersion, "252": UnknownVersion} {
			wantQuality(t, bend("Flag=5", "Flag="+flag), want)
		}
	}},
	{"E10_cipher_text_is_kept", func(t *testing.T) {
		m := wantQuality(t, "QN=20260105080130123;ST=31;CN=2051;PW=1;MN=a;Flag=9;CP=&&E43E159ACFAB242C&&", BareField)
		if len(m.Groups) != 0 || string(m.CP) != "E43E159ACFAB242C" {
			t.Errorf("%+v", m)
		}
		// SM4 leaves the CRC of the plain text in place: over the cipher text it is wrong.
		wantRefused(t, Framer{}, strings.Replace(wire(quirkSegment), "DataTime=2026010", "\xE4\x3E\x15\x9A\xCF\xAB\x24\x2C\xB5\x31\x55\xFB\x8B\x92\x81\xA1", 1), ReasonCRC)
	}},
	{"E11_bad_frames_are_refused_not_theirs", func(t *testing.T) {
		for _, c := range corpus(t) {
			if segments, _, refused := feed(Framer{}, string(c.raw)); strings.HasPrefix(c.expected, "bad") && (len(segments) != 0 || len(refused) == 0) {
				t.Errorf("%s, %s: accepted", c.id, c.expected)
			}
		}
	}},
	{"P1_annex_a", func(t *testing.T) {
		wantFeed(t, Framer{}, wire(annexA), []string{annexA}, 0)
		if m := wantQuality(t, annexA, 0); len(m.Groups) != 0 || string(m.CP) != "RtdInterval=30" {
			t.Errorf("%+v", m)
		}
	}},
	{"P2_tampered", func(t *testing.T) {
		wantRefused(t, Framer{}, strings.Replace(wire(annexA), "RtdInterval=30", "RtdInterval=31", 1), ReasonCRC)
	}},
	{"P3_broken_head", func(t *testing.T) {
		frame := wire(annexA)
		wantRefused(t, Framer{}, "##0102"+frame[6:], ReasonLength)
		for _, length := range []string{"ABCD", "ZZZZ"} {
			wantRefused(t, Framer{}, "##"+length+frame[6:], ReasonLength)
		}
		wantRefused(t, Framer{}, frame[6:], ReasonGarbage)
		if _, size, err := (Framer{}).Next(nil, true); size != 0 || err != nil {
			t.Errorf("empty: %d, %v", size, err)
		}
	}},
	{"P4_case_of_codes", func(t *testing.T) {
		wantGroups(t, bend("a21026-Rtd=12.34,a21026-Flag=N", "a34000-Rtd=12.34;A01001-Rtd=23.5"), "a34000@20260105080130(Rtd=12.34) A01001@20260105080130(Rtd=23.5)", 0)
	}},
	{"P5_no_cp_not_theirs", func(t *testing.T) { wantQuality(t, "QN=20260105080130123;ST=31;CN=2011;PW=1;MN=a;Flag=5", NoCP) }},
	{"L1_realtime_vector", func(t *testing.T) {
		wantFrameOf(t, "2011", "DataTime=20260706103000;w01010-Rtd=28.6,w01010-Flag=N;w01014-Rtd=7.8,w01014-Flag=N", "##0157", "1980")
	}},
	{"L2_mark_d", func(t *testing.T) {
		wantGroups(t, bend("Flag=N", "Flag=D"), "a21026@20260105080130(Rtd=12.34 flag=D)", 0)
	}},
	{"L3_hour_vector", func(t *testing.T) {
		wantFrameOf(t, "2061", "DataTime=20260706100000;w01010-Avg=28.4,w01010-Flag=N;w01014-Avg=7.7,w01014-Flag=N", "##0157", "B681")
	}},
	{"L4_answer_matches", func(t *testing.T) {
		up := parse(t, quirkSegment)
		fr, _, err := Framer{}.Next(AppendDataAck(nil, up, DialectHJ), false)
		m := parse(t, string(fr.Data))
		if r, ok := m.Reply(); err != nil || !ok || r.CN != "9014" || string(r.QN) != string(up.QN) || string(m.MN) != string(up.MN) {
			t.Errorf("%+v, %v", r, err)
		}
	}},
	{"L5_answer_with_bad_crc", func(t *testing.T) {
		ack := string(AppendDataAck(nil, parse(t, quirkSegment), DialectHJ))
		wantRefused(t, Framer{}, ack[:len(ack)-6]+"FFFF\r\n", ReasonCRC)
	}},
	{"L6_two_uploads", func(t *testing.T) {
		wantFeed(t, Framer{}, wire(quirkSegment)+wire(annexA), []string{quirkSegment, annexA}, 0)
	}},
	{"L7_no_answer_at_all", func(t *testing.T) {
		if _, ok := parse(t, "QN=1;ST=91;CN=9999;Flag=4;CP=&&&&").Reply(); ok {
			t.Error("9999 is an answer")
		}
		wantRefused(t, Framer{}, "ERROR: parse failed", ReasonGarbage)
	}},
	{"U1_2025_example", func(t *testing.T) {
		segment := "QN=20240601085857223;ST=32;CN=1011;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&&&"
		wantCRC(t, segment, 0x2200)
		if m := wantQuality(t, segment, 0); len(segment) != 87 || m.Version() != Version2025 || len(m.CP) != 0 {
			t.Errorf("%+v", m)
		}
	}},
	{"U2_flag_9", func(t *testing.T) {
		if f := FrameFlag(9); f.Version() != Version2025 || !f.WantAck() || f.HasPackets() {
			t.Errorf("%d", f)
		}
	}},
	{"U3_three_digits_lower_case_no_tail", func(t *testing.T) {
		frame := strings.TrimSuffix(wire(quirkSegment), "\r\n")
		frame = "##" + strings.TrimLeft(frame[2:len(frame)-4], "0") + strings.ToLower(frame[len(frame)-4:])
		segments, odd, refused := feed(Framer{Tolerant: true}, frame)
		if len(segments) != 1 || segments[0] != quirkSegment || odd&UnpaddedLength == 0 || refused != nil {
			t.Errorf("%q %v %v", segments, odd.Names(), refused)
		}
		wantRefused(t, Framer{}, frame, ReasonLength)
	}},
	{"U4_comma_splits_not_theirs", func(t *testing.T) {
		wantGroups(t, quirkSegment, "a21026@20260105080130(Rtd=12.34 flag=N)", 0)
	}},
	{"U5_frame_in_pieces", func(t *testing.T) {
		frame := []byte(wire(quirkSegment))
		if _, size, err := (Framer{}).Next(frame[:len(frame)-1], false); size != 0 || err != nil {
			t.Errorf("%d, %v", size, err)
		}
		if _, size, err := (Framer{}).Next(frame, false); size != len(frame) || err != nil {
			t.Errorf("%d, %v", size, err)
		}
	}},
	{"O1_three_frames", func(t *testing.T) {
		wantFeed(t, Framer{}, strings.Repeat(wire(annexA), 3), []string{annexA, annexA, annexA}, 0)
	}},
	{"O2_long_log", func(t *testing.T) {
		segment := "QN=20260105080130123;ST=32;CN=3020;PW=1;MN=a;Flag=4;CP=&&DataTime=20260105080130;PolId=w01018;i11001-Info=//" + strings.Repeat("3A 0D; ", 220) + "//&&"
		wantFeed(t, Framer{}, wire(segment), []string{segment}, 0)
		if m := wantQuality(t, segment, Oversize); len(m.Pairs) != 3 {
			t.Errorf("%d pairs", len(m.Pairs))
		}
	}},
	{"O3_crc_that_is_0000", func(t *testing.T) {
		for n := range 10_000 {
			segment := fmt.Sprintf("QN=20260105080130123;ST=31;CN=2011;PW=;MN=a;Flag=5;CP=&&a-Rtd=%d&&", n)
			if CRC([]byte(segment)) == 0 {
				wantFeed(t, Framer{}, "##"+fmt.Sprintf("%04d", len(segment))+segment+"0000\r\n", []string{segment}, 0)
				return
			}
		}
		t.Error("no segment with CRC 0000")
	}},
	{"O4_streams", func(t *testing.T) {
		wantFeed(t, Framer{}, strings.Repeat(wire(annexA), 2)+"\x00\x00"+strings.Repeat(wire(quirkSegment), 2), []string{annexA, annexA, quirkSegment, quirkSegment}, 0, ReasonGarbage)
	}},
	{"O5_crc_annex_a", func(t *testing.T) { wantCRC(t, annexA, 0x1C80) }},
	{"O6_crc_of_noise", func(t *testing.T) { wantCRC(t, printed(t, "S041"), 0x1E00) }},
	{"O7_eleven_factors", func(t *testing.T) {
		m, _ := captured(t, "F036")
		for i := range m.Groups {
			if g := &m.Groups[i]; !g.Values[Avg].Numeric || string(g.Flag) != "N" {
				t.Errorf("%s: %+v", g.Code, g)
			}
		}
		if len(m.Groups) != 11 {
			t.Errorf("%d groups", len(m.Groups))
		}
	}},
	{"O8_sample_time_and_9011", func(t *testing.T) {
		if m, _ := captured(t, "F038"); groups(m) != "w01008@20231008123340(Rtd=123.456 time=20231008123340)" {
			t.Error(groups(m))
		}
		r := Request{QN: "20231008125115215", ST: "22", CN: "9011", PW: "123456", MN: "010000A8900016F000169DC0", Version: Version2017, Answer: true, CP: []byte("QnRtn=1")}
		if got := AppendRequest(nil, r); string(got) != string(capture(t, "F039")) || !strings.HasSuffix(string(got), "CC01\r\n") {
			t.Errorf("%q", got)
		}
	}},
	{"O9_pw_of_24_characters", func(t *testing.T) {
		if m, _ := captured(t, "F042"); len(m.PW) != 24 || len(m.Groups) != 5 || m.Quality != 0 {
			t.Errorf("%+v", m)
		}
	}},
	{"O10_qn_in_unix_milliseconds", func(t *testing.T) {
		for n := 97; n <= 107; n++ {
			if m, _ := captured(t, fmt.Sprintf("F%03d", n)); m.Quality != OddQN {
				t.Errorf("F%03d: %v", n, m.Quality.Names())
			}
		}
	}},
	{"O11_one_factor_of_three_instruments", func(t *testing.T) {
		wantGroups(t, bend("a21026-Rtd=12.34,a21026-Flag=N", "006-Rtd=1,006-ID=0;006-Rtd=2,006-ID=1;006-Rtd=3,006-ID=2"),
			"006@20260105080130(Rtd=1) 006@20260105080130(Rtd=2) 006@20260105080130(Rtd=3)", UnknownSuffix|RepeatedFactor)
	}},
}

func wantCRC(t *testing.T, data string, want uint16) {
	t.Helper()
	if got := CRC([]byte(data)); got != want {
		t.Errorf("CRC of %q: %04X, want %04X", data, got, want)
	}
}

// wantFrameOf fails unless an upload of a surface-water station is written with this head and CRC.
func wantFrameOf(t *testing.T, cn, cp, head, crc string) {
	t.Helper()
	frame := string(AppendRequest(nil, Request{QN: "20260706103512345", ST: "21", CN: cn, PW: "123456", MN: "A110000_0001", Version: Version2025, WantAck: true, CP: []byte(cp)}))
	if !strings.HasPrefix(frame, head) || !strings.HasSuffix(frame, crc+"\r\n") {
		t.Errorf("%q, want %s and %s", frame, head, crc)
	}
}
