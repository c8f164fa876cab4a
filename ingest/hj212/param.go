package hj212

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// maxCP bounds the CP of a request: the edition's 950 bytes (HJ 212-2017 table 3; 960 in 2005) without "CP=" and both "&&".
const maxCP = 950 - len("CP=&&&&")

// ParamType says what a parameter's value looks like on the wire.
type ParamType uint8

const (
	TypeInt     ParamType = iota // digits, Min..Max
	TypeDecimal                  // number that Decimal can hold
	TypeTime                     // YYYYMMDDhhmmss
	TypeMillis                   // YYYYMMDDhhmmsszzz
	TypeClock                    // hhmm or hhmmss: Max digits
	TypeCode                     // factor, information or other code: Min..Max letters, digits, "-" and "_"
	TypeWord                     // Min..Max characters of 0-9, a-z and A-Z
	TypeText                     // anything but separators, or a log text between "//" and "//"; Min..Max bytes
)

// A Param is one parameter of a command's CP.
type Param struct {
	Key      string // as the standard writes it; "*-Info" stands for any code before the hyphen
	Type     ParamType
	Min, Max int64
	OneOf    []int64 // TypeInt: the only values allowed, if not nil
	Unit     string
	In       Editions // editions that have the parameter; 0: all that have the command
	Optional bool
	Repeat   bool // may stand more than once
	Secret   bool // its value is never shown
}

// in reports whether the parameter exists in an edition.
func (p *Param) in(version uint8) bool { return p.In == 0 || p.In.Has(version) }

// matches compares a key of the wire with the parameter's, case apart.
func (p *Param) matches(key []byte) bool {
	if suffix, any := strings.CutPrefix(p.Key, "*"); any {
		n := len(key) - len(suffix)
		return n > 0 && equalFold(key[n:], suffix)
	}
	return equalFold(key, p.Key)
}

// Range says in words what values are allowed.
func (p *Param) Range() string {
	unit := p.Unit
	if unit != "" {
		unit = " " + unit
	}
	switch p.Type {
	case TypeInt:
		if p.OneOf != nil {
			return strings.ReplaceAll(strings.Trim(fmt.Sprint(p.OneOf), "[]"), " ", ", ") + unit
		}
		return fmt.Sprintf("%d..%d%s", p.Min, p.Max, unit)
	case TypeDecimal:
		return "a number" + unit
	case TypeTime:
		return "YYYYMMDDhhmmss"
	case TypeMillis:
		return "YYYYMMDDhhmmsszzz"
	case TypeClock:
		return "hhmmss"[:p.Max]
	case TypeCode:
		return fmt.Sprintf("a code of %d..%d letters, digits, - and _", p.Min, p.Max)
	case TypeWord:
		if p.Min == p.Max {
			return fmt.Sprintf("%d characters 0-9 a-z A-Z", p.Max)
		}
		return fmt.Sprintf("%d..%d characters 0-9 a-z A-Z", p.Min, p.Max)
	}
	return fmt.Sprintf("%d..%d bytes of text", p.Min, p.Max)
}

// check reports whether value is allowed.
func (p *Param) check(value []byte) bool {
	switch p.Type {
	case TypeInt:
		return p.checkInt(value)
	case TypeDecimal:
		_, ok := ParseDecimal(value)
		return ok
	case TypeTime:
		_, ok := ParseTime(value)
		return ok && len(value) == 14
	case TypeMillis:
		_, ok := ParseTime(value)
		return ok && len(value) == 17
	case TypeClock:
		_, ok := ParseTime(append([]byte("20000101"), value...))
		return ok && int64(len(value)) == p.Max
	case TypeCode:
		return p.sized(value) && !bytes.ContainsFunc(value, func(r rune) bool { return !isWord(r) && r != '-' && r != '_' })
	case TypeWord:
		return p.sized(value) && !bytes.ContainsFunc(value, func(r rune) bool { return !isWord(r) })
	}
	return p.sized(value) && !bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func (p *Param) checkInt(value []byte) bool {
	n, ok := parseUint(value, int(p.Max))
	if p.OneOf == nil {
		return ok && int64(n) >= p.Min
	}
	for _, allowed := range p.OneOf {
		if ok && int64(n) == allowed {
			return true
		}
	}
	return false
}

func (p *Param) sized(value []byte) bool {
	return int64(len(value)) >= p.Min && int64(len(value)) <= p.Max
}

func isWord(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// checkParams compares a CP with the parameters of an edition and reports the first fault.
func checkParams(params []Param, cp []byte, version uint8) error {
	seen := make([]bool, len(params))
	var begin, end []byte
	for b := cp; len(b) > 0; {
		var field []byte
		field, b = nextPair(b)
		if len(field) == 0 {
			continue
		}
		key, value, ok := splitPair(field)
		i := findParam(params, key, version)
		switch {
		case !ok:
			return fmt.Errorf("a parameter of %d bytes has no =", len(field))
		case i < 0:
			return fmt.Errorf("%q is not a parameter of it; %s", key, expected(params, version))
		case seen[i] && !params[i].Repeat:
			return fmt.Errorf("parameter %s stands twice", params[i].Key)
		case !params[i].check(value) && params[i].Secret:
			return fmt.Errorf("parameter %s: its value is not %s", params[i].Key, params[i].Range())
		case !params[i].check(value):
			return fmt.Errorf("parameter %s: %q is not %s", key, value, params[i].Range())
		}
		seen[i] = true
		switch params[i].Key {
		case "BeginTime":
			begin = value
		case "EndTime":
			end = value
		}
	}
	for i := range params {
		if p := &params[i]; !seen[i] && !p.Optional && p.in(version) {
			return fmt.Errorf("parameter %s is missing (%s)", p.Key, p.Range())
		}
	}
	switch {
	case (begin == nil) != (end == nil):
		return errors.New("parameters BeginTime and EndTime go together")
	case bytes.Compare(begin, end) > 0:
		return fmt.Errorf("parameter EndTime: %s is before BeginTime %s", end, begin)
	}
	return nil
}

// findParam is the index of the parameter that a key names, -1 when the edition has none.
func findParam(params []Param, key []byte, version uint8) int {
	for i := range params {
		if params[i].in(version) && params[i].matches(key) {
			return i
		}
	}
	return -1
}

// expected names the parameters of an edition.
func expected(params []Param, version uint8) string {
	var keys []string
	for i := range params {
		if params[i].in(version) {
			keys = append(keys, params[i].Key)
		}
	}
	if keys == nil {
		return "it has none"
	}
	return "it has " + strings.Join(keys, ", ")
}
