package hj212

import (
	"bytes"
	"math/bits"
)

// A Pair is one "key=value" of the CP, both trimmed. Value is nil when there was no "=".
type Pair struct{ Key, Value []byte }

// Suffix is the kind of a factor's value (HJ 212-2017 table 4, HJ/T 212-2005 6.3.3.2.3).
type Suffix uint8

const (
	Rtd   Suffix = iota // instant
	Avg                 // mean of the period
	Min                 // least of the period
	Max                 // greatest of the period
	Cou                 // total (累计) of the period
	ZsRtd               // the same, converted (折算) to the reference oxygen content
	ZsAvg
	ZsMin
	ZsMax
	NumSuffixes = iota
)

var suffixNames = [NumSuffixes]string{"Rtd", "Avg", "Min", "Max", "Cou", "ZsRtd", "ZsAvg", "ZsMin", "ZsMax"}

// String is the suffix as on the wire, without the hyphen.
func (s Suffix) String() string {
	if int(s) < len(suffixNames) {
		return suffixNames[s]
	}
	return "unknown"
}

// A Value is one value of a factor. Text is as sent, trimmed; nil when absent. Num is its number when Numeric: "--" and "null" are text only.
type Value struct {
	Text    []byte
	Num     Decimal
	Numeric bool
}

// A Group is what one record of a CP says about one factor.
type Group struct {
	Code       []byte // as sent, before the key's last hyphen
	DataTime   []byte // of the record, as sent; nil when the CP has none
	Values     [NumSuffixes]Value
	Flag       []byte // data mark (数据标记); nil when absent
	SampleTime []byte // nil when absent

	key   uint64 // codeKey(Code)
	have  uint16 // what is there: the Values, bit 1<<Suffix, haveFlag, haveSampleTime
	stale uint16 // what earlier Parses may have left behind, cleared by the end of this one unless set again
}

// grouper builds a Message's groups from its pairs in order.
type grouper struct {
	m        *Message
	dataTime []byte    // of the current record
	record   int       // index of the current record's first group
	last     int       // group of the pair before, -1 when that belongs to none: what a "Flag=" without a factor marks
	recent   int       // group that the record's pairs spoke of last; len(m.Groups) or more when there is none yet
	seen     [4]uint64 // which codes the record may have: a bit for each, by codeHash
	stale    uint16    // what any of the groups holds of an earlier Parse
}

// parseCP splits m.CP into Pairs, and Groups. Same-factor values make one group wherever they stand in the record; a further DataTime
// starts a new record.
func (m *Message) parseCP() {
	if m.plain == nil {
		m.plain = new(plainFields)
	}
	g := grouper{m: m, last: -1}
	for at := uint(0); at < uint(len(m.CP)); {
		var count int
		count, at = m.plain.find(m.CP, at)
		g.take(m.CP, m.plain[:count])
		if count < len(m.plain) && at < uint(len(m.CP)) {
			at = uint(len(m.CP) - len(g.anyField(m.CP[at:])))
		}
	}
	if g.stale != 0 {
		m.clear()
	}
}

// The bits of Group.have beside 1<<Suffix.
const (
	haveFlag       = 1 << NumSuffixes
	haveSampleTime = haveFlag << 1
)

// clear takes out of the groups what an earlier Parse left there.
func (m *Message) clear() {
	for i := range m.Groups {
		group := &m.Groups[i]
		group.clear(group.stale &^ group.have)
		group.stale = 0
	}
}

// clear takes out of the group what the bits of set stand for.
func (g *Group) clear(set uint16) {
	if set&haveFlag != 0 {
		g.Flag = nil
	}
	if set&haveSampleTime != 0 {
		g.SampleTime = nil
	}
	for set &= haveFlag - 1; set != 0; set &= set - 1 {
		g.Values[bits.TrailingZeros16(set)] = Value{}
	}
}

// anyField takes the first field of b and returns the rest.
func (g *grouper) anyField(b []byte) (rest []byte) {
	field, rest := nextPair(b)
	if len(field) == 0 {
		return rest
	}
	key, value, ok := splitPair(field)
	if !ok {
		g.m.Quality |= BareField
	}
	g.m.Pairs = append(g.m.Pairs, Pair{key, value})
	if hyphen := bytes.LastIndexByte(key, '-'); hyphen > 0 {
		g.factor(bytes.TrimRight(key[:hyphen], "- "), trim(key[hyphen+1:]), value)
	} else {
		g.plain(key, value)
	}
	return rest
}

// plain takes a pair whose key names no factor.
func (g *grouper) plain(key, value []byte) {
	m := g.m
	switch {
	case equalFold(key, "DataTime"):
		g.newRecord(value)
	case equalFold(key, "Flag"):
		m.Quality |= FactorlessFlag
		if g.last >= 0 && value != nil && m.Groups[g.last].have&haveFlag == 0 {
			m.Groups[g.last].Flag = value
			m.Groups[g.last].have |= haveFlag
		}
	}
}

// newRecord takes a DataTime.
func (g *grouper) newRecord(dataTime []byte) {
	m := g.m
	g.dataTime, g.last = dataTime, -1
	if m.DataTime != nil {
		m.Quality |= LaterRecord
		g.record, g.recent, g.seen = len(m.Groups), len(m.Groups), [4]uint64{}
		return
	}
	m.DataTime = dataTime
	for i := range m.Groups { // factors may stand before their DataTime
		m.Groups[i].DataTime = dataTime
	}
}

