package alert

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Whatever stands in the registry, a message has the vendor's size and whole characters, and holds the first events whole.
func TestMessagesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch := Channel{Name: "c", Type: rapid.SampledFrom([]string{TypeDingTalk, TypeWeCom, TypeFeishu, TypeSMTP}).Draw(t, "type")}
		r, err := newRenderer(ch)
		if err != nil {
			t.Fatal(err)
		}
		m := SampleMessage(FormDigest, "c", sampleTime)
		one := m.Events[0]
		m.Events = nil
		for i := range rapid.IntRange(1, 80).Draw(t, "events") {
			e := one
			e.Outlet = fmt.Sprintf("W%04d", i)
			e.Enterprise = strings.Repeat(rapid.SampledFrom([]string{"某", "x", "🏭", "\xff", "\"", "\x01"}).Draw(t, "letter"), rapid.IntRange(0, 3000).Draw(t, "length"))
			m.Events = append(m.Events, e)
		}
		title, body, n, err := r.render(m)
		if err != nil {
			t.Fatal(err)
		}
		if n < 1 || n > len(m.Events) || r.size(body) > r.limit || len(title) > maxTitle {
			t.Fatalf("%d of %d events, body %d of %d bytes, title %d", n, len(m.Events), len(body), r.limit, len(title))
		}
		if strings.HasSuffix(body, "…") && n > 1 {
			t.Fatalf("%d events, and yet cut", n)
		}
		if valid := strings.ToValidUTF8(body, ""); !strings.Contains(body, "\xff") && valid != body {
			t.Fatal("half a character")
		}
	})
}

func TestCut(t *testing.T) {
	for limit := 3; limit < 20; limit++ {
		got := cut("总排口化学需氧量", limit)
		if len(got) > limit || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
			t.Errorf("limit %d: %q", limit, got)
		}
	}
	if got := cut("总排口", 9); got != "总排口" {
		t.Errorf("%q", got)
	}
}

// A name cannot make a link, a heading or a mention.
func TestNamesAreNoMarkdown(t *testing.T) {
	r, err := newRenderer(Channel{Name: "c", Type: TypeWeCom})
	if err != nil {
		t.Fatal(err)
	}
	m := SampleMessage(FormAlarm, "c", sampleTime)
	m.Events[0].OutletName, m.Events[0].Enterprise = "[点击](http://evil)<@all>", "a\n# b"
	title, body, _, err := r.render(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"[点击]", "<@all>", "\n# b"} {
		if strings.Contains(title+body, bad) {
			t.Errorf("%q is in the message:\n%s", bad, body)
		}
	}
}

// A template file replaces what it defines; one that fails is refused when it is read.
func TestTemplateFile(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "t.tmpl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	r, err := newRenderer(Channel{Name: "c", Type: TypeWeCom, Template: file(`{{define "body"}}{{range .Events}}{{.FactorName}}={{.Value}};{{end}}{{end}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if title, body, _, err := r.render(SampleMessage(FormAlarm, "c", sampleTime)); err != nil || body != "化学需氧量=97.62;" || !strings.HasPrefix(title, "【超标报警】") {
		t.Errorf("%q %q %v", title, body, err)
	}
	for _, bad := range []string{`{{define "body"}}`, `{{define "body"}}{{.Frob}}{{end}}`, `{{define "body"}}{{(index .Events 7).ID}}{{end}}`} {
		if _, err := newRenderer(Channel{Name: "c", Type: TypeWeCom, Template: file(bad)}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
