package rules

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"outfall/telemetry"
)

// Bounds of a guard.
const (
	MaxGuardText  = 1000 // bytes of the text, and 4 times that of the code
	MaxGuardWords = 64   // of the code
)

// A Guard is a further condition of a rule, as a person wrote it and as it is computed. The journal holds both: what a guard means must not
// depend on the parser of the day.
//
// Code is the condition in postfix order, words separated by one space: decimals, texts as Go string literals, names of the closed list of
// GuardNames, factors as @w01010, and the operators
//
//   - - * / neg    numbers to a number
//     < <= > >= = !=  two numbers, or = and != two texts, to a truth
//     and or not      truths to a truth
//     in:N            a value and N values: whether it is one of them
//
// A value that is not known makes unknown what is computed of it, as does a division by zero; and, or and not are Kleene's. Numbers are
// exact fractions.
type Guard struct {
	Text string `json:"text"`
	Code string `json:"code"`

	words []word
}

// A word is one word of a guard's code, read.
type word struct {
	op   string   // operator, or name, or "@" for a factor; empty: a literal
	text string   // of a text literal, or the factor
	num  *big.Rat // of a decimal
	n    int      // of in
}

// A GuardName is a name that a guard may use.
type GuardName struct {
	Name    string // in the code
	English []string
	Chinese []string
	Text    bool                // a text, else a number
	Only    telemetry.Statistic // the statistic of the rules that may use the Only names; empty: any
	About   string
}

// GuardNames is the closed list. Factors of the factor table come beside it, by their code or the names of GuardFactors.
func GuardNames() []GuardName {
	return []GuardName{
		{Name: "mean", English: []string{"mean"}, Chinese: []string{"均值", "监测值"}, About: "the window's own value"},
		{Name: "mean", English: []string{"hour_mean"}, Chinese: []string{"小时均值"}, Only: telemetry.StatHour, About: "the same, in rules of the hour"},
		{Name: "mean", English: []string{"day_mean"}, Chinese: []string{"日均值"}, Only: telemetry.StatDay, About: "the same, in rules of the day"},
		{Name: "limit", English: []string{"limit"}, Chinese: []string{"限值"}, About: "the rule's limit, the high one if it has both"},
		{Name: "low", English: []string{"low"}, Chinese: []string{"下限"}, About: "the low limit"},
		{Name: "valid_share", English: []string{"valid_share"}, Chinese: []string{"有效率"}, About: "valid slots of the due ones, 0..1"},
		{Name: "valid", English: []string{"valid"}, Chinese: []string{"有效数"}, About: "valid slots"},
		{Name: "due", English: []string{"due"}, Chinese: []string{"应有数"}, About: "slots due"},
		{Name: "times_over", English: []string{"times_over"}, Chinese: []string{"超标倍数"}, About: "(mean-limit)/limit, of the high limit"},
		{Name: "month", English: []string{"month"}, Chinese: []string{"月份"}, About: "month of the window's start, 1..12, UTC+8"},
		{Name: "medium", English: []string{"medium"}, Chinese: []string{"介质"}, Text: true, About: "water or gas"},
		{Name: "standard", English: []string{"standard"}, Chinese: []string{"执行标准"}, Text: true, About: "the outlet's standard in the registry"},
		{Name: "class", English: []string{"class"}, Chinese: []string{"类别"}, Text: true, About: "the outlet's class in the registry"},
		{Name: "region", English: []string{"region"}, Chinese: []string{"地区"}, Text: true, About: "province/city/county"},
		{Name: "outlet", English: []string{"outlet"}, Chinese: []string{"排口"}, Text: true, About: "the outlet's id"},
	}
}

// A GuardFactor is a name for another factor's mean over the same window.
type GuardFactor struct{ Code, English, Chinese string }

// GuardFactors names the factors that conditions of standards speak of. Every other one goes by its code.
func GuardFactors() []GuardFactor {
	return []GuardFactor{
		{"w01010", "water_temperature", "水温"}, {"w01001", "ph", "酸碱度"}, {"w00000", "water_flow", "污水流量"}, {"a00000", "gas_flow", "废气流量"},
		{"a19001", "oxygen", "含氧量"}, {"a01012", "gas_temperature", "烟温"}, {"a01014", "moisture", "湿度"}, {"a01011", "velocity", "流速"},
		{"a01013", "pressure", "烟压"}, {"a01901", "furnace_temperature", "炉温"},
	}
}

// NewGuard makes a guard of its text and its code. The error says what is wrong with the code.
func NewGuard(text, code string) (*Guard, error) {
	g := &Guard{Text: text, Code: code}
	return g, g.read()
}

// Factors lists the codes of the other factors that the guard asks for.
func (g *Guard) Factors() []string {
	var list []string
	if g == nil {
		return nil
	}
	for i := range g.words {
		if w := &g.words[i]; w.op == "@" && !slices.Contains(list, w.text) {
			list = append(list, w.text)
		}
	}
	return list
}

func (g *Guard) equal(o *Guard) bool {
	return g == o || g != nil && o != nil && g.Text == o.Text && g.Code == o.Code
}

