package ruletest

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"outfall/deploy/sample"
	"outfall/rules"
	"outfall/rules/rulefile"
)

// The sample's tests pass, and name every rule.
func TestSampleRules(t *testing.T) {
	f, err := rulefile.Read("rules.yaml", sample.Rules)
	if err != nil {
		t.Fatal(err)
	}
	results, coverage := Run(f)
	for _, r := range results {
		if len(r.Failures) > 0 {
			t.Errorf("%s: %s", r.Name, strings.Join(r.Failures, "\n"))
		}
	}
	for _, c := range coverage {
		if !c.Fires && !c.Quiet {
			t.Errorf("%s has no data in any test", c.Rule)
		}
	}
	if w := f.Warnings("rules.yaml", nil); len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
}

// Every rule file on the page about rules is right, and its tests pass; every name of a condition is on it.
func TestRulesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)\n```").FindAllSubmatch(page, -1)
	if len(blocks) < 3 {
		t.Fatalf("%d files on the page", len(blocks))
	}
	for _, b := range blocks {
		f, err := rulefile.Read("docs/rules.md", b[1])
		if err != nil {
			t.Error(err)
			continue
		}
		results, _ := Run(f)
		for _, r := range results {
			if len(r.Failures) > 0 {
				t.Errorf("%s: %s", r.Name, strings.Join(r.Failures, "\n"))
			}
		}
	}
	text := string(page)
	for _, n := range rules.GuardNames() {
		for _, name := range append(n.English, n.Chinese...) {
			if !strings.Contains(text, name) {
				t.Errorf("the page lacks %s", name)
			}
		}
	}
	for _, f := range rules.GuardFactors() {
		for _, name := range []string{f.Code, f.English, f.Chinese} {
			if !strings.Contains(text, name) {
				t.Errorf("the page lacks %s", name)
			}
		}
	}
}
