package hj212

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
)

// dirty has every kind of value: what a Message may hold from the frame before.
var dirty = []byte("QN=20160801085857223;ST=32;CN=2051;PW=1;" + mn2017 + ";Flag=7;PNUM=3;PNO=2;RF=1;CP=&&DataTime=1;a-Cou=1,a-Min=2,a-Avg=3,a-Max=4,a-ZsMin=5,a-ZsAvg=6," +
	"a-ZsMax=7,a-Rtd=8,a-ZsRtd=9,a-Flag=N,a-SampleTime=1;b-Cou=1,b-Min=2,b-Avg=3,b-Max=4,b-Rtd=5,b-Flag=D;c-Avg=3;DataTime=2;c-Rtd=8&&")

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

// FuzzParse: equalities parse and header, on segments of any bytes.
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
	fuzzBytes(f, func(c *checker, data []byte, seed uint64) error {
		return errors.Join(c.parse(data, seed), c.header(data, seed))
	})
}

// fuzzBytes fuzzes with one equality whose input is no more than bytes.
func fuzzBytes(f *testing.F, check func(c *checker, data []byte, seed uint64) error) {
	var c checker
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := check(&c, data, 0); err != nil {
			t.Errorf("%q: %v", data, err)
		}
	})
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
	var c checker
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
		if err := errors.Join(c.parse(b, 0), c.header(b, 0)); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
	}
}

// TestSameMessageSeesAll: what two Messages can differ in, sameMessage compares. A field that comes new must be named there first.
func TestSameMessageSeesAll(t *testing.T) {
	for _, tt := range []struct {
		value  any
		fields int
	}{{Message{}, 17}, {Pair{}, 2}, {Group{}, 5 + 3}, {Value{}, 3}} {
		if n := reflect.TypeOf(tt.value).NumField(); n != tt.fields {
			t.Errorf("%T has %d fields, sameMessage was written for %d", tt.value, n, tt.fields)
		}
	}
	m, changed := parse(t, string(dirty)), parse(t, string(dirty))
	v := reflect.ValueOf(changed).Elem()
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.IsExported() {
			was := reflect.ValueOf(v.Field(i).Interface())
			v.Field(i).SetZero()
			if sameMessage(m, changed) {
				t.Errorf("a Message without %s counts as the same", field.Name)
			}
			v.Field(i).Set(was)
		}
	}
}

// FuzzCRC: equality crc, on as many bytes as reach all of the folding's loops.
func FuzzCRC(f *testing.F) {
	for _, v := range vectors {
		f.Add([]byte(v.data))
	}
	fuzzBytes(f, func(c *checker, data []byte, _ uint64) error { return c.crc(data[:min(len(data), maxCRC)], 0) })
}

// maxCRC is the longest input of equality crc where inputs are many: four turns of the folding's longest loop and something of each other
// one. Whole segments are TestCRCVectors' and TestCRCIsAnnexA's.
const maxCRC = 4*64 + 63

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
