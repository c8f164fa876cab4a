// Package registryfile reads and writes the registry of devices as CSV (RFC 4180, UTF-8 with or without a byte order mark). The
// first line names the columns, in any order. These must be there:
//
//	mn                   device id as in its frames, unique; keep it as text in a spreadsheet
//	pw                   password as in its frames; empty: not checked
//	outlet               short id of the outlet, unique
//	outlet_name          for people
//	enterprise           for people
//	region               province/city/county
//	medium               water or gas
//	minute_interval_min  minutes between minute records: a divisor of 60 up to 30
//	realtime_interval_s  seconds between real-time records, 5..3600; 0: none are sent
//	offline_after_s      seconds without a frame until the device is offline, 60..86400
//	tail                 strict, or tolerant: frames may end in LF, CR or nothing
//
// These may be left out; a device then keeps what the registry has of it, see File.Keep. In a column that is there, an empty field is none,
// no, or the gateway's setting:
//
//	pw_next              second password, accepted beside pw while the device is moved to it
//	networks             address prefixes that it may connect from, separated by spaces: 10.1.0.0/16 2001:db8::/32
//	cert_name            DNS name or common name of the client certificate that it must show
//	edition              2005, 2017, 2025 or surface-water; empty: as its frames say
//	crc                  modbus, modbus-swapped, ccitt or none; empty: the standard's
//	period_end           yes: the DataTime of 2051, 2061 and 2031 is the end of the period
//	scales               factors sent in another unit, with the power of ten that corrects them: a34004:-3 a34002:-3
//	over_time_s          answer timeout of requests in seconds, 1..99; with edition 2005 1..3600
//	re_count             how often a request is sent again, 1..99
//	set_up               yes: check the clock and set the intervals when it connects
//	standard             what the outlet is judged by, as the rules name it: GB 18918-2002
//	class                its class of that standard: 一级A
//	built                day on which it was built or approved, 2006-01-01
//	judged               hour or day: the mean by which rules of a standard say exceed here; empty: as the rules say
//	permits              limits of the discharge permit, separated by ';', each a factor, a statistic, low..high and a unit:
//	                     w01018 day ..40 mg/L; w01001 day 6.5..8.5 dimensionless
//	stack                how gas is measured and corrected: ref_o2:6 (0: no correction) max_o2:20 wet working working_flow
//	                     air_kpa:86.5 ppm:a21026+a21002; empty: concentrations are taken as sent
//	flow_weighted        yes: means of water are weighted by its flow, w00000
package registryfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"outfall/telemetry"
)

// Bounds of a file.
const (
	MaxSize   = 64 << 20 // bytes, some 400,000 devices
	maxText   = 200      // bytes of a text field, see longText
	maxFaults = 1000     // listed

	maxOverTime = 99 // seconds, what CN 1000 can carry in 2017 and 2025; 2005 has five digits
)

var columns = [...]string{"mn", "pw", "outlet", "outlet_name", "enterprise", "region", "medium", "minute_interval_min",
	"realtime_interval_s", "offline_after_s", "tail"}

// columnOf names the column of a field as telemetry.Device.Validate calls it.
func columnOf(field string) string {
	switch field {
	case "minuteInterval":
		return "minute_interval_min"
	case "realtimeInterval":
		return "realtime_interval_s"
	case "offlineAfter":
		return "offline_after_s"
	}
	for _, o := range optionals {
		if o.field == field {
			return o.name
		}
	}
	return field
}

// longText is what is wrong with a text that is tooLong.
const longText = "longer than 200 bytes, or with a control character"

func tooLong(text string) bool {
	return len(text) > maxText || strings.ContainsFunc(text, unicode.IsControl)
}

// spreadsheetNumber is what a spreadsheet makes of a long MN whose column it takes for a number.
var spreadsheetNumber = regexp.MustCompile(`^[0-9](\.[0-9]+)?[Ee]\+[0-9]+$`)

// A File is the devices of a registry file, in its order.
type File struct {
	Devices []telemetry.Device
	absent  []optional
}

