package hj212

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"outfall/testdata"
)

// A direction is one of the two ways of a command.
type direction string

const (
	down direction = "down" // host to field device
	up   direction = "up"   // field device to host
)

// examples are CPs made for every row of the table, both directions: "CN editions direction CP". Editions by their last digits.
var examples = strings.Split(strings.TrimSpace(`
1000 05,17,25 down OverTime=5;ReCount=3
1001 05 down WarnTime=5
1001 25 up i23005-Info=6970000000001ABCDEFG1234;i23006-Info=A800200A8C6D;i23007-Info=E86A643C7BBC;i23008-Info=A763742C1AE1
1002 25 down i23005-Info=6970000000001ABCDEFG1234
1011 05,17,25 down
1011 05,17,25 up SystemTime=20260105080100
1012 05,17,25 down SystemTime=20260105080100
1013 17,25 up PolId=w01018
1014 25 down SKCreateTime=20260105080100000,NewSK=0123456789abcdef
1014 25 up SKCreateTime=20260105080100000
1021 05 down PolId=011;PolId=060
1021 05 up 011-LowValue=1.1,011-UpValue=9.9;060-LowValue=0.5,060-UpValue=2
1022 05 down 011-LowValue=1.1,011-UpValue=9.9
1031 05 down
1031 05 up AlarmTarget=3882566
1032 05 down AlarmTarget=3882566
1041 05 down
1041 05 up ReportTime=0101
1042 05 down ReportTime=2359
1061 05,17,25 down
1061 05,17,25 up RtdInterval=30
1062 05,17,25 down RtdInterval=60
1063 17,25 down
1063 17,25 up MinInterval=10
1064 17,25 down MinInterval=5
1072 05 down PW=654321
1072 17,25 down NewPW=654321
2011 05,17,25 down
2011 05 up DataTime=20260105080100;011-Rtd=2.5,011-Flag=N;B01-Rtd=100
2011 17,25 up DataTime=20260105080100;w01018-SampleTime=20260105080000,w01018-Rtd=2.2,w01018-Flag=N,w01018-EFlag=A01
2012 05,17,25 down
2013 25 down BeginTime=20260105070000;EndTime=20260105080000
2013 25 up DataTime=20260105080000;a24088-SampleTime=20260105080000,a24088-CompleteTime=20260105080200,a24088-SampleType=1,a24088-Avg=17.5,a24088-Flag=N
2021 05,17,25 down
2021 05,17,25 up DataTime=20260105080100;SB1-RS=1;SB2-RS=0
2022 05,17,25 down
2031 05,17,25 down BeginTime=20260104000000;EndTime=20260104000000
2031 05,17,25 up DataTime=20260104000000;w00000-Cou=1512.0,w00000-Min=16.4,w00000-Avg=17.5,w00000-Max=20.1,w00000-Flag=N;Ldn-Data=50.0;Ld-DayData=52.5;Ln-NightData=52.5
2041 05,17,25 down BeginTime=20260104000000;EndTime=20260104000000
2041 05,17,25 up DataTime=20260104000000;SB1-RT=1.1;SB2-RT=2.1
2051 05,17,25 down BeginTime=20260105070000;EndTime=20260105080000
2051 05,17 up DataTime=20260105070000;a21026-Min=1,a21026-Avg=2,a21026-Max=3,a21026-ZsMin=1,a21026-ZsAvg=2,a21026-ZsMax=3,a21026-Cou=4,a21026-Flag=N
2051 25 up DataTime=20260105070000;a34013-Min=3.1,a34013-Avg=3.2,a34013-Max=3.4,a34013-RawAvg=3.3,a34013-Flag=N
2052 25 down BeginTime=20260105070000;EndTime=20260105080000
2052 25 up DataTime=20260105070000;L5-Data=53.0;Leq-Data=50.0
2061 05,17,25 down BeginTime=20260105070000;EndTime=20260105080000
2061 05,17,25 up DataTime=20260105070000;w01018-Cou=63.0,w01018-Min=40.1,w01018-Avg=40.1,w01018-Max=40.1,w01018-Flag=N
2062 25 down BeginTime=20260105070000;EndTime=20260105080000
2062 25 up DataTime=20260105070000;w01018-SampleRd=49.5,w01018-StandardValue=50,w01018-ResultType=1
2071 05 down BeginTime=20260105070000;EndTime=20260105080000
2071 05 up DataTime=20260105070101;011-Ala=180.5
2072 05 up AlarmTime=20260105075959;011-Ala=180.5,AlarmType=1
2081 17,25 up DataTime=20260105080000;RestartTime=20260105075900
2111 25 up DataTime=20260105080000;a01901-Avg=868,a01901-Flag=N
3011 05,17,25 down PolId=w01018
3012 05,17,25 down PolId=w01018
3013 05,17,25 down PolId=w01018
3014 05 down PolId=011,CTime=04,CTime=10,CTime=14
3014 17 down PolId=w01018
3015 17 down
3015 17 up DataTime=20260105080000;VaseNo=1
3016 17 down PolId=w01018;CstartTime=000000;CTime=2
3017 17 down PolId=w01018
3017 17 up PolId=w01018;CstartTime=000000;CTime=2
3018 17,25 down PolId=w01018
3018 17,25 up PolId=w01018;Stime=40
3019 17,25 down PolId=w01018
3019 17,25 up DataTime=20260105080000;PolId=w01018;w01018-SN=010000A8900016F000169DC1
3020 17,25 down PolId=w01018;InfoId=i11001;BeginTime=20260105010522;EndTime=20260105080000
3020 17,25 up DataTime=20260105062035;PolId=w01018;i11001-Info=//清洗管路; 2,5=7//;i12001-Info=1
3021 17,25 down PolId=w01018;InfoId=i13004;i13004-Info=168.0
3022 25 down PolId=w01018
3024 25 down PolId=w01018
9011 05,17,25 up QnRtn=1
9012 05,17,25 up ExeRtn=100
9013 05,17,25 down
9013 05,17,25 up
9014 05,17,25 down
9014 05,17,25 up
9015 25 up
`), "\n")

