package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"outfall/telemetry"
)

// Forms of a message.
const (
	FormAlarm  = "alarm"  // one event
	FormGroup  = "group"  // events of one county and rule
	FormDigest = "digest" // events of many, because the channel's budget runs low
	FormTest   = "test"   // asked for by a person: it is about no real alarm
	FormKeep   = "keep"   // the open alarms once more, for Alertmanager, which takes what is not repeated for resolved
)

// A Message is what one channel is told at once, and what its templates see.
type Message struct {
	Key    string // idempotency key, 32 hex digits: the same for the same events on the same channel
	Form   string // one of the forms above
	Events []Event
	More   int       // events that come in a message of their own, because they did not fit in this one
	From   string    // the channel that did not take it; empty: this one is the first
	Why    string    // why From did not take it
	At     time.Time // when it was made, UTC
}

// An Event is an event of an alarm for people. Its methods give the texts; the alarm itself is .Alarm.
type Event struct {
	telemetry.Alarm
	Key string // the event's own idempotency key: alarm id and position
}

// eventKey names an event for good: the id of its alarm, and its position in the partition of the alarm's device.
func eventKey(id string, pos telemetry.Position) string {
	return fmt.Sprintf("%s-%d-%d", id, pos.Source, pos.Ordinal)
}

// messageKey is the idempotency key of a message of these events on a channel.
func messageKey(channel string, events []Event) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", channel)
	for i := range events {
		fmt.Fprintf(h, "%s\n", events[i].Key)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

var levelNames = map[telemetry.AlarmLevel]string{telemetry.LevelWarning: "预警", telemetry.LevelExceed: "超标报警"}

var stateNames = map[telemetry.AlarmState]string{telemetry.AlarmRaised: "发生", telemetry.AlarmUpdated: "变化", telemetry.AlarmCleared: "解除",
	telemetry.AlarmWithdrawn: "撤销"}

var statisticNames = map[telemetry.Statistic]string{
	telemetry.StatInstant: "实时值", telemetry.StatMinute: "分钟值", telemetry.StatHour: "小时均值", telemetry.StatDay: "日均值",
	telemetry.StatRolling1: "滑动1小时均值", telemetry.StatRolling24: "滑动24小时均值",
}

// named is the name of v; what has none here has its own.
func named[T ~string](names map[T]string, v T) string {
	if n, ok := names[v]; ok {
		return n
	}
	return string(v)
}

// LevelName is 预警 or 超标报警.
func (e Event) LevelName() string { return named(levelNames, e.Level) }

// StateName is 发生, 变化, 解除 or 撤销.
func (e Event) StateName() string { return named(stateNames, e.State) }

// StatisticName is 小时均值 or the like.
func (e Event) StatisticName() string { return named(statisticNames, e.Statistic) }

// FactorName is the factor's Chinese name, its code where it has none.
func (e Event) FactorName() string {
	if f, ok := telemetry.LookupFactor(e.Factor); ok && f.NameZH != "" {
		return f.NameZH
	}
	return e.Factor
}

// Head is what the event is in a word: 超标报警, 预警, 报警变化, 报警解除, 报警撤销.
func (e Event) Head() string {
	switch e.State {
	case telemetry.AlarmCleared:
		return "报警解除"
	case telemetry.AlarmWithdrawn:
		return "报警撤销"
	case telemetry.AlarmUpdated:
		return e.LevelName() + "(更新)"
	}
	return e.LevelName()
}

// County is the last part of the region.
func (e Event) County() string { return e.Region[strings.LastIndexByte(e.Region, '/')+1:] }

// Place is the outlet for people.
func (e Event) Place() string {
	if e.OutletName == "" {
		return e.Outlet
	}
	return e.OutletName + "(" + e.Outlet + ")"
}

// Window is the period that was judged, in UTC+8.
func (e Event) Window() string {
	start, end := e.WindowStart.In(telemetry.China), e.WindowEnd.In(telemetry.China)
	switch {
	case end.Equal(start):
		return start.Format("2006-01-02 15:04:05")
	case end.Sub(start) == 24*time.Hour && start.Hour() == 0 && start.Minute() == 0:
		return start.Format("2006-01-02")
	case end.Sub(start) >= 24*time.Hour:
		return start.Format("2006-01-02 15:04") + "~" + end.Format("01-02 15:04")
	}
	return start.Format("2006-01-02 15:04") + "~" + end.Format("15:04")
}

// Measured is the value with its unit.
func (e Event) Measured() string { return strings.TrimSpace(e.Value.String() + " " + e.Unit) }

// Bound is the limit with its sign and unit.
func (e Event) Bound() string {
	sign := "≤"
	if e.LimitKind == "low" {
		sign = "≥"
	}
	return strings.TrimSpace(sign + " " + e.Limit.String() + " " + e.Unit)
}

// Over is how many times over the limit the value is, to two decimals; empty where that says nothing.
func (e Event) Over() string {
	if e.TimesOver <= 0 {
		return ""
	}
	const hundredth = telemetry.FixedOne / 100
	return ((e.TimesOver + hundredth/2) / hundredth * hundredth).String()
}

// Raised is when the alarm was raised, in UTC+8.
func (e Event) Raised() string { return e.RaisedAt.In(telemetry.China).Format("2006-01-02 15:04:05") }

// Cleared is when it was cleared, in UTC+8; empty while it is open.
func (e Event) Cleared() string {
	if e.ClearedAt == nil {
		return ""
	}
	return e.ClearedAt.In(telemetry.China).Format("2006-01-02 15:04:05")
}

// Count is how many events of the message have one of the given states or levels.
func (m Message) Count(what string) (n int) {
	for i := range m.Events {
		if e := &m.Events[i]; string(e.State) == what || !e.State.Ends() && string(e.Level) == what {
			n++
		}
	}
	return n
}

// First is the first event.
func (m Message) First() Event { return m.Events[0] }

// sampleTime is when the sample alarm of a template's check was.
var sampleTime = time.Date(2026, 3, 1, 3, 0, 5, 0, time.UTC)

// SampleMessage is a message about an invented alarm, for templates and tests of channels.
func SampleMessage(form, channel string, now time.Time) Message {
	hour := now.UTC().Truncate(time.Hour)
	e := Event{Key: "0000000000000000-0-0", Alarm: telemetry.Alarm{
		ID: "0000000000000000", State: telemetry.AlarmRaised, Level: telemetry.LevelExceed, MN: "SAMPLE", Outlet: "W01", OutletName: "总排口",
		Enterprise: "某某污水处理有限公司", Region: "贵州省/贵阳市/观山湖区", Factor: "w01018", Statistic: telemetry.StatHour,
		WindowStart: hour.Add(-time.Hour), WindowEnd: hour, Value: 97_620_000, Limit: 50 * telemetry.FixedOne, LimitKind: "high", TimesOver: 952_400,
		Unit: "mg/L", Basis: "GB 18918-2002 4.1.3.1 表1 一级A", Rule: "sample", RuleSet: "sample", RaisedAt: now.UTC().Truncate(time.Second),
		At: now.UTC().Truncate(time.Second),
	}}
	m := Message{Form: form, Events: []Event{e}, At: now.UTC()}
	m.Key = messageKey(channel, m.Events)
	if form == FormTest {
		m.Key = fmt.Sprintf("test-%x", now.UnixNano()) // each is wanted
	}
	return m
}