// Keep gives d, a device of the file, what the registry has of it in the columns that the file leaves out.
func (f *File) Keep(d *telemetry.Device, have *telemetry.Device) {
	for _, o := range f.absent {
		o.parse(d, o.format(have))
	}
}

// Parse reads a registry. name is what faults call the file. The error joins every fault (the first 1000 are listed), each as
// name:line:column: message, columns counted in characters from 1. No fault shows a password.
func Parse(name string, src []byte) (*File, error) {
	f := &file{name: name, mn: map[string]int{}, outlet: map[string]int{}}
	f.read(src)
	if f.more > 0 {
		f.errs = append(f.errs, fmt.Errorf("%s: %d more faults are not listed", name, f.more))
	}
	if len(f.errs) > 0 {
		return nil, errors.Join(f.errs...)
	}
	parsed := &File{Devices: f.devices}
	for _, o := range optionals {
		if _, there := f.index[o.name]; !there {
			parsed.absent = append(parsed.absent, o)
		}
	}
	return parsed, nil
}

// A file is one run of Parse.
type file struct {
	name       string
	lines      [][]byte
	index      map[string]int // column name -> index of the field
	devices    []telemetry.Device
	mn, outlet map[string]int // line of first use
	errs       []error
	more       int
}

// bad reports a fault; column counts bytes from 1, as package csv does.
func (f *file) bad(line, column int, format string, a ...any) {
	if len(f.errs) == maxFaults {
		f.more++
		return
	}
	if line >= 1 && line <= len(f.lines) {
		text := f.lines[line-1]
		column = utf8.RuneCount(text[:min(max(column-1, 0), len(text))]) + 1
	}
	f.errs = append(f.errs, fmt.Errorf("%s:%d:%d: %s", f.name, line, column, fmt.Sprintf(format, a...)))
}

func (f *file) read(src []byte) {
	if len(src) > MaxSize {
		f.bad(1, 1, "the file has %d bytes; at most %d are read", len(src), MaxSize)
		return
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	f.lines = bytes.Split(src, []byte("\n"))
	for i, l := range f.lines {
		if !utf8.Valid(l) {
			f.bad(i+1, 1, "is not UTF-8: save the file as CSV UTF-8")
			return
		}
	}
	r := csv.NewReader(bytes.NewReader(src))
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	for {
		record, err := r.Read()
		var syntax *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			if f.index == nil && len(f.errs) == 0 {
				f.bad(1, 1, "empty: the first line names the columns %s", strings.Join(columns[:], ","))
			} else if len(f.devices) == 0 && len(f.errs) == 0 {
				f.bad(1, 1, "no device below the header")
			}
			return
		case errors.As(err, &syntax):
			f.bad(syntax.Line, syntax.Column, "is not CSV: %v", syntax.Err)
		case err != nil:
			f.bad(1, 1, "%v", err)
			return
		case f.index == nil:
			if !f.header(r, record) {
				return
			}
		default:
			f.device(r, record)
		}
	}
}

// header reports whether the header is right; without it no field can be understood.
func (f *file) header(r *csv.Reader, record []string) bool {
	f.index = map[string]int{}
	known := map[string]bool{}
	for _, c := range columns {
		known[c] = true
	}
	for _, o := range optionals {
		known[o.name] = true
	}
	for i, c := range record {
		c = strings.TrimSpace(c)
		line, column := r.FieldPos(i)
		if !known[c] {
			f.bad(line, column, "column %q is unknown: the columns are %s, and optional %s", c, strings.Join(columns[:], ","), optionalNames())
		} else if _, twice := f.index[c]; twice {
			f.bad(line, column, "column %s is there twice: keep one", c)
		} else {
			f.index[c] = i
		}
	}
	for _, c := range columns {
		if _, ok := f.index[c]; !ok {
			f.bad(1, 1, "column %s is missing", c)
		}
	}
	return len(f.errs) == 0
}

