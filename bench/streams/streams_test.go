package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outfall/ingest/hj212"
	"outfall/stream/fold"
	"outfall/telemetry"
)

var base = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// Frames are what the tables say, and say the values that results are compared with.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		wire     []byte
		cn       string
		suffix   hj212.Suffix
		at, size int
	}{{realtimeFrame(7, 5, base), "2011", hj212.Rtd, 5, 567}, {recordFrame(9_999, 3, base), "2051", hj212.Avg, recordAt(3), 802}} {
		fr, size, err := hj212.Framer{}.Next(c.wire, true)
		if err != nil || size != len(c.wire) {
			t.Fatalf("%d bytes of %q: %v", size, c.wire, err)
		}
		var m hj212.Message
		if err := m.Parse(fr.Data); err != nil || m.Quality != 0 || string(m.CN) != c.cn || len(m.Groups) != len(factors) {
			t.Fatalf("%v, quality %v, CN %s, %d groups", err, m.Quality.Names(), m.CN, len(m.Groups))
		}
		if d := size - c.size; d < -10 || d > 10 {
			t.Errorf("CN %s: %d bytes, want about %d", c.cn, size, c.size)
		}
		device := deviceOf(m.MN)
		for f, g := range m.Groups {
			if n, ok := telemetry.FixedFromDecimal(g.Values[c.suffix].Num.Mant, g.Values[c.suffix].Num.Exp); !ok || int64(n) != valueOf(device, c.at, f)*thousandth {
				t.Errorf("device %d factor %s: %v, want %d thousandths", device, g.Code, n, valueOf(device, c.at, f))
			}
		}
	}
}

// The fold must give what the ledger expects: every minute and hour once, and a rolling hour with every minute record.
func TestLedgerAgreesWithTheFold(t *testing.T) {
	l := newLedger(base, 1, true)
	st := fold.New(0)
	offset := int64(0)
	apply := func(kind telemetry.Kind, mn string, at time.Time, value []byte) {
		e := telemetry.Entry{Offset: offset, Received: at, Kind: kind, MN: mn, Value: value}
		offset++
		st.Apply(&e, func(o telemetry.Output) {
			if o.Topic != telemetry.TopicPoints {
				return
			}
			if err := parseOurs([]byte(o.MN), o.Value, func(x *result) { l.add(x) }); err != nil {
				t.Error(err)
			}
		})
	}
	d := telemetry.Device{MN: deviceMN(0), Outlet: "G0", Medium: "gas", MinuteInterval: 1, OfflineAfter: 86_400}
	apply(telemetry.KindRegistry, d.MN, base, telemetry.AppendJSON(nil, &d))
	for s := minutesFrom * 60; s < minutesIn*60; s++ {
		at := base.Add(time.Duration(s) * time.Second)
		apply(telemetry.KindTick, "", at, telemetry.AppendJSON(nil, telemetry.Tick{Time: at}))
		if s%(60/samples) == 0 {
			apply(telemetry.KindFrame, d.MN, at, realtimeFrame(0, s/(60/samples), at))
		}
	}
	const turns = 70
	for turn := range turns {
		at := base.Add(time.Duration(loadAfter+turn) * time.Minute)
		apply(telemetry.KindFrame, d.MN, at.Add(time.Minute), recordFrame(0, turn, at))
	}
	for w, n := range [windows]int{minutesOut - minutesFrom, 1, turns} {
		if m := l.missing(window(w), n); m != 0 || l.duplicate[w] != 0 || l.wrong[w] != 0 || l.got[w] != n*len(factors) {
			t.Errorf("window %d: missing %d, twice %d, wrong %d, got %d: %s", w, m, l.duplicate[w], l.wrong[w], l.got[w], l.firstBad)
		}
	}
}

// The ledger must see what is missing, comes twice or is wrong.
func TestLedgerFindsFaults(t *testing.T) {
	l := newLedger(base, 2, false)
	say := func(kind string, device int, start time.Time, from, to int, off int64) {
		value := fmt.Sprintf("%s %d ", kind, start.Unix())
		for f, code := range factors {
			value += fmt.Sprintf("%s=%d/%d,", code, meanOf(device, from, to, f)+off, to-from)
		}
		if err := parsePeer([]byte(deviceMN(device)), []byte(value[:len(value)-1]), func(x *result) { l.add(x) }); err != nil {
			t.Fatal(err)
		}
	}
	first := base.Add(minutesFrom * time.Minute)
	const at = minutesFrom * samples
	say("m", 0, first, at, at+2, 0)
	say("m", 0, first, at, at+2, 0)
	say("m", 1, first, at, at+2, 1)
	say("m", 1, first.Add(time.Minute), at+2, at+3, 0)
	say("r", 0, base.Add((loadAfter+61)*time.Minute), recordAt(60), recordAt(61)+1, 0)
	n := len(factors)
	if l.duplicate[minuteMean] != n || l.wrong[minuteMean] != 2*n || l.missing(minuteMean, 2) != n || l.missing(hourMean, 1) != 2*n {
		t.Errorf("twice %d, wrong %d, missing %d minutes %d hours", l.duplicate[minuteMean], l.wrong[minuteMean], l.missing(minuteMean, 2), l.missing(hourMean, 1))
	}
	if l.wrong[runningMean] != 0 || l.got[runningMean] != n {
		t.Errorf("running mean of the second hour: wrong %d, got %d: %s", l.wrong[runningMean], l.got[runningMean], l.firstBad)
	}
	for _, bad := range []string{"", "m", "x 1 a21002=1/1", "m 1 a21002=1", "m 1 b=1/1", "m z a21002=1/1"} {
		if err := parsePeer([]byte(deviceMN(0)), []byte(bad), func(*result) {}); err == nil {
			t.Errorf("%q is taken for a result", bad)
		}
	}
}

// A round that failed counts neither for the medians nor for the ratios, and does not move the other contestants' rounds.
func TestReportLeavesFailedRoundsOut(t *testing.T) {
	r := report{bench: &bench{rounds: 3, devices: 10}, contestants: contestants(), figures: map[string][]*figures{}}
	for _, c := range r.contestants {
		r.figures[c.name] = []*figures{{Rate: 10}, {Rate: 20}, {Rate: 30}}
	}
	r.figures[nameOurs] = []*figures{{Rate: 30}, {Rate: 900}, {Rate: 90}}
	r.figures[nameGoka][1] = nil
	if q, ok := r.ratio(r.rows()[0]); !ok || q != (spread{3, 3, 3}) {
		t.Errorf("ratio %v, %v, want 3", q, ok)
	}
	var out strings.Builder
	r.print(&out)
	if want := "| drain, frames/s | 90 (30...900) | 20 (10...30) | 20 (10...30) | 20 (10...30) | 20 (10...30) | 3.00 |"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, out.String())
	}
}
