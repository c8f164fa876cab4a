package hj212

// FrameFlag is the segment's Flag (HJ 212-2017 table 3): version in bits 7..2, packet numbers in bit 1, answer wanted in bit 0. The
// editions name bits 1 and 0 D and A, or A and D; their places are the same in all.
type FrameFlag uint8

// Values of FrameFlag.Version.
const (
	Version2005 = 0
	Version2017 = 1
	Version2025 = 2 // also sent by surface-water stations since before 2025
)

// WantAck reports bit 0: the sender wants an answer.
func (f FrameFlag) WantAck() bool { return f&1 != 0 }

// HasPackets reports bit 1: PNUM and PNO are there. 2005 requests set it without having them.
func (f FrameFlag) HasPackets() bool { return f&2 != 0 }

// Version is 0 for HJ/T 212-2005, 1 for HJ 212-2017, 2 for HJ 212-2025. It is a hint: devices send 2017 codes under version 0.
func (f FrameFlag) Version() uint8 { return uint8(f >> 2) }
