package integrity

import (
	"encoding/binary"
	"fmt"

	"outfall/telemetry"
)

// The form of a Watch in a snapshot: varints, what is zero in a byte or less.

// watchVersion changes with the form.
const watchVersion = 1

// AppendTo appends the watch in a form that Read takes back.
func (w *Watch) AppendTo(dst []byte) []byte {
	e := encoder{dst}
	if len(w.series) == 0 && w.device.idle() {
		return append(dst, 0)
	}
	e.uint(watchVersion)
	e.device(&w.device)
	e.uint(uint64(len(w.series)))
	for i := range w.series {
		e.series(&w.series[i])
	}
	return e.b
}

// idle reports a device that has nothing to remember.
func (d *deviceWatch) idle() bool {
	return len(d.open) == 0 && len(d.params) == 0 && d.clock == (clockWatch{}) && d.rewrite == 0 && d.running == 0
}

type encoder struct{ b []byte }

func (e *encoder) uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) ints(vs ...int64) {
	for _, v := range vs {
		e.b = binary.AppendVarint(e.b, v)
	}
}
func (e *encoder) string(s string) { e.uint(uint64(len(s))); e.b = append(e.b, s...) }

func bit(b bool, v int64) int64 {
	if b {
		return v
	}
	return 0
}

func (e *encoder) open(list []episode) {
	e.uint(uint64(len(list)))
	for _, x := range list {
		e.ints(int64(x.what), int64(x.start), int64(x.seen), int64(x.told))
	}
}

func (e *encoder) device(d *deviceWatch) {
	e.open(d.open)
	for _, n := range d.contra {
		e.uint(uint64(n))
	}
	k, c := &d.clock, &d.changed
	e.ints(int64(d.air), int64(d.running), int64(d.stopped), int64(k.frames), int64(k.back), int64(k.least), int64(k.most), k.newest, int64(d.rewrite),
		int64(c.count), int64(c.share), int64(c.from), int64(c.to), int64(c.what), int64(d.thin), int64(d.dry))
	e.uint(uint64(len(d.params)))
	for _, p := range d.params {
		e.string(p.factor)
		e.string(p.code)
		e.int(int64(p.value))
	}
}

func (e *encoder) series(s *seriesWatch) {
	e.open(s.open)
	e.int(int64(s.digits))
	e.int(bit(s.copy != nil, 2) | bit(s.taken.any, 4) | bit(s.taken.fresh, 8) | bit(s.day.top.any, 16))
	e.ints(int64(s.run.value), int64(s.run.from), int64(s.run.last), int64(s.zero), int64(s.fault), int64(s.low))
	for i := range s.flags {
		f := &s.flags[i]
		e.int(int64(f.hour))
		if f.hour != 0 {
			e.b = append(append(e.b, f.last), f.counts[:]...)
		}
	}
	d := &s.day
	e.ints(int64(d.over), int64(d.all), int64(d.steps), int64(d.checked), int64(d.top.top), int64(d.top.low), int64(d.top.hours))
	for _, h := range s.hug.days {
		e.b = append(e.b, h.near, h.above, h.all)
	}
	e.ints(int64(s.late.index), int64(s.late.worked), int64(s.late.all), int64(s.own.dayFlags))
	for _, m := range [...]*ownMean{&s.own.hour, &s.own.day} {
		e.int(int64(m.window))
		if m.window != 0 {
			e.ints(int64(m.avg), int64(m.zs), int64(m.digit), bit(m.hasZs, 1))
		}
	}
	e.ints(int64(s.taken.time), int64(s.taken.age))
	for i := range s.rates {
		r := &s.rates[i]
		e.int(int64(r.day))
		if r.day != 0 {
			e.ints(int64(r.expected), int64(r.stopped), int64(r.checked), int64(r.received), int64(r.valid), int64(r.fullR), int64(r.fullV), bit(r.told, 1), int64(r.rev))
		}
	}
	if s.copy != nil {
		e.ints(s.copy.newest, int64(s.copy.day), int64(s.copy.week))
		for _, h := range s.copy.hashes {
			e.b = binary.LittleEndian.AppendUint16(e.b, h)
		}
	}
}

// ReadWatch is the inverse of AppendTo and returns the bytes behind it. The watch does not alias b. At most so many series are taken.
func ReadWatch(b []byte, maxSeries int) (w Watch, rest []byte, err error) {
	d := decoder{b: b}
	switch version := d.uint(); version {
	case 0:
		return w, d.b, d.err
	case watchVersion:
	default:
		return w, nil, fmt.Errorf("watch of version %d, want %d", version, watchVersion)
	}
	d.device(&w.device)
	n := d.uint()
	if n > uint64(maxSeries) {
		return w, nil, fmt.Errorf("watch of %d series, at most %d", n, maxSeries)
	}
	w.series = make([]seriesWatch, n)
	for i := range w.series {
		if d.err != nil {
			break
		}
		d.series(&w.series[i])
	}
	if d.err != nil {
		return Watch{}, nil, fmt.Errorf("watch: %w", d.err)
	}
	return w, d.b, nil
}

