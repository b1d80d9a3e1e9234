package definition

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	problem "github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// specified is where the specification of the language may be. It is no part of the project.
const specified = "../../../shared/conformance"

// TestSpecification compares the compiler with the JSON schema of the specification, over the examples of the specification, those of the
// pages about the language, and what the golden tests compile: what the schema takes is compiled, or is refused for nothing but the reasons
// in refusals; and what it does not take is refused, too, but for laxities.
func TestSpecification(t *testing.T) {
	t.Parallel()
	l := readComparison(t)
	compiled, refused := 0, 0
	for _, d := range corpus(t) {
		got := l.judge(d.text)
		if got.wrong != "" {
			t.Errorf("%s: %s", d.name, got.wrong)
		}
		switch {
		case got.strict && got.compiled:
			compiled++
		case got.strict:
			refused++
		}
	}
	t.Logf("of what the schema takes %d documents are compiled, and %d refused", compiled, refused)
	if compiled < 80 || refused < 20 {
		t.Errorf("of what the schema takes only %d documents are compiled, and %d refused", compiled, refused)
	}
}

// TestRefusals: each reason to refuse what the schema takes is the reason for its example, and stands in the page about the language.
func TestRefusals(t *testing.T) {
	t.Parallel()
	l := readComparison(t)
	page := words(readPage(t))
	for i, r := range refusals {
		got := l.judge(fragment(t, r.example, nil))
		switch {
		case !got.strict:
			t.Errorf("%s: the schema does not take %s", r.message, r.example)
		case got.compiled:
			t.Errorf("%s: this is compiled: %s", r.message, r.example)
		case !slices.ContainsFunc(got.mistakes, func(m *definitionv1.Mistake) bool { return refusalOf(m) == i }):
			t.Errorf("%s: not why this is refused: %s\n%v", r.message, r.example, got.mistakes)
		case got.wrong != "":
			t.Errorf("%s: %s", r.message, got.wrong)
		}
		if !strings.Contains(page, words(r.because)) {
			t.Errorf("%s: docs/language.md does not say: %s", r.message, r.because)
		}
	}
}

// TestLaxities: each example of what the schema does not take is compiled, and the schema takes it with what is said of it alone.
func TestLaxities(t *testing.T) {
	t.Parallel()
	strict := schemaWith(t)
	for i, x := range laxities {
		if x.reason == "" {
			t.Errorf("%s is lax without a reason", x.at)
		}
		l := &comparison{strict: strict, lax: schemaWith(t, laxities[i])}
		for _, example := range x.examples {
			switch got := l.judge(fragment(t, example, nil)); {
			case got.strict:
				t.Errorf("%s: the schema takes %s", x.at, example)
			case !got.compiled:
				t.Errorf("%s: %s is refused: %v", x.at, example, got.mistakes)
			case got.wrong != "":
				t.Errorf("%s: %s", x.at, got.wrong)
			}
		}
	}
}

// comparison is what the schema of the specification takes, and what it takes with all laxities.
type comparison struct{ strict, lax *jsonschema.Schema }

func readComparison(tb testing.TB) *comparison {
	tb.Helper()
	return &comparison{strict: schemaWith(tb), lax: schemaWith(tb, laxities...)}
}

// specification is the schema of the specification; nil if that is not there.
var specification = sync.OnceValue(func() any {
	text, err := os.ReadFile(filepath.Join(specified, "spec", "workflow.schema.yaml"))
	if err != nil {
		return nil
	}
	return new(mistakes).parse(text, Limits{}.WithDefaults()).value()
})

// cloned copies what is decoded.
func cloned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, part := range v {
			out[name] = cloned(part)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, part := range v {
			out[i] = cloned(part)
		}
		return out
	default:
		return v
	}
}

