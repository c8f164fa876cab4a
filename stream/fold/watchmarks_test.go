package fold

import (
	"strings"
	"testing"
	"time"

	"outfall/telemetry"
)

// A plant that runs while it is marked as stopped is found; the hours of the mark leave the groups due, also when it comes a day later.
func TestWatchAndMarks(t *testing.T) {
	var found []telemetry.Finding
	var lines []string
	take := findingsOf(telemetry.FindingAnomaly, &found)
	p := newPlant(14, false, func(o telemetry.Output) {
		take(o)
		for l := range strings.SplitSeq(string(o.Value), "\n") {
			if o.Topic == telemetry.TopicPoints && strings.HasPrefix(l, "integrity,factor=a21002") {
				lines = append(lines, l)
			}
		}
	})
	p.plan = nothing
	for p.now.Add(8*time.Hour).Hour() != 1 || p.now.Before(t0.Add(12*time.Hour)) { // past the first natural day
		p.minute()
	}
	midnight := p.now.Add(-time.Hour)
	mark := func(id string, from, hours int) {
		begin := midnight.Add(time.Duration(from) * time.Hour)
		end := begin.Add(time.Duration(hours) * time.Hour)
		p.add(telemetry.KindMark, p.mn, telemetry.AppendJSON(nil, &telemetry.Mark{V: telemetry.MarkVersion, ID: id, MN: p.mn, Kind: telemetry.MarkStopped,
			From: begin, To: &end, Who: "li", When: p.now, Proof: "p"}))
	}
	lines = nil
	mark("a", 2, 4)
	p.days(1)
	mark("b", 12, 2) // of the day before
	p.days(1)
	var began bool
	for _, f := range found {
		began = began || f.Anomaly.Detector == telemetry.DetectStopNotStopped && f.Anomaly.State == telemetry.AnomalyBegan
	}
	if !began {
		t.Error("no stop_not_stopped")
	}
	for i, want := range []string{" due=20i,excused=4i,received=20i,valid=", " due=18i,excused=6i,received=18i,valid=", " due=24i,excused=0i,"} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d lacks %q", i, want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(lines, "\n"))
	}
}
