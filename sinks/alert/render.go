package alert

import (
	"embed"
	"fmt"
	"os"
	"strings"
	"text/template"
	"unicode/utf8"
)

//go:embed templates/*.tmpl
var builtIn embed.FS

// Limits of what the vendors take, in bytes of UTF-8.
const (
	dingTalkBody  = 20_000 // the whole request
	feishuBody    = 20_000 // the whole request
	weComMarkdown = 4096   // the content
	mailBody      = 100_000
	maxTitle      = 120 // of a title or subject
)

// maxTemplate bounds a template file in bytes.
const maxTemplate = 64 << 10

// A renderer makes texts of messages.
type renderer struct {
	templates *template.Template
	markdown  bool
	breaks    bool // a line must end in two spaces for the next to begin on a line of its own
	limit     int  // bytes of the body
	encoded   bool // as JSON has it
}

// newRenderer reads the channel's templates. The built-in "title" and "body" stand where its file does not define them.
func newRenderer(ch Channel) (*renderer, error) {
	r := &renderer{markdown: true}
	file := "templates/markdown.tmpl"
	switch ch.Type {
	case TypeDingTalk, TypeFeishu:
		r.limit, r.encoded = dingTalkBody-2000, true // for what stands around it
		r.breaks = ch.Type == TypeDingTalk
	case TypeWeCom:
		r.limit = weComMarkdown
	case TypeSMTP:
		r.markdown, r.limit, file = false, mailBody, "templates/text.tmpl"
	default:
		return nil, nil
	}
	src, err := builtIn.ReadFile(file)
	if err != nil {
		return nil, err
	}
	funcs := template.FuncMap{"inc": func(i int) int { return i + 1 }}
	if r.templates, err = template.New("built-in").Funcs(funcs).Option("missingkey=error").Parse(string(src)); err != nil {
		return nil, err
	}
	if ch.Template == "" {
		return r, nil
	}
	own, err := os.ReadFile(ch.Template)
	if err != nil {
		return nil, err
	}
	if len(own) > maxTemplate {
		return nil, fmt.Errorf("%s: has %d bytes, at most %d", ch.Template, len(own), maxTemplate)
	}
	if r.templates, err = r.templates.New(ch.Template).Parse(string(own)); err != nil {
		return nil, err
	}
	// A template that fails on every message would fail when it is needed.
	for _, form := range []string{FormAlarm, FormGroup, FormDigest, FormTest} {
		m := SampleMessage(form, ch.Name, sampleTime)
		m.From, m.Why = "other", "sample"
		if _, _, _, err := r.render(m); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// render makes title and body of the longest beginning of m's events that fits, and says how many those are. An event that does not fit by
// itself is cut at the end of a character.
func (r *renderer) render(m Message) (title, body string, taken int, err error) {
	if r.markdown {
		m = plainMarks(m)
	}
	all := m.Events
	fits := func(n int) (bool, error) {
		m.Events, m.More = all[:n], len(all)-n
		body, err = r.text("body", m)
		return err == nil && r.size(body) <= r.limit, err
	}
	ok, err := fits(len(all))
	low, high := 1, len(all) // low fits, or is the least; high does not
	for err == nil && !ok && high-low > 1 {
		half := (low + high) / 2
		if ok, err = fits(half); ok {
			low = half
		} else {
			high = half
		}
		ok = false
	}
	if err != nil {
		return "", "", 0, err
	}
	taken = len(all)
	if !ok {
		taken = low
		if _, err = fits(low); err != nil {
			return "", "", 0, err
		}
	}
	if title, err = r.text("title", m); err != nil {
		return "", "", 0, err
	}
	title = strings.Join(strings.Fields(title), " ") // one line, whatever a name holds
	for over := r.size(body) - r.limit; over > 0; over = r.size(body) - r.limit {
		body = cut(body, len(body)-max(over/6, 1)) // a byte takes six at most
	}
	return cut(title, maxTitle), body, taken, nil
}

// size is what the body takes of the limit.
func (r *renderer) size(body string) int {
	if !r.encoded {
		return len(body)
	}
	return len(mustJSON(body))
}

func (r *renderer) text(name string, m Message) (string, error) {
	var b strings.Builder
	if err := r.templates.ExecuteTemplate(&b, name, m); err != nil {
		return "", err
	}
	text := strings.TrimSpace(b.String())
	if r.breaks && name == "body" {
		text = strings.ReplaceAll(text, "\n", "  \n")
	}
	return text, nil
}

// cut shortens s to at most limit bytes, at the end of a character, with a sign that something is missing.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const sign = "…"
	n := limit - len(sign)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + sign
}

// plainMarks takes the signs of markdown out of the texts of the registry and of rules, so that a name cannot make a link or a heading.
func plainMarks(m Message) Message {
	marks := strings.NewReplacer("<", "＜", ">", "＞", "[", "［", "]", "］", "*", "＊", "`", "｀", "\n", " ", "\r", " ")
	events := make([]Event, len(m.Events))
	for i, e := range m.Events {
		e.OutletName, e.Outlet, e.Enterprise, e.Region = marks.Replace(e.OutletName), marks.Replace(e.Outlet), marks.Replace(e.Enterprise), marks.Replace(e.Region)
		e.Basis, e.Rule, e.Factor, e.Unit = marks.Replace(e.Basis), marks.Replace(e.Rule), marks.Replace(e.Factor), marks.Replace(e.Unit)
		events[i] = e
	}
	m.Events, m.Why = events, marks.Replace(m.Why)
	return m
}
