package fold

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// The quirks of devices in the field that the fold has to do with, each under its number in the project's list.

// segment sends a whole data segment in its envelope.
func (b *bed) segment(format string, a ...any) {
	b.apply(telemetry.KindFrame, mn, hj212.AppendFrame(nil, fmt.Appendf(nil, format, a...)))
}

// data sends one data frame with a DataTime as text.
func (b *bed) data(cn, dataTime, cp string) {
	b.qn++
	b.segment("QN=%s%03d;ST=32;CN=%s;PW=123456;MN=%s;Flag=5;CP=&&DataTime=%s;%s&&", hj212.AppendTime(nil, b.now), b.qn, cn, mn, dataTime, cp)
}

// lines are the points of one measurement that came out since the last call.
func (b *bed) lines(measurement string) []string {
	var got []string
	for _, l := range b.take(telemetry.TopicPoints) {
		if strings.HasPrefix(l, measurement+",") {
			got = append(got, l)
		}
	}
	return got
}

// Q15: DataTime of 17, 12 and 8 digits, of 1970 and of the future, and of no calendar.
func TestQuirkQ15(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.data("2011", "20260301095959500", "w01018-Rtd=1")
	wantOne(t, b.lines("instant"), fmt.Sprint(t0.Add(-500*time.Millisecond).UnixNano()))
	b.data("2051", "202603010959", avg("w01018", "2"))
	b.wantMinutes("w01018=2@-1")
	b.data("2031", "20260228", "w01018-Avg=3")
	wantOne(t, b.lines("reported"), "cn=2031", fmt.Sprint(t0.Add(-34*time.Hour).UnixNano()))
	for text, want := range map[string]telemetry.FindingKind{
		"19700101080000": telemetry.FindingTooOld, "19700101000000": telemetry.FindingTooOld, "20260301101001": telemetry.FindingFuture,
		"99991231235959": telemetry.FindingFuture, "00000101000000": telemetry.FindingBadTime, "00010101000000": telemetry.FindingBadTime,
		"00010101080000": telemetry.FindingTooOld, "20260230000000": telemetry.FindingBadTime, "2026030110": telemetry.FindingBadTime,
	} {
		b.data("2051", text, avg("w01018", "4"))
		got := b.findings()
		if len(got) != 1 || got[0].Kind != want {
			t.Errorf("DataTime %s: findings %+v, want %s", text, got, want)
		}
	}
}

// Q22: what Java makes of missing values and of small numbers.
func TestQuirkQ22(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.data("2011", "20260301100000", "w01018-Rtd=null,w01018-Flag=N;w21003-Rtd=NaN,w21003-Flag=N;w21011-Rtd=1.0E-4,w21011-Flag=N;w01001-Rtd=1.2E3")
	got := b.lines("instant")
	for i, want := range []string{`text="null",valid=false`, `text="NaN",valid=false`, "value=0.0001,valid=true", "value=1200,valid=true"} {
		if i >= len(got) || !strings.Contains(got[i], want) {
			t.Errorf("points %q, want %q as number %d", got, want, i)
		}
	}
	b.data("2051", "20260301095900", "w01018-Avg=null,w01018-Min=null,w01018-Max=null,w01018-Flag=N;"+avg("w21011", "1.0E-4"))
	b.wantMinutes("w21011=0.0001@-1")
}

// Q22b: the other forms of values and of no values.
func TestQuirkQ22b(t *testing.T) {
	b := newBed(t)
	b.take(0)
	for text, want := range map[string]string{
		"-": `text="-",valid=false`, "--": `text="--",valid=false`, "": `text="",valid=false`, "+5": "value=5,", ".5": "value=0.5,", "5.": "value=5,",
		"123456789012.345": "value=123456789012.345,", "123456789012345": `text="123456789012345",valid=false`, "St": `text="St",valid=false`,
		"1,5": "value=1,valid=true", // split at the comma; what is behind it is a bare field, which is a finding
	} {
		b.now = b.now.Add(time.Second)
		b.data("2011", string(hj212.AppendTime(nil, b.now)), "w01018-Rtd="+text+";w01018-Flag=N")
		wantOne(t, b.lines("instant"), want)
	}
	b.data("2051", "20260301100000", avg("w01018", "1")+",w01018-Cou=9000000000000.5;w21003-Avg=--,w21003-Flag=N")
	wantOne(t, b.points("minute"), "avg=1,", "cou=9000000000000.5")
	if b.s.devices[mn].slots.Valid(t0.Unix() / 60) {
		t.Error("a record with a value that is no number counts as valid")
	}
}

