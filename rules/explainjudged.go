package rules

import (
	"fmt"

	"outfall/telemetry"
)

// judgement is the sentences of what stands behind the verdict.
func (e *explainer) judgement(j *telemetry.Judgement) {
	kindZH, kindEN := "实测值", "measured values"
	if j.Value == ValueCorrected {
		kindZH, kindEN = "折算值", "values corrected to the reference oxygen"
	}
	e.say("参与比较的是"+kindZH+"。", "What is compared are "+kindEN+".")
	e.say(fmt.Sprintf("窗口应有 %d 个数据，有效 %d 个，规则要求有效比例不低于 %s。", j.Due, j.Valid, e.rule.MinValid),
		fmt.Sprintf("The window has %d valid slots of %d due; the rule asks for a share of %s.", j.Valid, j.Due, e.rule.MinValid))
	e.rounding(j)
	switch j.Guard {
	case "true":
		e.say("附加条件“"+e.rule.When.Text+"”成立"+inputsOf(j, true)+"。", "The condition "+e.rule.When.Text+" holds"+inputsOf(j, false)+".")
	case "unknown":
		e.say("附加条件“"+e.rule.When.Text+"”缺少数据，无法判断"+inputsOf(j, true)+"，按成立处理（从严）。",
			"The condition "+e.rule.When.Text+" cannot be decided for want of data"+inputsOf(j, false)+"; it is taken as holding, the stricter.")
	}
	if j.Verdict == VerdictWarn {
		e.say("该规则的结论仅为预警，不作为超标认定。", "The rule only warns; it is no finding of exceedance.")
	} else {
		e.say("超过限值时该规则的结论为超标。", "Beyond the limit the rule says exceedance.")
	}
}

// rounding is the sentence of the two comparisons (GB/T 8170).
func (e *explainer) rounding(j *telemetry.Judgement) {
	if e.rule.Rounding == "" {
		return
	}
	zh := func(over bool) string {
		if over {
			return "超出限值"
		}
		return "未超出限值"
	}
	en := func(over bool) string {
		if over {
			return "is beyond the limit"
		}
		return "is not beyond the limit"
	}
	byZH, byEN := "全数值比较法，以未修约值为准", "the full value decides"
	if j.Rounding == RoundingLimit {
		byZH, byEN = "修约值比较法，以修约值为准", "the rounded value decides"
	}
	e.say(fmt.Sprintf("未修约值%s；修约到限值的位数（四舍六入五成双）为 %s，%s；采用%s。", zh(j.Exceeds), j.Rounded, zh(j.ExceedsRounded), byZH),
		fmt.Sprintf("The full value %s; rounded half to even to the digits of the limit it is %s, which %s; %s.", en(j.Exceeds), j.Rounded, en(j.ExceedsRounded), byEN))
}

// inputsOf lists what a condition was decided by.
func inputsOf(j *telemetry.Judgement, zh bool) string {
	text := ""
	for _, in := range j.Inputs {
		name, value := in.Name, in.Value
		if f, ok := telemetry.LookupFactor(in.Name); ok {
			if name = f.NameEN; zh {
				name = f.NameZH
			}
		} else {
			for _, n := range GuardNames() {
				if n.Name == in.Name && zh {
					name = n.Chinese[0]
					break
				}
			}
		}
		if value == "" {
			if value = "unknown"; zh {
				value = "无数据"
			}
		}
		if text != "" {
			if text += ", "; zh {
				text = text[:len(text)-2] + "，"
			}
		}
		text += name + " = " + value
	}
	switch {
	case text == "":
		return ""
	case zh:
		return "（" + text + "）"
	}
	return " (" + text + ")"
}

// persistence is the sentences of the alarm's life.
func (e *explainer) persistence() {
	r, ev := e.rule, e.event
	e.say(fmt.Sprintf("规则要求连续 %d 个窗口超出才报警，已满足；%s 触发。", r.RaiseAfter, ev.RaisedAt.In(telemetry.China).Format("2006-01-02 15:04:05")),
		fmt.Sprintf("The rule asks for %d windows in a row; there were as many, and the alarm was raised at %s.", r.RaiseAfter, ev.RaisedAt.In(telemetry.China).Format("2006-01-02 15:04:05")))
	if ev.ClearedAt != nil {
		at := ev.ClearedAt.In(telemetry.China).Format("2006-01-02 15:04:05")
		e.say("报警于 "+at+" 解除。", "The alarm was cleared at "+at+".")
	}
}
