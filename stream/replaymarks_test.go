package stream

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"outfall/telemetry"
)

// marked is an hour whose minutes 5..30 turn out to be of a calibration, and what its fold gives as published.
func marked(t *testing.T) *hour {
	h := newHour(t)
	to := h.t0.Add(30 * time.Minute)
	m := telemetry.Mark{V: telemetry.MarkVersion, ID: "m1", MN: h.mn, Kind: telemetry.MarkMaintenance, From: h.t0.Add(5 * time.Minute), To: &to, Who: "li", When: h.late}
	rec := h.record(telemetry.KindMark, h.partition(h.mn), h.mn, telemetry.AppendJSON(nil, &m))
	rec.Timestamp = h.late.Add(2 * time.Minute)
	h.recs = append(h.recs[:0], rec)
	h.tick(h.late.Add(3 * time.Minute))
	h.write(h.recs)
	h.publish()
	return h
}

// A trace says of each frame which mark keeps it out of the mean, and the others make the number.
func TestTraceOfAMarkedHour(t *testing.T) {
	h := marked(t)
	tr := h.trace(TraceOptions{MN: h.mn, Factor: "w01018", Stat: telemetry.StatHour, Time: h.t0, Rev: -1})
	if tr.EntryKind != "mark" || tr.Windows[0].Minutes != 59-24 { // 24 of the 25 had a value
		t.Errorf("by a %s, of %d minutes", tr.EntryKind, tr.Windows[0].Minutes)
	}
	if _, no := counted(tr.Windows[0]); !slices.ContainsFunc(no, func(s string) bool { return strings.Contains(s, "its data enter no mean: mark m1") }) {
		t.Errorf("no frame is kept out by the mark: %q", no)
	}
	h.trace(TraceOptions{MN: h.mn, Factor: "w01018", Stat: telemetry.StatHour, Time: h.t0, Rev: 0})
}

// By what is known now, the alarm of the marked minutes never was, and the hour is right from its first publication on.
func TestReplayKnownNow(t *testing.T) {
	h := marked(t)
	events := func(known bool) (alarms []string, hours []string) {
		dir := t.TempDir()
		h.replay(ReplayOptions{Out: dir, MNs: []string{h.mn}, KnownNow: known})
		for _, name := range []string{"alarms.jsonl", "points.lp"} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) {
				p, ok := parsePoint(strings.TrimSuffix(line, "\n"))
				switch {
				case name == "alarms.jsonl":
					alarms = append(alarms, valueOf(jsonFields([]byte(line)), "state"))
				case ok && p.measurement == "mean" && p.tag("stat") == "hour" && p.tag("factor") == "w01018" && p.nano == h.t0.UnixNano():
					hours = append(hours, p.field("avg")+" "+p.field("count")+" "+p.field("marks"))
				}
			}
		}
		return alarms, hours
	}
	then, thenHours := events(false)
	now, nowHours := events(true)
	if !slices.Contains(then, "withdrawn") || len(now) != 0 {
		t.Errorf("alarm events %q as they came, %q by what is known now", then, now)
	}
	if len(thenHours) < 2 || len(nowHours) == 0 || nowHours[len(nowHours)-1] != thenHours[len(thenHours)-1] {
		t.Errorf("the hour came as %q, and by what is known now as %q: the last ones differ", thenHours, nowHours)
	}
}
