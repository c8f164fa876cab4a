// Package rules decides whether a mean crosses a limit, and when that becomes an alarm. It is pure and uses integers only:
// the same means and the same rules give the same alarms on every machine, in every replay.
//
// Limits are compared by the full value (全数值比较法, GB/T 8170): a mean is never rounded before it is compared, and a value
// equal to its limit passes. So 50.4 exceeds 50, and 50 does not. A rule can ask for the comparison of the rounded mean instead (修约值比较法),
// see Rule.Rounding.
package rules

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"outfall/telemetry"
)

// Bounds of a rule set. Its canonical JSON is one journal entry, and a Kafka record ends at 1 MiB.
const (
	MaxRules = 2000
	MaxBytes = 900_000 // of canonical JSON
)

// A RuleSet is what is in force as a whole. Make one with NewRuleSet or ParseRuleSet: they check it and compute Hash.
type RuleSet struct {
	Name    string `json:"ruleset"`
	Version int    `json:"version"` // a label for people, at least 1; the identity is Hash
	Rules   []Rule `json:"rules"`   // in the order of the file, IDs unique
	// Detectors change the detectors of package integrity for some devices and factors; none: all of them with their defaults.
	Detectors []Tuning `json:"detectors,omitempty"`
	Hash      string   `json:"-"` // first 12 hex digits of the SHA-256 of the canonical JSON
}

// A Rule compares one statistic of one factor with limits, at every device that its selectors match. Quantities are in Unit.
type Rule struct {
	ID     string `json:"id"`    // 1..64 of a-z 0-9 . _ -
	Title  string `json:"title"` // for people
	Basis  string `json:"basis"` // 依据: standard and clause, or permit
	MN     string `json:"mn,omitempty"`
	Outlet string `json:"outlet,omitempty"`
	Medium string `json:"medium,omitempty"` // "water", "gas"; selectors: empty matches any
	Factor string `json:"factor"`           // HJ 212-2017 annex B

	Statistic telemetry.Statistic `json:"statistic"`
	Low       *telemetry.Fixed    `json:"low,omitempty"`  // below it is an exceedance; nil: no low limit
	High      *telemetry.Fixed    `json:"high,omitempty"` // above it is an exceedance; nil: no high limit
	Unit      string              `json:"unit"`           // of the factor's values on the wire
	// EarlyWarning is the share of High above which the level is warning, 0 < r < 1; 0: no early warning.
	EarlyWarning telemetry.Fixed `json:"early_warning"`
	// RaiseAfter is how many consecutive windows (values, for an instant) must cross before the alarm is raised, 1..MaxAfter. A
	// window that could not be judged is none: it neither counts nor interrupts.
	RaiseAfter int `json:"raise_after"`
	// ClearAfter is how many consecutive windows must be clear before the alarm is cleared, 1..MaxAfter.
	ClearAfter int `json:"clear_after"`
	// ClearBelow is the hysteresis, 0 < r <= 1: a value is clear at or below ClearBelow times the limit, or, for a low limit, at
	// or above 2-ClearBelow times it.
	ClearBelow telemetry.Fixed `json:"clear_below"`
	// MinValid is the share of the due slots that must be valid before an hour, day or rolling mean is judged, 0 < r <= 1.
	MinValid telemetry.Fixed `json:"min_valid"`

	// What follows is left out of the JSON where a rule does not say it, so that a set without it keeps its hash.

	Standard string   `json:"standard,omitempty"` // selectors: the registry's standard and class of the outlet; empty: any
	Class    string   `json:"class,omitempty"`
	Regions  []string `json:"regions,omitempty"` // selector: any of these regions, each with what lies in it; none: everywhere
	// ExceptRegions are regions where another rule has the word.
	ExceptRegions []string       `json:"except_regions,omitempty"`
	BuiltFrom     telemetry.Date `json:"built_from,omitempty"` // selector: the days on which the outlet was built, both inclusive, see Applies
	BuiltTo       telemetry.Date `json:"built_to,omitempty"`
	ValidFrom     telemetry.Date `json:"valid_from,omitempty"` // the rule counts for windows that begin on these days of UTC+8, both inclusive
	ValidTo       telemetry.Date `json:"valid_to,omitempty"`
	// Value is which concentration is compared: ValueMeasured, or ValueCorrected, to the reference oxygen (折算). A rule is judged only on
	// values of its kind. Empty: measured.
	Value string `json:"value,omitempty"`
	// Verdict is what crossing the limit means: VerdictExceed, or VerdictWarn, which never says exceed. Empty: exceed.
	Verdict string `json:"verdict,omitempty"`
	// Rounding says which comparison decides: RoundingNone the full value, RoundingLimit the mean rounded once, half to even, to Digits
	// decimals. Both are stored with an alarm. Empty: none, and nothing is stored.
	Rounding string `json:"rounding,omitempty"`
	// Digits is the decimals of the limit as the standard writes it, -6..6: below zero where Unit is a smaller one than the standard's.
	Digits int `json:"digits,omitempty"`
	// When is a further condition of the window; nil: none. Unknown says what to do where it cannot be decided: UnknownJudge as if it
	// held, and the alarm says so, or UnknownSkip the window. Empty: judge, the stricter.
	When    *Guard `json:"when,omitempty"`
	Unknown string `json:"unknown,omitempty"`
	// ExcludeMarks names the marks (工况标记) whose windows are not judged.
	ExcludeMarks []string `json:"exclude_marks,omitempty"`
	Clause       string   `json:"clause,omitempty"`     // of Standard or Basis, for people
	Confidence   string   `json:"confidence,omitempty"` // confirmed, single or inferred: how sure the source of the limit is
}

