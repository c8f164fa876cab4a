package fold

import (
	"encoding/binary"
	"math/bits"

	"outfall/rules"
	"outfall/stream/integrity"
	"outfall/stream/window"
	"outfall/telemetry"
)

// The form of a device: its texts, its numbers, its packets, its slots, its series.

// Bits of a device's first number; presence is above them, in two bits, and above it what follows.
const (
	bitKnown = 1 << iota
	bitDirty
	bitStatusDirty
	bitPeriodEnd
	bitRegistered // reg has the MN
	presenceShift = iota
	bitLaw        = 1 << (presenceShift + 2)
	bitStack      = 1 << (presenceShift + 5)
	bitWeighted   = 1 << (presenceShift + 6)
)

func bit(is bool, b uint64) uint64 {
	if is {
		return b
	}
	return 0
}

func (e *encoder) device(d *device) {
	e.texts(d.mn, d.reg.Outlet, d.reg.OutletName, d.reg.Enterprise, d.reg.Region, d.reg.Medium, d.reg.Edition)
	e.uint(bit(d.known, bitKnown) | bit(d.dirty, bitDirty) | bit(d.statusDirty, bitStatusDirty) | bit(d.reg.PeriodEnd, bitPeriodEnd) |
		bit(d.reg.MN != "", bitRegistered) | uint64(d.presence)<<presenceShift | bit(hasLaw(&d.reg), bitLaw) | bit(d.marks != nil, bitMarks) |
		bit(len(d.past) > 0, bitPast) | bit(d.reg.Stack != nil, bitStack) | bit(d.reg.FlowWeighted, bitWeighted))
	e.uint(uint64(d.reg.MinuteInterval))
	e.uint(uint64(d.reg.OfflineAfter))
	e.uint(uint64(len(d.reg.Scales)))
	for _, sc := range d.reg.Scales {
		e.string(sc.Factor)
		e.int(int64(sc.Exp))
	}
	if hasLaw(&d.reg) {
		e.law(&d.reg)
	}
	if d.reg.Stack != nil {
		e.stack(d.reg.Stack)
	}
	for _, v := range [...]int64{d.since, d.lastFrame, d.lastData, d.frames, d.first, d.rejects, d.qualDay, d.firstSlot, d.nextHour, d.nextDay, d.statusAt,
		d.secondAt, d.secondMore} {
		e.int(v)
	}
	e.uint(uint64(d.quality))
	e.recent(&d.recent)
	e.packetSets(d)
	e.b = d.slots.AppendTo(e.b)
	e.b = d.days.AppendTo(d.hours.AppendTo(e.b))
	e.watcher(d.watcher)
	for i := range d.series { // as many as the slots have
		e.series(d, &d.series[i])
	}
	e.marksAndPast(d)
}

func (e *encoder) recent(r *recentRing) {
	n := recentFrames
	for n > 0 && r.entries[n-1] == (recentFrame{}) {
		n--
	}
	e.uint(uint64(r.next))
	e.uint(uint64(n))
	for i := range r.entries[:n] {
		e.b = binary.LittleEndian.AppendUint64(e.b, r.entries[i].content)
		e.b = binary.LittleEndian.AppendUint64(e.b, r.entries[i].qn)
	}
}

func (e *encoder) series(d *device, sr *series) {
	e.string(sr.key)
	e.uint(uint64(sr.column))
	e.b = d.hist(sr).AppendTo(e.b)
	open := len(sr.open)
	if sr.now.is {
		open++
	}
	e.uint(uint64(open))
	for i := range sr.open {
		e.openSlot(&sr.open[i])
	}
	if sr.now.is {
		e.openSlot(&sr.now)
	}
	e.slot(sr.now.slot)
	e.slot(sr.lastSlot)
	e.bool(sr.late != span{})
	if sr.late != (span{}) {
		e.int(sr.late.from)
		e.int(sr.late.to)
	}
	e.int(sr.oddDay)
	e.instants(sr)
	e.uint(uint64(len(sr.bindings)))
	for i := range sr.bindings {
		e.binding(&sr.bindings[i])
	}
}

// slot writes an index that can be noSlot.
func (e *encoder) slot(i int64) {
	e.bool(i != noSlot)
	if i != noSlot {
		e.int(i)
	}
}

func (e *encoder) sum(t *window.Total) {
	e.uint(uint64(t.N))
	if t.N > 0 {
		e.int(t.Sum.Hi)
		e.uint(t.Sum.Lo)
		e.int(int64(t.Min))
		e.int(int64(t.Max))
	}
}

