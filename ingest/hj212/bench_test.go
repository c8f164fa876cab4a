package hj212

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// frame600 is a frame of about 600 bytes of data with 39 fields, of which 16 are numbers: a real-time upload of 16 factors of gas with
// their marks.
func frame600(tb testing.TB) []byte {
	codes := strings.Fields("a21026 a21002 a34013 a19001 a01011 a01012 a01013 a01014 a21005 a05001 a21018 a21024 a00000 a01017 a05002 a24088")
	values := []string{"36.91", "231.0", "1.803", "0.5", "12", "104.221", "7.04", "0.0032"}
	data := []byte("QN=20240520210700000;ST=31;CN=2011;PW=123456;" + mn2017 + ";Flag=5;CP=&&DataTime=20240520210700")
	for i, code := range codes {
		data = fmt.Appendf(data, ";%s-Rtd=%s,%s-Flag=N", code, values[(i*5+i/8)%8], code)
	}
	data = append(data, "&&"...)
	if n := len(data); n < 590 || n > 610 {
		tb.Fatalf("%d bytes", n)
	}
	return AppendFrame(nil, data)
}

// decodeReference is decodeFrame with the plain code: annex A's table for the CRC, one byte at a time.
func decodeReference(raw []byte, m *reference) bool {
	data := raw[headLen : len(raw)-crcLen-tailLen]
	crc, _, ok := parseCRC(raw[len(raw)-crcLen-tailLen : len(raw)-tailLen])
	return ok && crc == tableCRC(data) && m.parse(data) == nil
}

// tableCRC is the 256-entry table, one byte after the other.
func tableCRC(data []byte) uint16 {
	r := uint16(0xFFFF)
	for _, b := range data {
		r = crcTable[byte(r>>8)^b]
	}
	return r
}

var sinkCRC uint16

func BenchmarkCRC600(b *testing.B) {
	data := bytes.Repeat([]byte("a34013-Rtd=1.25;"), 38)[:600]
	for _, way := range []struct {
		name string
		crc  func([]byte) uint16
	}{{"fold", CRC}, {"table", tableCRC}, {"bitwise", slowCRC}, {"modbus", DialectModbus.Sum}, {"ccitt", DialectCCITT.Sum}} {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				sinkCRC = way.crc(data)
			}
		})
	}
}

// corpusData is the corpus' frames of measured data, 2011 and 2051.
func corpusData(tb testing.TB) (frames [][]byte, size int) {
	for _, c := range corpus(tb) {
		if c.expected == "valid" && (c.cn == "2011" || c.cn == "2051") {
			frames = append(frames, c.raw)
			size += len(c.raw)
		}
	}
	return frames, size
}

func BenchmarkDecodeCorpus(b *testing.B) {
	frames, size := corpusData(b)
	var fast Message
	var plain reference
	for _, way := range []struct {
		name   string
		decode func(raw []byte) bool
	}{
		{"fast", func(raw []byte) bool { return decodeFrame(Framer{}, raw, &fast) }},
		{"tolerant", func(raw []byte) bool { return decodeFrame(Framer{Tolerant: true}, raw, &fast) }},
		{"reference", func(raw []byte) bool { return decodeReference(raw, &plain) }},
	} {
		b.Run(way.name, func(b *testing.B) { benchDecode(b, frames, size, way.decode) })
	}
}

func BenchmarkDecode600(b *testing.B) {
	raw := frame600(b)
	var fast Message
	var plain reference
	b.Run("fast", func(b *testing.B) {
		benchDecode(b, [][]byte{raw}, len(raw), func(raw []byte) bool { return decodeFrame(Framer{}, raw, &fast) })
	})
	b.Run("header", func(b *testing.B) {
		benchDecode(b, [][]byte{raw}, len(raw), func(raw []byte) bool {
			fr, _, err := Framer{}.Next(raw, false)
			return err == nil && fast.ParseHeader(fr.Data) == nil
		})
	})
	b.Run("header and QN of 2005", func(b *testing.B) {
		benchDecode(b, [][]byte{raw}, len(raw), func(raw []byte) bool {
			fr, _, err := Framer{}.Next(raw, false)
			return err == nil && fast.ParseHeader(fr.Data) == nil && fast.ExchangeQN() != nil
		})
	})
	b.Run("reference", func(b *testing.B) {
		benchDecode(b, [][]byte{raw}, len(raw), func(raw []byte) bool { return decodeReference(raw, &plain) })
	})
}

func benchDecode(b *testing.B, frames [][]byte, size int, decode func([]byte) bool) {
	for _, raw := range frames { // warm
		if !decode(raw) {
			b.Fatalf("%q is not decoded", raw)
		}
	}
	b.SetBytes(int64(size / len(frames)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		decode(frames[i])
		if i++; i == len(frames) {
			i = 0
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

func BenchmarkDecimal(b *testing.B) {
	for _, text := range []string{"7", "36.91", "1024.5", "-0.25", "235.292750833832", "1234567890123456789"} {
		data := []byte(text + ";a34013-Avg=")[:len(text)]
		b.Run(fmt.Sprintf("fast/%s", text), func(b *testing.B) {
			for b.Loop() {
				ParseDecimal(data)
			}
		})
		b.Run(fmt.Sprintf("reference/%s", text), func(b *testing.B) {
			for b.Loop() {
				referenceDecimal(data)
			}
		})
	}
}
