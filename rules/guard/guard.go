// Package guard turns the further condition of a rule (when:) from what a person wrote into what package rules computes. The expression
// language is that of expr-lang/expr, cut down to comparisons, + - * /, and, or, not, in and parentheses over a closed list of names;
// the library parses and type-checks, and nothing of it is there when a rule judges. Numbers are read again from the text, so that 0.9 is
// nine tenths and not the nearest binary fraction.
package guard

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"outfall/rules"
	"outfall/telemetry"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
)

// An Error is what is wrong with a condition. Column counts characters of the text from 1.
type Error struct {
	Column  int
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("character %d: %s", e.Column, e.Message) }

// maxDepth bounds the brackets and signs that a text opens: the parser recurses.
const maxDepth = 100

// Compile makes the guard of a text for rules of a statistic. Every error is an *Error.
func Compile(text string, stat telemetry.Statistic) (g *rules.Guard, err error) {
	defer func() {
		if r := recover(); r != nil { // the parser of an odd text is no reason to end a program
			err = &Error{1, fmt.Sprintf("the parser gave up: %v", r)}
		}
	}()
	text = strings.TrimSpace(text)
	c := compiler{source: []rune(text), stat: stat, env: map[string]any{}, names: map[string]string{}}
	if err := c.plain(text); err != nil {
		return nil, err
	}
	c.declare()
	config := conf.CreateNew()
	for _, option := range []expr.Option{expr.Env(c.env), expr.AsBool(), expr.DisableAllBuiltins(), expr.DisableIfOperator(), expr.Optimize(false),
		expr.MaxNodes(4 * rules.MaxGuardWords)} {
		option(config)
	}
	for name := range config.Disabled {
		delete(config.Builtins, name)
	}
	config.Check()
	tree, err := checker.ParseCheck(text, config)
	if err != nil {
		return nil, c.translate(err)
	}
	if err := c.node(tree.Node); err != nil {
		return nil, err
	}
	g, err = rules.NewGuard(text, strings.Join(c.code, " "))
	if err != nil {
		return nil, &Error{1, err.Error()}
	}
	return g, nil
}

// A compiler is one run of Compile.
type compiler struct {
	source []rune
	stat   telemetry.Statistic
	env    map[string]any    // name as written -> a value of its kind, for the type check
	names  map[string]string // name as written -> word of the code
	code   []string
}

// declare lists every name that may be written.
func (c *compiler) declare() {
	for _, n := range rules.GuardNames() {
		if n.Only != "" && n.Only != c.stat {
			continue
		}
		for _, written := range append(slices.Clone(n.English), n.Chinese...) {
			c.names[written], c.env[written] = n.Name, 0
			if n.Text {
				c.env[written] = ""
			}
		}
	}
	for _, f := range telemetry.Factors() {
		c.names[f.Code], c.env[f.Code] = "@"+f.Code, 0
	}
	for _, f := range rules.GuardFactors() {
		for _, written := range []string{f.English, f.Chinese} {
			c.names[written], c.env[written] = "@"+f.Code, 0
		}
	}
}

// fullWidth maps the signs of a Chinese keyboard to those of the language.
var fullWidth = map[rune]string{'＞': ">", '＜': "<", '≥': ">=", '≤': "<=", '＝': "==", '≠': "!=", '（': "(", '）': ")", '［': "[", '］': "]",
	'＋': "+", '－': "-", '—': "-", '×': "*", '＊': "*", '÷': "/", '／': "/", '，': ",", '、': ",", '。': ".", '．': ".", '“': `"`, '”': `"`, '‘': "'",
	'’': "'", '！': "not", '＆': "and", '｜': "or", '　': "a space", '％': "a share like 0.9", '%': "a share like 0.9"}

// plain refuses what the parser would refuse less clearly, and what nests deeper than is safe.
func (c *compiler) plain(text string) error {
	switch {
	case text == "":
		return &Error{1, "empty: write a condition like 水温 > 12, or leave when out"}
	case len(text) > rules.MaxGuardText:
		return &Error{1, fmt.Sprintf("longer than %d bytes", rules.MaxGuardText)}
	case !utf8.ValidString(text):
		return &Error{1, "is not UTF-8"}
	}
	quote, opened := rune(0), 0
	for i, r := range c.source {
		if quote != 0 {
			if r == quote {
				quote = 0
			}
			continue
		}
		switch r {
		case '"', '\'':
			quote = r
		case '(', '[', '-', '!', '{', '?', '|', '.', '#', '`', '\\':
			if opened++; opened > maxDepth {
				return &Error{i + 1, "nests too deep"}
			}
		}
		if r >= '０' && r <= '９' {
			return &Error{i + 1, fmt.Sprintf("full-width digit %q: write %c", r, '0'+r-'０')}
		}
		if half, ok := fullWidth[r]; ok {
			return &Error{i + 1, fmt.Sprintf("%q is not a sign of the language: write %s with the half-width keyboard", r, half)}
		}
	}
	return nil
}

