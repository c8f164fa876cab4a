package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConfigOrder: default < file < environment < flag, each with its origin.
func TestConfigOrder(t *testing.T) {
	file := writeFile(t, "kafka:\n  topic_prefix: a.\n  partitions: 4\ntcp:\n  listen: :1\n")
	env := []string{"OUTFALL_KAFKA_PARTITIONS=16", "OUTFALL_TCP_LISTEN=:2", "OUTFALL_KAFKA_BROKERS=x:1, y:2", "OUTFALL_CACHE=/c", "OUTFALL_TEST_KAFKA=x", "HOME=/"}
	cfg, l, err := loadConfig(file, "d", env, []override{{"--listen", "tcp.listen", ":3"}})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Kafka.TopicPrefix != "a." || cfg.Kafka.Partitions != 16 || cfg.TCP.Listen != ":3" || strings.Join(cfg.Kafka.Brokers, " ") != "x:1 y:2" {
		t.Errorf("prefix %q, partitions %d, listen %q, brokers %q", cfg.Kafka.TopicPrefix, cfg.Kafka.Partitions, cfg.TCP.Listen, cfg.Kafka.Brokers)
	}
	for key, want := range map[string]string{
		"kafka.topic_prefix": file + ":2:17", "kafka.partitions": "env OUTFALL_KAFKA_PARTITIONS", "tcp.listen": "flag --listen", "admin.log_level": "default",
	} {
		if got := l.settings[l.byKey[key]].origin.source; got != want {
			t.Errorf("%s comes from %q, want %q", key, got, want)
		}
	}
}

// TestConfigLinger: the embedded broker has its own default, and a set value wins.
func TestConfigLinger(t *testing.T) {
	for _, c := range []struct {
		file string
		want time.Duration
	}{
		{"", embeddedLinger},
		{"kafka:\n  brokers: [x:1]\n", defaultConfig("d").Ingest.Linger},
		{"ingest: {linger: 7ms}\n", 7 * time.Millisecond},
	} {
		cfg, _, err := loadConfig(writeFile(t, c.file), "d", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Ingest.Linger != c.want {
			t.Errorf("%q: linger %v, want %v", c.file, cfg.Ingest.Linger, c.want)
		}
	}
}

// TestConfigFaults: all faults of all sources at once, each at its place.
func TestConfigFaults(t *testing.T) {
	file := writeFile(t, "kafka:\n  partitons: 3\n  brokers: {a: b}\nfrob: 1\ninflux: [x]\nadmin:\n  log_level: loud\n  listen:\n")
	env := []string{"OUTFALL_KAFKA_PARTITIONS=many", "OUTFALL_KAFKA_BROKER=x:1"}
	_, _, err := loadConfig(file, "d", env, []override{{"--set", "tcp.lisen", "x"}, {"--listen", "tcp.listen", "x"}})
	if err == nil {
		t.Fatal("accepted")
	}
	if code := exitCode(err, true); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	for _, want := range []string{
		file + `:2:3: unknown key "kafka.partitons"; did you mean "kafka.partitions"?` + "\n     2 |   partitons: 3\n       |   ^",
		file + `:3:`,
		file + `:4:1: unknown key "frob"`,
		file + `:5:`,
		file + `:7:14: admin.log_level: log level "loud" is not`,
		`admin.listen: has no value`,
		`env OUTFALL_KAFKA_PARTITIONS: kafka.partitions: "many" is no whole number in range`,
		`env OUTFALL_KAFKA_BROKER: no setting has this variable`,
		`flag --set: unknown key "tcp.lisen"; did you mean "tcp.listen"?`,
		`flag --listen: tcp.listen: "x" is not host:port`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the faults do not contain %q:\n%v", want, err)
		}
	}
}

