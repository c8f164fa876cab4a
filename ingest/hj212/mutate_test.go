package hj212

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// A mutator makes inputs for the equalities out of captured frames and the standards' segments. What it returns is its own, until the next.
type mutator struct {
	rnd      *rand.Rand
	segments [][]byte

	buf, out, joined []byte
}

func newMutator(tb testing.TB, rnd *rand.Rand) *mutator {
	m := &mutator{rnd: rnd}
	for _, c := range corpus(tb) {
		if fr, _, err := (Framer{Tolerant: true}).Next(c.raw, true); err == nil && fr.Raw != nil {
			m.segments = append(m.segments, fr.Data)
		}
	}
	for _, r := range readTSV(tb, "segments.tsv") {
		m.segments = append(m.segments, []byte(r[3]))
	}
	for _, v := range vectors {
		m.segments = append(m.segments, []byte(v.data))
	}
	m.segments = append(m.segments, dirty)
	return m
}

// words are what faults are made of: separators, marks of the envelope, keys, odd numbers, Chinese in UTF-8 and in GBK.
var words = []string{
	"", "#", "##", "##0001", "&", "&&", ";", ",", "=", "-", "--", "//", "\r\n", "\n", "\r", " ", "\t", ".", "\x00", "\x7f", "\x80", "\xff",
	"CP=&&", "cp = &&", "QN=", "PNUM=2;", "PNO=1;", "RF=1;", "Flag=", "Flag=5;", ";Flag=N", "MN=", "DataTime=", "DataTime=20160801085857;", "a34013-Avg=3.2,",
	"a34013-Flag=N;", "-Info=//", "-SampleTime=", "-ZsAvg=", "1e5", "-0.5", "9223372036854775808", "12345678", "null", "20230229000000", "##0000FFFF\r\n",
	"清洗管路", "\xC7\xE5\xCF\xB4\xB9\xDC\xC2\xB7", "\xC7\x3B", "\x81\x30\x81\x30", "##0013ST=32;CN=20110981\r\n",
}

// segment is a known one with up to three faults.
func (m *mutator) segment() []byte {
	m.buf = append(m.buf[:0], m.known()...)
	for range m.rnd.IntN(4) {
		m.buf = m.mutate(m.buf)
	}
	return m.buf[:min(len(m.buf), maxData)]
}

func (m *mutator) known() []byte { return m.segments[m.rnd.IntN(len(m.segments))] }

// span is a place of b, short more often than not, and at times a whole field.
func (m *mutator) span(b []byte) (from, to int) {
	from = m.rnd.IntN(len(b) + 1)
	if to = min(len(b), from+m.rnd.IntN(1+m.rnd.IntN(40))); m.rnd.IntN(2) == 0 {
		from = 1 + bytes.LastIndexAny(b[:from], ";,")
		if to = bytes.IndexAny(b[from:], ";,"); to < 0 {
			return from, len(b)
		}
		to += from + 1
	}
	return from, to
}

// mutate is b with one fault; it may be b itself, changed.
func (m *mutator) mutate(b []byte) []byte {
	if len(b) == 0 {
		return append(b, words[m.rnd.IntN(len(words))]...)
	}
	at := m.rnd.IntN(len(b))
	from, to := m.span(b)
	switch m.rnd.IntN(10) {
	case 0:
		b[at] ^= 1 << m.rnd.IntN(8)
	case 1:
		b[at] = byte(m.rnd.Uint32())
	case 2: // another digit
		for i := range b[at:] {
			if c := &b[at+i]; *c >= '0' && *c <= '9' {
				*c = '0' + byte(m.rnd.IntN(10))
				break
			}
		}
	case 3: // a field or a piece is lost
		b = append(b[:from], b[to:]...)
	case 4: // is there twice, here or somewhere else
		m.out = append(append(append(m.out[:0], b[:at]...), b[from:to]...), b[at:]...)
		return append(b[:0], m.out...)
	case 5: // the rest of another segment
		other := m.known()
		return append(b[:at], other[m.rnd.IntN(len(other)+1):]...)
	case 6: // cut off
		return b[:at]
	case 7: // letters in the other case
		for i := from; i < to; i++ {
			if c := b[i] | 0x20; c >= 'a' && c <= 'z' {
				b[i] ^= 0x20
			}
		}
	default:
		word := words[m.rnd.IntN(len(words))]
		if m.rnd.IntN(2) == 0 { // in place of a piece
			at, b = from, append(b[:from], b[to:]...)
		}
		m.out = append(append(append(m.out[:0], b[:at]...), word...), b[at:]...)
		return append(b[:0], m.out...)
	}
	return b
}

// stream is one to three frames for f, most of them right, and what goes wrong on the way.
func (m *mutator) stream(f Framer) []byte {
	stream := m.joined[:0]
	for range 1 + m.rnd.IntN(3) {
		data := m.segment()
		if n := f.maxSegment(); len(data) > n && m.rnd.IntN(8) > 0 { // mostly within the limit
			from := m.rnd.IntN(len(data) - n + 1)
			data = data[from : from+1+m.rnd.IntN(n)]
		}
		stream = m.frame(stream, data, f.CRC)
	}
	for m.rnd.IntN(3) == 0 {
		stream = m.mutate(stream)
	}
	m.joined = stream
	return stream
}

