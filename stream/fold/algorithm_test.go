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

func (b *bed) algorithm(n int) {
	b.apply(telemetry.KindVersion, "", telemetry.AppendJSON(nil, &telemetry.Version{Algorithm: n, Operator: "li", Time: b.now}))
}

// rtd sends a real-time value and returns what comes of it: the points' first field, the findings' kind and detail.
func (b *bed) rtd(at time.Time, value string) string {
	b.out = nil
	b.frame("2011", at, fmt.Sprintf("w01018-Rtd=%s,w01018-Flag=N", value))
	out := b.out
	var got []string
	for _, l := range b.lines("instant") {
		_, fields, _ := strings.Cut(l, " ")
		field, _, _ := strings.Cut(fields, ",")
		got = append(got, field)
	}
	b.out = out
	for _, f := range b.findings() {
		got = append(got, fmt.Sprintf("%s %s", f.Kind, f.Detail))
	}
	return strings.Join(got, "; ")
}

// By algorithm 2 the first real-time value of a time stays, be it a number or none, and what comes later is a duplicate or a conflict; by
// algorithm 1 what is no number takes its place. A version entry switches from the one to the other, and a snapshot holds which it is.
func TestRealTimeText(t *testing.T) {
	const (
		first    = `; not_numeric value "null" is no number within ±9.2e12; first of the day`
		conflict = "conflict %s is recorded for this time, %s came later; ignored"
	)
	steps := []struct {
		at       int // seconds
		value    string
		one, two string
	}{
		{0, "7.5", "value=7.5", "value=7.5"},
		{0, "null", `text="null"` + first, fmt.Sprintf(conflict, "7.5", `"null"`)},
		{1, "null", `text="null"`, `text="null"` + first},
		{1, "7.50", "value=7.5", fmt.Sprintf(conflict, "a text", "7.5")},
		{1, "NaN", `text="NaN"`, fmt.Sprintf(conflict, "a text", `"NaN"`)},
		{1, "null,w01018-ZsRtd=1", "zs=1", "duplicate 1 factors came before with the same values; ignored"},
		{0, "7.50", "duplicate 1 factors came before with the same values; ignored", "duplicate 1 factors came before with the same values; ignored"},
		{2, "8", "value=8", "value=8"},
	}
	for _, snapshots := range []bool{false, true} {
		for algorithm := 1; algorithm <= Algorithms; algorithm++ {
			b := newBed(t)
			b.algorithm(algorithm)
			for i, s := range steps {
				if snapshots {
					b.reread()
				}
				want := s.one
				if algorithm == 2 {
					want = s.two
				}
				if got := b.rtd(t0.Add(time.Duration(s.at)*time.Second), s.value); !strings.HasPrefix(got, want) || want == "" {
					t.Errorf("algorithm %d, snapshots %v, step %d: %s at %d s gives %q, want %q", algorithm, snapshots, i, s.value, s.at, got, want)
				}
			}
		}
	}
}

// reread goes on with the state as a snapshot gives it back.
func (b *bed) reread() {
	b.t.Helper()
	form := b.s.AppendTo(nil)
	s, err := Read(form)
	if err != nil {
		b.t.Fatal(err)
	}
	if !bytes.Equal(s.AppendTo(nil), form) {
		b.t.Fatal("the state that was read back is another")
	}
	b.s = s
}

// A switch holds from its entry on, and back; a value that names no algorithm that is there changes nothing.
func TestAlgorithmSwitches(t *testing.T) {
	b := newBed(t)
	want := func(text string, point bool) {
		t.Helper()
		if got := b.rtd(t0, text); strings.HasPrefix(got, "text=") != point {
			t.Errorf("%s gives %q", text, got)
		}
	}
	b.rtd(t0, "7.5")
	want("a", true)
	b.algorithm(2)
	want("b", false)
	for _, value := range []string{`{"algorithm":0}`, `{"algorithm":-1}`, `{"algorithm":3}`, `{"algorithm":"1"}`, ``} {
		b.apply(telemetry.KindVersion, "", []byte(value))
		want("c"+value[max(0, len(value)-4):], false)
	}
	b.algorithm(1)
	want("d", true)
}

// A text that is remembered for its time is no value before a late one: the limit was crossed once, not twice in a row.
func TestTextIsNoValueBeforeALateOne(t *testing.T) {
	b := newBed(t)
	b.algorithm(2)
	b.rules(rules.Rule{ID: "i", Statistic: telemetry.StatInstant, High: high(50_000_000), RaiseAfter: 2})
	for _, v := range []struct {
		at    int
		value string
	}{{0, "broken"}, {60, "10"}, {30, "70"}} {
		b.frame("2011", t0.Add(time.Duration(v.at)*time.Second), "w01018-Rtd="+v.value+",w01018-Flag=N")
	}
	b.wantLife("")
}
