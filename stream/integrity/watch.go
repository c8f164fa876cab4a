package integrity

import "outfall/telemetry"

// A Watch is what the detectors remember of one device. It is fed hour by hour, some time after each hour's end, and in between with what no
// hour shows: data marks, the device's own means, parameters, times. The zero value is ready.
type Watch struct {
	series []seriesWatch // by column
	device deviceWatch
}

// seriesWatch is what is remembered of one factor. Minutes are counted since 1970.
type seriesWatch struct {
	open   []episode
	run    run         // const_value, jump: the newest value, and since when it has been the same
	zero   uint32      // zero_value: since when it has been zero; 0: it is not
	digits uint8       // decimals that its values have had, 0..6
	flags  [2]flagHour // of the hour at hand and the next, by the hour's last bit
	day    dayWatch
	hug    hugWeek
	fault  uint32 // flag_abuse: since when every minute has been marked D; 0: not
	late   quarter
	own    ownMeans
	copy   *copyWeek // periodic_copy; nil before its first hour
	taken  sampled
	rates  [backDays + 1]rateCell // by the day's last two bits
	low    uint32                 // near_lod: since when
}

// deviceWatch is what is remembered of the device as a whole.
type deviceWatch struct {
	open    []episode
	contra  [numContra]uint8 // phys_contra: hours in a row
	air     uint8            // o2_near_air: hours in a row
	running telemetry.Fixed  // stop_not_stopped: the stack's temperature while it ran; 0: not known
	stopped uint8            // hours in a row
	clock   clockWatch
	rewrite uint32 // conflicts since the newest hour
	params  []param
	changed changes
	thin    uint8 // dilution: hours in a row
	dry     uint8 // flow_zero_sampling: samples in a row
}

// A run is a value that minute after minute is the same.
type run struct {
	value telemetry.Fixed
	from  uint32 // minute of the first; 0: there is none
	last  uint32 // of the newest
}

// A flagHour counts the minutes of an hour that the device marks as something else than normal.
type flagHour struct {
	hour   uint32
	last   uint8 // minute of the newest one
	counts [numFlags]uint8
}

// The data marks that are counted (HJ 212-2017 table 8); every other one is counted as the last.
const (
	flagF = iota
	flagM
	flagC
	flagD
	flagS
	flagT
	flagB
	flagOther
	numFlags
)

func flagOf(text []byte) int {
	if len(text) == 1 {
		switch text[0] {
		case 'F':
			return flagF
		case 'M':
			return flagM
		case 'C':
			return flagC
		case 'D':
			return flagD
		case 'S':
			return flagS
		case 'T':
			return flagT
		case 'B':
			return flagB
		}
	}
	return flagOther
}

// at is what is remembered of a series; columns are dense and few.
func (w *Watch) at(column int) *seriesWatch {
	for len(w.series) <= column {
		w.series = append(w.series, seriesWatch{})
	}
	return &w.series[column]
}

// Flagged notes that a minute record marks a factor as something else than normal.
func (w *Watch) Flagged(column int, minute, interval int64, flag []byte) {
	s := w.at(column)
	f := &s.flags[minute/60&1]
	if hour := uint32(minute / 60); f.hour != hour {
		if hour < f.hour {
			return // data of long ago
		}
		*f = flagHour{hour: hour}
	}
	f.last = uint8(minute % 60)
	n := &f.counts[flagOf(flag)]
	*n = uint8(min(int64(*n)+interval, 60))
}

// flagsOf is the flags of an hour.
func (s *seriesWatch) flagsOf(hour int64) *flagHour {
	if f := &s.flags[hour&1]; int64(f.hour) == hour {
		return f
	}
	return &noFlags
}

var noFlags flagHour

// running says whether the plant discharges.
type running uint8

const (
	unknown running = iota
	yes
	no
)

// A scan is one hour of one device before its detectors.
type scan struct {
	hour   *Hour
	w      *Watch
	end    int64 // minute after the hour
	water  bool
	run    running
	tuning *Tuning // of the series at hand
	hits   []Hit

	flow, velocity, temperature, oxygen *SeriesHour // nil: none, or no value
}

