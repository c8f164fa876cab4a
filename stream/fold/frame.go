package fold

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// journalFramer reads what a gateway has taken: its length, its CRC in the device's own dialect and its tail were judged there.
var journalFramer = hj212.Framer{Tolerant: true, CRC: hj212.DialectNone, MaxData: 9999}

// frame folds one frame of d (HJ 212-2017 6.3): what it says about the line always counts; its data count once, and only when they are
// the device's own, of a credible time, numeric and marked valid. Everything else becomes a point or a finding.
func (s *State) frame(d *device, e *telemetry.Entry) {
	received := e.Received.UnixMilli()
	s.reads += d.fetch()
	s.seen(d, received)
	fr, _, err := journalFramer.Next(e.Value, true)
	if err == nil {
		err = s.msg.Parse(fr.Data)
	}
	if err != nil {
		s.find(d, telemetry.Finding{Kind: telemetry.FindingReject, Count: 1, Detail: "journal entry is no frame: " + err.Error()})
		return
	}
	m := &s.msg
	m.Quality |= fr.Quality()
	if !d.known {
		if d.frames == 1 { // once a device; a registry entry starts it afresh
			s.find(d, telemetry.Finding{Kind: telemetry.FindingNoRegistry, CN: string(m.CN), Count: 1, Detail: "the device is not in the registry"})
		}
		return
	}
	s.quality(d, m, received)
	if taker(m.CN) == nil {
		if w := d.watcher; w != nil && (string(m.CN) == "3020" || string(m.CN) == "3021") {
			s.watchParams(w, d, m)
		}
		return
	}
	packet := m.PNUM > 1 && m.PNO > 0 && m.PNO <= m.PNUM
	if packet && m.DataTime == nil {
		s.hold(d, m, received)
		return
	}
	news := len(m.Groups) > 0 && !s.duplicate(d, m)
	if news {
		var credible bool
		if credible, news = s.groups(d, m, received); !credible {
			d.recent.forget() // sent again when its time is credible, it is no duplicate
		}
	}
	if packet {
		s.notePacket(d, m, received, news)
	}
}

// An observation is one factor group of one frame: what the device says of one factor at one time.
type observation struct {
	cn     []byte
	qn     []byte
	series *series
	group  *hj212.Group
	at     int64 // the record's time, see device.timeOf
	scale  int   // power of ten that the registry has for the code
	valid  bool  // by its data mark (HJ 212-2017 table 8)
	record *record
}

// A record sums up the groups of one frame that are of one time.
type record struct {
	good    bool // every group is numeric and valid
	groups  int
	same    int // groups whose value came before
	notHeld int // groups whose slot is filled by a value that is no longer held
}

// taker is what a data command's factor groups go to; nil: the command carries none of ours.
func taker(cn []byte) func(*State, *device, *observation) {
	switch string(cn) {
	case "2011":
		return (*State).instant
	case "2051":
		return (*State).minuteRecord
	case "2061", "2031":
		return (*State).reported
	}
	return nil
}

// commandName is the text of a command that taker knows.
func commandName(cn []byte) string {
	switch string(cn) {
	case "2011":
		return "2011"
	case "2051":
		return "2051"
	case "2061":
		return "2061"
	}
	return "2031"
}

// groups walks the factor groups and resolves each one's time once. It reports whether every time was taken, and whether any group was
// more than what had been there before.
func (s *State) groups(d *device, m *hj212.Message, received int64) (all, news bool) {
	all = true
	take := taker(m.CN)
	if len(m.Groups) > len(d.order) {
		d.expect(len(m.Groups))
	}
	legacy := d.legacyMarks(m)
	var (
		last  []byte // DataTime of the groups before
		at    int64
		ok    bool
		begun bool
		rec   = &s.rec

		perMinute = string(m.CN) == "2051" || string(m.CN) == "2011"
	)
	for i := range m.Groups {
		g := &m.Groups[i]
		if !begun || !bytes.Equal(g.DataTime, last) {
			if begun && ok {
				news = s.endRecord(d, m, at, rec) || news
			}
			last, begun, *rec = g.DataTime, true, record{good: true}
			at, ok = s.eventTime(d, m, g.DataTime, received)
			all = all && ok
			if ok && string(m.CN) == "2051" {
				minute := d.slotOf(at) * d.interval()
				s.reads += d.rings.Fetch(minute/d.interval(), 60/d.interval(), minute/60, dayOf(minute))
			}
		}
		if ok {
			rec.groups++
			s.obs = observation{cn: m.CN, qn: m.QN, series: s.seriesOf(d, i, g.Code, at), group: g, at: at, scale: d.scaleOf(g.Code),
				valid: validMark(g.Flag, legacy), record: rec}
			take(s, d, &s.obs)
			if w := d.watcher; w != nil && (!s.obs.valid || g.SampleTime != nil || !perMinute) {
				s.watchGroup(w, d, &s.obs)
			}
		}
	}
	if begun && ok {
		news = s.endRecord(d, m, at, rec) || news
	}
	return all, news
}

