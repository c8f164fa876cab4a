package fold

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// maxFrame is above every segment that a gateway lets in, so that the fold refuses nothing the gateway took.
const maxFrame = 9999

// frame folds one frame of d (HJ 212-2017 6.3): what it says about the line always counts; its data count once, and only when they are
// the device's own, of a credible time, numeric and marked valid. Everything else becomes a point or a finding.
func (s *State) frame(d *device, e *telemetry.Entry) {
	received := e.Received.UnixMilli()
	s.seen(d, received)
	fr, _, err := hj212.Framer{Tolerant: true, MaxData: maxFrame}.Next(e.Value, true)
	if err == nil {
		err = s.msg.Parse(fr.Data)
	}
	if err != nil {
		s.find(d, telemetry.Finding{Kind: telemetry.FindingReject, Count: 1, Detail: "journal entry is no frame: " + err.Error()})
		return
	}
	m := &s.msg
	if fr.LowerCRC {
		m.Quality |= hj212.LowerCRC
	}
	if !d.known {
		if d.frames == 1 { // once a device; a registry entry starts it afresh
			s.find(d, telemetry.Finding{Kind: telemetry.FindingNoRegistry, CN: string(m.CN), Count: 1, Detail: "the device is not in the registry"})
		}
		return
	}
	s.quality(d, m, received)
	if taker(m.CN) == nil || len(m.Groups) == 0 || s.duplicate(d, m) {
		return
	}
	if !s.groups(d, m, received) {
		d.recent.forget() // sent again when its time is credible, it is no duplicate
	}
}

// An observation is one factor group of one frame: what the device says of one factor at one time.
type observation struct {
	cn     []byte
	qn     []byte
	series *series
	group  *hj212.Group
	at     int64 // DataTime, ms
	valid  bool  // by its data mark (HJ 212-2017 table 8)
	record *record
}

// A record sums up the groups of one frame that are of one time.
type record struct {
	good    bool // every group is numeric and valid
	same    int  // groups whose value came before
	notHeld int  // groups whose slot is filled by a value that is no longer held
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

// groups walks the factor groups and resolves each one's time once. It reports whether every time was taken.
func (s *State) groups(d *device, m *hj212.Message, received int64) (all bool) {
	all = true
	take := taker(m.CN)
	var (
		last  []byte // DataTime of the groups before
		at    int64
		ok    bool
		rec   record
		begun bool
	)
	for i := range m.Groups {
		g := &m.Groups[i]
		if !begun || !bytes.Equal(g.DataTime, last) {
			if begun && ok {
				s.endRecord(d, m, at, &rec)
			}
			last, begun, rec = g.DataTime, true, record{good: true}
			at, ok = s.eventTime(d, m, g.DataTime, received)
			all = all && ok
		}
		if ok {
			take(s, d, &observation{cn: m.CN, qn: m.QN, series: s.seriesOf(d, g.Code, at), group: g, at: at, valid: validMark(m, g.Flag), record: &rec})
		}
	}
	if begun && ok {
		s.endRecord(d, m, at, &rec)
	}
	return all
}

// endRecord marks the slot of a minute record, and reports what of a record had been there: once a record, whatever its factors.
func (s *State) endRecord(d *device, m *hj212.Message, at int64, rec *record) {
	if string(m.CN) == "2051" {
		s.markSlot(d, at, rec.good)
	}
	if rec.same+rec.notHeld == 0 {
		return
	}
	s.stats.Duplicates++
	f := telemetry.Finding{Kind: telemetry.FindingDuplicate, CN: string(m.CN), QN: printable(m.QN), Start: msTimePtr(at), Count: int64(rec.same + rec.notHeld)}
	if rec.notHeld > 0 {
		f.Detail = fmt.Sprintf("%d factors are recorded for this time with values no longer held, so not compared; ignored", rec.notHeld)
	} else {
		f.Detail = fmt.Sprintf("%d factors came before with the same values; ignored", rec.same)
	}
	s.find(d, f)
}

// validMark reports whether a data mark lets a value into the averages: N, or no mark at all as 2005 devices send; for the air stations
// of 2005 also 1 and 3 (HJ/T 212-2005 6.3.3.2.3).
func validMark(m *hj212.Message, flag []byte) bool {
	switch string(flag) {
	case "", "N":
		return true
	case "1", "3":
		return string(m.ST) == "22" && m.Flag.Version() == 0
	}
	return false
}

// eventTime reads a DataTime and applies the clock guard: a time that cannot be believed moves nothing.
func (s *State) eventTime(d *device, m *hj212.Message, text []byte, received int64) (ms int64, ok bool) {
	bad := func(kind telemetry.FindingKind, format string, a ...any) (int64, bool) {
		f := telemetry.Finding{Kind: kind, CN: string(m.CN), QN: printable(m.QN), Count: 1, Detail: fmt.Sprintf(format, a...)}
		if kind != telemetry.FindingBadTime {
			f.Start = msTimePtr(ms)
		}
		s.find(d, f)
		return 0, false
	}
	t, ok := hj212.ParseTime(text)
	if !ok {
		return bad(telemetry.FindingBadTime, "DataTime %q is no time", printable(text))
	}
	switch ms = t.UnixMilli(); {
	case ms > received+futureMs:
		return bad(telemetry.FindingFuture, "DataTime is %d s ahead of its receipt", (ms-received)/1000)
	case ms < received-horizonMs:
		return bad(telemetry.FindingTooOld, "DataTime is %d h behind its receipt, horizon %d h", (received-ms)/3_600_000, int64(horizonMs/3_600_000))
	}
	d.lastData = max(d.lastData, ms)
	return ms, true
}

// printable keeps a finding's JSON readable whatever a device sent.
func printable(b []byte) string {
	const most = 40
	if len(b) > most {
		b = b[:most]
	}
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return '?'
		}
		return r
	}, string(b))
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

// duplicate tells a resend from news: the same CN, packet and CP again, under whatever QN.
func (s *State) duplicate(d *device, m *hj212.Message) bool {
	f := recentFrame{content: hash(hash(hash(hashSeed, m.CN), strconv.AppendInt(nil, int64(m.PNO), 10)), m.CP)}
	if len(m.QN) > 0 {
		f.qn = hash(hash(hashSeed, m.CN), m.QN)
	}
	same, reused := d.recent.seen(f)
	switch {
	case same:
		s.stats.Duplicates++
		s.find(d, telemetry.Finding{Kind: telemetry.FindingDuplicate, CN: string(m.CN), QN: printable(m.QN), Count: 1,
			Detail: "the frame came before; ignored"})
	case reused && d.quality&reusedQNBit == 0:
		d.quality |= reusedQNBit
		s.find(d, telemetry.Finding{Kind: telemetry.FindingQuality, CN: string(m.CN), QN: printable(m.QN), Count: 1,
			Detail: "the QN came before with other content"})
	}
	return same
}

// reusedQNBit is the one quality of the fold's own, beside hj212.Quality's.
const reusedQNBit = 1 << 31

// hash is FNV-1a, 64 bits: it only has to tell a device's last few frames apart, and must be the same for ever.
func hash(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return (h ^ 0xff) * 1099511628211 // a terminator, so that "ab","c" is not "a","bc"
}

const hashSeed uint64 = 14695981039346656037
