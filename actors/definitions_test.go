package actors_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// TestRetirementSurvivesARestart: what is retired stays so, and the orders that run it go on.
func TestRetirementSurvivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ref := func(version string) messages.DefinitionRef {
			return messages.DefinitionRef{Namespace: "test", Name: "many", Version: version}
		}
		deploy := func(version string) {
			n.deployDocument(fmt.Sprintf("document: {dsl: 1.0.3, namespace: test, name: many, version: %s}\n%s", version, "do: [{a: {wait: PT10S}}]"))
		}
		latest := func(n *node, want string) {
			t.Helper()
			if def, err := n.Definition(ref(messages.Latest)); err != nil || def.Ref.Version != want {
				t.Errorf("the latest is %v, %v, want %s", def, err, want)
			}
		}
		for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
			deploy(version)
		}
		def, err := n.Definition(ref("1.2.0"))
		if err != nil {
			t.Fatal(err)
		}
		n.mustSubmit(order{id: "a", def: def})
		for _, version := range []string{"1.2.0", "1.0.0"} {
			if _, err := n.Retire(t.Context(), ref(version), &journalv1.Retirement{At: 1, Reason: "wrong"}); err != nil {
				t.Fatal(err)
			}
		}
		latest(n, "1.1.0")
		n = n.restart()
		latest(n, "1.1.0")
		def, err = n.Definition(ref("1.2.0"))
		if wantErr(t, err, actors.ErrRetired); def == nil {
			t.Error("the retired definition is not returned")
		}
		n.sleep(11 * time.Second)
		n.expect("a", orderv1.Status_STATUS_COMPLETED)
		if _, err := n.Retire(t.Context(), ref("1.2.0"), nil); err != nil {
			t.Fatal(err)
		}
		latest(n, "1.2.0")
		n = n.restart()
		latest(n, "1.2.0")
		if _, err := n.Retire(t.Context(), ref("9.0.0"), nil); !errors.Is(err, actors.ErrUnknownDefinition) {
			t.Errorf("what is not deployed is retired: %v", err)
		}
	})
}

// A definition that can't be compiled says why, to whoever asks for an order that runs it.
func TestUncompilableDefinition(t *testing.T) {
	t.Parallel()
	refold := actors.NewRefolder(definition.Limits{})
	err := refold.AddDefinition(&journalv1.DefinitionRow{Namespace: "test", Name: "old", Version: "1.0.0", Document: []byte("do: [")})
	wantErr(t, err, actors.ErrUncompilable)
}
