package fold

import (
	"fmt"
	"math"

	"outfall/stream/integrity"
	"outfall/stream/window"
	"outfall/telemetry"
)

// presence is what the offline timer knows of a device.
type presence uint8

const (
	unseen  presence = iota // registered, no frame yet
	online                  // a frame within OfflineAfter
	offline                 // said so by a finding
)

// never is a deadline that does not come.
const never = math.MaxInt64

// A device is the state of one data logger. Times are milliseconds since 1970, windows are counted by their index.
type device struct {
	mn        string
	reg       telemetry.Device
	known     bool   // in the registry
	heapIndex int    // place in State.due
	tags      string // of every line: mn and outlet, in line protocol; empty: not made yet
	out       uint64 // State.epoch of the newest snapshot that has the device, or that it is too new for

	presence  presence
	since     int64 // first sight
	lastFrame int64 // receipt; 0: none
	lastData  int64 // greatest DataTime taken
	frames    int64
	first     int64 // receipt of the first frame since the device is in the registry; 0: none. What was before it is no gap.
	rejects   int64

	secondAt   int64 // log clock of the newest finding about a second connection; 0: none
	secondMore int64 // second connections since, not found

	sets    []*packetSet // oldest first
	done    []uint64     // packets of complete sets, oldest first
	recent  recentRing
	slots   integrity.Slots
	hours   window.Marks // completeness of hours
	days    window.Marks
	series  []series // sorted by key
	rings   window.Rings
	order   []uint8 // places in series of the newest frame's groups: the next has mostly the same ones
	dirty   bool    // a closed window changed: publish it at the next tick
	quality uint32  // odd forms reported on qualityDay
	qualDay int64

	firstSlot int64 // index of the first slot that was not closed when the device's slots began; see State.nextSlot
	openFrom  int64 // earliest open slot of any series; never: none has any
	openStale bool  // openFrom may be too early: that slot was closed
	nextHour  int64 // index of the first hour that the clock has not closed
	nextDay   int64

	statusDirty bool
	statusAt    int64

	marks *deviceMarks // nil: it never had a mark
	past  []pastAlarm  // alarms that are over and can still be acted on, the newest last

	watcher *watcher // nil: not of this algorithm, or no frame yet
}

func newDevice(mn string, now int64) *device {
	d := &device{
		mn: mn, since: now, slots: integrity.NewSlots(), hours: window.NewMarks(window.HourCells), days: window.NewMarks(window.DayCells),
		statusAt: now, openFrom: never,
	}
	d.reg.MinuteInterval = 1
	d.startClocks(now)
	return d
}

// startClocks begins the tumbling windows that the clock closes at the ones that hold now.
func (d *device) startClocks(now int64) {
	minute := now / 60_000
	d.firstSlot = minute / d.interval()
	d.nextHour = minute / 60
	d.nextDay = dayOf(minute)
}

// interval is the length of a minute slot in minutes.
func (d *device) interval() int64 { return int64(d.reg.MinuteInterval) }

// nextSlot is the index of the first slot of d that the clock has not closed.
func (s *State) nextSlot(d *device) int64 {
	return max(d.firstSlot, d.slotOf(s.clock-graceMs))
}

// slotOf is the index of the slot that holds a time.
func (d *device) slotOf(ms int64) int64 {
	if minutes := d.interval(); minutes != 1 {
		return ms / 60_000 / minutes
	}
	return ms / 60_000
}

// dayOf is the natural day of UTC+8 that holds a minute; dayStart is that day's first minute.
func dayOf(minute int64) int64 { return (minute + 8*60) / 1440 }

func dayStart(day int64) int64 { return day*1440 - 8*60 }

// register takes over a registry entry.
func (s *State) register(d *device, reg telemetry.Device) {
	from, to := d.interval(), int64(reg.MinuteInterval)
	first := !d.known
	d.reg, d.known, d.tags = kept(reg), !reg.Removed, ""
	switch {
	case first && d.known:
		s.strangers--
		d.first = 0
	case !first && !d.known:
		s.strangers++
		d.sets = nil // nobody expects the rest
	}
	switch {
	case first:
		d.since = s.nowMs()
		d.startClocks(d.since)
	case from != to:
		d.firstSlot = s.nowMs() / 60_000 / d.interval()
	}
	if from != to {
		if d.marks != nil {
			d.marks.newSlots(from)
		}
		for i := range d.series {
			d.newSlots(&d.series[i], from, to)
		}
		d.openFrom = never
	}
	d.statusDirty = true
	s.rebind(d)
}

// kept is what the fold needs of a registry entry: no secrets, nothing of how the device connects.
func kept(reg telemetry.Device) telemetry.Device {
	return telemetry.Device{MN: reg.MN, Outlet: reg.Outlet, OutletName: reg.OutletName, Enterprise: reg.Enterprise, Region: reg.Region, Medium: reg.Medium,
		MinuteInterval: reg.MinuteInterval, OfflineAfter: reg.OfflineAfter, Edition: reg.Edition, PeriodEnd: reg.PeriodEnd, Scales: reg.Scales,
		Standard: reg.Standard, Class: reg.Class, Built: reg.Built, Judged: reg.Judged, Permits: reg.Permits,
		Stack: reg.Stack, FlowWeighted: reg.FlowWeighted}
}

