package fold

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"outfall/rules/rulefile"
	"outfall/telemetry"
)

// findingsOf keeps the findings of a kind.
func findingsOf(kind telemetry.FindingKind, list *[]telemetry.Finding) func(telemetry.Output) {
	return func(o telemetry.Output) {
		var f telemetry.Finding
		if o.Topic == telemetry.TopicFindings && json.Unmarshal(o.Value, &f) == nil && f.Kind == kind {
			*list = append(*list, f)
		}
	}
}

// nothing is a plan in which nothing happens.
var nothing = plan{}

// A plant that is written and read again every few hours gives what one that goes on gives, detectors and rates included.
func TestWatchSurvivesSnapshots(t *testing.T) {
	digest := func(every int) (sum string, anomalies, rates int) {
		h := sha256.New()
		p := newPlant(7, false, func(o telemetry.Output) {
			hashOutput(h, &o)
			anomalies += bytes.Count(o.Value, []byte(`"anomaly":{`))
			rates += bytes.Count(o.Value, []byte("integrity,factor="))
		})
		p.plan = plan{stop: 2000, outage: 700, maintain: 900, fault: 1500, step: 100}
		for minute := range 3 * 1440 {
			if every > 0 && minute%every == 0 {
				form := p.s.AppendTo(nil)
				back, err := Read(form)
				if err != nil || !bytes.Equal(back.AppendTo(nil), form) {
					t.Fatal("read back: ", err)
				}
				p.s = back
			}
			if minute == 2000 {
				set(2, func(*plant, *fraud, float64) float64 { return -9 })(p, p.fraud)
				p.fraud.begun = true
			}
			p.minute()
		}
		return fmt.Sprintf("%x", h.Sum(nil)), anomalies, rates
	}
	a, anomalies, rates := digest(0)
	if b, _, _ := digest(301); a != b {
		t.Error("snapshots change outputs")
	}
	if anomalies == 0 || rates < 3*8 {
		t.Errorf("%d anomalies, %d days of rates", anomalies, rates)
	}
}

// Under the first algorithm nothing of this is there, and no memory is taken for it.
func TestNoWatchBefore(t *testing.T) {
	p := newPlant(9, false, func(o telemetry.Output) {
		for _, what := range []string{`"anomaly"`, `"cause"`, "integrity,"} {
			if strings.Contains(string(o.Value), what) {
				t.Fatalf("algorithm 1 gives %s", o.Value)
			}
		}
	})
	p.s.algorithm = 1
	set(2, func(*plant, *fraud, float64) float64 { return -9 })(p, p.fraud)
	p.fraud.begun = true
	p.days(1)
	if p.s.devices[p.mn].watcher != nil {
		t.Error("a watcher was made")
	}
}

// The rule set changes a detector for one factor, and every hit says by which rule set.
func TestTuningByRuleSet(t *testing.T) {
	for _, c := range []struct {
		tuning    string
		hits      bool
		source    string
		threshold telemetry.Fixed
	}{
		{"", true, "proposed", 20_000},
		{"detectors:\n  - {detector: negative, factor: a21026, off: true}\n", false, "", 0},
		{"detectors:\n  - {detector: negative, factor: a21002, off: true}\n", true, "proposed", 20_000},
		{"detectors:\n  - {detector: negative, outlet: P, threshold: 0.05}\n", true, "setting", 50_000},
		{"detectors:\n  - {detector: negative, threshold: 0.9}\n", false, "", 0},
	} {
		var found []telemetry.Finding
		p := newPlant(11, false, findingsOf(telemetry.FindingAnomaly, &found))
		p.plan = nothing
		rs, err := rulefile.Parse("tuned", []byte(gasRules+c.tuning))
		if err != nil {
			t.Fatal(err)
		}
		p.add(telemetry.KindRules, "", rs.AppendJSON(nil))
		set(2, func(*plant, *fraud, float64) float64 { return -9 })(p, p.fraud)
		p.fraud.begun = true
		for range 130 {
			p.minute()
		}
		hits := 0
		for _, f := range found {
			if a := f.Anomaly; a.Detector == telemetry.DetectNegative && a.State == telemetry.AnomalyBegan {
				hits++
				if a.Source != c.source || a.Threshold != c.threshold || a.RuleSet != rs.Hash || a.Value != -9*telemetry.FixedOne || f.Factor != "a21026" {
					t.Errorf("%q: %+v", c.tuning, a)
				}
			}
		}
		if (hits == 1) != c.hits {
			t.Errorf("%q: %d hits", c.tuning, hits)
		}
	}
}

// A gap says whether the line was silent or the logger had no record.
func TestGapCause(t *testing.T) {
	for cause, quiet := range map[telemetry.GapCause]func(*plant){
		telemetry.GapSilent: func(p *plant) { p.outage, p.lost = 20, true },
		telemetry.GapLogger: func(p *plant) { p.fraud.silent = true },
	} {
		var found []telemetry.Finding
		p := newPlant(12, true, findingsOf(telemetry.FindingGap, &found))
		p.plan = nothing
		for minute := range 130 {
			if minute == 70 {
				quiet(p)
			}
			if p.fraud.silent = p.fraud.silent && minute < 90; p.fraud.silent {
				p.send("2011", p.now, p.group(p.values(), "Rtd"))
			}
			p.minute()
		}
		if len(found) != 1 || found[0].Cause != cause {
			t.Errorf("%s: %+v", cause, found)
		}
	}
}

// A day's rates: as it came, and after what was sent again.
func TestRatesPoints(t *testing.T) {
	var lines []string
	p := newPlant(13, false, func(o telemetry.Output) {
		for _, l := range strings.Split(string(o.Value), "\n") {
			if o.Topic == telemetry.TopicPoints && strings.HasPrefix(l, "integrity,factor=a21026") {
				lines = append(lines, l)
			}
		}
	})
	p.plan = nothing
	for p.now.Add(8*time.Hour).Hour() != 0 || p.now.Minute() != 0 { // up to a natural day
		p.minute()
	}
	for range 50 { // and until it has been told of
		p.minute()
	}
	lines = nil
	for minute := range 2 * 1440 {
		if minute == 550 {
			p.outage, p.lost = 300, false
		}
		p.minute()
	}
	// The line is down for five hours; the records of the last of them come before the detectors look, the others by midnight. The hour of zero
	// and span is not valid.
	for i, want := range []string{
		" due=24i,excused=0i,received=20i,valid=19i,transmission=0.833333,validity=0.95,effective=0.791666,full_received=24i,full_valid=23i," +
			"full_transmission=1,full_validity=0.958333,full_effective=0.958333,rev=0i ",
		" due=24i,excused=0i,received=24i,valid=24i,",
	} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d lacks %s", i, want)
		}
	}
	if t.Failed() || len(lines) != 2 {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
}
