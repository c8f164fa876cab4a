package integrity

import "fmt"

// flag_abuse (数据标记过多): minutes marked as maintenance or calibration (M, C) are beyond the threshold's share of a quarter's minutes, 5 % (proposed);
// or a factor is marked as defective (D) for more than 48 hours: by then a spare instrument is due (污染源自动监控设施运行管理办法 art. 15).
//
// Guards: hours without flow, or with a mark of stop, are not counted, since nothing is measured then; the share counts only when fourteen days of the quarter
// have come, so that commissioning and a single long maintenance do not. The automatic standard check of waste water analysers, an hour a day, is not counted.
var flagAbuseDefault = threshold{gas: 50_000, water: 50_000, source: proposed}

// A quarter counts the minutes of a natural quarter of three calendar months, by 91 days: what it is for is a share.
type quarter struct {
	index  uint32
	worked uint32 // minutes marked M or C
	all    uint32
}

const (
	quarterDays  = 91
	defectMost   = 48 * 60 // minutes
	quarterLeast = 14 * 1440
	selfCheck    = 60 // minutes a day
)

func (c *scan) flagAbuse(s *seriesWatch, h *SeriesHour) {
	f := s.flagsOf(c.hour.Index)
	q := &s.late
	if index := uint32((c.end - 60) / (quarterDays * 1440)); q.index != index {
		*q = quarter{index: index}
	}
	minutes := uint32(h.n) * uint32(c.hour.Interval)
	for _, n := range f.counts {
		minutes += uint32(n)
	}
	if c.run != no && c.hour.Marks&MarkStopped == 0 {
		before := s.day.checked
		s.day.checked += uint16(f.counts[flagC])
		excused := uint16(0)
		if selfChecked(h.Factor) {
			excused = min(s.day.checked, selfCheck) - min(before, selfCheck)
		}
		q.worked += uint32(f.counts[flagM]) + uint32(s.day.checked-before-excused)
		q.all += minutes
	}
	switch {
	case h.n > 0 || minutes > 0 && f.counts[flagD] == 0:
		s.fault = 0
	case f.counts[flagD] > 0 && s.fault == 0:
		s.fault = uint32(c.end - 60)
	}
	limit := c.limitOf(flagAbuse)
	v, how := verdict{quiet: 24 * 60}, ""
	worked := ratio(whole(int64(q.worked)), whole(int64(max(q.all, 1))))
	switch defect := c.end - int64(s.fault); {
	case s.fault != 0 && defect > defectMost:
		v.on, v.value, v.start, how = true, whole(defect/60), int64(s.fault), fmt.Sprintf("marked as defective for %d hours without a break", defect/60)
	case q.all >= quarterLeast && worked > limit:
		v.on, v.value, how = true, worked, fmt.Sprintf("%d of %d minutes of the quarter marked as maintenance or calibration", q.worked, q.all)
	}
	c.judge(&s.open, flagAbuse, h.Factor, v, limit, func() string { return how })
}
