package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Callers knows who calls.
type Callers interface {
	// Identify returns who calls.
	Identify(ctx context.Context, p access.Proof) (*access.Caller, error)
	// Follow has end be called when a caller that has a stream open is not known any more, or may do other things.
	Follow(p access.Proof, c *access.Caller, end func(error)) (forget func())
}

// Ask has everybody be asked who he is, and do what his roles allow. Call it before GRPC and AdminGRPC; without it, everybody may do
// everything.
func (s *Server) Ask(callers Callers) { s.callers = callers }

// Reasons why a caller is refused because of who it is.
const (
	unknownReason = "UNKNOWN_CALLER"
	deniedReason  = "MISSING_ROLE"
	changedReason = "ACCESS_CHANGED"
)

// unknownCaller is what a caller is told of whom nothing is known, and denied what one is told who lacks a role.
func unknownCaller(err error) *failure {
	return &failure{code: codes.Unauthenticated, reason: unknownReason, message: err.Error()}
}

func denied(err error) *failure {
	return &failure{code: codes.PermissionDenied, reason: deniedReason, message: err.Error()}
}

// identify returns who calls a method, and what the call was known by; nil: nobody is asked.
func (s *Server) identify(ctx context.Context, method string) (*access.Caller, access.Proof, access.Rule, error) {
	rule, known := access.RuleOf(method)
	if known && rule.Scope == access.Anybody {
		return nil, access.Proof{}, rule, nil
	}
	proof, err := access.ProofOf(ctx)
	if err != nil {
		return nil, proof, rule, unknownCaller(err)
	}
	c, err := s.callers.Identify(ctx, proof)
	if err != nil {
		return nil, proof, rule, unknownCaller(err)
	}
	if !known {
		return nil, proof, rule, denied(&access.DeniedError{Caller: c})
	}
	return c, proof, rule, nil
}

// allowed returns the context of a call with its caller, or says why the caller may not make it.
func (s *Server) allowed(ctx context.Context, method string, req any) (context.Context, error) {
	c, _, rule, err := s.identify(ctx, method)
	if err == nil && c != nil {
		ctx = access.With(ctx, c)
		err = s.require(ctx, c, rule, req)
	}
	if err != nil {
		return nil, s.refuseCaller(ctx, method, err)
	}
	return ctx, nil
}

// accessStream lets a stream pass as long as the caller's roles allow it.
func (s *Server) accessStream(srv any, st grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if s.callers == nil {
		return next(srv, st)
	}
	ctx := st.Context()
	c, proof, rule, err := s.identify(ctx, info.FullMethod)
	if err != nil {
		return s.refuseCaller(ctx, info.FullMethod, err)
	}
	if c == nil {
		return next(srv, st)
	}
	ctx = access.With(ctx, c)
	// What says in which namespace a stream is comes with its first message; that there is such a role at all is asked before.
	if err := c.Require(rule.Role, ""); rule.Role != "" && err != nil {
		return s.refuseCaller(ctx, info.FullMethod, denied(err))
	}
	over := make(chan error, 1)
	forget := s.callers.Follow(proof, c, func(why error) { over <- why })
	defer forget()
	checked := &checkedStream{ServerStream: st, server: s, method: info.FullMethod, caller: c, rule: rule, ctx: ctx}
	served := make(chan error, 1)
	go func() { // ends at the latest when the stream does, which is when this function has returned
		var err error
		defer func() { served <- err }()
		defer s.contain(info.FullMethod, &err)
		err = next(srv, checked)
	}()
	select {
	case err := <-served:
		return err
	case why := <-over:
		if errors.Is(why, access.ErrUnknown) {
			return s.refuseCaller(ctx, info.FullMethod, unknownCaller(why))
		}
		return s.refuseCaller(ctx, info.FullMethod, &failure{
			code: codes.Unavailable, reason: changedReason, message: why.Error(), retry: 100 * time.Millisecond,
		})
	}
}

// checkedStream is a stream whose requests are checked when they are received.
type checkedStream struct {
	grpc.ServerStream

	server *Server
	method string
	caller *access.Caller
	rule   access.Rule
	ctx    context.Context //nolint:containedctx // lives as long as the stream
}

// Context implements grpc.ServerStream.
func (c *checkedStream) Context() context.Context { return c.ctx }

// RecvMsg implements grpc.ServerStream.
func (c *checkedStream) RecvMsg(m any) error {
	if err := c.ServerStream.RecvMsg(m); err != nil {
		return err //nolint:wrapcheck // it stands for what it wraps
	}
	if err := c.server.require(c.ctx, c.caller, c.rule, m); err != nil {
		return c.server.refuseCaller(c.ctx, c.method, err)
	}
	return nil
}

// require says what a caller lacks for a request.
func (s *Server) require(ctx context.Context, c *access.Caller, rule access.Rule, req any) error {
	if rule.Role == "" || c.May(rule.Role, access.Everywhere) && rule.Role != access.Adapter {
		return nil
	}
	var err error
	switch rule.Scope {
	case access.All:
		err = c.Require(rule.Role, access.Everywhere)
	case access.OfDefinition, access.Listed:
		err = c.Require(rule.Role, namespaceOf(req))
	case access.OfOrder:
		id := messages.OrderID(req.(interface{ GetId() string }).GetId()) //nolint:errcheck,forcetypeassert // the table says so
		if err = c.Require(rule.Role, ""); err == nil {
			err = s.requireOfOrder(ctx, c, rule.Role, id)
		}
	case access.OfKey:
		key := req.(interface{ GetOrderKey() string }).GetOrderKey() //nolint:errcheck,forcetypeassert // the table says so
		if err = c.Require(rule.Role, ""); err == nil {
			err = s.requireOfKey(ctx, c, rule.Role, key)
		}
	default: // Any, and Carried, where whoever serves the call requires more
		err = c.Require(rule.Role, "")
	}
	if lacks, ok := errors.AsType[*access.DeniedError](err); ok {
		return denied(lacks)
	}
	return err
}