// Q23: more decimals than the factor table has: means are made of what was sent, rounded once.
func TestQuirkQ23(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.data("2051", "20260301100000", avg("w01018", "119.90287"))
	b.data("2051", "20260301100100", avg("w01018", "10.9890"))
	out := b.out
	wantOne(t, b.points("rolling_1h")[1:], "avg=65.445935,")
	b.out = out
	b.wantKinds()
}

// Q27: codes of one edition in frames of another: each code is resolved by itself.
func TestQuirkQ27(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.segment("QN=20260301100000001;ST=32;CN=2051;PW=123456;MN=%s;Flag=5;CP=&&DataTime=20260301095900;%s;%s&&", mn, avg("011", "40"), avg("w21003", "2"))
	b.wantMinutes("w01018=40@-1 w21003=2@-1")
	b.segment("ST=32;CN=2051;PW=123456;MN=%s;Flag=0;CP=&&DataTime=20260301095800;%s;%s&&", mn, avg("w01018", "41"), avg("060", "3"))
	b.wantMinutes("w01018=41@-2 w21003=3@-2")
	if n := len(b.s.devices[mn].series); n != 2 {
		t.Errorf("%d series, want 2: a factor is one under its old and its new code", n)
	}
}

// Q28: each packet of a set is a complete record with its own DataTime and QN; PNO zero padded, 000 or beyond PNUM; Flag without its bit.
func TestQuirkQ28(t *testing.T) {
	b := newBed(t)
	b.take(0)
	for i, pno := range []string{"0001", "0002", "000", "7"} {
		b.segment("QN=2026030110000000%d;ST=31;CN=2051;PW=123456;MN=%s;PNO=%s;PNUM=0002;CP=&&DataTime=20260301095900;%s&&", i, mn, pno,
			avg([]string{"w01018", "w21003", "w01001", "w21011"}[i], "1"))
	}
	b.wantMinutes("w01018=1@-1 w21003=1@-1 w01001=1@-1 w21011=1@-1")
	if n := len(b.s.devices[mn].sets); n != 0 {
		t.Errorf("%d sets wait for packets", n)
	}
}

// Q35: DataTime is the period's end, as the registry says of the device.
func TestQuirkQ35(t *testing.T) {
	b := newBed(t)
	b.register(mn, func(d *telemetry.Device) { d.PeriodEnd, d.MinuteInterval = true, 10 })
	b.take(0)
	b.data("2051", "20260301101000", avg("w01018", "40")) // ten minutes ahead of the clock, the start of its period is not
	wantOne(t, b.points("minute"), "avg=40,", fmt.Sprint(t0.UnixNano()))
	b.data("2061", "20260301100000", "w01018-Avg=1")
	wantOne(t, b.lines("reported"), fmt.Sprint(t0.Add(-time.Hour).UnixNano()))
	b.data("2031", "20260301000000", "w01018-Avg=1")
	wantOne(t, b.lines("reported"), fmt.Sprint(t0.Add(-34*time.Hour).UnixNano()))
	b.data("2011", "20260301100000", "w01018-Rtd=1") // an instant has no end
	wantOne(t, b.lines("instant"), fmt.Sprint(t0.UnixNano()))
	b.data("2051", "00010101080000", avg("w01018", "40"))
	b.wantKinds(telemetry.FindingBadTime)
}

// Q36: units other than the table's, as the registry says of the device's factor.
func TestQuirkQ36(t *testing.T) {
	b := newBed(t)
	b.register(mn, func(d *telemetry.Device) {
		d.Scales = []telemetry.Scale{{Factor: "a34013", Exp: -3}, {Factor: "w00000", Exp: 3}, {Factor: "011", Exp: 1}}
	})
	b.take(0)
	b.data("2011", "20260301100000", "a34013-Rtd=35.5,a34013-ZsRtd=40.25,a34013-Flag=N;w21003-Rtd=2")
	got := b.lines("instant")
	if len(got) != 2 || !strings.Contains(got[0], "value=0.0355,zs=0.04025,") || !strings.Contains(got[1], "value=2,") {
		t.Errorf("points %q, want 35.5 and 40.25 times 10^-3, and the factor beside as it is", got)
	}
	b.data("2051", "20260301100000", "a34013-Min=1,a34013-Avg=2,a34013-Max=3,a34013-Cou=500")
	wantOne(t, b.points("minute"), "avg=0.002,min=0.001,max=0.003,", "cou=0.5")
	b.data("2061", "20260301090000", "w00000-Avg=0.25,w00000-Cou=900") // the total of a flow is in m3 in any case
	wantOne(t, b.lines("reported"), "avg=250,cou=900,")
	b.data("2051", "20260301095900", avg("011", "4"))
	b.data("2051", "20260301095800", avg("w01018", "4")) // a scale is of the code as sent
	b.wantMinutes("w01018=40@-1 w01018=4@-2")
	b.data("2011", "20260301095000", "a34013-Rtd=1E-128;a34013-Flag=N")
	wantOne(t, b.lines("instant"), "value=0,")
}

