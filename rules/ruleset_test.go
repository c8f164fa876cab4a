package rules

import (
	"bytes"
	"strings"
	"testing"

	"outfall/telemetry"
)

func sampleSet(t *testing.T) *RuleSet {
	t.Helper()
	other := *rule(ph)
	other.ID, other.Factor, other.Statistic, other.Medium = "w-ph", "w01001", telemetry.StatInstant, "water"
	rs, err := NewRuleSet("gz <水>", 3, []Rule{*rule(nil), other})
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestRuleSetRoundTrip(t *testing.T) {
	rs := sampleSet(t)
	js := rs.AppendJSON(nil)
	back, err := ParseRuleSet(js)
	if err != nil {
		t.Fatal(err)
	}
	if again := back.AppendJSON(nil); !bytes.Equal(again, js) || back.Hash != rs.Hash || len(rs.Hash) != 12 {
		t.Errorf("got %s %s, want %s %s", back.Hash, again, rs.Hash, js)
	}
	const want = `{"ruleset":"gz <水>","version":3,"rules":[{"id":"w-cod","title":"化学需氧量","basis":"GB 18918-2002 表1","factor":"w01018",` +
		`"statistic":"hour","high":"50","unit":"mg/L","early_warning":"0.9","raise_after":1,"clear_after":1,"clear_below":"1","min_valid":"0.75"},`
	if !strings.HasPrefix(string(js), want) {
		t.Errorf("canonical JSON changed, and with it every hash: %s", js)
	}
	changed := sampleSet(t)
	changed.Rules[0].High = ref(50_000_001)
	if rs2, err := NewRuleSet(changed.Name, changed.Version, changed.Rules); err != nil || rs2.Hash == rs.Hash {
		t.Errorf("another limit has the same hash %s (%v)", rs.Hash, err)
	}
}

func TestParseRuleSetRefuses(t *testing.T) {
	good := string(sampleSet(t).AppendJSON(nil))
	for name, text := range map[string]string{
		"nothing":            "",
		"no rules":           `{"ruleset":"a","version":1,"rules":[]}`,
		"a field too many":   strings.Replace(good, `"version"`, `"x":1,"version"`, 1),
		"data behind":        good + "{}",
		"a number":           strings.Replace(good, `"high":"50"`, `"high":50`, 1),
		"an exponent":        strings.Replace(good, `"high":"50"`, `"high":"5e1"`, 1),
		"the same id twice":  strings.Replace(good, `"w-ph"`, `"w-cod"`, 1),
		"no basis":           strings.Replace(good, `GB 18918-2002 表1`, ` `, 1),
		"low above high":     strings.Replace(good, `"low":"6"`, `"low":"9"`, 1),
		"warning of 1":       strings.Replace(good, `"early_warning":"0.9"`, `"early_warning":"1"`, 1),
		"warning without":    strings.Replace(good, `"low":"6","high":"9","unit":"dimensionless","early_warning":"0"`, `"low":"6","unit":"x","early_warning":"0.9"`, 1),
		"after 0":            strings.Replace(good, `"raise_after":1`, `"raise_after":0`, 1),
		"a limit too great":  strings.Replace(good, `"high":"50"`, `"high":"1000000000001"`, 1),
		"share of a minus":   strings.Replace(good, `"low":"6"`, `"low":"-6","clear_below":"0.9"`, 1),
		"unknown statistic":  strings.Replace(good, `"instant"`, `"week"`, 1),
		"version 0":          strings.Replace(good, `"version":3`, `"version":0`, 1),
		"min_valid above 1":  strings.Replace(good, `"min_valid":"0.75"`, `"min_valid":"1.000001"`, 1),
		"medium of the moon": strings.Replace(good, `"medium":"water"`, `"medium":"moon"`, 1),
	} {
		if text == good {
			t.Fatalf("%s: nothing was replaced", name)
		}
		if name == "share of a minus" {
			text = strings.Replace(text, `"clear_below":"1","min_valid":"0.75"}]`, `"clear_below":"0.9","min_valid":"0.75"}]`, 1)
		}
		if _, err := ParseRuleSet([]byte(text)); err == nil {
			t.Errorf("%s: accepted %s", name, text)
		}
	}
}

func TestApplies(t *testing.T) {
	d := &telemetry.Device{MN: "88888880000001", Outlet: "W01", Medium: "water"}
	for _, c := range []struct {
		mn, outlet, medium string
		want               bool
	}{
		{"", "", "", true}, {"88888880000001", "W01", "water", true}, {"", "W01", "", true},
		{"", "W02", "", false}, {"", "", "gas", false}, {"88888880000002", "", "", false},
	} {
		r := rule(func(r *Rule) { r.MN, r.Outlet, r.Medium = c.mn, c.outlet, c.medium })
		if got := r.Applies(d); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

func TestEnoughValid(t *testing.T) {
	for _, c := range []struct {
		statistic  telemetry.Statistic
		valid, due int64
		want       bool
	}{
		{telemetry.StatHour, 45, 60, true}, {telemetry.StatHour, 44, 60, false},
		{telemetry.StatHour, 9, 12, true}, {telemetry.StatRolling1, 44, 60, false},
		{telemetry.StatDay, 20, 24, true}, {telemetry.StatDay, 19, 24, false}, {telemetry.StatRolling24, 20, 24, true},
		{telemetry.StatHour, 0, 0, false},
	} {
		r := rule(func(r *Rule) { r.MinValid = DefaultMinValid(c.statistic) })
		if got := r.EnoughValid(c.valid, c.due); got != c.want {
			t.Errorf("%s %d of %d: got %v", c.statistic, c.valid, c.due, got)
		}
	}
}
