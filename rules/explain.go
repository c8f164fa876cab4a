package rules

import (
	"fmt"
	"strings"
	"time"

	"outfall/telemetry"
)

// Languages of Explain.
const (
	LangZH = "zh"
	LangEN = "en"
)

// Explain says why an alarm was raised: one sentence for each condition of its rule, with the numbers. event is an event of the alarm, one with a
// Judgement if there is any; r is the rule as it is in the alarm's rule set, before At; d is the device as the registry has it, nil: it has it no
// longer.
func Explain(lang string, event *telemetry.Alarm, set *RuleSet, r *Rule, d *telemetry.Device) []string {
	e := explainer{zh: lang != LangEN, event: event, rule: r, device: d}
	e.say(fmt.Sprintf("报警 %s 由规则集“%s”第 %d 版（%s）的规则 %s“%s”产生，当前状态：%s。", event.ID, set.Name, set.Version, set.Hash, r.ID, r.Title, stateZH(event.State)),
		fmt.Sprintf("Alarm %s comes from rule %s (%s) of rule set %s version %d (%s); it is %s.", event.ID, r.ID, r.Title, set.Name, set.Version, set.Hash, event.State))
	e.basis()
	e.scope()
	e.limit()
	if j := event.Judgement; j != nil {
		e.judgement(j)
	}
	e.persistence()
	return e.lines
}

type explainer struct {
	zh     bool
	event  *telemetry.Alarm
	rule   *Rule
	device *telemetry.Device
	lines  []string
}

func (e *explainer) say(zh, en string) {
	if e.zh {
		e.lines = append(e.lines, zh)
	} else {
		e.lines = append(e.lines, en)
	}
}

func (e *explainer) basis() {
	clauseZH, clauseEN, sureZH, sureEN := "", "", "", ""
	if e.rule.Clause != "" {
		clauseZH, clauseEN = "；条款 "+e.rule.Clause, "; clause "+e.rule.Clause
	}
	if c := e.rule.Confidence; c != "" {
		sureZH, sureEN = "；限值来源的可信度："+map[string]string{"confirmed": "已核实", "single": "单一来源", "inferred": "推断"}[c], "; its source is "+c
	}
	e.say("依据："+e.event.Basis+clauseZH+sureZH+"。", "Basis: "+e.event.Basis+clauseEN+sureEN+".")
}

// scope is a sentence for each selector of the rule.
func (e *explainer) scope() {
	ev, r := e.event, e.rule
	e.say(fmt.Sprintf("适用对象：%s，排口 %s %s（设备 %s），%s。", ev.Enterprise, ev.Outlet, ev.OutletName, ev.MN, ev.Region),
		fmt.Sprintf("It is about %s, outlet %s %s (device %s), %s.", ev.Enterprise, ev.Outlet, ev.OutletName, ev.MN, ev.Region))
	d := e.device
	if d == nil {
		d = &telemetry.Device{}
	}
	for _, s := range []struct{ zh, en, want, has string }{
		{"设备", "device", r.MN, ev.MN}, {"排口", "outlet", r.Outlet, ev.Outlet}, {"介质", "medium", r.Medium, d.Medium},
		{"执行标准", "standard", r.Standard, d.Standard}, {"类别", "class", r.Class, d.Class},
		{"地区", "region", strings.Join(r.Regions, "、"), ev.Region},
	} {
		if s.want == "" {
			continue
		}
		e.say(fmt.Sprintf("规则要求%s为“%s”，登记为“%s”。", s.zh, s.want, s.has), fmt.Sprintf("The rule asks for %s %q; the registry has %q.", s.en, s.want, s.has))
	}
	if len(r.ExceptRegions) > 0 {
		list := strings.Join(r.ExceptRegions, "、")
		e.say(fmt.Sprintf("规则不适用于%s，该排口位于%s。", list, ev.Region), fmt.Sprintf("The rule leaves out %s; the outlet is in %s.", list, ev.Region))
	}
	if r.BuiltFrom != 0 || r.BuiltTo != 0 {
		built := d.Built.String()
		if built == "" {
			built = "-"
		}
		e.say(fmt.Sprintf("规则要求建成日期在 %s 之内，登记为 %s（无日期按新建处理）。", spanOf(r.BuiltFrom, r.BuiltTo), built),
			fmt.Sprintf("The rule is for outlets built in %s; the registry has %s (none counts as new).", spanOf(r.BuiltFrom, r.BuiltTo), built))
	}
	if r.ValidFrom != 0 || r.ValidTo != 0 {
		day := telemetry.DateOf(ev.WindowStart.UnixMilli())
		e.say(fmt.Sprintf("规则在 %s 有效，数据日期为 %s。", spanOf(r.ValidFrom, r.ValidTo), day), fmt.Sprintf("The rule is valid in %s; the window is of %s.", spanOf(r.ValidFrom, r.ValidTo), day))
	}
}