// instants writes them oldest first.
func (e *encoder) instants(sr *series) {
	valid, text := bits.RotateLeft8(sr.valid, -int(sr.next)), bits.RotateLeft8(sr.text, -int(sr.next))
	if valid|text == 0 && sr.next == 0 && sr.instants == [recentInstants]recentInstant{} {
		e.bool(false)
		return
	}
	e.bool(true)
	e.b = append(e.b, valid, text)
	var at, value [recentInstants]int64
	for i := range at {
		in := &sr.instants[(int(sr.next)+i)%recentInstants]
		at[i], value[i] = in.at, int64(in.value)
	}
	e.b = window.AppendColumn(window.AppendColumn(e.b, at[:]), value[:])
}

// Bits of what a binding holds.
const (
	bitMachine = 1 << iota
	bitAlarm
	bitMachineBefore
	bitAlarmBefore
	bitSameAlarm // the alarm before is the alarm
	bitSince
)

func (e *encoder) binding(b *binding) {
	e.uint(uint64(b.index))
	e.int(b.last)
	none := rules.Machine{}
	has := bit(b.since != 0, bitSince) | bit(b.m != none, bitMachine) | bit(b.alarm != nil, bitAlarm) | bit(b.before.m != none, bitMachineBefore)
	if b.before.alarm == b.alarm || b.alarm != nil && b.before.alarm != nil && *b.before.alarm == *b.alarm {
		has |= bitSameAlarm
	} else {
		has |= bit(b.before.alarm != nil, bitAlarmBefore)
	}
	e.uint(has)
	if has&bitMachine != 0 {
		e.b = b.m.AppendTo(e.b)
	}
	if has&bitAlarm != 0 {
		e.alarm(b.alarm)
	}
	if has&bitMachineBefore != 0 {
		e.b = b.before.m.AppendTo(e.b)
	}
	if has&bitAlarmBefore != 0 {
		e.alarm(b.before.alarm)
	}
	if has&bitSince != 0 {
		e.int(b.since)
	}
}

func (e *encoder) alarm(a *openAlarm) {
	e.texts(a.id, a.ruleSet, string(a.level), a.kind)
	for _, v := range [...]int64{a.raisedAt, a.first, a.start, a.end, int64(a.value)} {
		e.int(v)
	}
}

func (d *decoder) device(s *State) *device {
	dev := newDevice("", 0)
	r := &dev.reg
	d.texts(&dev.mn, &r.Outlet, &r.OutletName, &r.Enterprise, &r.Region, &r.Medium, &r.Edition)
	has := d.uint()
	dev.known, dev.dirty, dev.statusDirty, r.PeriodEnd = has&bitKnown != 0, has&bitDirty != 0, has&bitStatusDirty != 0, has&bitPeriodEnd != 0
	if dev.presence = presence(has >> presenceShift & presenceMask); dev.presence > offline || has >= 2*bitWeighted {
		d.fail("device %s: presence %d", dev.mn, has>>presenceShift)
	}
	r.FlowWeighted = has&bitWeighted != 0
	if has&bitRegistered != 0 {
		r.MN = dev.mn
	}
	interval := d.uint()
	if interval < 1 || interval > 60 || 60%interval != 0 {
		d.fail("device %s: interval of %d minutes", dev.mn, interval)
		return dev
	}
	r.MinuteInterval, r.OfflineAfter = int(interval), int(d.uint())
	for n := d.count(); n > 0 && d.err == nil; n-- {
		r.Scales = append(r.Scales, telemetry.Scale{Factor: d.string(), Exp: int(d.int())})
	}
	if has&bitLaw != 0 {
		d.law(r)
	}
	if has&bitStack != 0 {
		d.stack(r)
	}
	for _, p := range [...]*int64{&dev.since, &dev.lastFrame, &dev.lastData, &dev.frames, &dev.first, &dev.rejects, &dev.qualDay, &dev.firstSlot, &dev.nextHour,
		&dev.nextDay, &dev.statusAt, &dev.secondAt, &dev.secondMore} {
		*p = d.int()
	}
	dev.quality = uint32(d.uint())
	d.recent(&dev.recent)
	d.packetSets(dev)
	if d.err != nil {
		return dev
	}
	var err error
	if dev.slots, d.b, err = integrity.ReadSlots(d.b, maxSeries); err == nil {
		if d.b, err = dev.hours.Read(d.b); err == nil {
			d.b, err = dev.days.Read(d.b)
		}
	}
	if err != nil {
		d.fail("device %s: %w", dev.mn, err)
		return dev
	}
	dev.watcher = d.watcher()
	n := dev.slots.Series()
	all, rest := make([]series, n), make([]seldom, n)
	dev.series, dev.rings = all, window.NewRings(n)
	for i := range all {
		all[i].seldom = &rest[i]
		d.series(s, dev, &all[i])
		if i > 0 && d.err == nil && all[i].key <= all[i-1].key {
			d.fail("device %s: series %q after %q", dev.mn, all[i].key, all[i-1].key)
		}
		if d.err != nil {
			return dev
		}
	}
	d.marksAndPast(dev, has)
	return dev
}

