package hj212

// Quality is the set of oddities of one delivered frame: findings about the sender, never a reason to refuse.
type Quality uint32

const (
	NoQN           Quality = 1 << iota // QN absent or empty; legal on uploads of 2005
	OddQN                              // QN is not a 17-digit time of the calendar
	NoFlag                             // Flag absent; legal on uploads of 2005
	OddFlag                            // Flag is not a number in 0..255; treated as absent
	UnknownVersion                     // Flag's version bits are above those of 2025
	PacketsMissing                     // Flag announces packet numbers, PNUM or PNO is absent; usual in requests of 2005
	OddPackets                         // PNUM or PNO not in 1..9999, PNO above PNUM, or there although Flag does not say so
	PacketOrder                        // PNO before PNUM
	FlagAfterCP                        // header fields behind the closing "&&"
	NoCP                               // no CP field
	UnclosedCP                         // an "&&" of the CP is missing
	Oversize                           // segment above 1024 bytes
	LowerCRC                           // CRC in lower-case hex; from Frame.Quality: whoever has the Frame adds it to the Message's
	UnknownField                       // a header field that no edition has
	RepeatedField                      // a header field twice; the first counts
	BareField                          // a field, in header or CP, without "="
	UnknownSuffix                      // a factor suffix outside the standards' tables; the pair stays in Pairs
	RepeatedFactor                     // the same value of a factor twice in one record: two groups
	FactorlessFlag                     // a "Flag=" without a factor within the CP
	LaterRecord                        // more than one DataTime in one CP
	OddRF                              // RF is there and not 1, its only legal value (HJ 212-2025)
	WrongLength                        // the length field is not the segment's, which was found by its text; from Frame.Quality
	UnpaddedLength                     // the length field has less than four digits; from Frame.Quality
	numQualities   = iota
)

var qualityNames = [numQualities]string{
	"no_qn", "qn_not_timestamp", "no_flag", "odd_flag", "unknown_version", "packets_missing", "odd_packets", "pno_before_pnum",
	"flag_after_cp", "no_cp", "cp_not_closed", "segment_over_1024", "crc_lower_case", "unknown_field", "repeated_field", "bare_field",
	"unknown_suffix", "repeated_factor", "flag_without_factor", "several_records", "odd_rf", "length_wrong", "length_not_padded",
}

// Names lists the oddities in snake_case, in the order of the constants; nil for none.
func (q Quality) Names() []string {
	var names []string
	for i, name := range qualityNames {
		if q&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}
