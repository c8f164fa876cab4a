package alert

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

// The group robots of DingTalk, WeCom and Feishu. All answer 200 with a code of their own; what the codes mean is their documentation's, or was
// seen; a code that is in no table is tried again until the channel's patience ends.

// dingTalk posts markdown to a DingTalk group robot. More than 20 messages a minute mute it for ten.
type dingTalk struct{ poster }

var dingTalkCodes = map[int]verdict{
	-1:     {ClassLater, 0},                // busy
	130101: {ClassLater, 10 * time.Minute}, // too fast: muted
	302033: {ClassLater, 10 * time.Minute}, // the same
	410100: {ClassLater, 10 * time.Minute}, // the same
	90030:  {ClassLater, 10 * time.Minute}, // webhook over limit
	310000: {class: ClassBroken},           // signature, keyword or address not accepted
	300001: {class: ClassBroken},           // token does not exist
	300005: {class: ClassBroken},           // the same
	400101: {class: ClassBroken},           // the same
	400102: {class: ClassBroken},           // robot switched off
	400013: {class: ClassBroken},           // the group is gone
	400105: {class: ClassRefused},          // form not supported
	460101: {class: ClassRefused},          // too long
	430101: {class: ClassRefused},          // a link that is held for unsafe
	430102: {class: ClassRefused},          // a text that is
	430103: {class: ClassRefused},          // a picture that is
}

type dingTalkText struct {
	MsgType  string `json:"msgtype"`
	Markdown struct {
		Title string `json:"title"`
		Text  string `json:"text"`
	} `json:"markdown"`
	At struct {
		Mobiles []string `json:"atMobiles,omitempty"`
	} `json:"at"`
}

// Send implements Notifier.
func (d *dingTalk) Send(ctx context.Context, m Message, title, body string) Outcome {
	token, secret, broken := d.ch.withSecret()
	if broken != nil {
		return *broken
	}
	q := url.Values{"access_token": {token}}
	if secret != "" {
		stamp := strconv.FormatInt(time.Now().UnixMilli(), 10)
		q.Set("timestamp", stamp)
		q.Set("sign", signDingTalk(stamp, secret))
	}
	msg := dingTalkText{MsgType: "markdown"}
	msg.Markdown.Title, msg.Markdown.Text = title, body
	for _, mobile := range d.ch.Mention {
		msg.Markdown.Text += " @" + mobile // only those whom the text names are mentioned
	}
	msg.At.Mobiles = d.ch.Mention
	return d.answer(ctx, d.ch.url()+"?"+q.Encode(), mustJSON(msg), dingTalkCodes)
}

// signDingTalk is base64(HMAC-SHA256) of "stamp\nsecret" under the secret; stamp is Unix time in milliseconds.
func signDingTalk(stamp, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "\n" + secret))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// weCom posts markdown to a WeCom group robot. It has no signature: the key is the secret.
type weCom struct{ poster }

var weComCodes = map[int]verdict{
	-1:    {ClassLater, 0},           // busy
	45009: {ClassLater, time.Minute}, // more than 20 a minute
	45033: {ClassLater, time.Minute}, // too many at once
	93000: {class: ClassBroken},      // no robot has this key
	93017: {class: ClassBroken},      // the robot is not in the group
	40008: {class: ClassRefused},     // message type
	40058: {class: ClassRefused},     // parameters, too long among them
	44004: {class: ClassRefused},     // no text
	45002: {class: ClassRefused},     // too long
}

type weComText struct {
	MsgType  string `json:"msgtype"`
	Markdown struct {
		Content string `json:"content"`
	} `json:"markdown"`
}

// Send implements Notifier. WeCom shows no title: the body's first line says what it is about.
func (w *weCom) Send(ctx context.Context, m Message, title, body string) Outcome {
	token, _, broken := w.ch.withSecret()
	if broken != nil {
		return *broken
	}
	msg := weComText{MsgType: "markdown"}
	msg.Markdown.Content = body
	return w.answer(ctx, w.ch.url()+"?"+url.Values{"key": {token}}.Encode(), mustJSON(msg), weComCodes)
}

