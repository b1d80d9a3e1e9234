package actors_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/memory"
)

// A partition with a record of a higher feature level is released, for a newer version to have it; the node stays as it is, is not
// ready, and says why. Other partitions go on.
func TestHigherFeatureLevel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		was, j := over(t, store)
		def := was.deploy("slow", "do: [{a: {wait: PT1M}}]")
		was.mustSubmit(order{id: "a", def: def})
		was.mustSubmit(order{id: "b", def: def})
		settle()
		p := newer(t, store, j, "a")
		if other := messages.PartitionOf("b", ""); other == p {
			t.Fatal("both orders are in one partition")
		}

		is, mine := over(t, store)
		is.sleep(2 * time.Minute)
		is.expect("b", completed)
		if err := is.Ready(); err == nil || !strings.Contains(err.Error(), "1 partitions have records of a higher feature level") {
			t.Errorf("the node is ready: %v", err)
		}
		if stuck := is.dog.Stuck(time.Now()); len(stuck) > 0 {
			t.Errorf("stuck: %v", stuck)
		}
		owners, err := mine.Owners(t.Context())
		if err != nil || !owners[p].Free("somebody") {
			t.Errorf("it is owned by %+v, %v", owners[p], err)
		}
		if got := owners[messages.PartitionOf("b", "")]; got.Incarnation != mine.Incarnation() {
			t.Errorf("the other one is owned by %+v", got)
		}
	})
}

// newer has a node of a newer version take over from another one, and write more of an order. It returns the order's partition, which it
// has released.
func newer(t *testing.T, store *memory.Store, from *memory.Journal, id messages.OrderID) messages.Partition {
	t.Helper()
	j := store.Open(memory.Config{})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(j.Fence(t.Context(), from.Incarnation()))
	e, err := j.Find(t.Context(), id)
	must(err)
	owners, err := j.Owners(t.Context())
	must(err)
	claimed, err := j.Claim(t.Context(), []persistence.Holding{{Partition: e.Partition, Epoch: owners[e.Partition].Epoch}})
	must(err)
	events := 0
	for r, err := range j.Records(t.Context(), e.Handle, 1) {
		must(err)
		var record journalv1.Record
		must(proto.Unmarshal(r.Data, &record))
		events += len(record.GetEvents())
	}
	record, err := proto.Marshal(&journalv1.Record{
		FeatureLevel: persistence.NewestLevel + 1, Events: []*journalv1.Event{{At: time.Now().UnixNano()}},
	})
	must(err)
	done := make(chan error, 1)
	j.Commit(&persistence.Commit{
		Partition: e.Partition, Epoch: claimed[0].Epoch, Handle: e.Handle, Expected: messages.Version(events), Events: 1, Record: record,
		Done: func(err error) { done <- err },
	})
	must(<-done)
	j.Release(claimed[0], func(err error) { done <- err })
	must(<-done)
	must(j.Close())
	return e.Partition
}
