package gateway

import (
	"context"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	// heavyInput is how long an input is, in bytes, from which on it is heavy work to check it.
	heavyInput = 16 << 10
	// operationTakes is about how much processor time an order takes to do what an operator has all of many do.
	operationTakes = 300 * time.Microsecond
)

// enter waits until heavy work may go on that is done for whoever calls, in a namespace; empty: in none.
func (s *Server) enter(ctx context.Context, kind runtime.Heavy, namespace string) (*runtime.Pass, error) {
	client := clientOf(ctx)
	if namespace == "" {
		namespace = spaceOf(client)
	}
	return s.engine.Pace().Enter(ctx, kind, namespace, client)
}

// force lets heavy work go on at once that is done for whoever calls, in no namespace: it is under way.
func (s *Server) force(ctx context.Context, kind runtime.Heavy) *runtime.Pass {
	client := clientOf(ctx)
	return s.engine.Pace().Force(kind, spaceOf(client), client)
}

// Begin returns when a connection of a client may be served, which takes about so much processor time, or an error if ctx has ended before.
func (s *Server) Begin(ctx context.Context, client string, takes time.Duration) error {
	pass, err := s.engine.Pace().Enter(ctx, runtime.HeavyConnection, spaceOf(client), client)
	if err != nil {
		return err
	}
	pass.Count(takes)
	pass.Leave()
	return nil
}

// spaceOf stands for a namespace in heavy work for a client that is in none. No name of a namespace is like that.
func spaceOf(client string) string { return "\x00" + client }

// clientOf tells those apart for whom heavy work is done, by who calls, or else from where. What a client calls itself does not count. The
// administration is apart from the public address.
func clientOf(ctx context.Context) string {
	if c := access.Of(ctx); c != nil {
		return c.String()
	}
	from := access.CallerOf(ctx).From
	if p, ok := peer.FromContext(ctx); ok && p.LocalAddr != nil && from != "" {
		from += " at " + p.LocalAddr.String()
	}
	return from
}

// passKey is the key of the pass in the context of a call that has one.
type passKey struct{}

// reading reads something for whoever calls, as heavy work. A call that is heavy work as a whole gives others a turn after it.
func (s *Server) reading(ctx context.Context, read func() error) error {
	if pass, ok := ctx.Value(passKey{}).(*runtime.Pass); ok {
		err := read()
		pass.Show(func(line <-chan struct{}) { <-line })
		return err
	}
	pass, err := s.enter(ctx, runtime.HeavyRead, "")
	if err != nil {
		return err
	}
	defer pass.Leave()
	return read()
}

// enterRead waits until a call may read what may be large, and there is room among the unsent bytes for its answer. It has no turn while it
// waits for that: whoever does not read holds up nobody.
func (s *Server) enterRead(ctx context.Context, u *unsent) (*runtime.Pass, *claim, error) {
	pass, err := s.enter(ctx, runtime.HeavyRead, "")
	if err != nil {
		return nil, nil, err
	}
	if c := u.tryTake(ctx); c != nil {
		return pass, c, nil
	}
	pass.Leave()
	c, err := u.take(ctx)
	if err != nil {
		return nil, nil, err
	}
	if pass, err = s.enter(ctx, runtime.HeavyRead, ""); err != nil {
		c.give()
		return nil, nil, err
	}
	return pass, c, nil
}

// heavyCheck checks an order. is: that is heavy work.
type heavyCheck struct {
	*Server

	ctx       context.Context //nolint:containedctx // lives as long as the check
	of        *orderv1.WorkOrder
	namespace string
	is        bool
	pass      *runtime.Pass // nil: it has none
}

// begin waits until a part of the check may go on, if that is heavy work.
func (h *heavyCheck) begin() (err error) {
	if h.is {
		h.pass, err = h.enter(h.ctx, runtime.HeavyRequest, h.namespace)
	}
	return err
}

// end ends a part of the check. If it has turned out that it takes long, that is known from then on.
func (h *heavyCheck) end() {
	if h.pass == nil {
		return
	}
	if h.pass.Leave(); !h.is && h.pass.Used() > runtime.HeavyFrom {
		h.engine.NoteHeavy(h.of.GetDefinition())
	}
	h.pass = nil
}

// Checking implements catalog.Checker.
func (h *heavyCheck) Checking() {
	if h.pass == nil {
		h.pass = h.engine.Pace().Force(runtime.HeavyRequest, h.namespace, clientOf(h.ctx))
	}
}

// Show implements catalog.Checker.
func (h *heavyCheck) Show() (waited time.Duration) {
	h.pass.Show(func(line <-chan struct{}) {
		began := time.Now()
		<-line
		waited = time.Since(began)
	})
	return waited
}

// parse checks the input, as far as that goes without the definition.
func (h *heavyCheck) parse(input []byte, m *mistakes) error {
	if err := h.begin(); err != nil {
		return err
	}
	defer h.end()
	h.pass.Count(runtime.WriteTakes(len(input)))
	if err := checkJSON(input, h.config.MaxInput, h.config.MaxDepth); err != nil {
		m.add("order.input", err.Error())
	}
	return nil
}

// pin finds the definition of an order, checks the input with its schema, and finds out what else the order is accepted with.
func (h *heavyCheck) pin(known *catalog.Catalog, ref messages.DefinitionRef, o *journalv1.OrderAccepted) (catalog.Pin, error) {
	if err := h.begin(); err != nil {
		return catalog.Pin{}, err
	}
	defer h.end()
	return known.Pin(ref, o, h)
}