// A decoder reads what encoder wrote. After the first fault every read gives zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// within is int, of what a smaller type holds.
func (d *decoder) within(most int64) int64 {
	v := d.int()
	if v < 0 || v > most {
		d.fail(fmt.Errorf("%d is not within 0..%d", v, most))
		return 0
	}
	return v
}

func (d *decoder) u8() uint8              { return uint8(d.within(1<<8 - 1)) }
func (d *decoder) u16() uint16            { return uint16(d.within(1<<16 - 1)) }
func (d *decoder) u32() uint32            { return uint32(d.within(1<<32 - 1)) }
func (d *decoder) mask() hourMask         { return hourMask(d.within(1<<24 - 1)) }
func (d *decoder) fixed() telemetry.Fixed { return bounded(telemetry.Fixed(d.int())) }
func (d *decoder) seconds() int32         { return int32(max(-1<<30, min(1<<30, d.int()))) }
func (d *decoder) take(n int) (out []byte) {
	if n > len(d.b) {
		d.fail(errShort)
		return make([]byte, n)
	}
	out, d.b = d.b[:n], d.b[n:]
	return out
}

func (d *decoder) string() string {
	n := d.uint()
	if n > maxCodeText {
		d.fail(fmt.Errorf("a code of %d bytes", n))
		return ""
	}
	return string(d.take(int(n)))
}

func (d *decoder) open() (list []episode) {
	n := d.uint()
	if n > numDetectors {
		d.fail(fmt.Errorf("%d open anomalies", n))
		return nil
	}
	for ; n > 0; n-- {
		list = append(list, episode{number(d.within(numDetectors - 1)), d.u32(), d.u32(), d.u32()})
	}
	return list
}

func (d *decoder) device(w *deviceWatch) {
	w.open = d.open()
	for i := range w.contra {
		w.contra[i] = uint8(d.uint())
	}
	k, c := &w.clock, &w.changed
	w.air, w.running, w.stopped = d.u8(), d.fixed(), d.u8()
	k.frames, k.back, k.least, k.most, k.newest = d.u16(), d.u16(), d.seconds(), d.seconds(), d.int()
	w.rewrite = d.u32()
	c.count, c.share, c.from, c.to, c.what = d.u16(), telemetry.Fixed(d.int()), d.fixed(), d.fixed(), d.u8()
	w.thin, w.dry = d.u8(), d.u8()
	n := d.uint()
	if n > maxParams || c.count > 0 && uint64(c.what) >= n {
		d.fail(fmt.Errorf("%d parameters, change of number %d", n, c.what))
		return
	}
	for ; n > 0; n-- {
		w.params = append(w.params, param{d.string(), d.string(), d.fixed()})
	}
}

func (d *decoder) series(s *seriesWatch) {
	s.open = d.open()
	s.digits = uint8(d.within(maxDigits))
	has := d.within(31)
	s.taken.any, s.taken.fresh, s.day.top.any = has&4 != 0, has&8 != 0, has&16 != 0
	s.run = run{d.fixed(), d.u32(), d.u32()}
	s.zero, s.fault, s.low = d.u32(), d.u32(), d.u32()
	for i := range s.flags {
		f := &s.flags[i]
		if f.hour = d.u32(); f.hour != 0 {
			b := d.take(1 + numFlags)
			f.last = b[0]
			copy(f.counts[:], b[1:])
		}
	}
	w := &s.day
	w.over, w.all, w.steps, w.checked, w.top.top, w.top.low, w.top.hours = d.u16(), d.u16(), d.u8(), d.u16(), d.fixed(), d.fixed(), d.u8()
	for i := range s.hug.days {
		b := d.take(3)
		s.hug.days[i] = hugDay{b[0], b[1], b[2]}
	}
	s.late = quarter{d.u32(), d.u32(), d.u32()}
	s.own.dayFlags = d.u32()
	for _, m := range [...]*ownMean{&s.own.hour, &s.own.day} {
		if m.window = d.u32(); m.window != 0 {
			m.avg, m.zs, m.digit, m.hasZs = d.fixed(), d.fixed(), d.fixed(), d.int() == 1
		}
	}
	s.taken.time, s.taken.age = d.u32(), d.seconds()
	for i := range s.rates {
		r := &s.rates[i]
		if r.day = d.u32(); r.day != 0 {
			r.expected, r.stopped, r.checked, r.received, r.valid, r.fullR, r.fullV = d.mask(), d.mask(), d.mask(), d.mask(), d.mask(), d.mask(), d.mask()
			r.told, r.rev = d.int() == 1, d.u8()
		}
	}
	if has&2 == 0 {
		return
	}
	k := &copyWeek{newest: d.within(1 << 32), day: d.u8(), week: d.u8()}
	b := d.take(2 * weekHours)
	for i := range k.hashes {
		k.hashes[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	s.copy = k
}
