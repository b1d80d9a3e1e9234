package definition_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/actors/definition"
)

const conformance = "../../../shared/conformance/ctk"

var (
	scenario   = regexp.MustCompile(`(?m)^  Scenario: (.*)$`)
	definedBy  = regexp.MustCompile(`(?s)Given a workflow with definition:\s*"""yaml\n(.*?)"""`)
	notForUs   = []string{"call: openapi"} // documents of OpenAPI are not there
	wantedLine = regexp.MustCompile(`not supported yet|has to be deployed with the definition|is fetched when it is deployed, without secrets`)
)

// TestConformanceKit compiles every definition of the language's conformance kit: it is either deployable, or refused
// for nothing but constructs that are not supported yet.
func TestConformanceKit(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(conformance, "*.feature"))
	if err != nil || len(files) == 0 {
		t.Skipf("the conformance kit is not at %s", conformance)
	}
	deployable := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := scenario.FindAllStringSubmatch(string(content), -1)
		for i, found := range definedBy.FindAllStringSubmatch(string(content), -1) {
			document := found[1]
			name := names[i][1]
			def, mistakes := definition.Compile([]byte(document), definition.Limits{})
			supported := true
			for _, construct := range notForUs {
				supported = supported && !strings.Contains(document, construct)
			}
			switch {
			case supported && def == nil:
				t.Errorf("%s, %s: %v", filepath.Base(file), name, mistakes)
			case supported:
				deployable++
			case def != nil:
				t.Errorf("%s, %s: deployed although it uses what is not supported", filepath.Base(file), name)
			default:
				for _, m := range mistakes {
					if !wantedLine.MatchString(m.GetMessage()) {
						t.Errorf("%s, %s: %v", filepath.Base(file), name, m)
					}
				}
			}
		}
	}
	if deployable < 17 {
		t.Errorf("only %d scenarios of the kit can be deployed", deployable)
	}
}
