package hj212

import (
	"bytes"
	"strconv"
)

// junk refuses bytes that are no frame, from the first one on to the next head, or, when line is set, to the end of the line if that
// comes first; at most limit bytes. The search begins at from. It waits for more bytes while the end is not known.
func (f Framer) junk(buf []byte, from int, eof, line bool, why ParseError) (size int, perr *ParseError) {
	size, known := f.junkEnd(buf, from, eof, line)
	if !known {
		return 0, nil
	}
	return size, &why
}

// junkEnd is where junk ends; known is false when that takes more bytes.
func (f Framer) junkEnd(buf []byte, from int, eof, line bool) (end int, known bool) {
	limit := f.limit()
	i, whole := findHead(buf, from)
	if line {
		if k := bytes.IndexByte(buf[from:i], '\n'); k >= 0 {
			return min(from+k+1, limit), true
		}
	}
	switch {
	case i >= limit: // nothing before limit opens a frame, and that is certain: findHead needed no byte beyond buf
		return limit, true
	case whole:
		return i, true
	case eof && i+1 == len(buf): // a single '#' at the end of the stream
		return len(buf), true
	case eof:
		return i, true
	}
	return 0, false
}

// half judges a frame of which not all bytes are there: wait, or settle at the end of the stream. h.at is 0 when the head is not whole.
func (f Framer) half(buf []byte, h head, eof bool, fr *Frame) (size int, perr *ParseError) {
	if !eof {
		return 0, nil
	}
	size = len(buf)
	if i, whole := findHead(buf, 2); whole || i+2 == len(buf) {
		size = i
	}
	if h.at > 0 {
		if n, lower, ok := f.byText(buf[:size], h); ok {
			return f.take(buf, h, n, lower, fr), nil
		}
		if counted, ok := countSegment(buf[:size], h.at); ok {
			return size, lengthError(h.length, counted)
		}
	}
	return size, &ParseError{ReasonHalf, size, "the stream ended within the frame"}
}

// badCRC judges a frame whose CRC is not that of the bytes that its length announces. One of the two is wrong; the text tells which.
func (f Framer) badCRC(buf []byte, h head, eof bool, fr *Frame) (size int, perr *ParseError) {
	end := h.end()
	size, whole := findHead(buf[:end], 2)
	if size == end {
		tail, known := lineEnd(buf[end:], eof)
		size += tail
		if tail == 0 && known && len(buf) > end {
			// The announced bytes end in the middle of something: what follows, to the end of the line, belongs to it.
			size, known = f.junkEnd(buf, end, eof, true)
		}
		if !known {
			return 0, nil
		}
	}
	if n, lower, ok := f.byText(buf[:size], h); ok {
		return f.take(buf, h, n, lower, fr), nil
	}
	data, digits := buf[h.at:end-crcLen], buf[end-crcLen:end]
	crc, _, hex := parseCRC(digits)
	if hex {
		if other, ok := f.CRC.other(data, crc); ok {
			return size, &ParseError{other.reason(), end - crcLen, f.crcDetail(crc, data) + ", right for " + other.String()}
		}
	}
	if counted, ok := countSegment(buf[:size], h.at); ok && counted != h.length {
		return size, lengthError(h.length, counted)
	}
	if whole && isHead(buf[size:end]) {
		detail := "another frame begins within the " + strconv.Itoa(h.length) + " bytes announced"
		return size, &ParseError{ReasonLength, size, detail}
	}
	detail := "CRC is not four hex digits"
	switch {
	case f.CRC == DialectNone:
		detail = "no frame ends where the length leads"
	case hex:
		detail = f.crcDetail(crc, data)
	}
	return size, &ParseError{ReasonCRC, end - crcLen, detail}
}

// crcDetail names both CRCs.
func (f Framer) crcDetail(sent uint16, data []byte) string {
	text := appendHex([]byte("CRC "), sent)
	text = appendHex(append(text, " sent, "...), f.CRC.Sum(data))
	return string(text) + " computed"
}

// lengthError names both lengths.
func lengthError(announced, counted int) *ParseError {
	return &ParseError{ReasonLength, 2, "length " + strconv.Itoa(announced) + " announced, " + strconv.Itoa(counted) + " counted"}
}

// byText reports whether a tolerant framer takes the frame with the head h, within span, by its text, and its segment's length.
func (f Framer) byText(span []byte, h head) (n int, lower, ok bool) {
	if !f.Tolerant {
		return 0, false, false
	}
	n, ok = countSegment(span, h.at)
	if !ok || n > f.maxSegment() {
		return 0, false, false
	}
	end := h.at + n
	lower, ok = f.check(span[h.at:end], span[end:end+crcLen])
	return n, lower, ok
}

// line is byText for the first line within buf that makes a whole frame of it.
func (f Framer) line(buf []byte, h head) (n int, lower, ok bool) {
	from := h.at
	for tried := 0; tried < maxInner; {
		k := bytes.IndexByte(buf[min(from, len(buf)):], '\n')
		if k < 0 {
			return 0, false, false
		}
		from += k + 1
		text := bytes.TrimSuffix(buf[:from-1], []byte("\r"))
		if end := len(text) - crcLen; end >= h.at && bytes.HasSuffix(text[h.at:end], []byte(closing)) {
			tried++
			if n, lower, ok = f.byText(text, h); ok {
				return n, lower, true
			}
		}
	}
	return 0, false, false
}

const closing = "&&" // of the CP, and so of the segment

// countSegment tells how long the segment that begins at at is by its text: to the last "&&" of the span that four hex digits follow, and
// after these the end of the span or of the line. ok is false when there is no such place.
func countSegment(span []byte, at int) (n int, ok bool) {
	i := bytes.LastIndex(span, []byte(closing))
	if i < at {
		return 0, false
	}
	i += 2
	if len(span) < i+crcLen || len(span) > i+crcLen && span[i+crcLen] != '\r' && span[i+crcLen] != '\n' {
		return 0, false
	}
	_, _, hex := parseCRC(span[i : i+crcLen])
	return i - at, hex
}

// isClosed reports whether a segment ends with the "&&" of a CP that another one opens.
func isClosed(data []byte) bool {
	return bytes.HasSuffix(data, []byte(closing)) && bytes.Contains(data[:len(data)-len(closing)], []byte(closing))
}

// followed reports whether rest, behind the bytes that a length announces, looks like the end of a frame; known is false when it takes a
// byte to tell.
func followed(rest []byte, eof bool) (ends, known bool) {
	if len(rest) == 0 {
		return eof, eof
	}
	return rest[0] == '#' || blanks(rest[:1]) == 1, true
}

// isHead reports whether b begins with "##" and four digits, as far as b goes.
func isHead(b []byte) bool {
	for _, c := range b[min(2, len(b)):min(headLen, len(b))] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
