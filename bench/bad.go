package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"outfall/ingest/hj212"
)

// A BadKind is one thing that a bad logger mixes in beside its good frames.
type BadKind uint8

const (
	BadCRC      BadKind = iota // a good frame with another CRC
	BadLength                  // a good frame whose length field is ten too small
	BadGarbage                 // bytes that are no frame
	BadPassword                // the device's MN with another PW
	BadValue                   // a value that is no number: null, as loggers that print a missing value
	BadFactor                  // a factor code that no table has
	BadFuture                  // DataTime a year ahead
	BadPast                    // DataTime 1970
	BadOversize                // a data segment of 9,999 bytes, the most that the length field can say
	BadHalf                    // the first half of a good frame, then the connection is closed
	badKinds
)

// BadKinds lists every BadKind, in the order in which a bad logger sends them.
func BadKinds() []BadKind {
	all := make([]BadKind, badKinds)
	for i := range all {
		all[i] = BadKind(i)
	}
	return all
}

const (
	garbageBytes  = 64
	oversizeBytes = 9999
	lengthError   = 10
	headBytes     = len("##0000")
)

// bad is the upload of kind k about the second at. Those that a host should store (a value or a time that is wrong in a sound frame) want
// their 9014 like any other; for the rest nothing is waited for, as a host owes them none.
func (s *script) bad(k BadKind, qn, at time.Time) upload {
	h := header{cn: cnRealtime, qn: qn, ack: true}
	answered := func(frame []byte) upload { return upload{frame: frame, qn: qnText(qn)} }
	switch k {
	case BadCRC:
		return upload{frame: damageCRC(s.realtime(h, at))}
	case BadLength:
		f := s.realtime(h, at)
		copy(f, fmt.Sprintf("##%04d", len(f)-headBytes-len("CCCC\r\n")-lengthError))
		return upload{frame: f}
	case BadGarbage:
		return upload{frame: garbage(qn)}
	case BadPassword:
		h.pw = "000000"
		if password(&s.profile.Device) == h.pw {
			h.pw = "999999"
		}
		return upload{frame: s.realtime(h, at)}
	case BadValue:
		data := appendDataTime(s.segment(nil, h), at)
		c := s.code(s.profile.Signals[0])
		return answered(frame(fmt.Appendf(data, ";%s-Rtd=null,%s-Flag=N", c, c)))
	case BadFactor:
		return answered(frame(append(s.instants(s.segment(nil, h), at), ";z99999-Rtd=1.0,z99999-Flag=N"...)))
	case BadFuture:
		return answered(s.realtime(h, at.AddDate(1, 0, 0)))
	case BadPast:
		return answered(s.realtime(h, time.Unix(0, 0)))
	case BadOversize:
		h.ack = false
		return upload{frame: s.oversize(h, at)}
	case BadHalf:
		f := s.realtime(h, at)
		return upload{frame: f[:len(f)/2], hangUp: true}
	}
	panic(fmt.Sprintf("bench: no bad kind %d", k))
}

// damageCRC changes the CRC of a whole frame, the four digits before CR LF.
func damageCRC(f []byte) []byte {
	digits := f[len(f)-6 : len(f)-2]
	for i, c := range digits {
		digits[i] = '0'
		if c == '0' {
			digits[i] = 'F'
		}
	}
	return f
}

// garbage is bytes of every kind but '#', so that no head appears among them by chance.
func garbage(qn time.Time) []byte {
	rng := rand.New(rand.NewPCG(uint64(qn.UnixMilli()), garbageBytes))
	out := make([]byte, garbageBytes)
	for i := range out {
		out[i] = byte(rng.Uint32())
		if out[i] == '#' {
			out[i] = 0
		}
	}
	return out
}

// oversize is a frame, sound but for its size, of oversizeBytes of data: real-time values and a log entry as padding.
func (s *script) oversize(h header, at time.Time) []byte {
	data := append(s.instants(s.segment(nil, h), at), ";i11001-Info=//"...)
	const end = "//&&"
	data = append(data, bytes.Repeat([]byte{'x'}, oversizeBytes-len(data)-len(end))...)
	return hj212.AppendFrame(nil, append(data, end...))
}
