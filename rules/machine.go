package rules

import (
	"encoding/binary"
	"errors"
	"math"

	"outfall/telemetry"
)

// A Step is what a verdict does to an alarm.
type Step uint8

const (
	StepNone   Step = iota
	StepRaise       // crossed RaiseAfter times in a row
	StepUpdate      // the open alarm became an exceedance, or its value worse than the worst so far
	StepClear       // clear ClearAfter times in a row
)

// A Machine is the persistence and hysteresis of one rule at one device and factor. It is flat integers; the zero value is an
// alarm that never was.
//
// Levels are persistent each for itself: RaiseAfter crossings in a row raise, but the level is exceed only when as many in a row
// exceeded. It never falls while the alarm is open. An alarm at level exceed ends when the limit is kept again, even if the early
// warning still holds: how long an outlet exceeded is read from raised to cleared. The warning is then an alarm of its own.
type Machine struct {
	Open  bool
	level uint8 // 0, warning, exceed
	kind  uint8 // 0, high, low: the limit that Worst crossed
	Run   int32 // verdicts in a row that crossed
	over  int32 // the same, at level exceed
	Clear int32 // verdicts in a row that were clear; open only
	// Worst is the worst mean since Run began. Like Level and Kind it describes the alarm still after StepClear, until the
	// next call of Next.
	Worst Measure
}

const (
	levelWarning = 1
	levelExceed  = 2
	kindHigh     = 1
	kindLow      = 2
)

// Next takes the verdict of the next window, in the order of their ends; r must be the rule that judged.
func (m *Machine) Next(r *Rule, v Verdict) Step {
	if m.Open {
		return m.nextOpen(r, v)
	}
	if m.Run == 0 || !v.Crossed {
		*m = Machine{}
	}
	if !v.Crossed {
		return StepNone
	}
	m.note(v)
	if int(m.Run) < r.RaiseAfter {
		return StepNone
	}
	m.Open, m.level = true, levelWarning
	if int(m.over) >= r.RaiseAfter {
		m.level = levelExceed
	}
	return StepRaise
}

func (m *Machine) nextOpen(r *Rule, v Verdict) Step {
	clear := v.Cleared
	if m.level == levelExceed {
		clear = v.LimitKept
	}
	if !clear {
		m.Clear = 0
	} else if m.Clear++; int(m.Clear) >= r.ClearAfter {
		m.Open, m.Run, m.over, m.Clear = false, 0, 0, 0
		return StepClear
	}
	if clear || !v.Crossed {
		m.Run, m.over = 0, 0
		return StepNone
	}
	worse := m.note(v)
	if m.level == levelWarning && int(m.over) >= r.RaiseAfter {
		m.level = levelExceed
		return StepUpdate
	}
	if worse {
		return StepUpdate
	}
	return StepNone
}

// note counts a verdict that crossed and reports whether it is the worst so far. Crossing the other limit (pH below 6 after pH
// above 9) counts as worse, because the two cannot be ranked; a warning is never worse than an exceedance.
func (m *Machine) note(v Verdict) (worse bool) {
	m.Run = increment(m.Run)
	if v.Level == telemetry.LevelExceed {
		m.over = increment(m.over)
	} else {
		m.over = 0
		if m.level == levelExceed {
			return false
		}
	}
	kind, sign := uint8(kindHigh), 1
	if v.Kind == KindLow {
		kind, sign = kindLow, -1
	}
	if m.kind == kind && sign*cmpMeans(v.Measure, m.Worst) <= 0 {
		return false
	}
	m.kind, m.Worst = kind, v.Measure
	return true
}

// increment counts up and stays at the greatest value: an alarm may stay open for years.
func increment(n int32) int32 {
	if n == math.MaxInt32 {
		return n
	}
	return n + 1
}

// Level is the level of the alarm; empty when there is none.
func (m *Machine) Level() telemetry.AlarmLevel {
	switch m.level {
	case levelWarning:
		return telemetry.LevelWarning
	case levelExceed:
		return telemetry.LevelExceed
	}
	return ""
}

// Kind is the limit that Worst crossed, KindHigh or KindLow; empty when nothing did.
func (m *Machine) Kind() string {
	switch m.kind {
	case kindHigh:
		return KindHigh
	case kindLow:
		return KindLow
	}
	return ""
}

// AppendTo appends the machine's state for a snapshot: a byte of open, level and kind, then varints of Run, over, Clear, Worst.
func (m *Machine) AppendTo(dst []byte) []byte {
	head := m.level<<1 | m.kind<<3
	if m.Open {
		head |= 1
	}
	dst = append(dst, head)
	for _, n := range [...]int32{m.Run, m.over, m.Clear} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	dst = binary.AppendVarint(dst, m.Worst.Sum.Hi)
	dst = binary.AppendUvarint(dst, m.Worst.Sum.Lo)
	return binary.AppendUvarint(dst, uint64(m.Worst.N))
}

var errMachine = errors.New("alarm machine: not the form of AppendTo")

// ReadMachine reads what AppendTo appended and returns the bytes behind it.
func ReadMachine(b []byte) (m Machine, rest []byte, err error) {
	if len(b) == 0 || b[0]>>5 != 0 || b[0]>>1&3 == 3 || b[0]>>3 == 3 {
		return Machine{}, nil, errMachine
	}
	m.Open, m.level, m.kind = b[0]&1 == 1, b[0]>>1&3, b[0]>>3
	b = b[1:]
	ok := true
	next := func(limit uint64) uint64 {
		u, n := binary.Uvarint(b)
		if n <= 0 || u > limit {
			ok = false
			return 0
		}
		b = b[n:]
		return u
	}
	m.Run, m.over, m.Clear = int32(next(math.MaxInt32)), int32(next(math.MaxInt32)), int32(next(math.MaxInt32))
	hi, n := binary.Varint(b)
	if !ok || n <= 0 {
		return Machine{}, nil, errMachine
	}
	b = b[n:]
	m.Worst.Sum.Hi = hi
	m.Worst.Sum.Lo = next(math.MaxUint64)
	m.Worst.N = int64(next(math.MaxInt64))
	if !ok || m.Open && (m.level == 0 || m.kind == 0) || m.kind != 0 && m.Worst.N == 0 {
		return Machine{}, nil, errMachine
	}
	return m, b, nil
}
