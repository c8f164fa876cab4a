package alert

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"outfall/telemetry"
)

// EventOf is an event of the topic as messages have it.
func EventOf(a telemetry.Alarm, pos telemetry.Position) Event {
	return Event{Alarm: a, Key: eventKey(a.ID, pos)}
}

// MessageOf is a message with its key.
func MessageOf(channel, form string, m Message, events ...Event) Message {
	m.Form, m.Events = form, events
	m.Key = messageKey(channel, events)
	return m
}

// ChannelsOf names the channels that an event gets, by the routes, at the moment of m.
func (c Config) ChannelsOf(e Event, m Message) []string { return c.channelsOf(&e.Alarm, m.At) }

// Preview is what a channel would be sent: title and body, or the JSON of a channel without templates, of the first taken events of m.
func Preview(ch Channel, m Message) (title, body string, taken int, err error) {
	r, err := newRenderer(ch)
	switch {
	case err != nil:
		return "", "", 0, err
	case r != nil:
		return r.render(m)
	case ch.Type == TypeAlertmanager:
		alerts := make([]amAlert, len(m.Events))
		for i, e := range m.Events {
			alerts[i] = alertOf(e, m.At)
		}
		return "", string(mustJSON(alerts)), len(m.Events), nil
	}
	return "", string(telemetry.AppendJSON(nil, webhookBody(ch, m))), len(m.Events), nil
}

// SendTest sends a marked test message, once, outside of the budget of the process that delivers.
func SendTest(ctx context.Context, ch Channel, m Message) (Outcome, error) {
	n, err := NewNotifier(ch, nil)
	if err != nil {
		return Outcome{}, err
	}
	var title, body string
	r, err := newRenderer(ch)
	if err == nil && r != nil {
		title, body, _, err = r.render(m)
	}
	if err != nil {
		return Outcome{}, err
	}
	return n.Send(ctx, m, title, body), nil
}

// Reach finds out whether the channel's server can be reached, without sending a message: any answer over HTTP counts; a mail server must take
// the login.
func Reach(ctx context.Context, ch Channel) error {
	if ch.Type == TypeSMTP {
		c, o := (&mailer{ch: ch}).login(ctx)
		if c == nil {
			return errors.New(o.Why)
		}
		defer c.Close()
		return c.Quit()
	}
	client, err := ch.client(nil)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, ch.url(), nil)
	if err != nil {
		return errors.New("the address cannot be used")
	}
	resp, err := client.Do(req)
	if err != nil {
		return errors.New(withoutURL(err))
	}
	resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return nil
}
