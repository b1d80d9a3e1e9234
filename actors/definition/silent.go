package definition

import (
	"regexp"
	"slices"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// What surely is an expression where it stands as a text.
var (
	barePath     = regexp.MustCompile(`^\.[A-Za-z_]\w*(?:\[[^\]]*\]|\.[A-Za-z_]\w*)*$`)
	bareVariable = regexp.MustCompile(`^(\$[A-Za-z_]\w*)(?:\[[^\]]*\]|\.[A-Za-z_]\w*)*$`)
	jsonPath     = regexp.MustCompile(`^\$[.\[]`)
)

// checkText warns of a text that is surely meant as an expression.
func (c *compiler) checkText(n *node, vars []string) {
	text, name := strings.TrimSpace(n.text), n.property()
	variable := bareVariable.FindStringSubmatch(text)
	switch {
	case embedded.MatchString(text):
		c.warnf(n, "%q is text, also what stands in ${ } in it, for one string is one expression or none%s", name, composed(text))
	case strings.Contains(text, "${"):
		c.warnf(n, "%q is text, for its ${ does not end: add the }", name)
	case barePath.MatchString(text),
		variable != nil && (argumentNames[variable[1]] != 0 || slices.Contains(secretArguments, variable[1]) ||
			slices.Contains(append([]string{defaultErrorVariable}, vars...), variable[1][1:])):
		c.warnf(n, "%q is the text %s: if the expression is meant, write ${ %s }", name, shorten(text, 60), messages.Clip(text, 60))
	case jsonPath.MatchString(text):
		c.warnf(n, "%q is the text %s: there is no JSONPath, an expression is jq in ${ }, and . is its input", name, shorten(text, 60))
	}
}

// checkName warns of the name of a property that is surely meant as an expression.
func (c *compiler) checkName(n *node, k key) {
	if strings.Contains(k.name, "${") {
		c.warnKeyf(n, k, "the name %s of a property is text, also the ${ in it: make the whole object by an expression, such as "+
			"${ {(.name): .value} }", shorten(k.name, 60))
	}
}

// checkExpression warns of what an expression surely is not meant to do.
func (c *compiler) checkExpression(n *node, text string) {
	if property := hyphens(text); property != "" {
		c.warnf(n, "%q: %s subtracts: for a property of this name write .%q, to subtract put spaces round the -",
			n.property(), property, property[1:])
	}
}

// checkErrorType warns of a type of errors, in a filter, that no error has.
func (c *compiler) checkErrorType(n *node) {
	canonical := workflow.CanonicalErrorType(n.text)
	at := strings.LastIndexByte(n.text, '/') + 1
	standard := workflow.StandardErrorType(n.text[at:])
	switch {
	case standard == canonical:
	case at == 0 && standard != "":
		c.warnf(n, "\"type\" is %s, but the types of errors are URIs: write %s", shorten(n.text, 60), standard)
	case !absoluteURI.MatchString(n.text):
		c.warnf(n, "\"type\" is %s, but the types of errors are URIs, such as %s", shorten(n.text, 60), workflow.ErrorTypeCommunication)
	case workflow.CanonicalErrorType(n.text[:at]+"runtime") == workflow.ErrorTypeRuntime:
		c.warnf(n, "\"type\" is %s, but the specification has no such error: %s", shorten(n.text, 100),
			hint(n.text[at:], workflow.StandardErrors(), ""))
	}
}

// condition compiles a property that is a condition; nil after a mistake.
func (c *compiler) condition(n *node, name string, p place, vars []string) workflow.Expr {
	p.condition = true
	e := c.bare(n, name, p, vars)
	if e == nil {
		return nil
	}
	q, err := gojq.Parse(inner(n.text))
	switch {
	case err != nil:
	case q.Op == gojq.OpAssign:
		c.warnf(n, "%q: = makes a changed copy, and that always holds: to compare, write ==", name)
	case isTerm(q) && q.Term.Type == gojq.TermTypeString && len(q.Term.SuffixList) == 0:
		c.warnf(n, "%q is a text, and that always holds: write a condition, such as .status == \"ready\"", name)
	}
	return e
}

// errorCondition compiles a condition about the error that a catch clause has in its last variable; nil after a mistake.
func (c *compiler) errorCondition(n *node, name string, vars []string) workflow.Expr {
	e := c.condition(n, name, placeCatch, vars)
	if e == nil {
		return nil
	}
	variable := "$" + vars[len(vars)-1]
	q, err := gojq.Parse(inner(n.text))
	if err != nil || strings.Contains(n.text, variable) {
		return e
	}
	for _, property := range []string{"type", "status", "title", "detail", "instance", "error"} {
		if reads(q, property) {
			of := variable
			if property != "error" {
				of += "." + property
			}
			c.warnf(n, "%q: .%s is a property of the input of the \"try\", not of the error: write %s", name, property, of)
			break
		}
	}
	return e
}

// reads tells whether an expression reads a property of its input; not whether it reads it of what comes out of a pipe.
func reads(q *gojq.Query, property string) bool {
	if q == nil {
		return false
	}
	if q.Term == nil {
		return reads(q.Left, property) || q.Op != gojq.OpPipe && reads(q.Right, property)
	}
	t := q.Term
	switch t.Type {
	case gojq.TermTypeIndex:
		return t.Index.Name == property
	case gojq.TermTypeQuery:
		return reads(t.Query, property)
	case gojq.TermTypeFunc:
		return slices.ContainsFunc(t.Func.Args, func(arg *gojq.Query) bool { return reads(arg, property) })
	case gojq.TermTypeIf:
		return reads(t.If.Cond, property) || reads(t.If.Then, property) || reads(t.If.Else, property)
	default:
		return false
	}
}

// inner returns the text of an expression, without ${ } if it has them.
func inner(text string) string {
	if isExpression(text) {
		return text[strings.Index(text, "${")+len("${") : strings.LastIndex(text, "}")]
	}
	return text
}
