package integrity

import "fmt"

// sampletime (采样时间不符): the sampling time of a batch analyser (SampleTime, HJ 212-2017 table 8) is more than the threshold of minutes before the
// record that carries it, 240: two cycles of two hours; or later than the record. A result that is sent again and again carries the same sampling
// time, so that its age grows: one test finds both. Proposed.
//
// Guards: an hour with a mark, or in which the device marks a minute, or without flow is not looked at: the analyser is idle then.
var sampleTimeDefault = threshold{gas: whole(240), water: whole(240), source: proposed}

// sampled is the newest sampling time of a factor, and the greatest age of the hour.
type sampled struct {
	time  uint32 // minutes since 1970; 0: none
	age   int32  // minutes, of the hour's records; negative: later than its record
	any   bool
	fresh bool // a sampling time that is new came in the hour

}

// Sampled notes a factor's sampling time, and its record's time, minutes since 1970.
func (w *Watch) Sampled(column int, record, taken int64) {
	if taken <= 0 {
		return
	}
	t := &w.at(column).taken
	age := int32(max(-1<<20, min(1<<20, record-taken)))
	if !t.any || age < 0 && age < t.age || t.age >= 0 && age > t.age {
		t.age = age
	}
	t.any = true
	if uint32(taken) != t.time {
		t.time, t.fresh = uint32(taken), true
	}
}

func (c *scan) sampleTime(s *seriesWatch, h *SeriesHour) {
	t := s.taken
	s.taken = sampled{time: t.time, fresh: t.fresh}
	limit := c.limitOf(sampleTime)
	age := whole(int64(t.age))
	on := t.any && (age > limit || t.age < 0) && c.run != no && c.own() && s.flagsOf(c.hour.Index).hour == 0
	c.judge(&s.open, sampleTime, h.Factor, verdict{on: on, value: age, quiet: 4 * 60}, limit, func() string {
		if t.age < 0 {
			return fmt.Sprintf("a sampling time of %s is %d minutes after its record", clock(int64(t.time)), -t.age)
		}
		return fmt.Sprintf("the sample of %s is %d minutes old in its record", clock(int64(t.time)), t.age)
	})
}
