package main

import (
	"slices"
	"testing"

	"github.com/holdfast-run/holdfast/actors/definition"
)

func TestDefinitionCompiles(t *testing.T) {
	t.Parallel()
	document, err := files.ReadFile("definitions/activate-mobile.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, mistakes := definition.Compile(document, definition.Limits{})
	for _, m := range mistakes {
		t.Errorf("%d:%d %s: %s", m.GetLine(), m.GetColumn(), m.GetPath(), m.GetMessage())
	}
	if d == nil {
		t.FailNow()
	}
	if got := d.Ref.String(); got != definitionRef {
		t.Errorf("the document defines %s, orders are submitted for %s", got, definitionRef)
	}
	var offered []string
	for name, operations := range systems {
		for operation := range operations {
			offered = append(offered, name+"."+operation)
		}
	}
	slices.Sort(offered)
	if !slices.Equal(d.Activities, offered) {
		t.Errorf("the definition calls %v, the systems offer %v", d.Activities, offered)
	}
}
