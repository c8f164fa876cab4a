package fold

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"outfall/rules"
	"outfall/telemetry"
)

// newStack is a bed with a gas outlet.
func newStack(t *testing.T, stack telemetry.Stack) *bed {
	b := newBed(t)
	b.register(mn, func(d *telemetry.Device) { d.Medium, d.Stack = "gas", &stack })
	b.take(telemetry.TopicPoints)
	return b
}

// gas sends a minute record of the named factors, "a21026 30 a19001 9".
func (b *bed) gas(at time.Time, values string) {
	var cp []string
	for f := strings.Fields(values); len(f) > 1; f = f[2:] {
		cp = append(cp, fmt.Sprintf("%s-Avg=%s,%s-Flag=N", f[0], f[1], f[0]))
	}
	b.frame("2051", at, strings.Join(cp, ";"))
}

// shown writes the lines of a factor and a statistic as "minutes after t0: fields of interest".
func (b *bed) shown(factor, stat string, fields ...string) string {
	b.t.Helper()
	var all []string
	for _, l := range b.points(stat) {
		if !strings.Contains(l, ",factor="+factor+",") {
			continue
		}
		part := strings.Fields(l)
		var show []string
		for _, kv := range strings.Split(part[1], ",") {
			if name, value, _ := strings.Cut(kv, "="); contains(fields, name) {
				show = append(show, value)
			}
		}
		var ns int64
		if _, err := fmt.Sscan(part[2], &ns); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%d: %s", int(time.Unix(0, ns).Sub(t0).Minutes()), strings.Join(show, " ")))
	}
	return strings.Join(all, "; ")
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func (b *bed) want(what, got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// Vectors of HJ 212-2017 annex D form (28), minute by minute.
func TestCorrectedMinutes(t *testing.T) {
	for _, v := range []struct {
		stack      telemetry.Stack
		send, want string
	}{
		{telemetry.Stack{RefO2: 6_000_000}, "a21026 30 a19001 9", "37.5"},
		{telemetry.Stack{RefO2: 9_000_000}, "a19001 12.5 a21026 30", "42.352941"},
		{telemetry.Stack{RefO2: 11_000_000}, "a21026 25 a19001 9.5", "21.73913"},
		{telemetry.Stack{RefO2: 16_000_000, MaxO2: 20_000_000}, "a21026 12 a19001 17", "15"},
		{telemetry.Stack{RefO2: 16_000_000, MaxO2: 20_000_000}, "a21026 12 a19001 20", ""}, // too near to air
		{telemetry.Stack{RefO2: 6_000_000}, "a21026 12 a19001 19", ""},
		{telemetry.Stack{RefO2: 6_000_000}, "a21026 12", ""}, // no oxygen: no correction, and never the reference instead
		{telemetry.Stack{}, "a21026 12", "12"},               // no reference: the dry value
		{telemetry.Stack{Wet: true}, "a21026 50 a01014 10", "55.555556"},
		{telemetry.Stack{Wet: true}, "a21026 50", ""},
		{telemetry.Stack{RefO2: 6_000_000, Wet: true}, "a21026 27 a01014 10 a19001 8.1", "37.5"}, // wet oxygen too
		{telemetry.Stack{Working: true}, "a21026 100 a01012 273 a01013 0", "200"},
		{telemetry.Stack{Working: true, Pressure: 80_000_000}, "a21026 80 a01012 0 a01013 21.325", "80"},
		{telemetry.Stack{PPM: []string{"a21026"}}, "a21026 35", "100"},
	} {
		b := newStack(t, v.stack)
		b.gas(at(0), v.send)
		want := ""
		if v.want != "" {
			want = "0: " + v.want
		}
		b.want(fmt.Sprintf("%+v of %s", v.stack, v.send), b.shown("a21026-Zs", "minute", "avg"), want)
	}
}

// Correcting minutes first and averaging then is not the mean corrected: O2 of 6, 6, 15 and 20 mg/m3 throughout.
func TestCorrectedHourIsTheMeanOfCorrectedMinutes(t *testing.T) {
	b := newStack(t, telemetry.Stack{RefO2: 6_000_000})
	for m := range 60 {
		o2 := 6
		if m%3 == 2 {
			o2 = 15
		}
		b.now = at(m + 1)
		b.gas(at(m), fmt.Sprintf("a21026 20 a19001 %d a00000 100", o2))
	}
	b.now = at(60)
	b.wait(2 * time.Minute)
	all := b.out
	b.want("corrected hour", b.shown("a21026-Zs", "hour", "avg", "count", "due"), "0: 30 60i 60i")
	b.out = all
	b.want("measured hour, with its mass", b.shown("a21026", "hour", "avg", "mass_kg", "mass_hours"), "0: 20 7.2 1i")
	b.out = all
	b.want("oxygen has none", b.shown("a19001-Zs", "hour", "avg"), "")
}

// Minutes near air leave the corrected hour, which is then not valid; the measured one stays.
func TestNearAirLeavesTheCorrectedHour(t *testing.T) {
	b := newStack(t, telemetry.Stack{RefO2: 6_000_000})
	for m := range 60 {
		o2 := "6"
		if m < 20 {
			o2 = "20.4"
		}
		b.now = at(m + 1)
		b.gas(at(m), "a21026 20 a19001 "+o2)
	}
	b.now = at(60)
	b.wait(2 * time.Minute)
	all := b.out
	b.want("corrected", b.shown("a21026-Zs", "hour", "avg", "count", "due"), "0: 20 40i 60i")
	b.out = all
	b.want("measured", b.shown("a21026", "hour", "avg", "count"), "0: 20 60i")
}

// Oxygen that comes in a frame of its own, after the concentration, corrects it; filled in days later both do.
func TestOxygenComesLater(t *testing.T) {
	b := newStack(t, telemetry.Stack{RefO2: 6_000_000})
	b.gas(at(0), "a21026 30")
	b.want("without oxygen", b.shown("a21026-Zs", "minute", "avg"), "")
	b.gas(at(0), "a19001 9")
	b.want("with it", b.shown("a21026-Zs", "minute", "avg"), "0: 37.5")

	b.gas(at(-48*60), "a21026 30 a19001 9 a00000 10")
	b.want("two days late", b.shown("a21026-Zs", "minute", "avg"), "-2880: 37.5")
	b.wait(10 * time.Second)
	all := b.out
	b.want("its hour", b.shown("a21026-Zs", "hour", "avg", "count"), "-2880: 37.5 1i")
	b.out = all
	b.want("its mass", b.shown("a21026", "hour", "mass_kg"), "-2880: 1.08")
	b.gas(at(-48*60), "a21026 30 a19001 9 a00000 10")
	b.want("again", b.shown("a21026-Zs", "minute", "avg"), "")
}

// A flow that comes after the hour was published gives the hour its mass.
func TestFlowComesLater(t *testing.T) {
	b := newStack(t, telemetry.Stack{RefO2: 6_000_000})
	for m := range 60 {
		b.now = at(m + 1)
		b.gas(at(m), "a21026 20 a19001 6")
	}
	b.now = at(60)
	b.wait(2 * time.Minute)
	b.want("without flow", b.shown("a21026", "hour", "avg", "mass_kg", "rev"), "0: 20 0i")
	b.gas(at(30), "a00000 100")
	b.wait(10 * time.Second)
	b.want("with it", b.shown("a21026", "hour", "avg", "mass_kg", "rev"), "0: 20 1i 7.2")
}

// A minute made of real-time values is corrected when it closes; the device's own record replaces it, and takes the correction back when its
// oxygen is that of air.
func TestRecordTakesACorrectionBack(t *testing.T) {
	b := newStack(t, telemetry.Stack{RefO2: 6_000_000})
	b.now = at(0)
	b.frame("2011", at(0), "a21026-Rtd=30,a21026-Flag=N;a19001-Rtd=9,a19001-Flag=N")
	b.wait(3 * time.Minute)
	b.want("of real-time values", b.shown("a21026-Zs", "minute", "avg"), "0: 37.5")
	b.gas(at(0), "a21026 30 a19001 9.5")
	b.want("of the record", b.shown("a21026-Zs", "minute", "avg", "rev"), "0: 39.130435 1i")

	b.frame("2011", at(5), "a21026-Rtd=30,a21026-Flag=N;a19001-Rtd=9,a19001-Flag=N")
	b.now = at(5)
	b.wait(3 * time.Minute)
	b.take(telemetry.TopicPoints)
	b.gas(at(5), "a21026 30 a19001 20.9")
	b.now = at(60)
	b.wait(2 * time.Minute)
	b.want("the hour", b.shown("a21026-Zs", "hour", "avg", "count"), "0: 39.130435 1i")
}

// A rule about corrected values is put before no others, and the other way round.
func TestRulesOfCorrectedValues(t *testing.T) {
	b := newStack(t, telemetry.Stack{RefO2: 6_000_000})
	b.rules(rules.Rule{ID: "zs", Factor: "a21026", Statistic: telemetry.StatHour, Medium: "gas", High: high(35_000_000), Value: rules.ValueCorrected},
		rules.Rule{ID: "as-sent", Factor: "a21026", Statistic: telemetry.StatHour, Medium: "gas", High: high(35_000_000)})
	for m := range 60 {
		b.now = at(m + 1)
		b.gas(at(m), "a21026 30 a19001 9")
	}
	b.closeHour(0)
	alarms := b.alarms()
	if len(alarms) != 1 {
		t.Fatalf("%d alarms: %+v", len(alarms), alarms)
	}
	if a := alarms[0]; a.Rule != "zs" || a.Factor != "a21026" || a.Value != 37_500_000 || a.Judgement == nil || a.Judgement.Value != "corrected" {
		t.Errorf("got %+v, %+v", a, a.Judgement)
	}
}

// A stack and its series survive a snapshot.
func TestStackInASnapshot(t *testing.T) {
	b := newStack(t, telemetry.Stack{RefO2: 6_000_000, MaxO2: 20_000_000, Wet: true, Pressure: 85_000_000, PPM: []string{"a21005"}})
	b.gas(at(0), "a21026 27 a01014 10 a19001 8.1")
	b.take(telemetry.TopicPoints)
	s, err := Read(b.s.AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.AppendTo(nil), b.s.AppendTo(nil)) {
		t.Fatal("a snapshot of the state read is another")
	}
	b.s = s
	b.gas(at(1), "a21026 27 a01014 10 a19001 8.1")
	b.want("after it", b.shown("a21026-Zs", "minute", "avg"), "1: 37.5")
}
