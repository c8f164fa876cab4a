package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"outfall/ingest"
	"outfall/telemetry"
)

// Bounds of a file of marks.
const (
	maxMarkFile   = 16 << 20 // bytes
	maxMarkFaults = 200      // listed
)

// A markColumn is a column of a file of marks.
type markColumn struct {
	name, help string
	needed     bool
	set        func(m *telemetry.Mark, text string) error
}

var markColumns = [...]markColumn{
	{"mn", "the device", true, func(m *telemetry.Mark, t string) error { m.MN = t; return nil }},
	{"kind", "what state, by id or Chinese name", true, func(m *telemetry.Mark, t string) (err error) {
		var ok bool
		if m.Kind, ok = telemetry.ParseMarkKind(t); !ok {
			return fmt.Errorf("%q is none of %s, nor one of their names", t, strings.Join(markKindNames(), ", "))
		}
		return nil
	}},
	{"from", `beginning, RFC 3339 or "2006-01-02 15:04" of UTC+8`, true, func(m *telemetry.Mark, t string) (err error) {
		m.From, err = parseInstant("from", t)
		return err
	}},
	{"to", "end, not included; empty: it still lasts", true, func(m *telemetry.Mark, t string) error {
		if t == "" {
			return nil
		}
		to, err := parseInstant("to", t)
		m.To = &to
		return err
	}},
	{"who", "who declares it", true, func(m *telemetry.Mark, t string) error { m.Who = t; return nil }},
	{"sub", "sub-type", false, func(m *telemetry.Mark, t string) error { m.Sub = t; return nil }},
	{"unit", "production or treatment unit", false, func(m *telemetry.Mark, t string) error { m.Unit = t; return nil }},
	{"factors", "factor codes, separated by spaces; empty: all", false, func(m *telemetry.Mark, t string) error { m.Factors = strings.Fields(t); return nil }},
	{"auto", "yes: made by the monitoring itself", false, func(m *telemetry.Mark, t string) error {
		m.Auto = t == "yes"
		if t != "" && t != "no" && t != "yes" {
			return fmt.Errorf("%q is neither yes nor no", t)
		}
		return nil
	}},
	{"proof", "id of the documents that show it", false, func(m *telemetry.Mark, t string) error { m.Proof = t; return nil }},
	{"replaces", "id of the mark that this one takes the place of", false, func(m *telemetry.Mark, t string) error { m.Replaces = t; return nil }},
	{"id", "id of the mark, unique; empty: one is made", false, func(m *telemetry.Mark, t string) error { m.ID = t; return nil }},
	{"code", "what the declarer's system calls the kind", false, func(m *telemetry.Mark, t string) error { m.Code = t; return nil }},
	{"name", "and its name there", false, func(m *telemetry.Mark, t string) error { m.Name = t; return nil }},
	{"sub_code", "the same of the sub-type", false, func(m *telemetry.Mark, t string) error { m.SubCode = t; return nil }},
	{"sub_name", "and its name there", false, func(m *telemetry.Mark, t string) error { m.SubName = t; return nil }},
	{"text", "in words", false, func(m *telemetry.Mark, t string) error { m.Text = t; return nil }},
}

// A markFile is one reading of a file of marks.
type markFile struct {
	name    string
	columns []int // of markColumns, by field
	marks   []telemetry.Mark
	lines   []int // of the marks
	at      []map[string]int
	errs    []error
	src     [][]byte
}

// parseMarks reads a file of marks. name is what faults call the file. The error joins every fault, the first 200 of them, each as
// name:line:column: message, columns counted in characters from 1.
func parseMarks(name string, src []byte, now time.Time) (*markFile, error) {
	f := &markFile{name: name}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	f.src = bytes.Split(src, []byte("\n"))
	switch {
	case len(src) > maxMarkFile:
		f.bad(1, 1, "the file has %d bytes; at most %d are read", len(src), maxMarkFile)
	case !utf8.Valid(src):
		f.bad(1, 1, "is not UTF-8: save the file as CSV UTF-8")
	default:
		f.read(csv.NewReader(bytes.NewReader(src)), now)
	}
	if len(f.errs) == 0 && len(f.marks) == 0 {
		f.bad(1, 1, "no mark below the header")
	}
	return f, errors.Join(f.errs...)
}

