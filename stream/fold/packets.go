package fold

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// Bounds of the sets of packets of one device that wait for the rest.
const (
	setKeptMs    = 600_000  // of log time: a set of nine packets, each tried four times at 10 s, takes six minutes
	maxSets      = 8        // at a time
	maxSetSize   = 64       // packets; 2025 allows nine
	maxHeld      = 64 << 10 // bytes of CP
	maxDone      = 64       // packets of complete sets remembered, to know one that comes again
	maxQN        = 64       // bytes of a QN that tell sets apart
	bigPacketBit = 1 << 29  // of device.quality
)

// A packetSet is a message of several packets (PNUM > 1) that are not all there. A packet with a DataTime of its own is a complete record
// (HJ 212-2017 C.20) and is applied when it comes; one without waits here until the packets before it tell its time.
type packetSet struct {
	cn, qn, st []byte
	dataTime   []byte // as sent, of the set's first packet that has one; nil: none yet
	flag       hj212.FrameFlag
	pnum       int
	opened     int64    // log clock, ms
	received   int64    // receipt of the newest packet, ms
	news       bool     // not all of it was there before
	packets    []packet // by PNO
}

// A packet is what is remembered of one packet of a set.
type packet struct {
	pno         int
	content     uint64 // see contentOf
	first, last []byte // its own DataTimes as sent; nil: it has none
	cp          []byte // nil when it has a DataTime
}

// find is the place of a packet in the set.
func (ps *packetSet) find(pno int) (i int, found bool) {
	return slices.BinarySearchFunc(ps.packets, pno, func(p packet, pno int) int { return p.pno - pno })
}

// held is the number of bytes of CP that the set holds.
func (ps *packetSet) held() (n int) {
	for i := range ps.packets {
		n += len(ps.packets[i].cp)
	}
	return n
}

// hash names a packet of the set, for device.done.
func (ps *packetSet) hash(content uint64) uint64 {
	return hash(hash(content, ps.cn), ps.qn)
}

// clip is a copy of at most n bytes.
func clip(b []byte, n int) []byte { return bytes.Clone(b[:min(len(b), n)]) }

// setOf finds or opens the set of a packet: the one of its QN, or the one of its DataTime, as each packet may have a QN of its own. Where
// there is no QN at all, the newest set without one that has place for the packet. nil: the packet is of a set that is complete.
func (s *State) setOf(d *device, m *hj212.Message, content uint64) *packetSet {
	qn := m.QN[:min(len(m.QN), maxQN)]
	for _, ps := range slices.Backward(d.sets) {
		if ps.pnum != m.PNUM || !bytes.Equal(ps.cn, m.CN) {
			continue
		}
		switch {
		case len(qn) > 0 && bytes.Equal(ps.qn, qn), m.DataTime != nil && bytes.Equal(ps.dataTime, m.DataTime):
			return ps
		case len(qn) == 0 && len(ps.qn) == 0 && (m.DataTime == nil || ps.dataTime == nil):
			if i, found := ps.find(m.PNO); !found || ps.packets[i].content == content {
				return ps
			}
		}
	}
	ps := &packetSet{cn: bytes.Clone(m.CN), qn: clip(qn, maxQN), st: clip(m.ST, 8), flag: m.Flag, pnum: m.PNUM, opened: s.nowMs()}
	if slices.Contains(d.done, ps.hash(content)) {
		return nil
	}
	if len(d.sets) == maxSets {
		oldest := d.sets[0]
		if i := slices.IndexFunc(d.sets, func(x *packetSet) bool { return !x.news }); i >= 0 {
			oldest = d.sets[i]
		}
		s.closeSet(d, oldest, fmt.Sprintf("before there were more than %d sets", maxSets))
	}
	d.sets = append(d.sets, ps)
	return ps
}

// contentOf is the hash of a packet's number and CP.
func contentOf(m *hj212.Message) uint64 {
	return hash(hash(hashSeed, binary.BigEndian.AppendUint32(nil, uint32(m.PNUM)<<16|uint32(m.PNO))), m.CP)
}

// hold takes a packet without a DataTime of its own.
func (s *State) hold(d *device, m *hj212.Message, received int64) {
	if m.PNUM > maxSetSize {
		if d.quality&bigPacketBit == 0 {
			d.quality |= bigPacketBit
			s.find(d, telemetry.Finding{Kind: telemetry.FindingPackets, CN: string(m.CN), QN: printable(m.QN), Count: 1,
				Detail: fmt.Sprintf("packet without a DataTime in a set of %d, at most %d are put together: not counted; first of the day", m.PNUM, maxSetSize)})
		}
		return
	}
	content := contentOf(m)
	ps := s.setOf(d, m, content)
	if ps == nil {
		s.foundDuplicate(d, m)
		return
	}
	i, found := ps.find(m.PNO)
	if found {
		if ps.packets[i].content == content {
			s.foundDuplicate(d, m)
			return
		}
		s.find(d, telemetry.Finding{Kind: telemetry.FindingConflict, CN: string(m.CN), QN: printable(m.QN), Count: 1,
			Detail: fmt.Sprintf("packet %d of %d came before with other content; ignored", m.PNO, m.PNUM)})
		return
	}
	ps.news = true
	s.addPacket(d, ps, i, packet{pno: m.PNO, content: content, cp: bytes.Clone(m.CP)}, received)
}

