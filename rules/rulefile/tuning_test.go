package rulefile

import (
	"strings"
	"testing"

	"outfall/rules"
	"outfall/telemetry"
)

func TestDetectors(t *testing.T) {
	plain, err := Parse("r", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	rs, err := Parse("r", []byte(good+`
detectors:
  - {detector: const_value, outlet: W01, factor: w01018, threshold: 720}
  - detector: near_lod
    medium: gas
    off: true
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(rs.Detectors) != 2 || *rs.Detectors[0].Threshold != 720*telemetry.FixedOne || !rs.Detectors[1].Off {
		t.Errorf("%+v", rs.Detectors)
	}
	w01 := telemetry.Device{Outlet: "W01", Medium: "water"}
	if a := &rs.Detectors[0]; !a.Applies(&w01, "w01018") || a.Applies(&w01, "w21003") || rs.Detectors[1].Applies(&w01, "w01018") {
		t.Error("selectors do not select")
	}
	back, err := rules.ParseRuleSet(rs.AppendJSON(nil))
	if err != nil || back.Hash != rs.Hash || rs.Hash == plain.Hash || len(back.Detectors) != 2 {
		t.Errorf("%v: hash %s, read back %s, without detectors %s", err, rs.Hash, back.Hash, plain.Hash)
	}
	if strings.Contains(string(plain.AppendJSON(nil)), "detectors") {
		t.Error("a set without detectors has another form, and hash, than before there were any")
	}
}

func TestDetectorFaults(t *testing.T) {
	for src, want := range map[string]string{
		"- {detector: const, off: true}":                         `detector: "const" is none of const_value, zero_value`,
		"- {detector: jump}":                                     "threshold: missing: give the detector another threshold, or write off: true",
		"- {detector: jump, threshold: 0}":                       "threshold: 0 is not above 0 and up to 1000000",
		"- {detector: jump, threshold: x}":                       `threshold: "x" is not a plain decimal`,
		"- {detector: jump, off: maybe, threshold: 1}":           `off: "maybe" is neither true nor false`,
		"- {detector: jump, off: true, factor: w9}":              `factor: "w9" is not a code of HJ 212-2017 annex B, like w01018`,
		"- {detector: jump, off: true, medium: air}":             `medium: "air" is neither water nor gas`,
		"- {detector: jump, off: true, mn: a b}":                 `mn: "a b" cannot be the MN of a device`,
		"- {detector: jump, limit: 3}":                           `"limit" is not a key of a detector`,
		"off":                                                    "detectors: not a list of detectors: begin each with '- detector: ...'",
		"- jump":                                                 "a detector: not a mapping",
		strings.Repeat("- {detector: jump, off: true}\n  ", 501): "detectors: 501 are more than the 500 of one set",
	} {
		_, err := Parse("r", []byte(good+"\ndetectors:\n  "+src+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", src, err, want)
		}
	}
}
