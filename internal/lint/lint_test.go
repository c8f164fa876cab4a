// Package lint holds the rules of the design that a compiler does not know, as tests: which package may import which, where each library
// lives, how long files and functions may be.
package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers says what each package may import of the project. A package that is not named may import nothing of ours; loosening a line
// needs an ADR first.
var layers = map[string][]string{
	"telemetry":          nil,
	"ingest/hj212":       nil,
	"rules":              {"telemetry"},
	"rules/guard":        {"telemetry", "rules"},
	"rules/library":      {"telemetry", "rules", "rules/guard"},
	"rules/rulefile":     {"telemetry", "rules", "rules/guard", "rules/library"},
	"rules/registryfile": {"telemetry"},
	"stream/window":      {"telemetry"},
	"stream/integrity":   {"telemetry"},
	"stream/emission":    {"telemetry"},
	"stream/fold":        {"telemetry", "ingest/hj212", "rules", "stream/window", "stream/integrity", "stream/emission"},
	"internal/archive":   {"internal/store"},
	"internal/broker":    {"telemetry", "internal/archive", "internal/store"},
	"internal/obs":       nil,
	"internal/store":     nil,
	"internal/sim":       nil, // tests alone, which stand on every stage
	"ingest":             {"telemetry", "ingest/hj212", "internal/broker"},
	"ingest/tcp":         {"telemetry", "ingest"},
	"stream/ruletest":    {"telemetry", "ingest/hj212", "rules", "rules/rulefile", "stream/fold"},
	"stream":             {"telemetry", "stream/fold", "stream/window", "internal/broker", "internal/store"},
	"sinks/alert":        {"telemetry", "internal/broker", "internal/obs"},
	"sinks/influx":       {"telemetry", "internal/broker", "internal/obs"},
	"bench":              {"telemetry", "ingest/hj212"},
	"bench/machine":      nil,
	"bench/peers":        {"*"}, // a measuring program: it runs the gateway beside its peers
	"bench/streams":      {"*"}, // the same for the stream worker
	"bench/engine":       {"*"}, // the same for the stream worker as it is installed
	"cmd/outfall":        {"*"},
	"deploy/sample":      nil,
	"testdata":           nil,
}

// homes says which packages may import a library; a prefix stands for the module.
var homes = map[string][]string{
	"github.com/panjf2000/gnet":          {"ingest/tcp", "bench/peers"},
	"github.com/twmb/franz-go/pkg/kfake": {"internal/broker"},
	"github.com/twmb/franz-go/pkg/kadm":  {"internal/broker", "stream", "sinks/alert", "sinks/influx", "bench/streams"},
	"github.com/twmb/franz-go":           {"internal/archive", "internal/broker", "ingest", "stream", "sinks/alert", "sinks/influx", "cmd/outfall", "bench/streams", "bench/engine"},
	"github.com/influxdata":              {"sinks/influx"},
	"github.com/minio":                   {"internal/store"},
	"github.com/klauspost/compress":      {"stream", "internal/archive"},
	"github.com/RoaringBitmap":           {"stream/integrity"},
	"github.com/expr-lang/expr":          {"rules/guard"},
	"github.com/goccy/go-yaml":           {"rules/rulefile", "cmd/outfall"},
	"github.com/spf13":                   {"cmd/outfall"},
	"github.com/prometheus":              {"internal/obs", "internal/broker", "ingest", "ingest/tcp", "stream", "sinks/alert", "sinks/influx", "cmd/outfall"},
	"github.com/rs/zerolog":              {"internal/obs", "internal/broker", "ingest", "ingest/tcp", "stream", "sinks/alert", "sinks/influx", "cmd/outfall"},
	"golang.org/x/sys":                   {"internal/broker", "ingest/tcp", "sinks/influx", "cmd/outfall", "bench/machine", "bench/peers", "bench/streams"},
	"golang.org/x/sync":                  {"ingest", "ingest/tcp", "stream", "sinks/influx", "bench", "internal/broker", "internal/obs", "cmd/outfall", "bench/streams"},
	"golang.org/x/term":                  {"cmd/outfall", "internal/obs"},
	"golang.org/x/text":                  {"ingest/hj212"},
}

