package gateway_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// TestStrictDeployment: what is surely not meant is deployed with a warning, and refused if it is to be deployed strictly.
func TestStrictDeployment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ctx := t.Context()
		doc := func(x string) []byte {
			return fmt.Appendf(nil, "document: {dsl: 1.0.3, namespace: test, name: text, version: 1.0.0}\ndo: [{a: {set: {x: '%s'}}}]", x)
		}
		v, err := n.definitions.Validate(ctx, &definitionv1.ValidateRequest{Document: doc("${ .a ")})
		if err != nil || len(v.GetMistakes()) != 0 || v.GetDefinition() != "test/text:1.0.0" || len(v.GetWarnings()) != 1 {
			t.Fatalf("validated as %v, %v", v, err)
		}
		w := v.GetWarnings()[0]
		if w.GetSeverity() != definitionv1.Severity_SEVERITY_WARNING || w.GetLine() != 2 || w.GetColumn() != 20 || w.GetPath() != "/do/0/a/set/x" {
			t.Errorf("the warning is %v", w)
		}
		_, err = n.definitions.Deploy(ctx, &definitionv1.DeployRequest{Document: doc("${ .a "), Strict: true})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_DEFINITION", "document/do/0/a/set/x")
		d, err := n.definitions.Deploy(ctx, &definitionv1.DeployRequest{Document: doc("${ .a ")})
		if err != nil || len(d.GetWarnings()) != 1 || d.GetWarnings()[0].GetMessage() != w.GetMessage() {
			t.Errorf("deployed as %v, %v", d, err)
		}
		v, err = n.definitions.Validate(ctx, &definitionv1.ValidateRequest{Document: doc("${ .a }")})
		if err != nil || len(v.GetMistakes())+len(v.GetWarnings()) != 0 {
			t.Errorf("validated as %v, %v", v, err)
		}
	})
}
