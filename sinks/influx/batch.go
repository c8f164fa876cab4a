package influx

import (
	"time"

	"outfall/telemetry"
)

// A record is one of the points topic. value aliases the Kafka record and is only read.
type record struct {
	part   *part
	offset int64
	value  []byte
	pos    telemetry.Position // NoPosition: it carries none, so it is not the stream worker's
	marker bool               // the end of a transaction: it takes an offset, and that is all
}

// A mark is how far a partition got: the next offset, and the greatest position before it.
type mark struct {
	next int64
	pos  telemetry.Position
}

// A line is one line of line protocol, of the record at offset.
type line struct {
	part   *part
	offset int64
	text   []byte
}

// A batch is what one write carries, records whole and in order.
type batch struct {
	maxLines, maxBytes int
	lines              []line
	bytes              int
	records            int       // including those that gave no line
	began              time.Time // when the first record came in
}

// full reports whether the batch is at a bound, or beyond it by its last record.
func (b *batch) full() bool { return len(b.lines) >= b.maxLines || b.bytes >= b.maxBytes }

// fits reports whether r may still be added.
func (b *batch) fits(r record) bool {
	return !b.full() && (len(b.lines) == 0 || b.bytes+len(r.value) <= b.maxBytes)
}

// add appends r's lines and returns how many there are.
func (b *batch) add(r record) int {
	before := len(b.lines)
	for rest := r.value; len(rest) > 0; {
		var text []byte
		if text, rest = cutLine(rest); len(text) > 0 {
			b.lines = append(b.lines, line{r.part, r.offset, text})
			b.bytes += len(text) + 1
		}
	}
	return len(b.lines) - before
}

func (b *batch) reset() {
	clear(b.lines) // they hold the Kafka records
	b.lines, b.bytes, b.records = b.lines[:0], 0, 0
}

// cutLine splits off the first line of line protocol, as InfluxDB does: a newline within the quotes of a string field does not
// end it. Such quotes open after the "=" of a field, and fields come after the first space that no backslash precedes.
func cutLine(b []byte) (text, rest []byte) {
	fields, quoted := false, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\\':
			i++
		case c == '\n' && !quoted:
			return b[:i], b[i+1:]
		case c == ' ':
			fields = true
		case c == '"' && quoted:
			quoted = false
		case c == '"' && fields && b[i-1] == '=':
			quoted = true
		}
	}
	return b, nil
}
