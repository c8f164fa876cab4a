package integrity

import (
	"math/bits"

	"outfall/telemetry"
)

// Rates of one factor in one natural day, in millionths (传输有效率 = 数据传输率 × 数据有效率). A group is one factor and hour.
//
//	transmission  groups received / groups due
//	validity      groups valid / groups received
//	effective     their product: valid / due
//
// Applies is false when no group was due: the rate is then not applicable, which is not the same as complete.
type Rates struct {
	Transmission, Validity, Effective telemetry.Fixed
	Applies                           bool
}

// RatesOf computes the rates of so many groups. More than due are taken as due, more valid than received as received.
func RatesOf(due, received, valid int) (r Rates) {
	if due <= 0 {
		return r
	}
	received = min(received, due)
	valid = min(valid, received)
	r.Applies = true
	r.Transmission, r.Effective = ratio(whole(int64(received)), whole(int64(due))), ratio(whole(int64(valid)), whole(int64(due)))
	if received > 0 {
		r.Validity = ratio(whole(int64(valid)), whole(int64(received)))
	}
	return r
}

// A RateDay is a natural day of one factor, in groups: as it came (即时), by the time of each hour's scan, and with what was sent again later (补全).
type RateDay struct {
	Column               int
	Day                  int64 // natural days (UTC+8) since 1970
	Due                  int   // hours of the day less those excused
	Received, Valid      int   // as it came
	FullReceived, FullOK int   // after re-sending
	Excused              int   // hours with a mark of stop, and at most one of an automatic standard check
	Rev                  uint8 // 0: first
}

// backDays is how many days before the one that ends can still change: the fold takes data of 72 hours.
const backDays = 3

// hourMask is a set of a day's hours, bit 0 the one from midnight.
type hourMask uint32

func (m hourMask) count() int { return bits.OnesCount32(uint32(m)) }

// A rateCell is what is kept of a day.
type rateCell struct {
	day             uint32 // 0: none
	expected        hourMask
	stopped         hourMask // excused by marks
	checked         hourMask // not valid, with minutes of calibration: an automatic standard check may excuse one
	received, valid hourMask // as it came
	fullR, fullV    hourMask // after re-sending
	told            bool
	rev             uint8
}

// Back says which hours of a day that is over have values now, which have enough of them for a valid hour mean, and which marks excuse: marks
// come after the data.
type Back struct{ Received, Valid, Excused uint32 }

const allHours = 1<<24 - 1

// selfChecked are the factors whose analysers check themselves by a standard: one hour a day leaves the denominator (自动监测数据有效传输率统计算法说明).
func selfChecked(factor string) bool {
	switch factor {
	case "w01018", "w21003", "w21011", "w21001": // COD, NH3-N, TP, TN
		return true
	}
	return false
}

// count takes the hour at hand into its day's cell.
func (c *scan) count(s *seriesWatch, h *SeriesHour) {
	day, bit := (c.end-60+8*60)/1440, hourMask(1)<<((c.end-60+8*60)%1440/60)
	cell := &s.rates[day%(backDays+1)]
	if int64(cell.day) != day {
		*cell = rateCell{day: uint32(day)}
	}
	if !c.hour.Expected {
		return
	}
	cell.expected |= bit
	flags, flagged := s.flagsOf(c.hour.Index), int64(0)
	for _, n := range flags.counts {
		flagged += int64(n)
	}
	enough := int64(h.n)*c.hour.Interval >= validMinutes
	if h.n > 0 || flagged > 0 || int64(s.own.hour.window) == c.hour.Index {
		cell.received, cell.fullR = cell.received|bit, cell.fullR|bit
	}
	switch {
	case enough:
		cell.valid, cell.fullV = cell.valid|bit, cell.fullV|bit
	case flags.counts[flagC] > 0 && selfChecked(h.Factor):
		cell.checked |= bit
	}
}

// validMinutes is how many minutes a valid hour has (HJ 212-2017 annex D, form 24).
const validMinutes = 45

// Rates appends, at a day's end, the days of each series that have not been told of or have changed since. h is the hour that ends the day, as
// given to Hour; its Back says what became of the days before.
func (w *Watch) Rates(h *Hour, out []RateDay) []RateDay {
	day := ((h.Index+1)*60 + 8*60 - 1) / 1440
	for i := range h.Series {
		hs := &h.Series[i]
		s := w.at(hs.Column)
		for back := backDays; back >= 0; back-- {
			cell := &s.rates[(day-int64(back))%(backDays+1)]
			if int64(cell.day) != day-int64(back) {
				continue
			}
			was, b := *cell, &hs.Back[back]
			cell.fullR, cell.fullV = cell.fullR|hourMask(b.Received)&allHours, cell.fullV|hourMask(b.Valid)&allHours
			cell.stopped = hourMask(b.Excused) & allHours
			changed := cell.told && was != *cell
			if cell.told && !changed || cell.expected == 0 {
				continue
			}
			if changed && cell.rev < 255 {
				cell.rev++
			}
			cell.told = true
			out = append(out, cell.rateDay(hs.Column))
		}
	}
	return out
}

// rateDay counts a cell. An excused hour leaves the groups due, and those received.
func (m *rateCell) rateDay(column int) RateDay {
	excused := m.stopped & m.expected
	if rest := m.checked & m.expected &^ excused &^ m.fullV; rest != 0 {
		excused |= rest & -rest // one hour of a check
	}
	due := m.expected &^ excused
	return RateDay{Column: column, Day: int64(m.day), Due: due.count(), Received: (m.received & due).count(), Valid: (m.valid & due).count(),
		FullReceived: (m.fullR & due).count(), FullOK: (m.fullV & due).count(), Excused: excused.count(), Rev: m.rev}
}
