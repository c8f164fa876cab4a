package bench

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

func testScript(d telemetry.Device, b Behaviour) *script {
	p, cfg := NewProfile(d, b), DefaultConfig()
	return newScript(&p, &cfg, testStart)
}

// drain yields everything that is due at the start.
func drain(s *script) (all []upload) {
	for {
		u, ok := s.next(testStart)
		if !ok {
			return all
		}
		all = append(all, u)
	}
}

// Every value of a normal outlet lies within its signal's range, converted ones below the usual limits, and every frame within the
// sizes of HJ 212-2017 (1,024 bytes of data, 950 of CP).
func TestValuesAndSizes(t *testing.T) {
	limits := map[string]float64{"a21026": 35, "a21002": 50, "a34013": 10, "w01018": 50, "w21003": 5, "w21011": 0.5}
	for _, d := range []telemetry.Device{waterDevice(), gasDevice(), oldDevice()} {
		s := testScript(d, Normal)
		uploads := drain(s)
		uploads = append(uploads, s.instant(testStart.Add(time.Minute)))
		for _, u := range uploads {
			m := parse(t, u.frame)
			if data := len(u.frame) - 12; data > 1024 || len(m.CP)+len("CP=&&&&") > 950 {
				t.Fatalf("data of %d bytes, CP of %d: %q", data, len(m.CP), u.frame)
			}
			if m.Quality != 0 && d.MN != oldDevice().MN {
				t.Fatalf("quality %v: %q", m.Quality.Names(), u.frame)
			}
			for _, g := range m.Groups {
				checkGroup(t, s, &g, limits)
			}
		}
	}
}

func checkGroup(t *testing.T, s *script, g *hj212.Group, limits map[string]float64) {
	t.Helper()
	for _, sig := range s.profile.Signals {
		if sig.Code != string(g.Code) && sig.Legacy != string(g.Code) {
			continue
		}
		if string(g.Flag) != "N" {
			t.Fatalf("%s: mark %q", g.Code, g.Flag)
		}
		for i, v := range g.Values {
			if v.Text == nil || hj212.Suffix(i) == hj212.Cou {
				continue
			}
			x, err := strconv.ParseFloat(string(v.Text), 64)
			if _, decimals, _ := strings.Cut(string(v.Text), "."); err != nil || len(decimals) != sig.Decimals {
				t.Fatalf("%s-%v=%s: want %d decimals", g.Code, hj212.Suffix(i), v.Text, sig.Decimals)
			}
			scaled := x
			for range sig.Decimals {
				scaled *= 10
			}
			converted := hj212.Suffix(i) >= hj212.ZsRtd
			if !converted && (scaled < float64(sig.Low)-0.5 || scaled > float64(sig.High)+0.5) {
				t.Fatalf("%s-%v=%s is outside [%d, %d]", g.Code, hj212.Suffix(i), v.Text, sig.Low, sig.High)
			}
			if limit := limits[sig.Code]; limit > 0 && x > 0.8*limit {
				t.Fatalf("%s-%v=%s is above 0.8 of the limit %v", g.Code, hj212.Suffix(i), v.Text, limit)
			}
		}
		return
	}
	t.Fatalf("unexpected factor %s", g.Code)
}

func TestExceeding(t *testing.T) {
	s := testScript(waterDevice(), Exceeding)
	from := testStart.Truncate(time.Hour).Add(-overHours * time.Hour)
	before, after := 0, 0
	for _, u := range drain(s) {
		m := parse(t, u.frame)
		if string(m.CN) != cnMinute {
			continue
		}
		at, _ := hj212.ParseTime(m.DataTime)
		x, err := strconv.ParseFloat(string(m.Groups[2].Values[hj212.Avg].Text), 64)
		switch {
		case err != nil:
			t.Fatal(err)
		case at.Before(from) && x < 40:
			before++
		case !at.Before(from) && x > 90 && x < 115:
			after++
		default:
			t.Errorf("COD %v at %v", x, at)
		}
	}
	if before < 22*6 || after != overHours*6+2 {
		t.Errorf("%d normal and %d exceeding minute records", before, after)
	}
}

// The hour record is the mean and the sum of its minute records.
func TestHourAgreesWithMinutes(t *testing.T) {
	s := testScript(waterDevice(), Normal)
	hour := testStart.Truncate(time.Hour).Add(-time.Hour)
	sum, total := int64(0), int64(0)
	for i := range 6 {
		st := s.model.minute(hour.Add(time.Duration(i) * 10 * time.Minute))[2]
		sum, total = sum+st.avg, total+st.total
	}
	got := s.model.period(hour, time.Hour)[2]
	if got.avg != divRound(sum, 6) || got.total != total {
		t.Errorf("hour avg %d total %d, minutes say %d and %d", got.avg, got.total, divRound(sum, 6), total)
	}
}

