package rules

import (
	"strings"
	"testing"
	"time"

	"outfall/telemetry"
)

func TestDiff(t *testing.T) {
	a, b := sampleSet(t), sampleSet(t)
	if got := Diff(a, b); len(got) != 0 {
		t.Errorf("the same set: %+v", got)
	}
	b.Rules[0].High, b.Rules[0].Verdict = ref(60_000_000), VerdictWarn
	b.Rules[1].ID = "w-ph2"
	got := Diff(a, b)
	if len(got) != 3 || got[0].Kind != ChangeChanged || strings.Join(got[0].Fields, "; ") != "high: 50 -> 60; verdict: - -> warn" ||
		got[1].Rule != "w-ph2" || got[1].Kind != ChangeAdded || got[2].Rule != "w-ph" || got[2].Kind != ChangeRemoved {
		t.Errorf("got %+v", got)
	}
	if got := Diff(nil, a); len(got) != 2 || got[0].Kind != ChangeAdded {
		t.Errorf("the first set: %+v", got)
	}
}

func TestExplain(t *testing.T) {
	r := guarded(t, "@w01010 12 >", func(r *Rule) {
		r.Rounding, r.Medium, r.Standard, r.Class, r.Clause, r.Confidence = RoundingNone, "water", "GB 18918-2002", "一级A", "4.1.3.1 表1", "single"
		r.When.Text, r.BuiltFrom, r.ValidFrom = "水温 > 12", 20060101, 20030701
	})
	set, err := NewRuleSet("gz", 3, []Rule{*r})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	ev := &telemetry.Alarm{ID: "3f1c0a9be2d47855", State: telemetry.AlarmRaised, Level: telemetry.LevelExceed, MN: "88888880000001", Outlet: "W01", OutletName: "总排口",
		Enterprise: "云溪污水", Region: "贵州省/贵阳市/清镇市", Factor: "w01018", Statistic: telemetry.StatHour, WindowStart: start, WindowEnd: start.Add(time.Hour),
		Value: 62_000_000, Limit: 40_000_000, LimitKind: KindHigh, TimesOver: 550_000, Unit: "mg/L", Basis: r.Basis, Rule: r.ID, RuleSet: set.Hash,
		RaisedAt: start.Add(time.Hour), Judgement: &telemetry.Judgement{Verdict: VerdictExceed, Value: ValueMeasured, Valid: 58, Due: 60, Rounding: RoundingNone,
			Rounded: 62_000_000, Exceeds: true, ExceedsRounded: true, Guard: "true", Inputs: []telemetry.Input{{Name: "w01010", Value: "13.1"}}}}
	d := &telemetry.Device{Medium: "water", Standard: "GB 18918-2002", Class: "一级A"}
	const zh = `报警 3f1c0a9be2d47855 由规则集“gz”第 3 版（HASH）的规则 w-cod“化学需氧量”产生，当前状态：已触发。
依据：GB 18918-2002 表1；条款 4.1.3.1 表1；限值来源的可信度：单一来源。
适用对象：云溪污水，排口 W01 总排口（设备 88888880000001），贵州省/贵阳市/清镇市。
规则要求介质为“water”，登记为“water”。
规则要求执行标准为“GB 18918-2002”，登记为“GB 18918-2002”。
规则要求类别为“一级A”，登记为“一级A”。
规则要求建成日期在 2006-01-01～… 之内，登记为 -（无日期按新建处理）。
规则在 2003-07-01～… 有效，数据日期为 2026-03-01。
2026-03-01 10:00～11:00 的化学需氧量（w01018）小时均值为 62 mg/L，超过限值 40 mg/L，超标 0.55 倍。
规则本身的限值为 50，排污许可证的 40 更严，以其为准。
参与比较的是实测值。
窗口应有 60 个数据，有效 58 个，规则要求有效比例不低于 0.75。
未修约值超出限值；修约到限值的位数（四舍六入五成双）为 62，超出限值；采用全数值比较法，以未修约值为准。
附加条件“水温 > 12”成立（水温 = 13.1）。
超过限值时该规则的结论为超标。
规则要求连续 1 个窗口超出才报警，已满足；2026-03-01 11:00:00 触发。`
	if got := strings.ReplaceAll(strings.Join(Explain(LangZH, ev, set, r, d), "\n"), set.Hash, "HASH"); got != zh {
		t.Errorf("got  %s\nwant %s", got, zh)
	}
	en := strings.Join(Explain(LangEN, ev, set, r, nil), "\n")
	for _, want := range []string{"The hour of Chemical oxygen demand (CODCr) (w01018) over 2026-03-01 10:00～11:00 is 62 mg/L, which is above the limit 40 mg/L, 0.55 times over.",
		"The condition 水温 > 12 holds (Water temperature = 13.1).", "the full value decides", "clause 4.1.3.1 表1"} {
		if !strings.Contains(en, want) {
			t.Errorf("%q is not in %s", want, en)
		}
	}
}
