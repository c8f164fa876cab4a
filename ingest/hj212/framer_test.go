package hj212

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func reasonOf(err error) Reason {
	if perr, ok := errors.AsType[*ParseError](err); ok {
		return perr.Reason
	}
	return 0
}

// An event is what Next made of one span.
type event struct {
	reason Reason // 0: a frame
	data   string
	size   int
}

// decodeAll feeds stream to f in pieces of the sizes that cut gives (nil: in one piece) and lists the events. Empty tolerant spans are
// no events.
func decodeAll(f Framer, stream []byte, cut func() int) []event {
	return appendEvents(nil, f, stream, cut)
}

func appendEvents(events []event, f Framer, stream []byte, cut func() int) []event {
	var at, end int // what Next sees of the stream; the rest is out of its reach
	take := func(eof bool) {
		for {
			buf := stream[at:end:end]
			fr, size, err := f.Next(buf, eof)
			switch {
			case size < 0 || size > len(buf) || err != nil && size == 0:
				panic(fmt.Sprintf("size %d, err %v for %d bytes", size, err, len(buf)))
			case size == 0 && (eof && len(buf) > 0 || len(buf) >= f.MaxBuffer()):
				panic(fmt.Sprintf("wants more than %d bytes, eof %t", len(buf), eof))
			case size == 0:
				return
			case err != nil:
				events = append(events, event{reasonOf(err), "", size})
			case fr.Raw != nil:
				events = append(events, event{0, string(fr.Data), size})
			}
			at += size
		}
	}
	for cut != nil && end < len(stream) {
		end += min(cut(), len(stream)-end)
		take(false)
	}
	end = len(stream)
	take(true)
	return events
}

// show writes events as "ok:data" and "reason:size".
func show(events []event) string {
	var s []string
	for _, e := range events {
		if e.reason == 0 {
			s = append(s, "ok:"+e.data)
		} else {
			s = append(s, fmt.Sprintf("%v:%d", e.reason, e.size))
		}
	}
	return strings.Join(s, " ")
}

// frame is data in its envelope without the tail.
func frame(data string) string {
	return strings.TrimSuffix(string(AppendFrame(nil, []byte(data))), "\r\n")
}

