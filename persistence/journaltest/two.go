package journaltest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// two opens the journal of a store twice. The first owns all partitions, the second none.
func two(t env) (first *owning, second persistence.Journal) {
	t.Helper()
	if _, ok := t.store.(Sharer); !ok {
		t.Skip("the store can't be open twice")
	}
	first = open(t)
	second = t.store.Open(t)
	t.Cleanup(func() { closeJournal(t, second) })
	return first, second
}

// all are all partitions with the epochs that they have.
func all(tb testing.TB, j persistence.Ownership) (seen []persistence.Holding) {
	tb.Helper()
	for p, o := range owners(tb, j) {
		seen = append(seen, persistence.Holding{Partition: messages.Partition(p), Epoch: o.Epoch})
	}
	return seen
}

// testTwoClaim has the second claim what the first has released, and nothing else.
func testTwoClaim(t env) {
	first, second := two(t)
	if first.Incarnation() == second.Incarnation() {
		t.Fatalf("both have the incarnation %s", first.Incarnation())
	}
	claimed, err := second.Claim(t.Context(), all(t, second))
	if err != nil || len(claimed) != 0 {
		t.Fatalf("the second has taken %+v, %v", claimed, err)
	}
	o := accepted(t, first)
	given := first.holding(o.partition)
	wantErr(t, "release of what another owns", release(second, given), persistence.ErrFenced)
	wantErr(t, "check of what another owns", check(second, given), persistence.ErrFenced)
	stolen := o.step(1)
	stolen.Epoch = given.Epoch
	wantErr(t, "commit under another's epoch", commit(second, stolen), persistence.ErrFenced)
	if err := release(first, given); err != nil {
		t.Fatal(err)
	}
	claimed, err = second.Claim(t.Context(), all(t, second))
	if err != nil || len(claimed) != 1 || claimed[0] != (persistence.Holding{Partition: o.partition, Epoch: given.Epoch + 1}) {
		t.Fatalf("the second has claimed %+v, %v", claimed, err)
	}
	if got := owners(t, first)[o.partition]; got != (persistence.Owner{Epoch: given.Epoch + 1, Incarnation: second.Incarnation()}) {
		t.Errorf("the owner is %+v", got)
	}
	wantErr(t, "commit of who gave it up", commit(first, o.step(1)), persistence.ErrFenced)
	mine := o.step(1)
	mine.Epoch = claimed[0].Epoch
	o.must(t, second, mine)
	o.check(t, first)
	if err := check(second, claimed[0]); err != nil {
		t.Error(err)
	}
}

