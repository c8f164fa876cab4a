package stream

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/rules"
	"outfall/telemetry"
)

// What was known at a moment is what had been published last by then.
func TestReplayAsOf(t *testing.T) {
	h := newHour(t)
	known := func(at time.Time) (hour, alarm string) {
		dir := t.TempDir()
		h.replay(ReplayOptions{Out: dir, AsOf: at, EventFrom: h.t0, EventTo: h.t0.Add(time.Hour), MNs: []string{h.mn}})
		points, err := os.ReadFile(filepath.Join(dir, "points.lp"))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for line := range strings.Lines(string(points)) {
			p, ok := parsePoint(strings.TrimSuffix(line, "\n"))
			key := fmt.Sprint(p.series, p.nano)
			if !ok || seen[key] || p.nano < h.t0.UnixNano() || p.nano >= h.t0.Add(time.Hour).UnixNano() {
				t.Errorf("as of %v: %s", at, line)
			}
			seen[key] = true
			if p.tag("stat") == "hour" && p.measurement == "mean" && p.tag("factor") == "w01018" {
				hour = p.field("rev")
			}
		}
		alarms, err := os.ReadFile(filepath.Join(dir, "alarms.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(alarms)) {
			alarm += valueOf(jsonFields([]byte(line)), "state")
		}
		return hour, alarm
	}
	for _, c := range []struct {
		name        string
		at          time.Time
		hour, alarm string
	}{
		{"before the alarm", h.t0.Add(21 * time.Minute), "", ""},
		{"during the alarm", h.t0.Add(23 * time.Minute), "", "raised"},
		{"before the late record", h.late, "0", "cleared"},
		{"at the end", h.late.Add(time.Minute), "1", "cleared"},
	} {
		if hour, alarm := known(c.at); hour != c.hour || alarm != c.alarm {
			t.Errorf("%s: hour revision %q, alarm %q; want %q, %q", c.name, hour, alarm, c.hour, c.alarm)
		}
	}
}

// By other rules the alarms differ and nothing else does; by the same rules under another name nothing does.
func TestReplayByOtherRules(t *testing.T) {
	h := newHour(t)
	rule := rules.Rule{ID: "cod", Title: "COD", Basis: "GB 8978-1996", Factor: "w01018", Statistic: telemetry.StatMinute, Unit: "mg/L", RaiseAfter: 2,
		ClearAfter: 2, ClearBelow: telemetry.FixedOne, MinValid: rules.DefaultMinValid(telemetry.StatMinute)}
	compare := func(name string, limit telemetry.Fixed) *Comparison {
		high := limit * telemetry.FixedOne
		rule.High = &high
		rs, err := rules.NewRuleSet(name, 1, []rules.Rule{rule})
		if err != nil {
			t.Fatal(err)
		}
		return h.replay(ReplayOptions{Rules: rs.AppendJSON(nil), Compare: true, Limit: 5, From: h.t0.Add(-time.Minute)}).Comparison
	}
	if c := compare("renamed", 50); !c.Same() || c.Identical == 0 {
		t.Errorf("the same rules: %+v", c)
	}
	if c := compare("test", 70); c.Extra != 4 || c.Missing != 0 || c.Identical == 0 { // raised and cleared, each an alarm and a point
		t.Errorf("a limit that nothing crosses: %+v", c)
	}
	if c := compare("test", 55); c.Changed != 4 || c.Extra+c.Missing != 0 || c.First[0].Fields[0].Name != "limit" {
		t.Errorf("another limit crossed by the same: %+v", c)
	}
}

// A region is that of the registry of the day: outputs count while the device is in it.
func TestReplaySelects(t *testing.T) {
	b := newBed(t)
	d := telemetry.Device{MN: bedMN(5), Outlet: "W05", Region: "贵州省/贵阳市", Medium: "water", MinuteInterval: 1, OfflineAfter: 600}
	move := func(region string) {
		d.Region = region
		b.write([]*kgo.Record{b.record(telemetry.KindRegistry, b.partition(d.MN), d.MN, telemetry.AppendJSON(nil, &d))})
	}
	move("贵州省/贵阳市/云岩区")
	b.feed(5)
	move("贵州省/遵义市")
	b.feed(5)
	b.publish()
	count := func(opts ReplayOptions) (of5, others int) {
		opts.Out, opts.Compare = t.TempDir(), true
		result := b.replay(opts)
		if c := result.Comparison; !c.Same() || c.Identical == 0 {
			t.Errorf("%v %q: %+v", opts.MNs, opts.Region, c)
		}
		text, err := os.ReadFile(filepath.Join(opts.Out, "points.lp"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if p, _ := parsePoint(strings.TrimSuffix(line, "\n")); p.measurement != "mean" || p.tag("stat") != "minute" {
				continue
			} else if p.tag("mn") == d.MN {
				of5++
			} else {
				others++
			}
		}
		return of5, others
	}
	for _, c := range []struct {
		opts        ReplayOptions
		of5, others int
	}{
		{ReplayOptions{MNs: []string{d.MN}}, 10, 0},
		{ReplayOptions{MNs: []string{d.MN, bedMN(6)}}, 10, 10},
		{ReplayOptions{Region: "贵州省/贵阳市"}, 5, 0},
		{ReplayOptions{Region: "贵州省"}, 10, 0},
		{ReplayOptions{Region: "贵州省/遵义市", MNs: []string{d.MN, bedMN(6)}}, 5, 0},
	} {
		if of5, others := count(c.opts); of5 != c.of5 || others != c.others {
			t.Errorf("%v %q: %d and %d points, want %d and %d", c.opts.MNs, c.opts.Region, of5, others, c.of5, c.others)
		}
	}
}
