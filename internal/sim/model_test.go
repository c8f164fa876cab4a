package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// A value is what a minute record says, in millionths.
type value struct{ low, avg, high int64 }

// A model is what the windows must be, worked out the slow way from the journal's frames.
type model struct {
	minutes  map[string]map[int64]value // by series tags, then by minute since 1970: the first that was taken
	instants map[string]string          // key in the database -> beginning of the fields
}

const (
	ahead   = 10 * time.Minute // of the clock guard
	horizon = 72 * time.Hour
)

func newModel() *model {
	return &model{minutes: map[string]map[int64]value{}, instants: map[string]string{}}
}

// take reads one frame of a device. What it does not understand it does not count.
func (m *model) take(r *kgo.Record) error {
	f, _, err := hj212.Framer{}.Next(r.Value, true)
	if err != nil {
		return err
	}
	var msg hj212.Message
	if err := msg.Parse(f.Data); err != nil {
		return err
	}
	at, err := time.ParseInLocation("20060102150405", string(msg.DataTime), telemetry.China)
	if err != nil {
		return err
	}
	received := r.Timestamp.Truncate(time.Millisecond)
	if at.After(received.Add(ahead)) || at.Before(received.Add(-horizon)) {
		return nil
	}
	for _, g := range msg.Groups {
		tags := fmt.Sprintf("factor=%s,mn=%s,outlet=%s", g.Code, r.Key, outletOf(string(r.Key)))
		switch string(msg.CN) {
		case "2011":
			key := fmt.Sprintf("instant,%s %d", tags, at.UnixNano())
			if _, had := m.instants[key]; !had {
				m.instants[key] = instantFields(string(g.Values[hj212.Rtd].Text), string(g.Flag))
			}
		case "2051":
			if m.minutes[tags] == nil {
				m.minutes[tags] = map[int64]value{}
			}
			minute := at.Unix() / 60
			if _, filled := m.minutes[tags][minute]; !filled {
				m.minutes[tags][minute] = value{millionths(g.Values[hj212.Min].Text), millionths(g.Values[hj212.Avg].Text), millionths(g.Values[hj212.Max].Text)}
			}
		}
	}
	return nil
}

func outletOf(mn string) string { return "W" + mn[len(mn)-2:] }

// instantFields are the fields of a real-time value: as sent, valid only with the mark N.
func instantFields(text, flag string) string {
	if text == "null" {
		return `text="null",valid=false`
	}
	whole, fraction, _ := strings.Cut(text, ".")
	if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
		whole += "." + fraction
	}
	return fmt.Sprintf("value=%s,valid=%v", whole, flag == "N")
}

// millionths reads a number with one decimal.
func millionths(text []byte) int64 {
	var whole, tenth int64
	if _, err := fmt.Sscanf(string(text), "%d.%d", &whole, &tenth); err != nil {
		return -1
	}
	return whole*1_000_000 + tenth*100_000
}

// mean is the slow mean of the minutes [from, to): low, mean rounded half to even, high and count, as fields of a point.
func mean(minutes map[int64]value, from, to int64) (fields string, n int64) {
	var sum, low, high int64
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
		sum += v.avg
		n++
	}
	if n == 0 {
		return "", 0
	}
	q, r := sum/n, sum%n
	if 2*r > n || 2*r == n && q%2 == 1 {
		q++
	}
	return fmt.Sprintf("avg=%v,min=%v,max=%v,count=%di,", telemetry.Fixed(q), telemetry.Fixed(low), telemetry.Fixed(high), n), n
}

// checkWindows: minutes, hours and days in InfluxDB are the slow model's, late data in them, and no value that was sent is missing or
// changed (invariants 6 and 7).
func (w *world) checkWindows(s *story, folded []int64) {
	m := newModel()
	for p, records := range s.journal {
		for _, r := range records {
			if header(r, telemetry.HeaderKind) == telemetry.KindFrame.String() && r.Offset < folded[p] {
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
