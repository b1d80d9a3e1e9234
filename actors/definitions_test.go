package actors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/definition"
	orders "github.com/holdfast-run/holdfast/actors/order"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/journaltest"
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
			if def, err := found(n.Catalog(), ref(messages.Latest)); err != nil || def.Ref.Version != want {
				t.Errorf("the latest is %v, %v, want %s", def, err, want)
			}
		}
		for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
			deploy(version)
		}
		def, err := found(n.Catalog(), ref("1.2.0"))
		if err != nil {
			t.Fatal(err)
		}
		n.mustSubmit(order{id: "a", def: def})
		for _, version := range []string{"1.2.0", "1.0.0"} {
			if _, err := n.Catalog().Retire(t.Context(), ref(version), &journalv1.Retirement{At: 1, Reason: "wrong"}); err != nil {
				t.Fatal(err)
			}
		}
		latest(n, "1.1.0")
		n = n.restart()
		latest(n, "1.1.0")
		def, err = found(n.Catalog(), ref("1.2.0"))
		if wantErr(t, err, catalog.ErrRetired); def == nil {
			t.Error("the retired definition is not returned")
		}
		n.sleep(11 * time.Second)
		n.expect("a", orderv1.Status_STATUS_COMPLETED)
		if _, err := n.Catalog().Retire(t.Context(), ref("1.2.0"), nil); err != nil {
			t.Fatal(err)
		}
		latest(n, "1.2.0")
		n = n.restart()
		latest(n, "1.2.0")
		if _, err := n.Catalog().Retire(t.Context(), ref("9.0.0"), nil); !errors.Is(err, catalog.ErrUnknown) {
			t.Errorf("what is not deployed is retired: %v", err)
		}
	})
}

// A definition that can't be compiled says why, to whoever asks for an order that runs it.
// spoiled is a journal whose definitions can't be compiled any more.
type spoiled struct{ persistence.Journal }

func (j spoiled) Definition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	row, err := j.Journal.Definition(ctx, ref)
	if row != nil {
		row.Document = []byte("do: [")
	}
	return row, err
}

// Orders that can't be loaded are told of as what needs a person, until they can be.
func TestUnloadableOrders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.mustSubmit(order{id: "a", def: n.deploy("waits", "do: [{w: {wait: PT5S}}]")})
		n.mustSubmit(order{id: "later", def: n.deploy("waits-long", "do: [{w: {wait: P1D}}]")})
		n.settings.wrap = func(j persistence.Journal) persistence.Journal { return spoiled{j} }
		n = n.crash()
		n.sleep(20 * time.Second)
		wantErr(t, n.cancel("a"), catalog.ErrUncompilable)
		if s := n.Status(t.Context()); s.UnloadableCount != 1 || !slices.Equal(s.Unloadable, []messages.OrderID{"a"}) {
			t.Errorf("status is %+v", s)
		}
		wantErr(t, n.cancel("later"), catalog.ErrUncompilable)
		n.sleep(time.Second)
		both := n.Status(t.Context()).Unloadable
		n.BreakPartition(messages.PartitionOf("later", "")) // nobody has something for it any more
		n.sleep(time.Second)
		if after := n.Status(t.Context()).Unloadable; len(both) != 2 || !slices.Equal(after, []messages.OrderID{"a"}) {
			t.Errorf("unloadable are %v, and without the partition of one %v", both, after)
		}
		n.settings.wrap = nil
		n = n.crash()
		n.sleep(20 * time.Second)
		n.expect("a", completed)
		if s := n.Status(t.Context()); s.UnloadableCount != 0 || len(s.Unloadable) != 0 {
			t.Errorf("status is %+v", s)
		}
	})
}

// What only a later version knows is left alone, told of, and harms nothing beside it.
func TestKindThatIsNotKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, inMemory)
		n.mustSubmit(order{id: "a", def: n.deploy("waits", "do: [{w: {wait: PT5S}}]")})
		const id = messages.OrderID("later/one")
		c := journaltest.Acceptance(string(id))
		done := make(chan error, 2)
		c.Done = func(err error) { done <- err }
		n.journal.Commit(c)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		n = n.restart()
		n.sleep(20 * time.Second)
		n.expect("a", completed)
		if s := n.Status(t.Context()); !slices.Equal(s.Unloadable, []messages.OrderID{id}) || s.Open != 0 {
			t.Errorf("status is %+v", s)
		}
		wantErr(t, n.cancel(string(id)), persistence.ErrFeatureLevel)
		if err := n.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestUncompilableDefinition(t *testing.T) {
	t.Parallel()
	refold := orders.NewRefolder(definition.Limits{})
	err := refold.AddDefinition(&journalv1.DefinitionRow{Namespace: "test", Name: "old", Version: "1.0.0", Document: []byte("do: [")})
	wantErr(t, err, catalog.ErrUncompilable)
}
