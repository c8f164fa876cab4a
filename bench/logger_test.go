package bench

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outfall/telemetry"
)

func TestBackfillThenLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now() // midnight UTC: 08:00 of UTC+8, on the hour
		h := &host{}
		l, acked := play(t, h, waterDevice(), Normal, nil, 61*time.Minute+5*time.Second)
		frames := h.seen()
		if frames[0].cn != cnPowerOn {
			t.Errorf("first frame is %s, want %s", frames[0].cn, cnPowerOn)
		}
		const minutes, hours, days = 26 * 6, 26, 1
		backfill := frames[1 : 1+minutes+hours+days]
		want := start.Add(-26 * time.Hour)
		for i, r := range backfill[:minutes] {
			if at := want.Add(time.Duration(i) * 10 * time.Minute); r.cn != cnMinute || r.dataTime != at.In(telemetry.China).Format("20060102150405") {
				t.Fatalf("backfill %d: CN %s of %s, want minute data of %v", i, r.cn, r.dataTime, at)
			}
		}
		if n := count(backfill[minutes:], cnHour); n != hours {
			t.Errorf("%d hour records close the backfill, want %d", n, hours)
		}
		if last := backfill[len(backfill)-1]; last.cn != cnDay || last.dataTime != "19991231000000" {
			t.Errorf("the backfill ends with CN %s of %s, want the day 1999-12-31", last.cn, last.dataTime)
		}
		live := frames[1+minutes+hours+days:]
		if n := count(live, cnMinute); n != 6 {
			t.Errorf("%d live minute records in an hour at 10 min, want 6", n)
		}
		if n := count(live, cnHour); n != 1 {
			t.Errorf("%d live hour records, want 1", n)
		}
		if n := count(live, cnRealtime); n < 121 || n > 123 {
			t.Errorf("%d real-time uploads in 61 min at 30 s", n)
		}
		for i := 1; i < len(frames); i++ {
			if frames[i].qn <= frames[i-1].qn {
				t.Fatalf("frame %d: QN %s after %s", i, frames[i].qn, frames[i-1].qn)
			}
		}
		s := l.Stats()
		if want := (Stats{Backfilled: 1, Sent: int64(len(frames)), Acked: int64(len(frames))}); s != want {
			t.Errorf("stats %+v, want %+v", s, want)
		}
		if len(acked) != len(frames) || acked[0] != frames[0].raw {
			t.Errorf("%d frames told as acked, want all %d", len(acked), len(frames))
		}
	})
}

func TestSameSeedSameBytes(t *testing.T) {
	run := func(seed uint64) (out string) {
		synctest.Test(t, func(t *testing.T) {
			h := &host{}
			play(t, h, gasDevice(), Normal, func(c *Config) { c.Seed, c.BackfillHours = seed, 2 }, 5*time.Minute)
			out = text(h.seen())
		})
		return out
	}
	first := run(7)
	if second := run(7); second != first {
		t.Errorf("two runs with one seed differ: %d and %d bytes", len(first), len(second))
	}
	if run(8) == first {
		t.Error("another seed gave the same bytes")
	}
}

func TestWindowAndResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{policy: func(int, received) (bool, bool) { return false, false }}
		cfg := func(c *Config) { c.Window = 4 }
		l, acked := play(t, h, waterDevice(), Normal, cfg, 19*time.Second)
		frames := h.seen()
		times := map[string][]time.Duration{}
		for _, r := range frames {
			times[r.raw] = append(times[r.raw], r.at.Sub(frames[0].at))
		}
		if len(times) != 4 {
			t.Errorf("%d different frames without any ack, want the window of 4", len(times))
		}
		want := []time.Duration{0, 5 * time.Second, 10 * time.Second, 15 * time.Second}
		for raw, at := range times {
			if !slices.Equal(at, want) {
				t.Errorf("the same bytes came at %v, want %v: %.60q", at, want, raw)
			}
		}
		if s := l.Stats(); s.Sent != 4 || s.Unacked != 4 || s.Resent != 12 || s.Reconnects != 0 || len(acked) != 0 {
			t.Errorf("stats %+v, %d acked", s, len(acked))
		}
	})
}

func TestReconnectAfterRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{policy: func(_ int, r received) (bool, bool) { return r.conn > 1, false }}
		l, acked := play(t, h, waterDevice(), Normal, nil, 25*time.Second)
		s := l.Stats()
		if s.Reconnects != 1 || s.Unacked != 0 || s.Backfilled != 1 {
			t.Errorf("stats %+v, want one reconnect and all acknowledged", s)
		}
		if !slices.IsSorted(qns(t, acked)) {
			t.Error("acks are out of order")
		}
	})
}

func qns(t *testing.T, frames []string) (out []string) {
	t.Helper()
	for _, f := range frames {
		out = append(out, string(parse(t, []byte(f)).QN))
	}
	return out
}

