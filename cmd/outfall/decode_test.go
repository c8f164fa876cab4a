package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"testing"
	"testing/iotest"

	"outfall/ingest/hj212"
	"outfall/testdata"
)

// decodeAll is `device decode --output jsonl` on a stream.
func decodeAll(t *testing.T, stream []byte, oneByte bool) []byte {
	t.Helper()
	var out bytes.Buffer
	p, err := newPrinter(&out, outputJSONL)
	if err != nil {
		t.Fatal(err)
	}
	d := decoder{framer: hj212.Framer{MaxData: maxSegment}, out: p}
	r := bytes.NewReader(stream)
	if oneByte {
		err = d.run(iotest.OneByteReader(r))
	} else {
		err = d.run(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestDecodeInterrupted: the first Ctrl-C ends a decode whose input neither comes nor ends.
func TestDecodeInterrupted(t *testing.T) {
	input, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &app{stdin: input, stdout: io.Discard, stderr: io.Discard}
	cmd := newRoot(a)
	cmd.SetArgs([]string{"device", "decode"})
	if err := cmd.ExecuteContext(ctx); exitCode(err, a.started) != exitInterrupted {
		t.Errorf("err = %v, want the code %d", err, exitInterrupted)
	}
}

// TestDecodeCorpus decodes the captured frames as one stream: every byte is in exactly one row, frames of a right envelope are
// accepted, and where the stream is cut changes nothing.
func TestDecodeCorpus(t *testing.T) {
	corpus, err := testdata.Frames()
	if err != nil {
		t.Fatal(err)
	}
	var stream []byte
	valid := 0
	for _, f := range corpus {
		if f.Expected == "valid" {
			valid++
		}
		stream = append(stream, f.Wire()...)
	}
	out := decodeAll(t, stream, false)
	var next int64
	accepted := 0
	for line := range bytes.Lines(out) {
		var row struct {
			Offset, Length int64
			Reason         string
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if row.Offset != next || row.Length <= 0 {
			t.Fatalf("row begins at %d with %d bytes, want offset %d: %s", row.Offset, row.Length, next, line)
		}
		next += row.Length
		if row.Reason == "" {
			accepted++
		}
	}
	if next != int64(len(stream)) {
		t.Errorf("rows cover %d bytes of %d", next, len(stream))
	}
	if accepted != valid {
		t.Errorf("%d frames accepted, %d of the corpus are valid", accepted, valid)
	}
	if cut := decodeAll(t, stream, true); !bytes.Equal(cut, out) {
		t.Errorf("byte by byte the stream decodes to\n%s\nwhole to\n%s", cut, out)
	}
}

func TestAppendFields(t *testing.T) {
	pair := func(k, v string) hj212.Pair { return hj212.Pair{Key: []byte(k), Value: []byte(v)} }
	got := appendFields(nil, []hj212.Pair{pair("DataTime", "1"), pair("w01018-Rtd", "5\"0"), pair("DataTime", "2")})
	if want := `{"DataTime":["1","2"],"w01018-Rtd":"5\"0"}`; string(got) != want {
		t.Errorf("fields %s, want %s", got, want)
	}
	if got := appendFields(nil, nil); string(got) != "{}" {
		t.Errorf("no fields: %s, want {}", got)
	}
}
