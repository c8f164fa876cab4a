package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// param_change (参数变更): a parameter of an instrument (3020, 3021: measuring range i13001, slope i13008, intercept i13007, digestion i13004 and
// i13005, and every other i13 code) differs from its newest report. The threshold is a share, 10 %: a change beyond it is told at any time, a smaller
// one unless a minute of the hour, or of the one before, is marked C or M. Proposed; that parameters must equal what is filed: 现场监督检查技术指南
// 2012 and Order 19.
//
// Guards: the first report of a parameter is no change; the time of calibration (i13006) changes by nature. An hour with a mark of maintenance excuses all of
// them.
var paramChangeDefault = threshold{gas: 100_000, water: 100_000, source: proposed}

// A param is the newest report of one parameter of one factor's instrument.
type param struct {
	factor, code string
	value        telemetry.Fixed
}

// Bounds of what a device can make a Watch keep.
const (
	maxParams   = 64
	maxCodeText = 24
)

// changes is the greatest change since the newest hour.
type changes struct {
	count    uint16
	share    telemetry.Fixed
	from, to telemetry.Fixed
	what     uint8 // place in params
}

// calibrationTime is the parameter that is a time.
const calibrationTime = "i13006"

// Param notes a parameter of the instrument of a factor, as reported or as set. It reports whether it is taken.
func (w *Watch) Param(factor, code string, value telemetry.Fixed) bool {
	d := &w.device
	if code == calibrationTime || len(code) > maxCodeText || len(factor) > maxCodeText {
		return false
	}
	value = bounded(value)
	for i := range d.params {
		p := &d.params[i]
		if p.factor != factor || p.code != code {
			continue
		}
		if share := apart(value, p.value); share > 0 {
			d.changed.count = min(d.changed.count+1, 60_000)
			if share > d.changed.share {
				d.changed.share, d.changed.from, d.changed.to, d.changed.what = share, p.value, value, uint8(i)
			}
			p.value = value
		}
		return true
	}
	if len(d.params) >= maxParams {
		return false
	}
	d.params = append(d.params, param{factor, code, value})
	return true
}

// The parameters that are facts for the detectors.
const (
	paramRange = "i13001"
	paramLOD   = "i13009"
)

// Learned is what the instrument of a factor has reported of itself; 0: nothing.
func (w *Watch) Learned(factor string) (measuringRange, lod telemetry.Fixed) {
	for i := range w.device.params {
		if p := &w.device.params[i]; p.factor == factor {
			switch p.code {
			case paramRange:
				measuringRange = p.value
			case paramLOD:
				lod = p.value
			}
		}
	}
	return measuringRange, lod
}

func (c *scan) paramChange(d *deviceWatch) {
	k := d.changed
	d.changed = changes{}
	limit, on, p := c.limitOf(paramChange), false, param{}
	if k.count > 0 {
		p = d.params[k.what]
		on = c.hour.Marks&MarkInstrument == 0 && (k.share > limit || !c.worked(p.factor))
	}
	c.judge(&d.open, paramChange, p.factor, verdict{on: on, value: k.share, quiet: 60}, limit, func() string {
		return fmt.Sprintf("%s of %s from %s to %s; %d parameters changed in the hour", p.code, p.factor, k.from, k.to, k.count)
	})
}

// worked reports whether a minute of the hour or the one before is marked as calibration or maintenance, of the factor or, where it is not named, of any.
func (c *scan) worked(factor string) bool {
	for i := range c.hour.Series {
		h := &c.hour.Series[i]
		if factor != "" && h.Factor != factor {
			continue
		}
		s := c.w.at(h.Column)
		for _, hour := range [...]int64{c.hour.Index, c.hour.Index - 1} {
			if f := s.flagsOf(hour); f.counts[flagC]+f.counts[flagM] > 0 {
				return true
			}
		}
	}
	return false
}
