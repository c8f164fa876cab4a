// Package fold is the pure function at the heart of the project: the state of a partition's devices, and what each journal entry does
// to it. It has no clock, no randomness, no I/O and no floating point: the same entries give the same outputs, byte for byte, on any
// machine, from a snapshot or from the beginning.
package fold

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/stream/integrity"
	"outfall/telemetry"
)

// Limits of the fold. They are part of the arithmetic: changing one changes published results.
const (
	graceMs   = 90_000         // a window closes this long after its end, by the log clock
	futureMs  = 10 * 60_000    // DataTime further ahead of receipt than this is refused (clock guard)
	horizonMs = 72 * 3_600_000 // DataTime further behind receipt than this no longer corrects windows
	slotsKept = 35 * 24 * 60   // minutes of slot bitmaps

	openSlots    = 16    // slots that wait for their record: ten minutes of clock error and the grace
	maxStrangers = 2_000 // devices of a partition that are not in the registry; more of them leave no state
)

// State is everything known about one partition: its log clock, the rule set in force and its devices.
type State struct {
	partition int32
	clock     int64 // log clock, ms since 1970; 0 before the first tick
	algorithm int   // in force, see Algorithms
	rules     *rules.RuleSet
	devices   map[string]*device
	list      []*device // all of them, in the order of their making; only ever appended to
	names     map[string]*name
	due       dueHeap
	stats     Stats
	note      eventNote // what alarm events say beside the alarm
	remarking *remark   // the change of marks that windows are published again for; nil: none
	alarmAt   int64     // time of the newest alarm point, ns: no two are equal
	strangers int       // devices that are not in the registry

	frozen *Frozen // the snapshot that is on its way out, if any
	epoch  uint64  // number of the newest Freeze
	gaveUp bool    // the newest snapshot to end was given up

	msg       hj212.Message // scratch of one frame
	obs       observation   // scratch of one group
	rec       record        // scratch of one record
	joined    []byte        // scratch of one set of packets, and
	joinedMsg hj212.Message // the message that it makes: a set can close while a frame is at hand
	json      []byte        // scratch of one status
	filled    []filled      // slots that the entry at hand filled, see derive
	key       []byte        // scratch of one series' key
	out       outputs       // of the entry at hand
	scratch   []*device
	shown     shown               // of the verdict at hand
	reads     int                 // of no meaning: what is read ahead goes here, see device.fetch
	scan      integrity.Hour      // scratch of one device's hour,
	hits      []integrity.Hit     // what its detectors say
	days      []integrity.RateDay // and its rates
}

// Stats counts what the fold has seen since the beginning of the journal.
type Stats struct {
	Devices    int   // registered
	OpenAlarms int   // raised and not cleared
	Online     int   // devices with a frame within OfflineAfter
	Frames     int64 // frames folded
	Duplicates int64 // of them: data that had been there already
	Findings   int64
}

// New makes the empty state of a partition.
func New(partition int32) *State {
	return &State{partition: partition, algorithm: 1, devices: map[string]*device{}, names: map[string]*name{}}
}

// Clock is the log clock: the time of the greatest tick folded; zero before the first.
func (s *State) Clock() time.Time {
	if s.clock == 0 {
		return time.Time{}
	}
	return time.UnixMilli(s.clock).UTC()
}

// Stats is a summary for people; it is not part of any output.
func (s *State) Stats() Stats {
	st := s.stats
	for _, d := range s.list {
		if d.known {
			st.Devices++
		}
		if d.presence == online {
			st.Online++
		}
		st.OpenAlarms += d.openAlarms()
	}
	return st
}

