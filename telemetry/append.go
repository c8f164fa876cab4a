package telemetry

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the status's canonical JSON, as the function AppendJSON does, without its allocations: each device has one a minute.
func (s *Status) AppendJSON(dst []byte) []byte {
	dst = appendText(append(dst, `{"mn":`...), s.MN)
	dst = appendText(append(dst, `,"outlet":`...), s.Outlet)
	dst = strconv.AppendBool(append(dst, `,"online":`...), s.Online)
	dst = appendTime(append(dst, `,"last_frame":`...), s.LastFrame)
	dst = appendTime(append(dst, `,"last_data":`...), s.LastData)
	dst = strconv.AppendInt(append(dst, `,"frames":`...), s.Frames, 10)
	dst = strconv.AppendInt(append(dst, `,"rejects":`...), s.Rejects, 10)
	dst = strconv.AppendInt(append(dst, `,"open_alarms":`...), int64(s.OpenAlarms), 10)
	return append(appendTime(append(dst, `,"at":`...), s.At), '}')
}

// appendTime appends a time of the years 0..9999, the only ones that JSON has.
func appendTime(dst []byte, t time.Time) []byte {
	if y := t.Year(); y < 0 || y > 9999 {
		return AppendJSON(dst, t)
	}
	return append(t.AppendFormat(append(dst, '"'), time.RFC3339Nano), '"')
}

// appendText appends a JSON string. What needs an escape, or might, goes the slow way.
func appendText(dst []byte, s string) []byte {
	for _, r := range s {
		if r < ' ' || r == '"' || r == '\\' || r == 0x7f || r == utf8.RuneError || r >= 0x2000 && r < 0x2100 {
			return AppendJSON(dst, s)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// ParseTick reads the JSON of a Tick; the canonical form without allocations. ok is false for what is none.
func ParseTick(b []byte) (t Tick, ok bool) {
	if text, is := bytes.CutPrefix(b, []byte(`{"t":"`)); is {
		if text, is = bytes.CutSuffix(text, []byte(`"}`)); is && t.Time.UnmarshalText(text) == nil {
			return t, true
		}
	}
	return parseAnyTick(b)
}

func parseAnyTick(b []byte) (t Tick, ok bool) {
	err := json.Unmarshal(b, &t)
	return t, err == nil
}
