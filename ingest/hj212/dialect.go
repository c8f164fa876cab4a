package hj212

// A Dialect is the way in which a device computes its CRC field. That of the standards is DialectHJ, the zero value; the others are what
// devices in the field are known to send instead, and a property of the single device.
type Dialect uint8

const (
	DialectHJ            Dialect = iota // HJ 212-2017 annex A, the same in 2005 and 2025: CRC
	DialectModbus                       // CRC-16/MODBUS: what the words "ANSI CRC16" of the annex mislead to
	DialectModbusSwapped                // the same with its two bytes swapped: 22 of 53 frames of one captured line
	// DialectCCITT is CRC-16/CCITT-FALSE (polynomial 1021, most significant bit first, register FFFF at the start, nothing inverted).
	// No captured frame has it. The variant is inferred: it is the one that keeps the FFFF with which annex A starts.
	DialectCCITT
	// DialectNone takes any CRC: for a device whose field is wrong altogether. A frame is then told by its length and by what stands where
	// the length leads, see Framer.
	DialectNone
	numDialects = iota
)

var dialectNames = [numDialects]string{"hj", "modbus", "modbus-swapped", "ccitt", "none"}

// ParseDialect reads a dialect's name as the registry has it: "hj" or empty, "modbus", "modbus-swapped", "ccitt", "none".
func ParseDialect(name string) (Dialect, bool) {
	for i, n := range dialectNames {
		if n == name {
			return Dialect(i), true
		}
	}
	return DialectHJ, name == ""
}

// String is the name that ParseDialect reads.
func (d Dialect) String() string {
	if int(d) < len(dialectNames) {
		return dialectNames[d]
	}
	return "unknown"
}

// Sum is the check value that a device of the dialect sends for a data segment; for DialectNone, that of the standard.
func (d Dialect) Sum(data []byte) uint16 {
	switch d {
	case DialectModbus:
		return modbus(data)
	case DialectModbusSwapped:
		crc := modbus(data)
		return crc<<8 | crc>>8
	case DialectCCITT:
		return ccitt(data)
	}
	return CRC(data)
}

// other is the dialect apart from d under which crc is right for data, in the order of the constants. An accident has a
// chance of 3 in 65,536.
func (d Dialect) other(data []byte, crc uint16) (other Dialect, ok bool) {
	mod := modbus(data) // once for two of them: bad frames come in floods
	switch swapped := mod<<8 | mod>>8; {
	case d != DialectHJ && CRC(data) == crc:
		return DialectHJ, true
	case d != DialectModbus && mod == crc:
		return DialectModbus, true
	case d != DialectModbusSwapped && swapped == crc:
		return DialectModbusSwapped, true
	case d != DialectCCITT && ccitt(data) == crc:
		return DialectCCITT, true
	}
	return d, false
}

// reason is that of a frame whose CRC is wrong under the dialect expected and right under d.
func (d Dialect) reason() Reason {
	return [...]Reason{DialectHJ: ReasonCRCHJ, DialectModbus: ReasonCRCModbus, DialectModbusSwapped: ReasonCRCModbusSwapped, DialectCCITT: ReasonCRCCCITT}[d]
}

// modbus is CRC-16/MODBUS. It shares its polynomial, and so its table, with annex A, but keeps the whole register.
func modbus(data []byte) uint16 {
	r := uint16(0xFFFF)
	for _, b := range data {
		r = crcTable[byte(r)^b] ^ r>>8
	}
	return r
}

// ccittTable[x] is what eight shift rounds make of a register whose high byte is x and whose low byte is zero.
var ccittTable = makeCCITTTable()

func makeCCITTTable() (t [256]uint16) {
	for x := range t {
		r := uint16(x) << 8
		for range 8 {
			high := r >> 15
			r <<= 1
			if high == 1 {
				r ^= 0x1021
			}
		}
		t[x] = r
	}
	return t
}

// ccitt is CRC-16/CCITT-FALSE.
func ccitt(data []byte) uint16 {
	r := uint16(0xFFFF)
	for _, b := range data {
		r = ccittTable[byte(r>>8)^b] ^ r<<8
	}
	return r
}