func TestNext(t *testing.T) {
	good, other := frame("ST=32;CN=2011"), frame("ST=91")
	const crlf = "\r\n"
	long := strings.Repeat("x", 90)
	wrong := good[:len(good)-1] + "f" // CRC
	if wrong == good {
		t.Fatal("the wrong CRC is right")
	}
	const ok, ok2 = "ok:ST=32;CN=2011", "ok:ST=91"
	text := frame("CP=&&a=清洗&&&&") // 17 bytes, 13 characters
	const okText = "ok:CP=&&a=清洗&&&&"
	tests := []struct {
		name, stream, strict, tolerant string
	}{
		{"two frames glued", good + crlf + other + crlf, ok + " " + ok2, ok + " " + ok2},
		{"lower-case CRC", good[:len(good)-4] + strings.ToLower(good[len(good)-4:]) + crlf, ok, ok},
		{"tail missing, then a frame", good + other + crlf, fmt.Sprintf("tail:%d ", len(good)) + ok2, ok + " " + ok2},
		{"tail missing at the end", good, fmt.Sprintf("tail:%d", len(good)), ok},
		{"LF only", good + "\n" + other + crlf, fmt.Sprintf("tail:%d ", len(good)+1) + ok2, ok + " " + ok2},
		{"LF LF", good + "\n\n", fmt.Sprintf("tail:%d", len(good)+2), ok},
		{"CR only", good + "\r" + other + crlf, fmt.Sprintf("tail:%d ", len(good)+1) + ok2, ok + " " + ok2},
		{"blank tail", good + " \t\r\n" + other + crlf, fmt.Sprintf("tail:%d garbage:4 ", len(good)) + ok2, ok + " " + ok2},
		{"tail doubled", good + crlf + crlf + other + crlf, ok + " garbage:2 " + ok2, ok + " " + ok2},
		{"garbage in front", "REG:0042\r\n" + good + crlf, "garbage:10 " + ok, "garbage:10 " + ok},
		{"garbage alone", "hello", "garbage:5", "garbage:5"},
		{"a third #", "#" + good + crlf, "garbage:1 " + ok, "garbage:1 " + ok},
		{"one # at the end", good + crlf + "#", ok + " garbage:1", ok + " garbage:1"},
		{"head 0#", "0#0013" + good[6:] + crlf, fmt.Sprintf("garbage:%d", len(good)+2), fmt.Sprintf("garbage:%d", len(good)+2)},
		{"length not padded", "##13" + good[6:] + crlf + other + crlf, fmt.Sprintf("length:%d ", len(good)) + ok2, ok + " " + ok2},
		{"length of letters, no line end", "##ABCD" + good, "length:6 tail:23", "length:6 " + ok},
		{"length above the limit", "##4097x\r\n" + good + crlf, "length:9 " + ok, "length:9 " + ok},
		{"length too large by one", "##0014" + good[6:] + crlf + other + crlf, "crc:25 " + ok2, "crc:25 " + ok2},
		{"length too large by one, segment closed", "##0011CP=&&a=1&&1234" + crlf + other + crlf, "length:22 " + ok2, "length:22 " + ok2},
		{"length reaches one # of the next head", "##0016" + good[6:] + crlf + other + crlf, "crc:25 " + ok2, "crc:25 " + ok2},
		{"length reaches beyond the next frame", "##0090" + good[6:] + crlf + other + crlf, "length:25 " + ok2, "length:25 " + ok2},
		{"length too small", "##0004" + good[6:] + crlf + other + crlf, "crc:25 " + ok2, "crc:25 " + ok2},
		{"length too small, segment closed", "##0004CP=&&a=1&&1234\r\n" + other + crlf, "length:22 " + ok2, "length:22 " + ok2},
		{"length counts characters", "##0013" + text[6:] + crlf + other + crlf, "length:29 " + ok2, okText + " " + ok2},
		{"length counts characters, CR only", "##0013" + text[6:] + "\r" + other + crlf, "length:28 " + ok2, okText + " " + ok2},
		{"length counts characters, no tail", "##0013" + text[6:] + other + crlf, "length:27 " + ok2, okText + " " + ok2},
		{"length counts characters, at the end", "##0013" + text[6:], "length:27", okText},
		{"length counts the CRC", "##0021" + text[6:] + crlf + other + crlf, "length:29 " + ok2, okText + " " + ok2},
		{"length counts the CRC, no tail", "##0021" + text[6:] + other + crlf, "length:27 " + ok2, okText + " " + ok2},
		{"length counts the CRC, at the end", "##0021" + text[6:] + crlf, "length:29", okText},
		{"length wrong and CRC wrong", "##0021" + text[6:23] + "1234" + crlf + other + crlf, "length:29 " + ok2, "length:29 " + ok2},
		{"bad CRC", wrong + crlf + other + crlf, "crc:25 " + ok2, "crc:25 " + ok2},
		{"bad CRC twice, no tail", wrong + wrong, "crc:23 crc:23", "crc:23 crc:23"},
		{"bad CRC at the end", wrong, "crc:23", "crc:23"},
		{"half frame, then a good one", good[:15] + other + crlf, "length:15 " + ok2, "length:15 " + ok2},
		{"half frame at the end", good + crlf + good[:15], ok + " half:15", ok + " half:15"},
		{"two half frames", good[:15] + other[:7], "half:15 half:7", "half:15 half:7"},
		{"only the head", "##", "half:2", "half:2"},
		{"half frame, closed", "##0090CP=&&a=1&&1234\r\n", "length:22", "length:22"},
		{"a whole frame quoted in a log", frame("I=//"+other+crlf+"//") + crlf, "length:10 " + ok2 + " garbage:8", "length:10 " + ok2 + " garbage:8"},
		{"## quoted in a log", frame("I=//## 12//") + crlf, "ok:I=//## 12//", "ok:I=//## 12//"},
		{"empty segment", "##0000FFFF\r\n", "ok:", "ok:"},
		{"blanks only", " \r\n", "garbage:3", ""},
		{"garbage longer than a frame", strings.Repeat(long, 50) + good + crlf, "garbage:4108 garbage:392 " + ok, "garbage:4108 garbage:392 " + ok},
	}
	for _, tt := range tests {
		for _, tolerant := range []bool{false, true} {
			want := tt.strict
			if tolerant {
				want = tt.tolerant
			}
			f := Framer{Tolerant: tolerant}
			if got := show(decodeAll(f, []byte(tt.stream), nil)); got != want {
				t.Errorf("%s, tolerant=%t: %q\n got  %s\n want %s", tt.name, tolerant, tt.stream, got, want)
			}
			if got := show(decodeAll(f, []byte(tt.stream), func() int { return 1 })); !sameKinds(got, want) {
				t.Errorf("%s, tolerant=%t, byte by byte: %q\n got  %s\n want %s", tt.name, tolerant, tt.stream, got, want)
			}
		}
	}
}

// sameKinds compares two shown lists apart from sizes.
func sameKinds(a, b string) bool {
	strip := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return -1
			}
			return r
		}, s)
	}
	return strip(a) == strip(b)
}

// TestGoodFrameIsNotDelayed: the frame behind a head that claims too much comes out with its own last byte.
func TestGoodFrameIsNotDelayed(t *testing.T) {
	stream := []byte("##4000QN=1" + frame("ST=32;CN=2011") + "\r\n")
	if _, size, err := (Framer{}).Next(stream[:len(stream)-1], false); size != 0 || err != nil {
		t.Errorf("one byte short: size %d, %v", size, err)
	}
	_, size, err := Framer{}.Next(stream, false)
	if size != 10 || reasonOf(err) != ReasonLength {
		t.Errorf("size %d, %v; want the 10 bytes in front given up", size, err)
	}
	if fr, _, err := (Framer{}).Next(stream[size:], false); err != nil || string(fr.Data) != "ST=32;CN=2011" {
		t.Errorf("frame behind: %q, %v", fr.Data, err)
	}
}

