package fold

import (
	"math"
	"time"

	"outfall/telemetry"
)

// A fraud is what a plant does to its data, from a minute on.
type fraud struct {
	begun  bool
	minute int // since it began

	clock, sampled time.Duration
	silent         bool
	slope, wide    bool
	means          bool
	flat           map[string]bool
	values         func(p *plant, f *fraud, samples []reading)
	resend         bool
	day            []float64 // the newest day of one signal, by minute of the day
}

// copied is the signal that periodic copies are made of.
const copied = 2

func (f *fraud) change(p *plant, samples []reading) {
	at := int(p.now.Unix() / 60 % 1440)
	if f.day == nil {
		f.day = make([]float64, 1440)
	}
	if f.begun && f.values != nil {
		f.values(p, f, samples)
	}
	f.day[at] = samples[copied].v
	if f.begun {
		f.minute++
	}
}

// after sends a record again with other content, in one of three hours.
func (f *fraud) after(p *plant, at time.Time, samples []reading) {
	if !f.begun || !f.resend || f.minute%180 > 5 {
		return
	}
	other := make([]reading, len(samples))
	for i, x := range samples {
		other[i] = reading{quantised(x.v*0.8, p.series[i].decimals), x.mark}
	}
	p.send("2051", at, p.group(other, "Avg"))
}

// A planted is one kind of fraud, and where and for how long it is done.
type planted struct {
	detector telemetry.Detector
	water    bool
	days     int
	begin    func(p *plant, f *fraud)
}

// set makes a fraud of a change to one signal's values.
func set(i int, to func(p *plant, f *fraud, v float64) float64) func(*plant, *fraud) {
	return func(p *plant, f *fraud) {
		f.values = func(p *plant, f *fraud, samples []reading) {
			if p.stopped > 0 {
				p.stopped = 0
			}
			s := &samples[i]
			if s.mark == "N" {
				s.v = quantised(to(p, f, s.v), p.series[i].decimals)
			}
		}
	}
}

func plantings() []planted {
	always := func(v float64) func(*plant, *fraud, float64) float64 {
		return func(*plant, *fraud, float64) float64 { return v }
	}
	flat := func(code string, then func(*plant, *fraud)) func(*plant, *fraud) {
		return func(p *plant, f *fraud) { f.flat = map[string]bool{code: true}; then(p, f) }
	}
	marks := func(mark string, on func(f *fraud) bool) func(*plant, *fraud) {
		return func(p *plant, f *fraud) {
			f.values = func(_ *plant, f *fraud, samples []reading) {
				if on(f) {
					samples[2].mark = mark
				}
			}
		}
	}
	return []planted{
		{telemetry.DetectConstValue, false, 1, flat("a21026", set(2, always(12.34)))},
		{telemetry.DetectConstValue, true, 1, set(2, always(25.3))},
		{telemetry.DetectZeroValue, false, 1, flat("a21026", set(2, always(0)))},
		{telemetry.DetectNegative, false, 1, set(2, always(-5))},
		{telemetry.DetectSmallAmplitude, false, 2, flat("a21002", set(3, func(p *plant, _ *fraud, _ float64) float64 {
			return p.series[3].level * (1 + 0.004*(p.r.Float64()-0.5))
		}))},
		{telemetry.DetectOverRange, false, 2, marks("T", func(f *fraud) bool { return f.minute%1440 < 240 })},
		{telemetry.DetectJump, false, 1, set(2, func(_ *plant, f *fraud, v float64) float64 {
			if f.minute%400 > 380 {
				return 70
			}
			return v
		})},
		{telemetry.DetectStepAtLimit, false, 1, set(3, func(p *plant, f *fraud, v float64) float64 {
			if p.now.Minute() < 50 {
				return v * 58 / p.series[3].level
			}
			return v * 0.5
		})},
		{telemetry.DetectLimitHugging, false, 8, set(3, func(p *plant, _ *fraud, v float64) float64 {
			return math.Min(47.5*(1+0.02*p.r.NormFloat64()), 49.9)
		})},
		{telemetry.DetectFlatTop, false, 2, set(3, func(p *plant, _ *fraud, v float64) float64 { return math.Min(v+26-p.series[3].level, 27) })},
		{telemetry.DetectO2NearAir, false, 1, set(4, func(p *plant, _ *fraud, v float64) float64 { return 19.5 + 0.1*p.r.NormFloat64() })},
		{telemetry.DetectO2LowBias, false, 1, func(p *plant, f *fraud) {
			p.plan.step, p.aim = 0, p.load
			set(4, func(p *plant, _ *fraud, v float64) float64 { return v - 2 })(p, f)
		}},
		{telemetry.DetectPhysContra, true, 1, set(3, func(p *plant, _ *fraud, v float64) float64 { return p.series[4].result * 1.4 })},
		{telemetry.DetectMeanMismatch, false, 1, func(_ *plant, f *fraud) { f.means = true }},
		{telemetry.DetectMeanMismatch, true, 1, func(_ *plant, f *fraud) { f.means = true }},
		{telemetry.DetectClock, false, 1, func(_ *plant, f *fraud) { f.clock = -8 * time.Minute }},
		{telemetry.DetectRewrite, false, 1, func(_ *plant, f *fraud) { f.resend = true }},
		{telemetry.DetectSampleTime, true, 1, func(_ *plant, f *fraud) { f.sampled = -6 * time.Hour }},
		{telemetry.DetectParamChange, false, 2, func(_ *plant, f *fraud) { f.slope = true }},
		{telemetry.DetectRangeAbuse, false, 2, func(_ *plant, f *fraud) { f.wide = true }},
		{telemetry.DetectFlagAbuse, false, 3, marks("D", func(*fraud) bool { return true })},
		{telemetry.DetectPeriodicCopy, false, 1, set(copied, func(p *plant, f *fraud, _ float64) float64 { return f.day[p.now.Unix()/60%1440] })},
		{telemetry.DetectDilution, false, 1, func(p *plant, f *fraud) {
			f.values = func(p *plant, _ *fraud, x []reading) {
				x[0].v, x[2].v, x[3].v, x[4].v, x[6].v = x[0].v*1.5, x[2].v*0.6, x[3].v*0.6, math.Min(x[4].v+3, 18), x[6].v-20
				for i := range x {
					x[i].v = quantised(x[i].v, p.series[i].decimals)
				}
			}
		}},
		{telemetry.DetectNearLOD, false, 3, set(2, func(p *plant, _ *fraud, _ float64) float64 { return 0.3 + 0.1*p.r.Float64() })},
		{telemetry.DetectFlowZero, true, 1, func(p *plant, f *fraud) {
			f.values = func(p *plant, _ *fraud, x []reading) {
				if p.now.Hour()%2 == 1 && p.now.Minute() > 15 && p.now.Minute() < 25 {
					x[0].v = quantised(x[0].v*0.02, 2)
				}
			}
		}},
	}
}
