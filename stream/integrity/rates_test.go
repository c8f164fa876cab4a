package integrity

import (
	"testing"

	"outfall/telemetry"
)

// The vectors of the dossier, section 7.
func TestRatesOf(t *testing.T) {
	for _, v := range []struct {
		due, received, valid int
		want                 Rates
	}{
		{24, 22, 20, Rates{Transmission: 916_666, Validity: 909_090, Effective: 833_333, Applies: true}}, // 22/24 x 20/22 = 83.33 %
		{24, 24, 24, Rates{1_000_000, 1_000_000, 1_000_000, true}},
		{20, 20, 20, Rates{1_000_000, 1_000_000, 1_000_000, true}}, // a stop of four hours makes 20 due
		{24, 0, 0, Rates{Applies: true}},
		{0, 0, 0, Rates{}}, // not applicable
		{20, 24, 24, Rates{1_000_000, 1_000_000, 1_000_000, true}},
	} {
		if got := RatesOf(v.due, v.received, v.valid); got != v.want {
			t.Errorf("%d due, %d received, %d valid: %+v, want %+v", v.due, v.received, v.valid, got, v.want)
		}
	}
}

// dayOf is the day that Rates told of for a factor first.
func (b *bed) rateDay(factor string) RateDay {
	b.t.Helper()
	for _, r := range b.days {
		if r.Column == b.column(factor) {
			return r
		}
	}
	b.t.Fatalf("no rates of %s", factor)
	return RateDay{}
}

func TestRatesOfADay(t *testing.T) {
	hours := func(b *bed, at func(i int64)) *bed {
		for i := range int64(24) {
			at(i)
			b.step()
		}
		return b
	}
	b := gasBed(t)
	g := b.gauge("a21026")
	hours(b, func(i int64) {
		g.gone = i < 4
		if i == 2 || i == 3 { // they came, marked as defective
			for m := range int64(60) {
				b.w.Flagged(b.column("a21026"), b.hour*60+m, 1, []byte("D"))
			}
		}
	})
	if got, want := b.rateDay("a21026"), (RateDay{Column: 1, Day: 20000, Due: 24, Received: 22, Valid: 20, FullReceived: 22, FullOK: 20}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	b = gasBed(t)
	hours(b, func(i int64) {
		b.excused = 0xf
	})
	if got, want := b.rateDay("a21026"), (RateDay{Column: 1, Day: 20000, Due: 20, Received: 20, Valid: 20, FullReceived: 20, FullOK: 20, Excused: 4}); got != want {
		t.Errorf("a stop of four hours: %+v, want %+v", got, want)
	}
	for factor, want := range map[string]RateDay{ // two hours of calibration: one is excused, of an analyser that checks itself
		"w01018": {Column: 1, Day: 20000, Due: 23, Received: 23, Valid: 22, FullReceived: 23, FullOK: 22, Excused: 1},
		"w01001": {Column: 4, Day: 20000, Due: 24, Received: 24, Valid: 22, FullReceived: 24, FullOK: 22},
	} {
		b = waterBed(t)
		g := b.gauge(factor)
		hours(b, func(i int64) {
			g.gone = i == 2 || i == 9
			for m := int64(0); g.gone && m < 60; m++ {
				b.w.Flagged(b.column(factor), b.hour*60+m, 1, []byte("C"))
			}
		})
		if got := b.rateDay(factor); got != want {
			t.Errorf("%s: %+v, want %+v", factor, got, want)
		}
	}
	b = gasBed(t)
	b.absent = true
	if b.run(24); len(b.days) > 0 {
		t.Errorf("hours that are not due: %+v", b.days[0])
	}
}

// What is sent again counts beside what came in time, as a revision.
func TestRatesAfterResending(t *testing.T) {
	var w Watch
	day := func(n int64, back Back) []RateDay {
		h := Hour{Interval: 1, Medium: "gas", Expected: true, Series: []SeriesHour{{Factor: "a21026", Role: RolePollutant}}}
		for i := range int64(24) {
			h.Index = firstHour + n*24 + i
			h.Series[0] = SeriesHour{Factor: "a21026", Role: RolePollutant}
			if i >= 6 || n > 0 {
				for m := range 60 {
					h.Series[0].Means[m], h.Series[0].Has = whole(10+int64(m)%7), h.Series[0].Has|1<<m
				}
			}
			if i == 23 {
				h.Series[0].Back[1] = back
			}
			w.Hour(&h, nil)
		}
		return w.Rates(&h, nil)
	}
	first := day(0, Back{})
	if len(first) != 1 || first[0] != (RateDay{Day: 20000, Due: 24, Received: 18, Valid: 18, FullReceived: 18, FullOK: 18}) {
		t.Fatalf("%+v", first)
	}
	second := day(1, Back{Received: 0x3f, Valid: 0x1f})
	if len(second) != 2 || second[0] != (RateDay{Day: 20000, Due: 24, Received: 18, Valid: 18, FullReceived: 24, FullOK: 23, Rev: 1}) {
		t.Fatalf("%+v", second)
	}
	if third := day(2, Back{Received: 1, Valid: 1}); len(third) != 1 || third[0].Day != 20002 {
		t.Errorf("%+v", third)
	}
	if r := second[0]; RatesOf(r.Due, r.FullReceived, r.FullOK).Transmission != telemetry.FixedOne {
		t.Errorf("%+v", r)
	}
}
