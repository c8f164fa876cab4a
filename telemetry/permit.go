package telemetry

import (
	"slices"
	"unicode/utf8"
)

// MaxPermits bounds the limits of one outlet's permit.
const MaxPermits = 64

// maxFact bounds the texts below, bytes.
const maxFact = 200

// A Permit is one limit of an outlet's discharge permit (排污许可证). It takes the place of a rule's limit where it is stricter.
type Permit struct {
	Factor    string    `json:"factor"`    // HJ 212-2017 annex B
	Statistic Statistic `json:"statistic"` // which mean it limits
	Low       *Fixed    `json:"low,omitempty"`
	High      *Fixed    `json:"high,omitempty"` // one of the two or both
	Unit      string    `json:"unit"`           // of the factor table
}

// validateLaw checks what the outlet is judged by.
func (d *Device) validateLaw(bad func(field, format string, a ...any)) {
	for _, t := range []struct{ field, text string }{{"standard", d.Standard}, {"class", d.Class}} {
		if len(t.text) > maxFact || !utf8.ValidString(t.text) {
			bad(t.field, "is longer than %d bytes or not UTF-8", maxFact)
		}
	}
	if d.Class != "" && d.Standard == "" {
		bad("class", "%q is a class of no standard: name the standard too", d.Class)
	}
	if d.Judged != "" && d.Judged != StatHour && d.Judged != StatDay {
		bad("judged", "%q is neither hour nor day", d.Judged)
	}
	if len(d.Permits) > MaxPermits {
		bad("permits", "are %d, at most %d", len(d.Permits), MaxPermits)
		return
	}
	for i := range d.Permits {
		d.Permits[i].validate(bad)
		for _, other := range d.Permits[:i] {
			if other.Factor == d.Permits[i].Factor && other.Statistic == d.Permits[i].Statistic {
				bad("permits", "limit the %s of %s twice", other.Statistic, other.Factor)
			}
		}
	}
}

func (p *Permit) validate(bad func(field, format string, a ...any)) {
	f, known := LookupFactor(p.Factor)
	switch {
	case !known || f.Code != p.Factor:
		bad("permits", "%q is not a code of HJ 212-2017 annex B", p.Factor)
	case f.Unit != p.Unit:
		bad("permits", "%q is not the unit of %s (%s): convert the limit to %s", p.Unit, f.Code, f.NameZH, f.Unit)
	}
	if !slices.Contains(Statistics(), p.Statistic) {
		bad("permits", "%q is no statistic", p.Statistic)
	}
	if p.Low == nil && p.High == nil || p.Low != nil && p.High != nil && *p.Low >= *p.High {
		bad("permits", "%s needs a low or a high limit, the low one below the high one", p.Factor)
	}
	for _, l := range [...]*Fixed{p.Low, p.High} {
		if l != nil && (*l > MaxLimit || *l < -MaxLimit) {
			bad("permits", "%s is beyond ±%s", *l, MaxLimit)
		}
	}
}
