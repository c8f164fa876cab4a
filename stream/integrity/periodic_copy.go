package integrity

import "fmt"

// periodic_copy (周期性重复): hours whose minute values are, one by one, those of the same hours of the day before, or of the week before. The threshold is
// hours in a row, 6. Proposed.
//
// Guards: an hour whose values are all the same, or of which fewer than fifty minutes came, is no copy and interrupts; so does a mark. Batch processes
// repeat their shape, not sixty numbers to the last digit. Waste water analysers give one or two numbers an hour: of them twelve hours are asked.
var periodicCopyDefault = threshold{gas: whole(6), water: whole(12), source: proposed}

// A copyWeek is a hash of each hour of the newest week: sixteen bits, since it takes many of them in a row to say anything. 0: an hour that cannot
// be a copy.
type copyWeek struct {
	hashes    [weekHours]uint16 // by hour since 1970
	newest    int64             // hour
	day, week uint8             // hours in a row that were those of the day before, of the week before
}

const weekHours = 7 * 24

func (c *scan) periodicCopy(s *seriesWatch, h *SeriesHour) {
	if s.copy == nil {
		s.copy = &copyWeek{newest: c.hour.Index - 1}
	}
	k, hour := s.copy, c.hour.Index
	for at := max(k.newest+1, hour-weekHours+1); at < hour; at++ {
		k.hashes[at%weekHours] = 0 // hours that were left out
	}
	if hour != k.newest+1 {
		k.day, k.week = 0, 0
	}
	yesterday, lastWeek := k.hashes[(hour-24)%weekHours], k.hashes[hour%weekHours]
	if hour-k.newest > weekHours {
		lastWeek = 0
	}
	hash := c.hash(h)
	k.hashes[hour%weekHours], k.newest = hash, hour
	k.day, k.week = inRow(k.day, hash != 0 && hash == yesterday), inRow(k.week, hash != 0 && hash == lastWeek)
	rows, what := k.day, "day"
	if k.week > rows {
		rows, what = k.week, "week"
	}
	limit := c.limitOf(periodicCopy)
	c.judge(&s.open, periodicCopy, h.Factor, verdict{on: whole(int64(rows)) >= limit, start: c.end - int64(rows)*60, value: whole(int64(rows))}, limit,
		func() string {
			return fmt.Sprintf("the minute values of %d hours are those of the %s before, one by one", rows, what)
		})
}

func inRow(n uint8, on bool) uint8 {
	if !on {
		return 0
	}
	return min(n+1, 250)
}

// hash is a hash of an hour's values and their places; 0 for an hour that cannot be a copy.
func (c *scan) hash(h *SeriesHour) uint16 {
	if h.min == h.max || int64(h.n)*c.hour.Interval < 50 || !c.own() {
		return 0
	}
	sum := uint64(hashSeed)
	for w := h.Has; w != 0; w &= w - 1 {
		i := trailing(w)
		sum = (sum ^ uint64(h.Means[i]) ^ uint64(i)<<56) * hashFactor
		sum ^= sum >> 32
	}
	return uint16(sum) | 1
}

const (
	hashSeed   = 14695981039346656037
	hashFactor = 0x9E3779B97F4A7C15 // odd: 2^64 by the golden ratio
)
