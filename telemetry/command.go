package telemetry

import (
	"errors"
	"fmt"
	"time"
)

// MaxValidity bounds how long a Command may wait for its device. A gateway that starts looks so far back for what is open.
const MaxValidity = 24 * time.Hour

// SetUpOperator is the Operator of the commands that a gateway gives by itself when a device connects.
const SetUpOperator = "outfall"

// A Command asks one device for something over its connection (HJ 212-2017 annex C, host to field). It is a record of the commands topic
// and, as KindCommand, of the journal, in both under the key MN. It never holds a password: the gateway fills PW in, and the new password
// of 1072 by the registry's PWNext.
type Command struct {
	ID string `json:"id"` // unique; 1..64 characters of 0-9 A-Z a-z - _
	MN string `json:"mn"`
	CN string `json:"cn"` // 4 digits
	// CP is what stands between the two "&&", without the new password of 1072. "SystemTime=now" of 1012 stands for the gateway's clock at
	// each sending.
	CP       string    `json:"cp,omitempty"`
	Operator string    `json:"operator"` // who asked, 1..64 bytes; SetUpOperator for the gateway itself
	Reason   string    `json:"reason,omitempty"`
	Created  time.Time `json:"created"`  // UTC
	NotAfter time.Time `json:"notAfter"` // not sent for the first time after this moment; within MaxValidity of Created
}

// Validate reports the first fault of c; each begins with the JSON name of its field. Whether CN and CP are a request is the codec's to say.
func (c *Command) Validate() error {
	switch {
	case !wordOf(c.ID, 64, wordByte):
		return fmt.Errorf("id: %q is not 1..64 characters of 0-9 A-Z a-z - _", c.ID)
	case !ValidMN(c.MN):
		return fmt.Errorf("mn: %q cannot be a device id", c.MN)
	case len(c.CN) != 4 || !wordOf(c.CN, 4, func(b byte) bool { return '0' <= b && b <= '9' }):
		return fmt.Errorf("cn: %q is not four digits", c.CN)
	case c.Operator == "" || len(c.Operator) > 64:
		return fmt.Errorf("operator: %q is not 1..64 bytes", c.Operator)
	case len(c.Reason) > 1024:
		return fmt.Errorf("reason: has %d bytes, at most 1024", len(c.Reason))
	case c.Created.IsZero():
		return errors.New("created: is missing")
	case !c.NotAfter.After(c.Created) || c.NotAfter.Sub(c.Created) > MaxValidity:
		return fmt.Errorf("notAfter: is %v after created, not within 0..%v", c.NotAfter.Sub(c.Created), MaxValidity)
	}
	return nil
}

// wordByte reports whether b may stand in an id.
func wordByte(b byte) bool {
	return b == '-' || b == '_' || '0' <= b && b <= '9' || 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z'
}

// wordOf reports whether s has 1..limit bytes, all of them allowed.
func wordOf(s string, limit int, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= limit
}

// A Step is where a command is in its life.
type Step string

const (
	StepSending  Step = "sending"  // about to be sent; written before the bytes leave, so that a crash can't send a command twice unseen
	StepAccepted Step = "accepted" // the device answered 9011 with QnRtn 1
	StepData     Step = "data"     // data frames of the answer came: the first, and from then on at most one step every few seconds
	StepDone     Step = "done"     // final: 9012 with ExeRtn 1 (or 100, no data, where data were asked for), a 9013, or data without a 9012
	StepRefused  Step = "refused"  // final: 9011 with another QnRtn
	StepFailed   Step = "failed"   // final: 9012 with another ExeRtn, no answer after the last try, or the connection ended
	StepExpired  Step = "expired"  // final: the device did not connect before NotAfter
)

// Steps lists every Step.
func Steps() []Step {
	return []Step{StepSending, StepAccepted, StepData, StepDone, StepRefused, StepFailed, StepExpired}
}

// Final reports whether nothing follows s.
func (s Step) Final() bool {
	return s == StepDone || s == StepRefused || s == StepFailed || s == StepExpired
}

// An Outcome is one step in a Command's life, written by the gateway that has the device's connection: to the journal first, as
// KindOutcome, and then to the commands topic, both under the key MN. Two gateways can both find that a command has expired, or that the
// gateway which sent it is gone: the first final step of a command counts.
type Outcome struct {
	ID      string    `json:"id"` // of the Command
	MN      string    `json:"mn"`
	CN      string    `json:"cn"`
	Step    Step      `json:"step"`
	QN      string    `json:"qn,omitempty"`   // of the request as sent; for StepData that of the answer
	Try     int       `json:"try,omitempty"`  // StepSending: 1 for the first
	Code    int       `json:"code,omitempty"` // QnRtn or ExeRtn (HJ 212-2017 tables 6 and 7)
	Detail  string    `json:"detail,omitempty"`
	Gateway string    `json:"gateway"`
	Peer    string    `json:"peer,omitempty"`
	Time    time.Time `json:"time"` // UTC
}
