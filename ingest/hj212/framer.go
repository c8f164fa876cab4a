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
	// Tolerant accepts what devices in the field get wrong around a right segment:
	//
	//	tail    any blanks (CR, LF, space, tab, in any number) or none. A frame is complete with its CRC, so a sender that leaves the tail
	//	        out gets its answer at once
	//	length  less than four digits, "##81QN="; or a number that is not the segment's (it counts characters, or the CRC too), when the
	//	        text tells the segment: to an "&&" that four hex digits follow, which are its right CRC, and after these a line end, the next
	//	        frame or the end of the stream
	Tolerant bool
	// CRC is how the sender computes its CRC; the zero value is the standard's way. Under DialectNone any four bytes but CR, LF and '#' are
	// right where the length fits: where CR LF follows them; tolerant, where the segment's closing "&&" is in front of them, or a blank,
	// a '#' or the end of the stream follows. A frame behind a wrong length is then found only after the bytes that it announces.
	CRC Dialect
	// MaxData is the longest data segment accepted, 1..9999 bytes; 0 is DefaultMaxData. A longer one is refused as ReasonLength.
	MaxData int
}

// A Frame is a frame whose length, CRC and, unless tolerant, tail are right. Its slices alias the buffer given to Next.
type Frame struct {
	Raw      []byte // from "##" to the tail
	Data     []byte // the data segment, 0..MaxData bytes
	LowerCRC bool   // the CRC was sent in lower-case hex

	// WrongLength says that the length field does not count the segment's bytes; UnpaddedLength, that it has less than four digits. Both
	// are accepted by a tolerant Framer only.
	WrongLength, UnpaddedLength bool
}

// Quality is what the envelope adds to the Quality of the Message within.
func (fr *Frame) Quality() (q Quality) {
	if fr.LowerCRC {
		q |= LowerCRC
	}
	if fr.WrongLength {
		q |= WrongLength
	}
	if fr.UnpaddedLength {
		q |= UnpaddedLength
	}
	return q
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
	if size = f.plain(buf, &fr); size > 0 {
		return fr, size, nil
	}
	return f.any(buf, eof)
}

