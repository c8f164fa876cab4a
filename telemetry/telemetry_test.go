package telemetry

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// The partitions are those of Kafka's own client: values of org.apache.kafka.common.utils.Utils.murmur2.
func TestPartitionOfIsKafkas(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2(key)); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestFixedText(t *testing.T) {
	for text, want := range map[string]Fixed{"0": 0, "50.4": 50_400_000, "-0.000001": -1, "12": 12_000_000, "007.10": 7_100_000} {
		got, ok := ParseFixed(text)
		if !ok || got != want {
			t.Errorf("ParseFixed(%q) = %d, %v, want %d", text, int64(got), ok, int64(want))
		}
	}
	for _, text := range []string{"", "-", ".5", "5.", "1e3", "+1", "1.0000001", "9999999999999999999", " 1"} {
		if f, ok := ParseFixed(text); ok {
			t.Errorf("ParseFixed(%q) = %d, want a refusal", text, int64(f))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		f := Fixed(rapid.Int64Range(-9e17, 9e17).Draw(t, "f"))
		if back, ok := ParseFixed(f.String()); !ok || back != f {
			t.Fatalf("%d prints %q and reads back %d, %v", int64(f), f, int64(back), ok)
		}
	})
}

func TestFixedFromDecimal(t *testing.T) {
	for _, tc := range []struct {
		mant int64
		exp  int8
		want Fixed
		ok   bool
	}{
		{5040, -2, 50_400_000, true}, {504, -1, 50_400_000, true}, {235292750833832, -12, 235_292_751, true},
		{25, -7, 2, true}, {35, -7, 4, true}, {-25, -7, -2, true}, {1, 13, 0, false}, {1, -30, 0, true}, {9, 12, 9_000_000_000_000_000_000, true},
	} {
		if got, ok := FixedFromDecimal(tc.mant, tc.exp); ok != tc.ok || got != tc.want {
			t.Errorf("FixedFromDecimal(%d, %d) = %d, %v, want %d, %v", tc.mant, tc.exp, int64(got), ok, int64(tc.want), tc.ok)
		}
	}
}

// Sums, comparisons and means must be those of exact rationals.
func TestSumAgreesWithRationals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64(), 1, 50).Draw(t, "values")
		var s, first Sum
		exact := new(big.Int)
		for i, v := range values {
			s = s.Add(Fixed(v))
			exact.Add(exact, big.NewInt(v))
			if i == 0 {
				first = s
			}
		}
		n := int64(len(values))
		limit := rapid.Int64().Draw(t, "limit")
		if got, want := s.Cmp(Fixed(limit), n), exact.Cmp(new(big.Int).Mul(big.NewInt(limit), big.NewInt(n))); got != want {
			t.Fatalf("Cmp = %d, want %d", got, want)
		}
		if got, want := int64(s.Mean(n)), halfEven(exact, n); got != want {
			t.Fatalf("Mean = %d, want %d", got, want)
		}
		if s.Minus(first).Plus(first) != s {
			t.Fatal("Minus does not undo Plus")
		}
	})
}

func halfEven(sum *big.Int, n int64) int64 {
	num, den := new(big.Int).Mul(sum, big.NewInt(2)), big.NewInt(2*n)
	q, r := new(big.Int).DivMod(new(big.Int).Add(num, big.NewInt(n)), den, new(big.Int)) // floor(x + 1/2)
	if r.Sign() == 0 && q.Bit(0) == 1 {
		q.Sub(q, big.NewInt(1))
	}
	return q.Int64()
}

func TestLookupFactor(t *testing.T) {
	for wire, want := range map[string]string{"w01018": "w01018", "011": "w01018", "060": "w21003", "S01": "a19001", "B01": "w00000"} {
		if f, ok := LookupFactor(wire); !ok || f.Code != want {
			t.Errorf("LookupFactor(%q) = %q, %v, want %q", wire, f.Code, ok, want)
		}
	}
	// The 2005 code of mercury is in mg/L, its successor in ug/L: no silent factor of 1000.
	if f, ok := LookupFactor("020"); ok && f.Unit != "mg/L" {
		t.Errorf("020 resolves to %s in %s", f.Code, f.Unit)
	}
	if _, ok := LookupFactor("a99999"); ok {
		t.Error("a99999 is in the table")
	}
}

func TestPositionOrder(t *testing.T) {
	a, b := Position{5, 1}, Position{5, 2}
	if !b.After(a) || a.After(b) || a.After(a) || !a.After(NoPosition) || !(Position{6, 0}).After(b) {
		t.Error("positions are not ordered by source and ordinal")
	}
}
