package alert

import (
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"outfall/telemetry"
)

// Config sets the delivery of alarms. Start from DefaultConfig: the zero value is not valid.
type Config struct {
	// Channels are where alarms can go, at most 64. None: alarms are delivered nowhere.
	Channels []Channel `yaml:"channels"`
	// Default names the channels of alarms that no route takes.
	Default []string `yaml:"default"`
	// Routes are tried in their order; the first that matches takes the alarm, and those after it only if it says continue.
	Routes []Route `yaml:"routes"`
	// GroupWait is how long an alarm waits for others of its county and rule, to go out in one message, 0..1 min. It is part of the delay of
	// every message.
	GroupWait time.Duration `yaml:"group_wait"`
	// Patience is how long a message waits for a channel that does not take it before its fallback is tried, 1 s..1 h.
	Patience time.Duration `yaml:"patience"`
	// Deadline is the age at which an event that could not be delivered is given up, and how far back the first start looks, 1 min..7 days. What is
	// given up is in the journal, in the log as an error, and counted.
	Deadline time.Duration `yaml:"deadline"`
	// Timeout of one request, 100 ms..30 s. A shutdown and a change of the process that works wait for the requests in flight.
	Timeout time.Duration `yaml:"timeout"`
	// MaxPending is how many events may wait for delivery, 100..100000; at the bound the topic is not read.
	MaxPending int `yaml:"max_pending"`
	// Transport carries the HTTP requests instead of the network, for simulations; nil: the network.
	Transport http.RoundTripper `yaml:"-"`
}

// Types of channels.
const (
	TypeDingTalk     = "dingtalk"
	TypeWeCom        = "wecom"
	TypeFeishu       = "feishu"
	TypeWebhook      = "webhook"
	TypeSMTP         = "smtp"
	TypeAlertmanager = "alertmanager"
)

// Types lists the types of channels.
func Types() []string {
	return []string{TypeDingTalk, TypeWeCom, TypeFeishu, TypeWebhook, TypeSMTP, TypeAlertmanager}
}

// Which updates of an alarm a channel gets. An alarm that is raised or cleared goes to every channel of its route.
const (
	UpdatesLevel = "level" // those that change the level: an early warning that became an exceedance
	UpdatesAll   = "all"
)

// A Channel is one receiver. What its type does not know must be empty.
type Channel struct {
	Name string `yaml:"name"` // 1..32 characters of 0-9 A-Z a-z - _; a metric label
	Type string `yaml:"type"` // one of Types
	// URL is where messages go, http or https. Robots have a default, the vendor's public service; private builds have their own. For Alertmanager it is
	// the server's root, without /api/v2.
	URL string `yaml:"url"`
	// TokenFile holds what names the robot: DingTalk's access_token, WeCom's key, the last part of Feishu's URL. For a webhook or Alertmanager: a bearer
	// token, or none. Files of secrets are read at each request, so that they can be changed while the program runs.
	TokenFile string `yaml:"token_file"`
	// SecretFile holds the key of the signature: DingTalk and Feishu (empty: the robot does not check signatures), webhook.
	SecretFile string `yaml:"secret_file"`
	// CAFile is a PEM file of the authorities that sign the server's certificate; empty: the system's.
	CAFile string `yaml:"ca_file"`
	// Proxy is the HTTP proxy, http://HOST:PORT; empty: none, whatever the environment says.
	Proxy string `yaml:"proxy"`
	// PerMinute is the vendor's limit on messages, of which four fifths are used; 0: the type's own (dingtalk 20, wecom 20, feishu 100, smtp 60; the others
	// have none), -1: no limit.
	PerMinute int `yaml:"per_minute"`
	// Updates is level or all; empty: all for webhook and alertmanager, level for what people read.
	Updates string `yaml:"updates"`
	// Fallback names the channel that is tried when this one does not take a message; its message says why.
	Fallback string `yaml:"fallback"`
	// Template is a file with templates that replace the built-in ones; see docs/alerts.md. Not for webhook and alertmanager.
	Template string `yaml:"template"`
	// Mention lists the mobile numbers of people whom a DingTalk robot's message mentions, at most 20.
	Mention []string `yaml:"mention"`
	SMTP    SMTP     `yaml:"smtp"`
}

// SMTP is what a channel of type smtp needs.
type SMTP struct {
	Server string `yaml:"server"` // HOST:PORT
	// TLS is starttls (needed, not only offered), implicit (from the first byte, usually port 465) or none (loopback, or a network that is trusted).
	TLS          string   `yaml:"tls"`
	User         string   `yaml:"user"`          // empty: no authentication
	PasswordFile string   `yaml:"password_file"` //
	From         string   `yaml:"from"`          // address, with a name or without
	To           []string `yaml:"to"`            // addresses, 1..50
}

// TLS modes of SMTP.
const (
	TLSStart    = "starttls"
	TLSImplicit = "implicit"
	TLSNone     = "none"
)

