package hj212

import (
	"encoding/binary"
	"slices"
)

// Nearly all fields of nearly all frames are plain: a known key, "=", a value, ";". They are taken here, eight bytes at a time; a field
// that is anything else is left to the code that knows every form (Message.field, grouper.anyField), which gives the same result for plain
// ones too: the fuzz tests compare the two.

// suffixKinds is indexed by suffixHash of a suffix of three letters and its "="; a place that none has matches nothing, for it has a text
// that belongs elsewhere.
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
	elsewhere := uint32(word([]byte("Rtd="), 0))
	for i := range t {
		if t[i].text == 0 {
			t[i].text = elsewhere
		}
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

// window is how far a plain field is looked at without a further check: 7 bytes of code, a hyphen, a suffix with its "=", at most 16 bytes
// of them, and one word of the value.
const window = 40

// windowAt is the window at at, which is in edge, with zeros behind the end of b, when there is no whole one.
func windowAt(b []byte, at uint, edge *[window]byte) *[window]byte {
	if at+window <= uint(len(b)) {
		return (*[window]byte)(b[at : at+window])
	}
	*edge = [window]byte{}
	copy(edge[:], b[at:])
	return edge
}

// A plainField is where the parts of a field are: "code-suffix=value", or "DataTime=value".
type plainField struct {
	first  uint64 // the value's first word
	code   uint64 // the key's first word up to the hyphen: codeKey
	at, to uint32 // the field in the body
	n, v   uint8  // length of the code; of the key with its "="
	kind   Suffix // of Value, or one of the following
}

// Values of plainField.kind beside the suffixes of values.
const (
	kindFlag     = NumSuffixes + iota // a data mark
	kindDataTime                      // no factor
	kindOther                         // any other suffix
)

// plainFields is how many fields are found before they are taken: the two are loops of their own, so that each has few things to keep in
// mind and the one can run ahead of the other.
type plainFields [64]plainField

// find looks for the fields of the CP body from at on, as long as they are plain. It returns how many there are, at most all that fit, and
// where the next one begins, or len(body) or more when there is none.
//
// Where the next field begins follows from what this one holds, a chain that would bound the speed. So lengths that are nearly always the
// same are constants behind a branch, which the processor predicts, and not numbers, for which it would wait.
func (f *plainFields) find(body []byte, at uint) (count int, next uint) {
	var edge [window]byte
	var n uint                         // the length of the code
	code, mask := uint64(1), uint64(0) // the code with its hyphen, and a mask for as many bytes; at first no word is like that
	for count < len(f) && at < uint(len(body)) {
		p := windowAt(body, at, &edge)
		if w := binary.LittleEndian.Uint64(p[:]); w&mask != code {
			n, mask = codeLength(w)
			if code = w & mask; n == 0 || n < 8 && code>>(8*n&63) != '-' {
				break
			}
		}
		t := &f[count]
		t.code = code
		t.at = uint32(at)
		t.n = uint8(n)
		v := uint(7)
		if n != 6 {
			v = n&7 + 1
		}
		suffix := binary.LittleEndian.Uint64(p[v&15:])
		if known := &suffixKinds[suffixHash(uint32(suffix))]; known.text == uint32(suffix) {
			t.kind = known.kind
			v += 4
		} else if suffix&(1<<40-1) == flagSuffix {
			t.kind = kindFlag
			v += 5
			if isMark(suffix >> 40) {
				t.v = uint8(v)
				at += v + 1
				t.to = uint32(at)
				at++
				count++
				continue
			}
		} else if t.kind = convertedSuffix(suffix); t.kind != NumSuffixes {
			v += 6
		} else if code == wordDataTime && p[8] == '=' {
			t.kind = kindDataTime
			v, mask = 9, 0
		} else if v = otherSuffix(p, v); v != 0 && n < 8 {
			t.kind = kindOther
			mask = 0
		} else {
			break
		}
		t.first = binary.LittleEndian.Uint64(p[v&31:])
		to := at + v
		t.v = uint8(v)
		if end := valueMask(t.first); end != 0 {
			to += maskEnd(end)
		} else {
			to = longValue(body, to+8)
		}
		if to < uint(len(body)) && body[to] != ';' && body[to] != ',' {
			break
		}
		t.to = uint32(to)
		at = to + 1
		count++
	}
	return count, at
}

// isMark reports whether w begins with a mark of one letter or digit and a separator.
func isMark(w uint64) bool {
	c, end := byte(w), byte(w>>8)
	return (end == ';' || end == ',') && (c|0x20-'a' < 26 || c-'0' < 10)
}

// otherSuffix is the length of the key whose suffix begins at v, with its "=", when the suffix has 1..15 plain bytes and is not that of a
// log text, which may hold separators; else 0.
func otherSuffix(p *[window]byte, v uint) uint {
	w := binary.LittleEndian.Uint64(p[v&15:])
	n := maskEnd(keyMask(w))
	if n == 8 {
		n += maskEnd(keyMask(binary.LittleEndian.Uint64(p[v&15+8:])))
	}
	const fold = 0x20202020
	if n == 0 || p[(v+n)&31] != '=' || n == 4 && uint32(w)|fold == 'i'|'n'<<8|'f'<<16|'o'<<24 {
		return 0
	}
	return v + n + 1
}

// take takes the fields that were found in body.
func (g *grouper) take(body []byte, fields []plainField) {
	m := g.m
	begin := len(m.Pairs)
	m.Pairs = slices.Grow(m.Pairs, len(fields))[:begin+len(fields)]
	pairs := m.Pairs[begin:]
	var group *Group  // of the field before
	code := uint64(0) // and its code, no field's at first
	for i := range pairs {
		// Each part is stored where it stays: a struct built elsewhere is copied in units that wait for its parts' stores.
		f, p := &fields[i], &pairs[i]
		field := body[f.at:f.to]
		text := field[f.v:]
		p.Key = field[:f.v-1]
		p.Value = text
		if f.kind > kindFlag {
			if f.kind == kindDataTime {
				g.newRecord(text)
			} else {
				g.factor(field[:f.n], field[f.n+1:f.v-1], text)
			}
			code = 0 // what group points at may have moved
			continue
		}
		if f.code != code {
			if group != nil {
				g.leave(group)
			}
			code = f.code
			if g.isNew(f.code) {
				group = g.add(field[:f.n], f.code)
			} else {
				group = g.group(field[:f.n], f.code)
			}
		}
		bit := uint16(1) << (f.kind & 15)
		if group.have&bit != 0 {
			g.leave(group)
			group = g.repeat(group.Code, group.key)
		}
		group.have |= bit
		if f.kind == kindFlag {
			group.Flag = text
			continue
		}
		value := &group.Values[f.kind]
		value.Text = text
		digits, exp := closeGap(topDigits(f.first, uint(len(text))))
		if uint(len(text))-1 <= 7 && areDigits(digits) && (len(text) > 1 || byte(f.first) != '.') {
			value.Num.Mant, value.Num.Exp, value.Numeric = int64(eightDigits(digits)), exp, true
		} else {
			value.Num, value.Numeric = ParseDecimal(text)
		}
	}
	if group != nil {
		g.leave(group)
	}
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

// plainHeader takes the header's fields from the segment's first on as long as they are plain. It returns how many these are and where
// the next field begins, at most len(data), and whether that is "CP=&&" and no "&&" stands before.
func (m *Message) plainHeader(data []byte) (fields int, at uint, cp bool) {
	var edge [window]byte
	for at < uint(len(data)) {
		p := windowAt(data, at, &edge)
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
