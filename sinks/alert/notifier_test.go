package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outfall/telemetry"
)

// send gives a sample message to a channel.
func send(t *testing.T, ch Channel, transport http.RoundTripper) Outcome {
	t.Helper()
	n, err := NewNotifier(ch, transport)
	if err != nil {
		t.Fatal(err)
	}
	m := SampleMessage(FormAlarm, ch.Name, time.Now())
	title, body, _, err := Preview(ch, m)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return n.Send(ctx, m, title, body)
}

// The signatures, sizes and addresses are as documented; wrong ones are known for what they are.
func TestVendorsAccept(t *testing.T) {
	for _, typ := range []string{TypeDingTalk, TypeWeCom, TypeFeishu, TypeWebhook} {
		t.Run(typ, func(t *testing.T) {
			v := &vendor{typ: typ}
			ch := v.channel(t, "c")
			if o := send(t, ch, v); o.Class != ClassAccepted || len(v.got()) != 1 || o.Status != 200 || o.Receipt == "" {
				t.Errorf("%+v, refused %q", o, v.refused)
			}
			wrong := func(file string) {
				if err := os.WriteFile(file, []byte("other"), 0o600); err != nil {
					t.Fatal(err)
				}
				if o := send(t, ch, v); o.Class != ClassBroken || o.Why == "" {
					t.Errorf("with a wrong secret: %+v", o)
				}
			}
			if ch.SecretFile != "" {
				wrong(ch.SecretFile)
			}
			if typ != TypeWebhook {
				wrong(ch.TokenFile)
			}
			if err := os.Remove(ch.TokenFile); err != nil {
				t.Fatal(err)
			}
			if o := send(t, ch, v); o.Class != ClassBroken {
				t.Errorf("without its file: %+v", o)
			}
		})
	}
}

// The signatures of fixed inputs, computed with openssl.
func TestSignatures(t *testing.T) {
	for name, c := range map[string][2]string{
		"dingtalk": {signDingTalk("1700000000000", "SECabc"), "jcUpW0QmtKduN03n4JqQ0PBosVjqnM8gU7fIIvsDmCM="},
		"feishu":   {signFeishu("1700000000", "SECabc"), "XprR1de+0SSBnwWyU/4k6x2TL+Q2SJlM5NNEdAv7MWg="},
		"webhook":  {SignWebhook("1700000000", []byte(`{"v":1}`), "SECabc"), "v1=4cdf57163221255e48937a933f5c3b7fa77048e43200143bbf2bac7a830c1707"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %s, want %s", name, c[0], c[1])
		}
	}
}

// What vendors answer in a vendor's way.
func TestVendorCodes(t *testing.T) {
	for _, c := range []struct {
		typ, answer string
		status      int
		class       Class
		code        int
		after       time.Duration
	}{
		{TypeDingTalk, `{"errcode":130101,"errmsg":"send too fast"}`, 200, ClassLater, 130101, 10 * time.Minute},
		{TypeDingTalk, `{"errcode":460101,"errmsg":"too long"}`, 200, ClassRefused, 460101, 0},
		{TypeDingTalk, `{"errcode":777,"errmsg":"new"}`, 200, ClassLater, 777, 0},
		{TypeDingTalk, `<html>login</html>`, 200, ClassLater, 0, 0},
		{TypeDingTalk, `{}`, 200, ClassLater, 0, 0},
		{TypeWeCom, `{"errcode":45009,"errmsg":"api freq out of limit"}`, 200, ClassLater, 45009, time.Minute},
		{TypeWeCom, `{"errcode":93000,"errmsg":"invalid webhook url"}`, 200, ClassBroken, 93000, 0},
		{TypeFeishu, `{"code":11232,"msg":"frequency limited"}`, 200, ClassLater, 11232, 10 * time.Second},
		{TypeFeishu, `{"code":11232,"msg":"frequency limited"}`, 400, ClassLater, 11232, 10 * time.Second},
		{TypeFeishu, `{"code":19021,"msg":"sign match fail"}`, 200, ClassBroken, 19021, 0},
		{TypeFeishu, `nginx`, 400, ClassRefused, 0, 0},
		{TypeWebhook, `gone`, 404, ClassBroken, 0, 0},
		{TypeWebhook, `busy`, 503, ClassLater, 0, 0},
		{TypeWebhook, `no`, 422, ClassRefused, 0, 0},
		{TypeAlertmanager, `bad`, 400, ClassRefused, 0, 0},
	} {
		v := &vendor{typ: c.typ, answer: func(int) (int, string, bool) { return c.status, c.answer, false }}
		o := send(t, v.channel(t, "c"), v)
		if o.Class != c.class || o.Code != c.code || o.After != c.after || o.Status != c.status || o.Why == "" {
			t.Errorf("%s %d %s: %+v", c.typ, c.status, c.answer, o)
		}
	}
}

