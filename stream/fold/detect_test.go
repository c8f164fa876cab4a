package fold

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"

	"outfall/telemetry"
)

var detectorDays = flag.Int("detector-days", 0, "days of good plants to look for false hits in; 0: a few, for the test")

// A hitList is the anomalies that began on one plant.
type hitList struct {
	began map[telemetry.Detector]int
	notes []string
}

func (h *hitList) take(o telemetry.Output) {
	if o.Topic != telemetry.TopicFindings || !strings.Contains(string(o.Value), `"anomaly"`) {
		return
	}
	var f telemetry.Finding
	if err := json.Unmarshal(o.Value, &f); err != nil || f.Anomaly == nil {
		return
	}
	if f.Anomaly.State == telemetry.AnomalyBegan {
		h.began[f.Anomaly.Detector]++
		if len(h.notes) < 20 {
			h.notes = append(h.notes, fmt.Sprintf("%s %s %s %s: %s", f.MN[18:], f.At.Format("02 15:04"), f.Anomaly.Detector, f.Factor, f.Detail))
		}
	}
}

// cleanHits runs a good plant.
func cleanHits(seed uint64, days int) *hitList {
	h := &hitList{began: map[telemetry.Detector]int{}}
	p := newPlant(seed, seed%2 == 0, h.take)
	p.days(days)
	return h
}

// plantedHits runs a plant that begins a fraud after three good days, and returns what began from then on.
func plantedHits(seed uint64, x planted) *hitList {
	h := &hitList{began: map[telemetry.Detector]int{}}
	p := newPlant(seed, x.water, h.take)
	p.pumped, p.plan.stop, p.plan.outage, p.plan.maintain, p.plan.fault = false, 0, 0, 0, 0
	p.days(3)
	*h = hitList{began: map[telemetry.Detector]int{}}
	x.begin(p, p.fraud)
	p.fraud.begun = true
	p.days(x.days)
	return h
}

// The detectors on plants with realistic noise: what is planted is found, and what a good plant does is left alone. With -detector-days=1000
// -v it prints the table of docs/integrity.md.
func TestDetectors(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("one goroutine a plant: the detector of races only makes it ten times slower")
	}
	each, days, span := 1, 20, 10
	if *detectorDays > 0 {
		each, days, span = 10, *detectorDays, 20
	}
	clean := parallel(days/span, func(i int) *hitList { return cleanHits(uint64(1000+i), span) })
	all := plantings()
	found := parallel(len(all)*each, func(i int) *hitList { return plantedHits(uint64(5000+i), all[i/each]) })

	false1000 := map[telemetry.Detector]int{}
	total := 0
	for _, h := range clean {
		for d, n := range h.began {
			false1000[d] += n
			total += n
		}
		for _, n := range h.notes {
			t.Log(n)
		}
	}
	hits, missed := map[telemetry.Detector]int{}, map[telemetry.Detector]int{}
	for i, h := range found {
		d := all[i/each].detector
		if h.began[d] > 0 {
			hits[d]++
		} else {
			missed[d]++
		}
	}
	for _, d := range telemetry.Detectors() {
		t.Logf("| %s | %d | %d | %.1f |", d, hits[d], missed[d], float64(false1000[d])*1000/float64(days))
		if missed[d] > hits[d] {
			t.Errorf("%s: %d planted and missed, %d found", d, missed[d], hits[d])
		}
	}
	if most := days/20 + 1; total > most {
		t.Errorf("%d false hits in %d days of good plants", total, days)
	}
}

// parallel calls fn for 0..n-1, two at a time, and returns the results in order.
func parallel(n int, fn func(int) *hitList) []*hitList {
	out := make([]*hitList, n)
	var group sync.WaitGroup
	for worker := range 2 {
		group.Go(func() {
			for i := worker; i < n; i += 2 {
				out[i] = fn(i)
			}
		})
	}
	group.Wait()
	return out
}