// A host that drops the line again and again, having read and not answered, must still get every slot, and the logger's next line
// begins with its first unacknowledged frame.
func TestDropsLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answered := map[string]bool{}
		h := &host{}
		h.policy = func(n int, r received) (bool, bool) {
			if n > 0 && r.conn > h.frames[n-1].conn {
				for _, old := range h.frames {
					if !answered[old.raw] {
						if r.raw != old.raw {
							t.Errorf("connection %d begins with QN %s, first unacknowledged is %s", r.conn, r.qn, old.qn)
						}
						break
					}
				}
			}
			if n%40 == 39 {
				return false, true
			}
			answered[r.raw] = answered[r.raw] || n%40 < 30 // so ten frames are open at the drop
			return n%40 < 30, false
		}
		l, acked := play(t, h, waterDevice(), Normal, nil, 10*time.Minute)
		seen := map[string]bool{}
		for _, r := range h.seen() {
			if r.cn == cnMinute {
				seen[r.dataTime] = true
			}
		}
		if len(seen) < 26*6 || len(seen) > 26*6+1 {
			t.Errorf("%d minute slots arrived, want %d", len(seen), 26*6)
		}
		s := l.Stats()
		if s.Reconnects < 5 || s.Resent < 10*5 || s.Backfilled != 1 {
			t.Errorf("stats %+v", s)
		}
		once := map[string]bool{}
		for _, f := range acked {
			if once[f] {
				t.Fatalf("told twice: %q", f)
			}
			once[f] = true
			if !answered[f] {
				t.Fatalf("told as acked but never answered: %q", f)
			}
		}
	})
}

// Hours without a host: minute and hour slots all follow, real-time data only from then on, and never more than the window is kept.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{stopped: true}
		time.AfterFunc(3*time.Hour, func() { h.mu.Lock(); h.stopped = false; h.mu.Unlock() })
		l, _ := play(t, h, waterDevice(), Normal, func(c *Config) { c.BackfillHours = 1 }, 3*time.Hour+5*time.Minute)
		frames := h.seen()
		if n := count(frames, cnMinute); n != 6+18 {
			t.Errorf("%d minute records after one hour of backfill and three of outage, want 24", n)
		}
		if n := count(frames, cnHour); n != 4 {
			t.Errorf("%d hour records, want 4", n)
		}
		if n := count(frames, cnRealtime); n > 11 {
			t.Errorf("%d real-time uploads in five minutes at 30 s", n)
		}
		if s := l.Stats(); s.DialFailures < 1000 || s.Reconnects != 0 || s.Unacked != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestBackfillRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		play(t, h, waterDevice(), Normal, func(c *Config) { c.BackfillRate = 10 }, 10*time.Second-time.Millisecond)
		if n := len(h.seen()); n < 99 || n > 101 {
			t.Errorf("%d frames in ten seconds at 10 frames/s", n)
		}
	})
}

func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		l, _ := play(t, h, waterDevice(), Silent, nil, 3*time.Hour)
		frames := h.seen()
		last := frames[len(frames)-1]
		if age := last.at.Sub(frames[0].at); age > 30*time.Second || last.cn != cnRealtime {
			t.Errorf("last frame is CN %s after %v, want real-time data within the first interval", last.cn, age)
		}
		if s := l.Stats(); s.Backfilled != 1 || s.Reconnects != 0 || h.conns != 1 {
			t.Errorf("stats %+v, %d connections: a silent logger keeps its line", s, h.conns)
		}
	})
}

// HJ/T 212-2005: legacy codes, version bits 0, the 9014's QN in its CP, some real-time uploads without QN and Flag.
func Test2005(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		l, acked := play(t, h, oldDevice(), Normal, nil, 10*time.Minute)
		plain, asking := 0, 0
		for _, r := range h.seen() {
			m := parse(t, []byte(r.raw))
			if len(m.Groups) != 5 || string(m.Groups[0].Code) != "B01" || string(m.Groups[2].Code) != "011" || string(m.Groups[3].Code) != "060" {
				t.Fatalf("codes of 2005 expected: %q", r.raw)
			}
			switch {
			case r.cn == cnPowerOn:
				t.Errorf("a 2005 device has no CN %s", cnPowerOn)
			case r.cn == cnRealtime && r.qn == "" && !m.HasFlag:
				plain++
			case r.qn != "" && m.HasFlag && r.flag == 1:
				asking++
			default:
				t.Errorf("neither plain nor asking: %q", r.raw)
			}
		}
		if plain < 9 || plain > 11 || asking < 26*7+9 {
			t.Errorf("%d plain and %d asking uploads", plain, asking)
		}
		if s := l.Stats(); s.Backfilled != 1 || s.Acked != int64(asking) || s.Unmatched != 0 || len(acked) != asking {
			t.Errorf("stats %+v with %d asking uploads", s, asking)
		}
	})
}

// Bad frames stand beside good ones: every good slot arrives, what is refused is refused, and the half frame costs a connection.
func TestBadLoggerAgainstHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		l, _ := play(t, h, waterDevice(), Bad, nil, 5*time.Minute)
		slots := map[string]bool{}
		for _, r := range h.seen() {
			if r.cn == cnMinute {
				slots[r.dataTime] = true
			}
		}
		if len(slots) != 26*6 {
			t.Errorf("%d good minute slots, want %d", len(slots), 26*6)
		}
		refused := 0
		for _, n := range h.faults {
			refused += n
		}
		if refused < 10 {
			t.Errorf("host refused %v, want at least CRC, length, garbage, oversize and half twice", h.faults)
		}
		if s := l.Stats(); s.Backfilled != 1 || s.Reconnects < 2 || s.Unmatched < 2 {
			t.Errorf("stats %+v: want reconnects by half frames, and 9014 to wrong passwords (this host checks none) unmatched", s)
		}
	})
}