// any is Next for every buffer.
func (f Framer) any(buf []byte, eof bool) (fr Frame, size int, err error) {
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

// plain takes the frame that buf begins with if it is one without any question: whole, padded, its CRC right, CR LF behind it and no
// '#' within; tolerant, also no LF within and no blank behind. Nearly all are. size is 0 when there is a question: the general way, which
// gives the same for plain frames too, answers it.
func (f Framer) plain(buf []byte, fr *Frame) (size int) {
	const least = headLen + crcLen + tailLen
	if len(buf) < least || buf[0] != '#' || buf[1] != '#' || f.CRC == DialectNone {
		return 0
	}
	length := 0
	for _, c := range buf[2:headLen] {
		if c -= '0'; c > 9 {
			return 0
		}
		length = length*10 + int(c)
	}
	size = length + least
	if length > f.maxSegment() || len(buf) < size || buf[size-2] != '\r' || buf[size-1] != '\n' || f.Tolerant && blanks(buf[size:]) > 0 {
		return 0
	}
	end := size - tailLen
	data := buf[headLen : end-crcLen]
	if bytes.IndexByte(data, '#') >= 0 || f.Tolerant && bytes.IndexByte(data, '\n') >= 0 {
		return 0
	}
	lower, good := f.check(data, buf[end-crcLen:end])
	if !good {
		return 0
	}
	fr.Raw = buf[:size]
	fr.Data = data
	fr.LowerCRC = lower
	return size
}

// first is any without the blanks in front.
func (f Framer) first(buf []byte, eof bool, fr *Frame) (size int, perr *ParseError) {
	if len(buf) == 0 {
		return 0, nil
	}
	if i, _ := findHead(buf, 0); i > 0 || len(buf) == 1 {
		return f.junk(buf, 0, eof, false, ParseError{ReasonGarbage, 0, "bytes outside a frame"})
	}
	h := f.head(buf)
	switch {
	case h.bad && f.Tolerant:
		return f.junk(buf, 2, eof, true, ParseError{ReasonLength, h.at, "length field is no number"})
	case h.bad:
		return f.junk(buf, 2, eof, true, ParseError{ReasonLength, h.at, "length field is not four digits"})
	case h.at == 0:
		return f.half(buf, h, eof, fr)
	}
	if limit := f.maxSegment(); h.length > limit {
		detail := "length " + strconv.Itoa(h.length) + " announced, at most " + strconv.Itoa(limit) + " accepted"
		return f.junk(buf, 2, eof, true, ParseError{ReasonLength, 2, detail})
	}
	return f.frame(buf, h, eof, fr)
}

// A head is what stands in front of a data segment.
type head struct {
	length int  // as announced, 0..9999
	at     int  // where the segment begins; 0 when more bytes are needed; where the fault is when bad
	bad    bool // no length field
}

// end is the first byte behind the CRC, by the length announced.
func (h head) end() int { return h.at + h.length + crcLen }

// head reads the head that buf begins with. A tolerant one may have less than four digits.
func (f Framer) head(buf []byte) (h head) {
	for i := 2; i < headLen; i++ {
		if i == len(buf) {
			return head{}
		}
		c := buf[i]
		if c < '0' || c > '9' {
			return head{length: h.length, at: i, bad: !f.Tolerant || i == 2}
		}
		h.length = h.length*10 + int(c-'0')
	}
	h.at = headLen
	return h
}

// frame judges buf, which begins with the head h, whose length is within the limit.
func (f Framer) frame(buf []byte, h head, eof bool, fr *Frame) (size int, perr *ParseError) {
	end := h.end()
	// The frame is decided at byte number undecided+1. A good frame within it that is complete before then wins, in every cut of the
	// stream: either it was found while this one was waited for, or it is found now.
	undecided, decided, good := len(buf), false, false
	var lower bool
	var tail int
	if len(buf) >= end {
		undecided, decided = end-1, true
		lower, good = f.check(buf[h.at:end-crcLen], buf[end-crcLen:end])
		switch {
		case !good:
		case !f.Tolerant:
			tail, decided = lineEnd(buf[end:], eof)
			undecided = end + min(len(buf)-end, 1)
			if decided {
				undecided = end + min(tail, 1)
			}
		case f.CRC == DialectNone && !isClosed(buf[h.at:end-crcLen]):
			good, decided = followed(buf[end:], eof)
			undecided = end
		}
	}
	if size, perr, done := f.within(buf, undecided, h, fr); done {
		return size, perr
	}
	switch {
	case !decided && len(buf) < end:
		return f.half(buf, h, eof, fr)
	case !decided:
		return 0, nil
	case !good:
		return f.badCRC(buf, h, eof, fr)
	case f.Tolerant:
		return f.take(buf, h, h.length, lower, fr), nil
	case tail == tailLen && buf[end] == '\r' && buf[end+1] == '\n':
		*fr = Frame{Raw: buf[:end+tailLen], Data: buf[h.at : end-crcLen], LowerCRC: lower}
		return end + tailLen, nil
	}
	perr = &ParseError{ReasonTail, end, "no CR LF after the CRC"}
	if i, _ := findHead(buf[:end], 2); i < end {
		return i, perr
	}
	return end + tail, perr
}

// take delivers the tolerant frame at buf's begin whose segment has n bytes.
func (f Framer) take(buf []byte, h head, n int, lower bool, fr *Frame) (size int) {
	end := h.at + n + crcLen
	size = end + blanks(buf[end:])
	*fr = Frame{
		Raw: buf[:end+noteTail(buf[end:size])], Data: buf[h.at : h.at+n],
		LowerCRC: lower, WrongLength: n != h.length, UnpaddedLength: h.at != headLen,
	}
	return size
}

// within looks for what is complete within buf's first bytes, before the frame that h announces is decided: another frame, or, tolerant,
// this one by its text. The one that is complete first counts: a reader of the growing buffer sees it first.
func (f Framer) within(buf []byte, undecided int, h head, fr *Frame) (size int, perr *ParseError, done bool) {
	if f.CRC == DialectNone {
		return 0, nil, false // nothing tells a frame within from a text that mentions one
	}
	begin, first := f.inner(buf[:undecided])
	if f.Tolerant {
		if n, lower, ok := f.line(buf[:min(undecided, first)], h); ok {
			return f.take(buf, h, n, lower, fr), nil, true
		}
	}
	if begin == 0 {
		return 0, nil, false
	}
	if n, lower, ok := f.byText(buf[:begin], h); ok {
		return f.take(buf, h, n, lower, fr), nil, true
	}
	detail := "a whole frame begins within the " + strconv.Itoa(h.length) + " bytes announced"
	return begin, &ParseError{ReasonLength, begin, detail}, true
}

// inner finds the frame within buf, after its first two bytes, that is complete first. begin is where it begins, 0 if there is none; done
// where it is complete, beyond buf if there is none.
func (f Framer) inner(buf []byte) (begin, done int) {
	first, tried, limit := len(buf)+1, 0, f.maxSegment()
	for i, whole := findHead(buf, 2); whole && tried < maxInner; i, whole = findHead(buf, i+2) {
		h := f.head(buf[i:])
		if h.at == 0 {
			break
		}
		if h.bad || h.length > limit {
			continue
		}
		tried++
		end := i + h.end()
		done := end
		if !f.Tolerant {
			done += tailLen
		}
		if done >= first || done > len(buf) || !f.Tolerant && (buf[end] != '\r' || buf[end+1] != '\n') {
			continue
		}
		if _, good := f.check(buf[i+h.at:end-crcLen], buf[end-crcLen:end]); good {
			begin, first = i, done
		}
	}
	return begin, first
}

// check compares the four CRC digits as sent with the segment's CRC.
func (f Framer) check(data, digits []byte) (lower, good bool) {
	crc, lower, ok := parseCRC(digits)
	switch f.CRC {
	case DialectHJ:
		return lower, ok && crc == CRC(data)
	case DialectNone:
		return lower, !bytes.ContainsAny(digits, "\r\n#")
	}
	return lower, ok && crc == f.CRC.Sum(data)
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
