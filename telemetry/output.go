package telemetry

import (
	"fmt"
	"strconv"
	"time"
)

// A Position is where an output comes from: the journal offset of the entry that caused it and its ordinal among that entry's
// outputs to the same topic, from 0. Positions of one output partition only grow; a reader that has seen one drops whatever
// is not beyond it, and so sees each output once.
type Position struct {
	Source  int64
	Ordinal int32
}

// NoPosition lies before every position.
var NoPosition = Position{Source: -1}

// After reports whether p lies beyond q.
func (p Position) After(q Position) bool {
	return p.Source > q.Source || p.Source == q.Source && p.Ordinal > q.Ordinal
}

// ParsePosition reads the values of HeaderSource and HeaderOrdinal.
func ParsePosition(source, ordinal string) (Position, error) {
	s, err1 := strconv.ParseInt(source, 10, 64)
	o, err2 := strconv.ParseInt(ordinal, 10, 32)
	if err1 != nil || err2 != nil || s < 0 || o < 0 {
		return Position{}, fmt.Errorf("position %q/%q: want two whole numbers", source, ordinal)
	}
	return Position{Source: s, Ordinal: int32(o)}, nil
}

// An Output is one record that the fold makes of an entry.
type Output struct {
	Topic Topic
	MN    string // key
	Value []byte // the topic's wire form; whose it is says the one that makes the output
	Pos   Position
}

// AlarmState is where an alarm is in its life.
type AlarmState string

const (
	AlarmRaised  AlarmState = "raised"  // the condition held for long enough
	AlarmUpdated AlarmState = "updated" // worse, or the level or a corrected value changed
	AlarmCleared AlarmState = "cleared" // the condition has been gone for long enough

	// A mark can take the ground from under an alarm, and its revocation give it back: the alarm is then raised again, under its id.
	AlarmWithdrawn AlarmState = "withdrawn"

	// What people did about an alarm, by Action. None of these says whether its condition still holds: ClearedAt does.
	AlarmAcknowledged AlarmState = "acknowledged"
	AlarmExplained    AlarmState = "explained"
	AlarmClosed       AlarmState = "closed"
)

// AlarmStates lists every AlarmState.
func AlarmStates() []AlarmState {
	return []AlarmState{AlarmRaised, AlarmUpdated, AlarmCleared, AlarmWithdrawn, AlarmAcknowledged, AlarmExplained, AlarmClosed}
}

// Ends reports whether the alarm's condition is over, or never was.
func (s AlarmState) Ends() bool { return s == AlarmCleared || s == AlarmWithdrawn }

// ByPeople reports whether the event is what somebody did about the alarm: it changes nothing of its condition.
func (s AlarmState) ByPeople() bool {
	return s == AlarmAcknowledged || s == AlarmExplained || s == AlarmClosed
}

// AlarmLevel says what crossing means: warning is the early warning below the limit (预警), exceed the limit itself (超标).
type AlarmLevel string

const (
	LevelWarning AlarmLevel = "warning"
	LevelExceed  AlarmLevel = "exceed"
)

// An Alarm is one event in the life of an exceedance alarm; ID is the same for all events of one alarm. Times are UTC.
// Field order is the wire form.
type Alarm struct {
	ID          string     `json:"id"` // 16 hex digits, a hash of MN, rule, rule set and first window: equal in every replay
	State       AlarmState `json:"state"`
	Level       AlarmLevel `json:"level"`
	MN          string     `json:"mn"`
	Outlet      string     `json:"outlet"`
	OutletName  string     `json:"outlet_name"`
	Enterprise  string     `json:"enterprise"`
	Region      string     `json:"region"`
	Factor      string     `json:"factor"`    // HJ 212-2017 annex B
	Statistic   Statistic  `json:"statistic"` // what was compared
	WindowStart time.Time  `json:"window_start"`
	WindowEnd   time.Time  `json:"window_end"` // exclusive; equal to WindowStart for an instant
	Value       Fixed      `json:"value"`      // rounded for show; the comparison was exact
	Limit       Fixed      `json:"limit"`
	LimitKind   string     `json:"limit_kind"` // "high" or "low"
	TimesOver   Fixed      `json:"times_over"` // 超标倍数 (value-limit)/limit for a high limit; 0 for low ones and warnings
	Unit        string     `json:"unit"`
	Basis       string     `json:"basis"` // 依据: standard and clause
	Rule        string     `json:"rule"`
	RuleSet     string     `json:"rule_set"` // content hash of the rule set in force
	RaisedAt    time.Time  `json:"raised_at"`
	ClearedAt   *time.Time `json:"cleared_at"` // null while open
	At          time.Time  `json:"at"`         // log clock of this event

	// Judgement is how the window shown was judged; nil when the rule asks for nothing that is not above, and in events that another
	// window caused.
	Judgement *Judgement `json:"judgement,omitempty"`

	Mark   string     `json:"mark,omitempty"`   // id of the mark whose coming or going caused the event
	Reason string     `json:"reason,omitempty"` // what the mark is, or what became of it
	Action string     `json:"action,omitempty"` // acknowledged, explained, closed: id of the Action
	Who    string     `json:"who,omitempty"`    // the same: who did it,
	When   *time.Time `json:"when,omitempty"`   // when,
	Text   string     `json:"text,omitempty"`   // and what they say
}

