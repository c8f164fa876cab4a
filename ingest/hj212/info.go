package hj212

import (
	"bytes"
	"iter"
)

// A Reply is what a 9011, 9012, 9013 or 9014 says. Its slices alias the Message.
type Reply struct {
	CN        string // "9011" request answer, "9012" execution result, "9013" notice answer, "9014" data answer
	QN        []byte // of what is answered: ExchangeQN
	Code      int    // QnRtn of a 9011, ExeRtn of a 9012; 0, which no edition uses, when absent or not a number up to 999
	AnswersCN []byte // CN of what is answered, in a 9014 of 2005; nil when not said
	PNUM, PNO int    // packet that is answered; 0 when not said
}

// Reply reads m as an answer; ok is false when its CN is none of the four.
func (m *Message) Reply() (r Reply, ok bool) {
	r = Reply{QN: m.ExchangeQN(), PNUM: m.PNUM, PNO: m.PNO}
	switch string(m.CN) {
	case "9011":
		r.CN = "9011"
		r.Code = m.number("QnRtn", 999)
	case "9012":
		r.CN = "9012"
		r.Code = m.number("ExeRtn", 999)
	case "9013":
		r.CN = "9013"
	case "9014":
		r.CN = "9014"
		r.AnswersCN, _ = m.Param("CN")
		if n := m.number("PNUM", 9999); n > 0 {
			r.PNUM, r.PNO = n, m.number("PNO", 9999)
		}
	default:
		return Reply{}, false
	}
	return r, true
}

// ExchangeQN is the QN of the exchange that m belongs to: that of its CP, where answers of 2005 carry it, else that of its header; nil
// when both are absent.
func (m *Message) ExchangeQN() []byte {
	if qn, ok := m.Param("QN"); ok && len(qn) > 0 {
		return qn
	}
	return m.QN
}

// Param is the value of the CP's first "key=value" with that key, case apart, empty when sent empty; ok is false when there is none. It reads
// the CP itself, up to that pair, and not Pairs.
func (m *Message) Param(key string) (value []byte, ok bool) {
	if key != "" && bytes.IndexByte(m.CP, key[0]) < 0 && bytes.IndexByte(m.CP, key[0]^0x20) < 0 {
		return nil, false // at once: every ack of 2005 looks for a QN, which data do not have
	}
	for rest := m.CP; len(rest) > 0; {
		var field []byte
		field, rest = nextPair(rest)
		if k, v, ok := splitPair(field); ok && equalFold(k, key) {
			return v, true
		}
	}
	return nil, false
}

// number is a parameter that is digits, up to limit; 0 when it is absent or something else.
func (m *Message) number(key string, limit int) int {
	value, _ := m.Param(key)
	n, _ := parseUint(value, limit)
	return n
}

// Kind is what an Item of a CP is, by the suffix of its key.
type Kind uint8

const (
	KindOther   Kind = iota // a parameter without a code, or a suffix that no edition has
	KindValue               // value of a factor over time; see Message.Groups, which join those of one factor
	KindMark                // data mark of a factor (-Flag), or a maker's own (-EFlag)
	KindState               // state of a facility (-RS; 2021): 0 off, 1 running, 2 calibration, 3 maintenance, 4 alarm, 5 back-flush
	KindRunTime             // hours that a facility ran in the day (-RT; 2041)
	KindAlarm               // value of a factor while in alarm (-Ala; 2071, 2072)
	KindLow                 // lower alarm limit of a factor (-LowValue; 1021, 1022)
	KindHigh                // upper alarm limit (-UpValue)
	KindNoise               // noise statistic of the period, dB (-Data; 2051, 2061, 2031, 2052)
	KindDay                 // the same, of the day's daytime (-DayData; 2031)
	KindNight               // the same, of its night (-NightData)
	KindInfo                // information of a field device (-Info; 3020, 3021, and 1001, 1002 of 2025): log, state or parameter
	KindSerial              // id of an instrument (-SN; 3019)
	KindSampled             // time of sampling (-SampleTime)
	KindDone                // time at which a measurement was complete (-CompleteTime; 2013 of 2025, single source)
	KindSample              // type of sample (-SampleType; 2013 of 2025, single source)
	KindFound               // what was measured of a standard sample (-SampleRd; 2062 of 2025, single source)
	KindNominal             // what the standard sample holds (-StandardValue; 2062 of 2025, single source)
	KindResult              // result of the check (-ResultType; 2062 of 2025, single source)
	KindRaw                 // mean before conversion (-RawAvg; 2051 of 2025, single source)
	numKinds    = iota
)

