package hj212

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// modbusVectors are the CRC-16/MODBUS of vectors, by their number; what a line with the bytes swapped was seen to send is the same swapped.
var modbusVectors = map[string]uint16{
	"V1": 0x0759, "V2": 0xCCF4, "V3": 0xB649, "V4": 0x5103, "V5": 0xAC73, "V6": 0x264D, "V7": 0xF0D7, "V8": 0x5618, "V12": 0x44BC, "V13": 0x896F,
	"V14": 0x47DE, "V15": 0x5980, "V16": 0x7F9C, "V17": 0x82F0, "V20": 0xFFFF, "V21": 0x40BF, "V22": 0x707F, "V23": 0x4B37,
}

func TestDialectVectors(t *testing.T) {
	var c checker
	tested := 0
	for _, v := range vectors {
		id, _, _ := strings.Cut(v.name, " ")
		data := []byte(v.data)
		if err := c.crc(data, 0); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if DialectHJ.Sum(data) != v.crc || DialectNone.Sum(data) != v.crc {
			t.Errorf("%s: hj %04X, none %04X, want %04X", id, DialectHJ.Sum(data), DialectNone.Sum(data), v.crc)
		}
		want, ok := modbusVectors[id]
		if !ok {
			continue
		}
		tested++
		if got, swapped := DialectModbus.Sum(data), DialectModbusSwapped.Sum(data); got != want || swapped != want<<8|want>>8 {
			t.Errorf("%s: modbus %04X, swapped %04X, want %04X", id, got, swapped, want)
		}
	}
	if tested != len(modbusVectors) {
		t.Errorf("%d of %d MODBUS vectors have a segment", tested, len(modbusVectors))
	}
	if got := DialectCCITT.Sum([]byte("123456789")); got != 0x29B1 {
		t.Errorf("CRC-16/CCITT-FALSE of the check string: %04X, want 29B1", got)
	}
}

func TestParseDialect(t *testing.T) {
	for d := range Dialect(numDialects) {
		if got, ok := ParseDialect(d.String()); got != d || !ok {
			t.Errorf("%v: %v %t", d, got, ok)
		}
	}
	if d, ok := ParseDialect(""); d != DialectHJ || !ok {
		t.Errorf("empty: %v %t", d, ok)
	}
	if d, ok := ParseDialect("arc"); ok {
		t.Errorf("arc: %v", d)
	}
}

// TestOtherDialectIsNamed: the refusal names the dialect that would have been right, and both values.
func TestOtherDialectIsNamed(t *testing.T) {
	data := []byte("ST=32;CN=2011;CP=&&a-Rtd=1&&")
	reasons := map[Dialect]Reason{DialectHJ: ReasonCRCHJ, DialectModbus: ReasonCRCModbus, DialectModbusSwapped: ReasonCRCModbusSwapped, DialectCCITT: ReasonCRCCCITT}
	for sent := range DialectNone {
		for expected := range DialectNone {
			raw := fmt.Sprintf("##%04d%s%04X\r\n", len(data), data, sent.Sum(data))
			for _, tolerant := range []bool{false, true} {
				_, size, err := Framer{Tolerant: tolerant, CRC: expected}.Next([]byte(raw), false)
				if sent == expected {
					if err != nil || size != len(raw) {
						t.Errorf("%v: size %d, %v", sent, size, err)
					}
					continue
				}
				perr, ok := errors.AsType[*ParseError](err)
				if !ok || perr.Reason != reasons[sent] || size != len(raw) {
					t.Errorf("%v for %v: size %d, %v, want %v", sent, expected, size, err, reasons[sent])
					continue
				}
				want := fmt.Sprintf("CRC %04X sent, %04X computed, right for %v", sent.Sum(data), expected.Sum(data), sent)
				if perr.Detail != want {
					t.Errorf("%v for %v: %q, want %q", sent, expected, perr.Detail, want)
				}
			}
		}
	}
}

// TestAnyCRC: what DialectNone takes for a frame's end.
func TestAnyCRC(t *testing.T) {
	const closed, open = "ST=32;CP=&&a-Rtd=1&&", "ST=39;CP=&&a-Rtd=1"
	head := func(data string) string { return fmt.Sprintf("##%04d%s", len(data), data) }
	long := fmt.Sprintf("##%04d%s", len(closed)+4, closed)
	next := head(closed) + "0000\r\n"
	const ok, okOpen = "ok:" + closed, "ok:" + open
	for _, tt := range []struct{ name, stream, strict, tolerant string }{
		{"any digits", head(closed) + "12AB\r\n" + next, ok + " " + ok, ok + " " + ok},
		{"no digits", head(closed) + "zz--\r\n" + next, ok + " " + ok, ok + " " + ok},
		{"no tail", head(closed) + "12AB" + next, "tail:30 " + ok, ok + " " + ok},
		{"not closed", head(open) + "12AB\r\n" + next, okOpen + " " + ok, okOpen + " " + ok},
		{"not closed, no tail", head(open) + "12AB" + next, "tail:28 " + ok, okOpen + " " + ok},
		{"not closed, no tail, the end", head(open) + "12AB", "tail:28", okOpen},
		{"not closed, cut off", head(open) + "12A", "half:27", "half:27"},
		{"length counts the CRC", long + "12AB\r\n" + next, "length:32 " + ok, ok + " " + ok},
		{"a head quoted", head("CP=&&i-Info=//##0001x1234//&&") + "12AB\r\n", "ok:CP=&&i-Info=//##0001x1234//&&", "ok:CP=&&i-Info=//##0001x1234//&&"},
	} {
		for _, tolerant := range []bool{false, true} {
			want := tt.strict
			if tolerant {
				want = tt.tolerant
			}
			f := Framer{Tolerant: tolerant, CRC: DialectNone}
			for _, cut := range []func() int{nil, func() int { return 1 }} {
				if got := show(decodeAll(f, []byte(tt.stream), cut)); got != want {
					t.Errorf("%s, tolerant=%t: %q\n got  %s\n want %s", tt.name, tolerant, tt.stream, got, want)
				}
			}
		}
	}
}
