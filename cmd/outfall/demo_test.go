package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"outfall/deploy/sample"
	"outfall/telemetry"
)

// TestDemoFinding: the line says which factor of the outlet it is about.
func TestDemoFinding(t *testing.T) {
	var out bytes.Buffer
	d := &demo{app: &app{stdout: &out}, seen: map[string]bool{}, shown: map[telemetry.FindingKind]int{}, findings: map[telemetry.FindingKind]int{}}
	for _, f := range []telemetry.Finding{
		{Kind: telemetry.FindingNotNumeric, MN: "A", Outlet: "W25", Factor: "w01018", Detail: "no number"},
		{Kind: telemetry.FindingOffline, MN: "B", Outlet: "W26", Detail: "no frame"},
	} {
		if err := d.finding(&f); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"  FINDING not_numeric: outlet W25 w01018 化学需氧量: no number\n", "  FINDING offline: outlet W26: no frame\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %q, want %q in it", out.String(), want)
		}
	}
}

// TestExamplesAreOfTheSample: who copies an example of the help or of README after `make run` names a device or outlet that is there.
func TestExamplesAreOfTheSample(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(readme)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		text += c.Example + "\n"
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(newRoot(&app{}))
	named := regexp.MustCompile(`(?:--mn|--outlet|device tail) ([A-Z0-9-]+)`).FindAllStringSubmatch(text, -1)
	if len(named) < 5 {
		t.Fatalf("found only %v", named)
	}
	for _, m := range named {
		if m[1] != "MN" && !strings.Contains(string(sample.Registry), m[1]+",") {
			t.Errorf("%q names nothing of the sample registry", m[0])
		}
	}
}
