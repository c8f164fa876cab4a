package hj212

import (
	"fmt"
	"strconv"
)

// maxEcho bounds a header field that an answer repeats. None of the standards' is longer than 24 bytes.
const maxEcho = 64

// AppendFrame appends data in its envelope: "##", length, data, CRC in upper case, CR LF. data must fit the four-digit length, 9999 bytes.
func AppendFrame(dst, data []byte) []byte {
	dst, start := beginFrame(dst)
	return endFrame(append(dst, data...), start, DialectHJ)
}

// AppendDataAck appends the whole 9014 frame (数据应答) that answers the upload m, in the sender's edition and CRC dialect: in 2005 QN
// and CN, and the packet numbers if there were any, stand in the CP and nothing else is repeated (HJ/T 212-2005 annex C; that edition
// has a 9012 answered in the same way where data is); later the header repeats QN, PW and MN and the CP is empty (HJ 212-2017 C.16).
// A field that m does not have, or has with more than 64 bytes, is left out.
func AppendDataAck(dst []byte, m *Message, d Dialect) []byte {
	if m.Version() != Version2005 {
		return appendReply(dst, m, "9014", d)
	}
	dst, start := beginFrame(dst)
	dst = append(dst, "ST=91;CN=9014;CP=&&"...)
	dst = appendField(dst, "QN=", m.ExchangeQN())
	dst = appendField(dst, "CN=", m.CN)
	if m.PNUM > 0 && m.PNO > 0 {
		dst = strconv.AppendInt(append(dst, "PNO="...), int64(m.PNO), 10)
		dst = strconv.AppendInt(append(dst, ";PNUM="...), int64(m.PNUM), 10)
		dst = append(dst, ';')
	}
	return endFrame(append(trimSeparator(dst), "&&"...), start, d)
}

// AppendNoticeAck appends the whole 9013 frame (通知应答) that answers the notice m, in the sender's edition and CRC dialect: in 2005 the
// QN stands in the CP (HJ/T 212-2005 annex C), later in the header.
func AppendNoticeAck(dst []byte, m *Message, d Dialect) []byte {
	if m.Version() != Version2005 {
		return appendReply(dst, m, "9013", d)
	}
	dst, start := beginFrame(dst)
	dst = append(dst, "ST=91;CN=9013;"...)
	dst = appendField(dst, "PW=", m.PW)
	dst = appendField(dst, "MN=", m.MN)
	dst = append(dst, "Flag=0;CP=&&"...)
	dst = appendField(dst, "QN=", m.ExchangeQN())
	return endFrame(append(trimSeparator(dst), "&&"...), start, d)
}

// appendReply appends an answer with an empty CP in the form of 2017 and 2025, version bits as in m, no answer wanted.
func appendReply(dst []byte, m *Message, cn string, d Dialect) []byte {
	dst, start := beginFrame(dst)
	dst = appendField(dst, "QN=", m.QN)
	dst = append(append(dst, "ST=91;CN="...), cn...)
	dst = append(dst, ';')
	dst = appendField(dst, "PW=", m.PW)
	dst = appendField(dst, "MN=", m.MN)
	dst = strconv.AppendInt(append(dst, "Flag="...), int64(m.Version())<<2, 10)
	return endFrame(append(dst, ";CP=&&&&"...), start, d)
}

// appendField appends "key=value;" unless the value is absent or too long to be repeated.
func appendField(dst []byte, key string, value []byte) []byte {
	if value == nil || len(value) > maxEcho {
		return dst
	}
	return append(append(append(dst, key...), value...), ';')
}

// trimSeparator drops the ';' that dst may end with.
func trimSeparator(dst []byte) []byte {
	if dst[len(dst)-1] == ';' {
		return dst[:len(dst)-1]
	}
	return dst
}

// beginFrame appends a head whose length endFrame fills in; start is where the segment begins.
func beginFrame(dst []byte) (buf []byte, start int) {
	dst = append(dst, "##0000"...)
	return dst, len(dst)
}

// endFrame completes the frame whose segment is dst[start:].
func endFrame(dst []byte, start int, d Dialect) []byte {
	n := len(dst) - start
	if n > maxData {
		panic(fmt.Sprintf("hj212: a segment of %d bytes, the length field holds %d", n, maxData))
	}
	appendDigits(dst[:start-4], n, 4) // within capacity: overwrites the four zeros
	return append(appendHex(dst, d.Sum(dst[start:])), '\r', '\n')
}
