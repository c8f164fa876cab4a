package alert

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"outfall/telemetry"
)

// Headers of a webhook's request. docs/alerts.md says how a receiver checks them.
const (
	HeaderTimestamp = "X-Outfall-Timestamp" // Unix time in seconds
	HeaderSignature = "X-Outfall-Signature" // "v1=" and the hex HMAC-SHA256 of "timestamp.body"
	HeaderKey       = "Idempotency-Key"     // WebhookBody.Key
)

// A webhook posts a signed WebhookBody. Any 2xx is its receipt.
type webhook struct{ poster }

// A WebhookBody is what a webhook gets: canonical JSON. Fields may be added; V changes when the meaning of one does.
type WebhookBody struct {
	V        int            `json:"v"`   // 1
	Key      string         `json:"key"` // the same for the same events on this channel
	Form     string         `json:"form"`
	Channel  string         `json:"channel"`
	Fallback string         `json:"fallback,omitempty"` // the channel that did not take it, and why
	Why      string         `json:"why,omitempty"`
	At       time.Time      `json:"at"`
	Events   []WebhookEvent `json:"events"`
}

// A WebhookEvent is one event. Its key never changes: a receiver that must not act twice looks at that.
type WebhookEvent struct {
	Key   string          `json:"key"`
	Alarm telemetry.Alarm `json:"alarm"`
}

// Send implements Notifier.
func (w *webhook) Send(ctx context.Context, m Message, _, _ string) Outcome {
	token, secret, broken := w.ch.withSecret()
	if broken != nil {
		return *broken
	}
	body := telemetry.AppendJSON(nil, webhookBody(w.ch, m))
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	headers := map[string]string{HeaderTimestamp: stamp, HeaderSignature: SignWebhook(stamp, body, secret), HeaderKey: m.Key}
	if token != "" {
		headers["Authorization"] = "Bearer " + token
	}
	_, o := w.post(ctx, w.ch.url(), headers, body)
	return o
}

func webhookBody(ch Channel, m Message) WebhookBody {
	b := WebhookBody{V: 1, Key: m.Key, Form: m.Form, Channel: ch.Name, Fallback: m.From, Why: m.Why, At: m.At.UTC().Truncate(time.Millisecond)}
	for _, e := range m.Events {
		b.Events = append(b.Events, WebhookEvent{e.Key, e.Alarm})
	}
	return b
}

// SignWebhook is the value of HeaderSignature.
func SignWebhook(stamp string, body []byte, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}
