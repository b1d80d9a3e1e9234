package postgres

import (
	"reflect"
	"testing"
)

// Statements are the texts of all variants.
func Statements() (texts []string) {
	parts := reflect.TypeFor[variant]().NumField()
	for bits := range 1 << parts {
		var v variant
		for i := range parts {
			reflect.ValueOf(&v).Elem().Field(i).SetBool(bits>>i&1 == 1)
		}
		texts = append(texts, statementOf(v).sql)
	}
	return texts
}

// What fills in the parameters is what batch.sql calls them.
func TestParameters(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, name := range parameter.FindAllString(batchSQL, -1) {
		used[name[1:]] = true
		if parameters[name[1:]] == nil {
			t.Errorf("batch.sql has the parameter %s, which nothing fills in", name)
		}
	}
	for name := range parameters {
		if !used[name] {
			t.Errorf("the parameter %s is filled in, and batch.sql does not have it", name)
		}
	}
}
