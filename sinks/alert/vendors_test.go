package alert

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// A vendor is a server of ours that enforces what a vendor documents: signature, size and rate. Written from the documents, not from the notifiers.
type vendor struct {
	typ, token, secret string

	mu        sync.Mutex // guards the rest
	messages  []received
	rate      []time.Time // accepted requests
	mutedTill time.Time
	mutes     int // times that it muted or throttled the robot
	refused   []string
	answer    func(n int) (status int, body string, take bool) // instead of the rules; n counts from 1
	requests  int
}

type received struct {
	at         time.Time
	title      string
	text, body string
	key        string
	header     http.Header
}

// serve makes the channel that reaches the vendor without a network, with its secrets in files.
func (v *vendor) channel(t testing.TB, name string) Channel {
	t.Helper()
	v.token, v.secret = "token-"+name, "SEC-"+name
	file := func(kind, content string) string {
		path := filepath.Join(t.TempDir(), kind)
		if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ch := Channel{Name: name, Type: v.typ, TokenFile: file("token", v.token)}
	switch v.typ {
	case TypeDingTalk, TypeFeishu:
		ch.SecretFile = file("secret", v.secret)
	case TypeWebhook:
		ch.SecretFile, ch.URL = file("secret", v.secret), "http://hook.invalid/in"
	case TypeAlertmanager:
		ch.URL = "http://am.invalid"
	}
	return ch
}

// RoundTrip implements http.RoundTripper: the network that leads to the vendor alone.
func (v *vendor) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	return w.Result(), nil
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests++
	if v.answer != nil {
		status, text, take := v.answer(v.requests)
		if status != 0 {
			if take {
				v.take(r, body)
			}
			w.WriteHeader(status)
			io.WriteString(w, text)
			return
		}
	}
	code, why := v.check(r, body)
	if code != 0 {
		v.refused = append(v.refused, why)
	} else {
		v.take(r, body)
	}
	switch v.typ {
	case TypeFeishu:
		fmt.Fprintf(w, `{"code":%d,"msg":%q,"data":{}}`, code, why)
	case TypeDingTalk, TypeWeCom:
		fmt.Fprintf(w, `{"errcode":%d,"errmsg":%q}`, code, why)
	default:
		if code != 0 {
			w.WriteHeader(code)
		}
		io.WriteString(w, why)
	}
}

func (v *vendor) take(r *http.Request, body []byte) {
	m := received{at: time.Now(), body: string(body), header: r.Header, key: r.Header.Get("Idempotency-Key")}
	var f struct {
		Markdown struct{ Title, Text, Content string }
		Card     struct {
			Header   struct{ Title struct{ Content string } }
			Elements []struct{ Content string }
		}
	}
	if json.Unmarshal(body, &f) == nil {
		m.title, m.text = f.Markdown.Title+f.Card.Header.Title.Content, f.Markdown.Text+f.Markdown.Content
		for _, e := range f.Card.Elements {
			m.text += e.Content
		}
	}
	v.messages = append(v.messages, m)
}

func (v *vendor) check(r *http.Request, body []byte) (code int, why string) {
	switch v.typ {
	case TypeDingTalk:
		return v.checkDingTalk(r, body)
	case TypeWeCom:
		return v.checkWeCom(r, body)
	case TypeFeishu:
		return v.checkFeishu(r, body)
	case TypeWebhook:
		return v.checkWebhook(r, body)
	}
	return 0, "ok"
}

// within reports whether one more request keeps to limit in period.
func (v *vendor) within(limit int, period time.Duration) bool {
	n := 0
	for _, at := range v.rate {
		if time.Since(at) < period {
			n++
		}
	}
	return n < limit
}

