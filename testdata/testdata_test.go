package testdata

import (
	"bytes"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	frames, err := Frames()
	if err != nil {
		t.Fatal(err)
	}
	if len(frames) != 116 {
		t.Errorf("%d frames, want 116", len(frames))
	}
	for _, f := range frames {
		if !bytes.HasPrefix(f.Captured, []byte("##")) {
			t.Errorf("%s begins with %.8q, want ##", f.ID, f.Captured)
		}
	}
}

func TestSegments(t *testing.T) {
	segments, err := Segments()
	if err != nil {
		t.Fatal(err)
	}
	of := map[int]int{}
	for _, s := range segments {
		of[s.Edition]++
		if !strings.Contains(s.Text, "CN="+s.CN+";") || !strings.HasSuffix(s.Text, "&&") {
			t.Errorf("%s: CN %s, %q", s.ID, s.CN, s.Text)
		}
	}
	if of[2005] != 47 || of[2017] != 74 {
		t.Errorf("segments of the editions: %v, want 47 of 2005 and 74 of 2017", of)
	}
}

func TestUnescape(t *testing.T) {
	got, err := unescape(`a\r\n\t\\\x00\xfF`)
	if want := "a\r\n\t\\\x00\xff"; err != nil || string(got) != want {
		t.Errorf("unescape = %q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{`\`, `\x1`, `\xzz`, `\q`} {
		if _, err := unescape(bad); err == nil {
			t.Errorf("unescape(%q) accepted", bad)
		}
	}
}
