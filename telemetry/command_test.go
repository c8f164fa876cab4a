package telemetry

import (
	"strings"
	"testing"
	"time"
)

func TestCommandValidate(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	good := Command{ID: "20260301-080000-ABC_1", MN: "010000A8900016F000169DC0", CN: "1061", Operator: "li", Created: now, NotAfter: now.Add(MaxValidity)}
	if err := good.Validate(); err != nil {
		t.Errorf("a good command: %v", err)
	}
	for field, change := range map[string]func(*Command){
		"id":       func(c *Command) { c.ID = "a b" },
		"mn":       func(c *Command) { c.MN = "a;b" },
		"cn":       func(c *Command) { c.CN = "10611" },
		"operator": func(c *Command) { c.Operator = "" },
		"reason":   func(c *Command) { c.Reason = strings.Repeat("x", 1025) },
		"created":  func(c *Command) { c.Created = time.Time{} },
		"notAfter": func(c *Command) { c.NotAfter = c.Created.Add(MaxValidity + 1) },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("bad %s: %v", field, err)
		}
	}
}

func TestSteps(t *testing.T) {
	finals := 0
	for _, s := range Steps() {
		if s.Final() {
			finals++
		}
	}
	if len(Steps()) != 7 || finals != 4 {
		t.Errorf("%d steps, %d of them final", len(Steps()), finals)
	}
}
