package hj212

import "testing"

func TestText(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		charset        Charset
	}{
		{"ASCII", "filter changed", "filter changed", UTF8},
		{"UTF-8", "清洗管路", "清洗管路", UTF8},
		{"GBK", gbk(t, "清洗管路"), "清洗管路", GB18030},
		{"GBK with ASCII", gbk(t, "更换滤膜, COD 50 mg/L"), "更换滤膜, COD 50 mg/L", GB18030},
		{"four bytes of GB18030", "\x81\x30\x81\x30", "\u0080", GB18030},
		{"UTF-8 cut within a character", "清洗管路"[:11], "清洗管", UTF8},
		{"neither", "a\xff\xffb", "a\ufffd\ufffdb", NoCharset},
		{"empty", "", "", UTF8},
	} {
		got, charset := Text([]byte(tt.in))
		if got != tt.want || charset != tt.charset {
			t.Errorf("%s: %q in %s, want %q in %s", tt.name, got, charset, tt.want, tt.charset)
		}
	}
}
