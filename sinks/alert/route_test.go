package alert

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outfall/telemetry"
)

func TestRoutes(t *testing.T) {
	cfg := Config{Default: []string{"all"}, Routes: []Route{
		{Match: Match{AlarmMatch: telemetry.AlarmMatch{Factor: []string{"w21003"}}}, Channels: []string{"archive"}, Continue: true},
		{Match: Match{AlarmMatch: telemetry.AlarmMatch{Region: []string{"贵州省/贵阳市"}}}, Channels: []string{"city"}, Routes: []Route{
			{Match: Match{AlarmMatch: telemetry.AlarmMatch{Region: []string{"贵州省/贵阳市/清镇市"}}}, Channels: []string{"county"}, Continue: true},
			{Match: Match{Time: "18:00-08:00"}, Channels: []string{"night"}},
			{Match: Match{Weekday: []string{"sat", "sun"}}, Channels: []string{"weekend"}},
			{Match: Match{State: []telemetry.AlarmState{telemetry.AlarmCleared}}},
		}},
		{Match: Match{AlarmMatch: telemetry.AlarmMatch{Level: []telemetry.AlarmLevel{telemetry.LevelWarning}}}, Discard: true},
	}}
	monday := time.Date(2026, 3, 2, 10, 0, 0, 0, telemetry.China)
	for _, c := range []struct {
		name, region, factor string
		level                telemetry.AlarmLevel
		state                telemetry.AlarmState
		at                   time.Time
		want                 string
	}{
		{"no route", "贵州省/遵义市/红花岗区", "w01018", "exceed", "raised", monday, "[all]"},
		{"continue, then none: not the default as well", "贵州省/遵义市/红花岗区", "w21003", "exceed", "raised", monday, "[archive]"},
		{"continue, then another", "贵州省/贵阳市/云岩区", "w21003", "exceed", "raised", monday, "[archive city]"},
		{"no inner route", "贵州省/贵阳市/云岩区", "w01018", "exceed", "raised", monday, "[city]"},
		{"inner route", "贵州省/贵阳市/清镇市", "w01018", "exceed", "raised", monday, "[county]"},
		{"inner continue", "贵州省/贵阳市/清镇市", "w01018", "exceed", "raised", monday.Add(10 * time.Hour), "[county night]"},
		{"before midnight", "贵州省/贵阳市/云岩区", "w01018", "exceed", "raised", monday.Add(8 * time.Hour), "[night]"},
		{"after midnight", "贵州省/贵阳市/云岩区", "w01018", "exceed", "raised", monday.Add(-3 * time.Hour), "[night]"},
		{"the span's end is outside", "贵州省/贵阳市/云岩区", "w01018", "exceed", "raised", monday.Add(-2 * time.Hour), "[city]"},
		{"another machine's zone", "贵州省/贵阳市/云岩区", "w01018", "exceed", "raised", monday.Add(8 * time.Hour).UTC(), "[night]"},
		{"saturday", "贵州省/贵阳市/云岩区", "w01018", "exceed", "raised", monday.AddDate(0, 0, 5), "[weekend]"},
		{"inherited channels", "贵州省/贵阳市/云岩区", "w01018", "exceed", "cleared", monday, "[city]"},
		{"discarded", "贵州省/遵义市/红花岗区", "w01018", "warning", "raised", monday, "[]"},
	} {
		a := telemetry.Alarm{Region: c.region, Factor: c.factor, Level: c.level, State: c.state}
		if got := fmt.Sprint(cfg.channelsOf(&a, c.at)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(secret, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	good := func() Config {
		c := DefaultConfig()
		c.Channels = []Channel{{Name: "a", Type: TypeWeCom, TokenFile: secret}, {Name: "b", Type: TypeWebhook, URL: "https://h/x", SecretFile: secret}}
		c.Default = []string{"a"}
		return c
	}
	if err := good().Validate(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"alert.channels[1].name: \"a\" is there twice":               func(c *Config) { c.Channels[1].Name = "a" },
		"alert.channels[0].fallback: \"a\" leads back to itself":     func(c *Config) { c.Channels[0].Fallback, c.Channels[1].Fallback = "b", "a" },
		"alert.channels[0].fallback: there is no channel":            func(c *Config) { c.Channels[0].Fallback = "x" },
		"alert.channels[0].token_file: is missing":                   func(c *Config) { c.Channels[0].TokenFile = "" },
		"alert.channels[0].secret_file: a channel of type wecom has": func(c *Config) { c.Channels[0].SecretFile = secret },
		"alert.channels[1].secret_file: is missing":                  func(c *Config) { c.Channels[1].SecretFile = "" },
		"alert.channels[1].url: holds more than the address":         func(c *Config) { c.Channels[1].URL = "https://h/x?key=1" },
		"alert.channels[1].template: a channel of type webhook":      func(c *Config) { c.Channels[1].Template = secret },
		"alert.channels[0].type: \"pigeon\" is none of":              func(c *Config) { c.Channels[0].Type = "pigeon" },
		"alert.channels[0].per_minute: 1 is not":                     func(c *Config) { c.Channels[0].PerMinute = 1 },
		"alert.default: names no channel":                            func(c *Config) { c.Default = nil },
		"alert.routes[0].channels: there is no channel \"z\"":        func(c *Config) { c.Routes = []Route{{Channels: []string{"z"}}} },
		"alert.routes[0].channels: names no channel":                 func(c *Config) { c.Routes = []Route{{}} },
		"alert.routes[0].discard: goes with":                         func(c *Config) { c.Routes = []Route{{Discard: true, Channels: []string{"a"}}} },
		"alert.deadline: 1s is not in":                               func(c *Config) { c.Deadline = time.Second },
	} {
		c := good()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s, got %v", want, err)
		}
	}
}