// namespaceOf is the namespace that a request names, by itself or by a definition; empty: none.
func namespaceOf(req any) string {
	switch r := req.(type) {
	case *orderv1.SubmitRequest:
		return access.NamespaceOf(r.GetOrder().GetDefinition())
	case *orderv1.WatchListRequest:
		return access.NamespaceOf(r.GetList().GetDefinition())
	case *adminv1.ListFalloutRequest:
		return access.NamespaceOf(r.GetSelection().GetDefinition())
	case *adminv1.OperateAllRequest:
		return access.NamespaceOf(r.GetSelection().GetDefinition())
	case interface{ GetDefinition() string }:
		return access.NamespaceOf(r.GetDefinition())
	case interface{ GetNamespace() string }:
		return r.GetNamespace()
	}
	return ""
}

// requireOfOrder says what a caller lacks in the namespace of an order.
func (s *Server) requireOfOrder(ctx context.Context, c *access.Caller, role access.Role, id messages.OrderID) error {
	if err := checkID(string(id)); err != nil {
		return err
	}
	row, err := s.engine.View().Row(ctx, id)
	if err != nil {
		return err
	}
	return c.Require(role, orEverywhere(access.NamespaceOf(row.GetDefinition())))
}

// orEverywhere is a namespace, or, of what is in none, all of them.
func orEverywhere(namespace string) string {
	if namespace == "" {
		return access.Everywhere
	}
	return namespace
}

const (
	// keyPage is how many orders of a key are looked at in one go.
	keyPage = 1000
	// mostOfKey is the most orders of a key whose namespaces are looked at for a caller.
	mostOfKey = 20_000
)

// requireOfKey says what a caller lacks in the namespaces of the orders that are queued at a key.
func (s *Server) requireOfKey(ctx context.Context, c *access.Caller, role access.Role, key string) error {
	if n := len(key); n == 0 || n > s.config.MaxKey {
		return nil // whoever serves the call says what is wrong with it
	}
	seen := 0
	for after := uint64(0); ; {
		q, err := s.engine.Key(ctx, key, after, keyPage)
		if err != nil {
			return err
		}
		ids := q.GetWaiting()
		if head := q.GetHead(); after == 0 && head != "" {
			ids = append([]string{head}, ids...)
		}
		for _, id := range ids {
			if err := s.requireOfOrder(ctx, c, role, messages.OrderID(id)); err != nil {
				return err
			}
		}
		if seen += len(ids); seen > mostOfKey {
			return &failure{
				code: codes.FailedPrecondition, reason: "TOO_MANY_OF_KEY",
				message: fmt.Sprintf("more than %d orders are queued at the key, too many to look at their namespaces: who has the role %s in all "+
					"namespaces may do this", mostOfKey, role),
			}
		}
		if places := q.GetPlaces(); q.GetMore() && len(places) > 0 {
			after = places[len(places)-1]
			continue
		}
		return nil
	}
}

// requireToSubmit says what a caller lacks to submit an order.
func requireToSubmit(c *access.Caller, r *orderv1.SubmitRequest) error {
	if c == nil {
		return nil
	}
	if err := c.Require(access.Submitter, namespaceOf(r)); err != nil {
		return denied(err)
	}
	return nil
}

// requireOfHello says which activity of a hello a caller may not serve.
func requireOfHello(c *access.Caller, h *adapterv1.Hello) error {
	for _, a := range h.GetActivities() {
		if name := h.GetAdapter() + "." + a.GetName(); !c.MayServe(name) {
			return denied(&access.DeniedError{Caller: c, Role: access.Adapter, Activity: name})
		}
	}
	return nil
}

// requireOfDefinition says what a caller lacks to deploy a definition: the role in its namespace, with all activities that it calls, and a
// role in the namespaces of definitions that it runs, as whoever submits an order for it has those run.
func requireOfDefinition(c *access.Caller, def *catalog.Examined) error {
	if c == nil {
		return nil
	}
	in := def.Ref.Namespace
	if err := c.Require(access.Deployer, in); err != nil {
		return denied(err)
	}
	for _, a := range def.Activities {
		if name, _, _ := strings.Cut(a, ":"); !c.MayCall(in, name) {
			return denied(&access.DeniedError{Caller: c, Role: access.Deployer, Namespace: in, Activity: name})
		}
	}
	for _, task := range slices.Sorted(maps.Keys(def.Runs)) {
		runs := def.Runs[task].Namespace
		if runs == in || c.May(access.Deployer, runs) {
			continue
		}
		if err := c.Require(access.Submitter, runs); err != nil {
			return denied(err)
		}
	}
	return nil
}

// signed is who has done something, as it is kept: the caller, where it is known, and whom it names beside.
func signed(ctx context.Context, by string) string {
	c := access.Of(ctx)
	switch {
	case c == nil:
		return by
	case by == "" || by == c.Name:
		return c.Name
	}
	return messages.Clip(c.Name+" for "+by, maxReason)
}
