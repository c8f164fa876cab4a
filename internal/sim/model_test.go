package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// A value is what a minute record says, in millionths.
type value struct{ low, avg, high telemetry.Fixed }

// A model is what the windows must be, worked out the slow way from the journal's frames.
type model struct {
	minutes  map[string]map[int64]value // by series tags, then by minute since 1970: the first that was taken
	instants map[string]string          // key in the database -> beginning of the fields
	taken    map[string][]time.Time     // by series tags: times of real-time values, the newest recentInstants
	contents map[string][]string        // by device: its newest frames' CN and CP, recentFrames
	texts    bool                       // algorithm 2: real-time text is recorded for its time
}

const (
	ahead   = 10 * time.Minute // of the clock guard
	horizon = 72 * time.Hour

	recentInstants = 8
	recentFrames   = 64
)

func newModel() *model {
	return &model{minutes: map[string]map[int64]value{}, instants: map[string]string{}, taken: map[string][]time.Time{}, contents: map[string][]string{}}
}

// take reads one frame of a device. What it does not understand, as what an attacker has changed, it does not count.
func (m *model) take(r *kgo.Record) error {
	f, _, err := hj212.Framer{}.Next(r.Value, true)
	if err != nil {
		return err
	}
	var msg hj212.Message
	if msg.Parse(f.Data) != nil || !slices.Contains([]string{"2011", "2051", "2061", "2031"}, string(msg.CN)) || len(msg.Groups) == 0 {
		return nil
	}
	mn := string(r.Key)
	content := fmt.Sprintf("%s %s", msg.CN, msg.CP)
	if slices.Contains(m.contents[mn], content) {
		return nil
	}
	received := r.Timestamp.Truncate(time.Millisecond)
	at, ok := hj212.ParseTime(msg.DataTime)
	if !ok || at.After(received.Add(ahead)) || at.Before(received.Add(-horizon)) {
		return nil
	}
	m.contents[mn] = newest(append(m.contents[mn], content), recentFrames)
	for i := range msg.Groups {
		g := &msg.Groups[i]
		tags := fmt.Sprintf("factor=%s,mn=%s,outlet=%s", g.Code, mn, outletOf(mn))
		switch string(msg.CN) {
		case "2011":
			m.instant(tags, at, g)
		case "2051":
			m.minute(tags, at, g)
		}
	}
	return nil
}

func newest[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }

// instant takes a real-time value: the first of a time, as far as the newest times reach. Text replaces all in algorithm 1.
func (m *model) instant(tags string, at time.Time, g *hj212.Group) {
	v := &g.Values[hj212.Rtd]
	if v.Text == nil {
		return
	}
	number, numeric := millionths(v)
	fields := fmt.Sprintf("value=%v,valid=%v", number, string(g.Flag) == "N" || len(g.Flag) == 0)
	if !numeric {
		fields = `text="`
		if string(v.Text) == "null" {
			fields = `text="null",valid=false`
		}
	}
	if numeric || m.texts {
		if slices.ContainsFunc(m.taken[tags], at.Equal) {
			return
		}
		m.taken[tags] = newest(append(m.taken[tags], at), recentInstants)
	}
	m.instants[fmt.Sprintf("instant,%s %d", tags, at.UnixNano())] = fields
}

// minute takes a valid record: the first of a minute.
func (m *model) minute(tags string, at time.Time, g *hj212.Group) {
	avg, numeric := millionths(&g.Values[hj212.Avg])
	if !numeric || string(g.Flag) != "N" && len(g.Flag) > 0 {
		return
	}
	if m.minutes[tags] == nil {
		m.minutes[tags] = map[int64]value{}
	}
	v := value{avg, avg, avg}
	if low, ok := millionths(&g.Values[hj212.Min]); ok {
		v.low = low
	}
	if high, ok := millionths(&g.Values[hj212.Max]); ok {
		v.high = high
	}
	minute := at.Unix() / 60
	if _, filled := m.minutes[tags][minute]; !filled {
		m.minutes[tags][minute] = v
	}
}

// millionths reads a value; ok is false for one that is not there, or is no number.
func millionths(v *hj212.Value) (n telemetry.Fixed, ok bool) {
	if v.Text == nil || !v.Numeric {
		return 0, false
	}
	return telemetry.FixedFromDecimal(v.Num.Mant, int8(v.Num.Exp))
}

func outletOf(mn string) string { return "W" + mn[len(mn)-2:] }

// mean is the slow mean of the minutes [from, to): low, mean rounded half to even, high and count, as fields of a point.
func mean(minutes map[int64]value, from, to int64) (fields string, n int64) {
	var sum int64
	var low, high telemetry.Fixed
	for minute, v := range minutes {
		if minute < from || minute >= to {
			continue
		}
		if n == 0 || v.low < low {
			low = v.low
		}
		if n == 0 || v.high > high {
			high = v.high
		}
		sum += int64(v.avg)
		n++
	}
	if n == 0 {
		return "", 0
	}
	q, r := sum/n, sum%n
	if 2*r > n || 2*r == n && q%2 == 1 {
		q++
	}
	return fmt.Sprintf("avg=%v,min=%v,max=%v,count=%di,", telemetry.Fixed(q), low, high, n), n
}

// checkWindows: minutes, hours and days in InfluxDB are the slow model's, late data in them, and no value that was sent is missing or
// changed (invariants 6 and 7).
func (w *world) checkWindows(s *story, folded []int64) {
	m := newModel()
	for p, records := range s.journal {
		m.texts = false // until the first owner's version entry
		for _, r := range records {
			switch {
			case r.Offset >= folded[p]:
			case header(r, telemetry.HeaderKind) == telemetry.KindVersion.String():
				m.texts = true
			case header(r, telemetry.HeaderKind) == telemetry.KindFrame.String():
				if err := m.take(r); err != nil {
					w.fail("the journal's frame at %d is none: %v", r.Offset, err)
				}
			}
		}
	}
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	windows := 0
	want := func(tags, stat string, minutes map[int64]value, from, to int64) {
		windows++
		fields, _ := mean(minutes, from, to)
		key := fmt.Sprintf("mean,%s,stat=%s %d", tags, stat, from*60_000_000_000)
		if got := w.db.points[key]; !strings.HasPrefix(got, fields) {
			w.fail("invariant 6: %s is %q, from the frames it is %q", key, got, fields)
		}
	}
	const day, zone = 1440, 480 // minutes; days of UTC+8
	for tags, minutes := range m.minutes {
		for minute := range minutes {
			want(tags, "minute", minutes, minute, minute+1)
			want(tags, "hour", minutes, minute/60*60, minute/60*60+60)
			begin := (minute+zone)/day*day - zone
			want(tags, "day", minutes, begin, begin+day)
		}
	}
	for key, fields := range m.instants {
		if got := w.db.points[key]; !strings.HasPrefix(got, fields) {
			w.fail("invariant 7: %s is %q, sent was %q", key, got, fields)
		}
	}
	if windows == 0 || len(m.instants) == 0 {
		w.fail("no data at all: %d windows, %d instants", windows, len(m.instants))
	}
}
