package hj212

import "encoding/binary"

// Nearly all fields of nearly all frames are plain: a known key, "=", a value, ";". They are taken here, eight bytes at a time; a field
// that is anything else is left to the code that knows every form (Message.field, grouper.anyField), which gives the same result for plain
// ones too: the fuzz tests compare the two.

// suffixKinds is indexed by suffixHash of a suffix of three letters and its "="; a place that none has matches nothing.
var suffixKinds = makeSuffixKinds()

type suffixKind struct {
	text uint32
	kind Suffix
}

// suffixHash spreads the suffixes over the table: the factor was found by trial, and makeSuffixKinds panics if it does not.
func suffixHash(w uint32) uint32 { return w * 0x285 >> 28 }

func makeSuffixKinds() (t [16]suffixKind) {
	for kind, name := range suffixNames {
		if len(name) != 3 {
			continue
		}
		text := uint32(word([]byte(name+"="), 0))
		place := &t[suffixHash(text)]
		if place.text != 0 {
			panic("hj212: two suffixes in one place: " + name)
		}
		*place = suffixKind{text, Suffix(kind)}
	}
	return t
}

// flagSuffix is the "Flag=" of a data mark.
const flagSuffix = 'F' | 'l'<<8 | 'a'<<16 | 'g'<<24 | '='<<32

// convertedSuffix reads the "ZsRtd=" of the converted values that w begins with; NumSuffixes: it does not.
func convertedSuffix(w uint64) (kind Suffix) {
	known := &suffixKinds[suffixHash(uint32(w>>16))]
	if w&0xFFFF != 'Z'|'s'<<8 || known.text != uint32(w>>16) || known.kind > Max {
		return NumSuffixes
	}
	return known.kind + ZsRtd
}

// window is how far a plain field is looked at without a further check: 7 bytes of code, a hyphen, a suffix with its "=" and one word of
// the value.
const window = 32

// plainFields takes the fields of the CP body from at on as long as they are plain, and returns where the first one begins that is not, or
// len(body) or more when there is none.
//
// Where the next field begins follows from what this one holds, a chain that would bound the speed. So lengths that are nearly always the
// same are constants behind a branch, which the processor predicts, and not numbers, for which it would wait.
func (g *grouper) plainFields(body []byte, at uint) (next uint) {
	var edge [window]byte
	var group *Group                   // of the field before; nil when it has none
	var n uint                         // the length of its code
	code, mask := uint64(1), uint64(0) // the code with its hyphen, and a mask for as many bytes; at first no word is like that
	for at < uint(len(body)) {
		p := &edge
		if at+window <= uint(len(body)) {
			p = (*[window]byte)(body[at : at+window])
		} else {
			edge = [window]byte{}
			copy(edge[:], body[at:])
		}
		w := binary.LittleEndian.Uint64(p[:])
		if w&mask != code {
			n, mask = codeLength(w)
			if n == 8 {
				if next = g.plainDataTime(body, p, at); next == 0 {
					return at
				}
				at, mask = next, 0
				continue
			}
			if code, group = w&mask, nil; n == 0 || code>>(8*n&63) != '-' {
				return at
			}
		}
		v := uint(7)
		if n != 6 {
			v = n&7 + 1
		}
		suffix, kind := binary.LittleEndian.Uint64(p[v:]), Suffix(NumSuffixes)
		if byte(suffix>>24) == '=' {
			known := suffixKinds[suffixHash(uint32(suffix))]
			if known.text != uint32(suffix) {
				return at
			}
			kind = known.kind
			v += 4
		} else if suffix&(1<<40-1) == flagSuffix {
			v += 5
		} else if kind = convertedSuffix(suffix); kind != NumSuffixes {
			v += 6
		} else {
			return at
		}
		first := binary.LittleEndian.Uint64(p[v:])
		to := valueEnd(body, at+v, first)
		if to < uint(len(body)) && body[to] != ';' && body[to] != ',' {
			return at
		}
		field := body[at:to]
		text := field[v:]
		g.m.addPair(field[:v-1], text)
		if group == nil {
			group = g.group(field[:n], code)
		}
		if group.have&(1<<(kind&15)) != 0 {
			group = g.repeat(group.Code, group.key)
		}
		group.have |= 1 << (kind & 15)
		at = to + 1
		if kind == NumSuffixes {
			group.Flag = text
			continue
		}
		group.Values[kind].set(text, first)
	}
	return at
}