// kindSuffixes are the suffixes by Kind; those of KindValue are in suffixNames.
var kindSuffixes = [numKinds]string{
	KindMark: "Flag", KindState: "RS", KindRunTime: "RT", KindAlarm: "Ala", KindLow: "LowValue", KindHigh: "UpValue", KindNoise: "Data",
	KindDay: "DayData", KindNight: "NightData", KindInfo: "Info", KindSerial: "SN", KindSampled: "SampleTime", KindDone: "CompleteTime",
	KindSample: "SampleType", KindFound: "SampleRd", KindNominal: "StandardValue", KindResult: "ResultType", KindRaw: "RawAvg",
}

// since2025 reports a kind that is known under Flag of 2025 alone. Each has a single source, not compared with the printed standard, and
// elsewhere the suffix is a maker's own. RawAvg is in a printed example, and taken everywhere.
func (k Kind) since2025() bool {
	switch k {
	case KindDone, KindSample, KindFound, KindNominal, KindResult:
		return true
	}
	return false
}

// An Item is one pair of a CP with what the pairs before it say about it. Its slices alias the Message.
type Item struct {
	Kind   Kind
	Time   []byte // DataTime, or AlarmTime, in force; nil when none came before
	PolID  []byte // PolId in force: the factor whose instrument is meant; nil when none came before
	Code   []byte // facility, factor, noise statistic or information; the whole key when that has no hyphen
	Suffix []byte // behind the key's last hyphen; nil when it has none
	Value  []byte // nil when there was no "="
}

// Items walks through the CP in order. A further DataTime starts a new record, without a PolId; a PolId holds until the next one. A
// facility named without suffix ("SB1=1" in a 2021) counts as its state.
func (m *Message) Items() iter.Seq[Item] {
	return func(yield func(Item) bool) {
		var time, polID []byte
		for i := range m.Pairs {
			p := &m.Pairs[i]
			it := Item{Time: time, PolID: polID, Code: p.Key, Value: p.Value}
			switch hyphen := bytes.LastIndexByte(p.Key, '-'); {
			case hyphen > 0:
				it.Code, it.Suffix = bytes.TrimRight(p.Key[:hyphen], "- "), trim(p.Key[hyphen+1:])
				it.Kind = kindOf(it.Suffix)
			case equalFold(p.Key, "DataTime") || equalFold(p.Key, "AlarmTime"):
				time, polID = p.Value, nil
			case equalFold(p.Key, "PolId"):
				polID = p.Value
			case isFacility(p.Key):
				it.Kind = KindState
			}
			if !yield(it) {
				return
			}
		}
	}
}

// kindOf reads a suffix, case apart.
func kindOf(suffix []byte) Kind {
	if _, ok := parseSuffix(suffix); ok {
		return KindValue
	}
	for k := KindMark; k < numKinds; k++ {
		if equalFold(suffix, kindSuffixes[k]) {
			return k
		}
	}
	if equalFold(suffix, "EFlag") {
		return KindMark
	}
	return KindOther
}

// isFacility reports "SB" and digits (SBn, HJ 212-2017 table 4).
func isFacility(key []byte) bool {
	if len(key) < 3 || !equalFold(key[:2], "SB") {
		return false
	}
	_, ok := parseUint(key[2:], 9999)
	return ok
}

// Log is the text of a log entry, what stands between "//" and "//" in an information's value (HJ 212-2017 B.10); ok is false for a value
// of another form. Text says in which charset it is.
func (it Item) Log() (text []byte, ok bool) {
	v := it.Value
	if it.Kind != KindInfo || len(v) < 4 || string(v[:2]) != "//" || string(v[len(v)-2:]) != "//" {
		return nil, false
	}
	return v[2 : len(v)-2], true
}

// Number is the value as a number; ok is false when it is none.
func (it Item) Number() (d Decimal, ok bool) { return ParseDecimal(it.Value) }
