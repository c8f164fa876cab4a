package sample

import (
	"bytes"
	"testing"

	"outfall/rules/registryfile"
	"outfall/rules/rulefile"
	"outfall/telemetry"
)

func TestRegistry(t *testing.T) {
	file, err := registryfile.Parse("registry.csv", Registry)
	if err != nil {
		t.Fatal(err)
	}
	devices := file.Devices
	if !bytes.Equal(registryfile.Format(devices), Registry) {
		t.Error("registry.csv is not as Format writes it")
	}
	media, mnLengths := map[string]int{}, map[int]int{}
	for _, d := range devices {
		media[d.Medium]++
		mnLengths[len(d.MN)]++
		if d.Outlet == "W26" && d.OfflineAfter != 60 {
			t.Errorf("W26 goes offline after %d s, want 60", d.OfflineAfter)
		}
	}
	if media["water"] != 26 || media["gas"] != 24 || mnLengths[24] != 48 || mnLengths[14] != 2 {
		t.Errorf("got media %v, lengths of MN %v", media, mnLengths)
	}
}

func TestRules(t *testing.T) {
	rs, err := rulefile.Parse("rules.yaml", Rules)
	if err != nil {
		t.Fatal(err)
	}
	file, err := registryfile.Parse("registry.csv", Registry)
	if err != nil {
		t.Fatal(err)
	}
	devices := file.Devices
	seen := map[telemetry.Statistic]bool{}
	for i := range rs.Rules {
		r := &rs.Rules[i]
		seen[r.Statistic] = true
		matches := 0
		for j := range devices {
			if r.Applies(&devices[j]) {
				matches++
			}
		}
		if matches == 0 {
			t.Errorf("%s applies to no device of the sample registry", r.ID)
		}
	}
	for _, s := range telemetry.Statistics() {
		if !seen[s] {
			t.Errorf("no rule shows the statistic %s", s)
		}
	}
}
