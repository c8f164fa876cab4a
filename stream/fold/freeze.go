package fold

// A Frozen is the state as it was at Freeze, on its way out piece by piece while Apply goes on. It belongs to the goroutine of its State.
//
// Devices are copied on write: one that is to change and is not out yet is first encoded into the Frozen's own buffer. That buffer is
// bounded by the size of the snapshot, and costs an entry the encoding of the devices that it changes. An entry that would have to encode
// more than maxSaved, as the tick at the end of an hour or a new rule set, gives the snapshot up instead, see GivenUp; but never two
// in a row: while a long journal is folded, an hour of it can be over before a snapshot is out.
type Frozen struct {
	s       *State
	givenUp bool

	head  []byte    // the header, until Next has given it out
	rest  []*device // those of the time of Freeze that Next has not come to yet
	saved [][]byte  // forms of devices that have changed since, in pieces of about savedPiece bytes of whole devices
}

// maxSaved is the most devices that are encoded for the sake of one entry: 20 ms.
const maxSaved = 300

// savedPiece is how much of what was copied one call of Next gives out: 0.1 ms of copying.
const savedPiece = 1 << 20

// Freeze begins a snapshot of the state as it is now: what Next gives out, call by call, is together what AppendTo would append now, in
// another order of devices. It takes no time that grows with the number of devices. There is one at a time: the one before must be out,
// or dropped.
func (s *State) Freeze() *Frozen {
	if s.frozen != nil {
		panic("fold: Freeze while another snapshot is on its way out")
	}
	e := encoder{}
	e.header(s)
	s.epoch++
	s.frozen = &Frozen{s: s, head: e.b, rest: s.list[:len(s.list):len(s.list)]}
	return s.frozen
}

// GivenUp reports that an entry changed too many devices at once for the snapshot to go on: what Next has given out is of no use, and the
// State is free for another Freeze.
func (f *Frozen) GivenUp() bool { return f.givenUp }

// Next appends the forms of up to n devices, n >= 1, or one piece of those that Apply has changed meanwhile. done reports that all are out;
// the State is then free for another Freeze. A Frozen that is out, dropped or given up gives nothing more.
func (f *Frozen) Next(dst []byte, n int) (out []byte, done bool) {
	dst, f.head = append(dst, f.head...), nil
	if len(f.saved) > 0 {
		dst = append(dst, f.saved[0]...)
		f.saved[0] = nil
		f.saved = f.saved[1:]
		n = 0
	}
	e := encoder{dst}
	for n = min(n, len(f.rest)); n > 0; n-- {
		d := f.rest[0]
		f.rest = f.rest[1:]
		if d.out != f.s.epoch {
			d.out = f.s.epoch
			e.device(d)
		}
	}
	if len(f.saved)+len(f.rest) > 0 {
		return e.b, false
	}
	if f.s.frozen == f {
		f.s.gaveUp = false
	}
	f.Drop()
	return e.b, true
}

// Drop gives the snapshot up, if it is not out already.
func (f *Frozen) Drop() {
	if f.s.frozen == f {
		f.s.frozen = nil
	}
	f.head, f.rest, f.saved = nil, nil, nil
}

// prepare comes before one entry changes all of these devices. It gives the snapshot up when too many of them would have to be encoded.
func (f *Frozen) prepare(all []*device) {
	if f.s.gaveUp || len(all) <= maxSaved {
		return
	}
	waiting := 0
	for _, d := range all {
		if d.out != f.s.epoch {
			waiting++
		}
	}
	if waiting > maxSaved {
		f.givenUp, f.s.gaveUp = true, true
		f.Drop()
	}
}

// save keeps the form of a device that is about to change, unless it is out or kept already.
func (f *Frozen) save(d *device) {
	if d.out == f.s.epoch {
		return
	}
	d.out = f.s.epoch
	last := len(f.saved) - 1
	if last < 0 || len(f.saved[last]) >= savedPiece {
		f.saved = append(f.saved, nil)
		last++
	}
	e := encoder{f.saved[last]}
	e.device(d)
	f.saved[last] = e.b
}
