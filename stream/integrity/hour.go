package integrity

import (
	"math/bits"
	"slices"

	"outfall/telemetry"
)

// A Role is what a factor tells the detectors about the plant.
type Role uint8

const (
	RoleOther       Role = iota
	RolePollutant        // a concentration: most detectors look at nothing else
	RoleFlow             // w00000, a00000
	RoleVelocity         // a01011
	RoleTemperature      // a01012, the stack's
	RoleOxygen           // a19001
	RolePH               // w01001
	RoleAuxiliary        // pressure, humidity and the like: slow and coarse
	RoleCorrected        // a concentration that was computed, to the reference oxygen: only what its limit is about
)

// RoleOf is the role of a factor by its code (HJ 212-2017 annex B).
func RoleOf(factor string) Role {
	switch factor {
	case "w00000", "a00000":
		return RoleFlow
	case "a01011":
		return RoleVelocity
	case "a01012":
		return RoleTemperature
	case "a19001":
		return RoleOxygen
	case "w01001":
		return RolePH
	case "w01017", "w01018", "w01020": // BOD5, COD, TOC stand among the physical factors of annex B
		return RolePollutant
	}
	if len(factor) < 2 {
		return RoleOther
	}
	switch factor[:2] {
	case "w0", "a0":
		return RoleAuxiliary
	case "w2", "w3", "a2", "a3":
		return RolePollutant
	}
	return RoleOther
}

// MarkSet says what marks (工况标记) say of an hour.
type MarkSet uint8

const (
	MarkStopped    MarkSet = 1 << iota // 停运
	MarkExempt                         // 启炉, 停炉, 烘炉, 故障 and the like: the plant does not run as it does by day
	MarkInstrument                     // maintenance, calibration, no link: the numbers are not the plant's
)

// pastHours is how many hours before the one at hand a detector sees.
const pastHours = 24

// A Past is one of the hours before; N 0: no value.
type Past struct {
	Mean, Min, Max telemetry.Fixed
	N              int32 // minutes slots with a valid value
}

// A SeriesHour is what one factor came to in an hour.
type SeriesHour struct {
	Factor string
	Role   Role
	Tuning *Tuning // nil: the defaults
	Facts  Facts
	Column int                 // number of the series in the Watch
	Means  [60]telemetry.Fixed // valid minute values, by slot
	Has    uint64              // bit i: slot i has one
	Flat   uint64              // bit i: its least and its greatest value are its mean
	Past   [pastHours]Past     // [0] is the hour before
	Back   [backDays + 1]Back  // at a natural day's end: [0] that day, then those before it
	Day    Past                // of the natural day (UTC+8) that ends with the hour; N 0 in every other hour

	mean     telemetry.Fixed
	min, max telemetry.Fixed // of the minute values
	n        int
}

// Facts are what is known of a factor's measurement at an outlet; 0: not known.
type Facts struct {
	Limit     telemetry.Fixed // the lowest upper limit that a rule in force sets for its hour or day mean
	Range     telemetry.Fixed // measuring range, i13001
	LOD       telemetry.Fixed // detection limit, i13009
	Reference telemetry.Fixed // reference oxygen in percent (基准含氧量), for converted values
}

// scale is what a share of the range is taken of: the range, or twice the limit, which is what a range is chosen by; 0: neither is known.
func (f *Facts) scale() telemetry.Fixed {
	if f.Range > 0 {
		return f.Range
	}
	return 2 * f.Limit
}

// An Hour is one natural hour of a device.
type Hour struct {
	Index    int64 // hours since 1970
	Interval int64 // minutes of a slot, a divisor of 60
	Medium   string
	Marks    MarkSet
	Expected bool // data of the hour are due
	Series   []SeriesHour
}

// maxFixed bounds what detectors compute with: a thousand million units. Sums of a day and products with a percentage fit 64 bits.
const maxFixed = 1_000_000_000 * telemetry.FixedOne

func bounded(v telemetry.Fixed) telemetry.Fixed { return max(-maxFixed, min(maxFixed, v)) }

