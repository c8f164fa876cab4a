package hj212

import (
	"bytes"
	"slices"
	"strings"
)

// A referenceGrouper builds a reference's groups from its pairs in order.
type referenceGrouper struct {
	m        *reference
	dataTime []byte
	record   int
	last     int
}

// parseCP splits m.CP into Pairs, and Groups. Same-factor values make one group wherever they stand in the record; a further DataTime
// starts a new record.
func (m *reference) parseCP() {
	g := referenceGrouper{m: m, last: -1}
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
func (g *referenceGrouper) plain(key, value []byte) {
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
func (g *referenceGrouper) factor(code, suffix, value []byte) {
	g.last = -1
	if value == nil {
		return
	}
	kind, ok := parseSuffix(suffix)
	switch {
	case ok:
		group := g.group(code, func(have *Group) bool { return have.Values[kind].Text == nil })
		num, numeric := referenceDecimal(value)
		group.Values[kind] = Value{Text: value, Num: num, Numeric: numeric}
	case equalFold(suffix, "Flag"):
		g.group(code, func(have *Group) bool { return have.Flag == nil }).Flag = value
	case equalFold(suffix, "SampleTime"):
		g.group(code, func(have *Group) bool { return have.SampleTime == nil }).SampleTime = value
	default:
		known := "eflag info rs rt sn data daydata nightdata ala upvalue lowvalue rawavg "
		if (*Message)(g.m).Version() == Version2025 {
			known += "completetime sampletype samplerd standardvalue resulttype "
		}
		if !slices.Contains(strings.Fields(known), strings.ToLower(string(suffix))) {
			g.m.Quality |= UnknownSuffix
		}
	}
}

// group is the factor's newest group in the record, or a new one when there is none or it is not free for what comes: a factor that
// is repeated within a record is a reading of its own (seen with "-ID" of several instruments).
func (g *referenceGrouper) group(code []byte, free func(*Group) bool) *Group {
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