// bad reports a fault; column counts bytes from 1, as package csv does.
func (f *markFile) bad(line, column int, format string, a ...any) {
	if len(f.errs) > maxMarkFaults {
		return
	}
	if len(f.errs) == maxMarkFaults {
		f.errs = append(f.errs, fmt.Errorf("%s: more faults are not listed", f.name))
		return
	}
	if line >= 1 && line <= len(f.src) {
		text := f.src[line-1]
		column = utf8.RuneCount(text[:min(max(column-1, 0), len(text))]) + 1
	}
	f.errs = append(f.errs, fmt.Errorf("%s:%d:%d: %s", f.name, line, column, fmt.Sprintf(format, a...)))
}

func (f *markFile) read(r *csv.Reader, now time.Time) {
	r.FieldsPerRecord = -1
	for n := 0; ; n++ {
		record, err := r.Read()
		var syntax *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return
		case errors.As(err, &syntax):
			f.bad(syntax.Line, syntax.Column, "is not CSV: %v", syntax.Err)
			return
		case err != nil:
			f.bad(1, 1, "%v", err)
			return
		case n == 0:
			if !f.header(r, record) {
				return
			}
		default:
			f.mark(r, record, now)
		}
	}
}

// header reports whether the header is right; without it no field can be understood.
func (f *markFile) header(r *csv.Reader, record []string) bool {
	for i, c := range record {
		c = strings.TrimSpace(c)
		line, column := r.FieldPos(i)
		k := slices.IndexFunc(markColumns[:], func(m markColumn) bool { return m.name == c })
		switch {
		case k < 0:
			f.bad(line, column, "column %q is unknown", c)
		case slices.Contains(f.columns, k):
			f.bad(line, column, "column %s is there twice: keep one", c)
		}
		f.columns = append(f.columns, k)
	}
	for k, c := range markColumns {
		if c.needed && !slices.Contains(f.columns, k) {
			f.bad(1, 1, "column %s is missing", c.name)
		}
	}
	return len(f.errs) == 0
}

func (f *markFile) mark(r *csv.Reader, record []string, now time.Time) {
	line, column := r.FieldPos(0)
	if len(record) != len(f.columns) {
		f.bad(line, column, "has %d fields, the header %d", len(record), len(f.columns))
		return
	}
	m := telemetry.Mark{V: telemetry.MarkVersion, When: now.UTC().Truncate(time.Millisecond)}
	at := map[string]int{}
	before := len(f.errs)
	for i, k := range f.columns {
		_, at[markColumns[k].name] = r.FieldPos(i)
		if err := markColumns[k].set(&m, strings.TrimSpace(record[i])); err != nil {
			f.bad(line, at[markColumns[k].name], "%v", err)
		}
	}
	if m.ID == "" {
		m.ID = ingest.NewCommandID(now)
	}
	if len(f.errs) > before {
		return
	}
	if err := m.Validate(); err != nil {
		for _, fault := range splitErrors(err) {
			field, _, _ := strings.Cut(fault.Error(), ":")
			f.bad(line, max(at[field], 1), "%v", fault)
		}
	}
	f.marks, f.lines, f.at = append(f.marks, m), append(f.lines, line), append(f.at, at)
}

// splitErrors takes what errors.Join has joined apart.
func splitErrors(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func newMarkImport(a *app) *cobra.Command {
	var data dataOptions
	var form string
	help := "Check the whole file first; if anything in it is wrong, list every fault with file, line and column, write nothing and exit 2. Then write all marks to the\njournal. A mark whose id the journal has already is not written again, so an import can be repeated where the file gives ids.\n\nThe file is CSV (RFC 4180, UTF-8); its first line names the columns, in any order. mn, kind, from, to and who must be there:\n\n"
	for _, c := range markColumns {
		help += fmt.Sprintf("  %-9s %s\n", c.name, c.help)
	}
	cmd := &cobra.Command{
		Use:     "import FILE",
		Short:   "Import marks from a CSV file",
		Long:    help + "\nKinds, by id or by name:\n\n" + kindList(),
		Example: "  outfall mark import marks.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			src, err := os.ReadFile(args[0])
			if err != nil {
				return usagef("marks: %w", err)
			}
			f, err := parseMarks(args[0], src, time.Now())
			if err != nil {
				return &codedError{exitUsage, err}
			}
			p, err := newPrinter(a.stdout, form)
			if err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			return f.write(cmd.Context(), access.cluster, p)
		},
	}
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}