// translate words an error of the library for those who write rules.
func (c *compiler) translate(err error) error {
	var at *file.Error
	if !errors.As(err, &at) {
		return &Error{1, err.Error()}
	}
	e := &Error{min(max(at.From, 0), len(c.source)) + 1, at.Message}
	name, unknown := strings.CutPrefix(at.Message, "unknown name ")
	if !unknown {
		return e
	}
	name, _, _ = strings.Cut(name, " ")
	e.Message = fmt.Sprintf("%s is no name of a condition: docs/rules.md lists them; other factors go by their code, like w01010", name)
	for _, n := range rules.GuardNames() {
		if n.Only != "" && slices.Contains(append(slices.Clone(n.English), n.Chinese...), name) {
			e.Message = fmt.Sprintf("%s belongs to rules of statistic %s, and this one is of %s: write mean or 均值", name, n.Only, c.stat)
		}
	}
	return e
}

func (c *compiler) emit(word string) error {
	c.code = append(c.code, word)
	return nil
}

func (c *compiler) bad(n ast.Node, format string, a ...any) error {
	return &Error{min(max(n.Location().From, 0), len(c.source)) + 1, fmt.Sprintf(format, a...)}
}

// node appends the code of a part of the condition.
func (c *compiler) node(n ast.Node) error {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		word, ok := c.names[n.Value]
		if !ok {
			return c.bad(n, "%s is no name of a condition", n.Value)
		}
		return c.emit(word)
	case *ast.IntegerNode, *ast.FloatNode:
		return c.number(n)
	case *ast.StringNode:
		if n.Value == "" {
			return c.emit(`"-"`) // what a text is that the registry does not have
		}
		return c.emit(strconv.Quote(n.Value))
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	}
	return c.bad(n, "conditions have comparisons, + - * /, and, or, not, in and parentheses, and nothing else")
}

// number takes the digits from the text.
func (c *compiler) number(n ast.Node) error {
	at := n.Location()
	if at.From < 0 || at.To > len(c.source) || at.From >= at.To {
		return c.bad(n, "a number whose place is not known")
	}
	digits := string(c.source[at.From:at.To])
	if strings.Trim(digits, "0123456789.") != "" || digits[0] == '.' || digits[len(digits)-1] == '.' {
		return c.bad(n, "%q is not a plain decimal: write digits, like 0.9 or 1000", digits)
	}
	return c.emit(digits)
}

func (c *compiler) unary(n *ast.UnaryNode) error {
	word := map[string]string{"-": "neg", "not": "not", "!": "not", "+": ""}
	if err := c.node(n.Node); err != nil {
		return err
	}
	w, ok := word[n.Operator]
	switch {
	case !ok:
		return c.bad(n, "%s is not in the language", n.Operator)
	case w == "":
		return nil
	}
	return c.emit(w)
}

func (c *compiler) binary(n *ast.BinaryNode) error {
	if n.Operator == "in" {
		return c.in(n)
	}
	words := map[string]string{"and": "and", "&&": "and", "or": "or", "||": "or", "==": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
		"+": "+", "-": "-", "*": "*", "/": "/"}
	word, ok := words[n.Operator]
	if !ok {
		return c.bad(n, "%s is not in the language", n.Operator)
	}
	if err := c.node(n.Left); err != nil {
		return err
	}
	if err := c.node(n.Right); err != nil {
		return err
	}
	return c.emit(word)
}

func (c *compiler) in(n *ast.BinaryNode) error {
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok || len(list.Nodes) == 0 {
		return c.bad(n.Right, `write a list behind in, like class in ["一级A", "一级B"]`)
	}
	if err := c.node(n.Left); err != nil {
		return err
	}
	for _, one := range list.Nodes {
		if err := c.node(one); err != nil {
			return err
		}
	}
	return c.emit("in:" + strconv.Itoa(len(list.Nodes)))
}