// endRecord marks the slot of a minute record, and finds what of a record had been there: once a record, whatever its factors. It reports
// whether something of it had not.
func (s *State) endRecord(d *device, m *hj212.Message, at int64, rec *record) (news bool) {
	if string(m.CN) == "2051" {
		s.markSlot(d, at, rec.good)
	}
	if rec.same+rec.notHeld == 0 {
		return true
	}
	s.stats.Duplicates++
	f := telemetry.Finding{Kind: telemetry.FindingDuplicate, CN: string(m.CN), QN: printable(m.QN), Start: msTimePtr(at), Count: int64(rec.same + rec.notHeld)}
	if rec.notHeld > 0 {
		f.Detail = fmt.Sprintf("%d factors are recorded for this time with values no longer held, so not compared; ignored", rec.notHeld)
	} else {
		f.Detail = fmt.Sprintf("%d factors came before with the same values; ignored", rec.same)
	}
	s.find(d, f)
	return rec.groups > rec.same+rec.notHeld
}

// eventTime reads a DataTime and applies the clock guard: a time that cannot be believed moves nothing. That a frame is a backfill (RF=1 of
// HJ 212-2025) changes nothing: late data are taken as far as the horizon whether marked so or not, and beyond it their loss is found.
func (s *State) eventTime(d *device, m *hj212.Message, text []byte, received int64) (ms int64, ok bool) {
	bad := func(kind telemetry.FindingKind, format string, a ...any) (int64, bool) {
		f := telemetry.Finding{Kind: kind, CN: string(m.CN), QN: printable(m.QN), Count: 1, Detail: fmt.Sprintf(format, a...)}
		if kind != telemetry.FindingBadTime {
			f.Start = msTimePtr(ms)
		}
		s.find(d, f)
		return 0, false
	}
	if ms, ok = d.timeOf(m.CN, text); !ok {
		return bad(telemetry.FindingBadTime, "DataTime %q is no time", printable(text))
	}
	if w := d.watcher; w != nil && string(m.CN) == "2011" {
		w.Realtime(ms, received)
	}
	switch {
	case ms > received+futureMs:
		return bad(telemetry.FindingFuture, "DataTime is %d s ahead of its receipt", (ms-received)/1000)
	case ms < received-horizonMs:
		return bad(telemetry.FindingTooOld, "DataTime is %d h behind its receipt, horizon %d h", (received-ms)/3_600_000, int64(horizonMs/3_600_000))
	}
	d.lastData = max(d.lastData, ms)
	return ms, true
}

// printable keeps a finding's JSON readable whatever a device sent.
func printable(b []byte) string { return legible(string(b[:min(len(b), 40)]), 40) }

// legible cuts a text to so many bytes and replaces what cannot be printed.
func legible(text string, most int) string {
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return '?'
		}
		return r
	}, text[:min(len(text), most)])
}

// quality reports odd forms of frames, each form once a device and day of receipt.
func (s *State) quality(d *device, m *hj212.Message, received int64) {
	day := dayOf(received / 60_000)
	if day != d.qualDay {
		d.qualDay, d.quality = day, 0
	}
	news := m.Quality &^ hj212.Quality(d.quality)
	if news == 0 {
		return
	}
	d.quality |= uint32(news)
	s.find(d, telemetry.Finding{Kind: telemetry.FindingQuality, CN: printable(m.CN), QN: printable(m.QN), Count: 1, Detail: strings.Join(news.Names(), ", ")})
}

// duplicate tells a resend from news: the same CN, packet and CP again, under whatever QN. The packets of a set may have one QN.
func (s *State) duplicate(d *device, m *hj212.Message) bool {
	var pno [2]byte
	binary.BigEndian.PutUint16(pno[:], uint16(m.PNO))
	f := recentFrame{content: hash(hash(hash(hashSeed, m.CN), pno[:]), m.CP)}
	if len(m.QN) > 0 {
		f.qn = hash(hash(hash(hashSeed, m.CN), pno[:]), m.QN)
	}
	same, reused := d.recent.seen(f)
	switch {
	case same:
		s.foundDuplicate(d, m)
	case reused && d.quality&reusedQNBit == 0:
		d.quality |= reusedQNBit
		s.find(d, telemetry.Finding{Kind: telemetry.FindingQuality, CN: string(m.CN), QN: printable(m.QN), Count: 1,
			Detail: "the QN came before with other content"})
	}
	return same
}

func (s *State) foundDuplicate(d *device, m *hj212.Message) {
	s.stats.Duplicates++
	s.find(d, telemetry.Finding{Kind: telemetry.FindingDuplicate, CN: string(m.CN), QN: printable(m.QN), Count: 1, Detail: "the frame came before; ignored"})
}

// reusedQNBit is the one quality of the fold's own, beside hj212.Quality's.
const reusedQNBit = 1 << 31

// hash goes on from h with b, eight bytes at a time: it only has to tell a device's last few frames apart, and must be the same for ever.
// The length goes in, so that "ab","c" is not "a","bc". Texts that differ within one word never have the same hash: every step can be undone.
func hash(h uint64, b []byte) uint64 {
	h = mix(h, uint64(len(b)))
	for ; len(b) >= 8; b = b[8:] {
		h = mix(h, binary.LittleEndian.Uint64(b))
	}
	var rest uint64
	for i, c := range b {
		rest |= uint64(c) << (8 * i)
	}
	return mix(h, rest)
}

// mix spreads w over all bits: the multiplication upwards, the shift back down.
func mix(h, w uint64) uint64 {
	h = (h ^ w) * 0x9E3779B97F4A7C15 // odd: 2^64 by the golden ratio
	return h ^ h>>32
}

const hashSeed uint64 = 14695981039346656037
