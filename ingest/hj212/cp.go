package hj212

import "bytes"

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

// knownSuffixes have a meaning in one of the editions but are not values of a factor over time; their pairs stay in Pairs.
var knownSuffixes = [...]string{"EFlag", "Info", "RS", "RT", "SN", "Data", "DayData", "NightData", "Ala", "UpValue", "LowValue", "RawAvg"}

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
}

// grouper builds a Message's groups from its pairs in order.
type grouper struct {
	m        *Message
	dataTime []byte // of the current record
	record   int    // index of the current record's first group
	last     int    // group of the pair before, -1 when that belongs to none: what a "Flag=" without a factor marks
}

// parseCP splits m.CP into Pairs, and Groups. Same-factor values make one group wherever they stand in the record; a further DataTime
// starts a new record.
func (m *Message) parseCP() {
	g := grouper{m: m, last: -1}
	for b := m.CP; len(b) > 0; {
		var field []byte
		field, b = nextPair(b)
		if len(field) == 0 {
			continue
		}
		key, value, ok := splitPair(field)
		if !ok {
			m.Quality |= BareField
		}
		m.Pairs = append(m.Pairs, Pair{key, value})
		if hyphen := bytes.LastIndexByte(key, '-'); hyphen > 0 {
			g.factor(bytes.TrimRight(key[:hyphen], "- "), trim(key[hyphen+1:]), value)
		} else {
			g.plain(key, value)
		}
	}
}

// plain takes a pair whose key names no factor.
func (g *grouper) plain(key, value []byte) {
	m := g.m
	switch {
	case equalFold(key, "DataTime"):
		g.dataTime, g.last = value, -1
		if m.DataTime != nil {
			m.Quality |= LaterRecord
			g.record = len(m.Groups)
			return
		}
		m.DataTime = value
		for i := range m.Groups { // factors may stand before their DataTime
			m.Groups[i].DataTime = value
		}
	case equalFold(key, "Flag"):
		m.Quality |= FactorlessFlag
		if g.last >= 0 && m.Groups[g.last].Flag == nil {
			m.Groups[g.last].Flag = value
		}
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
		group := g.group(code, func(have *Group) bool { return have.Values[kind].Text == nil })
		num, numeric := ParseDecimal(value)
		group.Values[kind] = Value{Text: value, Num: num, Numeric: numeric}
	case equalFold(suffix, "Flag"):
		g.group(code, func(have *Group) bool { return have.Flag == nil }).Flag = value
	case equalFold(suffix, "SampleTime"):
		g.group(code, func(have *Group) bool { return have.SampleTime == nil }).SampleTime = value
	default:
		for _, known := range knownSuffixes {
			if equalFold(suffix, known) {
				return
			}
		}
		g.m.Quality |= UnknownSuffix
	}
}

// group is the factor's newest group in the record, or a new one when there is none or it is not free for what comes: a factor that
// is repeated within a record is a reading of its own (seen with "-ID" of several instruments).
func (g *grouper) group(code []byte, free func(*Group) bool) *Group {
	m := g.m
	for i := len(m.Groups) - 1; i >= g.record; i-- {
		if bytes.Equal(m.Groups[i].Code, code) {
			if free(&m.Groups[i]) {
				g.last = i
				return &m.Groups[i]
			}
			m.Quality |= RepeatedFactor
			break
		}
	}
	g.last = len(m.Groups)
	m.Groups = append(m.Groups, Group{Code: code, DataTime: g.dataTime})
	return &m.Groups[g.last]
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
