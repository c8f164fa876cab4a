package fold

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outfall/telemetry"
)

// A model keeps every accepted minute value and computes means the slow way.
type model struct {
	values   map[int64]int64 // by the slot's first minute: millionths
	interval int64
	newest   int64            // newest slot accepted, its first minute
	last     map[string]point // by statistic and time: as published last
}

type point struct {
	avg, low, high string
	count          int
	rev            int
}

// of is the mean of the accepted values of [from, to), minutes.
func (m *model) of(from, to int64) (p point) {
	var sum, low, high, n int64
	for at, v := range m.values {
		if at < from || at >= to {
			continue
		}
		if n == 0 || v < low {
			low = v
		}
		if n == 0 || v > high {
			high = v
		}
		sum += v
		n++
	}
	if n == 0 {
		return point{}
	}
	q, r := sum/n, sum%n
	if 2*r > n || 2*r == n && q%2 == 1 {
		q++
	}
	return point{telemetry.Fixed(q).String(), telemetry.Fixed(low).String(), telemetry.Fixed(high).String(), int(n), 0}
}

// read takes the published means of an output.
func (m *model) read(t *rapid.T, o telemetry.Output) {
	if o.Topic != telemetry.TopicPoints {
		return
	}
	for _, l := range strings.Split(string(o.Value), "\n") {
		if !strings.HasPrefix(l, "mean,") {
			continue
		}
		parts := strings.Split(l, " ")
		stat := parts[0][strings.LastIndex(parts[0], "=")+1:]
		f := map[string]string{}
		for _, kv := range strings.Split(parts[1], ",") {
			k, v, _ := strings.Cut(kv, "=")
			f[k] = strings.TrimSuffix(v, "i")
		}
		count, _ := strconv.Atoi(f["count"])
		rev, _ := strconv.Atoi(f["rev"])
		key := stat + " " + parts[2]
		if was, again := m.last[key]; again && rev <= was.rev {
			t.Fatalf("%s: revision %d after %d", key, rev, was.rev)
		}
		m.last[key] = point{f["avg"], f["min"], f["max"], count, rev}
	}
}

func (m *model) want(t *rapid.T, stat string, at, from, to int64) {
	key := fmt.Sprintf("%s %d", stat, at*60_000_000_000)
	got, want := m.last[key], m.of(from, to)
	got.rev = 0
	if got != want {
		t.Fatalf("%s at %s: published %+v, want %+v", stat, msTime(at*60_000), got, want)
	}
}

// check compares what is published after a tick: all closed hours and days, and the rolling means of the last hour.
func (m *model) check(t *rapid.T, now time.Time) {
	closed := now.Add(-90*time.Second).UnixMilli() / 60_000
	for at := range m.values {
		if h := at / 60; (h+1)*60 <= closed {
			m.want(t, "hour", h*60, h*60, h*60+60)
		}
		if day := dayOf(at); dayStart(day+1) <= closed {
			m.want(t, "day", dayStart(day), dayStart(day), dayStart(day+1))
		}
		if at > m.newest-60 {
			m.want(t, "rolling_1h", at+m.interval, at+m.interval-60, at+m.interval)
		}
	}
	if len(m.values) > 0 {
		m.want(t, "rolling_24h", m.newest+m.interval, m.newest/60*60-23*60, m.newest+m.interval)
	}
}

// Minute records in any order, late, repeated and contradicting, with ticks now and then or not for days: the fold must publish the
// means that a slow recomputation from the accepted values gives.
func TestMeansAreThoseOfASlowModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{values: map[int64]int64{}, last: map[string]point{}, interval: rapid.SampledFrom([]int64{1, 5}).Draw(rt, "interval")}
		b := newBed(t)
		b.register(mn, func(d *telemetry.Device) { d.MinuteInterval = int(m.interval) })
		flush := func() {
			for _, o := range b.out {
				m.read(rt, o)
			}
			b.out = nil
		}
		for range rapid.IntRange(1, 150).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0:
				b.now = b.now.Add(time.Second) // a tick that does not move the clock does nothing
				b.tick()
				flush()
				m.check(rt, b.now)
			case 1:
				b.now = b.now.Add(time.Duration(rapid.SampledFrom([]int{1, 30, 61, 700, 3600, 30_000, 300_000}).Draw(rt, "seconds")) * time.Second)
			default:
				span := rapid.SampledFrom([][2]int{{-5, 10}, {-70, 0}, {-130, 0}, {-1600, 0}, {-4400, 11}}).Draw(rt, "span")
				at := b.now.Add(time.Duration(rapid.IntRange(span[0], span[1]).Draw(rt, "minutes")) * time.Minute)
				v := rapid.Int64Range(0, 99_999).Draw(rt, "value")
				slot := at.UnixMilli() / 60_000 / m.interval * m.interval
				if d := at.Truncate(time.Second).Sub(b.now); d <= 10*time.Minute && d >= -72*time.Hour {
					if _, taken := m.values[slot]; !taken {
						m.values[slot] = v * 10
						m.newest = max(m.newest, slot)
					}
				}
				b.minute(at, telemetry.Fixed(v*10).String())
				flush()
			}
		}
		for range 2 { // the second publishes what the first found dirty
			b.now = b.now.Add(49 * time.Hour)
			b.tick()
			flush()
		}
		m.check(rt, b.now)
	})
}
