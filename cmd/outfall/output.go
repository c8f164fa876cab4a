package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"outfall/telemetry"
)

// Output forms of every command that lists: a table for people with times of UTC+8, or one JSON object a line with UTC times.
const (
	outputTable = "table"
	outputJSONL = "jsonl"
)

// outputFlag adds --output to a command.
func outputFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "output", "o", outputTable, "table (times of UTC+8) or jsonl (one object a line, UTC)")
	mustComplete(cmd, "output", outputTable, outputJSONL)
}

func mustComplete(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a flag that the same function has just added
	}
}

// A printer writes rows in one of the two forms. Rows of a table are aligned per flush.
type printer struct {
	jsonl bool
	buf   *bufio.Writer
	tab   *tabwriter.Writer
	head  string
}

// newPrinter starts a listing with the table's column titles. An unknown form is a usage error.
func newPrinter(w io.Writer, form string, columns ...string) (*printer, error) {
	if form != outputTable && form != outputJSONL {
		return nil, usagef("--output: %q is neither table nor jsonl", form)
	}
	p := &printer{jsonl: form == outputJSONL, buf: bufio.NewWriter(w), head: strings.Join(columns, "\t")}
	p.tab = tabwriter.NewWriter(p.buf, 0, 0, 2, ' ', 0)
	return p, nil
}

// row prints one row: v as JSON, or the cells. The column titles come with the first row, so an empty listing is empty.
func (p *printer) row(v any, cells ...string) error {
	if p.jsonl {
		_, err := p.buf.Write(append(telemetry.AppendJSON(nil, v), '\n'))
		return err
	}
	if p.head != "" {
		fmt.Fprintln(p.tab, p.head)
		p.head = ""
	}
	for i, c := range cells {
		cells[i] = printable(c)
	}
	_, err := fmt.Fprintln(p.tab, strings.Join(cells, "\t"))
	return err
}

// flush writes out what row has collected.
func (p *printer) flush() error {
	if err := p.tab.Flush(); err != nil {
		return err
	}
	return p.buf.Flush()
}

// printable keeps a cell on its line and its terminal in order: control characters and broken UTF-8, which devices do send, are
// shown escaped.
func printable(s string) string {
	clean := true
	for _, r := range s {
		clean = clean && r >= ' ' && r != 0x7f && r != '\uFFFD'
	}
	if clean {
		return s
	}
	return strings.Trim(fmt.Sprintf("%q", s), `"`)
}

// localTime is an instant for people: the wall clock of UTC+8.
func localTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(telemetry.China).Format("2006-01-02 15:04:05")
}

// parseInstant reads a time of the command line: RFC 3339, or the wall clock of UTC+8 with or without the time of day.
func parseInstant(flag, text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, telemetry.China); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usagef("%s: %q is neither RFC 3339 nor \"2006-01-02 15:04:05\" of UTC+8", flag, text)
}

// terminalWidth is the width of w in columns; ok is false when w is no terminal.
func terminalWidth(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width, true
	}
	return 80, true
}
