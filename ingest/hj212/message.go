package hj212

import "bytes"

// standardData is the longest data segment of the standards, in bytes (HJ 212-2017 table 2).
const standardData = 1024

// A Message is a parsed data segment (HJ 212-2017 6.3.2, table 3). The slices of bytes alias the segment given to Parse and live as
// long as it; the other slices belong to the Message and live until its next Parse or ParseHeader. A field of the header is nil when absent
// and empty when sent empty.
type Message struct {
	Text               []byte // the whole segment as sent; nil in a Message that nothing was parsed into
	QN, ST, CN, PW, MN []byte
	Flag               FrameFlag
	HasFlag            bool    // Flag was there and in 0..255
	PNUM, PNO          int     // 1..9999; 0 when absent or odd
	RF                 bool    // RF=1: sent again after the link was down (补传标识, HJ 212-2025)
	CP                 []byte  // between the two "&&"; nil when there is no CP
	DataTime           []byte  // the CP's first; by Parse only, as Pairs and Groups are
	Pairs              []Pair  // the whole CP in order
	Groups             []Group // the factors of the CP, in order of first appearance
	Quality            Quality

	plain *plainFields // scratch of Parse
}

// Parse reads a data segment, in any order of fields, with ";" or "," between them and blanks around them. Nothing that a segment holds
// makes it fail but holding no field at all: then the error is a *ParseError of ReasonSegment. Its slices are reused, so a warm
// Message is parsed into without allocation.
func (m *Message) Parse(data []byte) error {
	if err := m.ParseHeader(data); err != nil {
		return err
	}
	m.parseCP()
	return nil
}

// ParseHeader is Parse without a look into the CP, for whoever needs to know who sends what: it accepts and refuses the same segments and
// sets the same, but for DataTime, Pairs and Groups, which are empty, and for the Quality of what stands in the CP. Param, ExchangeQN, Reply
// and the acks work as after Parse. It costs a quarter of it at 600 bytes.
func (m *Message) ParseHeader(data []byte) error {
	*m = Message{Text: data, Pairs: m.Pairs[:0], Groups: m.Groups[:0], plain: m.plain}
	if len(data) > standardData {
		m.Quality |= Oversize
	}
	fields, at, cp := m.plainHeader(data)
	var shut int
	if cp {
		shut = m.setCP(data, int(at)+len("CP=&&"))
	} else {
		var header int
		header, shut = m.splitCP(data)
		fields += m.header(data[at:max(header, int(at))])
	}
	if shut < len(data) {
		if n := m.header(data[shut+len(closing):]); n > 0 {
			m.Quality |= FlagAfterCP
			fields += n
		}
	}
	if fields == 0 && m.Quality&NoCP != 0 && len(bytes.Trim(m.CP, ";, \t")) == 0 {
		return &ParseError{ReasonSegment, 0, "no field"}
	}
	m.check()
	return nil
}

// Version is the edition that the sender speaks, for answers to it: that of Flag, and without a Flag 2017 when the MN has that
// edition's 24 characters, else 2005.
func (m *Message) Version() uint8 {
	switch {
	case m.HasFlag:
		return m.Flag.Version()
	case len(m.MN) == 24:
		return Version2017
	}
	return Version2005
}

// splitCP sets m.CP, and returns where the header in front ends and where the CP does. Behind shut are the closing "&&" and what comes
// after it, unless shut is len(data). Without a CP all is header and both are len(data).
func (m *Message) splitCP(data []byte) (header, shut int) {
	open := bytes.Index(data, []byte(closing))
	if open < 0 {
		return m.splitBareCP(data)
	}
	header = open
	// "CP" and "=" may have blanks around them, and no separator in front ("Flag=5CP=", printed in HJ 212-2017 C.19).
	front := bytes.TrimRight(data[:open], " =")
	if n := len(front) - 2; n >= 0 && equalFold(front[n:], "CP") {
		header = n
	} else {
		m.Quality |= NoCP
	}
	return header, m.setCP(data, open+len(closing))
}

