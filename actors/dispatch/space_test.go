package dispatch_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/dispatch"
)

// space is a Space with an end.
type space struct{ used, most int }

func (r *space) Full() bool    { return r.used >= r.most }
func (r *space) Add(bytes int) { r.used += bytes }

func offer(q *dispatch.Queue, from, to int) (sent int) {
	for i := from; i < to; i++ {
		sent += sends(q.Offer(&dispatch.Task{Key: fmt.Sprint(i), Attempt: 1, Size: 10}))
	}
	return sent
}

func sends(outputs []dispatch.Output) (n int) {
	for _, o := range outputs {
		if _, ok := o.(dispatch.Send); ok {
			n++
		}
	}
	return n
}

// TestSpace: what adapters have is bounded, whatever they grant; what they are sent next waits until there is space.
func TestSpace(t *testing.T) {
	t.Parallel()
	one, away := &space{most: 50}, &space{most: math.MaxInt}
	q := dispatch.New(dispatch.Config{Grace: time.Second, Away: away})
	q.Attach(dispatch.Stream{ID: 1, Process: "P", Ledger: "P", Idempotent: true, Space: one})
	q.Credit(1, math.MaxUint64)
	if sent := offer(q, 0, 20); sent != 5 || one.used != 50 || !q.Crowded() || q.Sendable() != 0 {
		t.Fatalf("%d were sent, %d bytes of space are used, crowded %t, %d could be sent", sent, one.used, q.Crowded(), q.Sendable())
	}
	if sent := sends(q.Done("0", 1)); sent != 1 || one.used != 50 {
		t.Errorf("%d were sent when one was done, %d bytes of space are used", sent, one.used)
	}
	one.most = 100 // another queue has given back
	if sent := sends(q.Tick(time.Unix(1, 0))); sent != 5 || one.used != 100 {
		t.Errorf("%d were sent when there was space, %d bytes of it are used", sent, one.used)
	}
	other := &space{most: 1000}
	q.Attach(dispatch.Stream{ID: 2, Process: "Q", Ledger: "Q", Idempotent: true, Space: other})
	if sent := sends(q.Credit(2, 100)); sent != 9 || other.used != 90 || q.Crowded() {
		t.Errorf("%d were sent to the other, crowded %t", sent, q.Crowded())
	}
	q.Detach(1, dispatch.End{}, time.Unix(1, 0))
	if one.used != 0 || away.used != 100 {
		t.Errorf("when the stream is lost, %d bytes are used of its space, %d away", one.used, away.used)
	}
	if sent := sends(q.Tick(time.Unix(2, 0))); sent != 10 || away.used != 0 || other.used != 190 {
		t.Errorf("%d were sent again, %d away, %d at the other", sent, away.used, other.used)
	}
	for i := range 20 {
		q.Done(fmt.Sprint(i), 1)
	}
	if other.used != 0 || q.InFlight() != 0 {
		t.Errorf("when all are done, %d bytes are used", other.used)
	}
}

// TestMostCredit: credit has an end, and what is granted beyond it does not count, even if it is all that can be said.
func TestMostCredit(t *testing.T) {
	t.Parallel()
	q := dispatch.New(dispatch.Config{})
	for id := range dispatch.StreamID(2) {
		q.Attach(dispatch.Stream{ID: id, Process: fmt.Sprint(id), Ledger: fmt.Sprint(id), Idempotent: true})
		q.Credit(id, math.MaxUint64)
	}
	if sent := offer(q, 0, 10); sent != 10 || q.Sendable() != 0 {
		t.Errorf("%d were sent", sent)
	}
	if n := q.Revoke(0, math.MaxUint64) + q.Revoke(1, math.MaxUint64); n != 2*dispatch.MostCredit-10 {
		t.Errorf("%d were revoked", n)
	}
	if n := q.Revoke(0, math.MaxUint64); n != 0 {
		t.Errorf("%d were left", n)
	}
	if q.Credit(0, math.MaxUint64); q.Revoke(0, math.MaxUint64) != dispatch.MostCredit {
		t.Error("what is granted anew does not count")
	}
}
