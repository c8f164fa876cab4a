package hj212

import "strconv"

// A QnRtn is the answer to a request, in a 9011 (HJ 212-2017 table 6; HJ/T 212-2005 6.5 has 1 to 3 only; the table of 2025 is not known).
// The tables are open: devices use codes of their own.
type QnRtn int

// An ExeRtn is the result of a request's execution, in a 9012 (HJ 212-2017 table 7; HJ/T 212-2005 6.5 has 1, 2 and 100 only).
type ExeRtn int

const (
	QnReady  QnRtn  = 1   // will be executed
	ExeDone  ExeRtn = 1   // done
	ExeEmpty ExeRtn = 100 // no data in the period that was asked for
)

var qnRtnNames = map[QnRtn]string{
	1: "ready", 2: "refused", 3: "wrong PW", 4: "wrong MN", 5: "wrong ST", 6: "wrong Flag", 7: "wrong QN", 8: "wrong CN", 9: "wrong CRC",
	100: "unknown error",
}

var exeRtnNames = map[ExeRtn]string{
	1: "done", 2: "failed, reason unknown", 3: "wrong conditions in the request", 4: "communication timeout", 5: "busy", 6: "system fault",
	100: "no data",
}

// String is the code's meaning; that of a code outside the tables is its number. Surface-water stations (HJ 1404) use 9 for busy and
// 99 for a wrong CRC.
func (c QnRtn) String() string {
	if s, ok := qnRtnNames[c]; ok {
		return s
	}
	return "code " + strconv.Itoa(int(c))
}

// String is the code's meaning; that of a code outside the tables is its number.
func (c ExeRtn) String() string {
	if s, ok := exeRtnNames[c]; ok {
		return s
	}
	return "code " + strconv.Itoa(int(c))
}
