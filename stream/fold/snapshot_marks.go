package fold

import (
	"slices"

	"outfall/stream/window"
	"outfall/telemetry"
)

// The form of what a device has of marks and of past alarms, where it has any.

// Bits of a device's first number, above those of snapshot_device.go.
const (
	presenceMask = 3
	bitMarks     = 1 << (presenceShift + 3)
	bitPast      = 1 << (presenceShift + 4)
)

func (e *encoder) marksAndPast(d *device) {
	if d.marks != nil {
		e.marks(d.marks)
	}
	if len(d.past) > 0 {
		e.past(d)
	}
}

func (d *decoder) marksAndPast(dev *device, has uint64) {
	if has&bitMarks != 0 {
		d.marks(dev)
	}
	if has&bitPast != 0 {
		d.past(dev)
	}
}

func (e *encoder) marks(ms *deviceMarks) {
	e.int(ms.checked)
	e.uint(uint64(len(ms.list)))
	for i := range ms.list {
		m := &ms.list[i]
		e.texts(m.id, m.unit, string(m.kind))
		e.uint(uint64(len(m.factors)))
		for _, f := range m.factors {
			e.string(f)
		}
		e.int(m.from)
		e.int(m.to)
		e.int(m.proofAt)
		e.bool(m.auto)
	}
	e.uint(uint64(len(ms.taken)))
	for i := range ms.taken {
		t := &ms.taken[i]
		e.uint(uint64(t.column))
		e.bool(t.hour)
		e.int(t.index)
		if t.hour {
			e.sum(&t.total)
			continue
		}
		for _, v := range [...]telemetry.Fixed{t.value.Mean, t.value.Low, t.value.High} {
			e.int(int64(v))
		}
		for _, v := range [...]uint64{uint64(t.mark.Rev), uint64(t.mark.Flags), uint64(t.mark.Alarmed), uint64(t.mark.Judged)} {
			e.uint(v)
		}
	}
	e.uint(uint64(len(ms.budgets)))
	for i := range ms.budgets {
		b := &ms.budgets[i]
		e.string(b.unit)
		e.int(int64(b.year))
		e.uint(uint64(b.class))
		e.int(b.settled)
		e.uint(uint64(b.found))
		e.bool(b.furnace)
	}
}

func (d *decoder) marks(dev *device) {
	ms := &deviceMarks{checked: d.int()}
	dev.marks = ms
	for n := d.count(); n > 0 && d.err == nil; n-- {
		var m mark
		var kind string
		d.texts(&m.id, &m.unit, &kind)
		m.kind = telemetry.MarkKind(kind)
		for k := d.count(); k > 0 && d.err == nil; k-- {
			m.factors = append(m.factors, d.string())
		}
		m.from, m.to, m.proofAt, m.auto = d.int(), d.int(), d.int(), d.bool()
		ms.list = append(ms.list, m)
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		t := taken{column: int(d.uint()), hour: d.bool(), index: d.int()}
		if t.hour {
			t.total = d.sum()
		} else {
			t.value = window.Value{Mean: telemetry.Fixed(d.int()), Low: telemetry.Fixed(d.int()), High: telemetry.Fixed(d.int())}
			t.mark = window.Mark{Rev: uint16(d.uint()), Flags: window.Flags(d.uint()), Alarmed: uint8(d.uint()), Judged: uint8(d.uint())}
		}
		ms.taken = append(ms.taken, t)
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		b := budget{unit: d.string(), year: int(d.int()), class: int(d.uint()), settled: d.int(), found: uint8(d.uint()), furnace: d.bool()}
		if b.class < 0 || b.class >= len(budgetTerms) {
			d.fail("device %s: a budget of class %d", dev.mn, b.class)
		}
		ms.budgets = append(ms.budgets, b)
	}
	ordered := slices.IsSortedFunc(ms.list, func(a, b mark) int { return cmpInt(a.from, b.from) }) && slices.IsSortedFunc(ms.taken, orderTaken)
	if d.err == nil && (!ordered || len(ms.list) > maxMarks || len(ms.budgets) > maxBudgets) {
		d.fail("device %s: %d marks, %d budgets, in order %t", dev.mn, len(ms.list), len(ms.budgets), ordered)
	}
}

// Bits of a past alarm.
const (
	bitWithdrawn = 1 << iota
	bitClosed
	bitInForce // its rule's index follows
)

func (e *encoder) past(d *device) {
	e.uint(uint64(len(d.past)))
	for i := range d.past {
		p := &d.past[i]
		e.alarm(&p.openAlarm)
		e.texts(p.factor, p.ruleID, string(p.stat), p.unit, p.basis)
		for _, v := range [...]int64{int64(p.limit), p.last, p.endedAt} {
			e.int(v)
		}
		e.uint(bit(p.withdrawn, bitWithdrawn) | bit(p.closed, bitClosed) | bit(p.rule != nil, bitInForce))
		if p.rule != nil {
			e.uint(uint64(p.index))
		}
	}
}

func (d *decoder) past(dev *device) {
	for n := d.count(); n > 0 && d.err == nil; n-- {
		p := pastAlarm{openAlarm: *d.alarm()}
		var stat string
		d.texts(&p.factor, &p.ruleID, &stat, &p.unit, &p.basis)
		p.stat = telemetry.Statistic(stat)
		p.limit, p.last, p.endedAt = telemetry.Fixed(d.int()), d.int(), d.int()
		has := d.uint()
		p.withdrawn, p.closed = has&bitWithdrawn != 0, has&bitClosed != 0
		if has&bitInForce != 0 {
			p.index = int32(d.uint())
			sr := dev.seriesNamed(p.factor)
			if sr == nil || !slices.ContainsFunc(sr.bindings, func(b binding) bool { p.rule = b.rule; return b.index == p.index }) {
				d.fail("%s has an alarm of rule %d, which is not at work there", dev.mn, p.index)
				return
			}
		}
		dev.past = append(dev.past, p)
	}
	if len(dev.past) > maxPast {
		d.fail("device %s: %d past alarms", dev.mn, len(dev.past))
	}
}