func (f *file) device(r *csv.Reader, record []string) {
	line, _ := r.FieldPos(0)
	if len(record) != len(f.index) {
		f.bad(line, 1, "%d fields, but the header names %d columns", len(record), len(f.index))
		return
	}
	text := func(c string) string { return strings.TrimSpace(record[f.index[c]]) }
	unread := map[string]bool{}
	bad := func(c, format string, a ...any) {
		unread[c] = true
		line, column := r.FieldPos(f.index[c])
		f.bad(line, column, "%s: %s", c, fmt.Sprintf(format, a...))
	}
	whole := func(c string) int {
		n, err := strconv.Atoi(text(c))
		if err != nil {
			bad(c, "%q is not a whole number", text(c))
		}
		return n
	}
	d := telemetry.Device{MN: text("mn"), PW: text("pw"), Outlet: text("outlet"), OutletName: text("outlet_name"),
		Enterprise: text("enterprise"), Region: text("region"), Medium: text("medium"),
		MinuteInterval: whole("minute_interval_min"), RealtimeInterval: whole("realtime_interval_s"), OfflineAfter: whole("offline_after_s")}
	for _, c := range [...]string{"outlet", "outlet_name", "enterprise", "region"} {
		if tooLong(text(c)) {
			bad(c, longText)
		}
	}
	switch text("tail") {
	case "strict":
	case "tolerant":
		d.TolerantTail = true
	default:
		bad("tail", "%q is neither strict nor tolerant", text("tail"))
	}
	for _, o := range optionals {
		if _, there := f.index[o.name]; !there {
			continue
		}
		if fault := o.parse(&d, text(o.name)); fault != "" {
			bad(o.name, "%s", fault)
		}
	}
	if spreadsheetNumber.MatchString(d.MN) {
		bad("mn", "%q was rounded by a spreadsheet: enter the MN again with the column set to text", d.MN)
	}
	validate(&d, unread, bad)
	if n := d.OverTime; n > maxOverTime && n <= 3600 && d.Edition != "2005" {
		bad("over_time_s", "%d is not 1..%d: a device is told it in two digits (HJ 212-2017 table 4); only edition 2005 has more, up to 3600", n, maxOverTime)
	}
	unique(f.mn, d.MN, line, "mn", bad)
	unique(f.outlet, d.Outlet, line, "outlet", bad)
	f.devices = append(f.devices, d)
}

// validate reports what telemetry.Device.Validate finds, at the column; fields in unread have been reported already.
func validate(d *telemetry.Device, unread map[string]bool, bad func(c, format string, a ...any)) {
	joined, ok := d.Validate().(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, err := range joined.Unwrap() {
		field, message, _ := strings.Cut(err.Error(), ": ")
		if c := columnOf(field); !unread[c] {
			bad(c, "%s", message)
		}
	}
}

func unique(seen map[string]int, id string, line int, c string, bad func(c, format string, a ...any)) {
	if first, dup := seen[id]; dup && id != "" {
		bad(c, "%q is already in line %d", id, first)
		return
	}
	seen[id] = line
}

func optionalNames() string {
	names := make([]string, len(optionals))
	for i, o := range optionals {
		names[i] = o.name
	}
	return strings.Join(names, ",")
}

// Format writes devices as Parse reads them, with their passwords; removed devices are left out, and so are optional columns that are
// empty for all.
func Format(devices []telemetry.Device) []byte {
	var buf bytes.Buffer
	w := csv.NewWriter(&buf) // its errors are the buffer's, which has none
	head := columns[:]
	var used []optional
	for _, o := range optionals {
		if slices.ContainsFunc(devices, func(d telemetry.Device) bool { return !d.Removed && o.format(&d) != "" }) {
			head, used = append(head[:len(head):len(head)], o.name), append(used, o)
		}
	}
	_ = w.Write(head)
	for i := range devices {
		d := &devices[i]
		if d.Removed {
			continue
		}
		tail := "strict"
		if d.TolerantTail {
			tail = "tolerant"
		}
		record := []string{d.MN, d.PW, d.Outlet, d.OutletName, d.Enterprise, d.Region, d.Medium, strconv.Itoa(d.MinuteInterval),
			strconv.Itoa(d.RealtimeInterval), strconv.Itoa(d.OfflineAfter), tail}
		for _, o := range used {
			record = append(record, o.format(d))
		}
		_ = w.Write(record)
	}
	w.Flush()
	return buf.Bytes()
}
