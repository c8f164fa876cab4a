package integrity

import (
	"testing"

	"outfall/telemetry"
)

func TestO2NearAir(t *testing.T) {
	b := gasBed(t).run(5)
	b.set("a19001", always(whole(19)+500_000))
	b.run(2).want(telemetry.DetectO2NearAir)
	b = gasBed(t).run(5)
	b.set("a19001", always(whole(20)))
	b.marks = MarkExempt // 启炉
	b.run(5).never(telemetry.DetectO2NearAir)
	b = gasBed(t).run(5)
	b.set("a19001", always(whole(20)))
	b.set("a00000", always(0)) // it stands still
	b.run(5).never(telemetry.DetectO2NearAir)
	b = gasBed(t).run(5)
	b.set("a19001", always(whole(20)))
	b.run(1).never(telemetry.DetectO2NearAir)
}

func TestO2LowBias(t *testing.T) {
	b := gasBed(t).run(24)
	b.set("a19001", always(whole(5)+500_000))
	b.run(6).want(telemetry.DetectO2LowBias)
	b = gasBed(t).run(24)
	b.set("a19001", always(whole(5)+500_000))
	b.set("a00000", times100(120)) // the load rose
	b.run(6).never(telemetry.DetectO2LowBias)
	b = gasBed(t)
	b.gauge("a19001").facts.Reference = whole(7)
	b.set("a00000", func(minute int64, v telemetry.Fixed) telemetry.Fixed {
		return v * telemetry.Fixed(80+minute/60%5*10) / 100
	})
	b.run(12).want(telemetry.DetectO2LowBias)
	b = gasBed(t)
	b.gauge("a19001").facts.Reference = whole(7) // a steady unit at its reference
	b.run(48).never(telemetry.DetectO2LowBias)
}

func TestPhysContra(t *testing.T) {
	b := waterBed(t).run(5)
	b.set("w21003", always(whole(12)))
	b.run(3).want(telemetry.DetectPhysContra)
	b = waterBed(t).run(5)
	b.set("w21003", always(whole(12)))
	b.run(2).never(telemetry.DetectPhysContra) // two cycles may differ
	b = waterBed(t).run(5)
	b.set("w21003", always(whole(9)+300_000)) // within what two analysers may differ by
	b.run(10).never(telemetry.DetectPhysContra)
	b = gasBed(t).run(5)
	b.set("a19001", always(whole(22)))
	b.run(3).want(telemetry.DetectPhysContra)
}

func TestMeanMismatch(t *testing.T) {
	own := func(b *bed, factor string, share int64) *bed {
		b.before = func(hour int64) {
			mean := b.gauge(factor).past[0].Mean // the hour at hand: step has put it in
			b.w.Own(b.column(factor), false, hour, mean*telemetry.Fixed(share)/100, 0, 10_000, false)
		}
		return b
	}
	own(gasBed(t), "a21026", 90).run(2).want(telemetry.DetectMeanMismatch)
	own(gasBed(t), "a21026", 99).run(10).never(telemetry.DetectMeanMismatch)
	b := own(gasBed(t), "a21026", 90)
	b.w.Flagged(b.column("a21026"), firstHour*60, 1, []byte("M")) // loggers differ in what they leave out
	b.run(1).never(telemetry.DetectMeanMismatch)

	// C 40 and 80 with a flow of 100 and 20: 46.667 weighted, 60 plain. Both are right.
	weighted := func(claim telemetry.Fixed) *bed {
		b := waterBed(t)
		half := func(a, c telemetry.Fixed) func(int64, telemetry.Fixed) telemetry.Fixed {
			return func(minute int64, _ telemetry.Fixed) telemetry.Fixed {
				if minute%60 < 30 {
					return a
				}
				return c
			}
		}
		b.set("w01018", half(whole(40), whole(80)))
		b.set("w00000", half(whole(100), whole(20)))
		b.before = func(hour int64) { b.w.Own(b.column("w01018"), false, hour, claim, 0, 1000, false) }
		return b.run(2)
	}
	weighted(46_667_000).never(telemetry.DetectMeanMismatch)
	weighted(60_000_000).never(telemetry.DetectMeanMismatch)
	weighted(53_000_000).want(telemetry.DetectMeanMismatch)

	day := func(share int64) *bed {
		b := gasBed(t)
		b.before = func(hour int64) {
			if hour == firstHour+23 {
				b.w.Own(b.column("a21026"), true, 20000, telemetry.Fixed(share)*120_000, 0, 10_000, false)
			}
		}
		return b.run(24)
	}
	day(100).never(telemetry.DetectMeanMismatch)
	day(90).want(telemetry.DetectMeanMismatch)
}

