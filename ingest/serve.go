package ingest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"outfall/ingest/hj212"
)

const (
	// maxListings bounds the listings of sessions at a time: each reads every session.
	maxListings = 2
	// listingTime bounds one listing, for a client that does not read.
	listingTime = 30 * time.Second
)

// A LiveSession is what is known of a device on one of its connections: one line of Intake.ServeSessions. Times are UTC.
type LiveSession struct {
	MN      string `json:"mn"`
	Gateway string `json:"gateway"`
	Conn    uint64 `json:"conn"` // connection number in the gateway
	Peer    string `json:"peer"`
	Via     string `json:"via,omitempty"` // load balancer
	TLS     bool   `json:"tls"`
	// Edition is that of the registry, or else what the last frame shows: "2005", "2017", "2025", "surface-water", or "version N".
	Edition string `json:"edition"`
	CRC     string `json:"crc"`     // dialect that its frames are read in
	Devices int32  `json:"devices"` // on the same connection

	Since     time.Time  `json:"since"` // when the connection got the device
	LastFrame *time.Time `json:"last_frame,omitempty"`
	LastCN    string     `json:"last_cn,omitempty"`
	Frames    uint64     `json:"frames"` // of the device on this connection
	// Rejects are the connection's refused frames and spans, of all its devices, by Reason.
	Rejects map[string]uint32 `json:"rejects,omitempty"`
	// QNOffsetMS and DataTimeOffsetMS are the QN and the DataTime of the last 2011 minus its receipt, in milliseconds: how far the
	// device's clock is ahead. A DataTime is also behind by what the device waited before it sent. Nil: there was none.
	QNOffsetMS       *int64 `json:"qn_offset_ms,omitempty"`
	DataTimeOffsetMS *int64 `json:"data_time_offset_ms,omitempty"`
	UnackedBytes     int64  `json:"unacked_bytes"` // of the connection, on their way to the journal
	// Command is the CN and the ID of the command that the device is being asked.
	Command string `json:"command,omitempty"`
}

// ServeSessions lists the live sessions, one JSON object a line, in no order; with ?mn= those of one device. For GET; two at a time, others get 503.
func (in *Intake) ServeSessions(w http.ResponseWriter, r *http.Request) {
	select {
	case in.listings <- struct{}{}:
		defer func() { <-in.listings }()
	default:
		http.Error(w, "sessions are being listed already: try again", http.StatusServiceUnavailable)
		return
	}
	// Where the connection has no deadlines the client is trusted, as in a test.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(listingTime))
	w.Header().Set("Content-Type", "application/jsonl; charset=utf-8")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	from, to := 0, shards
	mn := r.URL.Query().Get("mn")
	if mn != "" {
		from = int(shardOf(mn))
		to = from + 1
	}
	for i := from; i < to; i++ {
		for _, s := range in.live.list(i, mn) {
			in.describe(&s.LiveSession, s.p)
			if enc.Encode(&s.LiveSession) != nil {
				return // the client has gone
			}
		}
	}
}

// A listed is a presence, with what its shard's lock guards.
type listed struct {
	LiveSession
	p *presence
}

// list is the presences of a shard, of one device unless mn is empty.
func (l *live) list(shard int, mn string) (all []listed) {
	at := &l.shard[shard]
	at.mu.Lock()
	defer at.mu.Unlock()
	add := func(p *presence) {
		for ; p != nil; p = p.older {
			all = append(all, listed{LiveSession{MN: p.mn, Since: p.since.UTC()}, p})
		}
	}
	if mn != "" {
		add(at.by[mn])
		return all
	}
	for _, p := range at.by {
		add(p)
	}
	return all
}

// describe completes what list has begun.
func (in *Intake) describe(v *LiveSession, p *presence) {
	s := p.session
	v.Gateway, v.Conn, v.Peer, v.Via, v.TLS = s.origin.Gateway, s.number, s.peer.Addr, s.peer.Via, s.peer.TLS
	v.Devices, v.UnackedBytes = s.devices.Load(), s.unacked.Load()
	p.mu.Lock()
	seen := p.seen
	p.mu.Unlock()
	v.Frames = seen.frames
	if v.Frames > 0 {
		last := seen.last.UTC()
		v.LastFrame, v.LastCN = &last, text(seen.cn[:])
	}
	v.Edition, v.CRC = seen.name(), hj212.DialectHJ.String()
	if d := in.devices.Lookup(p.key); d != nil {
		v.CRC = d.dialect.String()
		if d.Edition != "" {
			v.Edition = d.Edition
		}
	}
	if !seen.clockAt.IsZero() {
		v.QNOffsetMS, v.DataTimeOffsetMS = ahead(seen.qn[:], seen.clockAt), ahead(seen.dataTime[:], seen.clockAt)
	}
	if counts := s.refused.Load(); counts != nil {
		v.Rejects = map[string]uint32{}
		for _, r := range Reasons() {
			if n := counts[r].Load(); n > 0 {
				v.Rejects[r.String()] = n
			}
		}
	}
	v.Command = in.downlink.openCommand(p.mn)
}

// openCommand is the CN and the ID of the command that a device is being asked; empty: none.
func (d *Downlink) openCommand(mn string) string {
	if d == nil || d.talkers(mn).Load() == 0 {
		return ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.seats[mn]; s != nil && s.open != nil {
		return s.open.cmd.CN + " " + s.open.cmd.ID
	}
	return ""
}

// name is the edition that the last frame shows.
func (s *seen) name() string {
	switch {
	case s.surfaceWater && s.edition == hj212.Version2025:
		return editionSurfaceWater
	case s.edition == hj212.Version2005:
		return "2005"
	case s.edition == hj212.Version2017:
		return "2017"
	case s.edition == hj212.Version2025:
		return "2025"
	}
	return "version " + strconv.Itoa(int(s.edition))
}

// text is what was copied into a field, whose rest is zeros.
func text(field []byte) string { return strings.TrimRight(string(field), "\x00") }

// ahead is how far the time that a field holds is ahead of at, in milliseconds; nil when it holds none.
func ahead(field []byte, at time.Time) *int64 {
	t, ok := hj212.ParseTime([]byte(text(field)))
	if !ok {
		return nil
	}
	ms := t.Sub(at).Milliseconds()
	return &ms
}
