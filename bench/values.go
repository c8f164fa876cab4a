package bench

import (
	"hash/fnv"
	"math/rand/v2"
	"time"

	"outfall/telemetry"
)

// A totalKind says what the -Cou of a signal is.
type totalKind uint8

const (
	noTotal     totalKind = iota // pH, temperature and the like have none (HJ 212-2017 C.16)
	volumeTotal                  // flow: m3
	massTotal                    // concentration times volume: kg
)

// A Signal is one measured quantity of a virtual logger. Numbers are integers in units of the last decimal, so that the same seed gives
// the same text on every machine.
type Signal struct {
	Code, Legacy string // HJ 212-2017 annex B and HJ/T 212-2005
	Decimals     int    // of Rtd, Min, Avg, Max and their converted forms
	Low, High    int64  // every value lies within, [Low, High]
	total        totalKind
	corrected    bool // has converted (Zs) values beside the measured ones
}

// waterSignals lie safely below the usual limits: COD 50 mg/L, NH3-N 5, TP 0.5, pH 6..9. The flow comes first: totals need it.
func waterSignals() []Signal {
	return []Signal{
		{Code: "w00000", Legacy: "B01", Decimals: 2, Low: 1000, High: 3000, total: volumeTotal}, // L/s
		{Code: "w01001", Legacy: "001", Decimals: 2, Low: 700, High: 800},
		{Code: "w01018", Legacy: "011", Decimals: 1, Low: 180, High: 320, total: massTotal},
		{Code: "w21003", Legacy: "060", Decimals: 2, Low: 50, High: 200, total: massTotal},
		{Code: "w21011", Legacy: "101", Decimals: 2, Low: 10, High: 30, total: massTotal},
	}
}

// gasSignals lie safely below the usual limits, converted too: SO2 35 mg/m3, NOx 50, dust 10. The flow comes first.
func gasSignals() []Signal {
	return []Signal{
		{Code: "a00000", Legacy: "B02", Decimals: 1, Low: 120, High: 200, total: volumeTotal}, // m3/s
		{Code: "a34013", Legacy: "01", Decimals: 1, Low: 20, High: 60, total: massTotal, corrected: true},
		{Code: "a21026", Legacy: "02", Decimals: 2, Low: 500, High: 2000, total: massTotal, corrected: true},
		{Code: "a21002", Legacy: "03", Decimals: 1, Low: 150, High: 300, total: massTotal, corrected: true},
		{Code: oxygen, Legacy: "S01", Decimals: 1, Low: 93, High: 107}, // %
		{Code: "a01011", Legacy: "S02", Decimals: 2, Low: 800, High: 1500},
		{Code: "a01012", Legacy: "S03", Decimals: 1, Low: 800, High: 1300},
		{Code: "a01014", Legacy: "S05", Decimals: 1, Low: 60, High: 120},
	}
}

const (
	oxygen = "a19001"
	cod    = "w01018"

	// The converted concentration is c·(21-reference)/(21-O2); in tenths of a percent. The reference is 9 %.
	airOxygen, referenceOxygen = 210, 90

	// COD of an exceeding outlet, tenths of mg/L: about twice the limit of 50.
	overLow, overHigh = 900, 1150

	sampleEvery   = 10 * time.Second // a logger's own sampling within a period
	massDecimals  = 6                // kg, so milligrams: a minute of TP is some hundred of them
	waterVolume   = 3                // decimals of m3: litres
	gasVolume     = 1
	secondsPerDay = 86400
)

// A model gives the values of one logger at every moment. It has no state that changes.
type model struct {
	signals []Signal
	keys    []uint64 // one noise stream per signal
	oxygen  int      // index of O2, -1 without
	gas     bool
	minutes time.Duration // MinuteInterval
	// overFrom is the moment from which COD lies in overLow..overHigh; zero: never.
	overFrom time.Time
}

func newModel(d *telemetry.Device, signals []Signal, seed uint64, overFrom time.Time) *model {
	m := &model{signals: signals, oxygen: -1, gas: d.Medium == "gas", overFrom: overFrom,
		minutes: time.Duration(d.MinuteInterval) * time.Minute}
	for i, s := range signals {
		m.keys = append(m.keys, seed^hash(d.MN, s.Code))
		if s.Code == oxygen {
			m.oxygen = i
		}
	}
	return m
}

