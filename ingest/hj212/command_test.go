package hj212

import (
	"slices"
	"strings"
	"testing"
)

func TestCommandTable(t *testing.T) {
	var last string
	seen := map[string]Editions{}
	for i := range catalogue {
		c := &catalogue[i]
		if c.CN < last {
			t.Errorf("CN %s stands behind %s", c.CN, last)
		}
		last = c.CN
		if seen[c.CN]&c.Editions != 0 {
			t.Errorf("CN %s has two rows for one edition", c.CN)
		}
		seen[c.CN] |= c.Editions
		if c.Name == "" || c.NameZh == "" || c.Editions == 0 || c.Editions.Has(Version2025) != (c.Confidence != NotIn2025) {
			t.Errorf("CN %s: %+v", c.CN, c)
		}
		if c.Shape == ShapeNone && c.Up == ShapeNone {
			t.Errorf("CN %s is sent by nobody", c.CN)
		}
		if c.Changes && (c.Shape == ShapeNone || c.Shape == ShapeHistory) {
			t.Errorf("CN %s changes a device by %s", c.CN, c.Shape)
		}
		for _, p := range slices.Concat(c.Request, c.Answer) {
			if p.In&^c.Editions != 0 {
				t.Errorf("CN %s: parameter %s is of an edition that the command is not of", c.CN, p.Key)
			}
			if strings.Contains(p.Range(), "0..0") || p.Type == TypeInt && p.Max == 0 {
				t.Errorf("CN %s: parameter %s has no range: %s", c.CN, p.Key, p.Range())
			}
		}
	}
	for version, want := range []int{31, 33, 39} {
		if got := len(Commands(uint8(version))); got != want {
			t.Errorf("%s has %d rows, want %d", EditionName(uint8(version)), got, want)
		}
	}
	if _, ok := LookupCommand("1001", Version2017); ok {
		t.Error("1001 is reserved in 2017")
	}
	if _, ok := LookupCommand("2011", 3); ok {
		t.Error("there is no edition of version 3")
	}
}

// TestChangingCommands: what only looks must not ask for an operator's word, what touches the device must.
func TestChangingCommands(t *testing.T) {
	looks := "1011 1021 1031 1041 1061 1063 2013 2031 2041 2051 2052 2061 2062 2071 3017 3018 3019 3020 9013 9014"
	var got []string
	for _, c := range catalogue {
		if c.Shape != ShapeNone && !c.Changes && !slices.Contains(got, c.CN) {
			got = append(got, c.CN)
		}
	}
	if s := strings.Join(got, " "); s != looks {
		t.Errorf("commands that change nothing:\n got  %s\n want %s", s, looks)
	}
}

