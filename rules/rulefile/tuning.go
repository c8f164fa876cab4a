package rulefile

import (
	"outfall/rules"
	"outfall/telemetry"
)

// tunings reads the list of detectors, which may be left out.
func (f *file) tunings(top *mapping) []rules.Tuning {
	if !top.has("detectors") {
		return nil
	}
	var parsed []rules.Tuning
	for _, n := range top.list("detectors", "detectors: begin each with '- detector: ...'", "at least one detector, or leave the key out") {
		m := f.mapping(n, "a detector", "detector", "mn", "outlet", "medium", "factor", "threshold", "off")
		if m == nil {
			continue
		}
		t := rules.Tuning{Detector: telemetry.Detector(m.text("detector")), MN: m.text("mn"), Outlet: m.text("outlet"), Medium: m.text("medium"),
			Factor: m.text("factor"), Threshold: m.number("threshold")}
		switch off := m.text("off"); off {
		case "true":
			t.Off = true
		case "", "false":
		default:
			m.bad("off", "%q is neither true nor false", off)
		}
		for _, fault := range t.Faults() {
			m.structural(fault)
		}
		if known, ok := telemetry.LookupFactor(t.Factor); t.Factor != "" && (!ok || known.Code != t.Factor) {
			f.bad(m.place("factor"), "factor: %q is not a code of HJ 212-2017 annex B, like w01018", t.Factor)
		}
		parsed = append(parsed, t)
	}
	return parsed
}