// Values of Rule's closed fields.
const (
	ValueMeasured  = "measured"
	ValueCorrected = "corrected"
	VerdictExceed  = "exceed"
	VerdictWarn    = "warn"
	RoundingNone   = "none"
	RoundingLimit  = "limit_digits"
	UnknownJudge   = "judge"
	UnknownSkip    = "skip"
)

// NewRuleSet checks the rules and tunings, and computes their hash. The error joins every fault.
func NewRuleSet(name string, version int, list []Rule, detectors ...Tuning) (*RuleSet, error) {
	rs := &RuleSet{Name: name, Version: version, Rules: list, Detectors: detectors}
	if err := rs.validate(); err != nil {
		return nil, err
	}
	canonical := rs.AppendJSON(nil)
	if len(canonical) > MaxBytes {
		return nil, fmt.Errorf("rule set of %d bytes is beyond %d: shorten its texts or split it", len(canonical), MaxBytes)
	}
	sum := sha256.Sum256(canonical)
	rs.Hash = hex.EncodeToString(sum[:6])
	return rs, nil
}

// AppendJSON appends the canonical JSON: the value of the journal's rules entry, and what Hash is computed of.
func (rs *RuleSet) AppendJSON(dst []byte) []byte { return telemetry.AppendJSON(dst, rs) }

// ParseRuleSet reads the JSON of AppendJSON. Unknown fields are errors: a rule must not lose a condition that only a newer
// version understands.
func ParseRuleSet(b []byte) (*RuleSet, error) {
	var rs RuleSet
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rs); err != nil {
		return nil, fmt.Errorf("rule set: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("rule set: data after the JSON value")
	}
	return NewRuleSet(rs.Name, rs.Version, rs.Rules, rs.Detectors...)
}

// EnoughValid reports whether valid of due slots, both below 2^40, suffice for the mean to be judged. It is exact: 45 of 60
// are enough for 0.75, and 20 of 24 for 0.833333. With no slot due nothing is judged.
func (r *Rule) EnoughValid(valid, due int64) bool {
	return due > 0 && valid*int64(telemetry.FixedOne) >= due*int64(r.MinValid)
}

// DefaultMinValid is the MinValid of a rule that names none: 45 of 60 minutes for an hour, 20 of 24 hours for a day
// (HJ 212-2017 annex D, forms 24 and 25).
func DefaultMinValid(s telemetry.Statistic) telemetry.Fixed {
	if s == telemetry.StatDay || s == telemetry.StatRolling24 {
		return 833_333
	}
	return 750_000
}
