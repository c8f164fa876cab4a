package registryfile

import (
	"reflect"
	"strings"
	"testing"

	"outfall/telemetry"
)

const good = `mn,pw,outlet,outlet_name,enterprise,region,medium,minute_interval_min,realtime_interval_s,offline_after_s,tail
520181A001AB12CD34EF56AB,123456,W01,总排口,"云溪,污水",贵州省/贵阳市/清镇市,water,1,30,300,strict
52038210000013,,W13,总排口,坛坪,贵州省/遵义市/仁怀市,gas,5,0,60,tolerant
`

func want() []telemetry.Device {
	return []telemetry.Device{
		{MN: "520181A001AB12CD34EF56AB", PW: "123456", Outlet: "W01", OutletName: "总排口", Enterprise: "云溪,污水", Region: "贵州省/贵阳市/清镇市",
			Medium: "water", MinuteInterval: 1, RealtimeInterval: 30, OfflineAfter: 300},
		{MN: "52038210000013", Outlet: "W13", OutletName: "总排口", Enterprise: "坛坪", Region: "贵州省/遵义市/仁怀市",
			Medium: "gas", MinuteInterval: 5, OfflineAfter: 60, TolerantTail: true},
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
		if err != nil || !reflect.DeepEqual(got.Devices, want()) {
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

// full is good with every optional column.
func full() string {
	const more = ",pw_next,networks,cert_name,edition,crc,period_end,scales,over_time_s,re_count,set_up,standard,class,built,judged,permits,stack,flow_weighted"
	lines := strings.Split(good, "\n")
	return lines[0] + more + "\n" +
		lines[1] + ",654321,10.1.0.0/16 2001:db8::/32,logger-7.example,surface-water,modbus-swapped,yes,a34004:-3 a34002:2,15,5,yes,GB 18918-2002,一级A,2006-01-01,day,w01018 day ..40 mg/L; w01001 day 6.5..8.5 dimensionless; w20111 hour ..50 ug/L,,yes\n" +
		lines[2] + ",,,,,,,,,,,,,,,,ref_o2:6 max_o2:20 wet working working_flow air_kpa:86.5 ppm:a21026+a21002,\n"
}

func TestOptionalColumns(t *testing.T) {
	devices := want()
	d := &devices[0]
	d.PWNext, d.Networks, d.CertName, d.Edition, d.CRC, d.PeriodEnd = "654321", []string{"10.1.0.0/16", "2001:db8::/32"}, "logger-7.example", "surface-water", "modbus-swapped", true
	d.Scales, d.OverTime, d.ReCount, d.SetUp, d.FlowWeighted = []telemetry.Scale{{Factor: "a34004", Exp: -3}, {Factor: "a34002", Exp: 2}}, 15, 5, true, true
	limit := func(text string) *telemetry.Fixed {
		f, _ := telemetry.ParseFixed(text)
		return &f
	}
	d.Standard, d.Class, d.Built, d.Judged = "GB 18918-2002", "一级A", 20060101, telemetry.StatDay
	d.Permits = []telemetry.Permit{{Factor: "w01018", Statistic: telemetry.StatDay, High: limit("40"), Unit: "mg/L"},
		{Factor: "w01001", Statistic: telemetry.StatDay, Low: limit("6.5"), High: limit("8.5"), Unit: "dimensionless"},
		{Factor: "w20111", Statistic: telemetry.StatHour, High: limit("50"), Unit: "ug/L"}}
	devices[1].Stack = &telemetry.Stack{RefO2: 6_000_000, MaxO2: 20_000_000, Wet: true, Working: true, WorkingFlow: true, Pressure: 86_500_000, PPM: []string{"a21026", "a21002"}}
	got, err := Parse("r.csv", []byte(full()))
	if err != nil || !reflect.DeepEqual(got.Devices, devices) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := string(Format(devices)); got != full() {
		t.Errorf("formatted as %s, want %s", got, full())
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"a password that no frame carries", "654321", "a;secret", "2:83: pw_next: holds a character that no frame can carry, or more than 64 of them"},
		{"a network", "10.1.0.0/16", "10.1.0.0", `2:90: networks: "10.1.0.0" is not an address prefix such as 10.1.0.0/16`},
		{"an edition", "surface-water", "2020", `2:133: edition: "2020" is none of 2005, 2017, 2025, surface-water`},
		{"a dialect", "modbus-swapped", "hj", `2:147: crc: "hj" is none of modbus, modbus-swapped, ccitt, none`},
		{"no yes", ",yes,a3", ",true,a3", `2:162: period_end: "true" is neither yes nor no, nor empty for no`},
		{"a scale without exponent", "a34002:2", "a34002", `2:166: scales: "a34002" is not a factor and a power of ten, as in a34004:-3`},
		{"a scale that is none", "a34002:2", "a34002:0", `2:166: scales: "a34002" with exponent 0 is not a factor and -9..9 without 0`},
		{"a timeout", ",15,", ",4000,", "2:185: over_time_s: 4000 is not 0..3600 seconds"},
		{"a timeout of three digits", ",15,", ",100,",
			"2:185: over_time_s: 100 is not 1..99: a device is told it in two digits (HJ 212-2017 table 4); only edition 2005 has more, up to 3600"},
		{"a count", ",15,5,", ",15,x,", `2:188: re_count: "x" is not a whole number`},
		{"a class of nothing", ",GB 18918-2002,", ",,", `2:195: class: "一级A" is a class of no standard: name the standard too`},
		{"a day that is none", "2006-01-01", "2006-13-01", `2:212: built: "2006-13-01" is not a day like 2006-01-01`},
		{"a mean that is none", ",day,w", ",minute,w", `2:223: judged: "minute" is neither hour nor day`},
		{"a permit without a unit", "..40 mg/L", "..40", `2:227: permits: "w01018 day ..40" is not a factor, a statistic, low..high and a unit, as in w01018 day ..40 mg/L`},
		{"a permit in another kind of unit", "..40 mg/L", "..40 mg/m3", `2:227: permits: 40 mg/m3 cannot be said in mg/L, the unit of w01018 (化学需氧量)`},
		{"a permit for nothing", "w01018", "w99999", `2:227: permits: "w99999" is not a code of HJ 212-2017 annex B`},
		{"a permit twice", "w20111 hour ..50 ug/L", "w01018 day ..30 mg/L", `2:227: permits: limit the day of w01018 twice`},
		{"a permit the wrong way round", "6.5..8.5", "8.5..6.5", `2:227: permits: w01001 needs a low or a high limit, the low one below the high one`},
		{"a stack without its reference", "ref_o2:6 ", "", "3:75: stack: names no ref_o2, the reference oxygen in percent: 0 where the standard asks for no correction"},
		{"a stack's part", "wet", "damp", `3:75: stack: "damp" is none of ref_o2:6 max_o2:20 wet working working_flow air_kpa:86.5 ppm:a21026+a21002`},
		{"a stack's part twice", "wet", "ref_o2:7", "3:75: stack: ref_o2 is there twice: keep one"},
		{"a reference beyond the greatest oxygen", "ref_o2:6", "ref_o2:20", "3:75: stack: greatest oxygen 20 % is not above the reference oxygen and up to 20.5"},
		{"a volume share of dust", "a21002,", "a34013,", `3:75: stack: ppm of "a34013": no factor that analysers measure as a volume share`},
		{"a long name", "logger-7", strings.Repeat("l", 200), "2:116: cert_name: longer than 200 bytes, or with a control character"},
	} {
		_, err := Parse("r.csv", []byte(strings.Replace(full(), tt.old, tt.new, 1)))
		if err == nil || err.Error() != "r.csv:"+tt.want {
			t.Errorf("%s: got  %v\nwant r.csv:%s", tt.name, err, tt.want)
		}
	}
}

// The limits of a permit are kept in the unit of the factor table.
func TestPermitUnits(t *testing.T) {
	f, err := Parse("r.csv", []byte(strings.Replace(full(), "..50 ug/L", "..0.05 mg/L", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if p := f.Devices[0].Permits[2]; p.Unit != "ug/L" || p.High.String() != "50" {
		t.Errorf("0.05 mg/L became %s %s", p.High, p.Unit)
	}
}

// OverTime has five digits in 2005, and two since.
func TestLongTimeout(t *testing.T) {
	old := strings.Replace(strings.Replace(full(), ",15,", ",3600,", 1), "surface-water", "2005", 1)
	if f, err := Parse("r.csv", []byte(old)); err != nil || f.Devices[0].OverTime != 3600 {
		t.Errorf("edition 2005 with 3600 s: %v", err)
	}
}

// What a file has no column for stays as the registry has it; an empty field takes it away.
func TestKeep(t *testing.T) {
	whole, err := Parse("r.csv", []byte(full()))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Parse("r.csv", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	d := plain.Devices[0]
	plain.Keep(&d, &whole.Devices[0])
	if !reflect.DeepEqual(d, whole.Devices[0]) {
		t.Errorf("a file without the columns leaves %+v, want %+v", d, whole.Devices[0])
	}
	d = whole.Devices[1]
	whole.Keep(&d, &whole.Devices[0])
	if !reflect.DeepEqual(d, whole.Devices[1]) {
		t.Errorf("empty fields leave %+v", d)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"two faults of one line", "water,1,30", "Water,7,30", "2:61: medium: \"Water\" is neither water nor gas\n" +
			`2:67: minute_interval_min: 7 is not one of 1,2,3,4,5,6,10,12,15,20,30 minutes`},
		{"no number", "30,300", "30s,300", `2:69: realtime_interval_s: "30s" is not a whole number`},
		{"real time too fast", "30,300", "1,300", `2:69: realtime_interval_s: 1 is not 0 or 5..3600 seconds`},
		{"offline too soon", ",60,", ",30,", `3:48: offline_after_s: 30 is not 60..86400 seconds`},
		{"tail", "strict", "", `2:76: tail: "" is neither strict nor tolerant`},
		{"no mn", "52038210000013", "", `3:1: mn: "" is not 1..64 printable characters without ';', ',', '=' and '&'`},
		{"a spreadsheet's mn", "52038210000013", "5.20382E+13",
			`3:1: mn: "5.20382E+13" was rounded by a spreadsheet: enter the MN again with the column set to text`},
		{"the same mn", "52038210000013", "520181A001AB12CD34EF56AB", `3:1: mn: "520181A001AB12CD34EF56AB" is already in line 2`},
		{"the same outlet", "W13", "W01", `3:17: outlet: "W01" is already in line 2`},
		{"no outlet", "W13", "", "3:17: outlet: is empty"},
		{"a password that no frame carries", "123456", "a;secret", `2:26: pw: holds a character that no frame can carry, or more than 64 of them`},
		{"a text with a line break", `"云溪,污水"`, "\"云溪\n污水\"", "2:41: enterprise: longer than 200 bytes, or with a control character"},
		{"a field too few", ",tolerant", "", "3:1: 10 fields, but the header names 11 columns"},
		{"an open quote", "坛坪", `坛"坪`, `3:26: is not CSV: bare " in non-quoted-field`},
		{"an unknown column", "outlet_name", "outlet-name",
			`1:14: column "outlet-name" is unknown: the columns are ` + strings.Join(columns[:], ",") + ", and optional " + optionalNames() + "\n1:1: column outlet_name is missing"},
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
