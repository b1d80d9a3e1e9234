package actors_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// TestRemove: a definition is removed once no order that has not ended runs it. What ran it can still be read, also after a restart.
func TestRemove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("waits", "do: [{w: {wait: P1D}}]")
		for _, id := range []string{"a", "b", "c", "d"} {
			n.mustSubmit(order{id: id, def: def})
		}
		_, _, err := n.RemoveDefinition(t.Context(), def.Ref)
		wantErr(t, err, catalog.ErrNotRetired)
		if _, err := n.Catalog().Retire(t.Context(), def.Ref, &journalv1.Retirement{At: 1}); err != nil {
			t.Fatal(err)
		}
		remove := func(want string) {
			t.Helper()
			row, users, err := n.RemoveDefinition(t.Context(), def.Ref)
			got := "removed"
			if len(users.Orders) > 0 {
				got = users.String()
			}
			if err != nil || got != want || (row != nil) != (want == "removed") {
				t.Errorf("%v, %s, %v, want %s", row, got, err, want)
			}
		}
		remove("4 orders that have not ended run it, such as d, c, b")
		for _, id := range []string{"b", "c", "d"} {
			wantErr(t, n.cancel(id), nil)
		}
		n.sleep(time.Second)
		remove("1 order that has not ended runs it: a")
		wantErr(t, n.cancel("a"), nil)
		n.sleep(time.Second)
		remove("removed")
		remove("removed")
		n = n.restart()
		n.expect("a", orderv1.Status_STATUS_CANCELLED)
		if rows := n.Catalog().Rows(""); len(rows) != 0 {
			t.Errorf("there is still %v", rows)
		}
		if row, err := n.Catalog().Document(t.Context(), def.Ref); err != nil || row.GetRetirement().GetRemovedAt() == 0 {
			t.Errorf("what is removed is %v: %v", row, err)
		}
		_, err = found(n.Catalog(), def.Ref)
		if wantErr(t, err, catalog.ErrRetired); !strings.Contains(err.Error(), "it was removed at") {
			t.Error(err)
		}
		if again := n.deploy("waits", "do: [{w: {wait: P1D}}]"); again.Ref != def.Ref {
			t.Errorf("deployed again as %v", again.Ref)
		}
		if rows := n.Catalog().Rows(""); len(rows) != 1 || rows[0].GetRetirement() != nil {
			t.Errorf("deployed again, there is %v", rows)
		}
	})
}

// TestRemoveBesideSubmit: of two nodes, one removes a definition while the other, which does not know it yet, accepts orders that run
// it. These go on, also when another node takes them over.
func TestRemoveBesideSubmit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := couple(t, nil)
		defer w.end()
		w.deploy()
		time.Sleep(2500 * time.Millisecond) // each knows what the other has deployed, and looks again in half a second
		ref := messages.DefinitionRef{Namespace: "test", Name: "long", Version: "1.0.0"}
		other := w.sides[1].engine
		if _, err := other.Catalog().Retire(t.Context(), ref, &journalv1.Retirement{At: 1}); err != nil {
			t.Fatal(err)
		}
		if _, users, err := other.RemoveDefinition(t.Context(), ref); err != nil || len(users.Orders) > 0 {
			t.Fatalf("removal: %v, %v", users, err)
		}
		here, there := of(0, 1)[0], of(messages.Partitions-1, 1)[0]
		for _, id := range []string{here, there} { // the first node knows nothing of it yet
			if a := <-w.submit(id, ref.String(), ""); a.GetFailure() != nil {
				t.Fatalf("submit %s: %v", id, a)
			}
		}
		time.Sleep(2 * time.Second)
		if _, users, err := w.sides[0].engine.RemoveDefinition(t.Context(), ref); err != nil || len(users.Orders) != 2 {
			t.Errorf("removal again: %v, %v", users, err)
		}
		w.give(0)
		time.Sleep(time.Minute)
		for _, id := range []string{here, there} {
			o, err := w.sides[0].engine.View().Order(t.Context(), messages.OrderID(id))
			if err != nil || o.GetStatus() != orderv1.Status_STATUS_COMPLETED {
				t.Errorf("order %s is %v: %v", id, o, err)
			}
		}
	})
}
