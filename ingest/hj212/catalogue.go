package hj212

import "slices"

const (
	allEditions = In2005 | In2017 | In2025
	from2017    = In2017 | In2025
	daySeconds  = 24 * 60 * 60
	maxLogText  = 890 // bytes of a log text (HJ 212-2017 B.10)
)

// catalogue is the command table, in the order of codes: HJ/T 212-2005 6.4 and annex C, HJ 212-2017 table 9 and annex C, and what is known
// of HJ 212-2025 annex C.
var catalogue = slices.Concat(parameterCommands, dataCommands, controlCommands)

// The functions below write one parameter, or several, as a row of the table reads them:
//
//	params(codeParam("PolId").opt(), intParam("Stime", 0, 120, "min").only(In2017))

func params(list ...Param) []Param { return list }

func intParam(key string, least, most int64, unit string) Param {
	return Param{Key: key, Type: TypeInt, Min: least, Max: most, Unit: unit}
}

// minuteInterval divides the hour (HJ 212-2017 table 4).
func minuteInterval() Param {
	return Param{Key: "MinInterval", Type: TypeInt, Max: 30, OneOf: []int64{1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30}, Unit: "min"}
}

func timeParam(key string) Param { return Param{Key: key, Type: TypeTime} }

func clockParam(key string, digits int64) Param { return Param{Key: key, Type: TypeClock, Max: digits} }

// codeParam is a factor's or an information's code. The standards have 3 characters in 2005 and 6 later; private codes are longer.
func codeParam(key string) Param { return Param{Key: key, Type: TypeCode, Min: 1, Max: 32} }

func textParam(key string, least, most int64) Param {
	return Param{Key: key, Type: TypeText, Min: least, Max: most}
}

func secretParam(key string, size int64) Param {
	return Param{Key: key, Type: TypeWord, Min: size, Max: size, Secret: true}
}

// valueParam is a number of any code.
func valueParam(suffix string) Param {
	return Param{Key: "*-" + suffix, Type: TypeDecimal, Repeat: true}
}

// valueParams are numbers that a code may have, one parameter for each suffix.
func valueParams(suffixes ...string) (list []Param) {
	for _, s := range suffixes {
		list = append(list, valueParam(s).opt())
	}
	return list
}

// markParam is the data mark of any code.
func markParam() Param { return textParam("*-Flag", 1, 8).opt().many() }

// period is the range of DataTime that a request asks for, closed at both ends.
func period() []Param { return params(timeParam("BeginTime"), timeParam("EndTime")) }

func dataTime() []Param { return params(timeParam("DataTime")) }

// answerQN is the request's QN, which answers of 2005 carry in the CP.
func answerQN() Param { return Param{Key: "QN", Type: TypeMillis}.opt().only(In2005) }

// instant is what 2011 holds of each factor.
func instant() []Param {
	return slices.Concat(dataTime(), valueParams("Rtd", "ZsRtd"), params(markParam()))
}

// sampled is what 2017 adds to it.
func sampled() []Param {
	return params(textParam("*-EFlag", 1, 4).opt().many(), timeParam("*-SampleTime").opt().many())
}

// statistics is what 2051, 2061 and 2031 hold of each factor, with the suffixes of their noise values.
func statistics(noise ...string) []Param {
	return slices.Concat(dataTime(), valueParams("Min", "Avg", "Max", "Cou", "ZsMin", "ZsAvg", "ZsMax"), valueParams(noise...),
		params(markParam(), valueParam("RawAvg").opt().only(In2025)))
}

func (p Param) opt() Param { p.Optional = true; return p }

func (p Param) many() Param { p.Repeat = true; return p }

func (p Param) only(in Editions) Param { p.In = in; return p }
