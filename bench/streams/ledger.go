package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// A window is what a result is about.
type window uint8

const (
	minuteMean  window = iota // of real-time values, once
	hourMean                  // of real-time values, once
	runningMean               // of the minute records of an hour so far, with each record
	windows
)

// A result is one mean of one factor as a contestant published it.
type result struct {
	window  window
	device  int
	factor  int
	start   int64 // s since 1970: of the window; of the newest minute record for a runningMean
	mean    int64 // millionths
	count   int64 // values in it, -1 where the contestant does not say it in the same unit
	revised bool  // a correction of one published before
}

// A ledger compares results with what they must be.
type ledger struct {
	base    int64 // s since 1970: the hour of the backlog
	devices int
	rolling bool // a runningMean is that of the last hour, not of the hour since its beginning

	seen      [windows][]uint16 // by window number and device: a bit a factor
	got       [windows]int      // results that were expected, each once
	duplicate [windows]int
	revisions [windows]int
	wrong     [windows]int
	beyond    int // results of windows that do not count
	firstBad  string
}

const allFactors = 1<<len(factors) - 1

func newLedger(base time.Time, devices int, rolling bool) *ledger {
	l := &ledger{base: base.Unix(), devices: devices, rolling: rolling}
	l.seen[minuteMean] = make([]uint16, (minutesOut-minutesFrom)*devices)
	l.seen[hourMean] = make([]uint16, devices)
	l.seen[runningMean] = make([]uint16, maxTurns*devices)
	return l
}

// number is the place of a result's window among those that count, -1 for another.
func (l *ledger) number(r *result) int {
	n, limit := 0, 0
	switch s := r.start - l.base; r.window {
	case minuteMean:
		n, limit = int(s/60)-minutesFrom, minutesOut-minutesFrom
	case hourMean:
		n, limit = int(s/3600), 1
	case runningMean:
		n, limit = int(s/60)-loadAfter, maxTurns
	}
	if n < 0 || n >= limit || r.start < l.base || r.device < 0 || r.device >= l.devices {
		return -1
	}
	return n
}

// want is the mean that window n of a device must have, and of how many values.
func (l *ledger) want(r *result, n int) (mean, count int64) {
	from, to := 0, 0
	switch r.window {
	case minuteMean:
		from, to = (minutesFrom+n)*samples, (minutesFrom+n+1)*samples
	case hourMean:
		from, to = minutesFrom*samples, minutesOut*samples
	case runningMean:
		from, to = recordAt(n-n%60), recordAt(n)+1
		if l.rolling {
			from = recordAt(max(0, n-59))
		}
	}
	return meanOf(r.device, from, to, r.factor), int64(to - from)
}

// add takes a result; fresh: it was expected and is the first of its window and factor.
func (l *ledger) add(r *result) (fresh bool) {
	n := l.number(r)
	if n < 0 {
		l.beyond++
		return false
	}
	if r.revised {
		l.revisions[r.window]++
		return false
	}
	mean, count := l.want(r, n)
	if r.mean != mean || r.count >= 0 && r.count != count {
		l.wrong[r.window]++
		if l.firstBad == "" {
			l.firstBad = fmt.Sprintf("device %d factor %s start %d: mean %d of %d values, want %d of %d", r.device, factors[r.factor], r.start, r.mean, r.count, mean, count)
		}
	}
	bit := uint16(1) << r.factor
	at := &l.seen[r.window][n*l.devices+r.device]
	if *at&bit != 0 {
		l.duplicate[r.window]++
		return false
	}
	*at |= bit
	l.got[r.window]++
	return *at == allFactors
}

// missing counts the results of the first n windows that are not there.
func (l *ledger) missing(w window, n int) int {
	missing := 0
	for _, bits := range l.seen[w][:n*l.devices] {
		for bit := range factors {
			if bits&(1<<bit) == 0 {
				missing++
			}
		}
	}
	return missing
}

// factorOf is the place of a code in factors, -1 for another.
func factorOf(code []byte) int {
	for i := range factors {
		if string(code) == factors[i] {
			return i
		}
	}
	return -1
}

// parsePeer reads what the peers publish: a letter for the window, its start in seconds, then CODE=MEAN/COUNT of each factor, the mean in
// millionths: "m 1790000000 a21002=12345000/2,a21003=...".
func parsePeer(mn, value []byte, each func(*result)) error {
	bad := fmt.Errorf("no result: %.80q", value)
	head, rest, _ := bytes.Cut(value, []byte(" "))
	start, list, ok := bytes.Cut(rest, []byte(" "))
	if len(head) != 1 || !ok {
		return bad
	}
	r := result{device: deviceOf(mn)}
	switch head[0] {
	case 'm':
		r.window = minuteMean
	case 'h':
		r.window = hourMean
	case 'r':
		r.window = runningMean
	default:
		return bad
	}
	if r.start, ok = parseInt(start); !ok {
		return bad
	}
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte(","))
		code, number, _ := bytes.Cut(item, []byte("="))
		mean, count, _ := bytes.Cut(number, []byte("/"))
		var okMean, okCount bool
		r.factor = factorOf(code)
		r.mean, okMean = parseInt(mean)
		r.count, okCount = parseInt(count)
		if r.factor < 0 || !okMean || !okCount {
			return bad
		}
		each(&r)
	}
	return nil
}

func parseInt(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// parseOurs reads the means among a record of points, line protocol; a minute record's minute mean is no result, its rolling hour is.
func parseOurs(mn, value []byte, each func(*result)) error {
	r := result{device: deviceOf(mn), count: -1}
	for line := range bytes.Lines(value) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if !bytes.HasPrefix(line, []byte("mean,")) {
			continue
		}
		tags, rest, _ := bytes.Cut(line, []byte(" "))
		fields, stamp, ok := bytes.Cut(rest, []byte(" "))
		ns, err := strconv.ParseInt(string(stamp), 10, 64)
		r.factor = factorOf(between(tags, ",factor="))
		mean, okMean := parseDecimal(between(fields, "avg="))
		rev := between(fields, "rev=")
		if !ok || err != nil || r.factor < 0 || !okMean || len(rev) == 0 {
			return fmt.Errorf("no mean: %.200q", line)
		}
		r.mean, r.revised, r.start = mean, string(rev) != "0i", ns/1e9
		switch string(between(tags, ",stat=")) {
		case "minute":
			r.window = minuteMean
		case "hour":
			r.window = hourMean
		case "rolling_1h":
			r.window, r.start = runningMean, r.start-60 // its time is the end of its newest minute
		default:
			continue
		}
		each(&r)
	}
	return nil
}

// between is what stands between key and the next comma.
func between(b []byte, key string) []byte {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return nil
	}
	b, _, _ = bytes.Cut(b[i+len(key):], []byte(","))
	return b
}

// parseDecimal reads a decimal of at most six decimals as millionths.
func parseDecimal(b []byte) (int64, bool) {
	whole, fraction, _ := bytes.Cut(b, []byte("."))
	n, ok := parseInt(whole)
	if !ok || len(fraction) > 6 {
		return 0, false
	}
	n *= 1_000_000
	for i, unit := 0, int64(100_000); i < len(fraction); i, unit = i+1, unit/10 {
		if fraction[i] < '0' || fraction[i] > '9' {
			return 0, false
		}
		n += int64(fraction[i]-'0') * unit
	}
	return n, true
}