func TestCheckRequest(t *testing.T) {
	tests := []struct {
		cn      string
		version uint8
		cp      string
		want    string // part of the error; "" for none
	}{
		{"1062", Version2017, "RtdInterval=30", ""},
		{"1062", Version2017, "rtdinterval = 3600 ;", ""},
		{"1062", Version2017, "RtdInterval=29", `parameter RtdInterval: "29" is not 30..3600 s`},
		{"1062", Version2005, "RtdInterval=29", ""},
		{"1062", Version2017, "RtdInterval=30s", `"30s" is not 30..3600 s`},
		{"1062", Version2017, "", "parameter RtdInterval is missing (30..3600 s)"},
		{"1062", Version2017, "RtdInterval=30;RtdInterval=60", "parameter RtdInterval stands twice"},
		{"1062", Version2017, "MinInterval=10", `"MinInterval" is not a parameter of it; it has RtdInterval`},
		{"1064", Version2017, "MinInterval=7", `"7" is not 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 min`},
		{"1064", Version2005, "MinInterval=10", "is not a command of HJ/T 212-2005"},
		{"1061", Version2017, "RtdInterval=30", "it has none"},
		{"1000", Version2017, "OverTime=0;ReCount=3", `"0" is not 1..99 s`},
		{"1000", Version2005, "OverTime=86400;ReCount=0", ""},
		{"1012", Version2017, "SystemTime=20260230000000", `"20260230000000" is not YYYYMMDDhhmmss`},
		{"1012", Version2017, "SystemTime=20260105080100000", "is not YYYYMMDDhhmmss"},
		{"1072", Version2017, "NewPW=geheim!", "parameter NewPW: its value is not 6 characters"},
		{"1072", Version2017, "PW=654321", "it has NewPW"},
		{"1072", Version2005, "PW=654321", ""},
		{"2051", Version2017, "BeginTime=20260105080000,EndTime=20260105080000", ""},
		{"2051", Version2017, "BeginTime=20260105080000;EndTime=20260105070000", "EndTime: 20260105070000 is before BeginTime 20260105080000"},
		{"2011", Version2025, "BeginTime=20260105080000", "go together"},
		{"2011", Version2017, "BeginTime=20260105080000;EndTime=20260105080000", "it has none"},
		{"3014", Version2005, "PolID=101,CTime=04,CTime=10", ""},
		{"3014", Version2017, "PolId=w01018,CTime=04", "it has PolId"},
		{"3014", Version2025, "PolId=w01018", "is not a command of HJ 212-2025"},
		{"3016", Version2017, "PolId=w01018;CstartTime=2500;CTime=2", `"2500" is not hhmmss`},
		{"3020", Version2017, "PolId=w 01018;InfoId=i11001", "is not a code of 1..32"},
		{"3021", Version2017, "PolId=w01018;InfoId=i13004;i13004-Info=168.0", ""},
		{"3021", Version2017, "InfoId=i13004;i13004-Info=a\nb", "bytes of text"},
		{"1013", Version2017, "", "sent by the field device"},
		{"9014", Version2017, "", "is an answer"},
		{"1014", Version2025, "SKCreateTime=20260105080100000,NewSK=0123456789abcdef", "SM4"},
		{"2011", Version2017, "&&;CN=1", "&&"},
		{"3021", Version2017, "i13004-Info=" + strings.Repeat("x", 940), "at most 943"},
		{"1011", Version2017, "PolId", "has no ="},
	}
	for _, tt := range tests {
		c, ok := LookupCommand(tt.cn, tt.version)
		if !ok {
			c = byCode(t, tt.cn)
		}
		err := c.CheckRequest([]byte(tt.cp), tt.version)
		if tt.want == "" && err == nil || tt.want != "" && err != nil && strings.Contains(err.Error(), tt.want) {
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("CN %s: the error shows a password: %v", tt.cn, err)
			}
			continue
		}
		t.Errorf("CN %s of %s, %q:\n got  %v\n want %s", tt.cn, EditionName(tt.version), tt.cp, err, tt.want)
	}
}

// byCode is the first row of a code, of any edition.
func byCode(t *testing.T, cn string) Command {
	t.Helper()
	for _, c := range catalogue {
		if c.CN == cn {
			return c
		}
	}
	t.Fatalf("CN %s is not in the table", cn)
	return Command{}
}

func TestRequestShape(t *testing.T) {
	for _, tt := range []struct {
		cn      string
		version uint8
		cp      string
		want    Shape
	}{
		{"2011", Version2005, "", ShapeStream},
		{"2011", Version2017, "", ShapeSet},
		{"2011", Version2025, "BeginTime=20260105080000;EndTime=20260105080000", ShapeHistory},
		{"3020", Version2017, "PolId=w01018;InfoId=i12001", ShapeGet},
		{"3020", Version2017, "InfoId=i11001;BeginTime=20260105080000,EndTime=20260105080000", ShapeHistory},
		{"2051", Version2017, "", ShapeHistory},
		{"2012", Version2017, "", ShapeNotice},
		{"2081", Version2017, "BeginTime=20260105080000", ShapeNone},
	} {
		c, ok := LookupCommand(tt.cn, tt.version)
		if got := c.RequestShape([]byte(tt.cp)); !ok || got != tt.want {
			t.Errorf("CN %s of %s with %q: %s, want %s", tt.cn, EditionName(tt.version), tt.cp, got, tt.want)
		}
	}
}
