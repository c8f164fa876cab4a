package telemetry

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStatusHasOneForm(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "W01", "排口", "a\"b\\c", "<&>", "\u2028", "\xff", "\x7f", "\x00\n"}))
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string) time.Time {
			return time.UnixMilli(rapid.Int64Range(-1<<40, 1<<44).Draw(t, name)).UTC()
		}
		s := Status{MN: text.Draw(t, "mn"), Outlet: text.Draw(t, "outlet"), Online: rapid.Bool().Draw(t, "online"), LastFrame: at("frame"), LastData: at("data"),
			Frames: rapid.Int64().Draw(t, "frames"), Rejects: rapid.Int64().Draw(t, "rejects"), OpenAlarms: rapid.Int().Draw(t, "alarms"), At: at("at")}
		if got, want := string(s.AppendJSON([]byte("x"))), "x"+string(AppendJSON(nil, &s)); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
	s := Status{MN: "010000A8900016F000169DC0", Outlet: "W01", At: time.UnixMilli(1).UTC()}
	b := s.AppendJSON(nil)
	if n := testing.AllocsPerRun(100, func() { b = s.AppendJSON(b[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTicksAreReadAsJSON(t *testing.T) {
	canonical := AppendJSON(nil, Tick{Time: time.UnixMilli(1_772_330_400_123).UTC()})
	if n := testing.AllocsPerRun(100, func() { ParseTick(canonical) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for _, text := range []string{`{"t":"2026-03-01T02:00:00Z"}`, `{"t":"2026-03-01T02:00:00.123Z"}`, `{"t":"2026-03-01T10:00:00.5+08:00"}`, `{"T":"2026-03-01T02:00:00Z"}`, `{}`,
		`{"t":"x"}`, `{"t":"2026-03-01T02:00:00Z","t":"2027-03-01T02:00:00Z"}`, ``, `{"t":"2026-03-01T02:00:00Z"} `, `{"t":"2026-03-01T02:00:00\u005a"}`, `{"t":""}`, `{"t":null}`, `{"t":"2026-3-1T02:00:00Z"}`} {
		var want Tick
		err := json.Unmarshal([]byte(text), &want)
		got, ok := ParseTick([]byte(text))
		if ok != (err == nil) || ok && !got.Time.Equal(want.Time) {
			t.Errorf("%s: %v %t, want %v %v", text, got, ok, want, err)
		}
	}
}
