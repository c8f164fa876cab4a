package stream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"outfall/telemetry"
)

// An item is the smallest thing that is compared: one line of a record of points, or one record of another topic.
type item struct {
	topic  telemetry.Topic
	mn     string
	ord    int32  // of the record
	value  []byte // aliases the record
	key    string // what it is about; among the outputs of one entry each key stands once
	fields []namedValue
	about  about
}

// A namedValue is one field, its value as it is written.
type namedValue struct{ name, value string }

// about is the event time that an item speaks of; the zero value is none.
type about struct {
	factor     string // empty: the device
	stat       telemetry.Statistic
	start, end int64 // ms, [start, end); equal for an instant
}

// itemsOf takes records of one entry and topic apart. Keys that come again get a number.
func itemsOf(outputs []telemetry.Output) []item {
	var items []item
	for i := range outputs {
		o := &outputs[i]
		if o.Topic == telemetry.TopicPoints {
			for line := range bytes.Lines(o.Value) {
				items = append(items, pointItem(o, bytes.TrimSuffix(line, []byte("\n"))))
			}
			continue
		}
		items = append(items, recordItem(o))
	}
	seen := map[string]int{}
	for i := range items {
		seen[items[i].key]++
		if n := seen[items[i].key]; n > 1 {
			items[i].key += fmt.Sprintf(" (%d)", n)
		}
	}
	return items
}

// itemCount is how many items an output has.
func itemCount(o *telemetry.Output) int64 {
	if o.Topic != telemetry.TopicPoints {
		return 1
	}
	return int64(bytes.Count(bytes.TrimSuffix(o.Value, []byte("\n")), []byte("\n"))) + 1
}

// A point is one line of line protocol.
type point struct {
	series      string // measurement and tags as written
	measurement string
	tags        []namedValue
	fields      []namedValue
	nano        int64
}

// field is the text of a field.
func (p *point) field(name string) string { return valueOf(p.fields, name) }

func (p *point) tag(name string) string { return valueOf(p.tags, name) }

// valueOf is a value without quotes and without the "i" of whole numbers; empty when it is not there.
func valueOf(list []namedValue, name string) string {
	for _, f := range list {
		if f.name == name {
			var text string
			if json.Unmarshal([]byte(f.value), &text) == nil {
				return text
			}
			return strings.TrimSuffix(f.value, "i")
		}
	}
	return ""
}

// parsePoint reads a line as the fold writes it. ok is false for any other text.
func parsePoint(line string) (p point, ok bool) {
	split := func(text string, sep byte) (head, rest string, found bool) {
		quoted := false
		for i := 0; i < len(text); i++ {
			switch c := text[i]; {
			case c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case c == sep && !quoted:
				return text[:i], text[i+1:], true
			}
		}
		return text, "", false
	}
	pairs := func(text string) (list []namedValue) {
		for more := text != ""; more; {
			var one string
			one, text, more = split(text, ',')
			name, value, _ := split(one, '=')
			list = append(list, namedValue{name, value})
		}
		return list
	}
	series, rest, ok1 := split(line, ' ')
	fields, stamp, ok2 := split(rest, ' ')
	nano, err := strconv.ParseInt(stamp, 10, 64)
	if !ok1 || !ok2 || err != nil || series == "" {
		return p, false
	}
	var tags string
	p.measurement, tags, _ = split(series, ',')
	p.series, p.fields, p.nano = series, pairs(fields), nano
	for _, tag := range pairs(tags) {
		p.tags = append(p.tags, namedValue{tag.name, unescapeTag(tag.value)})
	}
	return p, true
}

var tagEscapes = strings.NewReplacer(`\,`, `,`, `\=`, `=`, `\ `, ` `)

func unescapeTag(s string) string { return tagEscapes.Replace(s) }

// pointItem is the item of a line. An alarm's line is known by its state: its time is that of the event, made unique among the alarms
// of the partition.
func pointItem(o *telemetry.Output, line []byte) item {
	it := item{topic: o.Topic, mn: o.MN, ord: o.Pos.Ordinal, value: line}
	p, ok := parsePoint(string(line))
	if !ok {
		it.key = string(line)
		return it
	}
	it.fields, it.about = p.fields, p.about()
	if p.measurement == "alarm" {
		it.key = p.series + " " + p.field("state")
		it.fields = append(it.fields, namedValue{"time", strconv.FormatInt(p.nano, 10)})
	} else {
		it.key = p.series + " " + strconv.FormatInt(p.nano, 10)
	}
	return it
}

