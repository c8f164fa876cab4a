package alert

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mailServer speaks enough SMTP for one connection after the other. Its answers to the named verbs are replaced; it keeps the texts.
func mailServer(t *testing.T, answers map[string]string) (address string, texts chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	texts = make(chan string, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serveMail(conn, answers, texts)
		}
	}()
	return l.Addr().String(), texts
}

func serveMail(conn net.Conn, answers map[string]string, texts chan<- string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	reply := func(verb, usual string) bool {
		if a, ok := answers[verb]; ok {
			usual = a
		}
		fmt.Fprintf(conn, "%s\r\n", usual)
		return strings.HasPrefix(usual, "2") || strings.HasPrefix(usual, "3")
	}
	reply("hello", "220 test")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch verb {
		case "EHLO":
			reply("EHLO", "250-test\r\n250 AUTH LOGIN")
		case "AUTH":
			for _, prompt := range []string{"Username:", "Password:"} {
				fmt.Fprintf(conn, "334 %s\r\n", base64.StdEncoding.EncodeToString([]byte(prompt)))
				got, _ := r.ReadString('\n')
				b, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(got))
				texts <- string(b)
			}
			reply("AUTH", "235 ok")
		case "DATA":
			if !reply("DATA", "354 go on") {
				continue
			}
			var b strings.Builder
			for {
				line, err := r.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				b.WriteString(line)
			}
			if reply("text", "250 2.0.0 queued as Q17") {
				texts <- b.String()
			}
		case "QUIT":
			reply("QUIT", "221 bye")
			return
		default:
			reply(verb, "250 ok")
		}
	}
}

func mailChannel(t *testing.T, address string) Channel {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("mail-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Channel{Name: "mail", Type: TypeSMTP, SMTP: SMTP{Server: address, TLS: TLSNone, User: "outfall", PasswordFile: password,
		From: "排口报警 <outfall@example.org>", To: []string{"duty@example.org", "值班 <night@example.org>"}}}
}

// A mail has the server's queue id as its receipt, and is what mail programs read.
func TestMail(t *testing.T) {
	address, texts := mailServer(t, nil)
	o := send(t, mailChannel(t, address), nil)
	if o.Class != ClassAccepted || o.Status != 250 || !strings.Contains(o.Receipt, "queued as Q17") {
		t.Fatalf("%+v", o)
	}
	if user, password := <-texts, <-texts; user != "outfall" || password != "mail-secret" {
		t.Errorf("login as %q, %q", user, password)
	}
	m, err := mail.ReadMessage(strings.NewReader(<-texts))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || !strings.HasPrefix(subject, "【超标报警】观山湖区") {
		t.Errorf("subject %q, %v", subject, err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[1].Name != "值班" {
		t.Errorf("to %v, %v", to, err)
	}
	if id := m.Header.Get("Message-ID"); !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, "@example.org>") {
		t.Errorf("Message-ID %q", id)
	}
	body, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, m.Body))
	if err != nil || !strings.Contains(string(body), "化学需氧量") || strings.Contains(strings.ReplaceAll(string(body), "\r\n", ""), "\n") {
		t.Errorf("body %q, %v", body, err)
	}
}

func TestMailAnswers(t *testing.T) {
	for _, c := range []struct {
		verb, answer string
		class        Class
		status       int
	}{
		{"hello", "421 busy", ClassLater, 421},
		{"hello", "554 go away", ClassRefused, 554},
		{"AUTH", "535 wrong password", ClassBroken, 535},
		{"MAIL", "451 later", ClassLater, 451},
		{"RCPT", "550 nobody", ClassRefused, 550},
		{"RCPT", "450 greylisted", ClassLater, 450},
		{"DATA", "452 full", ClassLater, 452},
		{"text", "554 spam", ClassRefused, 554},
		{"QUIT", "500 what", ClassAccepted, 250},
	} {
		address, _ := mailServer(t, map[string]string{c.verb: c.answer})
		o := send(t, mailChannel(t, address), nil)
		if o.Class != c.class || o.Status != c.status || strings.Contains(o.Why, "mail-secret") {
			t.Errorf("%s %s: %+v", c.verb, c.answer, o)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // it never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n, err := NewNotifier(mailChannel(t, l.Addr().String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if o := n.Send(ctx, SampleMessage(FormAlarm, "mail", time.Now()), "t", "b"); o.Class != ClassLater {
		t.Errorf("a silent server: %+v", o)
	}
	// What must be encrypted is not sent otherwise.
	address, texts := mailServer(t, nil)
	ch := mailChannel(t, address)
	ch.SMTP.TLS = TLSStart
	if o := send(t, ch, nil); o.Class != ClassBroken || len(texts) > 0 {
		t.Errorf("without STARTTLS: %+v", o)
	}
}
