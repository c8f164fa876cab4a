package alert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"outfall/telemetry"
)

// A Route sends what it matches to channels. Of the routes in it the first that matches takes the alarm, and those after it only if it says
// continue; when none does, the route's own channels get it.
type Route struct {
	Match Match `yaml:"match"`
	// Channels are names; empty in a route of a route: those of the outer one.
	Channels []string `yaml:"channels"`
	// Continue lets the routes after this one have the alarm too.
	Continue bool `yaml:"continue"`
	// Discard drops what matches.
	Discard bool    `yaml:"discard"`
	Routes  []Route `yaml:"routes"`
}

// A Match selects events: those for which every list that is not empty has the value.
type Match struct {
	telemetry.AlarmMatch `yaml:",inline"`
	// State is of the event: raised, updated, cleared, withdrawn.
	State []telemetry.AlarmState `yaml:"state"`
	// Weekday is of the moment at which the event comes here: mon..sun, in UTC+8.
	Weekday []string `yaml:"weekday"`
	// Time is a span of that moment's day in UTC+8, "08:30-17:30", its end excluded; "18:00-08:00" goes over midnight. Empty: the whole day.
	Time string `yaml:"time"`
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // time.Weekday

func (m *Match) validate(k *checker, key string) {
	list := func(field string, have []string, known []string) {
		for _, v := range have {
			if !slices.Contains(known, v) {
				k.bad(key+"."+field, "%q is none of %s", v, strings.Join(known, ", "))
			}
		}
	}
	list("level", texts(m.Level), texts([]telemetry.AlarmLevel{telemetry.LevelWarning, telemetry.LevelExceed}))
	list("state", texts(m.State), texts([]telemetry.AlarmState{telemetry.AlarmRaised, telemetry.AlarmUpdated, telemetry.AlarmCleared, telemetry.AlarmWithdrawn}))
	list("statistic", texts(m.Statistic), texts(telemetry.Statistics()))
	list("weekday", m.Weekday, weekdays)
	if m.Time != "" {
		if _, _, err := span(m.Time); err != nil {
			k.bad(key+".time", "%v", err)
		}
	}
	for _, r := range m.Region {
		if strings.Trim(r, "/ ") != r || r == "" {
			k.bad(key+".region", "%q is not province, province/city or province/city/county", r)
		}
	}
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// span reads "08:30-17:30" as minutes of the day.
func span(text string) (from, to int, err error) {
	first, last, ok := strings.Cut(text, "-")
	from, ok1 := minute(first)
	to, ok2 := minute(last)
	if !ok || !ok1 || !ok2 || from == to {
		return 0, 0, fmt.Errorf("%q is no span such as 08:30-17:30", text)
	}
	return from, to, nil
}

// minute reads 00:00..24:00.
func minute(text string) (int, bool) {
	h, m, ok := strings.Cut(text, ":")
	hours, err1 := strconv.Atoi(h)
	minutes, err2 := strconv.Atoi(m)
	n := 60*hours + minutes
	return n, ok && len(h) == 2 && len(m) == 2 && err1 == nil && err2 == nil && hours >= 0 && minutes >= 0 && minutes < 60 && n <= 24*60
}

// matches reports whether m selects the event a that comes at now.
func (m *Match) matches(a *telemetry.Alarm, now time.Time) bool {
	if !m.AlarmMatch.Matches(a) || len(m.State) > 0 && !slices.Contains(m.State, a.State) {
		return false
	}
	now = now.In(telemetry.China)
	if len(m.Weekday) > 0 && !slices.Contains(m.Weekday, weekdays[now.Weekday()]) {
		return false
	}
	if m.Time == "" {
		return true
	}
	from, to, _ := span(m.Time) // validated
	at := 60*now.Hour() + now.Minute()
	if from < to {
		return from <= at && at < to
	}
	return at >= from || at < to
}

// channelsOf names the channels that get the event a at now, each once, in the order of the routes.
func (c Config) channelsOf(a *telemetry.Alarm, now time.Time) []string {
	names, taken := walk(c.Routes, nil, a, now)
	if !taken {
		names = c.Default
	}
	var once []string
	for _, n := range names {
		if !slices.Contains(once, n) {
			once = append(once, n)
		}
	}
	return once
}

// walk goes through routes whose outer one has the channels outer. taken is false when none matched.
func walk(routes []Route, outer []string, a *telemetry.Alarm, now time.Time) (names []string, taken bool) {
	for i := range routes {
		r := &routes[i]
		if !r.Match.matches(a, now) {
			continue
		}
		taken = true
		own := r.Channels
		if len(own) == 0 && !r.Discard {
			own = outer
		}
		if inner, ok := walk(r.Routes, own, a, now); ok {
			own = inner
		}
		names = append(names, own...)
		if !r.Continue {
			break
		}
	}
	return names, taken
}