// schemaWith compiles the schema of the specification with laxities.
func schemaWith(tb testing.TB, with ...laxity) *jsonschema.Schema {
	tb.Helper()
	root := cloned(specification())
	if root == nil {
		tb.Skipf("the specification is not at %s", specified)
	}
	for _, x := range with {
		x.apply(tb, root)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat() // an instance that is no pointer is an expression, says the schema by its formats
	c.UseRegexpEngine(compileWithoutLooking)
	if err := c.AddResource(schemaURL, root); err != nil {
		tb.Fatal(err)
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// compileWithoutLooking compiles a regular expression of the schema. Its durations look ahead, which RE2 can't: after P, and after T, there
// must be more.
func compileWithoutLooking(text string) (jsonschema.Regexp, error) {
	short := strings.NewReplacer(`(?!$)`, "", `(?=\d)`, "").Replace(text)
	re, err := regexp.Compile(short)
	if err != nil || short == text {
		return re, err
	}
	return withoutLooking{re}, nil
}

type withoutLooking struct{ *regexp.Regexp }

func (r withoutLooking) MatchString(s string) bool {
	return r.Regexp.MatchString(s) && !strings.HasSuffix(s, "P") && !strings.HasSuffix(s, "T")
}

// verdict is what comes of a document.
type verdict struct {
	// strict: the schema takes it.
	strict, compiled bool
	mistakes         []*definitionv1.Mistake
	// wrong is how schema and compiler disagree; empty: they don't.
	wrong string
}

// judge compares what the schema and the compiler say of a document. What can't be read as JSON or YAML is not for the schema.
func (l *comparison) judge(document string) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			v.wrong = fmt.Sprintf("panic: %v\n%s", p, document)
		}
	}()
	root := new(mistakes).parse([]byte(document), Limits{}.WithDefaults())
	if root == nil {
		return v
	}
	v.strict = l.strict.Validate(root.value()) == nil
	whole, err := messages.WithResources([]byte(document), elsewhereForTests)
	if err != nil {
		v.wrong = err.Error()
		return v
	}
	def, found := Compile(whole, Limits{})
	v.compiled, v.mistakes = def != nil, found
	switch {
	case v.strict && !v.compiled:
		for _, m := range found {
			if refusalOf(m) < 0 {
				v.wrong = fmt.Sprintf("the schema takes what is refused: %s: %s\n%s", m.GetPath(), m.GetMessage(), document)
			}
		}
	case !v.strict && v.compiled:
		if err := l.lax.Validate(root.value()); err != nil {
			v.wrong = fmt.Sprintf("compiled is what the schema does not take: %s\n%s", deepest(err), document)
		}
	}
	return v
}

// deepest tells what of the problems with a document is furthest inside: of all that an alternative lacks, that is why.
func deepest(err error) string {
	problems, is := errors.AsType[*jsonschema.ValidationError](err)
	if !is {
		return err.Error()
	}
	var found []*jsonschema.ValidationError
	var visit func(e *jsonschema.ValidationError)
	visit = func(e *jsonschema.ValidationError) {
		if _, noise := e.ErrorKind.(*problem.FalseSchema); len(e.Causes) == 0 && !noise && (len(found) == 0 || len(e.InstanceLocation) >= len(found[0].InstanceLocation)) {
			if len(found) > 0 && len(e.InstanceLocation) > len(found[0].InstanceLocation) {
				found = nil
			}
			found = append(found, e)
		}
		for _, cause := range e.Causes {
			visit(cause)
		}
	}
	visit(problems)
	var b strings.Builder
	for _, e := range found {
		fmt.Fprintf(&b, "\n at /%s: %s", strings.Join(e.InstanceLocation, "/"), say(e))
	}
	return b.String()
}

// refusalOf returns which of the refusals a mistake is; -1: none.
func refusalOf(m *definitionv1.Mistake) int {
	return slices.IndexFunc(refusals, func(r refusal) bool { return r.of(m) })
}

// words is a text with its lines joined, in lower case.
func words(text string) string { return strings.ToLower(strings.Join(strings.Fields(text), " ")) }

// written is a document of the corpus.
type written struct{ name, text string }

// corpus returns the documents that are compared. Those with mistakes are among them.
func corpus(tb testing.TB) (all []written) {
	tb.Helper()
	for _, pattern := range []string{filepath.Join(specified, "examples", "*.yaml"), filepath.Join(specified, "spec", "*.md")} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			tb.Fatalf("nothing is at %s", pattern)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				tb.Fatal(err)
			}
			if filepath.Ext(file) == ".yaml" {
				all = append(all, written{file, string(text)})
				continue
			}
			for _, block := range yamlBlocks(string(text)) {
				if strings.HasPrefix(block.text, "document:\n  dsl:") {
					all = append(all, written{fmt.Sprintf("%s:%d", file, block.line), block.text})
				}
			}
		}
	}
	for _, block := range yamlBlocks(readPage(tb)) {
		all = append(all, written{fmt.Sprintf("language.md:%d", block.line), fragment(tb, block.text, known)})
	}
	return append(all, golden(tb)...)
}

// golden returns the documents that golden tests compile.
func golden(tb testing.TB) (all []written) {
	tb.Helper()
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil || len(files) == 0 {
		tb.Fatal("there are no golden tests")
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		for i, c := range strings.Split(string(content), "\n\n") {
			for strings.HasPrefix(c, "#") {
				_, c, _ = strings.Cut(c, "\n")
			}
			verb, text, _ := strings.Cut(c, "\n")
			text, _, _ = strings.Cut(text, "\n----")
			verb, _, _ = strings.Cut(verb, " ")
			switch verb {
			case "do":
				text = head + "do:\n" + text
			case "compile", "request":
			default:
				continue
			}
			all = append(all, written{fmt.Sprintf("%s, number %d", file, i), text})
		}
	}
	return all
}
