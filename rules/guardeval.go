package rules

import (
	"math/big"

	"outfall/telemetry"
)

// Truth is what a condition comes to.
type Truth uint8

const (
	False Truth = iota
	Unknown
	True
)

// String is false, unknown or true.
func (t Truth) String() string { return [...]string{"false", "unknown", "true"}[t] }

// A cell is a value of an evaluation: a truth, a number (nil: unknown) or a text.
type cell struct {
	num   *big.Rat
	text  string
	truth Truth
}

// Holds evaluates the guard of r for a window, exactly.
func (g *Guard) Holds(r *Rule, w *Window) Truth {
	var room [16]cell
	stack := room[:0]
	for i := range g.words {
		stack = g.words[i].apply(stack, r, w)
	}
	return stack[0].truth
}

// apply does what the word says to the top of the stack. The guard has been type-checked.
func (w *word) apply(stack []cell, r *Rule, at *Window) []cell {
	n := len(stack)
	switch w.op {
	case "":
		return append(stack, cell{num: w.num, text: w.text})
	case "neg":
		if x := stack[n-1].num; x != nil {
			stack[n-1].num = new(big.Rat).Neg(x)
		}
		return stack
	case "not":
		stack[n-1].truth = True - stack[n-1].truth
		return stack
	case "and":
		stack[n-2].truth = min(stack[n-2].truth, stack[n-1].truth)
		return stack[:n-1]
	case "or":
		stack[n-2].truth = max(stack[n-2].truth, stack[n-1].truth)
		return stack[:n-1]
	case "+", "-", "*", "/":
		stack[n-2].num = arithmetic(w.op, stack[n-2].num, stack[n-1].num)
		return stack[:n-1]
	case "<", "<=", ">", ">=", "=", "!=":
		return append(stack[:n-2], cell{truth: compare(w.op, &stack[n-2], &stack[n-1])})
	case "in":
		value, truth := stack[n-1-w.n], False
		for i := range stack[n-w.n:] {
			truth = max(truth, compare("=", &value, &stack[n-w.n+i]))
		}
		return append(stack[:n-1-w.n], cell{truth: truth})
	}
	return append(stack, w.input(r, at))
}

// arithmetic is x op y; nil when one is unknown, or y is the zero of a division.
func arithmetic(op string, x, y *big.Rat) *big.Rat {
	if x == nil || y == nil || op == "/" && y.Sign() == 0 {
		return nil
	}
	z := new(big.Rat)
	switch op {
	case "+":
		return z.Add(x, y)
	case "-":
		return z.Sub(x, y)
	case "*":
		return z.Mul(x, y)
	}
	return z.Quo(x, y)
}

// compare compares two numbers, or two texts: texts have no number, and an unknown number has no text.
func compare(op string, x, y *cell) Truth {
	var c int
	switch {
	case x.num != nil && y.num != nil:
		c = x.num.Cmp(y.num)
	case x.text != "" || y.text != "":
		if c = 0; x.text != y.text {
			c = 1
		}
	default:
		return Unknown
	}
	holds := false
	switch op {
	case "<":
		holds = c < 0
	case "<=":
		holds = c <= 0
	case ">":
		holds = c > 0
	case ">=":
		holds = c >= 0
	case "=":
		holds = c == 0
	case "!=":
		holds = c != 0
	}
	if holds {
		return True
	}
	return False
}

// input is the value of a name or a factor.
func (w *word) input(r *Rule, at *Window) cell {
	switch w.op {
	case "@":
		if at.Others != nil {
			if m, ok := at.Others.Mean(w.text); ok {
				return cell{num: fraction(m)}
			}
		}
		return cell{}
	case "mean":
		return cell{num: fraction(at.Measure)}
	case "limit":
		if r.High != nil {
			return cell{num: millionths(*r.High)}
		}
		return cell{num: millionths(*r.Low)}
	case "low":
		return cell{num: millionths(*r.Low)}
	case "valid_share":
		return cell{num: big.NewRat(at.Valid, at.Due)}
	case "valid":
		return cell{num: big.NewRat(at.Valid, 1)}
	case "due":
		return cell{num: big.NewRat(at.Due, 1)}
	case "times_over":
		over := fraction(at.Measure)
		over.Sub(over, millionths(*r.High))
		return cell{num: over.Quo(over, millionths(*r.High))}
	case "month":
		return cell{num: big.NewRat(int64(telemetry.DateOf(at.Start).Month()), 1)}
	}
	return cell{text: w.deviceText(at.Device)}
}

// deviceText is a text of the registry; "-" stands for one that is empty.
func (w *word) deviceText(d *telemetry.Device) string {
	text := ""
	if d != nil {
		text = map[string]string{"medium": d.Medium, "standard": d.Standard, "class": d.Class, "region": d.Region, "outlet": d.Outlet}[w.op]
	}
	if text == "" {
		return "-"
	}
	return text
}

func millionths(f telemetry.Fixed) *big.Rat { return big.NewRat(int64(f), int64(telemetry.FixedOne)) }

// fraction is the exact mean in units.
func fraction(m Measure) *big.Rat {
	sum := new(big.Int).Lsh(big.NewInt(m.Sum.Hi), 64)
	sum.Add(sum, new(big.Int).SetUint64(m.Sum.Lo))
	return new(big.Rat).SetFrac(sum, new(big.Int).Mul(big.NewInt(m.N), big.NewInt(int64(telemetry.FixedOne))))
}

// Inputs lists what the guard asked for, each once in the order of the code, for show: numbers are rounded to a millionth.
func (g *Guard) Inputs(r *Rule, at *Window) []telemetry.Input {
	var list []telemetry.Input
	seen := map[string]bool{}
	for i := range g.words {
		w := &g.words[i]
		if _, err := w.check(nil); w.op == "" || err != nil { // a literal, or an operator: it finds nothing on the stack
			continue
		}
		in := telemetry.Input{Name: w.op}
		if w.op == "@" {
			in.Name = w.text
		}
		if seen[in.Name] {
			continue
		}
		seen[in.Name] = true
		c := w.input(r, at)
		switch {
		case c.num != nil:
			in.Value = shown(c.num)
		default:
			in.Value = c.text
		}
		list = append(list, in)
	}
	return list
}

// shown is a number with at most six decimals, rounded half to even.
func shown(x *big.Rat) string {
	scaled := new(big.Rat).Mul(x, new(big.Rat).SetInt64(int64(telemetry.FixedOne)))
	q, rest := new(big.Int).QuoRem(new(big.Int).Abs(scaled.Num()), scaled.Denom(), new(big.Int))
	switch c := rest.Lsh(rest, 1).Cmp(scaled.Denom()); {
	case c > 0, c == 0 && q.Bit(0) == 1:
		q.Add(q, big.NewInt(1))
	}
	if !q.IsInt64() {
		return x.RatString()
	}
	f := telemetry.Fixed(q.Int64())
	if scaled.Sign() < 0 {
		f = -f
	}
	return f.String()
}
