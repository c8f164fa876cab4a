package integrity

import "fmt"

// limit_hugging (贴限): of the hour means of seven days, at least a hundred, the threshold's share or more, 40 %, lie between 0.90 and 1.00 of the
// limit, and none between 1.00 and 1.05. Proposed; the class is named in a paper of 2026.
//
// Guards: hours with a mark are not counted. A dosing control that aims at the limit does this honestly, but overshoots now and then: the gap above
// the limit is what a control does not make.
var limitHuggingDefault = threshold{gas: 400_000, water: 400_000, source: proposed}

// A hugWeek counts the hours of the newest seven days, the day at hand in days[0].
type hugWeek struct{ days [7]hugDay }

type hugDay struct{ near, above, all uint8 }

const hugHours = 100

func (c *scan) limitHugging(s *seriesWatch, h *SeriesHour) {
	d := &s.hug.days[0]
	if limit := bounded(h.Facts.Limit); limit > 0 && h.n > 0 && c.own() && d.all < 24 {
		d.all++
		switch share := ratio(h.mean, limit); {
		case share >= 900_000 && h.mean <= limit:
			d.near++
		case h.mean > limit && share <= 1_050_000:
			d.above++
		}
	}
	if !c.dayEnds() {
		return
	}
	near, above, all := 0, 0, 0
	for _, d := range s.hug.days {
		near, above, all = near+int(d.near), above+int(d.above), all+int(d.all)
	}
	copy(s.hug.days[1:], s.hug.days[:])
	s.hug.days[0] = hugDay{}
	limit, share := c.limitOf(limitHugging), whole(0)
	if all >= hugHours && above == 0 {
		share = ratio(whole(int64(near)), whole(int64(all)))
	}
	c.judge(&s.open, limitHugging, h.Factor, verdict{on: share > 0 && share >= limit, start: c.end - 7*1440, value: share}, limit, func() string {
		return fmt.Sprintf("%d of %d hour means of seven days between 0.90 and 1.00 of the limit of %s, none between 1.00 and 1.05", near, all, h.Facts.Limit)
	})
}
