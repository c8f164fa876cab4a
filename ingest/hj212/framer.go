package hj212

import (
	"bytes"
	"strconv"
)

const (
	// DefaultMaxData is the longest data segment accepted by a zero Framer, in bytes. The standards stop at 1024; segments of 1,623 and
	// 1,703 bytes are in the field.
	DefaultMaxData = 4096
	// maxData is what four digits can announce.
	maxData = 9999

	headLen  = 6 // "##" and the length field
	crcLen   = 4
	tailLen  = 2
	maxBlank = 64 // blanks kept in front of the next frame, tolerant framing
	maxNote  = 8  // blanks that a tolerant Raw counts as its tail when no LF ends it
	maxInner = 32 // heads within one frame that are tried as frames of their own: bounds the work on "##0001##0001..."
)

// Framer finds frames in a byte stream (HJ 212-2017 6.3.1, table 2): "##", four digits, the data segment, four hex digits of CRC,
// CR LF. The zero value is strict. It has no state and may be shared.
type Framer struct {
	// Tolerant accepts any blank tail (CR, LF, space, tab, in any number) or none. A frame is then complete with its CRC, so a sender
	// that leaves the tail out gets its answer at once.
	Tolerant bool
	// MaxData is the longest data segment accepted, 1..9999 bytes; 0 is DefaultMaxData. A longer one is refused as ReasonLength.
	MaxData int
}

// A Frame is a frame whose length, CRC and, unless tolerant, tail are right. Its slices alias the buffer given to Next.
type Frame struct {
	Raw      []byte // from "##" to the tail
	Data     []byte // the data segment, 0..MaxData bytes
	LowerCRC bool   // the CRC was sent in lower-case hex
}

// MaxBuffer is the number of bytes at and above which Next always consumes: what a connection's buffer has to hold.
func (f Framer) MaxBuffer() int { return f.limit() + tailLen + maxBlank }

// limit is the longest frame on the wire, and the longest refused span.
func (f Framer) limit() int { return f.maxSegment() + headLen + crcLen + tailLen }

func (f Framer) maxSegment() int {
	if f.MaxData <= 0 {
		return DefaultMaxData
	}
	return min(f.MaxData, maxData)
}

// Next judges the first bytes of buf; the caller drops size bytes and calls again. eof says that no byte will follow buf.
//
//	err == nil, size > 0   fr is the next frame
//	err != nil, size > 0   the size bytes are refused; err is a *ParseError
//	err == nil, size == 0  buf holds no whole frame yet: call again with more bytes. Never at eof, unless buf is empty
//
// A refused span ends where the next "##" begins, so a good frame behind or within a bad one is not lost; a head whose length is too
// large is given up as soon as a whole good frame stands within the bytes it claims. No span is longer than a frame may be.
//
// Where the stream is cut into reads changes nothing: each decision is taken at a byte that the stream itself determines, and bytes
// beyond it are not looked at. The one exception is a tolerant frame's tail. Raw and size count the tail bytes that are there; blanks
// that come later lie in front of the next frame, and size counts them there. When nothing follows them (at eof, or after 64
// of them) Next consumes them with err == nil and fr.Raw == nil: nothing to deliver, nothing refused.
func (f Framer) Next(buf []byte, eof bool) (fr Frame, size int, err error) {
	blank := 0
	if f.Tolerant {
		if blank = blanks(buf); blank > maxBlank || blank == len(buf) && eof {
			return Frame{}, blank, nil
		}
		buf = buf[blank:]
	}
	size, perr := f.first(buf, eof, &fr)
	if size > 0 {
		size += blank
	}
	if perr != nil {
		perr.Offset += blank
		return Frame{}, size, perr
	}
	return fr, size, nil
}

// first is Next without the blanks in front.
func (f Framer) first(buf []byte, eof bool, fr *Frame) (size int, perr *ParseError) {
	if len(buf) == 0 {
		return 0, nil
	}
	if i, _ := findHead(buf, 0); i > 0 || len(buf) == 1 {
		return f.junk(buf, 0, eof, false, ParseError{ReasonGarbage, 0, "bytes outside a frame"})
	}
	length, digits := 0, 2
	for ; digits < headLen && digits < len(buf); digits++ {
		c := buf[digits]
		if c < '0' || c > '9' {
			return f.junk(buf, 2, eof, true, ParseError{ReasonLength, digits, "length field is not four digits"})
		}
		length = length*10 + int(c-'0')
	}
	if digits < headLen {
		return half(buf, -1, eof)
	}
	if limit := f.maxSegment(); length > limit {
		detail := "length " + strconv.Itoa(length) + " announced, at most " + strconv.Itoa(limit) + " accepted"
		return f.junk(buf, 2, eof, true, ParseError{ReasonLength, 2, detail})
	}
	return f.frame(buf, length, eof, fr)
}

