package definition

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// repeated joins what is made of the first numbers.
func repeated(count int, format string) string {
	var all []string
	for i := range count {
		all = append(all, fmt.Sprintf(format, i))
	}
	return strings.Join(all, ",")
}

// What a check takes is known before, about, so that none takes long: it is refused, or counted.
func TestSchemaCostIsKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schema, value string
		refused       bool
	}{
		"enum of numbers":  {"{items: {enum: [" + repeated(9000, "%d") + "]}}", "[" + repeated(4000, "1%05d") + "]", true},
		"enum of texts":    {"{items: {enum: [" + repeated(1000, "t%d") + "]}}", "[" + repeated(4000, `"t%d"`) + "]", false},
		"patterns":         {"{allOf: [" + repeated(20, "{pattern: '^(a|ab|c|[a-z]+%d)*$'}") + "]}", `"` + strings.Repeat("ab", 250_000) + `"`, true},
		"one pattern":      {"{pattern: '^(a|ab|c|[a-z]+d)*$'}", `"` + strings.Repeat("ab", 500_000) + `"`, false},
		"names":            {"{patternProperties: {" + repeated(500, "'(a|x)*y%d$': true") + "}}", "{" + repeated(1000, `"xxxxxxxxxxxxxxxxxxxx%d": 1`) + "}", true},
		"a few names":      {"{patternProperties: {" + repeated(20, "'^x-%d': true") + "}}", "{" + repeated(1000, `"x%d": 1`) + "}", false},
		"an ordinary one":  {"{type: object, properties: {a: {type: string, pattern: '^[a-z]+$'}}}", `{"a": "b"}`, false},
		"different items":  {"{uniqueItems: true}", "[" + repeated(100_000, "%d") + "]", false},
		"const of numbers": {"{items: {const: [" + repeated(9000, "%d") + "]}}", "[" + repeated(1000, "[%d]") + "]", true},
	} {
		def := deploy(t, head+"input: {schema: {document: {type: object, properties: {v: "+c.schema+"}}}}\ndo: [{a: {set: {n: 1}}}]\n", Limits{})
		var m workflow.Meter
		began := time.Now()
		err := def.Input.Schema.Validate(value(`{"v": `+c.value+`}`), &m)
		if refused := err != nil && strings.Contains(err.Error(), "too large"); refused != c.refused {
			t.Errorf("%s: refused: %v, after %v and %d checks", name, refused, time.Since(began), m.Checks)
		}
	}
}