// factor takes a pair "code-suffix=value".
func (g *grouper) factor(code, suffix, value []byte) {
	g.last = -1
	if value == nil {
		return
	}
	kind, ok := parseSuffix(suffix)
	switch {
	case ok:
		group := g.free(code, 1<<kind)
		group.Values[kind].Text = value
		group.Values[kind].Num, group.Values[kind].Numeric = ParseDecimal(value)
	case equalFold(suffix, "Flag"):
		g.free(code, haveFlag).Flag = value
	case equalFold(suffix, "SampleTime"):
		g.free(code, haveSampleTime).SampleTime = value
	default: // a meaning of its own, but no value of a factor over time: the pair stays in Pairs
		if kind := kindOf(suffix); kind == KindOther || kind.since2025() && g.m.Version() != Version2025 {
			g.m.Quality |= UnknownSuffix
		}
	}
}

// free is the factor's group that is to get what bit stands for.
func (g *grouper) free(code []byte, bit uint16) *Group {
	group := g.group(code, codeKey(code))
	if group.have&bit != 0 {
		g.leave(group)
		group = g.repeat(code, group.key)
	}
	group.have |= bit
	g.leave(group)
	return group
}

// leave notes what the group holds of an earlier Parse, as far as it is not set again until now.
func (g *grouper) leave(group *Group) { g.stale |= group.stale &^ group.have }

// codeKey is the code's first eight bytes, a hyphen behind them if there are less: the word that a plain field begins with. Codes of less
// than eight bytes are equal if their length and their keys are.
func codeKey(code []byte) uint64 {
	w := word(code, 0)
	if len(code) < 8 {
		w |= '-' << (8 * uint(len(code)))
	}
	return w
}

// is reports whether the group's code is code, whose key is key.
func (g *Group) is(code []byte, key uint64) bool {
	return g.key == key && len(g.Code) == len(code) && (len(code) < 8 || bytes.Equal(g.Code, code))
}

// group is the factor's newest group in the record, or a new one when there is none.
func (g *grouper) group(code []byte, key uint64) *Group {
	if g.isNew(key) {
		return g.add(code, key)
	}
	m := g.m
	if i := g.recent; i < len(m.Groups) && m.Groups[i].is(code, key) {
		g.last = i
		return &m.Groups[i]
	}
	for i := len(m.Groups) - 1; i >= g.record; i-- {
		if m.Groups[i].is(code, key) {
			g.last, g.recent = i, i
			return &m.Groups[i]
		}
	}
	return g.add(code, key)
}

// isNew reports that the record has no factor with the key yet. Most factors are new when they are not the one before, which this mostly
// tells without a look at the others.
func (g *grouper) isNew(key uint64) bool {
	h := codeHash(key)
	return g.seen[h>>6]&(1<<(h&63)) == 0
}

// codeHash is 0..255. The factor was found by trial: few codes of the standards' that stand in one frame share a value.
func codeHash(key uint64) uint64 { return key * 0x6F3B1445990255B7 >> 56 }

// repeat is a further group of a factor whose newest one is not free for what comes: a factor that is repeated within a record is a
// reading of its own (seen with "-ID" of several instruments).
func (g *grouper) repeat(code []byte, key uint64) *Group {
	g.m.Quality |= RepeatedFactor
	return g.add(code, key)
}

// add appends a group.
func (g *grouper) add(code []byte, key uint64) *Group {
	m := g.m
	n := len(m.Groups)
	if n == cap(m.Groups) {
		m.Groups = append(m.Groups, Group{})
	}
	m.Groups = m.Groups[:n+1]
	// The Values are large, and the next frame mostly has those that the last one had: only what is not set again is cleared (Message.clear).
	group := &m.Groups[n]
	group.Code = code
	group.DataTime = g.dataTime
	group.key, group.have, group.stale = key, 0, group.stale|group.have
	g.last, g.recent = n, n
	h := codeHash(key)
	g.seen[h>>6] |= 1 << (h & 63)
	return group
}

// parseSuffix reads a value suffix, case apart.
func parseSuffix(b []byte) (Suffix, bool) {
	if len(b) != len("Rtd") && len(b) != len("ZsRtd") {
		return 0, false
	}
	for s, name := range suffixNames {
		if equalFold(b, name) {
			return Suffix(s), true
		}
	}
	return 0, false
}

// nextPair cuts b at its first separator outside a log text. A log text stands between "//" and "//" in a value of "-Info" and may
// hold separators (HJ 212-2017 table 4): it ends at the first "//" that a separator or the end follows, and if there is none it is
// an ordinary value.
func nextPair(b []byte) (field, rest []byte) {
	for i, c := range b {
		switch c {
		case ';', ',':
			return trim(b[:i]), b[i+1:]
		case '=':
			if !isInfo(trim(b[:i])) {
				continue
			}
			if end := logEnd(b, i+1); end > 0 {
				return trim(b[:end]), b[min(end+1, len(b)):]
			}
		}
	}
	return trim(b), nil
}

func isInfo(key []byte) bool {
	n := len(key) - len("-Info")
	return n > 0 && equalFold(key[n:], "-Info")
}

// logEnd is the index of the separator, or of b's end, behind the log text that begins at or after from; 0 when there is none.
func logEnd(b []byte, from int) int {
	for from < len(b) && (b[from] == ' ' || b[from] == '\t') {
		from++
	}
	if !bytes.HasPrefix(b[from:], []byte("//")) {
		return 0
	}
	for i := from + 2; ; {
		k := bytes.Index(b[i:], []byte("//"))
		if k < 0 {
			return 0
		}
		end := i + k + 2
		for end < len(b) && (b[end] == ' ' || b[end] == '\t') {
			end++
		}
		if end == len(b) || b[end] == ';' || b[end] == ',' {
			return end
		}
		i += k + 1
	}
}
