package integrity

import (
	"testing"

	"outfall/telemetry"
)

func TestConstValue(t *testing.T) {
	constant := func(b *bed, factor string, v telemetry.Fixed) *bed {
		b.gauge(factor).flat = true
		b.set(factor, always(v))
		return b
	}
	constant(gasBed(t).run(24), "a21026", whole(12)+340_000).run(2).want(telemetry.DetectConstValue)
	constant(waterBed(t).run(24), "w01018", whole(26)+100_000).run(7).want(telemetry.DetectConstValue)
	constant(waterBed(t).run(24), "w01018", whole(26)+100_000).run(5).never(telemetry.DetectConstValue) // fewer than three cycles
	constant(gasBed(t).run(24), "a21026", 150_000).run(30).never(telemetry.DetectConstValue)            // below the detection limit
	constant(gasBed(t).run(24), "a21026", 300_000).run(11).never(telemetry.DetectConstValue)            // 30 units of the last digit
	b := constant(gasBed(t).run(24), "a21026", whole(12)+340_000)
	b.gauge("a21026").flat = false // a mean that only rounds to the same number
	b.run(30).never(telemetry.DetectConstValue)
	b = constant(gasBed(t).run(24), "a21026", whole(12)+340_000)
	b.set("a00000", always(0)) // nothing is discharged
	b.run(30).never(telemetry.DetectConstValue)
	b = constant(gasBed(t).run(24), "a21026", whole(12)+340_000)
	b.before = func(hour int64) { // marked as calibration every half hour
		b.w.Flagged(b.column("a21026"), hour*60+30, 1, []byte("C"))
	}
	b.run(1).never(telemetry.DetectConstValue)
	b = constant(gasBed(t).run(24), "a21026", whole(12)+340_000)
	b.marks = MarkInstrument
	b.run(30).never(telemetry.DetectConstValue)
}

func TestZeroValue(t *testing.T) {
	b := gasBed(t).run(24)
	b.set("a21026", always(0))
	b.run(3).want(telemetry.DetectZeroValue)
	b = gasBed(t)
	b.set("a21026", always(0)) // never anything else: a clean vent
	b.run(60).never(telemetry.DetectZeroValue)
	b = gasBed(t).run(24)
	b.set("a21026", always(0))
	b.set("a00000", always(0))
	b.run(10).never(telemetry.DetectZeroValue)
}

func TestNegative(t *testing.T) {
	b := gasBed(t).run(24)
	b.set("a21026", always(-whole(3))) // range 105
	b.run(1).want(telemetry.DetectNegative)
	b = gasBed(t).run(24)
	b.set("a21026", always(-whole(2))) // zero drift within 2 %
	b.run(5).never(telemetry.DetectNegative)
	b = waterBed(t).run(24)
	b.set("w00000", always(-10_000))
	b.run(1).want(telemetry.DetectNegative)
}

func TestSmallAmplitude(t *testing.T) {
	narrow := func(b *bed) *bed {
		b.gauge("a21002").noise = 20
		return b
	}
	moving := func(b *bed) *bed {
		b.set("a00000", func(minute int64, v telemetry.Fixed) telemetry.Fixed {
			return v * telemetry.Fixed(80+minute/60%5*10) / 100
		})
		return b
	}
	moving(narrow(gasBed(t))).run(24).want(telemetry.DetectSmallAmplitude)
	narrow(gasBed(t)).run(48).never(telemetry.DetectSmallAmplitude) // the load is as steady
	moving(gasBed(t)).run(48).never(telemetry.DetectSmallAmplitude)
	b := moving(narrow(gasBed(t)))
	b.gauge("a21002").level = 500 // a clean outlet's noise is small
	b.run(48).never(telemetry.DetectSmallAmplitude)
}

func TestOverRange(t *testing.T) {
	flagged := func(hours int64) *bed {
		b := gasBed(t)
		b.before = func(hour int64) {
			for m := range int64(60) {
				if (hour-firstHour)%24 < hours {
					b.w.Flagged(b.column("a21026"), hour*60+m, 1, []byte("T"))
				}
			}
		}
		return b.run(24)
	}
	flagged(2).want(telemetry.DetectOverRange)
	flagged(1).never(telemetry.DetectOverRange) // 60 of 1440
	b := gasBed(t)
	b.set("a21026", func(minute int64, v telemetry.Fixed) telemetry.Fixed {
		if minute%1440 < 100 {
			return whole(105)
		}
		return v
	})
	b.run(24).want(telemetry.DetectOverRange)
	b = gasBed(t)
	b.marks = MarkExempt // a start-up's peaks
	b.set("a21026", always(whole(105)))
	b.run(24).never(telemetry.DetectOverRange)
}