// frame judges buf, which begins with a well-formed head that announces length bytes.
func (f Framer) frame(buf []byte, length int, eof bool, fr *Frame) (size int, perr *ParseError) {
	end := headLen + length + crcLen
	// The frame is decided at byte number undecided+1. A good frame within it that is complete before then wins, in every cut of the
	// stream: either it was found while this one was waited for, or it is found now.
	undecided, decided, good := len(buf), false, false
	var lower bool
	var tail int
	if len(buf) >= end {
		undecided, decided = end-1, true
		lower, good = checkCRC(buf[headLen:end-crcLen], buf[end-crcLen:end])
		if good && !f.Tolerant {
			tail, decided = lineEnd(buf[end:], eof)
			undecided = end + min(len(buf)-end, 1)
			if decided {
				undecided = end + min(tail, 1)
			}
		}
	}
	if p := f.inner(buf[:undecided]); p > 0 {
		detail := "a whole frame begins within the " + strconv.Itoa(length) + " bytes announced"
		return p, &ParseError{ReasonLength, p, detail}
	}
	switch {
	case !decided && len(buf) < end:
		return half(buf, length, eof)
	case !decided:
		return 0, nil
	case !good:
		return f.badCRC(buf, length, eof)
	case f.Tolerant:
		size = end + blanks(buf[end:])
		*fr = Frame{Raw: buf[:end+noteTail(buf[end:size])], Data: buf[headLen : end-crcLen], LowerCRC: lower}
		return size, nil
	case tail == tailLen && buf[end] == '\r' && buf[end+1] == '\n':
		*fr = Frame{Raw: buf[:end+tailLen], Data: buf[headLen : end-crcLen], LowerCRC: lower}
		return end + tailLen, nil
	}
	perr = &ParseError{ReasonTail, end, "no CR LF after the CRC"}
	if i, _ := findHead(buf[:end], 2); i < end {
		return i, perr
	}
	return end + tail, perr
}

// inner finds the frame within buf, after its first two bytes, that is complete first, and returns where it begins; 0 if there is none.
// Complete first, not first to begin: that is the one that a reader of the growing buffer sees.
func (f Framer) inner(buf []byte) (begin int) {
	first, tried, limit := len(buf)+1, 0, f.maxSegment()
	for i, whole := findHead(buf, 2); whole && tried < maxInner; i, whole = findHead(buf, i+2) {
		if i+headLen > len(buf) {
			break
		}
		length := 0
		for _, c := range buf[i+2 : i+headLen] {
			if c < '0' || c > '9' {
				length = limit + 1
				break
			}
			length = length*10 + int(c-'0')
		}
		if length > limit {
			continue
		}
		tried++
		end := i + headLen + length + crcLen
		done := end
		if !f.Tolerant {
			done += tailLen
		}
		if done >= first || done > len(buf) || !f.Tolerant && (buf[end] != '\r' || buf[end+1] != '\n') {
			continue
		}
		if _, good := checkCRC(buf[i+headLen:end-crcLen], buf[end-crcLen:end]); good {
			begin, first = i, done
		}
	}
	return begin
}

// checkCRC compares the four CRC digits as sent with the segment's CRC.
func checkCRC(data, digits []byte) (lower, good bool) {
	crc, lower, ok := parseCRC(digits)
	return lower, ok && crc == CRC(data)
}

// findHead finds the first "##" in buf at or after from that can open a frame, which is one that no third '#' follows. When buf ends
// before that is known, it returns the place of the "#" or "##" at buf's end and whole false; when there is none, len(buf) and false.
func findHead(buf []byte, from int) (i int, whole bool) {
	for i = from; i < len(buf); {
		k := bytes.IndexByte(buf[i:], '#')
		if k < 0 {
			return len(buf), false
		}
		i += k
		switch {
		case i+1 == len(buf):
			return i, false
		case buf[i+1] != '#':
			i += 2
		case i+2 == len(buf):
			return i, false
		case buf[i+2] == '#':
			i++
		default:
			return i, true
		}
	}
	return len(buf), false
}

// lineEnd counts the CR and LF bytes, two at most, that buf begins with. known is false when more bytes may change the count.
func lineEnd(buf []byte, eof bool) (n int, known bool) {
	for n < tailLen {
		if n == len(buf) {
			return n, eof
		}
		if buf[n] != '\r' && buf[n] != '\n' {
			break
		}
		n++
	}
	return n, true
}

// blanks counts the CR, LF, space and tab bytes that buf begins with.
func blanks(buf []byte) int {
	for i, c := range buf {
		if c != '\r' && c != '\n' && c != ' ' && c != '\t' {
			return i
		}
	}
	return len(buf)
}

// noteTail is the part of a tolerant frame's blanks that its Raw keeps: to the first LF, else the first few.
func noteTail(blank []byte) int {
	if i := bytes.IndexByte(blank, '\n'); i >= 0 && i < maxNote {
		return i + 1
	}
	return min(len(blank), maxNote)
}