// An example is a line of examples, once for each of its editions.
type example struct {
	cn, cp  string
	version uint8
	dir     direction
}

func allExamples(tb testing.TB) (list []example) {
	tb.Helper()
	for _, line := range examples {
		f := strings.SplitN(line+" ", " ", 4)
		for e := range strings.SplitSeq(f[1], ",") {
			version := map[string]uint8{"05": Version2005, "17": Version2017, "25": Version2025}[e]
			list = append(list, example{cn: f[0], version: version, dir: direction(f[2]), cp: strings.TrimSpace(f[3])})
		}
	}
	return list
}

// directionOf tells a standard's segment by the parameters that it has; none is both.
func directionOf(c Command, m *Message, version uint8) (direction, error) {
	if c.Shape != ShapeNone && c.Shape != ShapeReply && checkParams(c.Request, m.CP, version) == nil {
		return down, nil
	}
	return up, checkParams(c.Answer, m.CP, version)
}

// TestEveryRowBothDirections builds a frame of every command, edition and direction, reads it, and finds every field again.
func TestEveryRowBothDirections(t *testing.T) {
	done := map[string]bool{}
	for _, e := range allExamples(t) {
		name := fmt.Sprintf("CN %s of %s, %s", e.cn, EditionName(e.version), e.dir)
		c, ok := LookupCommand(e.cn, e.version)
		if !ok {
			t.Errorf("%s is not in the table", name)
			continue
		}
		done[fmt.Sprint(e.cn, e.version, e.dir)] = true
		r := Request{QN: "20260105080100001", ST: "32", CN: e.cn, PW: "123456", MN: "010000A8900016F000169DC0", Version: e.version, CP: []byte(e.cp),
			WantAck: e.dir == down, Answer: e.dir == up && c.Up != ShapeUpload && c.Up != ShapeNotice}
		fr, size, err := Framer{}.Next(AppendRequest(nil, r), false)
		if err != nil || size == 0 {
			t.Errorf("%s: frame refused: size %d, %v", name, size, err)
			continue
		}
		m := parse(t, string(fr.Data))
		if string(m.ExchangeQN()) != r.QN || string(m.ST) != r.ST || string(m.CN) != r.CN || string(m.PW) != r.PW || string(m.MN) != r.MN ||
			m.Version() != r.Version || m.Flag.WantAck() != r.WantAck || !strings.HasSuffix(string(m.CP), e.cp) {
			t.Errorf("%s: %+v read back as %q", name, r, fr.Data)
		}
		if odd := m.Quality &^ NoQN; odd != 0 {
			t.Errorf("%s: qualities %v", name, odd.Names())
		}
		switch {
		case e.dir == up:
			err = checkParams(c.Answer, m.CP, e.version)
		case c.NotSent != "" || c.Shape == ShapeReply:
			err = checkParams(c.Request, m.CP, e.version)
		default:
			err = c.CheckRequest(m.CP, e.version)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		fields := *m
		fields.Text = nil
		if again := AppendSegment(nil, &fields); string(again) != string(fr.Data) {
			t.Errorf("%s:\n got  %q\n want %q", name, again, fr.Data)
		}
	}
	for version := range uint8(Version2025 + 1) {
		for _, c := range Commands(version) {
			if !done[fmt.Sprint(c.CN, version, down)] && c.Shape != ShapeNone || !done[fmt.Sprint(c.CN, version, up)] && c.hasAnswer() {
				t.Errorf("CN %s of %s: a direction has no example", c.CN, EditionName(version))
			}
		}
	}
}

// hasAnswer reports whether the field device sends something under the CN.
func (c Command) hasAnswer() bool {
	return c.Up != ShapeNone || c.Shape == ShapeGet || c.Shape == ShapeHistory
}

// misprinted are the segments that no writer should make again: their form is not that of their edition's table.
var misprinted = map[string]string{
	"S032": "no separator between Flag and CP",
	"S063": "a blank before Flag",
	"S091": "QN behind CN",
	"S095": "QN behind CN, packet numbers behind MN",
}

// TestStandardSegmentsRoundTrip: each printed segment is a row of the table in its edition, its parameters are those of the row, and
// writing what was read gives the segment byte for byte: with its text always, from its fields alone unless it is misprinted.
func TestStandardSegmentsRoundTrip(t *testing.T) {
	segments, err := testdata.Segments()
	if err != nil || len(segments) != 121 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	for _, s := range segments {
		version := uint8(Version2017)
		if s.Edition == 2005 {
			version = Version2005
		}
		m := parse(t, s.Text)
		if got := AppendSegment(nil, m); string(got) != s.Text {
			t.Errorf("%s:\n got  %q\n want %q", s.ID, got, s.Text)
		}
		c, ok := LookupCommand(s.CN, version)
		if !ok {
			t.Errorf("%s: CN %s is not in the table of %s", s.ID, s.CN, EditionName(version))
			continue
		}
		if dir, err := directionOf(c, m, version); err != nil {
			t.Errorf("%s, %s: %v", s.ID, dir, err)
		}
		fields := *m
		fields.Text = nil
		again := AppendSegment(nil, &fields)
		if (string(again) != s.Text) != (misprinted[s.ID] != "") {
			t.Errorf("%s from its fields:\n got  %q\n want %q", s.ID, again, s.Text)
		}
		if second := parse(t, string(again)); !sameFields(m, second) {
			t.Errorf("%s: the fields of %q are others than those of %q", s.ID, again, s.Text)
		}
	}
}

// sameFields compares what two segments say, their form apart. Pairs and groups are made of the CP alone.
func sameFields(a, b *Message) bool {
	texts := [][2][]byte{{a.QN, b.QN}, {a.ST, b.ST}, {a.CN, b.CN}, {a.PW, b.PW}, {a.MN, b.MN}, {a.CP, b.CP}}
	for _, t := range texts {
		if !bytes.Equal(t[0], t[1]) || (t[0] == nil) != (t[1] == nil) {
			return false
		}
	}
	return a.Flag == b.Flag && a.HasFlag == b.HasFlag && a.PNUM == b.PNUM && a.PNO == b.PNO && a.RF == b.RF
}

// TestCorpusRoundTrip is the same for the captured frames.
func TestCorpusRoundTrip(t *testing.T) {
	for _, f := range corpus(t) {
		fr, _, err := Framer{Tolerant: true}.Next(f.raw, true)
		if err != nil || fr.Raw == nil {
			continue
		}
		m := parse(t, string(fr.Data))
		if got := AppendSegment(nil, m); string(got) != string(fr.Data) {
			t.Errorf("%s:\n got  %q\n want %q", f.id, got, fr.Data)
		}
		fields := *m
		fields.Text = nil
		if again := parse(t, string(AppendSegment(nil, &fields))); !sameFields(m, again) {
			t.Errorf("%s: other fields in %q than in %q", f.id, AppendSegment(nil, &fields), fr.Data)
		}
	}
}

// FuzzAppendParse: equality appendParse, on segments of any bytes.
func FuzzAppendParse(f *testing.F) {
	segments, err := testdata.Segments()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range segments {
		f.Add([]byte(s.Text))
	}
	for _, c := range corpus(f) {
		if fr, _, err := (Framer{Tolerant: true}).Next(c.raw, true); err == nil {
			f.Add(fr.Data)
		}
	}
	fuzzBytes(f, (*checker).appendParse)
}