// A Judgement is what stands behind a verdict. Field order is the wire form.
type Judgement struct {
	Verdict string `json:"verdict"` // what crossing the limit means at this outlet: exceed or warn
	Value   string `json:"value"`   // measured or corrected
	Valid   int64  `json:"valid"`   // of the due slots of the window
	Due     int64  `json:"due"`
	// Rounding is which comparison decided, none or limit_digits. Both are here: Exceeds of the full mean, ExceedsRounded of Rounded, the
	// mean rounded once, half to even, to the digits of the limit.
	Rounding       string `json:"rounding"`
	Rounded        Fixed  `json:"rounded"`
	Exceeds        bool   `json:"exceeds"`
	ExceedsRounded bool   `json:"exceeds_rounded"`
	// Guard is what the rule's further condition said, true or unknown; empty: the rule has none. Inputs are what it was decided by.
	Guard  string  `json:"guard,omitempty"`
	Inputs []Input `json:"inputs,omitempty"`
}

// An Input is one thing that a guard asked for. Value is a decimal rounded to a millionth for show, or a text; empty: it was unknown.
type Input struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Statistic is what a rule compares and what a mean point is.
type Statistic string

const (
	StatInstant   Statistic = "instant"     // each real-time value, CN 2011
	StatMinute    Statistic = "minute"      // minute record: the device's own CN 2051 value, else the mean of its instants
	StatHour      Statistic = "hour"        // natural hour
	StatDay       Statistic = "day"         // natural day of UTC+8
	StatRolling1  Statistic = "rolling_1h"  // the 60 minutes up to a minute's end
	StatRolling24 Statistic = "rolling_24h" // 23 full hours and the running one
)

// Statistics lists every Statistic.
func Statistics() []Statistic {
	return []Statistic{StatInstant, StatMinute, StatHour, StatDay, StatRolling1, StatRolling24}
}

// A Finding is something about the data that is no exceedance: an integrity or data quality observation. It opens a check, it
// accuses nobody. Times are UTC. Field order is the wire form.
type Finding struct {
	Kind   FindingKind `json:"kind"`
	MN     string      `json:"mn"`
	Outlet string      `json:"outlet"`
	Factor string      `json:"factor,omitempty"`
	CN     string      `json:"cn,omitempty"`
	QN     string      `json:"qn,omitempty"`
	Start  *time.Time  `json:"start,omitempty"` // event time that it is about; [Start, End) or an instant
	End    *time.Time  `json:"end,omitempty"`
	Detail string      `json:"detail"` // one sentence with the numbers, English
	Count  int64       `json:"count"`  // how many things it sums up, at least 1
	Offset int64       `json:"offset"` // journal offset of the cause
	At     time.Time   `json:"at"`     // log clock of the partition, or receipt before the first tick

	Mark       string `json:"mark,omitempty"`       // id of the mark that it is about
	Clause     string `json:"clause,omitempty"`     // of the text that sets what is not kept
	Confidence string `json:"confidence,omitempty"` // how sure that is: confirmed, single, inferred, proposed

	Anomaly *Anomaly `json:"anomaly,omitempty"` // of kind anomaly: which detector, and what it compared
	Cause   GapCause `json:"cause,omitempty"`   // of kind gap
}

