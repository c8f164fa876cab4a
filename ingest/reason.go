package ingest

import "outfall/ingest/hj212"

// Reason says why bytes were refused. It is a metric label and a header value, and a superset of hj212.Reason under the same names:
// add at the end, never reorder.
type Reason uint8

const (
	ReasonGarbage          Reason = iota + 1 // bytes that begin no frame
	ReasonLength                             // the length field is no number, too large, or does not fit
	ReasonCRC                                // HJ 212-2017 annex A
	ReasonTail                               // no CR LF after the CRC
	ReasonHalf                               // the rest of the frame never came
	ReasonSegment                            // a data segment without any field
	ReasonBadMN                              // no MN, or one that can be no device id
	ReasonUnknownMN                          // the registry does not name the MN
	ReasonWrongPW                            // PW is not the registry's
	ReasonTooManyDevices                     // more devices on one connection than Config.MaxDevices
	ReasonPublishError                       // the journal refused the record for good: not kept, not acknowledged; the device sends again
	ReasonWrongNetwork                       // the device may not connect from this address
	ReasonWrongCertificate                   // the connection has not shown the device's client certificate
	ReasonSecondSession                      // the device has a live session on another connection, and the policy is to refuse
	// The CRC is wrong as the device's registry entry has it, and right in the dialect that the reason names: what the entry should say.
	ReasonCRCModbus
	ReasonCRCModbusSwapped
	ReasonCRCCCITT
	ReasonCRCHJ
	reasonEnd
)

var reasonNames = [reasonEnd]string{"", "garbage", "length", "crc", "tail", "half", "segment", "bad_mn", "unknown_mn", "wrong_pw",
	"too_many_devices", "publish_error", "wrong_network", "wrong_certificate", "second_session", "crc_modbus", "crc_modbus_swapped", "crc_ccitt", "crc_hj"}

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
	codec := [...]Reason{
		hj212.ReasonLength: ReasonLength, hj212.ReasonCRC: ReasonCRC, hj212.ReasonTail: ReasonTail, hj212.ReasonHalf: ReasonHalf,
		hj212.ReasonSegment: ReasonSegment, hj212.ReasonCRCModbus: ReasonCRCModbus, hj212.ReasonCRCModbusSwapped: ReasonCRCModbusSwapped,
		hj212.ReasonCRCCCITT: ReasonCRCCCITT, hj212.ReasonCRCHJ: ReasonCRCHJ,
	}
	if int(r) < len(codec) && codec[r] != 0 {
		return codec[r]
	}
	return ReasonGarbage
}

// Cause says why a connection ended. It is a metric label and a field of telemetry.Session.
type Cause uint8

const (
	CausePeer          Cause = iota + 1 // the device closed it, or the line broke
	CauseIdle                           // nothing came for the idle timeout
	CauseLogin                          // no frame of a known device within the login timeout
	CauseGarbage                        // too many refused bytes since the last good frame
	CauseBacklog                        // more bytes waiting for room in the journal than allowed
	CauseSlowReader                     // the device does not read its acks
	CauseShutdown                       // the gateway stops
	CauseReplaced                       // the device has a newer session
	CauseRefusedSecond                  // the device has a live session elsewhere, and the policy is to refuse
	CauseFlood                          // more than its address may send or open
	causeEnd
)

var causeNames = [causeEnd]string{"", "peer", "idle", "login", "garbage", "backlog", "slow_reader", "shutdown", "replaced", "second_session", "flood"}

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

// ackFor is what the host owes for m of an edition (HJ 212-2017 6.6.5, table 9): 9014 for uploads and everything unknown that asks for an
// answer, 9013 for notices. A device's own replies (ST=91) and frames without the answer bit get nothing, but for a 9012 of 2005, which
// is acknowledged where data is (HJ/T 212-2005 6.4).
func ackFor(m *hj212.Message, version uint8) ackKind {
	if !m.Flag.WantAck() {
		return ackNone
	}
	cn := string(m.CN)
	switch {
	case cn == "9012" && version == hj212.Version2005:
		return ackData
	case string(m.ST) == "91", cn == "9011", cn == "9012", cn == "9013", cn == "9014":
		return ackNone
	case cn == "1001", cn == "1013", cn == "1014", cn == "2072": // 1001 and 1014: serial numbers and key request of HJ 212-2025; 2072: alarm event of 2005
		return ackNotice
	case cn != "" && cn[0] == '9': // 9015 heartbeat of HJ 212-2025, 9021 and other private heartbeats
		return ackNotice
	}
	return ackData
}