func (d *decoder) recent(r *recentRing) {
	r.next = int(d.uint() % recentFrames)
	n := d.uint()
	if n > recentFrames {
		d.fail("%d recent frames", n)
		return
	}
	b := d.take(16 * n)
	for i := 0; len(b) > 0; i++ {
		r.put(i, recentFrame{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])})
		b = b[16:]
	}
}

func (d *decoder) series(s *State, dev *device, sr *series) {
	key, column := d.bytes(), d.uint()
	if d.err != nil {
		return
	}
	if len(key) > maxCode || column >= uint64(dev.slots.Series()) {
		d.fail("%s %q: column %d", dev.mn, key, column)
		return
	}
	*sr = newSeries(s.nameOf(key), sr.seldom, int(column))
	var err error
	if d.b, err = dev.hist(sr).Read(d.b); err != nil {
		d.fail("%s %s: %w", dev.mn, sr.key, err)
	}
	d.openSlots(dev, sr)
	sr.lastSlot = d.slot()
	if d.bool() {
		sr.late = span{d.int(), d.int()}
	}
	sr.oddDay = d.int()
	d.instants(sr)
	for n := d.count(); n > 0 && d.err == nil; n-- {
		b := d.binding(s, dev)
		sr.bindings = append(sr.bindings, b)
		sr.judges |= 1 << b.kind
	}
}

func (d *decoder) slot() int64 {
	if !d.bool() {
		return noSlot
	}
	return d.int()
}

func (d *decoder) sum() (t window.Total) {
	n := d.uint()
	if n == 0 {
		return t
	}
	t.Sum.Hi, t.Sum.Lo, t.Min, t.Max, t.N = d.int(), d.uint(), telemetry.Fixed(d.int()), telemetry.Fixed(d.int()), int32(n)
	if n > 1<<30 || t.Sum.Cmp(1<<63-1, int64(n)) > 0 || t.Sum.Cmp(-1<<63, int64(n)) < 0 {
		d.fail("a sum of %d values", n)
	}
	return t
}

func (d *decoder) instants(sr *series) {
	if !d.bool() {
		return
	}
	if valid := d.take(1); d.err == nil {
		sr.valid = valid[0]
	}
	if d.form != formBefore {
		if text := d.take(1); d.err == nil {
			sr.text = text[0]
		}
	}
	if d.err != nil {
		return
	}
	var at, value [recentInstants]int64
	b, err := window.ReadColumn(d.b, at[:])
	if err == nil {
		b, err = window.ReadColumn(b, value[:])
	}
	if err != nil {
		d.fail("%w", err)
		return
	}
	d.b = b
	for i := range at {
		sr.instants[i] = recentInstant{at[i], telemetry.Fixed(value[i])}
		sr.latest = max(sr.latest, at[i])
	}
}

func (d *decoder) binding(s *State, dev *device) binding {
	var b binding
	index := d.uint()
	if index >= uint64(len(s.ruleList())) {
		d.fail("%s is bound to rule %d of %d", dev.mn, index, len(s.ruleList()))
		return b
	}
	b.index = int32(index)
	b.rule = s.rules.Rules[index].At(&dev.reg)
	b.kind = kindOf(b.rule.Statistic)
	b.last = d.int()
	has := d.uint()
	if has&bitMachine != 0 {
		b.m = d.machine()
	}
	if has&bitAlarm != 0 {
		b.alarm = d.alarm()
	}
	if has&bitMachineBefore != 0 {
		b.before.m = d.machine()
	}
	switch {
	case has&bitSameAlarm != 0:
		b.before.alarm = b.alarm
	case has&bitAlarmBefore != 0:
		b.before.alarm = d.alarm()
	}
	if has&bitSince != 0 {
		b.since = d.int()
	}
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

func (d *decoder) alarm() *openAlarm {
	a := new(openAlarm)
	var level string
	d.texts(&a.id, &a.ruleSet, &level, &a.kind)
	a.level = telemetry.AlarmLevel(level)
	a.raisedAt, a.first, a.start, a.end, a.value = d.int(), d.int(), d.int(), d.int(), telemetry.Fixed(d.int())
	return a
}
