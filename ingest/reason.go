package ingest

import "outfall/ingest/hj212"

// Reason says why bytes were refused. It is a metric label and a header value, and a superset of hj212.Reason under the same names:
// add at the end, never reorder.
type Reason uint8

const (
	ReasonGarbage        Reason = iota + 1 // bytes that begin no frame
	ReasonLength                           // the length field is no number, too large, or does not fit
	ReasonCRC                              // HJ 212-2017 annex A
	ReasonTail                             // no CR LF after the CRC
	ReasonHalf                             // the rest of the frame never came
	ReasonSegment                          // a data segment without any field
	ReasonBadMN                            // no MN, or one that can be no device id
	ReasonUnknownMN                        // the registry does not name the MN
	ReasonWrongPW                          // PW is not the registry's
	ReasonTooManyDevices                   // more devices on one connection than Config.MaxDevices
	ReasonPublishError                     // the journal refused the record for good: not kept, not acknowledged; the device sends again
	reasonEnd
)

var reasonNames = [reasonEnd]string{"", "garbage", "length", "crc", "tail", "half", "segment", "bad_mn", "unknown_mn", "wrong_pw",
	"too_many_devices", "publish_error"}

// String is the reason's name on the wire and in metrics; it is empty for a value that is no reason.
func (r Reason) String() string {
	if r >= reasonEnd {
		return ""
	}
	return reasonNames[r]
}

// Reasons lists every Reason.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonEnd-1)
	for r := ReasonGarbage; r < reasonEnd; r++ {
		all = append(all, r)
	}
	return all
}

// parseReason is the Reason of a codec's verdict.
func parseReason(r hj212.Reason) Reason {
	switch r {
	case hj212.ReasonLength:
		return ReasonLength
	case hj212.ReasonCRC:
		return ReasonCRC
	case hj212.ReasonTail:
		return ReasonTail
	case hj212.ReasonHalf:
		return ReasonHalf
	case hj212.ReasonSegment:
		return ReasonSegment
	default:
		return ReasonGarbage
	}
}

// Cause says why a connection ended. It is a metric label and a field of telemetry.Session.
type Cause uint8

const (
	CausePeer       Cause = iota + 1 // the device closed it, or the line broke
	CauseIdle                        // nothing came for the idle timeout
	CauseLogin                       // no frame of a known device within the login timeout
	CauseGarbage                     // too many refused bytes since the last good frame
	CauseBacklog                     // more bytes waiting for room in the journal than allowed
	CauseSlowReader                  // the device does not read its acks
	CauseShutdown                    // the gateway stops
	causeEnd
)

var causeNames = [causeEnd]string{"", "peer", "idle", "login", "garbage", "backlog", "slow_reader", "shutdown"}

// String is the cause's name on the wire and in metrics; it is empty for a value that is no cause.
func (c Cause) String() string {
	if c >= causeEnd {
		return ""
	}
	return causeNames[c]
}

// ackKind is what a device is owed once its frame is durable.
type ackKind uint8

const (
	ackNone   ackKind = iota
	ackData           // 9014
	ackNotice         // 9013
	ackEnd
)

var ackNames = [ackEnd]string{"none", "data", "notice"}

// ackFor is what the host owes for m (HJ 212-2017 6.6.5, table 9): 9014 for uploads and everything unknown that asks for an answer,
// 9013 for notices. A device's own replies (ST=91) and frames without the answer bit get nothing.
func ackFor(m *hj212.Message) ackKind {
	if !m.Flag.WantAck() || string(m.ST) == "91" {
		return ackNone
	}
	switch string(m.CN) {
	case "9011", "9012", "9013", "9014":
		return ackNone
	case "1001", "1013", "1014", "2072": // 1001 and 1014: serial numbers and key request of HJ 212-2025; 2072: alarm event of 2005
		return ackNotice
	}
	if len(m.CN) > 0 && m.CN[0] == '9' { // 9015 heartbeat of HJ 212-2025, 9021 and other private heartbeats
		return ackNotice
	}
	return ackData
}
