package alert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Class is what a server's answer means for what is to be done next.
type Class uint8

const (
	ClassAccepted Class = iota
	ClassLater          // it will pass: connection, timeout, too many, 5xx
	ClassRefused        // this message will never be taken; others may
	ClassBroken         // nothing will be taken until somebody changes the configuration: unknown robot, wrong signature
)

var classNames = [...]string{ClassAccepted: "accepted", ClassLater: "later", ClassRefused: "refused", ClassBroken: "broken"}

// String is the class as a metric label.
func (c Class) String() string { return classNames[c] }

// An Outcome is what one request came to.
type Outcome struct {
	Class   Class
	Status  int           // HTTP status or SMTP reply code of the answer; 0: none came
	Code    int           // the vendor's own, where it has one
	Receipt string        // what the server calls the message, or its answer; at most 200 bytes
	Why     string        // of every class but accepted: one line, never with a secret
	After   time.Duration // ClassLater: not before so long
}

// A Notifier gives one message to the channel's server. It never blocks beyond ctx. title and body are the renderer's; empty for channels
// without one.
type Notifier interface {
	Send(ctx context.Context, m Message, title, body string) Outcome
}

// NewNotifier makes the notifier of a channel; transport carries HTTP instead of the network, nil for that.
func NewNotifier(ch Channel, transport http.RoundTripper) (Notifier, error) {
	if ch.Type == TypeSMTP {
		return &mailer{ch: ch}, nil
	}
	client, err := ch.client(transport)
	if err != nil {
		return nil, err
	}
	post := poster{client: client, ch: ch}
	switch ch.Type {
	case TypeDingTalk:
		return &dingTalk{post}, nil
	case TypeWeCom:
		return &weCom{post}, nil
	case TypeFeishu:
		return &feishu{post}, nil
	case TypeWebhook:
		return &webhook{post}, nil
	case TypeAlertmanager:
		return &alertmanager{post}, nil
	}
	return nil, fmt.Errorf("channel %s: type %q is not known", ch.Name, ch.Type)
}

// client is the channel's HTTP client. It follows no redirect: a message would go where nobody configured.
func (ch Channel) client(transport http.RoundTripper) (*http.Client, error) {
	if transport == nil {
		t := &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true}
		if ch.Proxy != "" {
			u, err := url.Parse(ch.Proxy)
			if err != nil {
				return nil, fmt.Errorf("channel %s: proxy: not a URL", ch.Name)
			}
			t.Proxy = http.ProxyURL(u)
		}
		conf, err := ch.tls()
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig = conf
		transport = t
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// tls is how the channel's server is checked.
func (ch Channel) tls() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if ch.CAFile != "" {
		pool, err := authorities(ch.CAFile)
		if err != nil {
			return nil, fmt.Errorf("channel %s: %w", ch.Name, err)
		}
		conf.RootCAs = pool
	}
	return conf, nil
}

func authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return pool, nil
}

// A poster sends JSON over HTTP.
type poster struct {
	client *http.Client
	ch     Channel
}

const (
	maxAnswer  = 64 << 10 // bytes of an answer that are read
	maxReceipt = 200      // bytes of it that are kept
)

// post sends body to address and gives the answer. The outcome is final unless its class is accepted: then a vendor's own code, in the answer,
// decides.
func (p *poster) post(ctx context.Context, address string, headers map[string]string, body []byte) ([]byte, Outcome) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, Outcome{Class: ClassBroken, Why: "the address cannot be used"} // not the error: it repeats the address, with the token
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "outfall")
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, Outcome{Class: ClassLater, Why: withoutURL(err)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	o := Outcome{Status: resp.StatusCode, Receipt: receipt(answer)}
	switch code := resp.StatusCode; {
	case err != nil:
		o.Class, o.Why = ClassLater, withoutURL(err)
	case code >= 200 && code < 300:
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500:
		o.Class, o.Why, o.After = ClassLater, answered(code, answer), retryAfter(resp.Header)
	case code == http.StatusBadRequest, code == http.StatusRequestEntityTooLarge, code == http.StatusUnprocessableEntity, code == http.StatusConflict:
		o.Class, o.Why = ClassRefused, answered(code, answer)
	default: // 401, 403, 404, a redirect: another address or another secret is needed
		o.Class, o.Why = ClassBroken, answered(code, answer)
	}
	return answer, o
}

// withoutURL is the error of a request without its address, which holds the token.
func withoutURL(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return receipt([]byte(err.Error()))
}

func answered(code int, answer []byte) string {
	text := fmt.Sprintf("HTTP %d", code)
	if len(answer) > 0 {
		text += ": " + receipt(answer)
	}
	return text
}

// receipt is what is kept of an answer: one line.
func receipt(answer []byte) string {
	text := strings.ToValidUTF8(string(answer[:min(len(answer), 4*maxReceipt)]), "")
	return cut(strings.Join(strings.Fields(text), " "), maxReceipt)
}

// retryAfter reads the header of that name, in seconds; at most an hour is believed.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, time.Hour)
}

// withSecret reads the channel's secret files; broken is the outcome when one cannot be read.
func (ch Channel) withSecret() (token, secret string, broken *Outcome) {
	token, err := secretOf(ch.TokenFile)
	if err == nil {
		secret, err = secretOf(ch.SecretFile)
	}
	if err != nil {
		return "", "", &Outcome{Class: ClassBroken, Why: err.Error()}
	}
	return token, secret, nil
}

// A verdict is what a vendor's code means.
type verdict struct {
	class Class
	after time.Duration
}

// judge decides by the vendor's code: 0 is accepted, a code that is not listed may pass.
func judge(o Outcome, code int, text string, table map[int]verdict) Outcome {
	o.Code = code
	if code == 0 {
		return o
	}
	v, ok := table[code]
	if !ok {
		v = verdict{class: ClassLater}
	}
	o.Class, o.After, o.Why = v.class, v.after, receipt([]byte(fmt.Sprintf("%d %s", code, text)))
	return o
}

// mustJSON is for values of our own types, which always have a form.
func mustJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("alert: %T has no JSON form: %v", v, err))
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
