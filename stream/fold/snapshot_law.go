package fold

import (
	"encoding/json"

	"outfall/telemetry"
)

// The form of what an outlet is judged by. Most devices have nothing of it, and their form has nothing of it either.

func hasLaw(r *telemetry.Device) bool {
	return r.Standard != "" || r.Built != 0 || r.Judged != "" || len(r.Permits) > 0
}

func (e *encoder) law(r *telemetry.Device) {
	e.texts(r.Standard, r.Class, string(r.Judged))
	e.uint(uint64(r.Built))
	e.uint(uint64(len(r.Permits)))
	for i := range r.Permits {
		p := &r.Permits[i]
		e.texts(p.Factor, string(p.Statistic), p.Unit)
		e.limit(p.Low)
		e.limit(p.High)
	}
}

func (e *encoder) limit(f *telemetry.Fixed) {
	e.bool(f != nil)
	if f != nil {
		e.int(int64(*f))
	}
}

func (d *decoder) law(r *telemetry.Device) {
	var judged string
	d.texts(&r.Standard, &r.Class, &judged)
	r.Judged, r.Built = telemetry.Statistic(judged), telemetry.Date(d.uint())
	n := d.count()
	if n > telemetry.MaxPermits {
		d.fail("%d permits", n)
	}
	for ; n > 0 && d.err == nil; n-- {
		var p telemetry.Permit
		var stat string
		d.texts(&p.Factor, &stat, &p.Unit)
		p.Statistic = telemetry.Statistic(stat)
		p.Low, p.High = d.limit(), d.limit()
		r.Permits = append(r.Permits, p)
	}
}

func (d *decoder) limit() *telemetry.Fixed {
	if !d.bool() {
		return nil
	}
	f := telemetry.Fixed(d.int())
	return &f
}

func (e *encoder) stack(s *telemetry.Stack) { e.string(string(telemetry.AppendJSON(nil, s))) }

func (d *decoder) stack(r *telemetry.Device) {
	if err := json.Unmarshal([]byte(d.string()), &r.Stack); err != nil || r.Stack == nil {
		d.fail("device %s: stack: %v", r.MN, err)
	}
}
