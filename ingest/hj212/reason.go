package hj212

import "strconv"

// Reason says why bytes were refused. It is a metric label: add at the end, never reorder.
type Reason uint8

const (
	ReasonGarbage Reason = iota + 1 // bytes outside any frame: before a "##"
	ReasonLength                    // length field not four digits, above the limit, or not the segment's length
	ReasonCRC                       // CRC is not the segment's, or not four hex digits (annex A)
	ReasonTail                      // no CR LF after a right CRC; strict framing only
	ReasonHalf                      // the stream ended within a frame
	ReasonSegment                   // a data segment without a single field

	// The CRC is wrong under the framer's Dialect and right under another: the one that the device's registry entry should name.
	ReasonCRCModbus
	ReasonCRCModbusSwapped
	ReasonCRCCCITT
	ReasonCRCHJ
	numReasons = iota + 1
)

var reasonNames = [numReasons]string{
	"unknown", "garbage", "length", "crc", "tail", "half", "segment", "crc_modbus", "crc_modbus_swapped", "crc_ccitt", "crc_hj",
}

// String is the reason in snake_case, as metrics and records carry it.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return reasonNames[0]
}

// Reasons lists every reason, so that each can have its metric series from the start. The slice is the caller's.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := ReasonGarbage; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// A ParseError is the sender's fault; trying again cannot help.
type ParseError struct {
	Reason Reason
	Offset int    // of the fault, in bytes from the first byte given to the call
	Detail string // for people: both sides of the mismatch; no device text in it
}

func (e *ParseError) Error() string {
	return "hj212: " + e.Reason.String() + " at byte " + strconv.Itoa(e.Offset) + ": " + e.Detail
}