func TestJump(t *testing.T) {
	spike := func(minute int64, v telemetry.Fixed) telemetry.Fixed {
		if minute%60 >= 30 {
			return v + whole(25)
		}
		return v
	}
	b := gasBed(t).run(24)
	b.set("a21026", spike)
	b.run(1).want(telemetry.DetectJump)
	b = gasBed(t).run(24)
	b.set("a21026", spike)
	b.w.Flagged(b.column("a21026"), b.hour*60+29, 1, []byte("C")) // behind a calibration
	b.run(1).never(telemetry.DetectJump)
	b = gasBed(t).run(24)
	b.set("a21026", spike)
	b.set("a00000", func(minute int64, v telemetry.Fixed) telemetry.Fixed { // the plant starts
		if minute%60 < 30 {
			return 0
		}
		return v
	})
	b.run(1).never(telemetry.DetectJump)
	b = waterBed(t).run(24)
	b.set("w01001", always(whole(10)))
	b.run(1).want(telemetry.DetectJump)
}

func TestStepAtLimit(t *testing.T) {
	step := func(b *bed, factor string, high, low telemetry.Fixed) {
		b.set(factor, func(minute int64, v telemetry.Fixed) telemetry.Fixed {
			if minute%60 < 50 {
				return high
			}
			return low
		})
	}
	b := gasBed(t).run(24)
	step(b, "a21002", whole(60), whole(20))
	b.run(3).want(telemetry.DetectStepAtLimit)
	b = gasBed(t).run(24)
	step(b, "a21002", whole(60), whole(20))
	b.run(2).never(telemetry.DetectStepAtLimit)
	b = gasBed(t).run(24)
	step(b, "a21002", whole(40), whole(10)) // below the limit all the time
	b.run(10).never(telemetry.DetectStepAtLimit)
	b = gasBed(t).run(24)
	step(b, "a21002", whole(60), whole(20))
	step(b, "a00000", whole(150), whole(50)) // a change of load
	b.run(10).never(telemetry.DetectStepAtLimit)
}

func TestLimitHugging(t *testing.T) {
	b := gasBed(t)
	b.set("a21002", func(minute int64, _ telemetry.Fixed) telemetry.Fixed {
		return whole(47) + telemetry.Fixed(minute/60%3)*900_000
	})
	b.run(7 * 24).want(telemetry.DetectLimitHugging)
	b = gasBed(t)
	b.set("a21002", func(minute int64, _ telemetry.Fixed) telemetry.Fixed { // a control that overshoots
		return whole(48) + telemetry.Fixed(minute/60%20/19)*whole(3)
	})
	b.run(14 * 24).never(telemetry.DetectLimitHugging)
}

func TestFlatTop(t *testing.T) {
	capped := func(b *bed, top telemetry.Fixed) *bed {
		b.gauge("a21002").noise = 400
		b.set("a21002", func(_ int64, v telemetry.Fixed) telemetry.Fixed { return min(v, top) })
		return b
	}
	capped(gasBed(t), whole(31)).run(24).want(telemetry.DetectFlatTop)
	b := capped(gasBed(t), whole(31))
	b.gauge("a21002").facts.Limit = whole(100) // far below the limit
	b.run(48).never(telemetry.DetectFlatTop)
	gasBed(t).run(48).never(telemetry.DetectFlatTop)
}

func TestPeriodicCopy(t *testing.T) {
	copied := func(hours, back int64) *bed {
		b := gasBed(t)
		i := b.column("a21026")
		b.run(8 * 24)
		from := b.hour
		b.set("a21026", func(minute int64, v telemetry.Fixed) telemetry.Fixed {
			if minute < (from+hours)*60 {
				minute -= back * 60
			}
			return telemetry.Fixed(1200+mixed(minute, i)%301-150) * 10_000
		})
		return b.run(int(hours) + 2)
	}
	copied(6, 24).want(telemetry.DetectPeriodicCopy)
	copied(6, 168).want(telemetry.DetectPeriodicCopy)
	copied(5, 24).never(telemetry.DetectPeriodicCopy)
	copied(12, 25).never(telemetry.DetectPeriodicCopy) // not the same hour of the day
}

func TestNearLOD(t *testing.T) {
	b := gasBed(t)
	b.set("a21026", always(210_000))
	b.run(24).want(telemetry.DetectNearLOD)
	b = gasBed(t)
	b.set("a21026", always(210_000))
	b.set("a00000", always(0))
	b.run(48).never(telemetry.DetectNearLOD)
	b = gasBed(t)
	b.set("a21026", always(300_000))
	b.run(48).never(telemetry.DetectNearLOD)
}
