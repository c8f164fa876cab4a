package window

import (
	"testing"

	"pgregory.net/rapid"

	"outfall/telemetry"
)

func cell(values ...telemetry.Fixed) Cell {
	var c Cell
	for _, v := range values {
		c.Add(v, v, v)
	}
	return c
}

func TestCellMeanRoundsOnceHalfToEven(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []telemetry.Fixed
		want   telemetry.Fixed
	}{
		{"empty", nil, 0},
		{"one", []telemetry.Fixed{7}, 7},
		{"half down to even", []telemetry.Fixed{2, 3}, 2},
		{"half up to even", []telemetry.Fixed{3, 4}, 4},
		{"negative half to even", []telemetry.Fixed{-2, -3}, -2},
		{"a third", []telemetry.Fixed{1, 0, 0}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := cell(tc.values...)
			if got := c.Mean(); got != tc.want {
				t.Errorf("mean of %v = %d, want %d millionths", tc.values, int64(got), int64(tc.want))
			}
		})
	}
}

func TestCellRemoveUndoesAdd(t *testing.T) {
	c := cell(5, -9, 1)
	c.Remove(-9)
	if want := cell(5, 1); c.Sum != want.Sum || c.N != want.N {
		t.Errorf("after Remove: %+v, want sum and count of %+v", c, want)
	}
	if c.Min != -9 {
		t.Errorf("Min = %d: extremes must stay", c.Min)
	}
}

// The ring must agree with the obvious model: a map of all cells, of which the last n indexes count.
func TestRingAgreesWithMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "n")
		r := NewRing(n)
		model := map[int64]Cell{}
		head, any := int64(0), false
		for _, i := range rapid.SliceOfN(rapid.Int64Range(-30, 30), 0, 40).Draw(t, "touch") {
			c := r.Touch(i)
			if any && i <= head-int64(n) {
				if c != nil {
					t.Fatalf("Touch(%d) with head %d gave a cell", i, head)
				}
				continue
			}
			if !any || i > head {
				head, any = i, true
			}
			v := telemetry.Fixed(i * 3)
			c.Add(v, v, v)
			m := model[i]
			m.Add(v, v, v)
			model[i] = m
		}
		for i := int64(-40); i <= 40; i++ {
			held := any && i <= head && i > head-int64(n)
			if got := r.At(i); (got != nil) != held {
				t.Fatalf("At(%d) = %v, held %v", i, got, held)
			} else if held && *got != model[i] {
				t.Fatalf("At(%d) = %+v, want %+v", i, *got, model[i])
			}
		}
		from := rapid.Int64Range(-40, 40).Draw(t, "from")
		to := rapid.Int64Range(-40, 40).Draw(t, "to")
		var want Cell
		for i := from; i < to; i++ {
			if any && i <= head && i > head-int64(n) {
				m := model[i]
				want.Merge(&m)
			}
		}
		if got := r.SumOf(from, to); got != want {
			t.Fatalf("SumOf(%d,%d) = %+v, want %+v", from, to, got, want)
		}
	})
}