// Apply folds one entry and hands every output to emit, in order; an output's Value is good until emit returns. Entries of a partition must come in the order of their offsets. A
// value that cannot be read changes nothing but the counters: the journal is never wrong, only not understood.
func (s *State) Apply(e *telemetry.Entry, emit func(telemetry.Output)) {
	s.out.begin(e, emit)
	switch e.Kind {
	case telemetry.KindTick:
		if t, ok := telemetry.ParseTick(e.Value); ok {
			s.tick(t.Time.UnixMilli())
		}
		return
	case telemetry.KindRules:
		if rs, err := rules.ParseRuleSet(e.Value); err == nil {
			s.setRules(rs)
		}
		return
	case telemetry.KindVersion:
		if v, err := parseVersion(e.Value); err == nil {
			s.algorithm = v
		}
		return
	case telemetry.KindRegistry:
		var reg telemetry.Device
		if json.Unmarshal(e.Value, &reg) == nil && reg.MN == e.MN && reg.Validate() == nil {
			s.register(s.made(e.MN), reg)
		}
	case telemetry.KindFrame:
		s.stats.Frames++
		if d := s.device(e.MN); d != nil {
			s.frame(d, e)
			s.derive(d)
		}
	case telemetry.KindReject:
		d := s.device(e.MN)
		if d == nil {
			return
		}
		d.rejects++
		d.statusDirty = true
		s.find(d, telemetry.Finding{Kind: telemetry.FindingReject, Count: 1,
			Detail: fmt.Sprintf("%s: %d bytes refused", e.Reason, len(e.Value))})
	case telemetry.KindSession:
		if d := s.device(e.MN); d != nil {
			s.session(d, e)
		}
	case telemetry.KindOutcome:
		if d := s.device(e.MN); d != nil {
			s.outcome(d, e)
		}
	case telemetry.KindMark:
		if d := s.device(e.MN); d != nil {
			s.mark(d, e.Value)
		}
	case telemetry.KindAction:
		s.action(e.MN, e.Value)
	default:
		return
	}
	if d := s.devices[e.MN]; d != nil {
		s.out.flushPoints(d.mn)
		s.schedule(d)
	}
}

// device is the state of an MN, about to change; it is made on first sight. nil: the MN is in no registry, and too many such have been seen.
func (s *State) device(mn string) *device {
	if d := s.devices[mn]; d != nil {
		s.change(d)
		return d
	}
	if s.strangers >= maxStrangers {
		return nil
	}
	return s.made(mn)
}

// made is device without its limit.
func (s *State) made(mn string) *device {
	d := s.devices[mn]
	if d == nil {
		d = newDevice(strings.Clone(mn), s.nowMs())
		s.strangers++
		s.add(d)
	}
	s.change(d)
	return d
}

// add takes in a device that is new to the state. It is no part of a snapshot that is on its way out.
func (s *State) add(d *device) {
	d.out = s.epoch
	s.devices[d.mn] = d
	s.list = append(s.list, d)
	s.due.push(d, s.nextDeadline(d))
}

// change must come before anything of d that a snapshot holds is changed.
func (s *State) change(d *device) {
	if s.frozen != nil {
		s.frozen.save(d)
	}
}

// changeAll comes before change when one entry changes many devices.
func (s *State) changeAll(ds []*device) {
	if s.frozen != nil {
		s.frozen.prepare(ds)
	}
}

// nowMs is the log clock, or the receipt time of the entry at hand while no tick has been seen.
func (s *State) nowMs() int64 {
	if s.clock != 0 {
		return s.clock
	}
	return s.out.entry.Received.UnixMilli()
}

// setRules puts a rule set in force. Alarms of rules that are gone or changed are cleared.
func (s *State) setRules(rs *rules.RuleSet) {
	s.rules = rs
	s.changeAll(s.list)
	for _, d := range s.byMN() {
		s.change(d)
		s.rebind(d)
		s.out.flushPoints(d.mn)
		s.schedule(d)
	}
}

// byMN lists the devices in the order of their MN, so that no output depends on the order of a map.
func (s *State) byMN() []*device {
	all := slices.Clone(s.list)
	sortByMN(all)
	return all
}

func sortByMN(ds []*device) {
	slices.SortFunc(ds, func(a, b *device) int { return strings.Compare(a.mn, b.mn) })
}

// tick moves the log clock and runs the timers of every device that has one due, in the order of their MN.
func (s *State) tick(now int64) {
	if now <= s.clock {
		return // a duplicate, or the tick of an owner that has just lost the partition
	}
	s.clock = now
	due := s.scratch[:0]
	for len(s.due) > 0 && s.due[0].at <= now {
		d := s.due.pop()
		if next := s.nextDeadline(d); next > now {
			s.due.push(d, next) // what it was to be looked at for has moved, or is done
			continue
		}
		due = append(due, d)
	}
	sortByMN(due)
	s.changeAll(due)
	for _, d := range due {
		s.change(d)
		s.runTimers(d, now)
		s.out.flushPoints(d.mn)
		s.due.push(d, s.nextDeadline(d))
	}
	clear(due)
	s.scratch = due[:0]
}

// schedule has the device looked at by its next deadline.
func (s *State) schedule(d *device) { s.due.hasten(d, s.nextDeadline(d)) }