// hour and day are lengths of windows, ms.
const hourMs, dayMs = 3_600_000, 24 * 3_600_000

// about is the event time that a line speaks of. The end of a minute is its start: its length is the registry's to say.
func (p *point) about() about {
	a := about{factor: p.tag("factor"), stat: telemetry.Statistic(p.tag("stat")), start: p.nano / 1_000_000}
	switch p.measurement {
	case "instant":
		a.stat = telemetry.StatInstant
	case "mean":
	case "alarm":
		seconds, _ := strconv.ParseInt(p.field("window_start"), 10, 64)
		a.start = seconds * 1000
	case "completeness":
		a.stat = telemetry.Statistic(p.tag("period"))
	default:
		return about{}
	}
	a.end = a.start
	switch a.stat {
	case telemetry.StatHour:
		a.end += hourMs
	case telemetry.StatDay:
		a.end += dayMs
	case telemetry.StatRolling1, telemetry.StatRolling24:
		if p.measurement == "mean" {
			seconds, _ := strconv.ParseInt(p.field("start"), 10, 64)
			a.start = seconds * 1000
		} else if a.end += hourMs; a.stat == telemetry.StatRolling24 {
			a.end = a.start + dayMs
		}
	}
	return a
}

// recordItem is the item of a record of JSON. Alarms and findings are known by what they are about, not by an id or the order they came in.
func recordItem(o *telemetry.Output) item {
	it := item{topic: o.Topic, mn: o.MN, ord: o.Pos.Ordinal, value: o.Value, fields: jsonFields(o.Value)}
	text := func(name string) string { return valueOf(it.fields, name) }
	instant := func(name string) int64 {
		t, err := time.Parse(time.RFC3339, text(name))
		if err != nil {
			return 0
		}
		return t.UnixMilli()
	}
	parts := []string{o.MN}
	switch o.Topic {
	case telemetry.TopicAlarms:
		parts = append(parts, text("factor"), text("statistic"), text("rule"), text("state"))
		it.about = about{factor: text("factor"), stat: telemetry.Statistic(text("statistic")), start: instant("window_start"), end: instant("window_end")}
	case telemetry.TopicFindings:
		parts = append(parts, text("kind"), text("factor"), text("cn"), text("qn"), text("start"))
	}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	it.key = strings.Join(parts, " ")
	return it
}

// jsonFields are the fields of an object, in its order; none if it is none.
func jsonFields(object []byte) (fields []namedValue) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for dec.More() {
		name, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return nil
		}
		fields = append(fields, namedValue{name.(string), string(value)})
	}
	return fields
}

// changedFields lists the fields whose values differ, in the order in which they are published. With a rule file of one's own the names
// that follow from the file's bytes are left out: the rule set, the alarms' ids, and the nanoseconds that keep alarms of one moment apart.
func changedFields(was, is *item, otherRules bool) (changes []FieldChange) {
	find := func(list []namedValue, name string) string {
		if i := slices.IndexFunc(list, func(f namedValue) bool { return f.name == name }); i >= 0 {
			return list[i].value
		}
		return ""
	}
	for _, f := range was.fields {
		if now := find(is.fields, f.name); now != f.value {
			changes = append(changes, FieldChange{f.name, f.value, now})
		}
	}
	for _, f := range is.fields {
		if find(was.fields, f.name) == "" {
			changes = append(changes, FieldChange{f.name, "", f.value})
		}
	}
	if len(changes) == 0 { // what no field shows
		changes = append(changes, FieldChange{"bytes", string(was.value), string(is.value)})
	}
	if !otherRules {
		return changes
	}
	return slices.DeleteFunc(changes, func(f FieldChange) bool {
		switch f.Name {
		case "id", "rule_set":
			return true
		case "time":
			return len(f.Published) > 6 && len(f.Replayed) > 6 && f.Published[:len(f.Published)-6] == f.Replayed[:len(f.Replayed)-6]
		}
		return false
	})
}
