package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/cluster/consul"
	"github.com/holdfast-run/holdfast/messages"
)

// hearWithin bounds how long others are asked when an operator wants to know.
const hearWithin = 3 * time.Second

// Heard asks Consul and the peers, at once, and returns what is known of each other incarnation, and where in Consul is what can't be read.
// It fails if Consul does not tell all that it has: who is gone can't be asked.
func (w *Watermarks) Heard(ctx context.Context) (known map[messages.Incarnation]messages.Watermarks, unreadable []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, hearWithin)
	defer cancel()
	if err := w.ask(ctx); err != nil {
		bad, is := errors.AsType[*consul.UnreadableError](err)
		if !is {
			return nil, nil, &UntoldError{err}
		}
		unreadable = bad.Keys
	}
	known, _ = w.Known()
	return known, unreadable, nil
}

// Bind has all nodes hold databases against what an incarnation has, which is no node's: Consul tells them, and those that come later.
func (w *Watermarks) Bind(ctx context.Context, who messages.Incarnation, has messages.Watermarks) error {
	if err := w.Publish(ctx, who, has); err != nil {
		return &UntoldError{err}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks.hear(who, has)
	return nil
}

// UntoldError says that Consul does not tell what was confirmed, or can't be told.
type UntoldError struct{ err error }

// Error implements error.
func (e *UntoldError) Error() string {
	return fmt.Sprintf("Consul must tell what was confirmed to nodes, also to those that are gone, and be told what is accepted: "+
		"bring it back before: %v", e.err)
}

func (e *UntoldError) Unwrap() error { return e.err }

// Reason is why, in a word that programs know.
func (*UntoldError) Reason() string { return "CONSUL_AWAY" }

// Field is empty: no field of the request is at fault.
func (*UntoldError) Field() string { return "" }
