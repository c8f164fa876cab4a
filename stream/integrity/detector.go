package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// A number stands for a detector in tables and snapshots: its place in telemetry.Detectors.
type number uint8

const (
	constValue number = iota
	zeroValue
	negative
	smallAmplitude
	overRange
	jump
	stepAtLimit
	limitHugging
	flatTop
	o2NearAir
	o2LowBias
	physContra
	meanMismatch
	zsMismatch
	clockOffset
	rewrite
	sampleTime
	paramChange
	rangeAbuse
	flagAbuse
	periodicCopy
	stopNotStopped
	dilution
	nearLOD
	flowZero
	numDetectors = iota
)

// A threshold is a detector's default, for flue gas and for waste water, in the detector's unit.
type threshold struct {
	gas, water telemetry.Fixed
	source     string
}

// The sources of thresholds. What is proposed is ours: a hint, that needs tuning on real data before it touches enforcement.
const (
	proposed = "proposed"
	single   = "single" // one source, named in the detector's file
	setting  = "setting"
)

// defaults are the thresholds by number; each detector's file says what its threshold means.
var defaults = [numDetectors]threshold{
	constValue: constValueDefault, zeroValue: zeroValueDefault, negative: negativeDefault, smallAmplitude: smallAmplitudeDefault, overRange: overRangeDefault,
	jump: jumpDefault, stepAtLimit: stepAtLimitDefault, limitHugging: limitHuggingDefault, flatTop: flatTopDefault, o2NearAir: o2NearAirDefault,
	o2LowBias: o2LowBiasDefault, physContra: physContraDefault, meanMismatch: meanMismatchDefault, zsMismatch: zsMismatchDefault, clockOffset: clockDefault,
	rewrite: rewriteDefault, sampleTime: sampleTimeDefault, paramChange: paramChangeDefault, rangeAbuse: rangeAbuseDefault, flagAbuse: flagAbuseDefault,
	periodicCopy: periodicCopyDefault, stopNotStopped: stopNotStoppedDefault, dilution: dilutionDefault, nearLOD: nearLODDefault, flowZero: flowZeroDefault,
}

// whole is n units.
func whole(n int64) telemetry.Fixed { return telemetry.Fixed(n) * telemetry.FixedOne }

// Default is a detector's threshold for a medium, "gas" or "water", and its source. ok is false for a name that is none.
func Default(d telemetry.Detector, medium string) (t telemetry.Fixed, source string, ok bool) {
	for i, name := range telemetry.Detectors() {
		if name == d {
			if medium == "water" {
				return defaults[i].water, defaults[i].source, true
			}
			return defaults[i].gas, defaults[i].source, true
		}
	}
	return 0, "", false
}

// A Tuning changes detectors for one factor of one device: nil thresholds leave the default. The zero value changes nothing.
type Tuning struct {
	off uint32 // bit by number
	own [numDetectors]telemetry.Fixed
	set uint32
}

// Off switches a detector off, or on again.
func (t *Tuning) Off(d telemetry.Detector, off bool) {
	for i, name := range telemetry.Detectors() {
		if name == d {
			t.off &^= 1 << i
			if off {
				t.off |= 1 << i
			}
		}
	}
}

// Set gives a detector another threshold.
func (t *Tuning) Set(d telemetry.Detector, v telemetry.Fixed) {
	for i, name := range telemetry.Detectors() {
		if name == d {
			t.own[i], t.set = v, t.set|1<<i
		}
	}
}

// A Hit is one event in the life of an anomaly.
type Hit struct {
	Factor  string // empty: the whole device
	Start   int64  // minutes since 1970, [Start, End)
	End     int64
	Detail  string // one sentence with the numbers
	Anomaly telemetry.Anomaly
}

// An episode is an anomaly that is open. What is not on for its detector's quiet time ends.
type episode struct {
	what  number
	start uint32 // minutes since 1970
	seen  uint32 // end of the newest hour in which it was on
	told  uint32 // end of the hour in which it was told of last
}

// tellEvery is how often an anomaly that lasts is told of again, minutes.
const tellEvery = 24 * 60

// A verdict is what a detector makes of an hour.
type verdict struct {
	on    bool
	start int64 // minute at which it began, as far as known
	value telemetry.Fixed
	quiet int64 // minutes without it that end it; 0: the first hour without it does
}

// judge carries a detector's verdict of the hour that ends at the minute end into the open anomalies, and tells what is to be told. detail
// is asked only then.
func (c *scan) judge(open *[]episode, what number, factor string, v verdict, limit telemetry.Fixed, detail func() string) {
	v.on = v.on && !c.isOff(what)
	at := -1
	for i := range *open {
		if (*open)[i].what == what {
			at = i
		}
	}
	end := c.end
	switch {
	case v.on && at < 0:
		start := v.start
		if start <= 0 || start > end {
			start = end - 60
		}
		*open = append(*open, episode{what, uint32(start), uint32(end), uint32(end)})
		c.tell(what, telemetry.AnomalyBegan, factor, start, end, v.value, limit, detail())
	case v.on:
		e := &(*open)[at]
		e.seen = uint32(end)
		if end >= int64(e.told)+tellEvery {
			e.told = uint32(end)
			c.tell(what, telemetry.AnomalyLasting, factor, int64(e.start), end, v.value, limit, detail())
		}
	case at >= 0 && end > int64((*open)[at].seen)+v.quiet:
		e := (*open)[at]
		*open = append((*open)[:at], (*open)[at+1:]...)
		c.tell(what, telemetry.AnomalyEnded, factor, int64(e.start), int64(e.seen), v.value, limit, "no longer so")
	}
}

func (c *scan) tell(what number, state telemetry.AnomalyState, factor string, start, end int64, value, limit telemetry.Fixed, detail string) {
	source := defaults[what].source
	if c.tuning.set>>what&1 == 1 {
		source = setting
	}
	c.hits = append(c.hits, Hit{Factor: factor, Start: start, End: end, Detail: detail,
		Anomaly: telemetry.Anomaly{Detector: telemetry.Detectors()[what], State: state, Value: value, Threshold: limit, Source: source}})
}

// limitOf is the threshold in force.
func (c *scan) limitOf(what number) telemetry.Fixed {
	if c.tuning.set>>what&1 == 1 {
		return c.tuning.own[what]
	}
	if c.water {
		return defaults[what].water
	}
	return defaults[what].gas
}

// isOff reports whether the rule set has switched a detector off.
func (c *scan) isOff(what number) bool { return c.tuning.off>>what&1 == 1 }

// clock is a minute as people read it, UTC+8.
func clock(minute int64) string {
	m := (minute + 8*60) % 1440
	return fmt.Sprintf("%02d:%02d", m/60, m%60)
}

// percent is a share as people read it.
func percent(f telemetry.Fixed) string { return (f * 100).String() + " %" }