// answer posts and judges by errcode.
func (p *poster) answer(ctx context.Context, address string, body []byte, table map[int]verdict) Outcome {
	answer, o := p.post(ctx, address, nil, body)
	if o.Class != ClassAccepted {
		return o
	}
	var a struct {
		Code *int   `json:"errcode"`
		Text string `json:"errmsg"`
	}
	if json.Unmarshal(answer, &a) != nil || a.Code == nil {
		o.Class, o.Why = ClassLater, "not the robot's answer: "+o.Receipt // a portal or a proxy before it
		return o
	}
	return judge(o, *a.Code, a.Text, table)
}

// feishu posts a card to a Feishu robot.
type feishu struct{ poster }

var feishuCodes = map[int]verdict{
	9499:  {ClassLater, 0},                // too many at once
	11232: {ClassLater, 10 * time.Second}, // the same, of the tenant; usual at the full hour
	19021: {class: ClassBroken},           // signature, or a clock that is wrong by an hour
	19022: {class: ClassBroken},           // address not accepted
	19024: {class: ClassBroken},           // keyword missing
	19001: {class: ClassBroken},           // no robot has this token
	19002: {class: ClassRefused},          // parameters
	19007: {class: ClassBroken},           // robot switched off
	19035: {class: ClassRefused},          // form of the card
	19036: {class: ClassRefused},          // not JSON
}

type feishuCard struct {
	Timestamp string `json:"timestamp,omitempty"`
	Sign      string `json:"sign,omitempty"`
	MsgType   string `json:"msg_type"`
	Card      struct {
		Config struct {
			Wide bool `json:"wide_screen_mode"`
		} `json:"config"`
		Header struct {
			Template string       `json:"template"`
			Title    feishuString `json:"title"`
		} `json:"header"`
		Elements []feishuString `json:"elements"`
	} `json:"card"`
}

type feishuString struct {
	Tag     string `json:"tag"`
	Content string `json:"content"`
}

// Send implements Notifier.
func (f *feishu) Send(ctx context.Context, m Message, title, body string) Outcome {
	token, secret, broken := f.ch.withSecret()
	if broken != nil {
		return *broken
	}
	msg := feishuCard{MsgType: "interactive"}
	if secret != "" {
		msg.Timestamp = strconv.FormatInt(time.Now().Unix(), 10)
		msg.Sign = signFeishu(msg.Timestamp, secret)
	}
	msg.Card.Config.Wide = true
	msg.Card.Header.Template = "orange"
	switch {
	case m.Form == FormTest:
		msg.Card.Header.Template = "blue"
	case m.Count("exceed") > 0:
		msg.Card.Header.Template = "red"
	case m.Count("cleared")+m.Count("withdrawn") == len(m.Events):
		msg.Card.Header.Template = "green"
	}
	msg.Card.Header.Title = feishuString{"plain_text", title}
	msg.Card.Elements = []feishuString{{"markdown", body}}
	answer, o := f.post(ctx, f.ch.url()+"/"+url.PathEscape(token), nil, mustJSON(msg))
	var a struct {
		Code *int   `json:"code"`
		Text string `json:"msg"`
	}
	known := json.Unmarshal(answer, &a) == nil && a.Code != nil
	switch {
	case known && (o.Class == ClassAccepted || o.Status == 400): // some refusals come with 400
		o.Class, o.Why = ClassAccepted, ""
		return judge(o, *a.Code, a.Text, feishuCodes)
	case o.Class == ClassAccepted:
		o.Class, o.Why = ClassLater, "not the robot's answer: "+o.Receipt
	}
	return o
}

// signFeishu is base64(HMAC-SHA256) of nothing under "stamp\nsecret"; stamp is Unix time in seconds.
func signFeishu(stamp, secret string) string {
	return base64.StdEncoding.EncodeToString(hmac.New(sha256.New, []byte(stamp+"\n"+secret)).Sum(nil))
}
