package telemetry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ActionVersion is the version of the wire form of Action. A reader passes over an action of a greater one.
const ActionVersion = 1

// MaxSilence bounds how long one silence may hold. Whoever sends alarms looks so far back, when it starts, for what holds.
const MaxSilence = 31 * 24 * time.Hour

// ActionOperator is the Who of the actions that outfall itself takes.
const ActionOperator = "outfall"

// A Verb says what an Action does.
type Verb string

const (
	VerbSilence   Verb = "silence"   // from From to To nobody is told of the alarms that Match selects
	VerbUnsilence Verb = "unsilence" // the silence Silence ends at When
	VerbNotice    Verb = "notice"    // people were told of alarms, or why not: Notice
	VerbAck       Verb = "ack"       // somebody takes care of Alarms
	VerbExplain   Verb = "explain"   // Text says why Alarms came
	VerbClose     Verb = "close"     // Alarms need nothing more
)

// Verbs lists every Verb.
func Verbs() []Verb {
	return []Verb{VerbSilence, VerbUnsilence, VerbNotice, VerbAck, VerbExplain, VerbClose}
}

// An Action is what people, or the delivery for them, did about alarms. It is an entry of the journal, as KindAction, and a record of the topic
// actions. With an MN its key is the MN; without one it concerns more than a device: it has no key, is written to every partition of the
// journal, and to the first of the topic. Field order is the wire form.
type Action struct {
	V    int    `json:"v"`  // ActionVersion
	ID   string `json:"id"` // unique; 1..64 characters of 0-9 A-Z a-z - _
	Verb Verb   `json:"verb"`
	MN   string `json:"mn,omitempty"` // notice, ack, explain, close
	// Alarms are the ids of the alarms that it is about, at most MaxActionAlarms; all of MN.
	Alarms  []string    `json:"alarms,omitempty"`
	Match   *AlarmMatch `json:"match,omitempty"`   // silence
	From    *time.Time  `json:"from,omitempty"`    // silence: the first moment, UTC
	To      *time.Time  `json:"to,omitempty"`      // silence: the first moment after it, within MaxSilence of From
	Silence string      `json:"silence,omitempty"` // unsilence: the ID
	Notice  *Notice     `json:"notice,omitempty"`  // notice
	Who     string      `json:"who"`               // 1..64 bytes; ActionOperator for outfall itself
	When    time.Time   `json:"when"`              // UTC
	Text    string      `json:"text,omitempty"`    // at most 1024 bytes
}

// MaxActionAlarms bounds the alarms of one Action.
const MaxActionAlarms = 1000

// An AlarmMatch selects alarms: those of which every list that is not empty has the value. Without any list it selects all.
type AlarmMatch struct {
	Region     []string     `json:"region,omitempty" yaml:"region"`         // province, province/city or province/city/county: what lies in it
	Enterprise []string     `json:"enterprise,omitempty" yaml:"enterprise"` // whole names
	Outlet     []string     `json:"outlet,omitempty" yaml:"outlet"`
	MN         []string     `json:"mn,omitempty" yaml:"mn"`
	Level      []AlarmLevel `json:"level,omitempty" yaml:"level"`
	Factor     []string     `json:"factor,omitempty" yaml:"factor"`
	Statistic  []Statistic  `json:"statistic,omitempty" yaml:"statistic"`
	Rule       []string     `json:"rule,omitempty" yaml:"rule"`
	Alarm      []string     `json:"alarm,omitempty" yaml:"alarm"` // ids
}

// Matches reports whether m selects a.
func (m *AlarmMatch) Matches(a *Alarm) bool {
	return (len(m.Region) == 0 || slices.ContainsFunc(m.Region, func(r string) bool { return InRegion(a.Region, r) })) &&
		selects(m.Enterprise, a.Enterprise) && selects(m.Outlet, a.Outlet) && selects(m.MN, a.MN) && selects(m.Level, a.Level) &&
		selects(m.Factor, a.Factor) && selects(m.Statistic, a.Statistic) && selects(m.Rule, a.Rule) && selects(m.Alarm, a.ID)
}

// Empty reports whether m has no list: it selects all.
func (m *AlarmMatch) Empty() bool {
	return len(m.Region)+len(m.Enterprise)+len(m.Outlet)+len(m.MN)+len(m.Level)+len(m.Factor)+len(m.Statistic)+len(m.Rule)+len(m.Alarm) == 0
}