// set is the value whose text begins with the word first.
func (v *Value) set(text []byte, first uint64) {
	v.Text = text
	if digits, exp := closeGap(topDigits(first, uint(len(text)))); uint(len(text))-1 <= 7 && areDigits(digits) && (len(text) > 1 || byte(first) != '.') {
		v.Num.Mant, v.Num.Exp, v.Numeric = int64(eightDigits(digits)), exp, true
	} else {
		v.Num, v.Numeric = ParseDecimal(text)
	}
}

// valueEnd is where the plain value that begins at at, with the word first, ends or stops being plain.
func valueEnd(body []byte, at uint, first uint64) uint {
	if mask := valueMask(first); mask&0x8080 == 0x8000 { // one byte, as data marks have
		return at + 1
	} else if mask != 0 {
		return at + maskEnd(mask)
	}
	return longValue(body, at+8)
}

// codeLength tells how many bytes of a code w begins with, 8 when there is no end of it, and masks as many and one more.
func codeLength(w uint64) (n uint, mask uint64) {
	end := keyMask(w)
	if end&(1<<56-1) == 1<<55 {
		return 6, 1<<56 - 1
	}
	n = maskEnd(end)
	return n, 1<<(8*n+8) - 1
}

// longValue is where the plain value that reaches from before at to there ends, or stops being plain; at most len(b).
func longValue(b []byte, at uint) uint {
	for ; at < uint(len(b)); at += 8 {
		if mask := valueMask(word(b, int(at))); mask != 0 {
			return at + maskEnd(mask)
		}
	}
	return uint(len(b))
}

var wordDataTime = word([]byte("DataTime"), 0)

// plainDataTime is plainFields for one "DataTime", p being the window at at; 0 when it is not plain.
func (g *grouper) plainDataTime(body []byte, p *[window]byte, at uint) (next uint) {
	const v = uint(len("DataTime="))
	if binary.LittleEndian.Uint64(p[:]) != wordDataTime || p[8] != '=' {
		return 0
	}
	to := at + v
	if mask := valueMask(binary.LittleEndian.Uint64(p[v:])); mask != 0 {
		to += maskEnd(mask)
	} else if mask = valueMask(binary.LittleEndian.Uint64(p[v+8:])); mask != 0 {
		to += 8 + maskEnd(mask)
	} else {
		to = longValue(body, to+16)
	}
	if to < uint(len(body)) && body[to] != ';' && body[to] != ',' {
		return 0
	}
	field := body[at:to]
	g.m.addPair(field[:v-1], field[v:])
	g.newRecord(field[v:])
	return to + 1
}

// plainHeader takes the header's fields from the segment's first on as long as they are plain. It returns how many these are and where
// the next field begins, at most len(data), and whether that is "CP=&&" and no "&&" stands before.
func (m *Message) plainHeader(data []byte) (fields int, at uint, cp bool) {
	const window = 40
	for at+window <= uint(len(data)) {
		p := (*[window]byte)(data[at : at+window])
		w := binary.LittleEndian.Uint64(p[:])
		var text *[]byte
		v := uint(3)
		switch w & 0xFFFFFF {
		case 'Q' | 'N'<<8 | '='<<16:
			text = &m.QN
		case 'S' | 'T'<<8 | '='<<16:
			text = &m.ST
		case 'C' | 'N'<<8 | '='<<16:
			text = &m.CN
		case 'P' | 'W'<<8 | '='<<16:
			text = &m.PW
		case 'M' | 'N'<<8 | '='<<16:
			text = &m.MN
		case 'F' | 'l'<<8 | 'a'<<16:
			if w>>24&0xFFFF != 'g'|'='<<8 {
				return fields, at, false
			}
			v = 5
		default:
			return fields, at, w<<24 == ('C'|'P'<<8|'='<<16|'&'<<24|'&'<<32)<<24
		}
		to := v
		for to < 32 {
			word := binary.LittleEndian.Uint64(p[to:])
			if mask := valueMask(word); mask != 0 {
				to += maskEnd(mask)
				break
			}
			to += 8
		}
		if to >= 40 || p[to] != ';' && p[to] != ',' {
			return fields, at, false
		}
		value := data[at+v : at+to]
		if text == nil {
			m.flag(value)
		} else {
			m.keep(text, value)
		}
		fields++
		at += to + 1
	}
	return fields, at, false
}
