package hj212

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
)

// dirty has every kind of value: what a Message may hold from the frame before.
var dirty = []byte("QN=20160801085857223;ST=32;CN=2051;PW=1;" + mn2017 + ";Flag=7;PNUM=3;PNO=2;RF=1;CP=&&DataTime=1;a-Cou=1,a-Min=2,a-Avg=3,a-Max=4,a-ZsMin=5,a-ZsAvg=6," +
	"a-ZsMax=7,a-Rtd=8,a-ZsRtd=9,a-Flag=N,a-SampleTime=1;b-Cou=1,b-Min=2,b-Avg=3,b-Max=4,b-Rtd=5,b-Flag=D;c-Avg=3;DataTime=2;c-Rtd=8&&")

// checkParse compares Parse, into a Message that was used before, with the reference.
func checkParse(t *testing.T, data []byte) {
	t.Helper()
	var m Message
	if err := m.Parse(dirty); err != nil {
		t.Fatal(err)
	}
	var plain reference
	wantErr := plain.parse(data)
	err := m.Parse(data)
	if !reflect.DeepEqual(err, wantErr) {
		t.Errorf("%q: error %v, want %v", data, err, wantErr)
	}
	got, want := visible(&m), visible((*Message)(&plain))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q:\n got  %s %v %+v\n want %s %v %+v", data, groups(&m), m.Quality.Names(), got, groups((*Message)(&plain)), plain.Quality.Names(), want)
	}
}

// visible is m without what its next Parse alone looks at.
func visible(m *Message) Message {
	v := *m
	v.plain = nil
	v.Groups = append([]Group(nil), m.Groups...)
	v.Pairs = append([]Pair(nil), m.Pairs...)
	for i := range v.Groups {
		v.Groups[i].key, v.Groups[i].have, v.Groups[i].stale = 0, 0, 0
	}
	return v
}

// FuzzParse: the fast Parse gives the Message of the reference.
func FuzzParse(f *testing.F) {
	f.Add(dirty)
	f.Add([]byte("&&0-"))                // found: a suffix of no bytes
	f.Add([]byte("&&0-Avg=,FlAg,FlAg=")) // found: a mark without "=" is none
	for _, v := range vectors {
		f.Add([]byte(v.data))
	}
	for _, c := range corpus(f) {
		f.Add(bytes.TrimRight(c.raw[headLen:], "\r\n"))
	}
	for _, r := range readTSV(f, "segments.tsv") {
		f.Add([]byte(r[3]))
	}
	f.Fuzz(checkParse)
}

// TestParseIsReference is FuzzParse on segments made of the words of segments, which random bytes rarely are.
func TestParseIsReference(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	words := []string{
		"a", "a34013", "w01018", "a340131", "a3401312", "a34013123", "011", "B01", "e-1", "-", "--", "", " ", "\t", ".", "\x80", "清", "_", "a:1",
		"Rtd", "Avg", "Min", "Max", "Cou", "ZsRtd", "ZsAvg", "ZsMin", "ZsMax", "Flag", "SampleTime", "rtd", "zsavg", "RTD", "Info", "EFlag", "Ori", "Rtdx",
		"=", "=", "=", "==", ";", ",", ";", ",", ";;", "&", "&&", "DataTime", "datatime", "DataTime=20160801085857", "PolId", "//", "//x;y//", "-Info=//a;b//",
		"1", "1.5", "-1", "12345678", "1234567.", "123456789", "0.0032", "1.2.3", "null", "N", "1e5", "=N", "20160801085857223", "20230229000000000",
		"QN=", "ST=", "CN=", "PW=", "MN=", "Flag=", "PNUM=", "PNO=", "RF=", "CP=", "CP=&&", "&&", "cp = &&", "Flag=5CP=&&", "qn=", "5", "7", "255",
	}
	for range 20_000 {
		var b []byte
		if rnd.IntN(3) > 0 {
			b = append(b, "ST=32;CN=2011;CP=&&"...)
		}
		for range rnd.IntN(24) {
			switch rnd.IntN(4) {
			case 0:
				b = append(b, words[rnd.IntN(len(words))]...)
			default: // a field, mostly whole
				b = append(append(append(b, words[rnd.IntN(9)]...), '-'), words[19+rnd.IntN(12)]...)
				b = append(append(append(b, '='), words[57+rnd.IntN(11)]...), ";,;,;, &"[rnd.IntN(8)])
			}
		}
		if rnd.IntN(4) > 0 {
			b = append(b, "&&"...)
		}
		checkParse(t, b)
		if t.Failed() {
			return
		}
	}
}

// FuzzCRC: folding gives what annex A's rounds give, and each dialect's table what its definition gives, for any cut of the segment.
func FuzzCRC(f *testing.F) {
	for _, v := range vectors {
		f.Add([]byte(v.data))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkCRC(t, data[:min(len(data), 4*DefaultMaxData)]) })
}

func checkCRC(t *testing.T, data []byte) {
	t.Helper()
	if got, want := CRC(data), slowCRC(data); got != want {
		t.Errorf("CRC(%x) = %04X, want %04X", data, got, want)
	}
	modbus := slowModbus(data)
	for d, want := range [numDialects]uint16{
		DialectHJ: slowCRC(data), DialectNone: slowCRC(data), DialectModbus: modbus, DialectModbusSwapped: modbus<<8 | modbus>>8, DialectCCITT: slowCCITT(data),
	} {
		if got := Dialect(d).Sum(data); got != want {
			t.Errorf("%v of %x: %04X, want %04X", Dialect(d), data, got, want)
		}
	}
}

// slowCRC is annex A, step by step.
func slowCRC(data []byte) uint16 {
	r := uint16(0xFFFF)
	for _, b := range data {
		r = shift(r>>8 ^ uint16(b))
	}
	return r
}

// slowModbus is CRC-16/MODBUS, step by step.
func slowModbus(data []byte) uint16 {
	r := uint16(0xFFFF)
	for _, b := range data {
		r = shift(r ^ uint16(b))
	}
	return r
}

func shift(r uint16) uint16 {
	for range 8 {
		low := r & 1
		r >>= 1
		if low == 1 {
			r ^= 0xA001
		}
	}
	return r
}

// slowCCITT is CRC-16/CCITT-FALSE, step by step.
func slowCCITT(data []byte) uint16 {
	r := uint16(0xFFFF)
	for _, b := range data {
		r ^= uint16(b) << 8
		for range 8 {
			high := r >> 15
			r <<= 1
			if high == 1 {
				r ^= 0x1021
			}
		}
	}
	return r
}
