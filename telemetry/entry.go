package telemetry

import (
	"encoding/json"
	"fmt"
	"time"
)

// A Kind says what a journal entry is. It travels in the record header HeaderKind, as String().
type Kind uint8

const (
	KindFrame    Kind = iota + 1 // the exact bytes received, "##" to the tail
	KindReject                   // bytes of a known device that were refused; header HeaderReason says why
	KindSession                  // Session: a device's connection opened or closed
	KindTick                     // Tick: the partition's clock
	KindRegistry                 // Device: a change of the registry
	KindRules                    // the canonical JSON of a rule set; written to every partition
	KindCommand                  // Command: what a device is to be asked
	KindOutcome                  // Outcome: a step in a command's life
	KindVersion                  // Version: from here on the fold computes by another algorithm; written to every partition
	KindAction                   // Action: what people did about alarms, and whether they were told
	KindMark                     // Mark: a state of the plant or of its monitoring, declared for a time
	kindEnd
)

// Kinds lists every Kind.
func Kinds() []Kind {
	all := make([]Kind, 0, kindEnd-1)
	for k := KindFrame; k < kindEnd; k++ {
		all = append(all, k)
	}
	return all
}

var kindNames = map[Kind]string{
	KindFrame: "frame", KindReject: "reject", KindSession: "session", KindTick: "tick", KindRegistry: "registry", KindRules: "rules",
	KindCommand: "command", KindOutcome: "outcome", KindVersion: "version", KindAction: "action", KindMark: "mark",
}

// String is the kind's name on the wire; it is empty for a value that is no kind.
func (k Kind) String() string { return kindNames[k] }

// ParseKind is the inverse of String. ok is false for a name that this version does not know.
func ParseKind(name string) (k Kind, ok bool) {
	for k, n := range kindNames {
		if n == name {
			return k, true
		}
	}
	return 0, false
}

// Header keys of journal and output records.
const (
	HeaderKind    = "k"    // journal, commands, actions: Kind
	HeaderGateway = "gw"   // journal frame, reject, session; rejects: the ingest process's name
	HeaderPeer    = "peer" // the same: the device's address, host:port
	HeaderConn    = "cn"   // the same: connection number in the gateway, decimal
	HeaderReason  = "why"  // reject, rejects: Reason
	HeaderSource  = "src"  // outputs: Position.Source, decimal
	HeaderOrdinal = "ord"  // outputs: Position.Ordinal, decimal
)

// An Entry is one record of the journal, in one partition per device.
type Entry struct {
	Partition int32
	Offset    int64
	// Received is the record's timestamp: the moment of receipt by the gateway (or of writing, for the other kinds), UTC, to
	// the millisecond. Never device time.
	Received time.Time
	Kind     Kind
	MN       string // key; empty for ticks, rules, versions and the actions that concern more than a device
	Value    []byte // see Kind; aliases the record, read only
	Reason   string // KindReject only
}

// A Tick moves the clock of one partition. The log clock is the greatest Time seen; nothing else makes time pass.
type Tick struct {
	Time time.Time `json:"t"` // UTC, whole milliseconds
}

// A Version switches the arithmetic of its partition, from its offset on. Without one the algorithm is 1. A program keeps every algorithm
// that it ever had, so that a range replays by the one of its day.
type Version struct {
	Algorithm int       `json:"algorithm"` // 1 or more
	Operator  string    `json:"operator"`  // who asked, 1..64 bytes
	Reason    string    `json:"reason,omitempty"`
	Time      time.Time `json:"time"` // UTC
}

// A Session is an event of a device's connections: one opened, written when the device is first recognised on it; one closed; or a second
// one was seen while another was live, because the device was cloned or spoofed, or because its older connection died unnoticed.
type Session struct {
	MN    string `json:"mn"`
	Event string `json:"event"` // "open", "close" or "second"
	Peer  string `json:"peer"`
	Conn  uint64 `json:"conn"`
	Cause string `json:"cause,omitempty"` // close: why; second: what the policy made of it
	Other string `json:"other,omitempty"` // second: the peer of the connection that was live already
}

// AppendJSON appends v's canonical JSON: fixed field order, no floats, no maps, UTC times, no HTML escapes, no newline.
// It panics if v cannot be encoded, which for the nouns of this package is a broken invariant.
func AppendJSON(dst []byte, v any) []byte {
	b, err := marshalCanonical(v)
	if err != nil {
		panic(fmt.Sprintf("telemetry: %T has no JSON form: %v", v, err))
	}
	return append(dst, b...)
}

func marshalCanonical(v any) ([]byte, error) {
	var buf trimmedBuffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return buf.bytes(), nil
}

// trimmedBuffer collects an encoder's output without the newline that it ends with.
type trimmedBuffer struct{ b []byte }

func (t *trimmedBuffer) Write(p []byte) (int, error) { t.b = append(t.b, p...); return len(p), nil }

func (t *trimmedBuffer) bytes() []byte {
	if n := len(t.b); n > 0 && t.b[n-1] == '\n' {
		return t.b[:n-1]
	}
	return t.b
}
