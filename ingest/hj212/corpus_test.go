package hj212

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outfall/testdata"
)

// A corpusFrame is a row of testdata/frames.tsv with its notes.
type corpusFrame struct {
	id, expected, notes, st, cn string
	raw                         []byte // as in the source, with CR LF appended where the source left the tail out
}

// readTSV returns the rows of a file below its heading.
func readTSV(tb testing.TB, name string) (rows [][]string) {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows[1:]
}

func corpus(tb testing.TB) (frames []corpusFrame) {
	tb.Helper()
	notes := map[string][]string{}
	for _, r := range readTSV(tb, "frames_notes.tsv") {
		notes[r[0]] = r
	}
	all, err := testdata.Frames()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range all {
		n := notes[f.ID]
		c := corpusFrame{id: f.ID, expected: f.Expected, st: n[2], cn: n[3], notes: n[4], raw: f.Captured}
		if strings.Contains(c.notes, "tail-omitted-in-source") {
			c.raw = append(c.raw, "\r\n"...)
		}
		frames = append(frames, c)
	}
	return frames
}

func TestCorpusFrames(t *testing.T) {
	frames := corpus(t)
	if len(frames) != 116 {
		t.Fatalf("%d frames, want 116", len(frames))
	}
	for _, c := range frames {
		for _, tolerant := range []bool{false, true} {
			f := Framer{Tolerant: tolerant}
			fr, size, err := f.Next(c.raw, true)
			var want Reason
			switch {
			case strings.Contains(c.notes, "crc-matches:modbus-swap"):
				want = ReasonCRCModbusSwapped
			case strings.Contains(c.notes, "crc-matches:modbus"):
				want = ReasonCRCModbus
			case c.expected == "bad-crc":
				want = ReasonCRC
			case c.expected == "bad-length", strings.Contains(c.notes, "length-not-4-digits") && !tolerant:
				want = ReasonLength
			case strings.Contains(c.notes, "tail-lf-only") && !tolerant:
				want = ReasonTail
			case strings.Contains(c.notes, "unclassifiable"):
				want = ReasonHalf
			}
			if size != len(c.raw) {
				t.Errorf("%s tolerant=%t: size %d, want the whole %d bytes", c.id, tolerant, size, len(c.raw))
			}
			if got := reasonOf(err); got != want {
				t.Errorf("%s tolerant=%t: %v, want reason %v", c.id, tolerant, err, want)
				continue
			}
			if want != 0 {
				continue
			}
			if string(fr.Raw) != string(c.raw) || fr.LowerCRC != strings.Contains(c.notes, "crc-lower-case") {
				t.Errorf("%s: raw %q lower %t", c.id, fr.Raw, fr.LowerCRC)
			}
			if fr.UnpaddedLength != strings.Contains(c.notes, "length-not-4-digits") || fr.WrongLength {
				t.Errorf("%s: %+v", c.id, fr)
			}
			var m Message
			if err := m.Parse(fr.Data); err != nil || string(m.ST) != c.st || string(m.CN) != c.cn || len(m.MN) == 0 {
				t.Errorf("%s: ST %q CN %q MN %q, %v", c.id, m.ST, m.CN, m.MN, err)
			}
		}
	}
}

// TestCorpusStream joins the corpus into one stream: bad frames must not take good ones with them.
func TestCorpusStream(t *testing.T) {
	var stream []byte
	want := 0
	for _, c := range corpus(t) {
		stream = append(stream, c.raw...)
		if c.expected == "valid" {
			want++
		}
	}
	got := 0
	for _, e := range decodeAll(Framer{}, stream, nil) {
		if e.reason == 0 {
			got++
		}
	}
	if got != want {
		t.Errorf("%d frames of the joined corpus, want the %d valid ones", got, want)
	}
}

func TestStandardSegments(t *testing.T) {
	rows := readTSV(t, "segments.tsv")
	if len(rows) != 121 {
		t.Fatalf("%d segments, want 121", len(rows))
	}
	var m Message
	for _, r := range rows {
		raw := AppendFrame(nil, []byte(r[3]))
		fr, size, err := Framer{}.Next(raw, false)
		if err != nil || size != len(raw) || string(fr.Data) != r[3] {
			t.Errorf("%s: %q, size %d, %v", r[0], fr.Data, size, err)
			continue
		}
		if err := m.Parse(fr.Data); err != nil || string(m.CN) != r[2] || len(m.ST) != 2 || m.CP == nil {
			t.Errorf("%s: CN %q ST %q CP %q, %v", r[0], m.CN, m.ST, m.CP, err)
		}
		if odd := m.Quality &^ (NoQN | NoFlag | PacketsMissing | PacketOrder); odd != 0 {
			t.Errorf("%s: qualities %v", r[0], odd.Names())
		}
	}
}
