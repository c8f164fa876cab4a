//go:build integration

package alert

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// need is the value of an environment variable that deploy/local/servers.sh sets. Without its server a test proves nothing: it is an error.
func need(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run make integration", name)
	}
	return v
}

// TestAlertMail gives mails to Debian's aiosmtpd: with STARTTLS and with TLS from the first byte, the login checked, and the authority.
func TestAlertMail(t *testing.T) {
	dir := need(t, "OUTFALL_TEST_SMTP_DIR")
	plain, implicit, _ := strings.Cut(need(t, "OUTFALL_TEST_SMTP"), " ")
	for mode, address := range map[string]string{TLSStart: plain, TLSImplicit: implicit} {
		t.Run(mode, func(t *testing.T) {
			ch := Channel{Name: "mail", Type: TypeSMTP, CAFile: filepath.Join(dir, "cert.pem"), SMTP: SMTP{Server: address, TLS: mode, User: "outfall",
				PasswordFile: filepath.Join(dir, "password"), From: "排口报警 <outfall@example.org>", To: []string{"duty@example.org", "nobody@example.org"}}}
			if err := Reach(t.Context(), ch); err != nil {
				t.Fatal(err)
			}
			o := send(t, ch, nil)
			if o.Class != ClassAccepted || o.Status != 250 || !strings.Contains(o.Receipt, "1 of 2 recipients refused") {
				t.Fatalf("%+v", o)
			}
			_, n, ok := strings.Cut(o.Receipt, "queued as T")
			if !ok {
				t.Fatalf("no queue id in %q", o.Receipt)
			}
			raw, err := os.ReadFile(filepath.Join(dir, "mail", n+".eml"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := mail.ReadMessage(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			subject, _ := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			body, _ := io.ReadAll(base64.NewDecoder(base64.StdEncoding, m.Body))
			if !strings.HasPrefix(subject, "【超标报警】") || !strings.Contains(string(body), "97.62 mg/L") || m.Header.Get("X-Recipients") != "duty@example.org" {
				t.Errorf("%q to %q: %s", subject, m.Header.Get("X-Recipients"), body)
			}

			wrong := ch
			wrong.SMTP.PasswordFile = filepath.Join(t.TempDir(), "wrong")
			if err := os.WriteFile(wrong.SMTP.PasswordFile, []byte("wrong"), 0o600); err != nil {
				t.Fatal(err)
			}
			if o := send(t, wrong, nil); o.Class != ClassBroken || o.Status != 535 {
				t.Errorf("with a wrong password: %+v", o)
			}
			stranger := ch
			stranger.CAFile = ""
			if o := send(t, stranger, nil); o.Class != ClassBroken || !strings.Contains(o.Why, "certificate") {
				t.Errorf("with an unknown authority: %+v", o)
			}
		})
	}
}

// TestAlertAlertmanager keeps an alarm firing in a real Alertmanager, as amtool sees it, changes its level, and resolves it.
func TestAlertAlertmanager(t *testing.T) {
	url := need(t, "OUTFALL_TEST_ALERTMANAGER")
	ch := Channel{Name: "am", Type: TypeAlertmanager, URL: url}
	if err := Reach(t.Context(), ch); err != nil {
		t.Fatal(err)
	}
	c := cluster(t)
	s := runSink(t, hookConfig(ch), c)
	w := newWriter(t, c)
	rule := fmt.Sprintf("rule%d", time.Now().UnixNano())
	alarm := func(state telemetry.AlarmState, level telemetry.AlarmLevel) {
		w.alarm(1, func(a *telemetry.Alarm) { a.Rule, a.State, a.Level = rule, state, level })
	}
	alarm(telemetry.AlarmRaised, telemetry.LevelWarning)
	eventually(t, "amtool shows the alarm", func() bool { return firing(t, url, rule) == "warning" })
	alarm(telemetry.AlarmUpdated, telemetry.LevelExceed)
	eventually(t, "amtool shows the level", func() bool { return firing(t, url, rule) == "exceed" })
	s.stop()
	s = runSink(t, hookConfig(ch), c)
	eventually(t, "it works again", func() bool { return s.Stats().Working })
	alarm(telemetry.AlarmCleared, telemetry.LevelExceed)
	eventually(t, "amtool shows the end", func() bool { return firing(t, url, rule) == "" })
	for _, n := range notices(t, c, telemetry.TopicActions) {
		if n.Notice.Result != telemetry.NoticeAccepted || n.Notice.Status != 200 {
			t.Errorf("%+v", n.Notice)
		}
	}
}

// firing lists the severities of a rule's alerts that amtool calls active, with what else must be right.
func firing(t *testing.T, url, rule string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "amtool", "--alertmanager.url="+url, "alert", "query", "--output=json", "alertname="+rule).CombinedOutput()
	if err != nil {
		t.Fatalf("amtool: %v: %s", err, out)
	}
	var alerts []struct {
		Labels, Annotations map[string]string
		Status              struct{ State string }
	}
	if err := json.Unmarshal(out, &alerts); err != nil {
		t.Fatalf("amtool: %v: %s", err, out)
	}
	var severities []string
	for _, a := range alerts {
		if a.Labels["county"] != "观山湖区" || a.Annotations["value"] != "97.62" || !strings.Contains(a.Annotations["summary"], "化学需氧量") {
			t.Errorf("%+v", a)
		}
		severities = append(severities, a.Labels["severity"])
	}
	return strings.Join(severities, " ")
}

// TestKafkaAlert delivers on Apache Kafka: each event once, two processes, a restart.
func TestKafkaAlert(t *testing.T) {
	conf := broker.DefaultConfig()
	conf.Brokers = []string{need(t, "OUTFALL_TEST_KAFKA")}
	conf.TopicPrefix, conf.Partitions, conf.ReplicationFactor = fmt.Sprintf("alert%d.", time.Now().UnixNano()), 3, 1
	c := broker.Remote(conf)
	if _, err := c.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, ch := hook(t, "hook")
	first, second := runSink(t, hookConfig(ch), c), runSink(t, hookConfig(ch), c)
	w := newWriter(t, c)
	for n := range 20 {
		w.alarm(n, nil)
	}
	eventually(t, "20 events", func() bool { return len(heard(v)) >= 20 })
	eventually(t, "one works", func() bool { return first.Stats().Working != second.Stats().Working })
	if second.Stats().Working {
		first, second = second, first
	}
	first.stop()
	for n := range 20 {
		w.alarm(20+n, nil)
	}
	eventually(t, "40 events", func() bool { return len(heard(v)) >= 40 })
	second.stop()
	if got := heard(v); len(got) != 40 {
		t.Errorf("heard %v", got)
	}
	if got := len(notices(t, c, telemetry.TopicJournal)); got != 40 {
		t.Errorf("the journal has %d receipts", got)
	}
}