// A secret is in no outcome, whatever fails, and so in no log, receipt or message of a fallback.
func TestSecretsStaySecret(t *testing.T) {
	for _, typ := range []string{TypeDingTalk, TypeWeCom, TypeFeishu, TypeWebhook} {
		v := &vendor{typ: typ}
		ch := v.channel(t, "c")
		for name, transport := range map[string]http.RoundTripper{
			"connection": roundTrip(func(r *http.Request) (*http.Response, error) { return nil, errors.New("refused") }),
			"timeout":    roundTrip(func(r *http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded }),
			"network":    nil,
		} {
			if transport == nil {
				ch.URL = "http://127.0.0.1:1/x"
			}
			o := send(t, ch, transport)
			if text := o.Why + o.Receipt; o.Class != ClassLater || text == "" || strings.Contains(text, v.token) || strings.Contains(text, v.secret) {
				t.Errorf("%s, %s: %+v", typ, name, o)
			}
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A private build: its own address, its own authority, and a proxy on the way.
func TestPrivateBuild(t *testing.T) {
	v := &vendor{typ: TypeDingTalk}
	ch := v.channel(t, "ding")
	server := httptest.NewTLSServer(v)
	defer server.Close()
	ch.URL = server.URL + "/robot/send"
	if o := send(t, ch, nil); o.Class != ClassLater || !strings.Contains(o.Why, "certificate") {
		t.Errorf("with an unknown authority: %+v", o)
	}
	ch.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ch.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := send(t, ch, nil); o.Class != ClassAccepted {
		t.Errorf("with its authority: %+v", o)
	}
	if err := Reach(t.Context(), ch); err != nil {
		t.Errorf("reach: %v", err)
	}
	connects := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connects++
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	ch.Proxy = proxy.URL
	if o := send(t, ch, nil); o.Class != ClassLater || connects != 1 {
		t.Errorf("by a proxy: %+v, %d requests there", o, connects)
	}
}

// A server that never ends its answer takes no more memory than an answer may have, and no more time than the request.
func TestEndlessAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 32<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	v := &vendor{typ: TypeWebhook}
	ch := v.channel(t, "c")
	ch.URL = server.URL
	if o := send(t, ch, nil); o.Class != ClassAccepted || len(o.Receipt) > maxReceipt {
		t.Errorf("%+v", o)
	}
}

// What Alertmanager gets: the same labels through the alarm's life, an end in the future while it is open, the present when it is over.
func TestAlertmanagerAlerts(t *testing.T) {
	now := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	e := SampleMessage(FormAlarm, "am", sampleTime).Events[0]
	firing := alertOf(e, now)
	if firing.EndsAt.Sub(now) != keepHold || !firing.StartsAt.Equal(e.RaisedAt) || firing.Labels["county"] != "观山湖区" || firing.Labels["severity"] != "exceed" {
		t.Errorf("%+v", firing)
	}
	e.State, e.Value = telemetry.AlarmCleared, 40*telemetry.FixedOne
	cleared := alertOf(e, now)
	if !cleared.EndsAt.Equal(now) {
		t.Errorf("cleared: %+v", cleared)
	}
	if a, b := string(mustJSON(firing.Labels)), string(mustJSON(cleared.Labels)); a != b {
		t.Errorf("labels changed: %s, %s", a, b)
	}
	e.Region = "贵州省"
	if a := alertOf(e, now); a.Labels["province"] != "贵州省" || a.Labels["city"] != "" {
		t.Errorf("%+v", a.Labels)
	}
	var back []amAlert
	if err := json.Unmarshal(mustJSON([]amAlert{firing}), &back); err != nil {
		t.Error(err)
	}
}