func spanOf(from, to telemetry.Date) string {
	a, b := from.String(), to.String()
	if a == "" {
		a = "…"
	}
	if b == "" {
		b = "…"
	}
	return a + "～" + b
}

// limit is the sentence of the comparison.
func (e *explainer) limit() {
	ev, r := e.event, e.rule
	name, unit := ev.Factor, ev.Unit
	nameEN := ev.Factor
	if f, ok := telemetry.LookupFactor(ev.Factor); ok {
		name, nameEN = f.NameZH+"（"+f.Code+"）", f.NameEN+" ("+f.Code+")"
	}
	window := windowOf(ev)
	overZH, overEN := "超过限值", "is above the limit"
	if ev.LimitKind == KindLow {
		overZH, overEN = "低于限值", "is below the limit"
	}
	if share := earlyShare(ev, r); share != "" {
		overZH, overEN = "超过预警值（限值的 "+share+" 倍），限值", "is above the early warning, "+share+" of the limit"
	}
	timesZH, timesEN := "", ""
	if ev.TimesOver > 0 {
		timesZH, timesEN = "，超标 "+ev.TimesOver.String()+" 倍", ", "+ev.TimesOver.String()+" times over"
	}
	e.say(fmt.Sprintf("%s 的%s%s为 %s %s，%s %s %s%s。", window, name, statZH[ev.Statistic], ev.Value, unit, overZH, ev.Limit, unit, timesZH),
		fmt.Sprintf("The %s of %s over %s is %s %s, which %s %s %s%s.", ev.Statistic, nameEN, window, ev.Value, unit, overEN, ev.Limit, unit, timesEN))
	own := r.High
	if ev.LimitKind == KindLow {
		own = r.Low
	}
	if own == nil || *own != ev.Limit {
		had := "-"
		if own != nil {
			had = own.String()
		}
		e.say(fmt.Sprintf("规则本身的限值为 %s，排污许可证的 %s 更严，以其为准。", had, ev.Limit), fmt.Sprintf("The rule's own limit is %s; the permit's %s is stricter and counts.", had, ev.Limit))
	}
}

// earlyShare is the early warning's share when the value is within the limit; empty: it is beyond.
func earlyShare(ev *telemetry.Alarm, r *Rule) string {
	if ev.LimitKind == KindHigh && ev.Value <= ev.Limit && r.EarlyWarning != 0 && (ev.Judgement == nil || !ev.Judgement.Exceeds) {
		return r.EarlyWarning.String()
	}
	return ""
}

var statZH = map[telemetry.Statistic]string{telemetry.StatInstant: "实时值", telemetry.StatMinute: "分钟值", telemetry.StatHour: "小时均值",
	telemetry.StatDay: "日均值", telemetry.StatRolling1: "滑动小时均值", telemetry.StatRolling24: "滑动 24 小时均值"}

func windowOf(ev *telemetry.Alarm) string {
	start, end := ev.WindowStart.In(telemetry.China), ev.WindowEnd.In(telemetry.China)
	switch {
	case start.Equal(end):
		return start.Format(time.DateTime)
	case end.Sub(start) >= 24*time.Hour:
		return start.Format("2006-01-02 15:04") + "～" + end.Format("01-02 15:04")
	}
	return start.Format("2006-01-02 15:04") + "～" + end.Format("15:04")
}

func stateZH(s telemetry.AlarmState) string {
	switch s {
	case telemetry.AlarmRaised:
		return "已触发"
	case telemetry.AlarmUpdated:
		return "已更新"
	}
	return "已解除"
}
