package fold

func (e *encoder) openSlot(o *openSlot) {
	e.int(o.slot)
	e.bool(o.record)
	e.sum(&o.total)
}

func (d *decoder) openSlots(dev *device, sr *series) {
	n := d.uint()
	if n > openSlots {
		d.fail("%s %s: %d open slots", dev.mn, sr.key, n)
	}
	var open []openSlot
	for ; n > 0 && d.err == nil; n-- {
		open = append(open, openSlot{slot: d.int(), is: true, record: d.bool(), total: d.sum()})
		if k := len(open); k > 1 && open[k-1].slot <= open[k-2].slot {
			d.fail("%s %s: open slots out of order", dev.mn, sr.key)
		}
	}
	sr.now.slot = d.slot()
	if k := len(open); k > 0 && d.err == nil {
		switch last := open[k-1]; {
		case last.slot > sr.now.slot:
			d.fail("%s %s: an open slot after the newest", dev.mn, sr.key)
		case last.slot == sr.now.slot:
			sr.now, open = last, open[:k-1]
		}
	}
	sr.open, sr.older = open, uint8(len(open))
}