// newSlots starts the rings that count in slots afresh for slots of another length; the newest slot published stays where it is in time.
func (d *device) newSlots(sr *series, from, to int64) {
	d.hist(sr).ClearMinutes()
	sr.open, sr.older, sr.now, sr.late = sr.open[:0], 0, openSlot{slot: noSlot}, span{}
	if sr.lastSlot != noSlot {
		sr.lastSlot = sr.lastSlot * from / to
	}
}

// seen notes a frame's arrival: presence, counters, the end of a silence.
func (s *State) seen(d *device, received int64) {
	d.frames++
	d.statusDirty = true
	if d.presence == offline {
		from := d.lastFrame
		if from == 0 {
			from = d.since
		}
		s.find(d, telemetry.Finding{Kind: telemetry.FindingOnline, Start: msTimePtr(from), End: msTimePtr(received), Count: 1,
			Detail: fmt.Sprintf("frames again after %d s of silence", (received-from)/1000)})
		d.statusAt = 0 // publish at the next tick
	}
	if d.presence == unseen {
		d.statusAt = 0
	}
	d.presence = online
	if d.first == 0 && d.known {
		d.first = received
	}
	d.lastFrame = max(d.lastFrame, received)
	if w := s.watch(d); w != nil {
		w.hear(received)
	}
}

// offlineAt is when silence makes the device offline.
func (d *device) offlineAt() int64 {
	if !d.known || d.presence == offline {
		return never
	}
	return max(d.lastFrame, d.since) + int64(d.reg.OfflineAfter)*1000
}

// statusEvery is the shortest interval between two status records of a device, statusRepeat the longest.
const (
	statusEvery  = 60_000
	statusRepeat = 3_600_000
)

func (d *device) statusDue() int64 {
	switch {
	case !d.known:
		return never
	case d.statusDirty:
		return d.statusAt + statusEvery
	}
	return d.statusAt + statusRepeat
}

// nextDeadline is the earliest log clock at which runTimers has something to do. Windows of a device that is not in the registry do
// not close: nobody expects its data.
func (s *State) nextDeadline(d *device) int64 {
	if !d.known {
		return never
	}
	if d.dirty {
		return 0
	}
	if d.openStale {
		d.findOpen()
	}
	slot := int64(never)
	if d.openFrom != never {
		slot = (d.openFrom+1)*d.interval()*60_000 + graceMs
	}
	return min(slot,
		(d.nextHour+1)*3_600_000+graceMs, // the day's end is an hour's end too
		d.offlineAt(), d.statusDue(), d.setsDue(), s.scanAt(d))
}

// findOpen finds the earliest open slot.
func (d *device) findOpen() {
	d.openFrom, d.openStale = never, false
	for i := range d.series {
		if c := d.series[i].firstOpen(); c != nil {
			d.openFrom = min(d.openFrom, c.slot)
		}
	}
}

// openAlarms is the number of the device's alarms that are raised and not cleared.
func (d *device) openAlarms() int {
	n := 0
	for i := range d.series {
		if d.series[i].judges == 0 {
			continue
		}
		for k := range d.series[i].bindings {
			if d.series[i].bindings[k].m.Open {
				n++
			}
		}
	}
	return n
}

// runTimers does everything of d that is due at the log clock now, in a fixed order.
func (s *State) runTimers(d *device, now int64) {
	if !d.known {
		return
	}
	s.closeOldSets(d, now)
	s.closeSlots(d)
	s.derive(d)
	s.closeHours(d, now)
	s.closeDays(d, now)
	if d.dirty {
		s.flushRevisions(d)
	}
	if now >= s.scanAt(d) {
		s.scanHours(d, now)
	}
	if now >= d.offlineAt() {
		s.goOffline(d, now)
	}
	if d.marks != nil {
		s.markTimers(d, now)
	}
	if now >= d.statusDue() {
		s.status(d, now)
	}
}

func (s *State) goOffline(d *device, now int64) {
	from := max(d.lastFrame, d.since)
	d.presence, d.statusDirty, d.statusAt = offline, true, 0
	s.find(d, telemetry.Finding{Kind: telemetry.FindingOffline, Start: msTimePtr(from), End: msTimePtr(now), Count: 1,
		Detail: fmt.Sprintf("no frame for %d s, limit %d s", (now-from)/1000, d.reg.OfflineAfter)})
}

func (s *State) status(d *device, now int64) {
	d.statusDirty, d.statusAt = false, now
	st := telemetry.Status{MN: d.mn, Outlet: d.reg.Outlet, Online: d.presence == online, LastFrame: msTime(d.lastFrame),
		LastData: msTime(d.lastData), Frames: d.frames, Rejects: d.rejects, OpenAlarms: d.openAlarms(), At: msTime(now)}
	s.json = st.AppendJSON(s.json[:0])
	s.out.put(telemetry.TopicStatus, d.mn, s.json)
	l := s.out.start("device", d)
	l.bool("online", st.Online)
	l.int("frames", st.Frames)
	l.int("rejects", st.Rejects)
	l.int("open_alarms", int64(st.OpenAlarms))
	s.out.end(l, now)
}