// TestConfigFencedNeedsKafka: the embedded broker's transactions are refused, with the reason, at the setting's place.
func TestConfigFencedNeedsKafka(t *testing.T) {
	file := writeFile(t, "stream:\n  eos: fenced\n")
	_, _, err := loadConfig(file, "d", nil, nil)
	if err == nil || exitCode(err, true) != exitUsage || !strings.Contains(err.Error(), file+":2:8: stream.eos: fenced needs Apache Kafka") ||
		!strings.Contains(err.Error(), "do not survive a kill") {
		t.Errorf("err = %v", err)
	}
	if _, _, err := loadConfig(file, "d", []string{"OUTFALL_KAFKA_BROKERS=x:1"}, nil); err != nil {
		t.Errorf("on Apache Kafka: %v", err)
	}
	if _, _, err := loadConfig(writeFile(t, "stream: {eos: exactly}\n"), "d", nil, nil); err == nil {
		t.Error("a mode that is none is accepted")
	}
}

func TestConfigSyntaxError(t *testing.T) {
	file := writeFile(t, "kafka:\n  brokers: [a\n")
	_, _, err := loadConfig(file, "d", nil, nil)
	if err == nil || !strings.Contains(err.Error(), file+":") {
		t.Errorf("err = %v, want a position in %s", err, file)
	}
}

// TestConfigTypes: every field of the configuration can be set from text, whatever its type.
func TestConfigTypes(t *testing.T) {
	l := newLoader(defaultConfig("d"))
	for i, s := range l.settings {
		if isTree(s.field) {
			continue // TestConfigTree
		}
		l.setText(i, origin{source: "test"}, strings.Trim(s.text(), `"[]`))
	}
	if err := l.err(); err != nil {
		t.Error(err)
	}
}

// TestConfigTree: lists of structs are read strictly, and what is wrong in them is shown at its place.
func TestConfigTree(t *testing.T) {
	token := writeFile(t, "secret\n")
	good := `alert:
  default: [duty]
  channels:
    - {name: duty, type: wecom, token_file: ` + token + `}
    - name: mail
      type: smtp
      smtp: {server: "mail:587", tls: starttls, from: "报警 <a@b.c>", to: [x@y.z]}
  routes:
    - match: {region: [贵州省/贵阳市], level: [exceed], time: 18:00-08:00}
      channels: [mail]
      routes:
        - match: {weekday: [sat, sun]}
          channels: [duty, mail]
`
	cfg, l, err := loadConfig(writeFile(t, good), "d", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := cfg.Alert; len(c.Channels) != 2 || c.Channels[1].SMTP.To[0] != "x@y.z" || c.Routes[0].Match.Region[0] != "贵州省/贵阳市" || c.Routes[0].Routes[0].Match.Weekday[1] != "sun" {
		t.Errorf("%+v", c)
	}
	if got := l.settings[l.byKey["alert.channels"]].text(); got != "2 entries" {
		t.Errorf("shown as %q", got)
	}
	for old, bad := range map[string][2]string{
		"level: [exceed]":   {"level: [loud]", `:9:41: alert.routes[0].match.level: "loud" is none of warning, exceed`},
		"weekday:":          {"weekdays:", `:12:19: alert.routes: unknown field "weekdays"`},
		"tls: starttls":     {"tls: perhaps", `alert.channels[1].smtp.tls: "perhaps" is none of`},
		"channels: [mail]":  {"channels: [post]", `:10:17: alert.routes[0].channels: there is no channel "post"`},
		"default: [duty]":   {"default: []", `:2:12: alert.default: names no channel`},
		"type: wecom":       {"type: wecom, smtp: {user: x}", `alert.channels[0].smtp: is for type smtp`},
		"time: 18:00-08:00": {"time: 18-08", `alert.routes[0].match.time: "18-08" is no span`},
	} {
		file := writeFile(t, strings.Replace(good, old, bad[0], 1))
		if _, _, err := loadConfig(file, "d", nil, nil); err == nil || !strings.Contains(err.Error(), bad[1]) {
			t.Errorf("%s: %v\nwant %s", bad[0], err, bad[1])
		}
	}
	if _, _, err := loadConfig("", "d", []string{"OUTFALL_ALERT_ROUTES=x"}, nil); err == nil || !strings.Contains(err.Error(), "can be set in a file alone") {
		t.Errorf("err = %v", err)
	}
}
