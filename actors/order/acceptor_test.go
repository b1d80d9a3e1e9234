package order

import (
	"errors"
	"testing"

	"github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// Of orders that were submitted again so many may wait to be read, and none any more when the node has stopped: each is answered.
func TestAcceptorIsBounded(t *testing.T) {
	t.Parallel()
	a := NewAcceptor(nil, nil)
	answers := make(chan error, mostThere+2)
	submit := func() { a.look(again{done: func(m *nodev1.Answer) { answers <- failure.Err(m.GetFailure()) }}) }
	for range mostThere {
		submit()
	}
	if n := len(answers); n > 0 {
		t.Errorf("%d were answered, and not read", n)
	}
	submit()
	if err := <-answers; !errors.Is(err, runtime.ErrBusy) {
		t.Errorf("one too many is answered with %v", err)
	}
	a.ended.Store(true)
	a.refuseAll()
	submit()
	if n := len(answers); n != mostThere+1 {
		t.Errorf("%d were answered in the end, want %d", n, mostThere+1)
	}
	for range mostThere + 1 {
		if err := <-answers; !errors.Is(err, runtime.ErrStopping) {
			t.Errorf("in the end one is answered with %v", err)
		}
	}
}
