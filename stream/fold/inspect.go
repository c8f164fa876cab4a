package fold

import (
	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/telemetry"
)

// What follows looks into a state and changes nothing: it serves replays, which must say whose outputs are whose and which frames they
// come from.

// Device is the newest registry entry of an MN, also when it has taken the device out. ok is false when there was none.
func (s *State) Device(mn string) (reg telemetry.Device, ok bool) {
	if d := s.devices[mn]; d != nil && d.reg.MN != "" {
		return d.reg, true
	}
	return telemetry.Device{}, false
}

// EachDevice calls fn with the newest registry entry of every device that has one, in no order. fn must not keep it.
func (s *State) EachDevice(fn func(*telemetry.Device)) {
	for _, d := range s.devices {
		if d.reg.MN != "" {
			fn(&d.reg)
		}
	}
}

// Rule is the rule of an id in the set in force, nil when there is none.
func (s *State) Rule(id string) *rules.Rule {
	for i := range s.ruleList() {
		if s.rules.Rules[i].ID == id {
			return &s.rules.Rules[i]
		}
	}
	return nil
}

// A Carried is what a frame says of one factor at one time, as Apply would read it at this point of the journal. Texts are as sent.
type Carried struct {
	CN, QN   string
	DataTime string // empty: a packet that leaves its time to the packets before it; At, Start and End are then zero
	Packet   int    // PNO of a set of packets, else 0
	Factor   string // as in outputs
	At       int64  // the record's time, ms
	Start    int64  // of the minute slot that holds At, [Start, End), ms
	End      int64
	Text     string // the value: Rtd of CN 2011, Avg of the others; empty when it is not there
	Value    telemetry.Fixed
	Numeric  bool // Value is good
	Mark     string
	Valid    bool // by its mark
	Known    bool // the device is in the registry; frames of others are not counted
}

// Carries calls fn with all that a frame carries for the windows, counted or not. It says nothing of entries that are no frame or cannot
// be read, and leaves out groups whose time is none.
func (s *State) Carries(e *telemetry.Entry, fn func(*Carried)) {
	if e.Kind != telemetry.KindFrame {
		return
	}
	fr, _, err := journalFramer.Next(e.Value, true)
	var m hj212.Message
	if err != nil || m.Parse(fr.Data) != nil || taker(m.CN) == nil {
		return
	}
	d := s.devices[e.MN]
	if d == nil {
		d = newDevice(e.MN, 0)
	}
	legacy := d.legacyMarks(&m)
	suffix := hj212.Avg
	if string(m.CN) == "2011" {
		suffix = hj212.Rtd
	}
	for i := range m.Groups {
		g := &m.Groups[i]
		c := Carried{CN: string(m.CN), QN: printable(m.QN), DataTime: printable(g.DataTime), Text: printable(g.Values[suffix].Text),
			Mark: printable(g.Flag), Valid: validMark(g.Flag, legacy), Known: d.known}
		if m.PNUM > 1 {
			c.Packet = m.PNO
		}
		if g.DataTime != nil {
			var ok bool
			if c.At, ok = d.timeOf(m.CN, g.DataTime); !ok {
				continue
			}
			size := d.interval() * 60_000
			c.Start = c.At / size * size
			c.End = c.Start + size
		}
		sr := series{name: &name{factor: factorName(g.Code)}}
		if f, known := telemetry.LookupFactor(string(g.Code)); known {
			sr.factor, sr.unit = f.Code, f.Unit
		}
		c.Factor = sr.factor
		o := observation{cn: m.CN, series: &sr, group: g, scale: d.scaleOf(g.Code)}
		c.Value, c.Numeric = o.fixed(suffix)
		fn(&c)
	}
}