// testTwoFence has the second fence the first in the middle of its commits, and go on with its orders: what was confirmed is
// there, and nothing comes behind the fence.
func testTwoFence(t env) {
	first, second := two(t)
	const writers = 8
	orders := make([]*order, writers)
	var wg sync.WaitGroup
	progress := make(chan struct{}, 1000)
	for i := range orders {
		orders[i] = accepted(t, first)
		wg.Go(func() {
			o := orders[i]
			for {
				c := o.step(1)
				err := commit(first, c)
				if err != nil {
					wantErr(t, "commit of who is fenced", err, persistence.ErrIncarnationFenced)
					return
				}
				o.done(c)
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 20 * writers {
		<-progress
	}
	if err := second.Fence(t.Context(), first.Incarnation()); err != nil {
		t.Fatal(err)
	}
	var behind []int
	for _, o := range orders {
		behind = append(behind, len(history(t, second, o.handle)))
	}
	wg.Wait()
	heir := own(t, second)
	for i, o := range orders {
		if n := len(history(t, heir, o.handle)); n != behind[i] || n != int(o.version) {
			t.Errorf("%d records, %d of them confirmed, %d when the fence was up", n, o.version, behind[i])
		}
		o.must(t, heir, o.step(1))
		o.check(t, heir)
	}
	if _, err := first.Claim(t.Context(), all(t, first)); err == nil {
		t.Error("who is fenced claims")
	}
	if err := second.Fence(t.Context(), first.Incarnation()); err != nil {
		t.Errorf("the second fence: %v", err)
	}
}

// testTwoAccept has both accept orders of the other's partitions, and race for ids.
func testTwoAccept(t env) {
	first, second := two(t)
	o := newOrder()
	o.insert(t, second)
	if got := intake(t, first, o.partition); !slices.Equal(got, []messages.Handle{o.handle}) {
		t.Errorf("the intake is %v", got)
	}
	o.must(t, first, o.step(1))
	if got := intake(t, second, o.partition); len(got) != 0 {
		t.Errorf("the intake is %v", got)
	}
	wantErr(t, "the id again", commit(second, o.accept(1)), persistence.ErrConflict)
	o.check(t, second)
	for range 20 {
		a, b := newOrder(), newOrder()
		b.id, b.row.Id, b.open.Id = a.id, a.row.GetId(), a.open.GetId()
		b.in(a.partition)
		var errs [2]error
		var wg sync.WaitGroup
		wg.Go(func() { errs[0] = commit(first, a.accept(1)) })
		wg.Go(func() { errs[1] = commit(second, b.accept(1)) })
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("both accepted one id, or none did: %v", errs)
		}
		won := a
		if errs[1] == nil {
			won = b
		}
		won.version = 1
		won.check(t, second)
	}
}

// testTwoQueue has both accept orders of one key, each after the other was told: that is the order of the queue.
func testTwoQueue(t env) {
	first, second := two(t)
	const p = 33
	var orders []*order
	for i := range 20 {
		o := keyed(p, "k")
		if i%3 == 0 {
			o.must(t, first, o.accept(1))
		} else {
			o.insert(t, second)
		}
		orders = append(orders, o)
		if i%5 == 4 { // One that was before all others waits behind them.
			again := orders[0]
			again.must(t, first, again.end(orderv1.Status_STATUS_FAULTED))
			c := again.queues()
			c.Row = again.rowWith(orderv1.Status_STATUS_PENDING)
			c.Row.EndedAt = 0
			again.must(t, first, c)
			orders = append(orders[1:], again)
		}
	}
	for _, j := range []persistence.Journal{first, second} {
		if got := queue(t, j, p, "k"); !slices.Equal(got, ids(orders...)) {
			t.Errorf("the queue is %v, want %v", got, ids(orders...))
		}
	}
}

// testTwoCatalog has one change the catalogue, and the other see it.
func testTwoCatalog(t env) {
	first, second := two(t)
	last, err := second.CatalogVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		row := &journalv1.DefinitionRow{Namespace: "a", Name: "a", Version: fmt.Sprintf("1.0.%d", i), Document: []byte("d"), Hash: []byte("h")}
		if _, err := first.PutDefinition(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		now, err := second.CatalogVersion(t.Context())
		if err != nil || now <= last {
			t.Errorf("the catalogue had version %d, and has %d: %v", last, now, err)
		}
		last = now
		n := 0
		for _, err := range second.AllDefinitions(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != i+1 {
			t.Errorf("the other sees %d definitions", n)
		}
	}
	testTwoMarks(t, first, second)
}

// testTwoMarks has one change single definitions, and the other see which.
func testTwoMarks(t env, first, second persistence.Journal) {
	ref := messages.DefinitionRef{Namespace: "a", Name: "a", Version: "1.0.3"}
	row := &journalv1.DefinitionRow{Namespace: "a", Name: "a", Version: "1.0.3", Document: []byte("d"), Hash: []byte("h")}
	marks := func() map[messages.DefinitionRef]persistence.DefinitionMark {
		t.Helper()
		marks, err := second.DefinitionMarks(t.Context())
		if err != nil || len(marks) != 5 {
			t.Fatalf("marks %v: %v", marks, err)
		}
		return marks
	}
	last := marks()
	if !maps.Equal(last, marks()) {
		t.Error("marks differ, and nothing was changed")
	}
	for i, change := range []func() (*journalv1.DefinitionRow, error){
		func() (*journalv1.DefinitionRow, error) {
			return first.RetireDefinition(t.Context(), ref, &journalv1.Retirement{At: 7})
		},
		func() (*journalv1.DefinitionRow, error) { return first.RemoveDefinition(t.Context(), ref, 8) },
		func() (*journalv1.DefinitionRow, error) { return first.PutDefinition(t.Context(), row) },
	} {
		if _, err := change(); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
		now := marks()
		for one, mark := range now {
			if (mark != last[one]) != (one == ref) {
				t.Errorf("change %d: %s had the mark %s, and has %s", i, one, last[one], mark)
			}
		}
		last = now
	}
}
