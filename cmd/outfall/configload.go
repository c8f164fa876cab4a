package main

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"outfall/rules/rulefile"
)

// envPrefix precedes the environment variable of every key: kafka.brokers is OUTFALL_KAFKA_BROKERS.
const envPrefix = "OUTFALL_"

// An origin says where a value of the configuration came from.
type origin struct {
	source string // "default", "FILE:LINE", "env NAME" or "flag --NAME"
	line   int    // of the file; 0 otherwise
	column int
}

// A setting is one leaf of the configuration: its key in the file and the field that it sets.
type setting struct {
	key    string
	field  reflect.Value
	origin origin
}

// A fault is one thing wrong with a configuration, at its place.
type fault struct {
	origin origin
	text   string
}

// configFaults is every fault of a configuration at once; each carries its position and the line of the source.
type configFaults struct {
	lines  []string // of the file, for the excerpt
	faults []fault
}

func (f *configFaults) add(o origin, format string, a ...any) {
	f.faults = append(f.faults, fault{o, fmt.Sprintf(format, a...)})
}

// Error lists the faults; those of the file show the line and a caret under the column.
func (f *configFaults) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "invalid configuration, %d fault", len(f.faults))
	if len(f.faults) != 1 {
		b.WriteByte('s')
	}
	for _, one := range f.faults {
		b.WriteByte('\n')
		if one.origin.source != "" {
			b.WriteString(one.origin.source + ": ")
		}
		b.WriteString(one.text)
		if n := one.origin.line; n > 0 && n <= len(f.lines) {
			fmt.Fprintf(&b, "\n  %4d | %s\n       | %s^", n, f.lines[n-1], strings.Repeat(" ", max(0, one.origin.column-1)))
		}
	}
	return b.String()
}

// An override is a value from the command line.
type override struct{ flag, key, text string }

// A loader fills a configuration struct (a pointer to nested structs with yaml tags, holding the defaults) from a file, the
// environment and the command line, in this order, and remembers where each value came from.
type loader struct {
	settings []setting
	byKey    map[string]int
	sections map[string]bool
	places   map[string]origin // of values in lists of structs, see setTree
	faults   configFaults
}

func newLoader(cfg any) *loader {
	l := &loader{byKey: map[string]int{}, sections: map[string]bool{}, places: map[string]origin{}}
	l.walk("", reflect.ValueOf(cfg).Elem())
	return l
}

// walk collects the leaves of v in the order of its fields.
func (l *loader) walk(prefix string, v reflect.Value) {
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if tag == "" || tag == "-" {
			continue
		}
		key, field := prefix+tag, v.Field(i)
		if _, leaf := field.Addr().Interface().(encoding.TextUnmarshaler); field.Kind() == reflect.Struct && !leaf {
			l.sections[key] = true
			l.walk(key+".", field)
			continue
		}
		l.byKey[key] = len(l.settings)
		l.settings = append(l.settings, setting{key, field, origin{source: "default"}})
	}
}

// load reads all sources. The result is nil or a *configFaults; validation of the values is a later step.
func (l *loader) load(file string, environ []string, overrides []override) error {
	if file != "" {
		src, err := os.ReadFile(file)
		if err != nil {
			return usagef("configuration: %w", err)
		}
		l.loadFile(file, src)
	}
	l.loadEnv(environ)
	for _, o := range overrides {
		i, ok := l.byKey[o.key]
		if !ok {
			l.faults.add(origin{source: "flag " + o.flag}, "unknown key %q%s", o.key, l.suggest(o.key))
			continue
		}
		l.setText(i, origin{source: "flag " + o.flag}, o.text)
	}
	return l.err()
}

// loadEnv takes the variables NAME=TEXT of our prefix. One that names no key is a fault like an unknown key in the file: a misspelt
// OUTFALL_KAFKA_BROKER must not start something else than was meant.
func (l *loader) loadEnv(environ []string) {
	byName := map[string]int{}
	for i := range l.settings {
		byName[envName(l.settings[i].key)] = i
	}
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || name == "OUTFALL_CACHE" || strings.HasPrefix(name, "OUTFALL_TEST_") {
			continue // those two are of the scripts and the tests
		}
		i, ok := byName[name]
		if !ok {
			l.faults.add(origin{source: "env " + name}, "no setting has this variable; \"outfall config show\" lists them")
			continue
		}
		l.setText(i, origin{source: "env " + name}, text)
	}
}

func (l *loader) err() error {
	if len(l.faults.faults) == 0 {
		return nil
	}
	return &codedError{exitUsage, &l.faults}
}

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

func (l *loader) loadFile(name string, src []byte) {
	l.faults.lines = strings.Split(string(src), "\n")
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		o := origin{source: name}
		text := err.Error()
		if at := yaml.Error(nil); errors.As(err, &at) {
			text = at.GetMessage()
			if tk := at.GetToken(); tk != nil {
				o = position(name, tk)
			}
		}
		l.faults.add(o, "%s", text)
		return
	}
	if len(file.Docs) > 1 {
		l.faults.add(position(name, file.Docs[1].GetToken()), "one document expected, not %d", len(file.Docs))
		return
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			l.section(name, "", doc.Body)
		}
	}
}