// DefaultConfig delivers nowhere: it has no channel.
func DefaultConfig() Config {
	return Config{
		GroupWait:  300 * time.Millisecond,
		Patience:   2 * time.Minute,
		Deadline:   24 * time.Hour,
		Timeout:    10 * time.Second,
		MaxPending: 10_000,
	}
}

// On reports whether there is anywhere to deliver to.
func (c Config) On() bool { return len(c.Channels) > 0 }

const (
	maxChannels = 64
	maxRoutes   = 1000
	maxDepth    = 8 // of routes in routes
)

// A checker collects faults, each under its key.
type checker struct{ errs []error }

func (k *checker) bad(key, format string, args ...any) {
	k.errs = append(k.errs, fmt.Errorf("alert."+key+": "+format, args...))
}

// Validate reports every fault at once, each under its key in the file.
func (c Config) Validate() error {
	k := &checker{}
	duration := func(key string, v, low, high time.Duration) {
		if v < low || v > high {
			k.bad(key, "%v is not in %v..%v", v, low, high)
		}
	}
	duration("group_wait", c.GroupWait, 0, time.Minute)
	duration("patience", c.Patience, time.Second, time.Hour)
	duration("deadline", c.Deadline, time.Minute, 7*24*time.Hour)
	duration("timeout", c.Timeout, 100*time.Millisecond, 30*time.Second)
	if c.MaxPending < 100 || c.MaxPending > 100_000 {
		k.bad("max_pending", "%d is not in 100..100000", c.MaxPending)
	}
	if len(c.Channels) > maxChannels {
		k.bad("channels", "are %d, at most %d", len(c.Channels), maxChannels)
	}
	seen := map[string]bool{}
	for i, ch := range c.Channels {
		key := fmt.Sprintf("channels[%d]", i)
		if seen[ch.Name] {
			k.bad(key+".name", "%q is there twice", ch.Name)
		}
		seen[ch.Name] = true
		ch.validate(k, key)
	}
	for i, ch := range c.Channels {
		if why := c.badFallback(ch); why != "" {
			k.bad(fmt.Sprintf("channels[%d].fallback", i), "%s", why)
		}
	}
	if c.On() && len(c.Default) == 0 {
		k.bad("default", "names no channel: alarms that no route takes would be lost")
	}
	c.known(k, "default", c.Default)
	if n := c.validateRoutes(k, "routes", c.Routes, 1); n > maxRoutes {
		k.bad("routes", "are %d, at most %d", n, maxRoutes)
	}
	return errors.Join(k.errs...)
}

// known wants the names of channels.
func (c Config) known(k *checker, key string, names []string) {
	for _, n := range names {
		if c.channel(n) == nil {
			k.bad(key, "there is no channel %q", n)
		}
	}
}

func (c Config) channel(name string) *Channel {
	if i := slices.IndexFunc(c.Channels, func(ch Channel) bool { return ch.Name == name }); i >= 0 {
		return &c.Channels[i]
	}
	return nil
}

// badFallback says what is wrong with the way that a message takes from ch.
func (c Config) badFallback(ch Channel) string {
	first := ch.Name
	for range c.Channels {
		if ch.Fallback == "" {
			return ""
		}
		next := c.channel(ch.Fallback)
		switch {
		case next == nil:
			return fmt.Sprintf("there is no channel %q", ch.Fallback)
		case next.Name == first:
			return fmt.Sprintf("%q leads back to itself", first)
		}
		ch = *next
	}
	return "" // a circle that does not come by here: its own channels report it
}

func (c Config) validateRoutes(k *checker, key string, routes []Route, depth int) int {
	if depth > maxDepth && len(routes) > 0 {
		k.bad(key, "are nested deeper than %d", maxDepth)
		return 0
	}
	n := len(routes)
	for i := range routes {
		r := &routes[i]
		at := fmt.Sprintf("%s[%d]", key, i)
		r.Match.validate(k, at+".match")
		c.known(k, at+".channels", r.Channels)
		if r.Discard && (len(r.Channels) > 0 || len(r.Routes) > 0) {
			k.bad(at+".discard", "goes with neither channels nor routes")
		}
		if !r.Discard && len(r.Channels) == 0 && depth == 1 {
			k.bad(at+".channels", "names no channel; discard: true drops what matches")
		}
		n += c.validateRoutes(k, at+".routes", r.Routes, depth+1)
	}
	return n
}

