package telemetry

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"testing"
)

// The page about the journal names every kind, and each of its examples is the canonical JSON of the kind's value.
func TestJournalPage(t *testing.T) {
	page, err := os.ReadFile("../docs/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	values := map[Kind]any{KindSession: &Session{}, KindTick: &Tick{}, KindRegistry: &Device{}, KindCommand: &Command{}, KindOutcome: &Outcome{}, KindVersion: &Version{},
		KindAction: &Action{}, KindMark: &Mark{}}
	seen := map[Kind]bool{}
	for _, m := range regexp.MustCompile("(?s)```json ([a-z]+)\n(.*?)\n```").FindAllSubmatch(page, -1) {
		k, ok := ParseKind(string(m[1]))
		v := values[k]
		if k == KindAction {
			v = &Action{} // it has several examples
		}
		if !ok || v == nil {
			t.Errorf("example of %q, which is no kind with a value of this package", m[1])
			continue
		}
		seen[k] = true
		if err := json.Unmarshal(m[2], v); err != nil {
			t.Errorf("%v: %v", k, err)
		} else if got := AppendJSON(nil, v); !bytes.Equal(got, m[2]) {
			t.Errorf("%v:\n got %s\npage %s", k, got, m[2])
		}
	}
	for _, k := range Kinds() {
		if !bytes.Contains(page, []byte("| `"+k.String()+"` |")) {
			t.Errorf("kind %v is not in the page's table", k)
		}
		if values[k] != nil && !seen[k] {
			t.Errorf("kind %v has no example", k)
		}
	}
}
