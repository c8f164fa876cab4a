package alert

import (
	"context"
	"strings"
	"time"
)

const (
	keepEvery  = time.Minute     // between two repetitions of the open alarms
	keepHold   = 5 * time.Minute // that Alertmanager holds an alarm for firing after the last
	maxAlerts  = 500             // in one request
	amEndpoint = "/api/v2/alerts"
)

// An alertmanager posts alerts to Alertmanager's API v2: firing until keepHold from now, or resolved.
type alertmanager struct{ poster }

// An amAlert is a postable alert of the API.
type amAlert struct {
	Labels      map[string]string `json:"labels"` // encoding/json writes maps in the order of their keys
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// Send implements Notifier.
func (a *alertmanager) Send(ctx context.Context, m Message, _, _ string) Outcome {
	token, _, broken := a.ch.withSecret()
	if broken != nil {
		return *broken
	}
	var headers map[string]string
	if token != "" {
		headers = map[string]string{"Authorization": "Bearer " + token}
	}
	now := time.Now().UTC()
	alerts := make([]amAlert, len(m.Events))
	for i, e := range m.Events {
		alerts[i] = alertOf(e, now)
		alerts[i].Annotations["fallback"] = m.From
		if m.From == "" {
			delete(alerts[i].Annotations, "fallback")
		}
		if m.Form == FormTest {
			alerts[i].Labels["test"] = "true"
			alerts[i].EndsAt = now.Add(keepEvery)
		}
	}
	var o Outcome
	for len(alerts) > 0 && o.Class == ClassAccepted {
		n := min(len(alerts), maxAlerts)
		_, o = a.post(ctx, a.ch.url()+amEndpoint, headers, mustJSON(alerts[:n]))
		alerts = alerts[n:]
	}
	return o
}

// alertOf is an event as an alert. Its labels stay the same from one event of the alarm to the next unless the level changes.
func alertOf(e Event, now time.Time) amAlert {
	parts := append(strings.SplitN(e.Region, "/", 3), "", "", "")
	out := amAlert{
		Labels: map[string]string{
			"alertname": e.Rule, "severity": string(e.Level), "alarm": e.ID, "mn": e.MN, "outlet": e.Outlet, "enterprise": e.Enterprise,
			"province": parts[0], "city": parts[1], "county": parts[2], "factor": e.Factor, "statistic": string(e.Statistic),
		},
		Annotations: map[string]string{
			"summary": e.Head() + " " + e.Enterprise + " " + e.Place() + " " + e.FactorName() + e.StatisticName() + " " + e.Measured() + "(限值 " + e.Bound() + ")",
			"window":  e.Window(), "value": e.Value.String(), "limit": e.Limit.String(), "unit": e.Unit, "times_over": e.TimesOver.String(), "basis": e.Basis,
			"rule_set": e.RuleSet,
		},
		StartsAt: e.RaisedAt.UTC(), EndsAt: now.Add(keepHold),
	}
	for k, v := range out.Labels {
		if v == "" {
			delete(out.Labels, k)
		}
	}
	if e.State.Ends() {
		out.EndsAt = now // not ClearedAt: a clear that comes late must end what was kept firing until now
		if out.StartsAt.After(now) {
			out.StartsAt = now
		}
	}
	return out
}
