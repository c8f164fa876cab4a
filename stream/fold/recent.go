package fold

import (
	"strconv"

	"outfall/telemetry"
)

// A recentRing remembers the newest data frames of a device, to tell a resend from news (HJ 212-2017 leaves open whether a resend
// keeps its QN).
type recentRing struct {
	entries [recentFrames]recentFrame
	next    int
}

const recentFrames = 64 // a backfilling logger has at most a few dozen frames without an answer

type recentFrame struct {
	content uint64 // hash of CN, PNO and CP
	qn      uint64 // hash of CN and QN; 0: no QN
}

// seen reports whether the ring holds the content, or the QN with other content, and adds the frame.
func (r *recentRing) seen(f recentFrame) (duplicate, reusedQN bool) {
	for i := range r.entries {
		e := &r.entries[i]
		if e.content == f.content {
			return true, false
		}
		reusedQN = reusedQN || f.qn != 0 && e.qn == f.qn
	}
	r.entries[r.next] = f
	r.next = (r.next + 1) % recentFrames
	return false, reusedQN
}

// forget takes out the frame that seen added last.
func (r *recentRing) forget() {
	r.next = (r.next + recentFrames - 1) % recentFrames
	r.entries[r.next] = recentFrame{}
}

const recentInstants = 8

// A recentInstantRing remembers the newest real-time values of a series.
type recentInstantRing struct {
	at    [recentInstants]int64 // ms; 0: none
	value [recentInstants]telemetry.Fixed
	valid uint8 // bit i: value i is valid
	text  uint8 // bit i: value i is no number, but the hash of a text (algorithm 2)
	next  uint8
}

func (r *recentInstantRing) add(at int64, v sentValue, valid bool) {
	bit := uint8(1) << r.next
	r.at[r.next], r.value[r.next] = at, v.fixed
	r.valid &^= bit
	if valid {
		r.valid |= bit
	}
	r.text &^= bit
	if v.isText {
		r.text |= bit
	}
	r.next = (r.next + 1) % recentInstants
}

// A sentValue is a value of a factor as its device sent it.
type sentValue struct {
	fixed  telemetry.Fixed // of a text: its hash
	isText bool            // it is no number
	text   []byte          // nil when it is no longer held
}

func sentText(text []byte) sentValue {
	return sentValue{telemetry.Fixed(hash(hashSeed, text)), true, text}
}

func (v sentValue) same(w sentValue) bool { return v.fixed == w.fixed && v.isText == w.isText }

func (v sentValue) String() string {
	switch {
	case !v.isText:
		return v.fixed.String()
	case v.text == nil:
		return "a text"
	}
	return strconv.Quote(printable(v.text))
}
