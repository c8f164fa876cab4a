package rules

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"outfall/telemetry"
)

// MaxTunings bounds the tunings of a rule set.
const MaxTunings = 500

// A Tuning changes a detector for the devices and factors that its selectors match: another threshold, or none of it. Of several that match
// the last counts.
type Tuning struct {
	Detector  telemetry.Detector `json:"detector"`
	MN        string             `json:"mn,omitempty"`
	Outlet    string             `json:"outlet,omitempty"`
	Medium    string             `json:"medium,omitempty"` // selectors: empty matches any
	Factor    string             `json:"factor,omitempty"`
	Threshold *telemetry.Fixed   `json:"threshold,omitempty"` // in the detector's unit, above 0 up to a million; nil: the default
	Off       bool               `json:"off,omitempty"`
}

// maxThreshold bounds a threshold.
const maxThreshold = 1_000_000 * telemetry.FixedOne

// Applies reports whether the tuning is for a factor of a device.
func (t *Tuning) Applies(d *telemetry.Device, factor string) bool {
	return (t.MN == "" || t.MN == d.MN) && (t.Outlet == "" || t.Outlet == d.Outlet) && (t.Medium == "" || t.Medium == d.Medium) &&
		(t.Factor == "" || t.Factor == factor)
}

// Faults lists everything that makes the tuning meaningless in itself.
func (t *Tuning) Faults() []Fault {
	var list []Fault
	bad := func(field, format string, a ...any) { list = append(list, Fault{field, fmt.Sprintf(format, a...)}) }
	if !slices.Contains(telemetry.Detectors(), t.Detector) {
		bad("detector", "%q is none of %s", t.Detector, join(telemetry.Detectors()))
	}
	if t.Threshold == nil && !t.Off {
		bad("threshold", "missing: give the detector another threshold, or write off: true")
	}
	if v := t.Threshold; v != nil && (*v <= 0 || *v > maxThreshold) {
		bad("threshold", "%s is not above 0 and up to %s", v, maxThreshold)
	}
	if t.Medium != "" && t.Medium != "water" && t.Medium != "gas" {
		bad("medium", "%q is neither water nor gas", t.Medium)
	}
	if t.MN != "" && !telemetry.ValidMN(t.MN) {
		bad("mn", "%q cannot be the MN of a device", t.MN)
	}
	if len(t.Outlet) > maxText || !utf8.ValidString(t.Outlet) {
		bad("outlet", "is longer than %d bytes or not UTF-8", maxText)
	}
	return list
}