// frame appends data in its envelope, with a fault in it now and then.
func (m *mutator) frame(dst, data []byte, d Dialect) []byte {
	begin := len(dst)
	n := len(data)
	switch m.rnd.IntN(24) { // the length lies: by some, by as much as the CRC, it counts characters, it is anything
	case 0:
		n += m.rnd.IntN(60) - 30
	case 1:
		n += crcLen
	case 2:
		n = len([]rune(string(data)))
	case 3:
		n = m.rnd.IntN(maxData + 1)
	}
	dst = appendDigits(append(dst, "##"...), min(max(n, 0), maxData), 4)
	if m.rnd.IntN(24) == 0 { // not padded
		for len(dst) > begin+3 && dst[begin+2] == '0' {
			dst = append(dst[:begin+2], dst[begin+3:]...)
		}
	}
	crc := d.Sum(data)
	switch m.rnd.IntN(24) {
	case 0:
		crc ^= uint16(m.rnd.Uint32())
	case 1:
		crc = Dialect(m.rnd.IntN(numDialects)).Sum(data)
	}
	at := len(dst) + len(data)
	dst = appendHex(append(dst, data...), crc)
	if m.rnd.IntN(12) == 0 {
		copy(dst[at:], bytes.ToLower(dst[at:]))
	}
	if m.rnd.IntN(24) == 0 { // the sender stops within the frame
		dst = dst[:begin+m.rnd.IntN(len(dst)-begin)]
	}
	tails := [...]string{"", "\n", "\r", " ", "\r\n\r\n", "#", " \t\r\n", "junk"}
	if i := m.rnd.IntN(3 * len(tails)); i < len(tails) {
		return append(dst, tails[i]...)
	}
	return append(dst, "\r\n"...)
}

// text is a number, a time or any value of a known segment, with up to three faults.
func (m *mutator) text() []byte {
	switch m.rnd.IntN(4) {
	case 0:
		m.buf = m.number(m.buf[:0])
	case 1:
		m.buf = m.date(m.buf[:0])
	default:
		known := m.known()
		from := m.rnd.IntN(len(known) + 1)
		from = min(len(known), from+1+bytes.IndexByte(known[from:], '='))
		to := from + bytes.IndexAny(known[from:], ";,&")
		m.buf = append(m.buf[:0], known[from:max(from, to)]...)
	}
	for range m.rnd.IntN(4) {
		if at := m.rnd.IntN(len(m.buf) + 1); at < len(m.buf) && m.rnd.IntN(4) > 0 {
			m.buf[at] = "0123456789012345678901234567890123456789.+-eE"[m.rnd.IntN(45)]
		} else {
			m.buf = append(m.buf, m.buf[:min(at, 20)]...)
		}
	}
	if m.rnd.IntN(8) == 0 {
		m.buf = m.mutate(m.buf)
	}
	return m.buf
}

// number appends up to 20 digits, a point, zeros, and an exponent about the ends of its range, each at will.
func (m *mutator) number(dst []byte) []byte {
	if m.rnd.IntN(4) == 0 {
		dst = append(dst, "+-"[m.rnd.IntN(2)])
	}
	begin := len(dst)
	dst = strconv.AppendUint(dst, m.rnd.Uint64()>>m.rnd.IntN(64), 10)
	dst = append(dst, "0000000000"[:m.rnd.IntN(1+m.rnd.IntN(11))]...)
	if m.rnd.IntN(2) == 0 {
		dst = slices.Insert(dst, begin+m.rnd.IntN(len(dst)-begin+1), '.')
	}
	if m.rnd.IntN(2) == 0 {
		exp := m.rnd.IntN(9)
		if m.rnd.IntN(2) == 0 {
			exp = 110 + m.rnd.IntN(40)
		}
		dst = strconv.AppendInt(append(dst, 'e'), int64(exp*(1-2*m.rnd.IntN(2))), 10)
	}
	return dst
}

// date appends a time of one of the lengths that times have, the ends of centuries, months, hours and minutes more often than not, and
// what is just beyond them. TestEveryDate has each date.
func (m *mutator) date(dst []byte) []byte {
	begin := len(dst)
	dst = appendDigits(dst, m.rnd.IntN(100)*100+m.rnd.IntN(1+m.rnd.IntN(100)), 4)
	dst = appendDigits(appendDigits(dst, m.rnd.IntN(14), 2), 26+m.rnd.IntN(7)-26*m.rnd.IntN(2), 2)
	for _, end := range [...]int{24, 60, 60} {
		dst = appendDigits(dst, (end-1+m.rnd.IntN(2)*m.rnd.IntN(end))%(end+1), 2)
	}
	dst = appendDigits(dst, m.rnd.IntN(1000), 3)
	return dst[:begin+[...]int{8, 12, 14, 17}[m.rnd.IntN(4)]]
}

// piece is as much of a segment as equality crc takes, short more often than not.
func (m *mutator) piece() []byte {
	data := m.segment()
	from := m.rnd.IntN(len(data) + 1)
	return data[from:min(len(data), from+m.rnd.IntN(1+m.rnd.IntN(maxCRC)))]
}