// Q37: version bits that are not those of the dialect change nothing; only the numeric marks of 2005 need to know it.
func TestQuirkQ37(t *testing.T) {
	for i, flag := range []string{"", "Flag=0;", "Flag=1;", "Flag=4;", "Flag=8;", "Flag=64;"} {
		b := newBed(t)
		b.take(0)
		b.segment("QN=20260301100000001;ST=32;CN=2051;PW=123456;MN=%s;%sCP=&&DataTime=20260301095900;%s&&", mn, flag, avg("w01018", fmt.Sprint(i)))
		b.wantMinutes(fmt.Sprintf("w01018=%d@-1", i))
	}
	air := func(edition, flag, mark string) string {
		b := newBed(t)
		b.register(mn, func(d *telemetry.Device) { d.Edition = edition })
		b.take(0)
		b.segment("ST=22;CN=2011;PW=123456;MN=%s;%sCP=&&DataTime=20260301095900;a21026-Rtd=1,a21026-Flag=%s&&", mn, flag, mark)
		line := strings.Join(b.lines("instant"), "\n")
		return line[strings.Index(line, "valid="):strings.Index(line, ",flag")]
	}
	for _, tc := range [][4]string{
		{"", "", "3", "true"}, {"", "Flag=1;", "1", "true"}, {"", "", "0", "false"}, {"", "", "2", "false"}, {"", "Flag=5;", "3", "false"},
		{"2005", "Flag=5;", "3", "true"}, {"2017", "", "3", "false"}, {"surface-water", "", "3", "false"},
	} {
		if got := air(tc[0], tc[1], tc[2]); got != "valid="+tc[3] {
			t.Errorf("edition %q, %q, mark %s: %s, want %s", tc[0], tc[1], tc[2], got, tc[3])
		}
	}
}

// Q39: the same data hours later, with RF or without: once in the means, and found once.
func TestQuirkQ39(t *testing.T) {
	for _, rf := range []string{"", "RF=1;"} {
		b := newBed(t)
		b.data("2051", "20260301095900", avg("w01018", "40"))
		b.wait(20 * time.Second)
		for i := range 70 { // the ring of recent frames has forgotten it
			b.data("2011", string(hj212.AppendTime(nil, b.now.Add(-time.Duration(i)*time.Second))), "w21003-Rtd=1")
		}
		b.now = b.now.Add(30 * time.Minute)
		b.tick()
		b.take(0)
		b.segment("QN=20260301103100001;ST=32;CN=2051;PW=123456;MN=%s;Flag=9;%sCP=&&DataTime=20260301095900;%s&&", mn, rf, avg("w01018", "40"))
		out := b.out
		b.wantMinutes("")
		b.out = out
		var kinds []telemetry.FindingKind
		for _, f := range b.findings() {
			kinds = append(kinds, f.Kind)
		}
		if fmt.Sprint(kinds) != "[online duplicate]" {
			t.Errorf("%q: findings %v, want online and duplicate", rf, kinds)
		}
	}
	// Late data that are new are taken alike.
	for _, rf := range []string{"", "RF=1;"} {
		b := newBed(t)
		b.take(0)
		b.segment("QN=20260301103100001;ST=32;CN=2051;PW=123456;MN=%s;Flag=9;%sCP=&&DataTime=20260228095900;%s&&", mn, rf, avg("w01018", "40"))
		b.wantMinutes("w01018=40@-1441")
		b.segment("QN=20260301103100002;ST=32;CN=2051;PW=123456;MN=%s;Flag=9;%sCP=&&DataTime=20260201095900;%s&&", mn, rf, avg("w01018", "40"))
		b.wantKinds(telemetry.FindingTooOld)
	}
}

