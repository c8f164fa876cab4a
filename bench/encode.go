package bench

import (
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// A Behaviour is how a virtual logger deviates from a good one.
type Behaviour uint8

const (
	Normal    Behaviour = iota
	Exceeding           // COD about twice the limit of 50 mg/L, from some hours before the start on
	Silent              // the backfill and one real-time interval, then nothing on an open connection
	Bad                 // damaged and odd frames beside the good ones, see BadKind

	// Loggers that upload as a Normal one does and answer requests of the host in ways seen on real devices.
	NoReceipt     // never 9011
	NoResult      // never 9012
	ResultFirst   // 9012 before anything else
	Refusing      // 9011 with QnRtn 2
	Deaf          // no answer at all
	numBehaviours = iota
)

// A Profile is one virtual logger: the device that it claims to be and what it measures.
type Profile struct {
	Device    telemetry.Device
	Version   int // 2005 or 2017: the dialect it speaks
	Signals   []Signal
	Behaviour Behaviour
}

// NewProfile makes the logger of a registered device. An MN of 14 characters speaks HJ/T 212-2005 (its MN length), every other HJ 212-2017.
func NewProfile(d telemetry.Device, b Behaviour) Profile {
	p := Profile{Device: d, Version: 2017, Signals: waterSignals(), Behaviour: b}
	if len(d.MN) == 14 {
		p.Version = 2005
	}
	if d.Medium == "gas" {
		p.Signals = gasSignals()
	}
	return p
}

// Command codes of the uploads (HJ 212-2017 table 9).
const (
	cnRealtime = "2011"
	cnDay      = "2031"
	cnMinute   = "2051"
	cnHour     = "2061"
	cnPowerOn  = "2081"
)

// An encoder writes the frames of one profile. Every method returns a fresh whole frame.
type encoder struct {
	profile *Profile
	model   *model
}

// header holds what differs between the segments of one logger.
type header struct {
	cn  string
	qn  time.Time // zero: neither QN nor Flag, as 2005 devices send real-time data
	ack bool      // the ack bit of Flag
	pw  string    // "": the device's own
}

// segment appends the segment's fields up to the opening && of the CP (order of HJ 212-2017 table 3, which 2005 shares).
func (e *encoder) segment(dst []byte, h header) []byte {
	d := &e.profile.Device
	if !h.qn.IsZero() {
		dst = append(hj212.AppendQN(append(dst, "QN="...), h.qn), ';')
	}
	st := "32"
	if d.Medium == "gas" {
		st = "31"
	}
	pw := h.pw
	if pw == "" {
		pw = password(d)
	}
	dst = append(append(append(dst, "ST="...), st...), ";CN="...)
	dst = append(append(append(dst, h.cn...), ";PW="...), pw...)
	dst = append(append(dst, ";MN="...), d.MN...)
	if !h.qn.IsZero() {
		dst = append(append(dst, ";Flag="...), e.flag(h.ack))
	}
	return append(dst, ";CP=&&"...)
}

// password is the device's PW, or the one that every example of the standards uses where the registry does not check it.
func password(d *telemetry.Device) string {
	if d.PW == "" {
		return "123456"
	}
	return d.PW
}

// flag is the Flag field: the version bits of the dialect and the ack bit (HJ 212-2017 table 3; zero version bits in 2005).
func (e *encoder) flag(ack bool) byte {
	f := byte('4')
	if e.profile.Version == 2005 {
		f = '0'
	}
	if ack {
		f++
	}
	return f
}

func frame(segment []byte) []byte { return hj212.AppendFrame(nil, append(segment, "&&"...)) }

func appendDataTime(dst []byte, t time.Time) []byte {
	return hj212.AppendTime(append(dst, "DataTime="...), t)
}

// powerOn is the upload of the power-on time, CN 2081: a 2017 logger's first frame.
func (e *encoder) powerOn(qn, at time.Time) []byte {
	dst := appendDataTime(e.segment(nil, header{cn: cnPowerOn, qn: qn, ack: true}), at)
	return frame(hj212.AppendTime(append(dst, ";RestartTime="...), at))
}

// realtime is the upload of the values at the second at, CN 2011.
func (e *encoder) realtime(h header, at time.Time) []byte {
	return frame(e.instants(e.segment(nil, h), at))
}

// instants appends DataTime and the values of CN 2011 at the second at.
func (e *encoder) instants(dst []byte, at time.Time) []byte {
	dst = appendDataTime(dst, at)
	for i, s := range e.profile.Signals {
		v := e.model.at(i, at)
		dst = e.item(append(dst, ';'), s, "-Rtd=", v, s.Decimals)
		if s.corrected {
			dst = e.item(append(dst, ','), s, "-ZsRtd=", convert(v, e.model.at(e.model.oxygen, at)), s.Decimals)
		}
		dst = e.normal(dst, s)
	}
	return dst
}

// period is the upload of the statistics of [start, start+length): CN 2051, 2061 or 2031. DataTime is the start (HJ 212-2017 table 4).
func (e *encoder) period(cn string, qn, start time.Time, length time.Duration) []byte {
	dst := appendDataTime(e.segment(make([]byte, 0, 1024), header{cn: cn, qn: qn, ack: true}), start)
	for i, st := range e.model.period(start, length) {
		s := e.profile.Signals[i]
		dst = append(dst, ';')
		if s.total != noTotal {
			dst = append(e.item(dst, s, "-Cou=", st.total, e.model.totalDecimals(s.total)), ',')
		}
		dst = e.item(dst, s, "-Min=", st.min, s.Decimals)
		dst = e.item(append(dst, ','), s, "-Avg=", st.avg, s.Decimals)
		dst = e.item(append(dst, ','), s, "-Max=", st.max, s.Decimals)
		if s.corrected {
			dst = e.item(append(dst, ','), s, "-ZsMin=", st.zsMin, s.Decimals)
			dst = e.item(append(dst, ','), s, "-ZsAvg=", st.zsAvg, s.Decimals)
			dst = e.item(append(dst, ','), s, "-ZsMax=", st.zsMax, s.Decimals)
		}
		dst = e.normal(dst, s)
	}
	return frame(dst)
}

func (e *encoder) code(s Signal) string {
	if e.profile.Version == 2005 {
		return s.Legacy
	}
	return s.Code
}

func (e *encoder) item(dst []byte, s Signal, suffix string, v int64, decimals int) []byte {
	return appendNumber(append(append(dst, e.code(s)...), suffix...), v, decimals)
}

// normal appends the data mark N, 正常 (HJ 212-2017 6.6.4).
func (e *encoder) normal(dst []byte, s Signal) []byte {
	return append(append(append(dst, ','), e.code(s)...), "-Flag=N"...)
}
