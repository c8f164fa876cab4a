package hj212

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"outfall/testdata"
)

var update = flag.Bool("update", false, "write the tables of docs/protocol.md anew")

// TestProtocolDoc: the tables of docs/protocol.md are the command table and the list of what tests it. go test -run TestProtocolDoc -update
// writes them.
func TestProtocolDoc(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "protocol.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for name, table := range map[string]string{"commands": commandTable(t), "parameters": parameterTable()} {
		begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
		i, j := strings.Index(doc, begin), strings.Index(doc, end)
		if i < 0 || j < i {
			t.Fatalf("%s has no %q followed by %q", path, begin, end)
		}
		doc = doc[:i+len(begin)] + table + doc[j:]
	}
	switch {
	case doc == string(b):
	case *update:
		if err := os.WriteFile(path, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the command table says: go test ./ingest/hj212 -run TestProtocolDoc -update", path)
	}
}

// commandTable lists every row: editions, directions, and the tests of each direction.
func commandTable(tb testing.TB) string {
	var s strings.Builder
	s.WriteString("| CN | name | 2005 | 2017 | 2025 | host sends | device sends | changes the device | tests, host → device | tests, device → host |\n")
	s.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	tests := directionTests(tb)
	for _, c := range catalogue {
		mark := map[bool]string{true: "yes", false: "-"}
		sent := c.Shape.String()
		if c.NotSent != "" {
			sent = "(set)"
		}
		label := "-"
		if c.Editions.Has(Version2025) {
			label = c.Confidence.String()
		}
		answer := c.Up.String()
		if c.Up == ShapeNone && c.hasAnswer() {
			answer = "answer"
		}
		fmt.Fprintf(&s, "| %s | %s %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", c.CN, c.Name, c.NameZh, mark[c.Editions.Has(Version2005)],
			mark[c.Editions.Has(Version2017)], label, dash(sent), dash(answer), mark[c.Changes], tests(c, down), tests(c, up))
	}
	return s.String()
}

func dash(s string) string {
	if s == "none" || s == "" {
		return "-"
	}
	return s
}

// directionTests names what tests a direction of a row: printed segments, and the examples of TestEveryRowBothDirections.
func directionTests(tb testing.TB) func(Command, direction) string {
	segments, err := testdata.Segments()
	if err != nil {
		tb.Fatal(err)
	}
	of := map[string][]string{}
	for _, s := range segments {
		version := uint8(Version2017)
		if s.Edition == 2005 {
			version = Version2005
		}
		c, _ := LookupCommand(s.CN, version)
		dir, err := directionOf(c, parse(tb, s.Text), version)
		if err != nil {
			tb.Fatalf("%s: %v", s.ID, err)
		}
		key := fmt.Sprint(c.CN, c.Editions, dir)
		of[key] = append(of[key], s.ID)
	}
	for _, e := range allExamples(tb) {
		c, _ := LookupCommand(e.cn, e.version)
		key := fmt.Sprint(c.CN, c.Editions, e.dir)
		if n := len(of[key]); n == 0 || of[key][n-1] != "made" {
			of[key] = append(of[key], "made")
		}
	}
	return func(c Command, dir direction) string {
		return dash(strings.Join(of[fmt.Sprint(c.CN, c.Editions, dir)], " "))
	}
}

// parameterTable lists the parameters of every row.
func parameterTable() string {
	var s strings.Builder
	s.WriteString("| CN | editions | CP of the host | CP of the device | remarks |\n| --- | --- | --- | --- | --- |\n")
	for _, c := range catalogue {
		remarks := c.Note
		if c.NotSent != "" {
			remarks = "not sent by outfall: " + c.NotSent
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s |\n", c.CN, c.Editions.names(), dash(paramList(c.Request)), dash(paramList(c.Answer)), dash(remarks))
	}
	return s.String()
}

// names lists the editions by year.
func (e Editions) names() string {
	var s []string
	for version, year := range []string{"2005", "2017", "2025"} {
		if e.Has(uint8(version)) {
			s = append(s, year)
		}
	}
	return strings.Join(s, ", ")
}

func paramList(params []Param) string {
	var s []string
	for _, p := range params {
		values := p.Range()
		if p.Type == TypeCode {
			values = "code"
		}
		word := fmt.Sprintf("`%s` %s", p.Key, values)
		var more []string
		if p.In != 0 {
			more = append(more, p.In.names())
		}
		if p.Optional {
			more = append(more, "optional")
		}
		if p.Repeat && p.Key[0] != '*' {
			more = append(more, "repeated")
		}
		if more != nil {
			word += " (" + strings.Join(more, ", ") + ")"
		}
		s = append(s, word)
	}
	return strings.Join(s, "; ")
}

// TestQuirksAreListed: docs/protocol.md has a row for each quirk, and each test that a row names is there.
func TestQuirksAreListed(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	there := namedTests(t)
	for _, q := range quirkIDs() {
		there["ingest/hj212 "+q] = true
	}
	rows := 0
	for _, m := range regexp.MustCompile(`(?m)^\| Q(\d+)(b?) \|.*\| ([^|]+) \|$`).FindAllStringSubmatch(string(doc), -1) {
		rows++
		id := fmt.Sprintf("%02s%s", m[1], m[2])
		for pkg := range strings.FieldsFuncSeq(m[3], func(r rune) bool { return r == ',' || r == ' ' || r == '`' }) {
			if !there[pkg+" "+id] {
				t.Errorf("row Q%s names %s, where no test has the name TestQuirkQ%s", id, pkg, id)
			}
		}
	}
	if rows != 45 {
		t.Errorf("%d rows of quirks, want 45", rows)
	}
}

// quirkIDs are the numbers of the subtests of TestQuirk.
func quirkIDs() (ids []string) {
	for _, q := range slices.Concat(framingQuirks, contentQuirks) {
		id, _, _ := strings.Cut(strings.TrimPrefix(q.name, "Q"), "_")
		ids = append(ids, id)
	}
	return ids
}

// namedTests finds the functions TestQuirkQnn of the project: "package nn".
func namedTests(t *testing.T) map[string]bool {
	t.Helper()
	root := filepath.Join("..", "..")
	named := regexp.MustCompile(`(?m)^func TestQuirkQ(\d\d?)(b?)[A-Z_(]`)
	there := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range named.FindAllStringSubmatch(string(b), -1) {
			there[fmt.Sprintf("%s %02s%s", filepath.ToSlash(rel), m[1], m[2])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}
