package registryfile

import (
	"reflect"
	"strings"
	"testing"

	"outfall/telemetry"
)

const good = `mn,pw,outlet,outlet_name,enterprise,region,medium,minute_interval_min,realtime_interval_s,offline_after_s,tail
520181A001AB12CD34EF56AB,123456,W01,总排口,"云溪,污水",贵州省/贵阳市/清镇市,water,1,30,300,strict
52038210000013,,W13,总排口,坛坪,贵州省/遵义市/仁怀市,water,5,0,60,tolerant
`

func want() []telemetry.Device {
	return []telemetry.Device{
		{MN: "520181A001AB12CD34EF56AB", PW: "123456", Outlet: "W01", OutletName: "总排口", Enterprise: "云溪,污水", Region: "贵州省/贵阳市/清镇市",
			Medium: "water", MinuteInterval: 1, RealtimeInterval: 30, OfflineAfter: 300},
		{MN: "52038210000013", Outlet: "W13", OutletName: "总排口", Enterprise: "坛坪", Region: "贵州省/遵义市/仁怀市",
			Medium: "water", MinuteInterval: 5, OfflineAfter: 60, TolerantTail: true},
	}
}

func TestParse(t *testing.T) {
	// The same with the columns the other way round, as spreadsheets save it.
	var mirrored strings.Builder
	mirrored.WriteString("\ufeff")
	for _, line := range strings.Split(strings.TrimSuffix(good, "\n"), "\n") {
		fields := strings.Split(strings.Replace(line, `"云溪,污水"`, "@", 1), ",")
		for i := len(fields) - 1; i >= 0; i-- {
			mirrored.WriteString(strings.Replace(fields[i], "@", `"云溪,污水"`, 1))
			if i > 0 {
				mirrored.WriteByte(',')
			}
		}
		mirrored.WriteString("\r\n")
	}
	for name, src := range map[string]string{"plain": good, "byte order mark, CR LF, other order": mirrored.String()} {
		got, err := Parse("r.csv", []byte(src))
		if err != nil || !reflect.DeepEqual(got, want()) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestFormat(t *testing.T) {
	devices := append(want(), telemetry.Device{MN: "gone", Removed: true})
	if got := string(Format(devices)); got != good {
		t.Errorf("got %s, want %s", got, good)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"two faults of one line", "water,1,30", "Water,7,30", "2:61: medium: \"Water\" is neither water nor gas\n" +
			`2:67: minute_interval_min: 7 is not one of 1,2,3,4,5,6,10,12,15,20,30 minutes`},
		{"no number", "30,300", "30s,300", `2:69: realtime_interval_s: "30s" is not a whole number`},
		{"real time too fast", "30,300", "1,300", `2:69: realtime_interval_s: 1 is not 0 or 5..3600 seconds`},
		{"offline too soon", ",60,", ",30,", `3:50: offline_after_s: 30 is not 60..86400 seconds`},
		{"tail", "strict", "", `2:76: tail: "" is neither strict nor tolerant`},
		{"no mn", "52038210000013", "", `3:1: mn: "" is not 1..64 printable characters without ';', ',', '=' and '&'`},
		{"a spreadsheet's mn", "52038210000013", "5.20382E+13",
			`3:1: mn: "5.20382E+13" was rounded by a spreadsheet: enter the MN again with the column set to text`},
		{"the same mn", "52038210000013", "520181A001AB12CD34EF56AB", `3:1: mn: "520181A001AB12CD34EF56AB" is already in line 2`},
		{"the same outlet", "W13", "W01", `3:17: outlet: "W01" is already in line 2`},
		{"no outlet", "W13", "", "3:17: outlet: is empty"},
		{"a password that no frame carries", "123456", "a;secret", `2:26: pw: holds a character that no frame can carry`},
		{"a text with a line break", `"云溪,污水"`, "\"云溪\n污水\"", "2:41: enterprise: longer than 200 bytes, or with a control character"},
		{"a field too few", ",tolerant", "", "3:1: 10 fields, but the header names 11 columns"},
		{"an open quote", "坛坪", `坛"坪`, `3:26: is not CSV: bare " in non-quoted-field`},
		{"an unknown column", "outlet_name", "outlet-name",
			`1:14: column "outlet-name" is unknown: the columns are ` + strings.Join(columns[:], ",") + "\n1:1: column outlet_name is missing"},
		{"a column twice", "outlet_name", "outlet", "1:14: column outlet is there twice: keep one\n1:1: column outlet_name is missing"},
		{"not UTF-8", "坛坪", "\xd6\xd0", "3:1: is not UTF-8: save the file as CSV UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := strings.Replace(good, c.old, c.new, 1)
			got, err := Parse("r.csv", []byte(src))
			want := "r.csv:" + strings.ReplaceAll(c.want, "\n", "\nr.csv:")
			if got != nil || err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the fault shows a password")
			}
		})
	}
	header, _, _ := strings.Cut(good, "\n")
	for src, want := range map[string]string{
		"":                                   "r.csv:1:1: empty: the first line names the columns " + header,
		header:                               "r.csv:1:1: no device below the header",
		header + strings.Repeat("\nx", 1002): "r.csv: 2 more faults are not listed",
	} {
		if _, err := Parse("r.csv", []byte(src)); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%.30q: got %v, want %s", src, err, want)
		}
	}
}