func (v *vendor) checkDingTalk(r *http.Request, body []byte) (int, string) {
	q := r.URL.Query()
	if q.Get("access_token") != v.token {
		return 300005, "token is not exist"
	}
	ms, err := strconv.ParseInt(q.Get("timestamp"), 10, 64)
	mac := hmac.New(sha256.New, []byte(v.secret))
	fmt.Fprintf(mac, "%d\n%s", ms, v.secret)
	if err != nil || time.Since(time.UnixMilli(ms)).Abs() > time.Hour || q.Get("sign") != base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		return 310000, "sign not match"
	}
	if len(body) > 20000 {
		return 460101, "message too long"
	}
	if time.Now().Before(v.mutedTill) {
		return 130101, "send too fast"
	}
	if !v.within(20, time.Minute) {
		v.mutes++
		v.mutedTill = time.Now().Add(10 * time.Minute)
		return 130101, "send too fast, exceed 20 times per minute"
	}
	v.rate = append(v.rate, time.Now())
	return 0, "ok"
}

func (v *vendor) checkWeCom(r *http.Request, body []byte) (int, string) {
	var m struct {
		MsgType  string
		Markdown struct{ Content string }
	}
	switch {
	case r.URL.Query().Get("key") != v.token:
		return 93000, "invalid webhook url"
	case json.Unmarshal(body, &m) != nil || m.MsgType != "markdown" || m.Markdown.Content == "" || !utf8.ValidString(m.Markdown.Content):
		return 40058, "invalid Request Parameter"
	case len(m.Markdown.Content) > 4096:
		return 40058, "markdown.content exceed max length 4096"
	case !v.within(20, time.Minute):
		v.mutes++
		return 45009, "api freq out of limit"
	}
	v.rate = append(v.rate, time.Now())
	return 0, "ok"
}

func (v *vendor) checkFeishu(r *http.Request, body []byte) (int, string) {
	var m struct {
		Timestamp, Sign string
		MsgType         string `json:"msg_type"`
	}
	if !strings.HasSuffix(r.URL.Path, "/"+v.token) {
		return 19001, "incoming webhook access token invalid"
	}
	if json.Unmarshal(body, &m) != nil || m.MsgType == "" {
		return 9499, "Bad Request"
	}
	s, err := strconv.ParseInt(m.Timestamp, 10, 64)
	mac := hmac.New(sha256.New, fmt.Appendf(nil, "%d\n%s", s, v.secret))
	now := time.Now()
	switch {
	case err != nil || now.Sub(time.Unix(s, 0)).Abs() > time.Hour || m.Sign != base64.StdEncoding.EncodeToString(mac.Sum(nil)):
		return 19021, "sign match fail or timestamp is not within one hour from current time"
	case len(body) > 20*1024:
		return 9499, "Bad Request: too large"
	case now.Minute()%30 == 0 && now.Second() < 3: // everybody sends then
		v.mutes++
		return 11232, "frequency limited psm[lark.oapi.app_platform_runtime]"
	case !v.within(100, time.Minute) || !v.within(5, time.Second):
		v.mutes++
		return 11232, "frequency limited"
	}
	v.rate = append(v.rate, now)
	return 0, "success"
}

func (v *vendor) checkWebhook(r *http.Request, body []byte) (int, string) {
	stamp := r.Header.Get("X-Outfall-Timestamp")
	s, err := strconv.ParseInt(stamp, 10, 64)
	mac := hmac.New(sha256.New, []byte(v.secret))
	mac.Write(bytes.Join([][]byte{[]byte(stamp), body}, []byte(".")))
	if err != nil || time.Since(time.Unix(s, 0)).Abs() > 5*time.Minute || r.Header.Get("X-Outfall-Signature") != "v1="+hex.EncodeToString(mac.Sum(nil)) {
		return 401, "bad signature"
	}
	return 0, "ok"
}

func (v *vendor) got() []received {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]received(nil), v.messages...)
}

// text is all that people could read.
func (v *vendor) text() string {
	var b strings.Builder
	for _, m := range v.got() {
		b.WriteString(m.title + "\n" + m.text + "\n" + m.body + "\n")
	}
	return b.String()
}
