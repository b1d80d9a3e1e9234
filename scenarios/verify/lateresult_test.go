package main

import (
	"io"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// TestLateResults: an acknowledged result that is not the one in the journal is found, and so is one that came too late and is.
func TestLateResults(t *testing.T) {
	t.Parallel()
	l := &lateRow{clusterRow: &clusterRow{s: &site{log: io.Discard}}, witness: newWitness(2, 1)}
	asked := heldTask{&adapterv1.Task{OrderId: "a", Key: "a:/do/0/hold"}, 0, &witnessStream{unacked: map[uint64]*adapterv1.Result{}}}
	for range 3 {
		l.witness.give(asked)
	}
	first, second := l.witness.given[1], l.witness.given[2]
	journaled := map[messages.OrderID]string{"a": string(second.GetOutput())}
	second.acks = []time.Time{time.Now()}
	if results, falsely := l.acknowledged(journaled); results != 1 || falsely != 0 {
		t.Errorf("of %d acknowledged results %d are not in the journal", results, falsely)
	}
	first.acks = second.acks
	if results, falsely := l.acknowledged(journaled); results != 2 || falsely != 1 {
		t.Errorf("of %d acknowledged results %d are not in the journal: one of two is not", results, falsely)
	}
	if n := inJournal([]*givenResult{first, second}, journaled); n != 1 {
		t.Errorf("%d of the results are in the journal: one of two is", n)
	}
}
