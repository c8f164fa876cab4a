package hj212

import (
	"strings"
	"testing"
)

func TestReplies(t *testing.T) {
	const h17 = "ST=32;CN=2051;PW=123456;" + mn2017
	tests := []struct {
		name, upload, data, notice string // frames without CR LF
	}{
		{"2017", "QN=20160801085857223;" + h17 + ";Flag=5;CP=&&&&",
			"##0087QN=20160801085857223;ST=91;CN=9014;PW=123456;" + mn2017 + ";Flag=4;CP=&&&&3240", ""},
		{"2017 packets", "QN=20260105090000534;" + h17 + ";Flag=7;PNUM=2;PNO=1;CP=&&&&",
			"##0087QN=20260105090000534;ST=91;CN=9014;PW=123456;" + mn2017 + ";Flag=4;CP=&&&&42C0", ""},
		{"2017 notice", "QN=20260105080200001;" + h17 + ";Flag=5;CP=&&&&",
			"", "##0087QN=20260105080200001;ST=91;CN=9013;PW=123456;" + mn2017 + ";Flag=4;CP=&&&&F781"},
		{"2025 backfill", "QN=20260105081000001;" + h17 + ";Flag=9;RF=1;CP=&&&&",
			"##0087QN=20260105081000001;ST=91;CN=9014;PW=123456;" + mn2017 + ";Flag=8;CP=&&&&7BC0", ""},
		{"2025 heartbeat", "QN=20260105080500001;ST=31;CN=9015;PW=123456;" + mn2017 + ";Flag=9;CP=&&&&",
			"", "##0087QN=20260105080500001;ST=91;CN=9013;PW=123456;" + mn2017 + ";Flag=8;CP=&&&&30C0"},
		{"2025 activation, MN empty", "QN=20260105080000001;ST=31;CN=1001;PW=123456;MN=;Flag=9;CP=&&&&",
			"", "##0063QN=20260105080000001;ST=91;CN=9013;PW=123456;MN=;Flag=8;CP=&&&&42C0"},
		{"2005", "QN=20040516010101001;ST=32;CN=2051;PW=123456;MN=88888880000001;Flag=1;CP=&&&&",
			"##0049ST=91;CN=9014;CP=&&QN=20040516010101001;CN=2051&&5F00", ""},
		{"2005 by shape", "ST=32;CN=2051;QN=20260105080000001;PW=123456;MN=88888880000001;CP=&&&&",
			"##0049ST=91;CN=9014;CP=&&QN=20260105080000001;CN=2051&&BE01", ""},
		{"2005 notice", "QN=20260105080000001;ST=32;CN=2072;PW=123456;MN=88888880000001;Flag=0;CP=&&&&",
			"", "##0076ST=91;CN=9013;PW=123456;MN=88888880000001;Flag=0;CP=&&QN=20260105080000001&&D1C1"},
		{"2005 packets", "ST=32;CN=2051;QN=20040516010101001;MN=8;PNO=1;PNUM=1;CP=&&&&",
			string(AppendFrame(nil, []byte("ST=91;CN=9014;CP=&&QN=20040516010101001;CN=2051;PNO=1;PNUM=1&&"))), ""},
		{"2005 without QN", "ST=32;CN=2011;MN=8;CP=&&&&", string(AppendFrame(nil, []byte("ST=91;CN=9014;CP=&&CN=2011&&"))), ""},
		{"a QN too long to repeat", "QN=" + strings.Repeat("1", 9000) + ";CN=2011;MN=8;Flag=5;CP=&&&&",
			string(AppendFrame(nil, []byte("ST=91;CN=9014;MN=8;Flag=4;CP=&&&&"))), ""},
	}
	for _, tt := range tests {
		m := parse(t, tt.upload)
		for _, reply := range []struct {
			want   string
			append func([]byte, *Message, Dialect) []byte
		}{{tt.data, AppendDataAck}, {tt.notice, AppendNoticeAck}} {
			if reply.want == "" {
				continue
			}
			want := "before" + strings.TrimSuffix(reply.want, "\r\n") + "\r\n"
			if got := string(reply.append([]byte("before"), m, DialectHJ)); got != want {
				t.Errorf("%s:\n got  %q\n want %q", tt.name, got, want)
			}
		}
	}
}

func TestAppendFrameVectors(t *testing.T) {
	for _, v := range vectors {
		raw := AppendFrame(nil, []byte(v.data))
		fr, size, err := Framer{}.Next(raw, false)
		if err != nil || size != len(raw) || string(fr.Data) != v.data || string(fr.Raw) != string(raw) {
			t.Errorf("%s: %q, size %d, %v", v.name, fr.Data, size, err)
		}
	}
}

func TestAppendFrameTooLong(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("10,000 bytes do not fit four digits, want a panic")
		}
	}()
	AppendFrame(nil, make([]byte, 10_000))
}
