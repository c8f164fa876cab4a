package hj212

import "bytes"

// The reference is the plain code that the fast one must agree with: it looks at one byte after the other, at one field after the other,
// and finds a group by looking at each. It fills the same Message.

// reference is a Message that the plain code parses into.
type reference Message

func (m *reference) parse(data []byte) error {
	*m = reference{Text: data, Pairs: m.Pairs[:0], Groups: m.Groups[:0]}
	if len(data) > standardData {
		m.Quality |= Oversize
	}
	header, trailer := m.splitCP(data)
	fields := m.header(header)
	if n := m.header(trailer); n > 0 {
		m.Quality |= FlagAfterCP
		fields += n
	}
	m.parseCP()
	if fields == 0 && len(m.Pairs) == 0 && m.Quality&NoCP != 0 {
		return &ParseError{ReasonSegment, 0, "no field"}
	}
	m.check()
	return nil
}

// splitCP sets m.CP and returns the header fields before and behind it.
func (m *reference) splitCP(data []byte) (header, trailer []byte) {
	open := bytes.Index(data, []byte("&&"))
	if open < 0 {
		return m.splitBareCP(data)
	}
	// "CP" and "=" may have blanks around them, and no separator in front ("Flag=5CP=", printed in HJ 212-2017 C.19).
	header = bytes.TrimRight(data[:open], " =")
	if n := len(header) - 2; n >= 0 && equalFold(header[n:], "CP") {
		header = header[:n]
	} else {
		header = data[:open]
		m.Quality |= NoCP
	}
	body := data[open+2:]
	m.CP = body
	if end := bytes.LastIndex(body, []byte("&&")); end >= 0 {
		m.CP, trailer = body[:end], body[end+2:]
	} else {
		m.Quality |= UnclosedCP
	}
	return header, trailer
}

// splitBareCP looks for a CP without any "&&": it runs to the end of the segment.
func (m *reference) splitBareCP(data []byte) (header, trailer []byte) {
	for i := 0; i+3 <= len(data); i++ {
		if equalFold(data[i:i+3], "CP=") {
			m.CP = data[i+3:]
			m.Quality |= UnclosedCP
			return data[:i], nil
		}
	}
	m.Quality |= NoCP
	return data, nil
}

// header reads fields up to the end of b and returns how many there were.
func (m *reference) header(b []byte) (fields int) {
	for len(b) > 0 {
		var field []byte
		field, b = nextField(b)
		if len(field) == 0 {
			continue
		}
		key, value, ok := splitPair(field)
		if !ok {
			m.Quality |= BareField
			continue
		}
		fields++
		m.field(key, value)
	}
	return fields
}

// field takes one header field.
func (m *reference) field(key, value []byte) {
	var text *[]byte
	switch {
	case equalFold(key, "QN"):
		text = &m.QN
	case equalFold(key, "ST"):
		text = &m.ST
	case equalFold(key, "CN"):
		text = &m.CN
	case equalFold(key, "PW"):
		text = &m.PW
	case equalFold(key, "MN"):
		text = &m.MN
	case equalFold(key, "Flag"):
		(*Message)(m).flag(value)
		return
	case equalFold(key, "PNUM"):
		(*Message)(m).packets(&m.PNUM, value)
		return
	case equalFold(key, "PNO"):
		if m.PNUM == 0 {
			m.Quality |= PacketOrder // taken back by check when no PNUM follows
		}
		(*Message)(m).packets(&m.PNO, value)
		return
	case equalFold(key, "RF"):
		(*Message)(m).backfill(value)
		return
	default:
		m.Quality |= UnknownField
		return
	}
	if *text != nil {
		m.Quality |= RepeatedField
		return
	}
	*text = value
}

// check sets the qualities that take more than one field to see.
func (m *reference) check() {
	if len(m.QN) == 0 {
		m.Quality |= NoQN
	} else if _, ok := referenceTime(m.QN); !ok || len(m.QN) != 17 {
		m.Quality |= OddQN
	}
	if m.PNUM == 0 {
		m.Quality &^= PacketOrder
	}
	if m.PNO > m.PNUM && m.PNUM > 0 {
		m.Quality |= OddPackets
	}
	if !m.HasFlag {
		if m.Quality&OddFlag == 0 {
			m.Quality |= NoFlag
		}
		return
	}
	if m.Flag.Version() > Version2025 {
		m.Quality |= UnknownVersion
	}
	switch {
	case m.Flag.HasPackets() && (m.PNUM == 0 || m.PNO == 0):
		m.Quality |= PacketsMissing
	case !m.Flag.HasPackets() && (m.PNUM > 0 || m.PNO > 0):
		m.Quality |= OddPackets
	}
}