var noTuning Tuning

// Hour puts an hour before every detector and appends what is to be told. Hours come in their order, each once; an hour that is left out
// interrupts what lasts. The hour's numbers may be changed.
func (w *Watch) Hour(h *Hour, hits []Hit) []Hit {
	c := scan{hour: h, w: w, end: (h.Index + 1) * 60, water: h.Medium == "water", hits: hits, tuning: &noTuning}
	for i := range h.Series {
		s := &h.Series[i]
		s.sumUp()
		if s.n == 0 {
			continue
		}
		switch s.Role {
		case RoleFlow:
			c.flow = s
		case RoleVelocity:
			c.velocity = s
		case RoleTemperature:
			c.temperature = s
		case RoleOxygen:
			c.oxygen = s
		}
	}
	c.run = c.running()
	for i := range h.Series {
		s := &h.Series[i]
		c.tuning = &noTuning
		if s.Tuning != nil {
			c.tuning = s.Tuning
		}
		c.seriesHour(w.at(s.Column), s)
	}
	c.tuning = &noTuning
	c.deviceHour(&w.device)
	return c.hits
}

// stillVelocity is the velocity below which a stack counts as still, m/s (regulations: 2 m/s, proposed).
const stillVelocity = 2 * telemetry.FixedOne

// running goes by the flow; of a stack without one by its velocity. Without either nothing is known.
func (c *scan) running() running {
	switch {
	case c.hour.Marks&MarkStopped != 0:
		return no
	case c.flow != nil && c.flow.mean > 0:
		return yes
	case c.flow != nil:
		return no
	case c.velocity != nil && c.velocity.mean >= stillVelocity:
		return yes
	case c.velocity != nil:
		return no
	}
	return unknown
}

// units are the units of the last digit by decimals, in millionths.
var units = [...]telemetry.Fixed{1_000_000, 100_000, 10_000, 1000, 100, 10, 1}

const maxDigits = 6

// seriesHour runs the detectors of one factor. Those that keep a day's numbers come last to them.
func (c *scan) seriesHour(s *seriesWatch, h *SeriesHour) {
	if h.Role == RoleCorrected {
		c.limitHugging(s, h)
		c.stepAtLimit(s, h)
		if c.dayEnds() {
			s.day = dayWatch{}
		}
		return
	}
	for w := h.Has; w != 0 && s.digits < maxDigits; w &= w - 1 {
		for s.digits < maxDigits && h.Means[trailing(w)]%units[s.digits] != 0 {
			s.digits++
		}
	}
	c.jump(s, h) // before the run takes the hour's values
	c.constValue(s, h)
	c.negative(s, h)
	c.meanMismatch(s, h)
	c.zsMismatch(s, h)
	c.sampleTime(s, h)
	if h.Role == RolePollutant {
		c.zeroValue(s, h)
		c.smallAmplitude(s, h)
		c.limitHugging(s, h)
		c.stepAtLimit(s, h)
		c.periodicCopy(s, h)
		c.nearLOD(s, h)
	}
	if h.Role == RolePollutant || h.Role == RoleOxygen {
		c.flatTop(s, h)
	}
	c.overRange(s, h)
	c.rangeAbuse(s, h)
	c.flagAbuse(s, h)
	c.count(s, h)
	if c.dayEnds() {
		s.day = dayWatch{}
	}
}

// deviceHour runs the detectors of the device as a whole.
func (c *scan) deviceHour(d *deviceWatch) {
	c.o2NearAir(d)
	c.o2LowBias(d)
	c.physContra(d)
	c.stopNotStopped(d)
	c.dilution(d)
	c.clockOffset(d)
	c.rewritten(d)
	c.paramChange(d)
	c.flowZero(d)
}

// dayEnds reports whether the hour is the last of a natural day (UTC+8).
func (c *scan) dayEnds() bool { return (c.end+8*60)%1440 == 0 }

// own reports whether the hour's numbers are the plant's own: no mark says otherwise.
func (c *scan) own() bool { return c.hour.Marks == 0 }