func hash(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// at is the value of signal i in the second t: a level of the logger's own, a daily swing and noise. Level 0.35..0.65 of the range, swing
// a quarter and noise a tenth of it, so the sum never leaves the range.
func (m *model) at(i int, t time.Time) int64 {
	low, high := m.signals[i].Low, m.signals[i].High
	if m.signals[i].Code == cod && !m.overFrom.IsZero() && !t.Before(m.overFrom) {
		low, high = overLow, overHigh
	}
	span, key, sec := high-low, m.keys[i], t.Unix()
	level := low + span*(350+int64(key%301))/1000
	swing, noise := span/4, span/10
	phase := (sec + int64(key%secondsPerDay)) % secondsPerDay
	wave := 4 * swing * phase / secondsPerDay // 0..4·swing, folded into a triangle
	if wave > 2*swing {
		wave = 4*swing - wave
	}
	random := rand.NewPCG(key, uint64(sec)).Uint64()
	return level - swing + wave - noise + int64(random%uint64(2*noise+1))
}

// convert is the concentration c at the oxygen content o2 (tenths of a percent) converted to the reference oxygen.
func convert(c, o2 int64) int64 { return divRound(c*(airOxygen-referenceOxygen), airOxygen-o2) }

// divRound is a/b rounded half up; a >= 0, b > 0.
func divRound(a, b int64) int64 { return (a + b/2) / b }

// A stat sums up one signal over one period.
type stat struct {
	min, avg, max       int64
	zsMin, zsAvg, zsMax int64
	total               int64 // units of totalDecimals
}

// A mean collects values for a stat.
type mean struct{ min, max, sum, n int64 }

func (m *mean) add(low, v, high int64) {
	if m.n == 0 || low < m.min {
		m.min = low
	}
	if m.n == 0 || high > m.max {
		m.max = high
	}
	m.sum += v
	m.n++
}

func (m *mean) avg() int64 { return divRound(m.sum, m.n) }

// minute sums up the MinuteInterval that starts at t from the logger's samples.
func (m *model) minute(t time.Time) []stat {
	raw, zs := make([]mean, len(m.signals)), make([]mean, len(m.signals))
	for at := t; at.Before(t.Add(m.minutes)); at = at.Add(sampleEvery) {
		for i := range m.signals {
			v := m.at(i, at)
			raw[i].add(v, v, v)
			if m.signals[i].corrected {
				c := convert(v, m.at(m.oxygen, at))
				zs[i].add(c, c, c)
			}
		}
	}
	out := stats(raw, zs)
	volume := m.volume(out[0].avg)
	for i, s := range m.signals {
		switch s.total {
		case volumeTotal:
			out[i].total = volume
		case massTotal:
			out[i].total = m.mass(out[i].avg, s.Decimals, volume)
		}
	}
	return out
}

// period sums up [start, start+length), whole MinuteIntervals, from its minute records, as a logger does.
func (m *model) period(start time.Time, length time.Duration) []stat {
	if length == m.minutes {
		return m.minute(start)
	}
	raw, zs, totals := make([]mean, len(m.signals)), make([]mean, len(m.signals)), make([]int64, len(m.signals))
	for t := start; t.Before(start.Add(length)); t = t.Add(m.minutes) {
		for i, s := range m.minute(t) {
			raw[i].add(s.min, s.avg, s.max)
			zs[i].add(s.zsMin, s.zsAvg, s.zsMax)
			totals[i] += s.total
		}
	}
	out := stats(raw, zs)
	for i := range out {
		out[i].total = totals[i]
	}
	return out
}

func stats(raw, zs []mean) []stat {
	out := make([]stat, len(raw))
	for i := range out {
		out[i] = stat{min: raw[i].min, avg: raw[i].avg(), max: raw[i].max}
		if zs[i].n > 0 {
			out[i].zsMin, out[i].zsAvg, out[i].zsMax = zs[i].min, zs[i].avg(), zs[i].max
		}
	}
	return out
}

// volume is what flows in one MinuteInterval at the mean flow: hundredths of L/s become litres, tenths of m3/s tenths of m3.
func (m *model) volume(flow int64) int64 {
	amount := flow * int64(m.minutes/time.Second)
	if m.gas {
		return amount
	}
	return divRound(amount, 100)
}

// mass is concentration times volume in milligrams: mg/L times litres, or mg/m3 times tenths of m3.
func (m *model) mass(c int64, decimals int, volume int64) int64 {
	if m.gas {
		decimals++
	}
	unit := int64(1)
	for range decimals {
		unit *= 10
	}
	return divRound(c*volume, unit)
}

// totalDecimals is the number of decimals of a signal's -Cou.
func (m *model) totalDecimals(k totalKind) int {
	switch {
	case k == massTotal:
		return massDecimals
	case m.gas:
		return gasVolume
	}
	return waterVolume
}

// appendNumber appends v·10^-decimals as a plain decimal; v >= 0.
func appendNumber(dst []byte, v int64, decimals int) []byte {
	var digits [24]byte
	i := len(digits)
	for n := 0; v > 0 || n <= decimals; n++ {
		if n == decimals && decimals > 0 {
			i--
			digits[i] = '.'
		}
		i--
		digits[i] = byte('0' + v%10)
		v /= 10
	}
	return append(dst, digits[i:]...)
}
