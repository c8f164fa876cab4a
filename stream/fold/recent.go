package fold

import (
	"strconv"

	"outfall/telemetry"
)

// A recentRing remembers the newest data frames of a device, to tell a resend from news (HJ 212-2017 leaves open whether a resend
// keeps its QN).
type recentRing struct {
	content, qn marks // of the entries
	entries     [recentFrames]recentFrame
	next        int
}

const recentFrames = 64 // a backfilling logger has at most a few dozen frames without an answer

type recentFrame struct {
	content uint64 // hash of CN, PNO and CP
	qn      uint64 // hash of CN and QN; 0: no QN
}

// marks are sixteen bits of each of the hashes of a recentRing. Nearly every frame is news, which they tell without a look at the hashes.
type marks [recentFrames / 4]uint64

func (m *marks) set(i int, hash uint64) {
	at, shift := &m[i/4], i%4*16
	*at = *at&^(0xffff<<shift) | hash&0xffff<<shift
}

// may reports whether any of the hashes may be this one: false is certain.
func (m *marks) may(hash uint64) bool {
	const low, high = 0x0001_0001_0001_0001, 0x8000_8000_8000_8000
	want, found := hash&0xffff*low, uint64(0)
	for _, four := range m {
		x := four ^ want
		found |= (x - low) &^ x // the highest bit of sixteen is set when all sixteen were zero
	}
	return found&high != 0
}

// seen reports whether the ring holds the content, or the QN with other content, and adds the frame.
func (r *recentRing) seen(f recentFrame) (duplicate, reusedQN bool) {
	if r.content.may(f.content) || f.qn != 0 && r.qn.may(f.qn) {
		for i := range r.entries {
			e := &r.entries[i]
			if e.content == f.content {
				return true, false
			}
			reusedQN = reusedQN || f.qn != 0 && e.qn == f.qn
		}
	}
	r.put(r.next, f)
	r.next = (r.next + 1) % recentFrames
	return false, reusedQN
}

func (r *recentRing) put(i int, f recentFrame) {
	r.entries[i] = f
	r.content.set(i, f.content)
	r.qn.set(i, f.qn)
}

// forget takes out the frame that seen added last.
func (r *recentRing) forget() {
	r.next = (r.next + recentFrames - 1) % recentFrames
	r.put(r.next, recentFrame{})
}

const recentInstants = 8

// A recentInstant is a real-time value that a series remembers.
type recentInstant struct {
	at    int64 // ms; 0: none
	value telemetry.Fixed
}

// remember puts a real-time value in the place of the oldest one.
func (sr *series) remember(at int64, v sentValue, valid bool) {
	bit := uint8(1) << sr.next
	sr.instants[sr.next] = recentInstant{at, v.fixed}
	sr.valid &^= bit
	if valid {
		sr.valid |= bit
	}
	sr.text &^= bit
	if v.isText {
		sr.text |= bit
	}
	sr.next = (sr.next + 1) % recentInstants
	sr.latest = max(sr.latest, at)
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
