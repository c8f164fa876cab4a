package fold

import (
	"encoding/binary"

	"outfall/ingest/hj212"
)

// packetSets writes the sets of packets of a device.
func (e *encoder) packetSets(d *device) {
	e.uint(uint64(len(d.done)))
	for _, name := range d.done {
		e.b = binary.LittleEndian.AppendUint64(e.b, name)
	}
	e.uint(uint64(len(d.sets)))
	for _, ps := range d.sets {
		e.bytes(ps.cn)
		e.bytes(ps.qn)
		e.bytes(ps.st)
		e.optional(ps.dataTime)
		e.uint(uint64(ps.flag))
		e.uint(uint64(ps.pnum))
		e.int(ps.opened)
		e.int(ps.received)
		e.bool(ps.news)
		e.uint(uint64(len(ps.packets)))
		for i := range ps.packets {
			p := &ps.packets[i]
			e.uint(uint64(p.pno))
			e.b = binary.LittleEndian.AppendUint64(e.b, p.content)
			e.optional(p.first)
			e.optional(p.last)
			e.bytes(p.cp)
		}
	}
}

// optional writes bytes that can be nil.
func (e *encoder) optional(v []byte) {
	e.bool(v != nil)
	if v != nil {
		e.bytes(v)
	}
}

// packetSets is the inverse of encoder.packetSets.
func (d *decoder) packetSets(dev *device) {
	for n := d.count(); n > 0 && d.err == nil; n-- {
		dev.done = append(dev.done, d.uint64())
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		ps := &packetSet{cn: d.copied(), qn: d.copied(), st: d.copied(), dataTime: d.optional(), flag: hj212.FrameFlag(d.uint()),
			pnum: int(d.uint()), opened: d.int(), received: d.int(), news: d.bool()}
		for k := d.count(); k > 0 && d.err == nil; k-- {
			ps.packets = append(ps.packets, packet{pno: int(d.uint()), content: d.uint64(), first: d.optional(), last: d.optional(), cp: d.copied()})
		}
		dev.sets = append(dev.sets, ps)
	}
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// copied reads bytes that outlive the snapshot.
func (d *decoder) copied() []byte { return append([]byte{}, d.bytes()...) }

func (d *decoder) optional() []byte {
	if !d.bool() {
		return nil
	}
	return d.copied()
}
