package library

import (
	"strings"
	"testing"

	"outfall/rules"
	"outfall/telemetry"
)

// Every row is a rule, its unit that of the factor table, and no more sure than its source.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range Limits() {
		r := &l.Rule
		bad := func(format string, a ...any) { t.Helper(); t.Errorf(r.ID+": "+format, a...) }
		if seen[r.ID] {
			bad("id is there twice")
		}
		seen[r.ID] = true
		f, ok := telemetry.LookupFactor(r.Factor)
		if !ok || f.Unit != r.Unit {
			bad("unit %q, factor %+v", r.Unit, f)
		}
		if faults := r.Faults(); len(faults) > 0 {
			bad("%+v", faults)
		}
		if r.Confidence == "inferred" && (l.Enabled || r.Verdict != rules.VerdictWarn) {
			bad("inferred, and not off")
		}
		if r.Confidence == "single" && !strings.Contains(l.Note, "[primary text]") && r.Verdict != rules.VerdictWarn {
			bad("a single source that is not the standard's text says %s", r.Verdict)
		}
		if (l.RefO2 != "") != (r.Value == rules.ValueCorrected) {
			bad("reference oxygen %q and value %s", l.RefO2, r.Value)
		}
		if r.Clause == "" || l.Pollutant == "" {
			bad("no clause or pollutant")
		}
		if strings.ContainsAny(l.Category, "℃") || strings.Contains(l.Category, "贵州") {
			bad("class %q holds a condition", l.Category)
		}
	}
	if n := len(seen); n != 668 { // 665 rows that were read, and three that their notes give
		t.Errorf("%d rows", n)
	}
}

// All that is on makes one rule set.
func TestWholeLibraryIsOneRuleSet(t *testing.T) {
	rs := whole(t)
	t.Logf("%d rules, %d bytes", len(rs.Rules), len(rs.AppendJSON(nil)))
	back, err := rules.ParseRuleSet(rs.AppendJSON(nil))
	if err != nil || back.Hash != rs.Hash {
		t.Errorf("read back: %v, %v", back, err)
	}
}

func whole(t *testing.T) *rules.RuleSet {
	t.Helper()
	var list []rules.Rule
	for _, s := range Standards() {
		c := Choice{Standard: s, EarlyWarning: 900_000}
		if got, err := c.Rules(); err == nil {
			list = append(list, got...)
		} else if !strings.Contains(err.Error(), "no row that is on") {
			t.Fatal(err)
		}
	}
	rs, err := rules.NewRuleSet("all", 1, list)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// Which limit an outlet has goes by its class, its region, its building date and the window's day.
func TestConditions(t *testing.T) {
	guizhou, hebei := "贵州省/贵阳市/清镇市", "河北省/唐山市"
	for _, c := range []struct {
		name   string
		device telemetry.Device
		factor string
		stat   telemetry.Statistic
		day    string
		want   string // high limits of exceed rules without a guard, then with one
	}{
		{"COD 1A", telemetry.Device{Standard: "GB 18918-2002", Class: "城镇污水处理厂 一级A"}, "w01018", "day", "2026-05-01", "50"},
		{"COD 1B", telemetry.Device{Standard: "GB 18918-2002", Class: "城镇污水处理厂 一级B"}, "w01018", "day", "2026-05-01", "60"},
		{"ammonia 1A", telemetry.Device{Standard: "GB 18918-2002", Class: "城镇污水处理厂 一级A"}, "w21003", "day", "2026-05-01", "5 8"},
		{"TP, no date", telemetry.Device{Standard: "GB 18918-2002", Class: "城镇污水处理厂 一级A"}, "w21011", "day", "2026-05-01", "0.5"},
		{"TP, built 2006", telemetry.Device{Standard: "GB 18918-2002", Class: "城镇污水处理厂 一级A", Built: 20060101}, "w21011", "day", "2026-05-01", "0.5"},
		{"TP, built 2005", telemetry.Device{Standard: "GB 18918-2002", Class: "城镇污水处理厂 一级A", Built: 20051231}, "w21011", "day", "2026-05-01", "1"},
		{"mercury in ug/L, every class", telemetry.Device{Standard: "GB 18918-2002", Class: "城镇污水处理厂 一级B"}, "w20111", "day", "2026-05-01", "1"},
		{"SO2 of boilers in Guizhou", telemetry.Device{Standard: "GB 13271-2014", Class: "燃煤锅炉 在用", Region: guizhou}, "a21026", "hour", "2026-05-01", "550"},
		{"SO2 of boilers elsewhere", telemetry.Device{Standard: "GB 13271-2014", Class: "燃煤锅炉 在用", Region: hebei}, "a21026", "hour", "2026-05-01", "400"},
		{"waste incinerator, day", telemetry.Device{Standard: "GB 18485-2014", Class: "生活垃圾焚烧炉"}, "a21026", "day", "2026-05-01", "80"},
		{"waste incinerator, hour only warns", telemetry.Device{Standard: "GB 18485-2014", Class: "生活垃圾焚烧炉"}, "a21026", "hour", "2026-05-01", ""},
		{"inferred is off", telemetry.Device{Standard: "GB 13223-2011", Class: "燃煤锅炉 新建", Region: hebei}, "a21026", "hour", "2026-05-01", ""},
		{"PM2.5 before", telemetry.Device{Standard: "GB 3095-2012", Class: "环境空气 二级"}, "a34004", "day", "2026-02-28", "75000"},
		{"PM2.5 of the old standard after", telemetry.Device{Standard: "GB 3095-2012", Class: "环境空气 二级"}, "a34004", "day", "2026-03-01", ""},
		{"PM2.5 2030", telemetry.Device{Standard: "GB 3095-2026", Class: "环境空气 二级"}, "a34004", "day", "2030-12-31", "60000"},
		{"PM2.5 2031", telemetry.Device{Standard: "GB 3095-2026", Class: "环境空气 二级"}, "a34004", "day", "2031-01-01", "50000"},
		{"baijiu", telemetry.Device{Standard: "GB 27631-2011", Class: "发酵酒精和白酒 直接排放"}, "w01018", "day", "2026-05-01", "100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.device
			d.Medium = map[byte]string{'w': "water", 'a': "gas"}[c.factor[0]]
			day, _ := telemetry.ParseDate(c.day)
			var got []string
			rs := whole(t)
			for i := range rs.Rules {
				r := &rs.Rules[i]
				if r.Factor == c.factor && r.Statistic == c.stat && r.Verdict == rules.VerdictExceed && r.Applies(&d) && day >= r.ValidFrom && (r.ValidTo == 0 || day <= r.ValidTo) {
					got = append(got, r.High.String())
				}
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("got %q, want %q", g, c.want)
			}
		})
	}
}

// An outlet that is judged by its hour mean exceeds by it, and its day mean warns.
func TestJudgedByTheOtherMean(t *testing.T) {
	d := telemetry.Device{Medium: "water", Standard: "GB 18918-2002", Class: "城镇污水处理厂 一级A", Judged: telemetry.StatHour}
	rs := whole(t)
	seen := map[telemetry.Statistic]string{}
	for i := range rs.Rules {
		if r := &rs.Rules[i]; r.Factor == "w01018" && r.Applies(&d) {
			seen[r.Statistic] = r.At(&d).Verdict
		}
	}
	if seen[telemetry.StatHour] != rules.VerdictExceed || seen[telemetry.StatDay] != rules.VerdictWarn {
		t.Errorf("got %v", seen)
	}
}