func TestAppendNumber(t *testing.T) {
	for _, c := range []struct {
		v        int64
		decimals int
		want     string
	}{{0, 0, "0"}, {0, 2, "0.00"}, {5, 2, "0.05"}, {725, 2, "7.25"}, {120, 1, "12.0"}, {42, 0, "42"}} {
		if got := string(appendNumber(nil, c.v, c.decimals)); got != c.want {
			t.Errorf("appendNumber(%d, %d) = %s, want %s", c.v, c.decimals, got, c.want)
		}
	}
}

// refuse is the reason of the first refusal in stream and how many bytes are refused before the first good frame.
func refuse(t *testing.T, stream []byte) (first hj212.Reason, refused int) {
	t.Helper()
	for refused < len(stream) {
		_, size, err := hj212.Framer{}.Next(stream[refused:], true)
		pe, bad := errors.AsType[*hj212.ParseError](err)
		if !bad {
			return first, refused
		}
		if refused == 0 {
			first = pe.Reason
		}
		refused += size
	}
	t.Fatalf("no good frame in %.80q", stream)
	return 0, 0
}

// Each bad kind is what it says, and only it: followed by a good frame, the framer finds that one again.
func TestBadKinds(t *testing.T) {
	s := testScript(waterDevice(), Bad)
	at := testStart.Truncate(time.Second)
	good := s.instant(at).frame
	for k, want := range map[BadKind][]hj212.Reason{
		BadCRC: {hj212.ReasonCRC}, BadLength: {hj212.ReasonLength, hj212.ReasonCRC}, BadGarbage: {hj212.ReasonGarbage},
		BadOversize: {hj212.ReasonLength}, BadHalf: {hj212.ReasonHalf, hj212.ReasonCRC, hj212.ReasonLength},
	} {
		u := s.bad(k, at, at)
		if u.qn != "" || u.hangUp != (k == BadHalf) {
			t.Errorf("kind %d waits for %q, hang up %v", k, u.qn, u.hangUp)
		}
		reason, refused := refuse(t, append(u.frame[:len(u.frame):len(u.frame)], good...))
		if !slices.Contains(want, reason) {
			t.Errorf("kind %d refused as %v, want one of %v", k, reason, want)
		}
		if refused != len(u.frame) {
			t.Errorf("kind %d: %d bytes refused, want the %d before the good frame", k, refused, len(u.frame))
		}
	}
	if u := s.bad(BadOversize, at, at); len(parse(t, u.frame).CP) == 0 || string(u.frame[2:6]) != "9999" || len(u.frame) != 9999+12 {
		t.Errorf("oversize: %.40q, %d bytes", u.frame, len(u.frame))
	}
	if m := parse(t, s.bad(BadPassword, at, at).frame); string(m.PW) == waterDevice().PW || string(m.MN) != waterDevice().MN {
		t.Errorf("password: PW=%s MN=%s", m.PW, m.MN)
	}
	for _, k := range []BadKind{BadValue, BadFactor, BadFuture, BadPast} {
		u := s.bad(k, at, at)
		m := parse(t, u.frame)
		if u.qn != string(m.QN) || !m.Flag.WantAck() {
			t.Errorf("kind %d: waits for %q, the frame asks as %q with %d", k, u.qn, m.QN, m.Flag)
		}
		when, ok := hj212.ParseTime(m.DataTime)
		last := m.Groups[len(m.Groups)-1]
		switch k {
		case BadValue:
			ok = ok && when.Equal(at) && !last.Values[hj212.Rtd].Numeric && string(last.Values[hj212.Rtd].Text) == "null"
		case BadFactor:
			_, known := telemetry.LookupFactor(string(last.Code))
			ok = ok && when.Equal(at) && !known
		case BadFuture:
			ok = ok && when.After(at.Add(300*24*time.Hour))
		case BadPast:
			ok = ok && when.Year() == 1970
		}
		if !ok {
			t.Errorf("kind %d: %q", k, u.frame)
		}
	}
}

// A bad logger's backfill holds every kind.
func TestBadBackfill(t *testing.T) {
	s := testScript(waterDevice(), Bad)
	uploads := drain(s)
	seen := map[string]bool{}
	for _, u := range uploads {
		if u.qn != "" && seen[u.qn] {
			t.Errorf("QN %s stands twice", u.qn)
		}
		seen[u.qn] = true
	}
	if s.badKinds < int(badKinds) {
		t.Errorf("%d bad frames in a backfill, want at least one of the %d kinds", s.badKinds, badKinds)
	}
}