// ready reads the code and checks that the rule can answer for what it asks.
func (g *Guard) ready(r *Rule) error {
	if len(g.Text) > MaxGuardText {
		return fmt.Errorf("is longer than %d bytes", MaxGuardText)
	}
	if err := g.read(); err != nil {
		return err
	}
	if len(g.Factors()) > 0 && r.Statistic != telemetry.StatHour && r.Statistic != telemetry.StatDay {
		return fmt.Errorf("other factors are known when a window has closed: only rules of hour and day may ask for them, not %s", r.Statistic)
	}
	for i := range g.words {
		switch op := g.words[i].op; {
		case op == "@" && g.words[i].text == r.Factor:
			return fmt.Errorf("%s is the rule's own factor: write mean or 均值", r.Factor)
		case op == "low" && r.Low == nil:
			return errors.New("asks for the low limit, which the rule does not have")
		case op == "times_over" && (r.High == nil || *r.High <= 0):
			return errors.New("times_over needs a high limit above zero")
		}
	}
	return nil
}

// Kinds of what lies on the stack of an evaluation.
const (
	kindTruth  = 't'
	kindNumber = 'n'
	kindText   = 's'
)

var errGuard = errors.New("the code of a condition is not one that this program makes")

// read parses and type-checks the code.
func (g *Guard) read() error {
	if g.words != nil {
		return nil
	}
	if len(g.Code) > 4*MaxGuardText || strings.HasSuffix(g.Code, " ") {
		return errGuard
	}
	var words []word
	var stack []byte
	for rest := g.Code; rest != ""; {
		w, tail, err := readWord(rest)
		if err != nil {
			return err
		}
		words = append(words, w)
		if len(words) > MaxGuardWords {
			return fmt.Errorf("has more than %d parts: shorten it", MaxGuardWords)
		}
		if stack, err = w.check(stack); err != nil {
			return err
		}
		rest = tail
	}
	if string(stack) != string(kindTruth) {
		return errGuard
	}
	g.words = words
	return nil
}

// readWord reads the first word of code and returns what comes behind its space.
func readWord(code string) (w word, rest string, err error) {
	if code[0] == '"' {
		quoted, err := strconv.QuotedPrefix(code)
		if err != nil {
			return w, "", errGuard
		}
		if w.text, err = strconv.Unquote(quoted); err != nil || w.text == "" {
			return w, "", errGuard
		}
		rest = code[len(quoted):]
		if rest != "" && rest[0] != ' ' {
			return w, "", errGuard
		}
		return w, strings.TrimPrefix(rest, " "), nil
	}
	text, rest, _ := strings.Cut(code, " ")
	if text == "" {
		return w, "", errGuard
	}
	switch {
	case text[0] >= '0' && text[0] <= '9':
		if !plainDecimal(text) {
			return w, "", fmt.Errorf("%q is not a plain decimal of at most 18 digits", text)
		}
		w.num, _ = new(big.Rat).SetString(text)
	case text[0] == '@':
		f, ok := telemetry.LookupFactor(text[1:])
		if !ok || f.Code != text[1:] {
			return w, "", fmt.Errorf("%q is no factor of HJ 212-2017 annex B", text[1:])
		}
		w.op, w.text = "@", text[1:]
	case strings.HasPrefix(text, "in:"):
		n, err := strconv.Atoi(text[3:])
		if err != nil || n < 1 || n > MaxGuardWords {
			return w, "", errGuard
		}
		w.op, w.n = "in", n
	default:
		w.op = text
	}
	return w, rest, nil
}

func plainDecimal(s string) bool {
	whole, part, point := strings.Cut(s, ".")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return digits(whole) && (!point || digits(part)) && len(whole)+len(part) <= 18
}

// check applies the word to the kinds of the values on the stack.
func (w *word) check(stack []byte) ([]byte, error) {
	pop := func(kinds string) bool {
		if !strings.HasSuffix(string(stack), kinds) {
			return false
		}
		stack = stack[:len(stack)-len(kinds)]
		return true
	}
	var result byte
	ok := true
	switch w.op {
	case "":
		if result = kindText; w.num != nil {
			result = kindNumber
		}
	case "@":
		result = kindNumber
	case "+", "-", "*", "/":
		ok, result = pop("nn"), kindNumber
	case "neg":
		ok, result = pop("n"), kindNumber
	case "<", "<=", ">", ">=":
		ok, result = pop("nn"), kindTruth
	case "=", "!=":
		ok, result = pop("nn") || pop("ss"), kindTruth
	case "and", "or":
		ok, result = pop("tt"), kindTruth
	case "not":
		ok, result = pop("t"), kindTruth
	case "in":
		ok, result = pop(strings.Repeat("n", w.n+1)) || pop(strings.Repeat("s", w.n+1)), kindTruth
	default:
		i := slices.IndexFunc(GuardNames(), func(n GuardName) bool { return n.Name == w.op })
		if i < 0 {
			return nil, fmt.Errorf("%q is no name of a condition", w.op)
		}
		if result = kindNumber; GuardNames()[i].Text {
			result = kindText
		}
	}
	if !ok {
		return nil, errGuard
	}
	return append(stack, result), nil
}