func TestZsMismatch(t *testing.T) {
	// O2 of 6, 6 and 15 and C of 20: the mean of converted values is 30.0, the conversion of the mean 25.0, at a reference of 6. Both are right.
	claimed := func(zs telemetry.Fixed, ref int64) *bed {
		b := gasBed(t)
		b.gauge("a21026").facts.Reference = whole(ref)
		b.set("a21026", always(whole(20)))
		b.set("a19001", func(minute int64, _ telemetry.Fixed) telemetry.Fixed {
			if minute%3 == 2 {
				return whole(15)
			}
			return whole(6)
		})
		b.before = func(hour int64) { b.w.Own(b.column("a21026"), false, hour, whole(20), zs, 10_000, true) }
		return b.run(1)
	}
	claimed(whole(30), 6).never(telemetry.DetectZsMismatch)
	claimed(whole(25), 6).never(telemetry.DetectZsMismatch)
	claimed(whole(20), 6).want(telemetry.DetectZsMismatch)
	claimed(whole(20), 0).never(telemetry.DetectZsMismatch) // no reference is known
	b := gasBed(t)
	b.gauge("a21026").facts.Reference = whole(6)
	b.set("a19001", always(whole(20))) // the conversion explodes
	b.before = func(hour int64) { b.w.Own(b.column("a21026"), false, hour, whole(12), whole(12), 10_000, true) }
	b.run(1).never(telemetry.DetectZsMismatch)
}

// The vectors of the dossier, section 4.
func TestConvert(t *testing.T) {
	for _, v := range []struct{ c, o2, ref, want string }{
		{"30", "9", "6", "37.5"}, {"20", "9", "6", "25"}, {"30", "12.5", "9", "42.353"}, {"40", "5", "3.5", "43.75"}, {"25", "9.5", "11", "21.739"}, {"12", "17", "16", "15"},
	} {
		n := func(s string) telemetry.Fixed { f, _ := telemetry.ParseFixed(s); return f }
		if got := convert(n(v.c), n(v.o2), n(v.ref)); apart(got, n(v.want)) > 20 {
			t.Errorf("%s at %s to %s: %s, want %s", v.c, v.o2, v.ref, got, v.want)
		}
	}
}

func TestClock(t *testing.T) {
	frames := func(offset func(i int64) int64) *bed {
		b := gasBed(t)
		b.before = func(hour int64) {
			for i := range int64(12) {
				at := hour*3_600_000 + i*300_000
				b.w.Realtime(at, at+offset(i)*1000)
			}
		}
		return b.run(3)
	}
	frames(func(int64) int64 { return 480 }).want(telemetry.DetectClock)
	frames(func(int64) int64 { return -400 }).want(telemetry.DetectClock)
	frames(func(i int64) int64 { return i % 3 }).never(telemetry.DetectClock)
	frames(func(i int64) int64 { return 3600 - i*300 }).never(telemetry.DetectClock) // sent again after an outage
	b := gasBed(t)
	b.before = func(hour int64) {
		for i := range int64(12) {
			at := hour*3_600_000 + i/4*4*300_000 - i%4*60_000
			b.w.Realtime(at, at+1000)
		}
	}
	b.run(1).want(telemetry.DetectClock)
}

func TestRewrite(t *testing.T) {
	b := gasBed(t).run(2)
	b.w.Conflict()
	b.run(1).want(telemetry.DetectRewrite)
	gasBed(t).run(30).never(telemetry.DetectRewrite)
}

func TestSampleTime(t *testing.T) {
	sampled := func(age func(hour int64) int64) *bed {
		b := waterBed(t)
		b.before = func(hour int64) {
			for m := range int64(60) {
				b.w.Sampled(b.column("w01018"), hour*60+m, hour*60+m-age(hour))
			}
		}
		return b.run(12)
	}
	sampled(func(int64) int64 { return 300 }).want(telemetry.DetectSampleTime)
	sampled(func(int64) int64 { return 200 }).never(telemetry.DetectSampleTime)
	sampled(func(int64) int64 { return -5 }).want(telemetry.DetectSampleTime)
	sampled(func(hour int64) int64 { return (hour - firstHour) * 60 }).want(telemetry.DetectSampleTime) // the same result for hours
	b := waterBed(t)
	b.set("w00000", always(0))
	b.before = func(hour int64) { b.w.Sampled(b.column("w01018"), hour*60, hour*60-500) }
	b.run(12).never(telemetry.DetectSampleTime) // the analyser is idle
}

