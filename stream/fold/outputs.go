package fold

import (
	"strconv"
	"time"
	"unicode/utf8"

	"outfall/telemetry"
)

// outputs collects what one entry causes and numbers it per topic.
type outputs struct {
	entry *telemetry.Entry
	emit  func(telemetry.Output)
	ord   [8]int32 // next ordinal, by topic
	lines []byte   // line protocol of the device at hand, not yet emitted

	stamps [2]stamp // of even and of odd minutes: the lines of a record are about a minute's start and its end
}

// A stamp is the end of a line: a time, as text.
type stamp struct {
	ms   int64
	text []byte // empty: not made yet
}

func (o *outputs) begin(e *telemetry.Entry, emit func(telemetry.Output)) {
	o.entry, o.emit, o.ord, o.lines = e, emit, [8]int32{}, o.lines[:0]
}

func (o *outputs) put(t telemetry.Topic, mn string, value []byte) {
	o.emit(telemetry.Output{Topic: t, MN: mn, Value: value, Pos: telemetry.Position{Source: o.entry.Offset, Ordinal: o.ord[t]}})
	o.ord[t]++
}

// flushPoints emits the collected lines as one record.
func (o *outputs) flushPoints(mn string) {
	if n := len(o.lines); n > 0 {
		o.put(telemetry.TopicPoints, mn, o.lines[:n-1]) // without the last newline
		o.lines = o.lines[:0]
	}
}

// maxPoints bounds a record of points, with a line to spare: a Kafka record ends at 1 MiB, and a tick after a long backfill can publish
// thousands of windows of a device.
const maxPoints = 256 << 10

// find emits a finding about d; the caller sets Kind, Detail, Count and what else it knows.
func (s *State) find(d *device, f telemetry.Finding) {
	s.stats.Findings++
	f.MN, f.Outlet, f.Offset, f.At = d.mn, d.reg.Outlet, s.out.entry.Offset, msTime(s.nowMs())
	s.out.put(telemetry.TopicFindings, d.mn, telemetry.AppendJSON(nil, &f))
}

// A line builds one line of InfluxDB line protocol: tags sorted by key, fields in the order of the calls.
type line struct {
	b      []byte
	fields int
}

// start begins a line with the tags that the measurements of a device have. More tags, sorted and after "outlet", come as key and value
// pairs.
func (o *outputs) start(measurement string, d *device, more ...string) line {
	l := o.begun(d, measurement, "", "")
	for i := 0; i+1 < len(more); i += 2 {
		l.b = appendTag(l.b, more[i], more[i+1])
	}
	return l
}

// series begins a line about a series. cn and stat are left out when empty; they have nothing to escape.
func (o *outputs) series(measurement, cn string, d *device, sr *series, stat string) line {
	l := o.begun(d, measurement, cn, sr.tag)
	if stat != "" {
		l.b = append(append(l.b, ",stat="...), stat...)
	}
	return l
}

// begun begins a line with its tags, sorted by key.
func (o *outputs) begun(d *device, measurement, cn, factor string) line {
	if len(o.lines) > maxPoints {
		o.flushPoints(d.mn)
	}
	b := append(o.lines, measurement...)
	if cn != "" {
		b = append(append(b, ",cn="...), cn...)
	}
	b = append(b, factor...)
	if d.tags == "" {
		tags := appendTag(nil, "mn", d.mn)
		if d.reg.Outlet != "" {
			tags = appendTag(tags, "outlet", d.reg.Outlet)
		}
		d.tags = string(tags)
	}
	return line{b: append(b, d.tags...)}
}

// end closes the line at a time in milliseconds.
func (o *outputs) end(l line, ms int64) {
	st := &o.stamps[ms/60_000&1]
	if st.ms != ms || len(st.text) == 0 {
		st.ms, st.text = ms, appendStamp(st.text[:0], ms*1_000_000)
	}
	o.lines = append(l.b, st.text...)
}

// endNano is end at a time in nanoseconds.
func (o *outputs) endNano(l line, ns int64) { o.lines = appendStamp(l.b, ns) }

func appendStamp(b []byte, ns int64) []byte {
	return append(strconv.AppendInt(append(b, ' '), ns, 10), '\n')
}

func (l *line) key(name string) {
	if l.fields == 0 {
		l.b = append(l.b, ' ')
	} else {
		l.b = append(l.b, ',')
	}
	l.fields++
	l.b = append(append(l.b, name...), '=')
}

func (l *line) fixed(name string, f telemetry.Fixed) { l.key(name); l.b = f.Append(l.b) }

func (l *line) int(name string, n int64) {
	l.key(name)
	l.b = append(strconv.AppendInt(l.b, n, 10), 'i')
}

func (l *line) bool(name string, v bool) { l.key(name); l.b = strconv.AppendBool(l.b, v) }

// text writes a string field: UTF-8 without control characters, whatever a device sent. Line feeds become spaces: some readers of the
// topic split at them.
func (l *line) text(name string, v []byte) {
	l.key(name)
	l.b = append(l.b, '"')
	for len(v) > 0 {
		r, n := utf8.DecodeRune(v)
		switch {
		case r == '"' || r == '\\':
			l.b = append(l.b, '\\', v[0])
		case r == '\n' || r == '\r' || r == '\t':
			l.b = append(l.b, ' ')
		case unprintable(r):
			l.b = append(l.b, '?')
		default:
			l.b = append(l.b, v[:n]...)
		}
		v = v[n:]
	}
	l.b = append(l.b, '"')
}

// appendTag appends a tag. A backslash becomes "_": line protocol has no escape for it, and one before a separator would hide that.
// Control characters and bytes that are no UTF-8 become "_" too: InfluxDB refuses them in tags.
func appendTag(b []byte, key, value string) []byte {
	b = append(append(append(b, ','), key...), '=')
	for _, r := range value {
		switch {
		case r == ',' || r == '=' || r == ' ':
			b = append(b, '\\', byte(r))
		case r == '\\' || unprintable(r):
			b = append(b, '_')
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// unprintable tells control characters and what is no UTF-8. It does not ask the Unicode tables: they change with the Go version.
func unprintable(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError }

func msTime(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func msTimePtr(ms int64) *time.Time {
	t := msTime(ms)
	return &t
}
