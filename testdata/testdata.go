// Package testdata carries the captured frames and the standards' printed segments that several packages test with and that the
// demonstration plays; README.md tells where they come from.
package testdata

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed frames.tsv
var framesTSV string

//go:embed segments.tsv
var segmentsTSV string

// A Frame is one captured frame.
type Frame struct {
	ID     string // "F001"
	Source string // repository and file
	// Expected is the class of its envelope, recomputed from the bytes: valid, bad-crc, bad-length or other.
	Expected string
	// Captured is the frame as the source shows it; many sources leave the CR LF out.
	Captured []byte
}

// Wire is the frame as a logger sends it: Captured, with the CR LF that the source omitted. The slice is the caller's.
func (f Frame) Wire() []byte {
	b := append([]byte(nil), f.Captured...)
	if n := len(b); n > 0 && (b[n-1] == '\n' || b[n-1] == '\r') {
		return b
	}
	return append(b, "\r\n"...)
}

// Frames lists the corpus of frames.tsv in the order of the file.
func Frames() ([]Frame, error) {
	var frames []Frame
	lines := strings.Split(strings.TrimSuffix(framesTSV, "\n"), "\n")
	for i, line := range lines[1:] { // the first line names the columns
		cells := strings.Split(line, "\t")
		if len(cells) != 4 {
			return nil, fmt.Errorf("frames.tsv:%d: %d columns, want 4", i+2, len(cells))
		}
		b, err := unescape(cells[3])
		if err != nil {
			return nil, fmt.Errorf("frames.tsv:%d: %w", i+2, err)
		}
		frames = append(frames, Frame{ID: cells[0], Source: cells[1], Expected: cells[2], Captured: b})
	}
	return frames, nil
}

// A Segment is one data segment as printed in appendix C of a standard, misprints and all.
type Segment struct {
	ID      string // "S001"
	Edition int    // 2005 or 2017
	CN      string
	Text    string
}

// Segments lists the segments of segments.tsv in the order of the file.
func Segments() ([]Segment, error) {
	var segments []Segment
	lines := strings.Split(strings.TrimSuffix(segmentsTSV, "\n"), "\n")
	for i, line := range lines[1:] { // the first line names the columns
		cells := strings.Split(line, "\t")
		if len(cells) != 4 {
			return nil, fmt.Errorf("segments.tsv:%d: %d columns, want 4", i+2, len(cells))
		}
		s := Segment{ID: cells[0], Edition: 2017, CN: cells[2], Text: cells[3]}
		switch {
		case strings.HasPrefix(cells[1], "HJ/T 212-2005"):
			s.Edition = 2005
		case !strings.HasPrefix(cells[1], "HJ 212-2017"):
			return nil, fmt.Errorf("segments.tsv:%d: source %q names neither standard", i+2, cells[1])
		}
		segments = append(segments, s)
	}
	return segments, nil
}

// unescape resolves \r, \n, \t, \\ and \xHH.
func unescape(s string) ([]byte, error) {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		if i == len(s) {
			return nil, fmt.Errorf("a lone backslash at the end")
		}
		switch s[i] {
		case 'r':
			b = append(b, '\r')
		case 'n':
			b = append(b, '\n')
		case 't':
			b = append(b, '\t')
		case '\\':
			b = append(b, '\\')
		case 'x':
			if i+2 >= len(s) {
				return nil, fmt.Errorf(`a \x without two digits`)
			}
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return nil, fmt.Errorf(`\x%s: %w`, s[i+1:i+3], err)
			}
			b = append(b, byte(v))
			i += 2
		default:
			return nil, fmt.Errorf(`unknown escape \%c`, s[i])
		}
	}
	return b, nil
}