// setCP sets m.CP, which begins at open, and returns where it ends.
func (m *Message) setCP(data []byte, open int) (shut int) {
	shut = len(data) - len(closing)
	if shut < open || data[shut] != '&' || data[shut+1] != '&' {
		if shut = bytes.LastIndex(data[open:], []byte(closing)); shut < 0 {
			m.Quality |= UnclosedCP
			shut = len(data) - open
		}
		shut += open
	}
	m.CP = data[open:shut]
	return shut
}

// splitBareCP looks for a CP without any "&&": it runs to the end of the segment.
func (m *Message) splitBareCP(data []byte) (header, shut int) {
	for i := 0; i+3 <= len(data); i++ {
		if equalFold(data[i:i+3], "CP=") {
			m.CP = data[i+3:]
			m.Quality |= UnclosedCP
			return i, len(data)
		}
	}
	m.Quality |= NoCP
	return len(data), len(data)
}

// header reads fields up to the end of b and returns how many there were.
func (m *Message) header(b []byte) (fields int) {
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
func (m *Message) field(key, value []byte) {
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
		m.flag(value)
		return
	case equalFold(key, "PNUM"):
		m.packets(&m.PNUM, value)
		return
	case equalFold(key, "PNO"):
		if m.PNUM == 0 {
			m.Quality |= PacketOrder // taken back by check when no PNUM follows
		}
		m.packets(&m.PNO, value)
		return
	case equalFold(key, "RF"):
		m.backfill(value)
		return
	default:
		m.Quality |= UnknownField
		return
	}
	m.keep(text, value)
}

// keep sets one of the fields that are kept as sent.
func (m *Message) keep(field *[]byte, value []byte) {
	if *field != nil {
		m.Quality |= RepeatedField
		return
	}
	*field = value
}

func (m *Message) flag(value []byte) {
	n, ok := parseUint(value, 255)
	switch {
	case m.HasFlag:
		m.Quality |= RepeatedField
	case !ok:
		m.Quality |= OddFlag
	default:
		m.Flag, m.HasFlag = FrameFlag(n), true
	}
}

func (m *Message) packets(field *int, value []byte) {
	n, ok := parseUint(value, 9999)
	switch {
	case *field != 0:
		m.Quality |= RepeatedField
	case !ok || n == 0:
		m.Quality |= OddPackets
	default:
		*field = n
	}
}

func (m *Message) backfill(value []byte) {
	switch {
	case m.RF || m.Quality&OddRF != 0:
		m.Quality |= RepeatedField
	case string(value) == "1":
		m.RF = true
	default:
		m.Quality |= OddRF
	}
}

// check sets the qualities that take more than one field to see.
func (m *Message) check() {
	if len(m.QN) == 0 {
		m.Quality |= NoQN
	} else if len(m.QN) != 17 || !isTime(m.QN) {
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

// nextField cuts b at its first separator.
func nextField(b []byte) (field, rest []byte) {
	for i, c := range b {
		if c == ';' || c == ',' {
			return trim(b[:i]), b[i+1:]
		}
	}
	return trim(b), nil
}

// splitPair cuts a field at its first "=" and trims both sides; ok is false when there is none, and key is then the field.
func splitPair(field []byte) (key, value []byte, ok bool) {
	i := bytes.IndexByte(field, '=')
	if i < 0 {
		return field, nil, false
	}
	return trim(field[:i]), trim(field[i+1:]), true
}

// trim cuts spaces and tabs off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares b with an ASCII word, case apart.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		w := word[i]
		if c != w && (c|0x20 != w|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// parseUint reads one or more decimal digits of a number up to limit.
func parseUint(b []byte, limit int) (n int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int(c-'0'); n > limit {
			return 0, false
		}
	}
	return n, len(b) > 0
}