func (ch Channel) validate(k *checker, key string) {
	if ch.Name == "" || len(ch.Name) > 32 || strings.Trim(ch.Name, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_") != "" {
		k.bad(key+".name", "%q is not 1..32 characters of 0-9 A-Z a-z - _", ch.Name)
	}
	if !slices.Contains(Types(), ch.Type) {
		k.bad(key+".type", "%q is none of %s", ch.Type, strings.Join(Types(), ", "))
		return
	}
	if ch.Updates != "" && ch.Updates != UpdatesAll && ch.Updates != UpdatesLevel {
		k.bad(key+".updates", "%q is neither level nor all", ch.Updates)
	}
	if ch.PerMinute < -1 || ch.PerMinute == 1 || ch.PerMinute > 100_000 {
		k.bad(key+".per_minute", "%d is not -1, 0 or 2..100000", ch.PerMinute)
	}
	if len(ch.Mention) > 0 && ch.Type != TypeDingTalk || len(ch.Mention) > 20 {
		k.bad(key+".mention", "is for dingtalk, at most 20")
	}
	secret := func(field, file string, needed, allowed bool) {
		switch {
		case file == "" && needed:
			k.bad(key+"."+field, "is missing")
		case file != "" && !allowed:
			k.bad(key+"."+field, "a channel of type %s has none", ch.Type)
		case file != "":
			if _, err := secretOf(file); err != nil {
				k.bad(key+"."+field, "%w", err)
			}
		}
	}
	robot := ch.Type == TypeDingTalk || ch.Type == TypeWeCom || ch.Type == TypeFeishu
	secret("token_file", ch.TokenFile, robot, ch.Type != TypeSMTP)
	secret("secret_file", ch.SecretFile, ch.Type == TypeWebhook, ch.Type == TypeDingTalk || ch.Type == TypeFeishu || ch.Type == TypeWebhook)
	secret("smtp.password_file", ch.SMTP.PasswordFile, ch.SMTP.User != "", ch.Type == TypeSMTP && ch.SMTP.User != "")
	if ch.CAFile != "" {
		if _, err := authorities(ch.CAFile); err != nil {
			k.bad(key+".ca_file", "%w", err)
		}
	}
	if ch.Template != "" {
		if ch.Type == TypeWebhook || ch.Type == TypeAlertmanager {
			k.bad(key+".template", "a channel of type %s has a fixed form", ch.Type)
		} else if _, err := newRenderer(ch); err != nil {
			k.bad(key+".template", "%w", err)
		}
	}
	ch.validateServer(k, key)
}

// validateServer checks where the channel is.
func (ch Channel) validateServer(k *checker, key string) {
	plain := func(field, text string) {
		u, err := url.Parse(text)
		switch {
		case err != nil:
			k.bad(key+"."+field, "not a URL") // not the error: it repeats the text, which may hold a secret
		case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			k.bad(key+"."+field, "want http://HOST:PORT/... or https://HOST/...")
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			k.bad(key+"."+field, "holds more than the address: put what is secret into token_file")
		}
	}
	if ch.Proxy != "" {
		plain("proxy", ch.Proxy)
	}
	if ch.Type != TypeSMTP {
		if ch.url() == "" {
			k.bad(key+".url", "is missing")
		} else {
			plain("url", ch.url())
		}
		if ch.SMTP.Server != "" || ch.SMTP.TLS != "" || ch.SMTP.User != "" || ch.SMTP.From != "" || len(ch.SMTP.To) > 0 {
			k.bad(key+".smtp", "is for type smtp")
		}
		return
	}
	if ch.URL != "" || ch.Proxy != "" {
		k.bad(key+".url", "type smtp has smtp.server, and no proxy")
	}
	ch.SMTP.validate(k, key+".smtp")
}

func (s SMTP) validate(k *checker, key string) {
	if host, port, ok := strings.Cut(s.Server, ":"); !ok || host == "" || port == "" {
		k.bad(key+".server", "%q is not HOST:PORT", s.Server)
	}
	if s.TLS != TLSStart && s.TLS != TLSImplicit && s.TLS != TLSNone {
		k.bad(key+".tls", "%q is none of starttls, implicit, none", s.TLS)
	}
	if _, err := mail.ParseAddress(s.From); err != nil {
		k.bad(key+".from", "%q is no address", s.From)
	}
	if len(s.To) < 1 || len(s.To) > 50 {
		k.bad(key+".to", "are %d addresses, not 1..50", len(s.To))
	}
	for _, to := range s.To {
		if _, err := mail.ParseAddress(to); err != nil {
			k.bad(key+".to", "%q is no address", to)
		}
	}
}

// publicURLs are the vendors' public services.
var publicURLs = map[string]string{
	TypeDingTalk: "https://oapi.dingtalk.com/robot/send",
	TypeWeCom:    "https://qyapi.weixin.qq.com/cgi-bin/webhook/send",
	TypeFeishu:   "https://open.feishu.cn/open-apis/bot/v2/hook",
}

// url is URL or its default.
func (ch Channel) url() string {
	if ch.URL != "" {
		return strings.TrimSuffix(ch.URL, "/")
	}
	return publicURLs[ch.Type]
}

// takes reports whether the channel gets an event of an alarm, of which before is the level of the event that came before; empty: none known.
func (ch Channel) takes(a *telemetry.Alarm, before telemetry.AlarmLevel) bool {
	if a.State != telemetry.AlarmUpdated || ch.Updates == UpdatesAll || ch.Updates == "" && (ch.Type == TypeWebhook || ch.Type == TypeAlertmanager) {
		return true
	}
	return before != a.Level
}

// secretOf is the content of a file of one line; empty without a file.
func secretOf(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return "", fmt.Errorf("%s does not hold one line", file)
	}
	return s, nil
}
