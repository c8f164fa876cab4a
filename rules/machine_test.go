package rules

import (
	"bytes"
	"strings"
	"testing"

	"outfall/telemetry"

	"pgregory.net/rapid"
)

func TestMachine(t *testing.T) {
	three := func(r *Rule) { r.RaiseAfter, r.ClearAfter = 3, 2 }
	for _, c := range []struct {
		name   string
		change func(*Rule)
		series string
		// one per value: . none, R raise, U update, C clear, and after R and U the level: w or e
		want string
	}{
		{"at once", nil, "44 51 44", ". Re C"},
		{"persistence: two of three are nothing", three, "51 52 44 51 52 53", ". . . . . Re"},
		{"worse updates, equal and better do not", nil, "51 52 52 51 53", "Re Ue . . Ue"},
		{"warning, then exceed", nil, "46 47 51", "Rw Uw Ue"},
		{"exceed needs its own persistence", three, "46 51 52 53 54", ". . Rw Ue Ue"},
		{"a spike within a warning stays a warning", three, "46 46 55 46 46", ". . Rw . ."},
		{"clear needs two in a row", three, "51 51 51 44 51 44 44", ". . Re . . . C"},
		{"in between is neither", func(r *Rule) { hysteresis(r); r.EarlyWarning = 0; r.ClearAfter = 2 }, "51 47 48 47 47", "Re . . . C"},
		{"limit kept ends an exceedance; the warning is an alarm of its own", nil, "51 46 46", "Re C Rw"},
		{"pH: the other side counts as worse", ph, "5.5 9.5 5.6 5.7 7", "Re Ue Ue . C"},
		{"a lower level is never worse", func(r *Rule) { ph(r); r.EarlyWarning = 900_000; r.ClearBelow = 950_000 }, "5 8.6", "Re ."},
		{"low: smaller is worse", ph, "5.5 5.4 5.5", "Re Ue ."},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, m := rule(c.change), Machine{}
			var got []string
			for _, text := range strings.Fields(c.series) {
				s := [...]string{"*", "R", "U", "C"}[m.Next(r, r.Judge(measure(fx(t, text))))]
				switch s {
				case "*":
					s = "."
				case "R", "U":
					s += string(m.Level()[0])
				}
				got = append(got, s)
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("%s: got %s, want %s", c.series, g, c.want)
			}
		})
	}
}

// What the alarm was is still there when it has been cleared: the event that says so shows it.
func TestMachineKeepsWorstAfterClear(t *testing.T) {
	r, m := rule(nil), Machine{}
	for _, f := range []telemetry.Fixed{60_000_000, 70_000_000, 55_000_000, 10_000_000} {
		m.Next(r, r.Judge(measure(f)))
	}
	if m.Open || m.Worst.Value() != 70_000_000 || m.Level() != telemetry.LevelExceed || r.LimitOf(m.Kind()) != 50_000_000 {
		t.Errorf("after clear: %+v", m)
	}
	if m.Next(r, r.Judge(measure(1))); m != (Machine{}) {
		t.Errorf("after the next value: %+v, want zero", m)
	}
}

// A machine that was written and read at any moment goes on as if it had not been.
func TestMachineRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rule(func(r *Rule) { r.Low, r.ClearBelow = ref(10_000_000), 980_000 })
		r.RaiseAfter, r.ClearAfter = rapid.IntRange(1, 3).Draw(t, "after"), rapid.IntRange(1, 3).Draw(t, "clear after")
		var m, copied Machine
		for _, f := range rapid.SliceOfN(rapid.Int64Range(-5_000_000, 60_000_000), 0, 30).Draw(t, "values") {
			b := copied.AppendTo([]byte("x"))
			read, rest, err := ReadMachine(append(b[1:], "rest"...))
			if err != nil || string(rest) != "rest" || read != copied {
				t.Fatalf("%+v: read back %+v, %q, %v", copied, read, rest, err)
			}
			copied = read
			v := r.Judge(measure(telemetry.Fixed(f)))
			if a, b := m.Next(r, v), copied.Next(r, v); a != b || m != copied {
				t.Fatalf("after %d: step %d and %d, %+v and %+v", f, a, b, m, copied)
			}
		}
	})
}

func TestReadMachineRefuses(t *testing.T) {
	r, m := rule(nil), Machine{}
	m.Next(r, r.Judge(measure(60_000_000)))
	whole := m.AppendTo(nil)
	for n := range whole {
		if _, _, err := ReadMachine(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes were read", n, len(whole))
		}
	}
	for _, head := range []byte{0x01, 0xff, 0x06, 0x18} {
		if _, _, err := ReadMachine(append([]byte{head}, bytes.Repeat([]byte{0}, 8)...)); err == nil {
			t.Errorf("head %#x was read", head)
		}
	}
}