func position(name string, tk *token.Token) origin {
	if tk == nil || tk.Position == nil {
		return origin{source: name}
	}
	line, column := tk.Position.Line, tk.Position.Column
	return origin{source: fmt.Sprintf("%s:%d:%d", name, line, column), line: line, column: column}
}

// section reads one mapping of the file; prefix is "" or ends in a dot.
func (l *loader) section(name, prefix string, node ast.Node) {
	if node.Type() == ast.NullType || node.Type() == ast.CommentType {
		return // a section whose keys are all commented out
	}
	m, ok := node.(ast.MapNode)
	if !ok {
		l.faults.add(position(name, node.GetToken()), "%s: want keys and values, not %s", strings.TrimSuffix(prefix, "."), node.Type())
		return
	}
	for it := m.MapRange(); it.Next(); {
		keyToken := it.Key().GetToken()
		key := prefix + keyToken.Value
		if l.sections[key] {
			l.section(name, key+".", it.Value())
			continue
		}
		i, known := l.byKey[key]
		if !known {
			l.faults.add(position(name, keyToken), "unknown key %q%s", key, l.suggest(key))
			continue
		}
		l.setNode(i, name, it.Value())
	}
}

// setNode sets a leaf from a scalar, a list of scalars, or a list of structs.
func (l *loader) setNode(i int, name string, node ast.Node) {
	o := position(name, node.GetToken())
	if isTree(l.settings[i].field) {
		l.setTree(i, name, node)
		return
	}
	if list, ok := node.(*ast.SequenceNode); ok {
		if l.settings[i].field.Type() != reflect.TypeFor[[]string]() {
			l.faults.add(o, "%s: want one value, not a list", l.settings[i].key)
			return
		}
		values := []string{}
		for _, item := range list.Values {
			if _, scalar := item.(ast.ScalarNode); !scalar {
				l.faults.add(position(name, item.GetToken()), "%s: want a text, not %s", l.settings[i].key, item.Type())
				return
			}
			values = append(values, item.GetToken().Value)
		}
		l.settings[i].field.Set(reflect.ValueOf(values))
		l.settings[i].origin = o
		return
	}
	if _, scalar := node.(ast.ScalarNode); !scalar {
		l.faults.add(o, "%s: want a value, not %s", l.settings[i].key, node.Type())
		return
	}
	if node.Type() == ast.NullType {
		l.faults.add(o, "%s: has no value; leave the key out for the default", l.settings[i].key)
		return
	}
	l.setText(i, o, node.GetToken().Value)
}

// setText sets a leaf from its text form: a list is comma separated, a duration is Go's ("90s", "24h").
func (l *loader) setText(i int, o origin, text string) {
	s := &l.settings[i]
	if isTree(s.field) {
		l.faults.add(o, "%s: can be set in a file alone", s.key)
		return
	}
	if err := setField(s.field, text); err != nil {
		l.faults.add(o, "%s: %v", s.key, err)
		return
	}
	s.origin = o
}

func setField(f reflect.Value, text string) error {
	if f.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is no duration such as 90s, 15m or 24h", text)
		}
		f.SetInt(int64(d))
		return nil
	}
	if u, ok := f.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(text)
	case reflect.Bool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		f.SetBool(v)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v, err := strconv.ParseInt(text, 0, f.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is no whole number in range", text)
		}
		f.SetInt(v)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		v, err := strconv.ParseUint(text, 0, f.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is no whole number in range", text)
		}
		f.SetUint(v)
	case reflect.Float64:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is no number", text)
		}
		f.SetFloat(v)
	case reflect.Slice:
		values := []string{}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				values = append(values, part)
			}
		}
		f.Set(reflect.ValueOf(values))
	default:
		panic(fmt.Sprintf("configuration field of type %s cannot be set", f.Type()))
	}
	return nil
}

// suggest names the known key that an unknown one is probably a misspelling of.
func (l *loader) suggest(key string) string {
	known := slices.Sorted(maps.Keys(l.sections))
	for _, s := range l.settings {
		known = append(known, s.key)
	}
	if best := rulefile.Nearest(known, key); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// place finds where the value of a stage's validation error ("kafka.partitions: ...") was set, so that the fault is shown there.
func (l *loader) place(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			l.place(one)
		}
		return
	}
	key, _, _ := strings.Cut(err.Error(), ":")
	l.faults.add(l.placeOf(key), "%s", err)
}

// isDefault reports whether nobody set the key.
func (l *loader) isDefault(key string) bool {
	return l.settings[l.byKey[key]].origin.source == "default"
}

// text is the value of a setting for people; secrets are masked.
func (s setting) text() string {
	last := s.key[strings.LastIndexByte(s.key, '.')+1:]
	for _, word := range []string{"token", "password", "secret"} {
		if strings.Contains(last, word) && !strings.HasSuffix(last, "_file") && !s.field.IsZero() {
			return "********"
		}
	}
	if isTree(s.field) {
		return fmt.Sprintf("%d entries", s.field.Len()) // each as it stands in the file
	}
	switch v := s.field.Interface().(type) {
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case string:
		if v == "" {
			return `""`
		}
		return v
	default:
		return fmt.Sprint(v)
	}
}
