package fold

import (
	"bytes"

	"outfall/telemetry"
)

// nameOf is the name of a key, which is the factor of a code of the factor table, or another code as devices send it.
func (s *State) nameOf(key []byte) *name {
	if n := s.names[string(key)]; n != nil {
		return n
	}
	n := &name{key: string(key)}
	if made := s.madeName(n.key); made != nil {
		s.names[n.key] = made
		return made
	}
	f, known := telemetry.LookupFactor(n.key)
	if n.known = known; known {
		n.factor, n.unit = f.Code, f.Unit
	} else {
		n.factor = factorName(key)
	}
	n.tag = string(appendTag(nil, "factor", n.factor))
	s.names[n.key] = n
	return n
}

// factorName is the name of a code that the factor table lacks: printable ASCII, never empty.
func factorName(code []byte) string {
	name := bytes.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '\\' {
			return '?'
		}
		return r
	}, code)
	if len(name) == 0 {
		return "?"
	}
	return string(name)
}
