package definition_test

import (
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/actors/definition"
)

// Each task of a definition is found where its name is written, those of functions and extensions where these are.
func TestWhereabouts(t *testing.T) {
	t.Parallel()
	const document = `document: { dsl: '1.0.3', namespace: test, name: test, version: '1.0.0' }
use:
  functions:
    greet:
      do:
      - say: { call: mail.send }
  extensions:
  - log:
      extend: wait
      before:
      - note: { call: log.write }
do:
- first/step: { call: greet }
- second:
    try:
    - inside: { wait: PT1H }
    catch:
      do:
      - mend: { set: { done: true } }
- third:
    call: a.b
    metadata:
      holdfast:
        compensate: { call: a.c }
`
	def, mistakes := definition.Compile([]byte(document), definition.Limits{})
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	lines := strings.Split(document, "\n")
	places := definition.WhereaboutsOf([]byte(document), definition.Limits{})
	for ref, task := range def.Tasks {
		line, column := places.Of(ref)
		if strings.HasSuffix(ref, "/extensions") {
			continue // it stands for the tasks around a task
		}
		if line < 1 || !strings.HasPrefix(lines[line-1][column-1:], task.Name+":") {
			t.Errorf("%s is said to be at %d:%d", ref, line, column)
		}
	}
	if len(def.Tasks) != 10 {
		t.Errorf("there are %d tasks", len(def.Tasks))
	}
	for ref, want := range map[string]int{"/do/1/second/catch": 17, "/do/7/none": 12, "": 1} {
		if line, _ := places.Of(ref); line != want {
			t.Errorf("%q is on line %d, not %d", ref, line, want)
		}
	}
	if line, column := definition.WhereaboutsOf([]byte("{"), definition.Limits{}).Of("/do"); line != 0 || column != 0 {
		t.Errorf("in what can't be read, something is at %d:%d", line, column)
	}
}
