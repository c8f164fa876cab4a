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

// half judges a frame of which not all bytes are there: wait, or refuse at the end of the stream. length is -1 when not known.
func half(buf []byte, length int, eof bool) (size int, perr *ParseError) {
	if !eof {
		return 0, nil
	}
	size = len(buf)
	if i, whole := findHead(buf, 2); whole || i+2 == len(buf) {
		size = i
	}
	if counted, ok := countSegment(buf[:size]); ok && length >= 0 {
		return size, lengthError(length, counted)
	}
	return size, &ParseError{ReasonHalf, size, "the stream ended within the frame"}
}

// badCRC refuses a frame whose CRC is not that of the bytes that its length announces. One of the two is wrong; the text tells which.
func (f Framer) badCRC(buf []byte, length int, eof bool) (size int, perr *ParseError) {
	end := headLen + length + crcLen
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
	if counted, ok := countSegment(buf[:size]); ok && counted != length {
		return size, lengthError(length, counted)
	}
	if whole && isHead(buf[size:end]) {
		detail := "another frame begins within the " + strconv.Itoa(length) + " bytes announced"
		return size, &ParseError{ReasonLength, size, detail}
	}
	detail := "CRC is not four hex digits"
	if crc, _, ok := parseCRC(buf[end-crcLen : end]); ok {
		detail = string(appendHex(append(appendHex([]byte("CRC "), crc), " sent, "...), CRC(buf[headLen:end-crcLen]))) + " computed"
	}
	return size, &ParseError{ReasonCRC, end - crcLen, detail}
}

// lengthError names both lengths.
func lengthError(announced, counted int) *ParseError {
	return &ParseError{ReasonLength, 2, "length " + strconv.Itoa(announced) + " announced, " + strconv.Itoa(counted) + " counted"}
}

// countSegment tells how long the segment of a refused frame is by its text: to the last "&&" that four hex digits follow, and
// after these the end of the span or of the line. ok is false when there is no such place.
func countSegment(span []byte) (n int, ok bool) {
	i := bytes.LastIndex(span, []byte("&&"))
	if i < headLen {
		return 0, false
	}
	i += 2
	if len(span) < i+crcLen || len(span) > i+crcLen && span[i+crcLen] != '\r' && span[i+crcLen] != '\n' {
		return 0, false
	}
	_, _, hex := parseCRC(span[i : i+crcLen])
	return i - headLen, hex
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
