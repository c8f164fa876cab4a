package hj212

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAppendRequestOrder(t *testing.T) {
	r := Request{QN: "20260105080000001", ST: "32", CN: "2061", PW: "123456", MN: "M", WantAck: true, PNUM: 2, PNO: 1, CP: []byte("a=1")}
	for version, want := range []string{
		"QN=20260105080000001;PNUM=2;PNO=1;ST=32;CN=2061;PW=123456;MN=M;Flag=3;CP=&&a=1&&",
		"QN=20260105080000001;ST=32;CN=2061;PW=123456;MN=M;Flag=7;PNUM=2;PNO=1;CP=&&a=1&&",
		"QN=20260105080000001;ST=32;CN=2061;PW=123456;MN=M;Flag=11;PNUM=2;PNO=1;RF=1;CP=&&a=1&&",
	} {
		r.Version, r.RF = uint8(version), version == Version2025
		if got := string(AppendRequest([]byte("before"), r)); got != "before"+wire(want) {
			t.Errorf("%s:\n got  %q\n want %q", EditionName(r.Version), got, want)
		}
	}
	request := Request{QN: "20260105080000001", ST: "32", CN: "1062", PW: "123456", MN: "88888880000001", WantAck: true, CP: []byte("RtdInterval=30")}
	if got := parse(t, string(AppendSegment(nil, &Message{Flag: NewFrameFlag(Version2005, true, false), HasFlag: true}))); got.Flag != 1 {
		t.Errorf("Flag %d of a request of 2005 without packets, want the conforming 1", got.Flag)
	}
	request.Dialect = DialectModbus
	if got := string(AppendRequest(nil, request)); !strings.HasSuffix(got, fmt.Sprintf("%04X\r\n", DialectModbus.Sum([]byte(got[6:len(got)-6])))) {
		t.Errorf("%q has not the CRC of its dialect", got)
	}
}

// TestAnswersOf2005 writes what the standard's examples print: QN in the CP of answers.
func TestAnswersOf2005(t *testing.T) {
	for _, tt := range []struct{ cn, st, cp, want string }{
		{"9011", "91", "QnRtn=1", "ST=91;CN=9011;PW=123456;MN=88888880000001;Flag=0;CP=&&QN=20040516010101001;QnRtn=1&&"},
		{"9013", "91", "", "ST=91;CN=9013;PW=123456;MN=88888880000001;Flag=0;CP=&&QN=20040516010101001&&"},
		{"1011", "32", "SystemTime=20040516010102", "ST=32;CN=1011;PW=123456;MN=88888880000001;Flag=0;CP=&&QN=20040516010101001;SystemTime=20040516010102&&"},
	} {
		r := Request{QN: "20040516010101001", ST: tt.st, CN: tt.cn, PW: "123456", MN: "88888880000001", Answer: true, CP: []byte(tt.cp)}
		if got := string(AppendRequest(nil, r)); got != wire(tt.want) {
			t.Errorf("%s:\n got  %q\n want %q", tt.cn, got, wire(tt.want))
		}
	}
}

// TestBuiltIsParsed: what is built of fields is read as the same fields.
func TestBuiltIsParsed(t *testing.T) {
	word := rapid.StringMatching(`[0-9A-Za-z_]{1,8}`)
	rapid.Check(t, func(t *rapid.T) {
		r := Request{ST: word.Draw(t, "ST"), CN: word.Draw(t, "CN"), PW: word.Draw(t, "PW"), MN: word.Draw(t, "MN"),
			QN: rapid.SampledFrom([]string{"", "20260105080000001"}).Draw(t, "QN"), Version: uint8(rapid.IntRange(0, 2).Draw(t, "version")),
			WantAck: rapid.Bool().Draw(t, "ack"), RF: rapid.Bool().Draw(t, "RF"), Answer: rapid.Bool().Draw(t, "answer")}
		if rapid.Bool().Draw(t, "packets") {
			r.PNUM = rapid.IntRange(1, 9999).Draw(t, "PNUM")
			r.PNO = rapid.IntRange(1, r.PNUM).Draw(t, "PNO")
		}
		var pairs []string
		for range rapid.IntRange(0, 6).Draw(t, "pairs") {
			key, value := word.Draw(t, "key"), word.Draw(t, "value")
			if rapid.Bool().Draw(t, "of a code") {
				suffix := rapid.SampledFrom([]string{"Rtd", "Flag", "Info", "Data"}).Draw(t, "suffix")
				r.CP = AppendValue(r.CP, key, suffix, []byte(value))
				key += "-" + suffix
			} else {
				r.CP = AppendParam(r.CP, "P"+key, []byte(value))
				key = "P" + key
			}
			pairs = append(pairs, key+"="+value)
		}
		fr, _, err := Framer{}.Next(AppendRequest(nil, r), false)
		var m Message
		if err != nil || m.Parse(fr.Data) != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		var got []string
		for _, p := range m.Pairs {
			if string(p.Key) != "QN" {
				got = append(got, string(p.Key)+"="+string(p.Value))
			}
		}
		if string(m.ExchangeQN()) != r.QN || string(m.ST) != r.ST || string(m.CN) != r.CN || string(m.PW) != r.PW || string(m.MN) != r.MN || m.RF != r.RF ||
			m.PNUM != r.PNUM || m.PNO != r.PNO || m.Flag != NewFrameFlag(r.Version, r.WantAck, r.PNUM > 0) || fmt.Sprint(got) != fmt.Sprint(pairs) {
			t.Errorf("%+v with %v is read as %q", r, pairs, fr.Data)
		}
	})
}