func TestParamChange(t *testing.T) {
	changed := func(to telemetry.Fixed, flag string) *bed {
		b := gasBed(t)
		b.w.Param("a21026", "i13008", whole(1))
		b.run(2)
		b.w.Param("a21026", "i13008", to)
		if flag != "" {
			b.w.Flagged(b.column("a21026"), b.hour*60+5, 1, []byte(flag))
		}
		return b.run(1)
	}
	changed(800_000, "").want(telemetry.DetectParamChange)
	changed(800_000, "C").want(telemetry.DetectParamChange) // more than a tenth
	changed(950_000, "").want(telemetry.DetectParamChange)
	changed(950_000, "C").never(telemetry.DetectParamChange)
	changed(whole(1), "").never(telemetry.DetectParamChange)
	b := gasBed(t)
	b.w.Param("a21026", "i13001", whole(300))
	b.w.Param("a21026", "i13009", 200_000)
	if r, lod := b.w.Learned("a21026"); r != whole(300) || lod != 200_000 {
		t.Errorf("learned %s, %s", r, lod)
	}
	for i := range 200 {
		b.w.Param("f", string(rune('a'+i)), 1)
	}
	if n := len(b.w.device.params); n > maxParams {
		t.Errorf("%d parameters are kept", n)
	}
}

func TestRangeAbuse(t *testing.T) {
	b := gasBed(t)
	b.gauge("a21026").facts.Range = whole(400)
	b.run(2).want(telemetry.DetectRangeAbuse)
	b = gasBed(t)
	b.gauge("a21026").facts.Range = whole(13)
	b.run(2).want(telemetry.DetectRangeAbuse)
	b = gasBed(t)
	b.gauge("a21026").facts.Range = whole(300)
	b.run(48).never(telemetry.DetectRangeAbuse)
}

func TestFlagAbuse(t *testing.T) {
	flagged := func(b *bed, factor, flag string, minutes func(hour int64) int64) *bed {
		g := b.gauge(factor)
		b.before = func(hour int64) {
			for m := range minutes(hour) {
				b.w.Flagged(b.column(factor), hour*60+m, 1, []byte(flag))
			}
			g.gone = minutes(hour+1) == 60
		}
		return b
	}
	daily := func(n int64) func(int64) int64 {
		return func(hour int64) int64 {
			if (hour-firstHour)%24 == 3 {
				return n
			}
			return 0
		}
	}
	all := func(int64) int64 { return 60 }
	flagged(gasBed(t), "a21026", "D", all).run(50).want(telemetry.DetectFlagAbuse)
	flagged(gasBed(t), "a21026", "D", all).run(40).never(telemetry.DetectFlagAbuse)
	flagged(gasBed(t), "a21026", "M", func(hour int64) int64 { return hour % 2 * 10 }).run(16 * 24).want(telemetry.DetectFlagAbuse)
	flagged(gasBed(t), "a21026", "M", daily(60)).run(20 * 24).never(telemetry.DetectFlagAbuse) // 4.2 %
	flagged(waterBed(t), "w01018", "C", daily(60)).run(20 * 24).never(telemetry.DetectFlagAbuse)
}

func TestStopNotStopped(t *testing.T) {
	b := gasBed(t).run(24)
	b.marks = MarkStopped
	b.run(2).want(telemetry.DetectStopNotStopped)
	b = gasBed(t).run(24)
	b.marks = MarkStopped
	b.set("a19001", always(whole(20)+700_000))
	b.set("a01011", always(500_000)) // a warm stack draws air
	b.run(10).never(telemetry.DetectStopNotStopped)
	gasBed(t).run(48).never(telemetry.DetectStopNotStopped)
	b = waterBed(t).run(24)
	b.marks = MarkStopped
	b.run(2).want(telemetry.DetectStopNotStopped)
	b = waterBed(t).run(24)
	b.marks = MarkStopped
	b.set("w00000", always(whole(1)))
	b.run(10).never(telemetry.DetectStopNotStopped)
}

func TestDilution(t *testing.T) {
	diluted := func(b *bed) *bed {
		b.set("a00000", times100(150))
		b.set("a21026", times100(60))
		b.set("a19001", func(_ int64, v telemetry.Fixed) telemetry.Fixed { return v + whole(3) })
		b.set("a01012", times100(90))
		return b
	}
	diluted(gasBed(t).run(24)).run(3).want(telemetry.DetectDilution)
	b := diluted(gasBed(t).run(24))
	b.set("a19001", nil)
	b.set("a01012", times100(105)) // a higher load
	b.run(10).never(telemetry.DetectDilution)
}

func TestFlowZeroSampling(t *testing.T) {
	dry := func(rest bool) *bed {
		b := waterBed(t).run(24)
		b.set("w00000", func(minute int64, v telemetry.Fixed) telemetry.Fixed {
			if rest || minute%60 >= 20 && minute%60 < 25 {
				return 10_000
			}
			return v
		})
		b.before = func(hour int64) { b.w.Sampled(b.column("w01018"), hour*60+50, hour*60+22) }
		return b.run(4)
	}
	dry(false).want(telemetry.DetectFlowZero)
	dry(true).never(telemetry.DetectFlowZero) // the outlet is at rest
}
