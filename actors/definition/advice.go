package definition

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// parseAdvice says what to write in place of an expression that is no jq, if what was meant can be told; else "". The token at
// an offset of the text was not expected.
func parseAdvice(text string, offset int, token string, condition bool) string {
	around := func(s string) bool { // s stands where the token does
		from := max(0, offset-len(s)+1)
		return strings.Contains(text[from:min(len(text), offset+len(s))], s)
	}
	switch {
	case strings.Contains(text, "${") && condition:
		return "one string is one expression" + joined(text)
	case strings.Contains(text, "${"):
		return "one string is one expression" + composed("${"+text+"}")
	case strings.HasPrefix(token, "'"):
		if found := singleQuoted.FindStringSubmatch(text[offset:]); found != nil {
			return fmt.Sprintf("strings stand in double quotes: write %q", found[1])
		}
		return "strings stand in double quotes"
	case around("&&"):
		return "write \"and\" in place of &&"
	case around("||"):
		return "write \"or\" in place of ||"
	case around("==="):
		return "write == in place of ==="
	case strings.HasPrefix(token, "!"):
		return "write (… | not) in place of !…"
	case strings.HasPrefix(token, "$"):
		return "a variable has a name, and the input is . without a $"
	case around("()"):
		return "a function without arguments has no parentheses, and gets its input through a pipe: write .a | length"
	case indexWithDot.MatchString(token):
		return fmt.Sprintf("write [%s] in place of %s", token[1:], token)
	case token == "" && strings.Contains(text, "if ") && !wordEnd.MatchString(text):
		return "an \"if\" ends with \"end\""
	case ternary.MatchString(text):
		return "write if … then … else … end in place of … ? … : …"
	}
	return ""
}

var (
	singleQuoted = regexp.MustCompile(`^'([^']*)'`)
	indexWithDot = regexp.MustCompile(`^\.\d+$`)
	wordEnd      = regexp.MustCompile(`\bend\b`)
	ternary      = regexp.MustCompile(`\?[^?/]*:`)
	embedded     = regexp.MustCompile(`\$\{\s*(.*?)\s*\}`)
)

// composed says how to write, as one expression, a text with expressions in it.
func composed(text string) string {
	var b strings.Builder
	b.WriteString(`"`)
	at := 0
	for _, m := range embedded.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(quoteInside(text[at:m[0]]))
		b.WriteString(`\(` + text[m[2]:m[3]] + `)`)
		at = m[1]
	}
	b.WriteString(quoteInside(text[at:]) + `"`)
	if _, err := gojq.Parse(b.String()); err != nil || b.Len() > 120 || at == 0 {
		return ": put the parts together in it, such as ${ \"\\(.a) and \\(.b)\" }"
	}
	return ": write ${ " + b.String() + " }"
}

// joined says how to write, as one condition, the text of an expression with others in it: as a text, it would always hold.
func joined(text string) string {
	for _, text := range []string{"${" + text + "}", text} {
		whole := embedded.ReplaceAllStringFunc(otherOperators.Replace(text), func(part string) string {
			part = strings.TrimSpace(inner(part))
			if q, err := gojq.Parse(part); err == nil && q.Term == nil {
				return "(" + part + ")"
			}
			return part
		})
		if q, err := gojq.Parse(whole); err == nil && q.Term == nil && len(whole) <= 120 {
			return ": write ${ " + whole + " }"
		}
	}
	return ": put the parts together in it, such as ${ .a and .b }"
}

var otherOperators = strings.NewReplacer("&&", "and", "||", "or", "===", "==")

// quoteInside writes a text as it stands within a string of jq.
func quoteInside(text string) string {
	quoted, _ := gojq.Marshal(text) // a string can always be encoded
	return string(quoted[1 : len(quoted)-1])
}

// hyphenated are properties whose names can't be written without quotes.
var hyphenated = regexp.MustCompile(`\.[A-Za-z_]\w*(?:-[A-Za-z_]\w*)+`)

// strings of jq, as far as they have no expressions with strings inside.
var jqStrings = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// hyphens returns the first thing in an expression that looks like a property with hyphens in its name, and subtracts; or "".
func hyphens(text string) string {
	return hyphenated.FindString(jqStrings.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat(" ", len(s)) }))
}

// literals are what other languages call the literals of jq.
var literals = map[string]string{
	"True": "true", "False": "false", "None": "null", "nil": "null", "undefined": "null", "Null": "null", "NULL": "null",
	"TRUE": "true", "FALSE": "false",
}

// functionAdvice says what a function may have been meant to be that does not exist.
func (r *rewriter) functionAdvice(name string, arity int) string {
	if property := hyphens(r.text); slices.Contains(strings.Split(property, "-"), name) {
		return fmt.Sprintf("; for a property of this name, write .%q", property[1:])
	}
	if s := r.library.suggestion(name); s != "" {
		return ": did you mean " + s + "?"
	}
	switch {
	case literals[name] != "":
		return ": write " + literals[name]
	case arity == 0 && !strings.Contains(name, "::"):
		return fmt.Sprintf("; for the property of this name write .%s, for the text %q", name, name)
	}
	return ""
}

// variableAdvice says what a variable may have been meant to be that does not exist.
func variableAdvice(name string, p place, vars []string) string {
	known := p.variables(vars)
	if s := similar(name, known); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	if s := similar(name, secretArguments); s != "" {
		return fmt.Sprintf("if %s is meant, that has a value only in the \"with\" of \"call: http\"", s)
	}
	if len(known) == 0 && p.hint != "" {
		return p.hint
	}
	expected := "expected " + quoted(known)
	if name == "$"+defaultErrorVariable {
		expected += "; an error is there only in a \"catch\", as $" + defaultErrorVariable + " or by the name that \"as\" gives it"
	}
	return expected
}
