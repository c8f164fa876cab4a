// Package window holds event-time windows of one factor: what minute slots, hours and days have come to, in rings that keep the recent
// ones. Sums are exact and can be taken out again. It is pure: no clock, no I/O, integers only.
package window

import (
	"outfall/telemetry"
)

// Flags are what the fold remembers of a window beside its numbers.
type Flags uint8

const (
	Emitted    Flags = 1 << iota // published at least once, so the next time is a revision
	Dirty                        // changed since it was published
	FromRecord                   // minute: filled by the device's own minute record (CN 2051), not by real-time values

	held // the window has values; the package's own

	allFlags = Emitted | Dirty | FromRecord | held
)

// A Mark is what the fold remembers of a window beside its numbers.
type Mark struct {
	Rev     uint16 // revision published last
	Flags   Flags
	Alarmed uint8 // bit i set = the i-th rule of the series raised an alarm for this window alone, because it came late
	Judged  uint8 // bit i set = the window crossed the i-th rule's limit when it was the newest: a part of that rule's own alarm
}

// A Value is what one minute slot came to.
type Value struct{ Mean, Low, High telemetry.Fixed }

// Total is the slot's value as the total of a window of its own.
func (v Value) Total() Total {
	return Total{Sum: telemetry.Sum{}.Add(v.Mean), Min: v.Low, Max: v.High, N: 1}
}

// A Total is an exact sum of values and their extremes. The zero value is an empty one. Totals merge, and sums can be taken out again
// exactly.
type Total struct {
	Sum      telemetry.Sum
	Min, Max telemetry.Fixed // of what was added; 0 while N is 0
	N        int32           // values added
}

// Add counts one value with the extremes that belong to it.
func (t *Total) Add(v Value) {
	if t.N == 0 || v.Low < t.Min {
		t.Min = v.Low
	}
	if t.N == 0 || v.High > t.Max {
		t.Max = v.High
	}
	t.Sum = t.Sum.Add(v.Mean)
	t.N++
}

// Remove takes out a value that Add counted. The extremes stay: they are not invertible, and a wider span than the corrected data
// have is the safe side.
func (t *Total) Remove(mean telemetry.Fixed) {
	t.Sum = t.Sum.Minus(telemetry.Sum{}.Add(mean))
	t.N--
}

// Merge counts everything that o holds.
func (t *Total) Merge(o *Total) {
	if o.N == 0 {
		return
	}
	if t.N == 0 || o.Min < t.Min {
		t.Min = o.Min
	}
	if t.N == 0 || o.Max > t.Max {
		t.Max = o.Max
	}
	t.Sum = t.Sum.Plus(o.Sum)
	t.N += o.N
}

// Mean is the arithmetic mean rounded once to a millionth, half to even; 0 for an empty total.
func (t *Total) Mean() telemetry.Fixed {
	if t.N == 0 {
		return 0
	}
	return t.Sum.Mean(int64(t.N))
}
