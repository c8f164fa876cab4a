package fold

import (
	"fmt"

	"outfall/rules"
)

// A Reader is the inverse of AppendTo. It takes that form, or what a Frozen gave out, in pieces of any size, and makes the state of it on the way:
// so reading takes little more memory than the state. The zero value is ready.
type Reader struct {
	s     *State
	form  uint64 // see decoder, once there is a State
	left  uint64 // devices that have not come yet
	rest  []byte // that has not been understood yet
	tryAt int    // bytes of rest that may be a whole device's
}

// readAhead is more than most devices take; one that does not end in so much is looked at again when there is twice as much.
const readAhead = 64 << 10

// Add takes a piece, which the reader does not keep.
func (r *Reader) Add(p []byte) {
	r.rest = append(r.rest, p...)
	read := decoder{b: r.rest, form: r.form}
	for len(read.b) >= max(r.tryAt, readAhead) && (r.s == nil || r.left > 0) {
		whole := read
		if r.step(&read); read.err != nil {
			read, r.tryAt = whole, 2*len(whole.b)
			break
		}
		r.tryAt = 0
	}
	r.rest = append(r.rest[:0], read.b...)
}

// State is what has been read, once all has been added. It does not alias what was added.
func (r *Reader) State() (*State, error) {
	read := decoder{b: r.rest, form: r.form}
	for read.err == nil && (r.s == nil || r.left > 0) {
		r.step(&read)
	}
	if read.err == nil && len(read.b) > 0 {
		read.fail("%d bytes too many", len(read.b))
	}
	if read.err != nil {
		return nil, fmt.Errorf("state: %w", read.err)
	}
	return r.s, nil
}

// step reads the header, or a device. After an error neither has been read.
func (r *Reader) step(d *decoder) {
	if r.s != nil {
		if r.s.read(d); d.err == nil {
			r.left--
		}
		return
	}
	s, n := readHeader(d)
	if d.err == nil {
		r.s, r.left, r.form = s, n, d.form
	}
}

// readHeader reads what header wrote: a state without its devices, and their number.
func readHeader(d *decoder) (*State, uint64) {
	if d.form = d.uint(); d.err == nil && d.form != snapshotVersion && d.form != formBefore {
		d.fail("version %d, want %d", d.form, snapshotVersion)
	}
	s := New(int32(d.int()))
	if d.form != formBefore {
		if v := d.uint(); d.err == nil && (v < 1 || v > Algorithms) {
			d.fail("%w %d, this program has 1..%d", ErrAlgorithm, v, Algorithms)
		} else {
			s.algorithm = int(v)
		}
	}
	s.clock, s.alarmAt = d.int(), d.int()
	s.stats.Frames, s.stats.Duplicates, s.stats.Findings = d.int(), d.int(), d.int()
	if js := d.bytes(); len(js) > 0 {
		rs, err := rules.ParseRuleSet(js)
		if err != nil {
			d.fail("%w", err)
		}
		s.rules = rs
	}
	return s, d.uint()
}

// read adds the next device.
func (s *State) read(d *decoder) {
	dev := d.device(s)
	if d.err == nil && s.devices[dev.mn] != nil {
		d.fail("device %s twice", dev.mn)
	}
	if d.err != nil {
		return
	}
	dev.findOpen()
	if !dev.known {
		s.strangers++
	}
	s.add(dev)
}

// Read is a Reader of one piece.
func Read(b []byte) (*State, error) {
	r := Reader{rest: b}
	return r.State()
}