func selects[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

// InRegion reports whether region (province/city/county) is whole or lies in it.
func InRegion(region, whole string) bool {
	rest, ok := strings.CutPrefix(region, strings.TrimSuffix(whole, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// NoticeResult is what became of a message, or of a message that was not sent.
type NoticeResult string

const (
	NoticeAccepted NoticeResult = "accepted" // the channel's server took it
	NoticeFailed   NoticeResult = "failed"   // the channel did not take it; Next tells the channel that is tried instead
	NoticeSilenced NoticeResult = "silenced" // nobody was told: Silence held
	NoticeExpired  NoticeResult = "expired"  // nobody could be told in time
)

// NoticeResults lists every NoticeResult.
func NoticeResults() []NoticeResult {
	return []NoticeResult{NoticeAccepted, NoticeFailed, NoticeSilenced, NoticeExpired}
}

// A Notice is the proof that a channel was told of events, or of why it was not. A message about alarms of several devices has a Notice for
// each, under the same Message.
type Notice struct {
	Channel string        `json:"channel,omitempty"` // name in the configuration; empty for silenced
	Type    string        `json:"type,omitempty"`    // of the channel: dingtalk, wecom, feishu, webhook, smtp, alertmanager
	Message string        `json:"message,omitempty"` // idempotency key: the same for the same events on the same channel
	Result  NoticeResult  `json:"result"`
	Events  []NoticeEvent `json:"events"`            // of the action's MN
	Of      int           `json:"of,omitempty"`      // events of the whole message
	Status  int           `json:"status,omitempty"`  // the server's last: HTTP, or SMTP's reply code
	Code    int           `json:"code,omitempty"`    // the vendor's own, where it has one
	Receipt string        `json:"receipt,omitempty"` // what the server calls the message, or its answer
	Tries   int           `json:"tries,omitempty"`   // requests that this message took
	Latency int64         `json:"latencyMs,omitempty"`
	Reason  string        `json:"reason,omitempty"`  // failed, expired: why
	Next    string        `json:"next,omitempty"`    // failed: the channel that is tried instead; empty: none
	Silence string        `json:"silence,omitempty"` // silenced: the ID
}

// A NoticeEvent names one event of an alarm by its position in the topic alarms, in the partition of the MN.
type NoticeEvent struct {
	Alarm   string `json:"alarm"`
	Source  int64  `json:"src"`
	Ordinal int32  `json:"ord"`
}

// Validate reports the first fault of a; each begins with the JSON name of its field.
func (a *Action) Validate() error {
	switch {
	case a.V != ActionVersion:
		return fmt.Errorf("v: %d is not %d", a.V, ActionVersion)
	case !wordOf(a.ID, 64, wordByte):
		return fmt.Errorf("id: %q is not 1..64 characters of 0-9 A-Z a-z - _", a.ID)
	case a.Who == "" || len(a.Who) > 64:
		return fmt.Errorf("who: %q is not 1..64 bytes", a.Who)
	case a.When.IsZero():
		return errors.New("when: is missing")
	case len(a.Text) > 1024:
		return fmt.Errorf("text: has %d bytes, at most 1024", len(a.Text))
	case a.MN != "" && !ValidMN(a.MN):
		return fmt.Errorf("mn: %q cannot be a device id", a.MN)
	case len(a.Alarms) > MaxActionAlarms:
		return fmt.Errorf("alarms: are %d, at most %d", len(a.Alarms), MaxActionAlarms)
	}
	return a.validateVerb()
}

func (a *Action) validateVerb() error {
	switch a.Verb {
	case VerbSilence:
		switch {
		case a.Match == nil || a.Match.Empty():
			return errors.New("match: is empty: it would silence everything")
		case a.From == nil || a.To == nil || !a.To.After(*a.From) || a.To.Sub(*a.From) > MaxSilence:
			return fmt.Errorf("to: must be after from, and within %d days of it", MaxSilence/(24*time.Hour))
		}
	case VerbUnsilence:
		if a.Silence == "" {
			return errors.New("silence: is missing")
		}
	case VerbNotice:
		switch {
		case a.MN == "":
			return errors.New("mn: is missing")
		case a.Notice == nil || !slices.Contains(NoticeResults(), a.Notice.Result) || len(a.Notice.Events) == 0:
			return errors.New("notice: has no result or no events")
		}
	case VerbAck, VerbExplain, VerbClose:
		switch {
		case a.MN == "":
			return errors.New("mn: is missing")
		case len(a.Alarms) == 0:
			return errors.New("alarms: are missing")
		case a.Verb == VerbExplain && a.Text == "":
			return errors.New("text: is missing")
		}
	default:
		return fmt.Errorf("verb: %q is none of %v", a.Verb, Verbs())
	}
	return nil
}
