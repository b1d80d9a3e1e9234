package client

import (
	"context"
	"math/rand/v2"
	"sync/atomic"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
)

// balancing is the name under which gRPC knows how calls are spread.
const balancing = "holdfast_nodes"

func init() { //nolint:gochecknoinits // gRPC finds it by its name alone
	balancer.Register(rarely{base.NewBalancerBuilder(balancing, spreading{}, base.Config{})})
}

// target is the node that a call is to go to.
type target struct {
	address string
	// strict: it fails if there is no connection to that node. Else any other node is asked.
	strict bool
}

// targetKey is the key of the target in the context of a call.
type targetKey struct{}

// toward has a call go to the node at an address; empty: to any.
func toward(ctx context.Context, t target) context.Context {
	if t.address == "" {
		return ctx
	}
	return context.WithValue(ctx, targetKey{}, t)
}

// givenKey marks the addresses that the client was given: others were announced by nodes.
type givenKey struct{}

// given marks an address.
func given(a resolver.Address) resolver.Address {
	a.Attributes = attributes.New(givenKey{}, true)
	return a
}

// spreading makes pickers.
type spreading struct{}

// Build implements base.PickerBuilder.
func (spreading) Build(info base.PickerBuildInfo) balancer.Picker {
	if len(info.ReadySCs) == 0 {
		return base.NewErrPicker(balancer.ErrNoSubConnAvailable)
	}
	p := &picker{at: make(map[string]balancer.SubConn, len(info.ReadySCs))}
	var announced []balancer.SubConn
	for conn, of := range info.ReadySCs {
		if rare, is := conn.(*redialed); is {
			conn = rare.SubConn // gRPC takes no other
		}
		p.at[of.Address.Addr] = conn
		if of.Address.Attributes.Value(givenKey{}) != nil {
			p.spread = append(p.spread, conn)
		} else {
			announced = append(announced, conn)
		}
	}
	if len(p.spread) == 0 {
		p.spread = announced
	}
	p.next.Store(rand.Uint32())
	return p
}

// picker says which connection a call goes to, of those that there are.
type picker struct {
	at map[string]balancer.SubConn
	// spread get the calls that are for no node, in turn: the addresses that the client was given, as those that are announced may be
	// the same nodes.
	spread []balancer.SubConn
	next   atomic.Uint32
}

// Pick implements balancer.Picker.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	if t, is := info.Ctx.Value(targetKey{}).(target); is {
		if conn := p.at[t.address]; conn != nil {
			return balancer.PickResult{SubConn: conn}, nil
		}
		if t.strict {
			return balancer.PickResult{}, status.Error(codes.Unavailable, "no connection to the node at "+t.address)
		}
	}
	n := uint64(p.next.Add(1))
	return balancer.PickResult{SubConn: p.spread[n%uint64(len(p.spread))]}, nil
}
