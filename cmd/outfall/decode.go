package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// decodeChunk is how much of the input is read at a time, in bytes: several frames, less than a pipe holds.
const decodeChunk = 64 << 10

// maxSegment is the longest data segment that the four digits of a frame's length can say.
const maxSegment = 9999

// A frameRow is one accepted frame. Field order is the JSON form that scripts rely on.
type frameRow struct {
	Offset   int64           `json:"offset"` // of the first '#' in the stream, bytes
	Length   int             `json:"length"` // on the wire, tail included, bytes
	MN       string          `json:"mn"`
	ST       string          `json:"st"`
	CN       string          `json:"cn"`
	QN       string          `json:"qn"`
	Flag     *int            `json:"flag"`   // null: the frame has none
	Fields   json.RawMessage `json:"fields"` // CP's keys in order; a key that repeats has a list
	Findings []string        `json:"findings"`
}

// A refusedRow is one span of the stream that is no acceptable frame.
type refusedRow struct {
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Reason string `json:"reason"`
}

func newDeviceDecode(a *app) *cobra.Command {
	var form string
	var tolerant bool
	cmd := &cobra.Command{
		Use:   "decode",
		Short: "Decode the byte stream on standard input",
		Long: `Decode any byte stream on standard input into HJ 212 frames and refused spans, as it arrives.

Strict by default: "##", a right four-digit length, the HJ CRC and a CR LF tail. With --tolerant a missing, LF-only or blank tail
is accepted too. The codec is the one that ingest uses, so a frame that is refused here would be refused there.

Exit code 0 when everything was accepted, 3 otherwise.`,
		Example: `  outfall device decode < capture.bin
  nc -l 9212 | outfall device decode --output jsonl | jq .mn`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(a.stdout, form)
			if err != nil {
				return err
			}
			d := decoder{framer: hj212.Framer{Tolerant: tolerant, MaxData: maxSegment}, out: p}
			if err := unlessInterrupted(cmd.Context(), func() error { return d.run(a.stdin) }); err != nil {
				return err
			}
			if d.refusals > 0 {
				return checkFailed()
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&tolerant, "tolerant", false, "accept a missing, LF-only or blank tail")
	outputFlag(cmd, &form)
	return cmd
}

// unlessInterrupted returns what f returns, or the context's error once it has ended. A read of standard input cannot be called
// off: f then stays behind in it until the process ends, which it does at once.
func unlessInterrupted(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A decoder prints what a stream holds. It keeps the bytes of at most one incomplete frame and one chunk.
type decoder struct {
	framer   hj212.Framer
	out      *printer
	offset   int64
	refusals int
	msg      hj212.Message
	// junk joins neighbouring spans of bytes outside any frame, so that where the input was cut does not show.
	junk refusedRow
}

func (d *decoder) run(r io.Reader) error {
	var buf []byte
	chunk := make([]byte, decodeChunk)
	for {
		n, err := r.Read(chunk)
		buf = append(buf, chunk[:n]...)
		eof := errors.Is(err, io.EOF)
		if err != nil && !eof {
			return fmt.Errorf("read standard input: %w", err)
		}
		used, perr := d.feed(buf, eof)
		if perr != nil {
			return perr
		}
		buf = append(buf[:0], buf[used:]...)
		if eof {
			if err := d.flushJunk(); err != nil {
				return err
			}
			return d.out.flush()
		}
		if err := d.out.flush(); err != nil {
			return err
		}
	}
}

// feed prints what is complete in buf and returns how many bytes that was.
func (d *decoder) feed(buf []byte, eof bool) (used int, err error) {
	for used < len(buf) {
		fr, size, perr := d.framer.Next(buf[used:], eof)
		if size == 0 && perr == nil {
			return used, nil
		}
		blanks := perr == nil && fr.Raw == nil // the rest of a tolerant tail: neither a frame nor refused
		if perr == nil && !blanks {
			perr = d.msg.Parse(fr.Data)
		}
		switch {
		case perr != nil:
			err = d.refused(size, perr)
		case !blanks:
			err = d.accepted(size, fr)
		}
		if err != nil {
			return used, err
		}
		used += size
		d.offset += int64(size)
	}
	return used, nil
}

func (d *decoder) refused(size int, cause error) error {
	reason, detail := "segment", cause.Error()
	var perr *hj212.ParseError
	if errors.As(cause, &perr) {
		reason, detail = perr.Reason.String(), perr.Detail
	}
	if reason == hj212.ReasonGarbage.String() {
		if d.junk.Length > 0 {
			d.junk.Length += int64(size)
			return nil
		}
		d.junk = refusedRow{d.offset, int64(size), reason}
		return nil
	}
	if err := d.flushJunk(); err != nil {
		return err
	}
	return d.printRefused(refusedRow{d.offset, int64(size), reason}, detail)
}

func (d *decoder) flushJunk() error {
	if d.junk.Length == 0 {
		return nil
	}
	row := d.junk
	d.junk = refusedRow{}
	return d.printRefused(row, "bytes outside any frame")
}

func (d *decoder) printRefused(row refusedRow, detail string) error {
	d.refusals++
	return d.out.row(row, fmt.Sprintf("refused at %d, %d bytes: %s: %s", row.Offset, row.Length, row.Reason, detail))
}

func (d *decoder) accepted(size int, fr hj212.Frame) error {
	if err := d.flushJunk(); err != nil {
		return err
	}
	if fr.LowerCRC {
		d.msg.Quality |= hj212.LowerCRC
	}
	row := newFrameRow(&d.msg)
	row.Offset, row.Length = d.offset+int64(size-len(fr.Raw)), len(fr.Raw) // blanks of the tail before may lead
	if d.out.jsonl {
		return d.out.row(row)
	}
	head := fmt.Sprintf("frame at %d, %d bytes: MN %s  ST %s  CN %s%s  QN %s  Flag %s", row.Offset, row.Length,
		orDash(row.MN), orDash(row.ST), orDash(row.CN), commandName(row.CN), orDash(row.QN), flagText(row.Flag))
	if err := d.out.row(nil, head); err != nil {
		return err
	}
	for _, pair := range d.msg.Pairs {
		if err := d.out.row(nil, "  "+string(pair.Key), string(pair.Value), factorName(string(pair.Key))); err != nil {
			return err
		}
	}
	if len(row.Findings) > 0 {
		return d.out.row(nil, "  findings", strings.Join(row.Findings, ", "))
	}
	return nil
}

// newFrameRow is the row of a parsed message; Offset and Length are the caller's to set.
func newFrameRow(m *hj212.Message) frameRow {
	row := frameRow{
		MN: string(m.MN), ST: string(m.ST), CN: string(m.CN), QN: string(m.QN),
		Fields: appendFields(nil, m.Pairs), Findings: m.Quality.Names(),
	}
	if row.Findings == nil {
		row.Findings = []string{}
	}
	if m.HasFlag {
		flag := int(m.Flag)
		row.Flag = &flag
	}
	return row
}

// appendFields appends the pairs as one JSON object in the order of the frame. A key that repeats (several DataTime records in
// one frame) stands once, at its first place, with the list of its values.
func appendFields(dst []byte, pairs []hj212.Pair) []byte {
	values := make(map[string][]string, len(pairs))
	for _, p := range pairs {
		values[string(p.Key)] = append(values[string(p.Key)], string(p.Value))
	}
	dst = append(dst, '{')
	for _, p := range pairs {
		key := string(p.Key)
		list, first := values[key]
		if !first {
			continue
		}
		delete(values, key)
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(telemetry.AppendJSON(dst, key), ':')
		if len(list) == 1 {
			dst = telemetry.AppendJSON(dst, list[0])
		} else {
			dst = telemetry.AppendJSON(dst, list)
		}
	}
	return append(dst, '}')
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func flagText(flag *int) string {
	if flag == nil {
		return "-"
	}
	return fmt.Sprint(*flag)
}

// commandNames are the uploads of HJ 212-2017 table 9 that data loggers send most.
var commandNames = map[string]string{
	"2011": "real-time data", "2021": "equipment state", "2031": "day data", "2041": "run time", "2051": "minute data", "2061": "hour data",
	"2081": "start-up", "9011": "request answer", "9012": "execution result", "9013": "notice answer", "9014": "data answer",
}

func commandName(cn string) string {
	if name, ok := commandNames[cn]; ok {
		return " (" + name + ")"
	}
	return ""
}

// factorName explains the key of a value ("w01018-Rtd"): the factor's names and the unit of annex B.
func factorName(key string) string {
	code, _, ok := strings.Cut(key, "-")
	if !ok {
		return ""
	}
	f, known := telemetry.LookupFactor(code)
	if !known {
		return "unknown factor"
	}
	return strings.TrimSpace(f.NameZH + " " + f.NameEN + ", " + orDash(f.Unit))
}
