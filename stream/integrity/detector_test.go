package integrity

import (
	"slices"
	"strings"
	"testing"

	"outfall/telemetry"
)

// Steady plants make no detector speak.
func TestNothingToSay(t *testing.T) {
	for _, b := range []*bed{gasBed(t), waterBed(t)} {
		if b.run(15 * 24); len(b.hits) > 0 {
			t.Errorf("%s: %+v", b.medium, b.hits[0])
		}
	}
}

// An anomaly is told when it begins, once a day while it lasts, and when it ends.
func TestLifeOfAnAnomaly(t *testing.T) {
	b := gasBed(t).run(24)
	g := b.gauge("a21026")
	g.flat = true
	b.set("a21026", always(whole(12)+340_000))
	b.run(60)
	g.flat = false
	b.set("a21026", nil)
	b.run(5)
	var states []string
	for _, h := range b.hits {
		if h.Anomaly.Detector == telemetry.DetectConstValue {
			states = append(states, string(h.Anomaly.State))
			if h.Factor != "a21026" || h.Anomaly.Threshold != whole(60) || h.Anomaly.Source != "proposed" || h.Start != (firstHour+24)*60 {
				t.Errorf("%+v", h)
			}
		}
	}
	if got := strings.Join(states, " "); got != "began lasting lasting ended" {
		t.Errorf("states: %s", got)
	}
}

func TestTuning(t *testing.T) {
	var w Watch
	h := Hour{Index: firstHour, Interval: 1, Medium: "gas", Series: []SeriesHour{{Factor: "a21026", Role: RolePollutant, Facts: Facts{Range: whole(100)}}}}
	h.Series[0].Means[0], h.Series[0].Has = -whole(3), 1
	var tuning Tuning
	tuning.Set(telemetry.DetectNegative, 50_000)
	h.Series[0].Tuning = &tuning
	if hits := w.Hour(&h, nil); len(hits) > 0 {
		t.Errorf("-3 of 100 is within 5 %%: %+v", hits)
	}
	h.Series[0].Means[0] = -whole(6)
	h.Index++
	hits := w.Hour(&h, nil)
	if len(hits) != 1 || hits[0].Anomaly.Source != "setting" || hits[0].Anomaly.Threshold != 50_000 {
		t.Fatalf("%+v", hits)
	}
	tuning.Off(telemetry.DetectNegative, true)
	h.Index += 7
	if hits = w.Hour(&h, nil); len(hits) != 1 || hits[0].Anomaly.State != telemetry.AnomalyEnded {
		t.Errorf("switched off: %+v", hits)
	}
}

func TestDefaults(t *testing.T) {
	for _, d := range telemetry.Detectors() {
		for _, medium := range []string{"gas", "water"} {
			v, source, ok := Default(d, medium)
			if !ok || v <= 0 || !slices.Contains([]string{"proposed", "single"}, source) {
				t.Errorf("%s of %s: %s %q %t", d, medium, v, source, ok)
			}
		}
	}
	if len(telemetry.Detectors()) != numDetectors {
		t.Errorf("%d names for %d detectors", len(telemetry.Detectors()), numDetectors)
	}
}

func TestRoles(t *testing.T) {
	for factor, want := range map[string]Role{"w00000": RoleFlow, "w01018": RolePollutant, "w01001": RolePH, "w01010": RoleAuxiliary, "w21003": RolePollutant,
		"a34013": RolePollutant, "a19001": RoleOxygen, "a01012": RoleTemperature, "a01014": RoleAuxiliary, "x-odd": RoleOther, "": RoleOther} {
		if got := RoleOf(factor); got != want {
			t.Errorf("%q: %d, want %d", factor, got, want)
		}
	}
}
