package hj212

import (
	"bytes"
	"strconv"
)

// A Request is a segment to be sent: the host's request or notice, or, in a simulated logger, an upload or an answer. CP is what stands
// between the two "&&", in its final form; AppendParam and AppendValue build it.
type Request struct {
	QN, ST, CN, PW, MN string
	Version            uint8 // Version2005, Version2017 or Version2025
	WantAck            bool
	Answer             bool // an answer within an exchange: in 2005 QN then stands first in the CP instead of in the header
	PNUM, PNO          int  // 0: not one of several packets
	RF                 bool // backfill; there is none before 2025
	CP                 []byte
	Dialect            Dialect // of the CRC
}

// AppendRequest appends r as a whole frame. Flag is the conforming one: requests printed in 2005 set bit 1 without having packet numbers,
// r's do not. Without a QN there is no such field, as on uploads of 2005; the other fields of the header are always there. It panics when
// the segment exceeds the 9999 bytes of the length field.
func AppendRequest(dst []byte, r Request) []byte {
	m := Message{ST: []byte(r.ST), CN: []byte(r.CN), PW: []byte(r.PW), MN: []byte(r.MN), PNUM: r.PNUM, PNO: r.PNO, RF: r.RF, CP: r.CP}
	m.Flag, m.HasFlag = NewFrameFlag(r.Version, r.WantAck, r.PNUM > 0), true
	switch {
	case r.QN == "":
	case r.Answer && r.Version == Version2005:
		m.CP = AppendParam(nil, "QN", []byte(r.QN))
		if len(r.CP) > 0 {
			m.CP = append(append(m.CP, ';'), r.CP...)
		}
	default:
		m.QN = []byte(r.QN)
	}
	if m.CP == nil {
		m.CP = []byte{}
	}
	dst, start := beginFrame(dst)
	return endFrame(AppendSegment(dst, &m), start, r.Dialect)
}

// NewFrameFlag is the Flag of an edition's segment.
func NewFrameFlag(version uint8, wantAck, hasPackets bool) FrameFlag {
	f := FrameFlag(version << 2)
	if wantAck {
		f |= 1
	}
	if hasPackets {
		f |= 2
	}
	return f
}

// AppendSegment appends the data segment of m. For a Message that Parse filled, that is its Text, byte for byte. Without a Text it is made
// of the fields, those that are nil, zero or false left out, in the order of the edition's table: QN PNUM PNO ST CN PW MN Flag CP in 2005,
// QN ST CN PW MN Flag PNUM PNO RF CP later; and CP as it is. Parse of the result gives the same fields again, if no value
// of the header holds a separator.
func AppendSegment(dst []byte, m *Message) []byte {
	if m.Text != nil {
		return append(dst, m.Text...)
	}
	start := len(dst)
	old := m.Version() == Version2005
	dst = appendText(dst, "QN=", m.QN)
	if old {
		dst = appendNumber(dst, "PNUM=", m.PNUM)
		dst = appendNumber(dst, "PNO=", m.PNO)
	}
	dst = appendText(dst, "ST=", m.ST)
	dst = appendText(dst, "CN=", m.CN)
	dst = appendText(dst, "PW=", m.PW)
	dst = appendText(dst, "MN=", m.MN)
	if m.HasFlag {
		dst = append(strconv.AppendInt(append(dst, "Flag="...), int64(m.Flag), 10), ';')
	}
	if !old {
		dst = appendNumber(dst, "PNUM=", m.PNUM)
		dst = appendNumber(dst, "PNO=", m.PNO)
	}
	if m.RF {
		dst = append(dst, "RF=1;"...)
	}
	if m.CP != nil {
		return append(append(append(dst, "CP=&&"...), m.CP...), "&&"...)
	}
	if len(dst) > start {
		dst = dst[:len(dst)-1]
	}
	return dst
}

func appendText(dst []byte, key string, value []byte) []byte {
	if value == nil {
		return dst
	}
	return append(append(append(dst, key...), value...), ';')
}

func appendNumber(dst []byte, key string, n int) []byte {
	if n == 0 {
		return dst
	}
	return append(strconv.AppendInt(append(dst, key...), int64(n), 10), ';')
}

// AppendParam appends "key=value" to a CP, behind a ";" unless it is the first.
func AppendParam(cp []byte, key string, value []byte) []byte {
	if len(cp) > 0 {
		cp = append(cp, ';')
	}
	return append(append(append(cp, key...), '='), value...)
}

// AppendValue appends "code-suffix=value" to a CP: behind a "," when the last item of the CP is of the same code, as the standards join
// the values of one factor, else behind a ";".
func AppendValue(cp []byte, code, suffix string, value []byte) []byte {
	if len(cp) > 0 {
		cp = append(cp, separator(cp, code))
	}
	cp = append(append(append(cp, code...), '-'), suffix...)
	return append(append(cp, '='), value...)
}

// separator is what stands between a CP and a further value of code.
func separator(cp []byte, code string) byte {
	item := cp[bytes.LastIndexByte(cp, ';')+1:]
	if len(item) > len(code) && string(item[:len(code)]) == code && item[len(code)] == '-' {
		return ','
	}
	return ';'
}