// pure packages do no I/O, have no clock of their own, no goroutines, no logs, and publish no floats.
var pure = []string{"telemetry", "ingest/hj212", "rules", "rules/library", "stream/window", "stream/integrity", "stream/emission", "stream/fold"}

var impure = []string{"os", "net", "io/fs", "sync/atomic", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "runtime", "context"}

const (
	maxFileLines = 400
	maxFuncLines = 70
)

type source struct {
	pkg, path string
	test      bool
	file      *ast.File
	fset      *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if e.IsDir() && (rel == "bin" || rel == "data" || rel == "internal/lint" || strings.HasPrefix(e.Name(), ".") && rel != ".") {
			return filepath.SkipDir
		}
		if e.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && rel != "." {
				return filepath.SkipDir // a module of its own, as a peer in a benchmark is
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{pkg: filepath.ToSlash(filepath.Dir(rel)), path: rel, test: strings.HasSuffix(path, "_test.go"), file: f, fset: fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d files found under %s", len(all), root)
	}
	return all
}

func imports(s source) []string {
	var paths []string
	for _, i := range s.file.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

func TestLayers(t *testing.T) {
	for _, s := range sources(t) {
		may, named := layers[s.pkg]
		if !named {
			t.Errorf("%s: package %s is in no layer: name it in layers", s.path, s.pkg)
			continue
		}
		if s.test {
			continue // tests may stand on a neighbour
		}
		for _, imp := range imports(s) {
			ours, ok := strings.CutPrefix(imp, "outfall/")
			if ok && !slices.Contains(may, ours) && !slices.Contains(may, "*") {
				t.Errorf("%s: %s must not import %s", s.path, s.pkg, ours)
			}
		}
	}
}

func TestLibrariesHaveOneHome(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, imp := range imports(s) {
			if !strings.Contains(strings.Split(imp, "/")[0], ".") {
				continue // standard library, or ours
			}
			longest := ""
			for lib := range homes {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && len(lib) > len(longest) {
					longest = lib
				}
			}
			if longest == "" {
				t.Errorf("%s: %s has no home: name it in homes, with an ADR", s.path, imp)
			} else if !slices.Contains(homes[longest], s.pkg) {
				t.Errorf("%s: %s belongs in %v", s.path, imp, homes[longest])
			}
		}
	}
}

func TestPurePackages(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !slices.Contains(pure, s.pkg) {
			continue
		}
		for _, imp := range imports(s) {
			if slices.Contains(impure, imp) {
				t.Errorf("%s: pure package imports %s", s.path, imp)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: pure package starts a goroutine", s.fset.Position(n.Pos()))
			case *ast.Ident:
				if n.Name == "float64" || n.Name == "float32" {
					t.Errorf("%s: float in a pure package", s.fset.Position(n.Pos()))
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && (n.Sel.Name == "Now" || n.Sel.Name == "Since" || n.Sel.Name == "Local") {
					t.Errorf("%s: time.%s in a pure package", s.fset.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestNoInitNoMutableGlobalsNoHugeFiles(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if n := s.fset.File(s.file.Pos()).LineCount(); n > maxFileLines {
			t.Errorf("%s: %d lines, limit %d: more than one subject?", s.path, n, maxFileLines)
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init function", s.fset.Position(f.Pos()))
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > maxFuncLines {
				t.Errorf("%s: %s has %d lines, limit %d", s.fset.Position(f.Pos()), f.Name.Name, n, maxFuncLines)
			}
		}
	}
}

// The facts of the standards are copied into the project; it must build and run without the folder they came from.
func TestNothingOutsideTheProject(t *testing.T) {
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !slices.Contains([]string{".go", ".sh", ".md", ".yaml", ".csv"}, filepath.Ext(path)) {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if name := "../" + "shared"; strings.Contains(string(b), name) {
			t.Errorf("%s speaks of %s", path, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
