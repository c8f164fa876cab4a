package alert

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"
)

// A mailer sends mail, one message a connection.
type mailer struct{ ch Channel }

// Send implements Notifier. The receipt is the server's answer to the text, which names its queue id.
func (s *mailer) Send(ctx context.Context, m Message, title, body string) Outcome {
	c, o := s.login(ctx)
	if c == nil {
		return o
	}
	defer c.Close()
	return s.deliver(c, m, title, body)
}

// login connects as far as a message can be given; without a client the outcome says why.
func (s *mailer) login(ctx context.Context) (*smtp.Client, Outcome) {
	password, err := secretOf(s.ch.SMTP.PasswordFile)
	if err != nil {
		return nil, Outcome{Class: ClassBroken, Why: err.Error()}
	}
	conf, err := s.ch.tls()
	if err != nil {
		return nil, Outcome{Class: ClassBroken, Why: err.Error()}
	}
	c, err := s.dial(ctx, conf)
	if err != nil {
		return nil, mailOutcome("connect", err)
	}
	if o := s.secure(c, conf, password); o.Class != ClassAccepted {
		c.Close()
		return nil, o
	}
	return c, Outcome{}
}

// secure encrypts and authenticates as configured.
func (s *mailer) secure(c *smtp.Client, conf *tls.Config, password string) Outcome {
	if s.ch.SMTP.TLS == TLSStart {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return Outcome{Class: ClassBroken, Why: "the server offers no STARTTLS"}
		}
		if err := c.StartTLS(conf); err != nil {
			return mailOutcome("STARTTLS", err)
		}
	}
	if s.ch.SMTP.User == "" {
		return Outcome{}
	}
	if err := c.Auth(s.auth(c, conf.ServerName, password)); err != nil {
		o := mailOutcome("AUTH", err)
		if o.Class == ClassRefused {
			o.Class = ClassBroken
		}
		return o
	}
	return Outcome{}
}

// dial connects and says hello; conf gets the server's name. Everything on the connection ends with ctx.
func (s *mailer) dial(ctx context.Context, conf *tls.Config) (*smtp.Client, error) {
	host, _, err := net.SplitHostPort(s.ch.SMTP.Server)
	if err != nil {
		return nil, err
	}
	conf.ServerName = host
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.ch.SMTP.Server)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			conn.Close()
			return nil, err
		}
	}
	if s.ch.SMTP.TLS == TLSImplicit {
		conn = tls.Client(conn, conf)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// auth is PLAIN, or LOGIN where the server offers only that, as Exchange does.
func (s *mailer) auth(c *smtp.Client, host, password string) smtp.Auth {
	if _, offered := c.Extension("AUTH"); strings.Contains(offered, "LOGIN") && !strings.Contains(offered, "PLAIN") {
		return &loginAuth{host: host, user: s.ch.SMTP.User, password: password}
	}
	return smtp.PlainAuth("", s.ch.SMTP.User, password, host)
}

// loginAuth is the mechanism LOGIN: user and password, each after a prompt. Like PLAIN of net/smtp it wants TLS, or loopback.
type loginAuth struct{ host, user, password string }

// Start implements smtp.Auth.
func (a *loginAuth) Start(server *smtp.ServerInfo) (string, []byte, error) {
	if ip := net.ParseIP(server.Name); !server.TLS && server.Name != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", nil, errors.New("no password over an unencrypted connection")
	}
	if server.Name != a.host {
		return "", nil, errors.New("wrong host name")
	}
	return "LOGIN", nil, nil
}

// Next implements smtp.Auth.
func (a *loginAuth) Next(prompt []byte, more bool) ([]byte, error) {
	switch {
	case !more:
		return nil, nil
	case strings.HasPrefix(strings.ToLower(string(prompt)), "user"):
		return []byte(a.user), nil
	case strings.HasPrefix(strings.ToLower(string(prompt)), "pass"):
		return []byte(a.password), nil
	}
	return nil, fmt.Errorf("unknown prompt of AUTH LOGIN")
}

// deliver gives the message to a server that lets us.
func (s *mailer) deliver(c *smtp.Client, m Message, title, body string) Outcome {
	from, err := mail.ParseAddress(s.ch.SMTP.From)
	if err != nil {
		return Outcome{Class: ClassBroken, Why: "from is no address"}
	}
	if err := c.Mail(from.Address); err != nil {
		return mailOutcome("MAIL", err)
	}
	refused := 0
	for _, text := range s.ch.SMTP.To {
		to, err := mail.ParseAddress(text)
		if err == nil {
			err = c.Rcpt(to.Address)
		}
		if err != nil {
			if refused++; refused == len(s.ch.SMTP.To) {
				return mailOutcome("RCPT", err)
			}
		}
	}
	// Not c.Data: it drops the answer, which is the receipt.
	id, err := c.Text.Cmd("DATA")
	if err != nil {
		return mailOutcome("DATA", err)
	}
	c.Text.StartResponse(id)
	_, _, err = c.Text.ReadResponse(354)
	c.Text.EndResponse(id)
	if err != nil {
		return mailOutcome("DATA", err)
	}
	w := c.Text.DotWriter()
	_, err = w.Write(s.text(m, title, body))
	if err := errors.Join(err, w.Close()); err != nil {
		return mailOutcome("text", err)
	}
	code, answer, err := c.Text.ReadResponse(250)
	if err != nil {
		return mailOutcome("text", err)
	}
	_ = c.Quit() // it has the message already
	o := Outcome{Status: code, Receipt: receipt([]byte(answer))}
	if refused > 0 {
		o.Receipt = receipt([]byte(fmt.Sprintf("%d of %d recipients refused; %s", refused, len(s.ch.SMTP.To), answer)))
	}
	return o
}

// text is the mail with its headers.
func (s *mailer) text(m Message, title, body string) []byte {
	var b strings.Builder
	header := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	from, _ := mail.ParseAddress(s.ch.SMTP.From)
	to := make([]string, 0, len(s.ch.SMTP.To))
	for _, t := range s.ch.SMTP.To {
		if a, err := mail.ParseAddress(t); err == nil {
			to = append(to, a.String())
		}
	}
	domain := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	header("From", from.String())
	header("To", strings.Join(to, ",\r\n "))
	header("Subject", mime.BEncoding.Encode("utf-8", title))
	header("Date", m.At.Format(time.RFC1123Z))
	header("Message-ID", "<"+m.Key+"@"+domain+">") // the same when it is sent again: mail programs show it once
	header("Auto-Submitted", "auto-generated")
	header("X-Outfall-Key", m.Key)
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "base64")
	b.WriteString("\r\n")
	encoded := base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(body, "\n", "\r\n")))
	for len(encoded) > 0 {
		n := min(len(encoded), 76)
		b.WriteString(encoded[:n] + "\r\n")
		encoded = encoded[n:]
	}
	return []byte(b.String())
}

// mailOutcome decides by the reply code: 5xx never, the rest later.
func mailOutcome(step string, err error) Outcome {
	o := Outcome{Class: ClassLater, Why: receipt([]byte(step + ": " + err.Error()))}
	var reply *textproto.Error
	if errors.As(err, &reply) {
		o.Status = reply.Code
		if reply.Code >= 500 {
			o.Class = ClassRefused
		}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		o.Class = ClassBroken
	}
	return o
}