// sumUp computes what most detectors ask for.
func (h *SeriesHour) sumUp() {
	h.mean, h.min, h.max, h.n = 0, 0, 0, bits.OnesCount64(h.Has)
	sum := telemetry.Fixed(0)
	first := true
	for w := h.Has; w != 0; w &= w - 1 {
		i := bits.TrailingZeros64(w)
		v := bounded(h.Means[i])
		h.Means[i] = v
		sum += v
		if first || v < h.min {
			h.min = v
		}
		if first || v > h.max {
			h.max = v
		}
		first = false
	}
	if h.n > 0 {
		h.mean = sum / telemetry.Fixed(h.n)
	}
	for i := range h.Past {
		p := &h.Past[i]
		p.Mean, p.Min, p.Max = bounded(p.Mean), bounded(p.Min), bounded(p.Max)
	}
}

// extent is the least and the greatest minute value of the hour and the n-1 hours before. ok is false when one of them has no value.
func (h *SeriesHour) extent(n int) (low, high telemetry.Fixed, ok bool) {
	if h.n == 0 {
		return 0, 0, false
	}
	low, high = h.min, h.max
	for i := range h.Past[:n-1] {
		p := &h.Past[i]
		if p.N == 0 {
			return 0, 0, false
		}
		low, high = min(low, p.Min), max(high, p.Max)
	}
	return low, high, true
}

// moved is how much the hour means of the newest n hours differ, in millionths of the greatest; ok as in extent.
func (h *SeriesHour) moved(n int) (share telemetry.Fixed, ok bool) {
	if h.n == 0 {
		return 0, false
	}
	low, high := h.mean, h.mean
	for i := range h.Past[:n-1] {
		p := &h.Past[i]
		if p.N == 0 {
			return 0, false
		}
		low, high = min(low, p.Mean), max(high, p.Mean)
	}
	if high <= 0 {
		return 0, true
	}
	return ratio(high-low, high), true
}

// meanOf is the mean of the past hours [from, to); ok is false unless most have a value.
func (h *SeriesHour) meanOf(from, to int) (mean telemetry.Fixed, ok bool) {
	n := 0
	for i := from; i < to; i++ {
		if h.Past[i].N > 0 {
			mean += h.Past[i].Mean
			n++
		}
	}
	if 2*n <= to-from {
		return 0, false
	}
	return mean / telemetry.Fixed(n), true
}

// median is the median of the past hours' means and their median deviation from it; ok is false when fewer than twelve have a value.
func (h *SeriesHour) median() (median, deviation telemetry.Fixed, ok bool) {
	var values [pastHours]telemetry.Fixed
	n := 0
	for i := range h.Past {
		if h.Past[i].N > 0 {
			values[n] = h.Past[i].Mean
			n++
		}
	}
	if n < pastHours/2 {
		return 0, 0, false
	}
	slices.Sort(values[:n])
	median = values[n/2]
	for i, v := range values[:n] {
		values[i] = max(v-median, median-v)
	}
	slices.Sort(values[:n])
	return median, values[n/2], true
}

// ratio is a/b in millionths, rounded towards zero; b > 0. Beyond a million it is a million.
func ratio(a, b telemetry.Fixed) telemetry.Fixed {
	neg := a < 0
	if neg {
		a = -a
	}
	hi, lo := bits.Mul64(uint64(a), uint64(telemetry.FixedOne))
	q := uint64(maxRatio)
	if hi < uint64(b) {
		q, _ = bits.Div64(hi, lo, uint64(b))
		q = min(q, maxRatio)
	}
	if neg {
		return -telemetry.Fixed(q)
	}
	return telemetry.Fixed(q)
}

const maxRatio = 1_000_000 * uint64(telemetry.FixedOne)

// times is a·b, a within maxFixed and b a share up to 100.
func times(a, share telemetry.Fixed) telemetry.Fixed {
	neg := a < 0
	if neg {
		a = -a
	}
	hi, lo := bits.Mul64(uint64(a), uint64(share))
	q, _ := bits.Div64(hi, lo, uint64(telemetry.FixedOne))
	if neg {
		return -telemetry.Fixed(q)
	}
	return telemetry.Fixed(q)
}

// apart is |a-b| in millionths of |b|; a million where b is 0 and a is not.
func apart(a, b telemetry.Fixed) telemetry.Fixed {
	d := max(a-b, b-a)
	if d == 0 {
		return 0
	}
	if b < 0 {
		b = -b
	}
	if b == 0 {
		return telemetry.Fixed(maxRatio)
	}
	return ratio(d, b)
}
