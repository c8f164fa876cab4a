package sim

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A mood is how InfluxDB treats a write.
type mood uint8

const (
	moodWell    mood = iota
	moodSlow         // answers late, now and then too late
	moodBusy         // 503
	moodLimited      // 429 with Retry-After
	moodRefuse       // no connection
	moodForget       // stores, but the answer is lost
	moodEnd
)

var moodNames = [...]string{"well", "slow", "busy", "limited", "refuse", "forget"}

func (m mood) String() string { return moodNames[m] }

// A database is InfluxDB: of each series and time the fields written last.
type database struct {
	mood atomic.Int32

	mu     sync.Mutex // guards the rest
	points map[string]string
	writes int
}

// A door is one sink process's way to the database. It implements http.RoundTripper.
type door struct {
	db       *database
	dead     atomic.Bool // the process has crashed
	inside   atomic.Int32
	broken   atomic.Pointer[string] // the first broken bound
	maxLines int                    // of the sink's batch
}

var (
	errRefused = errors.New("sim: connection refused")
	errLost    = errors.New("sim: connection lost")
)

// RoundTrip implements http.RoundTripper.
func (d *door) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if r.URL.Path != "/api/v2/write" {
		return answer(r, http.StatusNoContent, nil), nil
	}
	if d.inside.Add(1) > 1 {
		d.broke("two writes of one sink at a time")
	}
	defer d.inside.Add(-1)
	if n := bytes.Count(body, []byte("\n")); n > d.maxLines+maxLinesOfRecord {
		d.broke("a write of more lines than a batch and a record have")
	}
	m := mood(d.db.mood.Load())
	delay := 3 * time.Millisecond
	if m == moodSlow {
		delay = time.Duration(len(body)%7) * 2 * time.Second // some of them beyond the sink's timeout
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if d.dead.Load() {
		return nil, errLost
	}
	switch m {
	case moodBusy:
		return answer(r, http.StatusServiceUnavailable, nil), nil
	case moodLimited:
		return answer(r, http.StatusTooManyRequests, map[string]string{"Retry-After": "2"}), nil
	case moodRefuse:
		return nil, errRefused
	}
	d.db.store(string(body))
	if m == moodForget && len(body)%2 == 0 {
		return nil, errLost
	}
	return answer(r, http.StatusNoContent, nil), nil
}

// maxLinesOfRecord is more than any record of the simulation has.
const maxLinesOfRecord = 4000

func (d *door) broke(what string) { d.broken.CompareAndSwap(nil, &what) }

func answer(r *http.Request, status int, header map[string]string) *http.Response {
	h := http.Header{"X-Influxdb-Version": {"1.8.10"}}
	for k, v := range header {
		h.Set(k, v)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("")), Request: r}
}

func (db *database) store(lines string) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.writes++
	put(db.points, lines)
}

// put stores lines of line protocol under their series and time. The simulation's tags and texts hold no escaped blanks.
func put(points map[string]string, lines string) {
	for l := range strings.Lines(lines) {
		l = strings.TrimSuffix(l, "\n")
		first, last := strings.IndexByte(l, ' '), strings.LastIndexByte(l, ' ')
		if first < 0 || first == last {
			continue
		}
		points[l[:first]+l[last:]] = l[first+1 : last]
	}
}