func TestMaxData(t *testing.T) {
	raw := AppendFrame(nil, bytes.Repeat([]byte("x"), 9999))
	if fr, size, err := (Framer{MaxData: 9999}).Next(raw, false); err != nil || size != len(raw) || len(fr.Data) != 9999 {
		t.Errorf("9999 bytes: size %d, %v", size, err)
	}
	_, _, err := Framer{}.Next(raw, false)
	if perr, ok := errors.AsType[*ParseError](err); !ok || perr.Error() != "hj212: length at byte 2: length 9999 announced, at most 4096 accepted" {
		t.Errorf("above the default limit: %v", err)
	}
}

// FuzzNext: equalities cut and short, on streams of any bytes.
func FuzzNext(f *testing.F) {
	good := frame("ST=32;CN=2011")
	for i, s := range []string{
		good + "\r\n", good + good, "##0020" + good + "\r\n" + good, "junk#" + good + "\r\n##12", "##0099" + good + "\r", good[:15] + "##000" + good,
		frame("a##0001b"+frame("c")+"\r\n") + "\n \n" + frame(""), "##0030##0012##0000FFFF\r\n" + good, strings.Repeat("#", 200) + good, " \r\n" + good + strings.Repeat("\n", 70),
	} {
		for form := range uint64(2 * numDialects) {
			for step := range uint64(4) {
				f.Add([]byte(s), uint64(40+i)<<16|step<<10|1<<8|form)
			}
		}
	}
	var c checker
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		if err := errors.Join(c.cut(stream, seed), c.short(stream, seed)); err != nil {
			t.Errorf("seed %d, %q: %v", seed, stream, err)
		}
	})
}

// TestCutInvariance is FuzzNext on streams of frames, broken frames and frames within frames, which random bytes rarely are.
func TestCutInvariance(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	pick := func(s ...string) string { return s[rnd.IntN(len(s))] }
	var dialect Dialect
	var piece func(depth int) string
	piece = func(depth int) string {
		data := pick("ST=1", "CP=&&a=1&&", "", "a##b", "##00", "x\r\n")
		if depth > 0 && rnd.IntN(3) == 0 {
			data += piece(depth-1) + pick("", "##", "//")
		}
		s := "##" + fmt.Sprintf("%04d", len(data)) + data + string(appendHex(nil, dialect.Sum([]byte(data))))
		switch rnd.IntN(10) {
		case 0: // length off by some
			s = fmt.Sprintf("##%04d", max(0, len(data)+rnd.IntN(60)-20)) + s[6:]
		case 3: // by as much as the CRC
			s = fmt.Sprintf("##%04d", len(data)+crcLen) + s[6:]
		case 4: // not padded
			s = fmt.Sprintf("##%d", len(data)) + s[6:]
		case 1: // cut off
			s = s[:rnd.IntN(len(s))]
		case 2: // a byte changed
			i := rnd.IntN(len(s))
			s = s[:i] + pick("#", "0", "\n", "F") + s[i+1:]
		}
		return s + pick("\r\n", "\r\n", "\r\n", "", "\n", "\r", " ", "#", "\r\n\r\n", "junk")
	}
	for n := range 20_000 {
		dialect = Dialect(n % 3 % 2 * rnd.IntN(numDialects)) // mostly the standard's
		var b strings.Builder
		for range 1 + rnd.IntN(5) {
			b.WriteString(piece(3))
		}
		stream := []byte(b.String())
		for _, tolerant := range []bool{false, true} {
			framer := Framer{Tolerant: tolerant, CRC: dialect, MaxData: 30 + rnd.IntN(60)}
			if err := shortIsGeneral(framer, stream); err != nil {
				t.Fatalf("%q: %v", stream, err)
			}
			whole := decodeAll(framer, stream, nil)
			parts := decodeAll(framer, stream, func() int { return 1 + rnd.IntN(1+n%20) })
			if tolerant {
				whole, parts = withoutSize(whole), withoutSize(parts)
			}
			if !reflect.DeepEqual(whole, parts) {
				t.Fatalf("tolerant=%t %v limit %d: %q\n cut   %s\n whole %s", tolerant, dialect, framer.MaxData, stream, show(parts), show(whole))
			}
		}
	}
}

func sum(events []event) (n int) {
	for _, e := range events {
		n += e.size
	}
	return n
}

func withoutSize(events []event) []event {
	events = append([]event(nil), events...)
	for i := range events {
		events[i].size = 0
	}
	return events
}

// TestHostileHeads bounds the work that overlapping heads cause: each of them could be a frame within all those before it.
func TestHostileHeads(t *testing.T) {
	var b bytes.Buffer
	for b.Len() < 3000 {
		fmt.Fprintf(&b, "##%04d", 3000-b.Len())
	}
	b.WriteString(strings.Repeat("0", 50) + "\r\n" + frame("ST=32;CN=2011") + "\r\n")
	events := decodeAll(Framer{}, b.Bytes(), func() int { return 100 })
	if last := events[len(events)-1]; last.reason != 0 || last.data != "ST=32;CN=2011" {
		t.Errorf("the good frame behind is lost: %v", last)
	}
}
