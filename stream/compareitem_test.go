package stream

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"outfall/telemetry"
)

func TestParsePoint(t *testing.T) {
	p, ok := parsePoint(`instant,factor=x\,1,mn=A1,outlet=W\ 0\=1 text="a, b=\"c\" d",valid=false,n=12i 1782871200000000000`)
	if !ok || p.measurement != "instant" || p.tag("factor") != "x,1" || p.tag("outlet") != "W 0=1" || p.field("text") != `a, b="c" d` || p.field("n") != "12" ||
		p.field("valid") != "false" || p.nano != 1782871200000000000 || p.series != `instant,factor=x\,1,mn=A1,outlet=W\ 0\=1` {
		t.Errorf("%+v %t", p, ok)
	}
	for _, line := range []string{"", "a", "a b=1", "a b=1 x", ",a=1 b=1"} {
		if p, ok := parsePoint(line); ok {
			t.Errorf("%q: %+v", line, p)
		}
	}
}

// The same lines in another order are no identical outputs: bytes are promised.
func TestCompareSeesTheOrder(t *testing.T) {
	made := func(values ...string) (group []madeOutput) {
		for i, v := range values {
			group = append(group, madeOutput{telemetry.Output{Topic: telemetry.TopicPoints, MN: "A1", Value: []byte(v),
				Pos: telemetry.Position{Source: 7, Ordinal: int32(i)}}, time.UnixMilli(1)})
		}
		return group
	}
	for _, c := range []struct {
		name                string
		published, replayed []madeOutput
		want                Comparison
		field               string
	}{
		{"the same", made("a,mn=A1 v=1 1\na,mn=A1 v=1 2"), made("a,mn=A1 v=1 1\na,mn=A1 v=1 2"), Comparison{Identical: 2}, ""},
		{"two records for one", made("a,mn=A1 v=1 1\na,mn=A1 v=1 2"), made("a,mn=A1 v=1 1", "a,mn=A1 v=1 2"), Comparison{Identical: 1, Changed: 1}, "order of records"},
		{"another order", made("a,mn=A1 v=1 1", "a,mn=A1 v=1 2"), made("a,mn=A1 v=1 2", "a,mn=A1 v=1 1"), Comparison{Identical: 1, Changed: 1}, "order of records"},
		{"one changed", made("a,mn=A1 v=1 1", "a,mn=A1 v=1 2"), made("a,mn=A1 v=1 1", "a,mn=A1 v=2 2"), Comparison{Identical: 1, Changed: 1}, "v"},
		{"a field more", made("a,mn=A1 v=1 1"), made("a,mn=A1 v=1,w=2 1"), Comparison{Changed: 1}, "w"},
		{"fields in another order", made("a,mn=A1 v=1,w=2 1"), made("a,mn=A1 w=2,v=1 1"), Comparison{Changed: 1}, "bytes"},
		{"one more and one less", made("a,mn=A1 v=1 1", "a,mn=A1 v=1 2"), made("a,mn=A1 v=1 2", "a,mn=A1 v=1 3"), Comparison{Identical: 1, Missing: 1, Extra: 1}, ""},
	} {
		var fields []string
		cmp := &comparer{r: &replay{}, horizon: 100, found: func(d *Difference) error {
			for _, f := range d.Fields {
				fields = append(fields, f.Name)
			}
			return nil
		}}
		err := cmp.entry(c.published, c.replayed)
		got := cmp.count
		if err != nil || got.Identical != c.want.Identical || got.Missing != c.want.Missing || got.Extra != c.want.Extra || got.Changed != c.want.Changed ||
			strings.Join(fields, " ") != c.field {
			t.Errorf("%s: %+v, fields %q (%v)", c.name, got, fields, err)
		}
	}
}

// However small its runs, the newest of every key comes out once, in order.
func TestNewestOf(t *testing.T) {
	dir, rnd := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	w, err := createParts(dir, 0, []telemetry.Topic{telemetry.TopicPoints})
	if err != nil {
		t.Fatal(err)
	}
	model := map[string]string{}
	for i := range 500 {
		var lines []string
		for range 1 + rnd.IntN(5) {
			series, at := fmt.Sprintf("a,mn=A%d", rnd.IntN(9)), int64(rnd.IntN(40))-5
			line := fmt.Sprintf("%s v=%d %d", series, i, at)
			model[fmt.Sprintf("%s %03d", series, at+100)] = line
			lines = append(lines, line)
		}
		w.write(time.UnixMilli(0), &telemetry.Output{Topic: telemetry.TopicPoints, MN: "A", Value: []byte(strings.Join(lines, "\n")), Pos: telemetry.Position{Source: int64(i)}})
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(model)) {
		want.WriteString(model[key] + "\n")
	}
	for _, bound := range []int{1, 3000, 1 << 20} {
		part, err := openPart(dir, telemetry.TopicPoints, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		err = newestOf(part, dir, bound, func(v []byte) error { got.Write(append(v, '\n')); return nil })
		if err2 := part.close(); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if got.String() != want.String() {
			t.Errorf("bound %d:\n%s\nwant\n%s", bound, got.String(), want.String())
		}
	}
}