// GapCause is why minute records are missing, as far as it is known when their hour closes.
type GapCause string

const (
	GapSilent GapCause = "offline" // no frame at all came in most of their minutes: device, power or network
	GapLogger GapCause = "logger"  // other frames came: the line is well, the data logger has or sends no record
)

// FindingKind names a finding. The list is closed: it is a metric label and a tag.
type FindingKind string

const (
	FindingReject       FindingKind = "reject"         // a frame of the device was refused; Detail begins with the reason
	FindingDuplicate    FindingKind = "duplicate"      // the same data again: ignored
	FindingConflict     FindingKind = "conflict"       // a slot that is already filled came again with other content: ignored
	FindingFuture       FindingKind = "future"         // DataTime more than ten minutes ahead of receipt: not counted
	FindingTooOld       FindingKind = "too_old"        // DataTime before the horizon: not counted
	FindingBadTime      FindingKind = "bad_time"       // no usable DataTime: not counted
	FindingNoRegistry   FindingKind = "no_registry"    // a frame whose device the fold does not know (yet): not counted
	FindingUnknownCode  FindingKind = "unknown_factor" // a factor code outside annex B and its legacy codes: kept as a point
	FindingNotNumeric   FindingKind = "not_numeric"    // a value that is no number, or out of range: not counted
	FindingQuality      FindingKind = "quality"        // the frame decoded, but its form is odd; Detail lists how
	FindingOffline      FindingKind = "offline"        // no frame for OfflineAfter
	FindingOnline       FindingKind = "online"         // the first frame after offline; Start..End is the silence
	FindingGap          FindingKind = "gap"            // minute slots of a closed hour that never came
	FindingCompleteness FindingKind = "completeness"   // an hour or a day below its required share of valid slots

	FindingSecondSession FindingKind = "second_session"     // two live connections of one device: cloned or spoofed; Detail names both peers
	FindingPackets       FindingKind = "packets_incomplete" // packets of a set (PNUM, PNO) never came; Count of them, Detail says which
	FindingCommandFailed FindingKind = "command_failed"     // a command was refused, failed or expired; CN and QN are the command's

	FindingMarkRefused FindingKind = "mark_refused" // a mark that does not hold, or names another that is not known
	FindingMarkBeyond  FindingKind = "mark_beyond"  // a mark reaches further back than the windows that are held; Count is hours
	FindingMarkLate    FindingKind = "mark_late"    // a mark, or its proofs, later than the marking rules allow
	FindingMarkBudget  FindingKind = "mark_budget"  // the exempt time of a unit and year is used up, or nearly; Count is hours
	FindingMarkLong    FindingKind = "mark_long"    // a state lasted longer than its standard allows; Count is hours
	FindingAction      FindingKind = "action"       // somebody acted on an alarm that is not known, or that the action does not fit

	FindingAnomaly FindingKind = "anomaly" // a detector saw a pattern that is worth a look on the spot, see Anomaly
)

// FindingKinds lists every FindingKind.
func FindingKinds() []FindingKind {
	return []FindingKind{FindingReject, FindingDuplicate, FindingConflict, FindingFuture, FindingTooOld, FindingBadTime, FindingNoRegistry,
		FindingUnknownCode, FindingNotNumeric, FindingQuality, FindingOffline, FindingOnline, FindingGap, FindingCompleteness,
		FindingSecondSession, FindingPackets, FindingCommandFailed, FindingMarkRefused, FindingMarkBeyond, FindingMarkLate, FindingMarkBudget,
		FindingMarkLong, FindingAction, FindingAnomaly}
}

// A Status is the latest known of one device. Field order is the wire form.
type Status struct {
	MN         string    `json:"mn"`
	Outlet     string    `json:"outlet"`
	Online     bool      `json:"online"`
	LastFrame  time.Time `json:"last_frame"`  // receipt
	LastData   time.Time `json:"last_data"`   // greatest DataTime
	Frames     int64     `json:"frames"`      // since the device is known
	Rejects    int64     `json:"rejects"`     // frames refused since then
	OpenAlarms int       `json:"open_alarms"` //
	At         time.Time `json:"at"`          // log clock
}