// Q41: results of checks sent as data, under marks of no standard, and the marks of the standards: points, never means.
func TestQuirkQ41(t *testing.T) {
	for _, mark := range []string{"sc", "cz", "cs", "F", "M", "S", "D", "C", "T", "B", "P", "Td", "0", "1", "3", "n"} {
		b := newBed(t)
		b.take(0)
		b.data("2011", "20260301095930", "w01018-Rtd=500,w01018-Flag="+mark)
		wantOne(t, b.lines("instant"), "value=500,valid=false", `flag="`+mark+`"`)
		b.data("2051", "20260301095900", "w01018-Avg=500,w01018-Flag="+mark)
		wantOne(t, b.lines("reported"), "cn=2051", "avg=500,valid=false", `flag="`+mark+`"`)
		b.data("2061", "20260301090000", "w01018-Avg=500,w01018-Flag="+mark)
		wantOne(t, b.lines("reported"), "cn=2061", "avg=500,valid=false", `flag="`+mark+`"`)
		b.wait(3 * time.Minute)
		if got := b.lines("mean"); len(got) != 0 {
			t.Errorf("mark %s: averaged: %q", mark, got)
		}
	}
}

// Q42: commands whose fields mean something else with some makers: the fold takes them as signs of life and reads nothing into them.
func TestQuirkQ42(t *testing.T) {
	b := newBed(t)
	b.take(0)
	for i, body := range []string{"1061;%sCP=&&RtdInterval=1", "2081;%sCP=&&DataTime=20260301095900", "1014;%sCP=&&SystemTime=20260301095900"} {
		b.segment("QN=2026030110000000%d;ST=32;CN="+body+"&&", i, "PW=123456;MN="+mn+";Flag=4;")
	}
	if len(b.out) != 0 {
		t.Errorf("%d outputs, want none: %s", len(b.out), b.out[0].Value)
	}
	if d := b.s.devices[mn]; d.frames != 3 || d.presence != online {
		t.Errorf("%d frames, presence %d, want 3 and online", d.frames, d.presence)
	}
}

// What is odd in a frame that was taken is a finding, once a device and day, and never costs the data.
func TestQualityFindings(t *testing.T) {
	long := strings.Repeat("LogNo=20260301095900,", 50)
	for name, seg := range map[string]string{
		"no_qn":             "ST=32;CN=2011;PW=123456;MN=%s;Flag=4;CP=&&%s&&",
		"qn_not_timestamp":  "QN=20260301100000;ST=32;CN=2011;PW=123456;MN=%s;Flag=4;CP=&&%s&&",
		"no_flag":           "QN=20260301100000001;ST=32;CN=2011;PW=123456;MN=%s;CP=&&%s&&",
		"pno_before_pnum":   "QN=20260301100000001;ST=32;CN=2011;PW=123456;MN=%s;Flag=7;PNO=1;PNUM=1;CP=&&%s&&",
		"flag_after_cp":     "QN=20260301100000001;ST=32;CN=2011;PW=123456;MN=%s;CP=&&%s&&;Flag=4",
		"segment_over_1024": "QN=20260301100000001;ST=32;CN=2011;PW=123456;MN=%s;Flag=4;CP=&&%s;" + long + "&&",
		"no_cp":             "QN=20260301100000001;ST=32;CN=2011;PW=123456;MN=%s;Flag=4%.0s",
		"crc_lower_case":    "QN=20260301100000001;ST=32;CN=2011;PW=123456;MN=%s;Flag=4;CP=&&%s&&",
	} {
		b := newBed(t)
		b.take(0)
		send := func(data string) {
			wire := hj212.AppendFrame(nil, fmt.Appendf(nil, seg, mn, data))
			if name == "crc_lower_case" {
				n := len(wire) - 6
				copy(wire[n:], "abcd") // what a gateway has taken is not checked again
			}
			b.apply(telemetry.KindFrame, mn, wire)
		}
		send("DataTime=20260301095930;w01018-Rtd=40")
		out := b.out
		if got := b.lines("instant"); name != "no_cp" && len(got) != 1 {
			t.Errorf("%s: points %q, want the value", name, got)
		}
		b.out = out
		got := b.findings()
		if len(got) != 1 || got[0].Kind != telemetry.FindingQuality || got[0].Detail != name || got[0].Count != 1 {
			t.Errorf("%s: findings %+v, want one quality that names it", name, got)
		}
		send("DataTime=20260301095931;w01018-Rtd=40")
		for _, f := range b.findings() {
			if f.Detail == name {
				t.Errorf("%s: found twice on a day", name)
			}
		}
		b.now = b.now.Add(24 * time.Hour)
		b.tick()
		b.take(0)
		send("DataTime=20260302095931;w01018-Rtd=40")
		again := 0
		for _, f := range b.findings() {
			if f.Kind == telemetry.FindingQuality && f.Detail == name {
				again++
			}
		}
		if again != 1 {
			t.Errorf("%s: found %d times on the next day, want once", name, again)
		}
	}
}