// notePacket notes a packet with a DataTime of its own, which has been applied; news: not all of it was there before.
func (s *State) notePacket(d *device, m *hj212.Message, received int64, news bool) {
	if m.PNUM > maxSetSize {
		return
	}
	content := contentOf(m)
	ps := s.setOf(d, m, content)
	if ps == nil {
		return
	}
	i, found := ps.find(m.PNO)
	if found {
		return
	}
	p := packet{pno: m.PNO, content: content, first: clip(m.DataTime, maxQN)}
	p.last = p.first
	for i := range m.Pairs {
		if bytes.EqualFold(m.Pairs[i].Key, []byte("DataTime")) {
			p.last = clip(m.Pairs[i].Value, maxQN)
		}
	}
	if ps.dataTime == nil {
		ps.dataTime = p.first
	}
	ps.news = ps.news || news
	s.addPacket(d, ps, i, p, received)
}

// addPacket puts a packet into its place and closes the set when it is complete. While the device holds too much, its oldest sets go.
func (s *State) addPacket(d *device, ps *packetSet, i int, p packet, received int64) {
	ps.packets = slices.Insert(ps.packets, i, p)
	ps.received = received
	if len(ps.packets) == ps.pnum {
		s.closeSet(d, ps, "")
	}
	for held := d.heldBytes(); held > maxHeld; held = d.heldBytes() {
		s.closeSet(d, d.sets[0], fmt.Sprintf("before the device's packets had more than %d bytes", maxHeld))
	}
}

func (d *device) heldBytes() (n int) {
	for _, ps := range d.sets {
		n += ps.held()
	}
	return n
}

// setsDue is when the oldest set is given up.
func (d *device) setsDue() int64 {
	due := int64(never)
	for _, ps := range d.sets {
		due = min(due, ps.opened+setKeptMs)
	}
	return due
}

// closeOldSets gives up the sets that did not become complete in time.
func (s *State) closeOldSets(d *device, now int64) {
	for i := 0; i < len(d.sets); {
		if ps := d.sets[i]; now >= ps.opened+setKeptMs {
			s.closeSet(d, ps, fmt.Sprintf("within %d s", setKeptMs/1000))
			continue
		}
		i++
	}
}

// closeSet takes a set out and applies what it holds, as far as its time is known. why says what came before its missing packets.
func (s *State) closeSet(d *device, ps *packetSet, why string) {
	d.sets = slices.DeleteFunc(d.sets, func(x *packetSet) bool { return x == ps })
	complete := len(ps.packets) == ps.pnum
	if complete && len(ps.qn) > 0 { // without a QN the same bytes may be another set's
		for i := range ps.packets {
			d.done = append(d.done, ps.hash(ps.packets[i].content))
		}
		d.done = slices.Delete(d.done, 0, max(0, len(d.done)-maxDone))
	}
	out := s.applyHeld(d, ps, complete)
	if complete || !ps.news {
		return
	}
	f := telemetry.Finding{Kind: telemetry.FindingPackets, CN: string(ps.cn), QN: printable(ps.qn), Count: int64(ps.pnum - len(ps.packets)),
		Detail: fmt.Sprintf("%d of %d packets came %s; missing PNO %s", len(ps.packets), ps.pnum, why, ps.missing())}
	if out > 0 {
		f.Detail += fmt.Sprintf("; %d packets whose DataTime is not known for it are not counted", out)
	}
	if at, ok := d.timeOf(ps.cn, ps.dataTime); ok {
		f.Start = msTimePtr(at)
	}
	s.find(d, f)
}

// missing lists the packet numbers that did not come: "2, 5-7".
func (ps *packetSet) missing() string {
	var spans []string
	next := 1
	gap := func(to int) {
		switch {
		case to == next+1:
			spans = append(spans, fmt.Sprint(next))
		case to > next:
			spans = append(spans, fmt.Sprintf("%d-%d", next, to-1))
		}
	}
	for i := range ps.packets {
		gap(ps.packets[i].pno)
		next = ps.packets[i].pno + 1
	}
	gap(ps.pnum + 1)
	return strings.Join(spans, ", ")
}

// applyHeld applies the packets without a DataTime in the order of PNO, as one message for each DataTime, as if their CPs had been one: a
// packet is of the DataTime that stands before it in the set, and before the first one of that. out counts those whose DataTime a missing
// packet may have had.
func (s *State) applyHeld(d *device, ps *packetSet, complete bool) (out int) {
	at := ps.leading()
	var run []byte
	apply := func() {
		if len(run) > 0 {
			s.applyRun(d, ps, at, run)
			run = run[:0]
		}
	}
	for i, next := 0, 1; i < len(ps.packets); i++ {
		p := &ps.packets[i]
		if p.pno != next {
			apply()
			at = nil
		}
		next = p.pno + 1
		switch {
		case p.first != nil:
			apply()
			at = p.last
		case at == nil && !complete:
			out++
		default:
			run = append(append(run, p.cp...), ';')
		}
	}
	apply()
	return out
}

// leading is the DataTime of what stands before the set's first DataTime; nil when a packet is missing before that.
func (ps *packetSet) leading() []byte {
	for i := range ps.packets {
		p := &ps.packets[i]
		if p.pno != i+1 {
			return nil
		}
		if p.first != nil {
			return p.first
		}
	}
	return nil
}

// applyRun applies CPs that belong together; at is nil when a complete set has no DataTime at all.
func (s *State) applyRun(d *device, ps *packetSet, at, cps []byte) {
	b := append(s.joined[:0], "CP=&&"...)
	if at != nil {
		b = append(append(append(b, "DataTime="...), at...), ';')
	}
	b = append(append(b, cps...), "&&"...)
	s.joined = b
	m := &s.joinedMsg
	if m.Parse(b) != nil {
		return // a CP without a single field: nothing is lost
	}
	m.QN, m.ST, m.CN, m.Flag, m.HasFlag = ps.qn, ps.st, ps.cn, ps.flag, true
	s.groups(d, m, ps.received)
}
