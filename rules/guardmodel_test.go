package rules

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"outfall/telemetry"

	"pgregory.net/rapid"
)

// A node is a condition as a tree, and what the obvious model makes of it: nil for unknown.
type node struct {
	code  string
	num   *big.Rat
	truth *bool
}

func drawNumber(t *rapid.T, depth int) node {
	switch k := rapid.IntRange(0, 7).Draw(t, "number"); {
	case depth == 0 || k < 3:
		text := fmt.Sprintf("%d.%02d", rapid.IntRange(0, 99).Draw(t, "whole"), rapid.IntRange(0, 99).Draw(t, "part"))
		num, _ := new(big.Rat).SetString(text)
		return node{code: text, num: num}
	case k == 3:
		return node{code: "mean", num: big.NewRat(200, 3)}
	case k == 4:
		return node{code: "@w01010"}
	case k == 5:
		x := drawNumber(t, depth-1)
		if x.num != nil {
			x.num = new(big.Rat).Neg(x.num)
		}
		return node{code: x.code + " neg", num: x.num}
	}
	x, y := drawNumber(t, depth-1), drawNumber(t, depth-1)
	op := rapid.SampledFrom([]string{"+", "-", "*", "/"}).Draw(t, "op")
	n := node{code: x.code + " " + y.code + " " + op}
	if x.num == nil || y.num == nil || op == "/" && y.num.Sign() == 0 {
		return n
	}
	n.num = new(big.Rat)
	switch op {
	case "+":
		n.num.Add(x.num, y.num)
	case "-":
		n.num.Sub(x.num, y.num)
	case "*":
		n.num.Mul(x.num, y.num)
	case "/":
		n.num.Quo(x.num, y.num)
	}
	return n
}

func drawTruth(t *rapid.T, depth int) node {
	k := rapid.IntRange(0, 4).Draw(t, "truth")
	known := func(b bool) *bool { return &b }
	if depth == 0 || k < 2 {
		x, y := drawNumber(t, 2), drawNumber(t, 2)
		op := rapid.SampledFrom([]string{"<", "<=", ">", ">=", "=", "!="}).Draw(t, "comparison")
		n := node{code: x.code + " " + y.code + " " + op}
		if x.num != nil && y.num != nil {
			c := x.num.Cmp(y.num)
			n.truth = known(map[string]bool{"<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0, "=": c == 0, "!=": c != 0}[op])
		}
		return n
	}
	x := drawTruth(t, depth-1)
	if k == 2 {
		n := node{code: x.code + " not"}
		if x.truth != nil {
			n.truth = known(!*x.truth)
		}
		return n
	}
	y := drawTruth(t, depth-1)
	if k == 3 {
		n := node{code: x.code + " " + y.code + " and"}
		switch {
		case x.truth != nil && !*x.truth, y.truth != nil && !*y.truth:
			n.truth = known(false)
		case x.truth != nil && y.truth != nil:
			n.truth = known(true)
		}
		return n
	}
	n := node{code: x.code + " " + y.code + " or"}
	switch {
	case x.truth != nil && *x.truth, y.truth != nil && *y.truth:
		n.truth = known(true)
	case x.truth != nil && y.truth != nil:
		n.truth = known(false)
	}
	return n
}

// A condition comes to what the obvious tree of fractions comes to, for any of them.
func TestGuardAgreesWithModel(t *testing.T) {
	high := telemetry.Fixed(50_000_000)
	r := &Rule{ID: "r", High: &high, Statistic: telemetry.StatHour, Factor: "w01018"}
	w := &Window{Measure: Measure{Sum: telemetry.Sum{}.Add(200_000_000), N: 3}, Valid: 1, Due: 1}
	rapid.Check(t, func(t *rapid.T) {
		n := drawTruth(t, 3)
		if len(strings.Fields(n.code)) > MaxGuardWords {
			return
		}
		g, err := NewGuard("x", n.code)
		if err != nil {
			t.Fatalf("%s: %v", n.code, err)
		}
		want := Unknown
		if n.truth != nil {
			if want = False; *n.truth {
				want = True
			}
		}
		if got := g.Holds(r, w); got != want {
			t.Fatalf("%s: got %s, want %s", n.code, got, want)
		}
	})
}
