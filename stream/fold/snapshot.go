package fold

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"outfall/rules"
	"outfall/stream/integrity"
	"outfall/stream/window"
	"outfall/telemetry"
)

// snapshotVersion changes with the form below. A snapshot of another version is not read: the state is rebuilt from the journal.
const snapshotVersion = 2

// AppendTo appends the state in a form that Read takes back. The state goes on exactly as if it had never been written.
func (s *State) AppendTo(dst []byte) []byte {
	e := encoder{dst}
	e.header(s)
	for _, d := range s.list {
		e.device(d)
	}
	return e.b
}

// header writes what comes before the devices.
func (e *encoder) header(s *State) {
	e.uint(snapshotVersion)
	e.int(int64(s.partition))
	e.int(s.clock)
	e.int(s.alarmAt)
	e.int(s.stats.Frames)
	e.int(s.stats.Duplicates)
	e.int(s.stats.Findings)
	if s.rules == nil {
		e.bytes(nil)
	} else {
		e.bytes(s.rules.AppendJSON(nil))
	}
	e.uint(uint64(len(s.list)))
}

// Read is the inverse of AppendTo, and takes what a Frozen gave out, all of it. The state does not alias b.
func Read(b []byte) (*State, error) {
	d := decoder{b: b}
	if v := d.uint(); v != snapshotVersion {
		return nil, fmt.Errorf("state of version %d, want %d", v, snapshotVersion)
	}
	s := New(int32(d.int()))
	s.clock, s.alarmAt = d.int(), d.int()
	s.stats.Frames, s.stats.Duplicates, s.stats.Findings = d.int(), d.int(), d.int()
	if js := d.bytes(); len(js) > 0 {
		rs, err := rules.ParseRuleSet(js)
		if err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
		s.rules = rs
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		dev := d.device(s)
		if s.devices[dev.mn] != nil {
			d.fail("device %s twice", dev.mn)
		}
		if d.err == nil {
			if !dev.known {
				s.strangers++
			}
			dev.deadline = dev.nextDeadline()
			s.add(dev)
		}
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	if d.err != nil {
		return nil, fmt.Errorf("state: %w", d.err)
	}
	return s, nil
}

// An encoder appends varints and length-prefixed bytes.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) bytes(v []byte) {
	e.uint(uint64(len(v)))
	e.b = append(e.b, v...)
}
func (e *encoder) string(v string) {
	e.uint(uint64(len(v)))
	e.b = append(e.b, v...)
}
func (e *encoder) bool(v bool) {
	if v {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

func (e *encoder) set(s integrity.Set) {
	b, err := s.AppendTo(nil)
	if err != nil {
		panic(fmt.Sprintf("fold: %v", err)) // writing to memory does not fail
	}
	e.bytes(b)
}

func (e *encoder) device(d *device) {
	e.string(d.mn)
	e.bytes(telemetry.AppendJSON(nil, &d.reg))
	e.bool(d.known)
	e.uint(uint64(d.presence))
	for _, v := range [...]int64{d.since, d.lastFrame, d.lastData, d.frames, d.first, d.rejects, d.qualDay, d.nextSlot, d.nextHour, d.nextDay, d.statusAt} {
		e.int(v)
	}
	e.bool(d.dirty)
	e.bool(d.statusDirty)
	e.uint(uint64(d.quality))
	e.uint(uint64(d.recent.next))
	for _, f := range d.recent.entries {
		e.b = binary.LittleEndian.AppendUint64(e.b, f.content)
		e.b = binary.LittleEndian.AppendUint64(e.b, f.qn)
	}
	e.int(d.secondAt)
	e.int(d.secondMore)
	e.packetSets(d)
	e.set(d.slots.Received)
	e.set(d.slots.Valid)
	e.ring(&d.hours)
	e.ring(&d.days)
	e.uint(uint64(len(d.series)))
	for _, sr := range d.series {
		e.series(sr)
	}
}

func (e *encoder) series(sr *series) {
	e.string(sr.key)
	e.string(sr.factor)
	e.string(sr.unit)
	for _, r := range []*window.Ring{&sr.pending, &sr.minutes, &sr.hours, &sr.days} {
		e.ring(r)
	}
	e.set(sr.filled)
	e.int(sr.lastSlot)
	e.int(sr.late.from)
	e.int(sr.late.to)
	e.int(sr.oddDay)
	for _, in := range sr.instants {
		e.int(in.at)
		e.int(int64(in.value))
		e.bool(in.valid)
	}
	e.uint(uint64(len(sr.bindings)))
	for i := range sr.bindings {
		b := &sr.bindings[i]
		e.string(b.rule.ID)
		e.int(b.last)
		e.b = b.m.AppendTo(e.b)
		e.alarm(&b.alarm)
		e.b = b.before.m.AppendTo(e.b)
		e.alarm(&b.before.alarm)
	}
}

func (e *encoder) alarm(a *openAlarm) {
	e.string(a.id)
	e.string(a.ruleSet)
	for _, v := range [...]int64{a.raisedAt, a.first, a.start, a.end, int64(a.value)} {
		e.int(v)
	}
	e.string(string(a.level))
	e.string(a.kind)
}

// ring writes the head and the cells that hold something, each with its distance from the head.
func (e *encoder) ring(r *window.Ring) {
	head, ok := r.Head()
	e.bool(ok)
	if !ok {
		return
	}
	e.int(head)
	r.Each(func(i int64, c *window.Cell) {
		e.uint(uint64(head-i) + 1)
		e.int(c.Sum.Hi)
		e.uint(c.Sum.Lo)
		e.int(int64(c.Min))
		e.int(int64(c.Max))
		e.int(int64(c.N))
		e.uint(uint64(c.Rev))
		e.b = append(e.b, byte(c.Flags), c.Alarmed, c.Judged)
	})
	e.uint(0)
}

// A decoder reads what encoder wrote. After the first fault every read gives zero and err says what was wrong.
type decoder struct {
	b   []byte
	err error
}

var errShort = errors.New("ends too early")

func (d *decoder) fail(format string, a ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, a...)
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("%w", errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("%w", errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count is the number of things that follow; each takes at least a byte.
func (d *decoder) count() uint64 {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail("%w: %d things in %d bytes", errShort, n, len(d.b))
		return 0
	}
	return n
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("%w", errShort)
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte  { return d.take(d.uint()) }
func (d *decoder) string() string { return string(d.bytes()) }
func (d *decoder) bool() bool     { return d.uint() != 0 }

func (d *decoder) set() integrity.Set {
	s, err := integrity.ReadSet(d.bytes())
	if err != nil {
		d.fail("%w", err)
		return integrity.NewSet()
	}
	return s
}

func (d *decoder) device(s *State) *device {
	dev := newDevice(d.string(), 0)
	if err := json.Unmarshal(d.bytes(), &dev.reg); err != nil {
		d.fail("registry of %s: %w", dev.mn, err)
		return dev
	}
	dev.known = d.bool()
	dev.presence = presence(d.uint())
	for _, p := range [...]*int64{&dev.since, &dev.lastFrame, &dev.lastData, &dev.frames, &dev.first, &dev.rejects, &dev.qualDay, &dev.nextSlot, &dev.nextHour,
		&dev.nextDay, &dev.statusAt} {
		*p = d.int()
	}
	dev.dirty = d.bool()
	dev.statusDirty = d.bool()
	dev.quality = uint32(d.uint())
	dev.recent.next = int(d.uint() % recentFrames)
	for i := range dev.recent.entries {
		if b := d.take(16); b != nil {
			dev.recent.entries[i] = recentFrame{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
		}
	}
	dev.secondAt, dev.secondMore = d.int(), d.int()
	d.packetSets(dev)
	dev.slots = integrity.Slots{Received: d.set(), Valid: d.set()}
	d.ring(&dev.hours)
	d.ring(&dev.days)
	for n := d.count(); n > 0 && d.err == nil; n-- {
		dev.series = append(dev.series, d.series(s, dev))
	}
	return dev
}

func (d *decoder) series(s *State, dev *device) *series {
	sr := newSeries(d.string())
	sr.factor, sr.unit = d.string(), d.string()
	for _, r := range []*window.Ring{&sr.pending, &sr.minutes, &sr.hours, &sr.days} {
		d.ring(r)
	}
	sr.filled = d.set()
	sr.lastSlot, sr.late.from, sr.late.to, sr.oddDay = d.int(), d.int(), d.int(), d.int()
	for i := range sr.instants {
		sr.instants[i] = instantSeen{d.int(), telemetry.Fixed(d.int()), d.bool()}
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		sr.bindings = append(sr.bindings, d.binding(s, dev))
	}
	return sr
}

func (d *decoder) binding(s *State, dev *device) binding {
	var b binding
	id := d.string()
	for i := range s.ruleList() {
		if r := &s.rules.Rules[i]; r.ID == id {
			b.rule = r
		}
	}
	if b.rule == nil {
		d.fail("%s is bound to a rule %q that the rule set lacks", dev.mn, id)
		return b
	}
	b.last = d.int()
	b.m, b.alarm = d.machine(), d.alarm()
	b.before.m, b.before.alarm = d.machine(), d.alarm()
	return b
}

func (d *decoder) machine() rules.Machine {
	m, rest, err := rules.ReadMachine(d.b)
	if err != nil {
		d.fail("%w", err)
		return m
	}
	d.b = rest
	return m
}

func (d *decoder) alarm() (a openAlarm) {
	a.id, a.ruleSet = d.string(), d.string()
	a.raisedAt, a.first, a.start, a.end, a.value = d.int(), d.int(), d.int(), d.int(), telemetry.Fixed(d.int())
	a.level, a.kind = telemetry.AlarmLevel(d.string()), d.string()
	return a
}

// ruleList is the rules in force, none before the first rules entry.
func (s *State) ruleList() []rules.Rule {
	if s.rules == nil {
		return nil
	}
	return s.rules.Rules
}

func (d *decoder) ring(r *window.Ring) {
	if !d.bool() {
		return
	}
	head := d.int()
	if head == math.MinInt64 || r.Touch(head) == nil {
		d.fail("ring head %d", head)
		return
	}
	for {
		back := d.uint()
		if back == 0 {
			return
		}
		c := r.At(head - int64(back-1))
		if c == nil {
			d.fail("a window outside its ring")
			return
		}
		c.Sum = telemetry.Sum{Hi: d.int(), Lo: d.uint()}
		c.Min, c.Max = telemetry.Fixed(d.int()), telemetry.Fixed(d.int())
		c.N, c.Rev = int32(d.int()), uint16(d.uint())
		if b := d.take(3); b != nil {
			c.Flags, c.Alarmed, c.Judged = window.Flags(b[0]), b[1], b[2]
		}
	}
}
