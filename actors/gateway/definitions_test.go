package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
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

// TestRetirement: a retired definition is not for new orders. Orders that run it go on, and so does who names its version to run
// it as a child; what is submitted again is still the same order.
func TestRetirement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ctx := t.Context()
		for version, tasks := range map[string]string{"1.0.0": waitLong, "1.1.0": waitLong, "2.0.0-rc.1": nothing} {
			n.deploy("one", version, tasks)
		}
		pinned := n.deploy("pinned", "1.0.0", "do: [{a: {wait: PT10S}}, {b: {run: {workflow: {namespace: test, name: one, version: 1.1.0}}}}]")
		newest := n.deploy("newest", "1.0.0", "do: [{b: {run: {workflow: {namespace: test, name: one, version: latest}}}}]")
		order := func(id, definition string) *orderv1.WorkOrder {
			return &orderv1.WorkOrder{Id: id, Definition: definition}
		}
		running := n.submit(order("running", "test/one"), orderv1.Wait_WAIT_ACCEPTED)
		if running.GetDefinition() != "test/one:1.1.0" {
			t.Fatalf("the order runs %s", running.GetDefinition())
		}
		n.submit(order("parent", pinned), orderv1.Wait_WAIT_ACCEPTED)

		retire := func(ref, reason string) *definitionv1.Definition {
			t.Helper()
			r, err := n.definitions.Retire(ctx, &definitionv1.RetireRequest{Definition: ref, By: "jane", Reason: reason})
			if err != nil {
				t.Fatal(err)
			}
			return r.GetDefinition()
		}
		d := retire("test/one:1.1.0", "bills twice")
		if r := d.GetRetirement(); r.GetBy() != "jane" || r.GetReason() != "bills twice" || !r.GetAt().AsTime().Equal(time.Now()) {
			t.Errorf("retired as %v", d)
		}
		time.Sleep(time.Second)
		if again := retire("test/one:1.1.0", "again"); !proto.Equal(again, d) {
			t.Errorf("retired again as %v", again)
		}
		submit := func(id, definition string) error {
			_, err := n.orders.Submit(ctx, &orderv1.SubmitRequest{Order: order(id, definition)})
			return err
		}
		err := submit("new", "test/one:1.1.0")
		wantRefusal(t, err, codes.FailedPrecondition, "DEFINITION_RETIRED", "order.definition")
		if !strings.Contains(err.Error(), "bills twice") {
			t.Errorf("the reason is not told: %v", err)
		}
		if err := submit("running", "test/one"); err != nil {
			t.Errorf("submitted again: %v", err)
		}
		if o := n.submit(order("older", "test/one"), orderv1.Wait_WAIT_ACCEPTED); o.GetDefinition() != "test/one:1.0.0" {
			t.Errorf("the latest is %s", o.GetDefinition())
		}
		retire("test/one:1.0.0", "")
		if o := n.submit(order("candidate", "test/one"), orderv1.Wait_WAIT_ACCEPTED); o.GetDefinition() != "test/one:2.0.0-rc.1" {
			t.Errorf("the latest is %s", o.GetDefinition())
		}
		retire("test/one:2.0.0-rc.1", "")
		wantRefusal(t, submit("none", "test/one"), codes.FailedPrecondition, "DEFINITION_RETIRED", "order.definition")
		if o := n.submit(order("failed", newest), orderv1.Wait_WAIT_ENDED); o.GetStatus() != orderv1.Status_STATUS_FAULTED ||
			!strings.Contains(o.GetError().GetDetail(), "retired") {
			t.Errorf("a parent of the latest: %v", o)
		}
		time.Sleep(time.Minute)
		for _, id := range []string{"running", "parent", "parent~1"} {
			r, err := n.orders.Get(ctx, &orderv1.GetRequest{Id: id})
			if err != nil || r.GetOrder().GetStatus() != orderv1.Status_STATUS_COMPLETED {
				t.Errorf("%s: %v, %v", id, r, err)
			}
		}

		if _, err := n.definitions.Reinstate(ctx, &definitionv1.ReinstateRequest{Definition: "test/one:1.0.0"}); err != nil {
			t.Fatal(err)
		}
		if o := n.submit(order("after", "test/one"), orderv1.Wait_WAIT_ACCEPTED); o.GetDefinition() != "test/one:1.0.0" {
			t.Errorf("the latest is %s", o.GetDefinition())
		}
		for ref, reason := range map[string]string{"test/one": "BAD_REQUEST", "test/one:latest": "BAD_REQUEST", "?": "BAD_REQUEST"} {
			_, err := n.definitions.Retire(ctx, &definitionv1.RetireRequest{Definition: ref})
			wantRefusal(t, err, codes.InvalidArgument, reason, "definition")
		}
		_, err = n.definitions.Reinstate(ctx, &definitionv1.ReinstateRequest{Definition: "test/one:3.0.0"})
		wantRefusal(t, err, codes.NotFound, "NO_SUCH_DEFINITION")
	})
}

// TestWarningsOfRetirement: what is deployed is told if it, or what it runs, is not for new orders.
func TestWarningsOfRetirement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.deploy("one", "1.0.0", nothing)
		if _, err := n.definitions.Retire(t.Context(), &definitionv1.RetireRequest{Definition: "test/one:1.0.0"}); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int{"one:1.0.0": 1, "other:latest": 1, "two:1.0.0": 0} { // the last is itself
			child, version, _ := strings.Cut(name, ":")
			parent := "of-" + child
			if child == "two" {
				parent = child
			}
			doc := fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: %s, version: 1.0.0}\n"+
				"do: [{a: {run: {workflow: {namespace: test, name: %s, version: %s}}}}]", parent, child, version)
			d, err := n.definitions.Deploy(t.Context(), &definitionv1.DeployRequest{Document: []byte(doc)})
			if err != nil || len(d.GetWarnings()) != want {
				t.Errorf("%s: %v, %v", name, d, err)
			}
		}
		d, err := n.definitions.Deploy(t.Context(), &definitionv1.DeployRequest{
			Document: []byte("document: {dsl: 1.0.3, namespace: test, name: one, version: 1.0.0}\n" + nothing),
		})
		if err != nil || len(d.GetWarnings()) != 1 || d.GetDefinition().GetRetirement() == nil {
			t.Errorf("deployed again: %v, %v", d, err)
		}
	})
}
