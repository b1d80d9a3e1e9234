package definition_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/actors/definition"
)

const reference = "../../../shared/conformance/spec/dsl-reference.md"

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestReference compiles every whole workflow of the language's reference: it is either deployable, or refused for nothing but
// what is not supported yet.
func TestReference(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(reference)
	if err != nil {
		t.Skipf("the reference of the language is not at %s", reference)
	}
	deployable := 0
	for _, found := range yamlBlock.FindAllStringSubmatch(string(content), -1) {
		if !strings.HasPrefix(found[1], "document:\n  dsl:") {
			continue // a part of a workflow
		}
		def, mistakes := definition.Compile([]byte(found[1]), definition.Limits{})
		if def != nil {
			deployable++
		}
		for _, m := range mistakes {
			if !wantedLine.MatchString(m.GetMessage()) {
				t.Errorf("%v in\n%s", m, found[1])
			}
		}
	}
	if deployable < 4 {
		t.Errorf("only %d examples can be deployed", deployable)
	}
}
