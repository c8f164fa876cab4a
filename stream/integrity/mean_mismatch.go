package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// mean_mismatch (均值不符): the device's own hour mean (CN 2061) or day mean (CN 2031) is not the mean of its minutes, by more than the threshold, 2 %
// (proposed), and by more than one unit of its last digit.
//
// Guards: every legal order is tried before anything is said: the plain mean of the minutes (HJ 212-2017 annex D, form 24), the flow-weighted one
// (forms 12 to 14; one logger weights gas so too), for a day also the mean of its hours (form 25) and their flow-weighted mean. The hour must have
// 58 of its 60 minutes, the day 98 of a hundred, or the device knows what we do not. An hour with marked minutes is not compared: loggers differ in
// what they leave out.
var meanMismatchDefault = threshold{gas: 20_000, water: 20_000, source: proposed}

// ownMeans are the device's own newest hour and day mean of a factor.
type ownMeans struct {
	hour, day ownMean
	dayFlags  uint32 // day on which a minute was marked
}

type ownMean struct {
	window  uint32 // hour since 1970, or natural day; 0: none
	avg, zs telemetry.Fixed
	digit   telemetry.Fixed // a unit of the last digit of avg
	hasZs   bool
}

// Own notes the device's own mean of an hour (hours since 1970) or of a natural day, and its converted one.
func (w *Watch) Own(column int, day bool, window int64, avg, zs, digit telemetry.Fixed, hasZs bool) {
	s := w.at(column)
	m := &s.own.hour
	if day {
		m = &s.own.day
	}
	*m = ownMean{uint32(window), bounded(avg), bounded(zs), bounded(digit), hasZs}
}

func (c *scan) meanMismatch(s *seriesWatch, h *SeriesHour) {
	limit := c.limitOf(meanMismatch)
	day := uint32((c.end - 60 + 8*60) / 1440)
	if s.flagsOf(c.hour.Index).hour != 0 {
		s.own.dayFlags = day
	}
	v, what := verdict{quiet: 24 * 60}, ""
	var own, ours telemetry.Fixed
	if m := &s.own.hour; int64(m.window) == c.hour.Index && int64(h.n)*c.hour.Interval >= 58 && s.flagsOf(c.hour.Index).hour == 0 {
		weighted, ok := c.weighted(h)
		if d := m.off(limit, h.mean, weighted, ok); d > 0 {
			v.on, v.value, own, ours, what = true, d, m.avg, h.mean, "hour"
		}
	}
	if m := &s.own.day; !v.on && c.dayEnds() && m.window == day && h.Day.N > 0 && int64(h.Day.N)*c.hour.Interval >= 1411 && s.own.dayFlags != day {
		hours, weighted, ok := c.dayMeans(h)
		if d := m.off(limit, h.Day.Mean, hours, true); d > 0 && (!ok || m.off(limit, weighted, 0, false) > 0) {
			v.on, v.value, v.start, own, ours, what = true, d, c.end-1440, m.avg, h.Day.Mean, "day"
		}
	}
	c.judge(&s.open, meanMismatch, h.Factor, v, limit, func() string {
		return fmt.Sprintf("the device's %s mean is %s, that of its minutes %s; no legal order of averaging agrees", what, own, ours)
	})
}

// off is how far the device's mean is from the nearer of two, in millionths; 0 when it agrees with one.
func (m *ownMean) off(limit, plain, other telemetry.Fixed, hasOther bool) telemetry.Fixed {
	d := telemetry.Fixed(0)
	for i, ours := range [...]telemetry.Fixed{plain, other} {
		if i == 1 && !hasOther {
			break
		}
		a := apart(m.avg, ours)
		if a <= limit || max(m.avg-ours, ours-m.avg) <= m.digit {
			return 0
		}
		if d == 0 || a < d {
			d = a
		}
	}
	return d
}

// weighted is the mean of an hour's minutes, weighted by the flow; ok is false without a flow.
func (c *scan) weighted(h *SeriesHour) (mean telemetry.Fixed, ok bool) {
	if c.flow == nil || c.flow == h {
		return 0, false
	}
	var sum, flow telemetry.Sum
	for w := h.Has & c.flow.Has; w != 0; w &= w - 1 {
		i := trailing(w)
		if q := c.flow.Means[i] / 1000; q > 0 { // thousandths of the flow's unit: products of a day fit
			sum, flow = addProduct(sum, h.Means[i], q), flow.Add(q)
		}
	}
	return quotient(sum, flow)
}

// dayMeans are the mean of the day's hour means, and the flow-weighted one.
func (c *scan) dayMeans(h *SeriesHour) (hours, weighted telemetry.Fixed, ok bool) {
	sum, n := h.mean, telemetry.Fixed(1)
	var product, flow telemetry.Sum
	if c.flow != nil {
		product, flow = addProduct(product, h.mean, max(c.flow.mean/1000, 0)), flow.Add(max(c.flow.mean/1000, 0))
	}
	for i := range h.Past[:23] {
		p := &h.Past[i]
		if p.N == 0 {
			continue
		}
		sum, n = sum+p.Mean, n+1
		if c.flow != nil {
			q := max(c.flow.Past[i].Mean/1000, 0)
			product, flow = addProduct(product, p.Mean, q), flow.Add(q)
		}
	}
	weighted, ok = quotient(product, flow)
	return sum / n, weighted, ok && c.flow != h
}
