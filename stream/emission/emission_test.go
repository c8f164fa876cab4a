package emission

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"outfall/telemetry"
)

func fixed(t *testing.T, s string) telemetry.Fixed {
	t.Helper()
	f, ok := telemetry.ParseFixed(s)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return f
}

func TestCorrected(t *testing.T) {
	for _, c := range []struct{ dry, o2, ref, want string }{
		{"30", "9", "6", "37.5"},
		{"20", "9", "6", "25"},
		{"30", "12.5", "9", "42.352941"},
		{"40", "5", "3.5", "43.75"},
		{"25", "9.5", "11", "21.73913"},
		{"12", "17", "16", "15"},
		{"20", "6", "6", "20"},
		{"20", "15", "6", "50"},
		{"10", "19", "6", "75"},
		{"10", "20.5", "6", "300"},
		{"-0.5", "9", "6", "-0.625"}, // a negative value is a matter of integrity, not of the form
	} {
		if got, ok := Corrected(fixed(t, c.dry), fixed(t, c.o2), fixed(t, c.ref)); !ok || got != fixed(t, c.want) {
			t.Errorf("%s at %s %% to %s %%: %v %v, want %s", c.dry, c.o2, c.ref, got, ok, c.want)
		}
	}
	for _, o2 := range []string{"21", "20.999999", "25", "-0.000001"} {
		got, ok := Corrected(fixed(t, "9000000"), fixed(t, o2), fixed(t, "6"))
		if ok {
			t.Errorf("at %s %% oxygen: %v", o2, got)
		}
	}
}

func TestDryAndStandard(t *testing.T) {
	if got, ok := Dry(fixed(t, "50"), fixed(t, "10")); !ok || got != fixed(t, "55.555556") {
		t.Errorf("wet 50 at 10 %% water: %v %v", got, ok)
	}
	if got, ok := Dry(fixed(t, "50"), percent); ok {
		t.Errorf("all water: %v", got)
	}
	if got, ok := Standard(fixed(t, "100"), 0, normalP); !ok || got != fixed(t, "100") {
		t.Errorf("standard state: %v %v", got, ok)
	}
	if got, ok := Standard(fixed(t, "100"), fixed(t, "273"), normalP); !ok || got != fixed(t, "200") { // twice the volume, half the concentration
		t.Errorf("at 273 °C: %v %v", got, ok)
	}
	if got, ok := Standard(fixed(t, "100"), 0, normalP/2); !ok || got != fixed(t, "200") {
		t.Errorf("at half the pressure: %v %v", got, ok)
	}
	if got, ok := StandardFlow(fixed(t, "100"), fixed(t, "273"), normalP, fixed(t, "10")); !ok || got != fixed(t, "45") {
		t.Errorf("flow: %v %v", got, ok)
	}
	for _, c := range [][2]telemetry.Fixed{{-273 * one, normalP}, {3000 * one, normalP}, {0, 0}, {0, -normalP}, {0, 2000 * one}} {
		if got, ok := Standard(one, c[0], c[1]); ok {
			t.Errorf("at %v °C and %v kPa: %v", c[0], c[1], got)
		}
	}
}

func TestPartsPerMillion(t *testing.T) {
	for _, c := range []struct{ factor, ppm, want string }{{"a21026", "35", "100"}, {"a21004", "100", "205.357143"}, {"a21003", "100", "133.928571"}} {
		if got, ok := FromPPM(fixed(t, c.ppm), telemetry.MolarMass(c.factor)); !ok || got != fixed(t, c.want) {
			t.Errorf("%s ppm of %s: %v %v, want %s", c.ppm, c.factor, got, ok, c.want)
		}
	}
}

func TestMass(t *testing.T) {
	// 50 mg/m3 in 100 m3/s for an hour: 50·100·3600/1e6 kg.
	if got, ok := Mass(fixed(t, "50"), fixed(t, "100"), 3600); !ok || got != fixed(t, "18") {
		t.Errorf("%v %v", got, ok)
	}
	if got, ok := Mass(one, -one, 3600); ok {
		t.Errorf("of a negative flow: %v", got)
	}
}

// TestExact: every form is the rational number that it says, rounded once.
func TestExact(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := func(f telemetry.Fixed) *big.Rat { return big.NewRat(int64(f), int64(one)) }
	n := func(i int64) *big.Rat { return big.NewRat(i, 1) }
	mul := func(a *big.Rat, more ...*big.Rat) *big.Rat {
		out := new(big.Rat).Set(a)
		for _, b := range more {
			out.Mul(out, b)
		}
		return out
	}
	sub := func(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
	add := func(a, b *big.Rat) *big.Rat { return new(big.Rat).Add(a, b) }
	quo := func(a, b *big.Rat) *big.Rat { return new(big.Rat).Quo(a, b) }
	check := func(form string, got telemetry.Fixed, ok bool, want *big.Rat) {
		t.Helper()
		d := sub(r(got), want)
		if half := big.NewRat(1, 2*int64(one)); !ok || d.Abs(d).Cmp(half) > 0 {
			t.Fatalf("seed %d: %s is %v %v, want %s", seed, form, got, ok, want.FloatString(9))
		}
	}
	for range 20_000 {
		c := telemetry.Fixed(rnd.Int64N(int64(2000*one))) - 100*one
		o2, ref := telemetry.Fixed(rnd.Int64N(int64(20*one))), telemetry.Fixed(rnd.Int64N(int64(20*one)))
		h := telemetry.Fixed(rnd.Int64N(int64(90 * one)))
		temp := telemetry.Fixed(rnd.Int64N(int64(1500*one))) - 50*one
		p := telemetry.Fixed(rnd.Int64N(int64(150*one))) + 50*one
		got, ok := Corrected(c, o2, ref)
		check("corrected", got, ok, quo(mul(r(c), sub(n(21), r(ref))), sub(n(21), r(o2))))
		got, ok = Dry(c, h)
		check("dry", got, ok, quo(mul(r(c), n(100)), sub(n(100), r(h))))
		got, ok = Standard(c, temp, p)
		check("standard", got, ok, quo(mul(r(c), r(normalP), add(n(273), r(temp))), mul(r(p), n(273))))
		temp, p, h = temp/1000*1000, p/1000*1000, h/1000*1000
		got, ok = StandardFlow(c, temp, p, h)
		check("flow", got, ok, quo(mul(r(c), n(273), r(p), sub(n(100), r(h))), mul(add(n(273), r(temp)), r(normalP), n(100))))
		got, ok = Mass(c, p, 3600)
		check("mass", got, ok, mul(r(c), r(p), big.NewRat(3600, 1_000_000)))
	}
}
